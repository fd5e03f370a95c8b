"""What a tool does in silence is told where a person is about to meet it."""

import json
from typing import Any

from cli.runs import PLAN, Project, said

_CONFIG = 'export default { dialect: "postgresql", schema: "./schema.ts", out: "./migrations" };\n'


def test_a_part_that_has_no_migration(project: Project) -> None:
    """What comes first is ecm's, on each branch; the contract migration would stop the tool where ecm has not been."""
    (project.root / "prisma" / "migrations").mkdir(parents=True)
    (project.root / "plans" / "require-title.yaml").write_text(
        "plan: require-title\nchanges: [{kind: set_not_null, table: books, column: title}]\n"
    )

    def refused() -> Any:
        answer = project.ecm("emit", "require-title", "--as", "prisma", "--part", "expand", "--json")
        assert answer.code == 2
        return answer.json["error"]

    told = refused()
    assert told["message"] == "require-title has nothing to emit for expand"
    assert "comes later: --part contract" in told["details"][1]
    for branch in ("development", "production"):
        assert refused()["hint"] == f"ecm advance require-title --to reads_migrated --branch {branch}"
        moved = project.ecm("advance", "require-title", "--to", "reads_migrated", "--branch", branch, "--yes")
        assert moved.code == 0, moved.err
    assert refused()["hint"] == "ecm emit require-title --as prisma --part contract"
    assert not list((project.root / "prisma" / "migrations").iterdir())


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
    assert emitted.json["schema_edit"] == f"ecm inspect --drizzle {PLAN}"
    again = project.ecm("emit", PLAN, "--as", "drizzle", "--part", "contract", "--branch", "production")
    assert f"schema    ecm inspect --drizzle {PLAN} --branch production" in again.out
    assert "that come after it" in said(again.out)
    assert "--part expand" not in again.out, "both were not asked for"
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
