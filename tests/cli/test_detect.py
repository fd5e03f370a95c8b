"""`ecm detect`: what another tool's migrations would break, and the plans that do it safely."""

import json
import subprocess
from typing import Any

import pytest
from cli.conftest import MakeProject
from cli.runs import Project, said

from orchestrator.conductor import Conductor
from orchestrator.workspace import Workspace

CREATE = "CREATE TABLE books (id serial PRIMARY KEY, title text, published_year integer NOT NULL DEFAULT 2000);\n"
RENAME = 'ALTER TABLE "books"\n  RENAME COLUMN "published_year" TO "publication_year";\n'
HUNGRY = "CREATE INDEX books_title ON books (title);\n"


@pytest.fixture
def folder(offline: Project) -> Project:
    """A project without a database that answers and without plans, with two migrations of plain SQL."""
    for path in (offline.root / "plans").iterdir():
        path.unlink()
    migrate(offline, "0001_books", CREATE)
    migrate(offline, "0002_year", f"-- the year\n\n{RENAME}")
    return offline


def migrate(project: Project, name: str, text: str) -> None:
    path = project.root / "migrations" / f"{name}.sql"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def git(project: Project, *arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *arguments], cwd=project.root, check=True, capture_output=True)


def committed(project: Project) -> None:
    git(project, "init", "--quiet", "--initial-branch=main")
    (project.root / ".gitignore").write_text(".ecm/\n")
    git(project, "add", ".")
    git(project, "commit", "--quiet", "--message=one")


def test_breaking_without_a_plan_is_refused(folder: Project) -> None:
    """Where, what, to whom, and the command that does it safely; exit code 4, within 80 columns."""
    answer = folder.ecm("detect", "--all")

    assert answer.code == 4
    assert "migrations/0002_year.sql" in answer.out
    assert "line 3, breaking: books.published_year" in answer.out
    assert "safely  ecm plan rename-column books published_year publication_year" in answer.out
    assert answer.out.rstrip().endswith("next      ecm detect --all --write")
    assert max(map(len, answer.out.splitlines())) <= 80


def test_written_plans_cover_what_they_were_written_for(folder: Project) -> None:
    """A plan that validates is written, under the name that `ecm plan` gives; then nothing is left."""
    written = folder.ecm("detect", "--all", "--write")
    again = folder.ecm("detect", "--all")

    assert written.code == 0, written.out + written.err
    assert "wrote plans/rename-published-year.yaml" in written.out
    text = (folder.root / "plans" / "rename-published-year.yaml").read_text()
    assert "# From migrations/0002_year.sql, line 3" in text
    assert folder.ecm("plan", "validate").code == 0
    assert again.code == 0
    assert "rename-published-year does it safely" in again.out
    assert "next      ecm plan show rename-published-year" in again.out
    assert [path.name for path in (folder.root / "plans").iterdir()] == ["rename-published-year.yaml"]


def test_what_a_plan_only_puts_off_is_not_said_to_be_safe(folder: Project) -> None:
    """Whoever drops a table loses its rows, at whatever time."""
    migrate(folder, "0003_shelves", "DROP TABLE books")
    answer = folder.ecm("detect", "--all", "--write")

    assert "runs it at contract, once no version needs that" in said(answer.out)
    assert "drop-table-books does it safely" not in said(answer.out)


def test_one_of_several_tools_is_named(folder: Project) -> None:
    """With the files of two, neither is guessed; `init` says what reads them."""
    (folder.root / "prisma" / "migrations" / "1_a").mkdir(parents=True)
    (folder.root / "prisma" / "migrations" / "1_a" / "migration.sql").write_text("SELECT 1")
    (folder.root / "alembic.ini").write_text("[alembic]\nscript_location = alembic\n")
    (folder.root / "alembic" / "versions").mkdir(parents=True)
    refused = folder.ecm("detect", "--all", "--json")
    assert refused.json["error"]["hint"] == "name one: ecm detect --as alembic"

    named = folder.ecm("detect", "--all", "--as", "prisma", "--json")
    assert (named.json["toolchain"], len(named.json["migrations"])) == ("prisma", 1)
    assert folder.ecm("detect", "--all", "--as", "sql").code == 4
    assert "drizzle" in folder.ecm("detect", "--as", "drizle").err
    (folder.root / "ecm.yaml").unlink()
    assert "ecm detect --all" in folder.ecm("init").out


def test_a_plan_file_is_never_written_over(folder: Project) -> None:
    """A name that another plan has is left to it; what is left to say stands at the new one's head."""
    other = folder.root / "plans" / "require-title.yaml"
    other.write_text("plan: require-title\nchanges:\n  - {kind: drop_column, table: shelves, column: title}\n")
    before = other.read_text()
    migrate(folder, "0003_title", "ALTER TABLE books ALTER COLUMN title SET NOT NULL;")
    answer = folder.ecm("detect", "migrations/0003_title.sql", "--write")

    assert answer.code == 0
    assert other.read_text() == before
    made = (folder.root / "plans" / "require-title-in-books.yaml").read_text()
    assert "# Left to say: give `using`" in made


def test_a_drop_and_its_like_are_offered_never_assumed(folder: Project) -> None:
    """Nothing is written until somebody says which it is; --renames says so for all."""
    migrate(folder, "0003_pair", 'ALTER TABLE books ADD COLUMN "heading" text;\nALTER TABLE books DROP COLUMN "title";')
    one = ("detect", "migrations/0003_pair.sql")
    asked = folder.ecm(*one, "--write")

    assert asked.code == 4
    assert list((folder.root / "plans").iterdir()) == []
    assert "rename? ecm plan rename-column books title heading" in asked.out
    assert "or      ecm plan drop-column books title" in asked.out
    assert folder.ecm(*one, "--renames").code == 2
    said = folder.ecm(*one, "--write", "--renames")
    assert said.code == 0, said.out
    assert "wrote plans/rename-title.yaml" in said.out


def test_lock_hungry_alone_passes_unless_told_otherwise(folder: Project) -> None:
    """No file says how large the table is; --strict refuses it all the same."""
    migrate(folder, "0003_index", HUNGRY)
    one = ("detect", "migrations/0003_index.sql")
    loose = folder.ecm(*one)

    assert loose.code == 0
    assert "1 lock-hungry statement without a plan; on a small table that is a moment" in " ".join(loose.out.split())
    assert folder.ecm(*one, "--strict").code == 4
    assert folder.ecm(*one, "--write", "--strict").code == 0
    assert "CREATE INDEX CONCURRENTLY" in (folder.root / "plans" / "create-index-books-title.yaml").read_text()


def test_an_index_on_a_column_that_comes_with_it_waits_for_its_plan(folder: Project) -> None:
    """The plan of the index says which one has to expand first; without one for the column, that the migration has to.

    Names and order of the plans are as ever.
    """
    migrate(
        folder,
        "0003_pages",
        "ALTER TABLE books ADD COLUMN pages integer NOT NULL;\nALTER TABLE books ADD COLUMN note text;\n"
        "CREATE INDEX books_pages ON books (lower(title), pages);\nCREATE INDEX books_note ON books (note);\n",
    )
    one = ("detect", "migrations/0003_pages.sql")
    before = {each["subject"]: each["left"] for each in folder.ecm(*one, "--json").json["findings"]}
    assert before["books books_pages"] == ["the plan that makes books.pages has to expand first"]

    written = folder.ecm(*one, "--write", "--json").json["written"]
    assert written == [
        "plans/add-pages.yaml", "plans/create-index-books-pages.yaml", "plans/create-index-books-note.yaml",
    ]  # fmt: skip
    texts = [(folder.root / name).read_text() for name in written]
    assert "# Left to say: plan add-pages makes books.pages, and has to expand first." in texts[1]
    assert "# Left to say: books.note comes with the migrations, and has to be there first." in texts[2]
    assert "has to" not in texts[0].split("changes:")[0]


def test_only_what_changed_since_a_ref(folder: Project) -> None:
    """Committed or not; a table that the same changes make is nobody's yet; a ref that is none is an error."""
    committed(folder)
    none = folder.ecm("detect", "--base", "main")
    migrate(folder, "0003_shelves", "CREATE TABLE shelves (a int);")
    git(folder, "switch", "--quiet", "--create", "feature")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=two")
    migrate(folder, "0004_shelves", "ALTER TABLE shelves DROP COLUMN a;\nALTER TABLE books DROP COLUMN title;")
    some = folder.ecm("detect", "--base", "main", "--json")

    assert none.code == 0
    assert "there is none" in none.out
    assert some.code == 4
    assert [each["name"] for each in some.json["migrations"]] == ["0003_shelves", "0004_shelves"]
    assert [(each["rule"], each["line"]) for each in some.json["findings"]] == [("drop-column", 2)]
    assert some.json["next_command"] == "ecm detect --base main --write"
    unknown = folder.ecm("detect", "--base", "--output=x")
    assert unknown.code == 2
    assert not (folder.root / "x").exists()


def test_in_a_hook_of_a_working_tree(folder: Project) -> None:
    """With what a hook is told of the repository, git takes any folder that it is asked in for the top of the tree."""
    committed(folder)
    for path in ("ecm.yaml", "plans", "migrations"):
        (folder.root / "shop").mkdir(exist_ok=True)
        (folder.root / path).rename(folder.root / "shop" / path)
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=below")
    below = Project(root=folder.root / "shop", urls=folder.urls)

    told = {"GIT_DIR": f"{folder.root}/.git", "GIT_INDEX_FILE": f"{folder.root}/.git/index", "GIT_PREFIX": ""}
    answer = below.ecm("detect", "--base", "main", **told)

    assert answer.code == 0, "nothing has changed since"
    assert "there is none" in answer.out


def test_json_has_the_plan_with_its_fields(folder: Project) -> None:
    """What a script needs to write the plan itself."""
    (found,) = folder.ecm("detect", "--all", "--json").json["findings"]

    assert found["change"] == {
        "kind": "rename_column",
        "summary": "books.published_year becomes publication_year",
        "fields": {"table": "books", "column": "published_year", "to": "publication_year"},
        "command": "ecm plan rename-column books published_year publication_year",
    }
    assert (found["level"], found["lock_hungry"], found["covered_by"]) == ("breaking", False, None)


def test_sarif_for_code_review(folder: Project) -> None:
    """The structure that SARIF 2.1.0 requires: rules that results refer to, places, levels; covered is suppressed."""
    migrate(folder, "0003_index", HUNGRY)
    migrate(folder, "0004 spaced", "ALTER TABLE books ALTER title DROP NOT NULL;")
    assert folder.ecm("detect", "--all", "--sarif", "ecm.sarif").code == 4
    log = json.loads((folder.root / "ecm.sarif").read_text())

    _is_sarif(log)
    results = log["runs"][0]["results"]
    assert [result["level"] for result in results] == ["error", "warning", "note"]
    assert [_place(result) for result in results] == [
        ("migrations/0002_year.sql", 3), ("migrations/0003_index.sql", 1), ("migrations/0004%20spaced.sql", 1),
    ]  # fmt: skip
    assert "ecm plan rename-column books published_year publication_year" in results[0]["message"]["text"]
    assert folder.ecm("detect", "--all", "--write", "--sarif", "ecm.sarif").code == 0
    again = json.loads((folder.root / "ecm.sarif").read_text())
    _is_sarif(again)
    covered = again["runs"][0]["results"][0]
    assert covered["suppressions"][0]["justification"] == "covered by plan rename-published-year"
    assert covered["partialFingerprints"] == results[0]["partialFingerprints"]


def test_sarif_names_files_from_the_top_of_the_repository(folder: Project) -> None:
    """A project in a folder of a repository: a code host knows its files by their whole path."""
    top = folder.root.parent
    subprocess.run(["git", "init", "--quiet"], cwd=top, check=True, capture_output=True)
    assert folder.ecm("detect", "--all", "--sarif", "ecm.sarif").code == 4
    results = json.loads((folder.root / "ecm.sarif").read_text())["runs"][0]["results"]

    assert _place(results[0]) == (f"{folder.root.name}/migrations/0002_year.sql", 3)


def test_plans_are_read_once_however_many_are_written(folder: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each written plan is taken in as it is; to read all of them again for each took minutes for hundreds."""
    read: list[Workspace] = []
    plans = Workspace.plans
    monkeypatch.setattr(Workspace, "plans", lambda workspace: read.append(workspace) or plans(workspace))
    for number in range(3, 9):
        migrate(folder, f"000{number}_drop", f"ALTER TABLE books DROP COLUMN a{number};")
    conductor = Conductor(Workspace.find(folder.root, None, {}))
    report = conductor.detect((), base=None, everything=True, write=True, renames=False)

    assert len(report.written) == 7
    assert len(read) <= 2


def _place(result: Any) -> tuple[str, int]:
    physical = result["locations"][0]["physicalLocation"]
    return physical["artifactLocation"]["uri"], physical["region"]["startLine"]


def _is_sarif(log: Any) -> None:
    """Hold a log to what the standard requires (3.13, 3.14, 3.18, 3.19, 3.27, 3.29, 3.30, 3.35, 3.49)."""
    assert log["version"] == "2.1.0"
    assert log["$schema"].startswith("https://")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert isinstance(driver["name"], str)
    identifiers = [rule["id"] for rule in driver["rules"]]
    assert len(identifiers) == len(set(identifiers))
    for rule in driver["rules"]:
        assert rule["shortDescription"]["text"]
        assert rule["defaultConfiguration"]["level"] in ("none", "note", "warning", "error")
    for result in run["results"]:
        assert identifiers[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in ("none", "note", "warning", "error")
        assert isinstance(result["message"]["text"], str)
        assert result["message"]["text"]
        uri, line = _place(result)
        assert not uri.startswith("/")
        assert " " not in uri
        assert line >= 1
        assert all(isinstance(value, str) for value in result["partialFingerprints"].values())
        for suppression in result.get("suppressions", []):
            assert suppression["kind"] in ("inSource", "external")
            assert suppression["status"] in ("accepted", "underReview", "rejected")


def test_squawk_is_heard_where_ecm_says_nothing(folder: Project) -> None:
    """What it knows beyond is told once, and what is a matter of taste is not told."""
    text = (
        "DROP INDEX books_title;\nCREATE TABLE t (a char(3), b timestamp, c int);\nALTER TABLE books DROP COLUMN title;"
    )
    migrate(folder, "0003_more", text)
    found = folder.ecm("detect", "migrations/0003_more.sql", "--json").json["findings"]

    assert [(each["rule"], each["level"]) for each in found] == [
        ("require-concurrent-index-deletion", "note"), ("drop-column", "breaking"),
    ]  # fmt: skip


def test_a_migration_that_ecm_wrote_is_no_finding(folder: Project) -> None:
    """Its header says for which plan."""
    migrate(folder, "0003_emitted", f"-- ecm: rename-published-year contract sha256:0\n{RENAME}")
    answer = folder.ecm("detect", "migrations/0003_emitted.sql")

    assert answer.code == 0
    assert "migrations/0003_emitted.sql was written by ecm for rename-published-year" in " ".join(answer.out.split())


def test_what_cannot_be_read_says_where(folder: Project) -> None:
    """A quote that is not closed, a file that is not there, a folder without a tool, a wrong kind in ecm.yaml."""
    migrate(folder, "0003_open", "SELECT 1;\nSELECT 'open")
    unclosed = folder.ecm("detect", "migrations/0003_open.sql")
    assert unclosed.code == 1
    assert "migrations/0003_open.sql, line 2: a quote is not closed" in unclosed.err
    assert folder.ecm("detect", "migrations/0009.sql").code == 2
    pending = folder.ecm("detect")
    assert pending.code == 1
    assert "ecm detect --base main" in pending.err
    both = folder.ecm("detect", "--all", "--base", "main")
    assert both.code == 2
    (folder.root / "migrations").rename(folder.root / "changes")
    none = folder.ecm("detect", "--all")
    assert none.code == 1
    assert "toolchain: {kind: sql, folder: db/migrations}" in " ".join(none.err.split())
    config = folder.root / "ecm.yaml"
    config.write_text(config.read_text() + "toolchain: {kind: sql, folder: changes}\n")
    (folder.root / "changes" / "0003_open.sql").unlink()
    assert folder.ecm("detect", "--all").code == 4
    config.write_text(config.read_text().replace("kind: sql", "kind: flyway"))
    assert "ecm.yaml" in folder.ecm("detect", "--all").err


def test_what_the_first_branch_does_not_have(make_project: MakeProject, databases: Any) -> None:
    """By the table that ecm.yaml names, through the branch; with a database that is away it says what to do instead."""
    project = make_project(databases("development", "production"), plan=False)
    config = project.root / "ecm.yaml"
    config.write_text(config.read_text() + "toolchain: {kind: sql, table: schema_migrations}\n")
    migrate(project, "0001_books", CREATE)
    migrate(project, "0002_year", RENAME)
    project.sql(
        "development", "CREATE TABLE schema_migrations (version text); INSERT INTO schema_migrations VALUES ('0001')"
    )
    answer = project.ecm("detect", "--json")

    assert answer.code == 4
    assert answer.json["selection"] == "migrations that development does not have"
    assert [each["name"] for each in answer.json["migrations"]] == ["0002_year"]
    project.sql("development", "INSERT INTO schema_migrations VALUES ('0002_year.sql')")
    assert project.ecm("detect").code == 0
    away = project.ecm(
        "detect", DATABASE_URL_DEVELOPMENT="postgresql://app:correct-horse-battery@127.0.0.1:1/development"
    )
    assert away.code == 1
    assert "ecm detect --base main" in away.err
    assert "battery" not in away.err
