"""What a tool does in silence is told where a person is about to meet it."""

import json

from cli.runs import PLAN, Project, said

_CONFIG = 'export default { dialect: "postgresql", schema: "./schema.ts", out: "./migrations" };\n'


def test_drizzle(project: Project) -> None:
    """No schemaFilter, an older `when`, CONCURRENTLY, and a check that is not valid: in emit, plan show and doctor."""
    folder = project.root / "migrations"
    (folder / "meta").mkdir(parents=True)
    entries = [("0000_books", 1000), ("0001_late", 40_000_000_000_000), ("0002_early", 2000)]
    for tag, _ in entries:
        (folder / f"{tag}.sql").write_text("-- concurrently, but only in a comment\nSELECT 'CONCURRENTLY';")
    (folder / "0001_late.sql").write_text('CREATE INDEX CONCURRENTLY "books_title" ON "books" ("title");')
    (folder / "meta" / "_journal.json").write_text(
        json.dumps(
            {
                "version": "7",
                "dialect": "postgresql",
                "entries": [
                    {"idx": n, "version": "7", "when": when, "tag": tag, "breakpoints": True}
                    for n, (tag, when) in enumerate(entries)
                ],
            }
        )
    )
    columns = {
        name: {"name": name, "type": "integer", "primaryKey": False, "notNull": False}
        for name in ("id", "published_year")
    }
    table = {"name": "books", "schema": "", "columns": columns}
    (folder / "meta" / "0002_snapshot.json").write_text(
        json.dumps({"id": "a", "prevId": "b", "version": "7", "tables": {"public.books": table}})
    )
    (project.root / "drizzle.config.ts").write_text(_CONFIG)
    (project.root / "plans" / "require-year.yaml").write_text(
        "plan: require-year\nchanges: [{kind: set_not_null, table: books, column: published_year, using: '0'}]\n"
    )
    (project.root / "plans" / "allow-no-title.yaml").write_text(
        "plan: allow-no-title\nchanges: [{kind: drop_not_null, table: books, column: title, reverse: \"'?'\"}]\n"
    )
    filtered, concurrently, older = (
        "has no schemaFilter",
        "0001_late says CONCURRENTLY",
        "0002_early has an older `when`",
    )
    pulled = "drizzle-kit pull writes a schema that cannot be read"

    emitted = project.ecm("emit", PLAN, "--as", "drizzle", "--json")
    assert emitted.code == 0, emitted.out
    told = " ".join(emitted.json["beware"])
    for line in (filtered, concurrently, older, "keep their names", "--part expand"):
        assert line in told
    journal = json.loads((folder / "meta" / "_journal.json").read_text())
    whens = [entry["when"] for entry in journal["entries"][1:]]
    assert whens[0] < whens[2] < whens[3], "later than all that are there, not than the last, and than the clock"
    shown = said(project.ecm("plan", "show", PLAN).out)
    assert filtered in shown
    assert pulled not in shown
    assert pulled in said(project.ecm("plan", "show", "require-year").out)
    project.sql("development", "ALTER TABLE books ALTER COLUMN title SET NOT NULL")
    advanced = project.ecm("advance", "allow-no-title", "--branch", "development", "--json")
    assert "a check is NOT VALID here now" in said(advanced.out), "from expand on, ecm keeps in a check what there was"
    examined = project.ecm("doctor")
    assert examined.code == 1
    assert concurrently in said(examined.out)

    (project.root / "drizzle.config.ts").write_text(_CONFIG.replace(" };", ', schemaFilter: ["public"] };'))
    assert filtered not in said(project.ecm("plan", "show", PLAN).out)
    (folder / "meta" / "_journal.json").write_text("<<<<<<< HEAD")
    refused = project.ecm("advance", PLAN, "--branch", "development", "--json")
    assert "is not a journal of drizzle-kit" in refused.json["error"]["message"]
    assert "expanded" not in project.ecm("status", PLAN).out
