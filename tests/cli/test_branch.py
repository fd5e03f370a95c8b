"""`ecm branch`: the list, what is lost and asked for, what is recorded of it, how two schemas differ."""

import re
from collections.abc import Generator
from datetime import UTC, datetime
from io import StringIO
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from cli.conftest import MakeProject
from cli.runs import PLAN, Project, said
from psycopg import sql
from servers import FAST

from orchestrator.branch_reports import BranchChangeReport, BranchEntry, BranchListReport
from orchestrator.branches import EMBEDDED_FOLDER
from orchestrator.branches.server import EmbeddedServer
from orchestrator.branches.urls import UrlProvider
from orchestrator.cli.render.branches import branch_list, change
from orchestrator.cli.render.look import console, rendered
from orchestrator.conductor import Conductor
from orchestrator.errors import PreconditionError
from orchestrator.ledger import Event, Ledger

_YAML = """
project: bookstore
branches:
  development: {parent: production}
  production: {protected: true}
"""


@pytest.fixture
def family(project: Project) -> Project:
    """The project of two branches on one server, of which development has production for its parent."""
    (project.root / "ecm.yaml").write_text(_YAML)
    return project


def reset(project: Project, *more: str) -> Any:
    return project.ecm("branch", "reset", "development", "--yes", *more)


def test_a_reset_loses_what_is_told_and_nothing_that_was_proven(family: Project) -> None:
    """The plan falls back, the evidence stays, production goes through on it; status and history say who reset it."""
    for branch in family.urls:
        assert family.ecm("advance", PLAN, "--branch", branch, "--to", "backfilled", "--yes").code == 0
        if branch == "development":
            assert family.ecm("advance", PLAN, "--branch", branch, "--to", "contracted").code == 0
    family.sql("development", "CREATE TABLE only_here AS SELECT 1 AS id; DELETE FROM books WHERE id > 90")

    answer = reset(family, "--json")
    assert (answer.code, answer.json["done"], answer.json["parent"]) == (0, True, "production")
    assert answer.json["plans"] == [{"plan": PLAN, "before": "contracted", "after": "backfilled"}]
    assert [(loss["table"], loss["here"], loss["there"], loss["only_here"]) for loss in answer.json["tables"]] == [
        ("books", 90, 100, False),
        ("only_here", 1, None, True),
    ]
    assert family.sql("development", "SELECT to_regclass('only_here'), count(*) FROM books") == [(None, 100)]

    assert family.ecm("advance", PLAN, "--branch", "production", "--to", "reads_migrated", "--yes").code == 0
    (plan,) = family.ecm("status", "--json").json["plans"]
    assert [branch["state"] for branch in plan["branches"]] == ["backfilled", "reads_migrated"]
    assert "contract" in plan["branches"][0]["evidence"]
    assert "development was reset by tester on" in said(family.ecm("status").out)
    for arguments in ((), (PLAN,)):
        assert "branch development reset from production" in said(family.ecm("history", *arguments).out)
    assert family.ecm("audit", "verify").code == 0


def test_a_reset_asks_and_says_what_is_lost(family: Project) -> None:
    """On a terminal it asks, also on a branch that is not protected; without one it wants --yes, and says no less."""
    family.sql("development", "CREATE TABLE only_here ()")
    for action, lost in (("reset", "only_here is only on development: 0 rows"), ("delete", "only_here: 0 rows")):
        refused = family.ecm("branch", action, "development")
        assert (refused.code, f"ecm branch {action} development --yes" in refused.err) == (2, True)
        assert lost in said(refused.err)

    with psycopg.connect(family.urls["development"], application_name="shop"):
        terminal = family.terminal("branch", "reset", "development", COLUMNS="80")
        terminal.wait_for("Reset development? [y/N]")
        told = said(terminal.shown)
        assert "only_here is only on development: 0 rows" in told
        assert 'ended: postgres, application "shop"' in told
        terminal.type("n\n")
        assert terminal.end() == 4
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in terminal.shown.splitlines()) <= 80
    assert family.sql("development", "SELECT to_regclass('only_here') IS NOT NULL") == [(True,)]


def test_a_protected_branch_wants_its_name(family: Project) -> None:
    """--yes is not enough to delete production; another name is none."""
    for arguments in (("--yes",), ("--confirm", "development")):
        refused = family.ecm("branch", "delete", "production", *arguments)
        assert (refused.code, "--confirm production" in refused.err) == (2, True)
    terminal = family.terminal("branch", "delete", "production")
    terminal.wait_for("Type its name to delete it:")
    terminal.type("y\n")
    assert terminal.end() == 4
    assert family.sql("production", "SELECT count(*) FROM books") == [(100,)]


def test_a_branch_beside_those_of_the_project_is_made_listed_compared_and_deleted(family: Project) -> None:
    """It is in the list with its parent, plans and size; after it is deleted it is gone, and deleting again may be well."""
    assert family.ecm("advance", PLAN, "--branch", "development").code == 0
    made = family.ecm("branch", "create", "pr-7", "--parent", "development", "--json")
    try:
        assert (made.code, made.json["parent"]) == (0, "development")
        listed = {each["branch"]: each for each in family.ecm("branch", "list", "--json").json["branches"]}
        assert list(listed) == ["development", "production", "pr-7"]
        assert listed["pr-7"]["plans"] == [{"plan": PLAN, "state": "expanded", "in_progress": False}]
        assert (listed["pr-7"]["of_project"], listed["pr-7"]["size"] > 0) == (False, True)
        assert "pr-7 development" in said(family.ecm("branch", "list").out)
        assert family.ecm("branch", "diff", "pr-7", "development", "--exit-code").code == 0
        assert family.ecm("branch", "diff", "pr-7", "production", "--exit-code").code == 3
    finally:
        gone = family.ecm("branch", "delete", "pr-7", "--yes")
    assert gone.code == 0
    missing = family.ecm("branch", "delete", "pr-7", "--yes")
    assert (missing.code, "there is no branch pr-7" in missing.err) == (2, True)
    assert family.ecm("branch", "delete", "pr-7", "--yes", "--if-exists").code == 0


@pytest.mark.parametrize("columns", [60, 80])
def test_no_name_is_broken_in_the_list(columns: int) -> None:
    """One that is long has a line of its own; all else stays in its columns."""
    long = "pr-7-bookstore-rename-published-year"
    shown = _list(_entry("production"), _entry(long, parent="production", size=7_000_000), columns=columns)

    assert f"  {long}" in [line.rstrip() for line in shown]
    assert all(len(line) <= columns for line in shown)
    (titles,) = (line for line in shown if "parent" in line)
    (details,) = (line for line in shown if " MB" in line)
    assert details.index("production") == titles.index("parent")


def test_a_branch_without_a_url_may_be_there(family: Project) -> None:
    """Nobody can tell whether it is made, and none is made in its place: the doctor names the variable."""
    del family.urls["development"]
    listed = family.ecm("branch", "list")
    assert "no URL set" in said(listed.out)
    assert "not made yet" not in said(listed.out)
    assert said(listed.out).endswith("next ecm doctor")
    assert "DATABASE_URL_DEVELOPMENT is not set" in said(family.ecm("doctor").out)


def _entry(name: str, **known: Any) -> BranchEntry:
    nothing = dict.fromkeys(("parent", "created_at", "expires_at", "size", "note", "error"))
    rest = {"of_project": True, "exists": True, "requires": (), "protected": False, "plans": ()}
    return BranchEntry.model_validate({"branch": name, **nothing, **rest, **known})


def _list(*entries: BranchEntry, columns: int) -> list[str]:
    report = BranchListReport(
        project="bookstore", provider="url", branches=entries, now=datetime.now(UTC), next_command=None
    )
    return rendered(console(StringIO(), {"COLUMNS": str(columns)}), branch_list(report)).splitlines()


def test_two_schemas_are_compared_as_postgresql_sees_them(family: Project) -> None:
    """Whatever the application has is compared, by what it is; what ecm keeps is left out."""
    assert family.ecm("branch", "diff", "development", "production").out.startswith("✓ development and production have")
    family.sql("development", "CREATE SCHEMA ecm; CREATE TABLE ecm.kept ()")
    same = family.ecm("branch", "diff", "development", "production", "--exit-code", "--json")
    assert (same.code, same.json["differences"]) == (0, [])

    both = (
        "CREATE VIEW v AS SELECT {} AS one; CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'begin return {}; end'"
    )
    family.sql(
        "development",
        both.format(1, 1) + ";ALTER TABLE books ALTER title SET NOT NULL; CREATE INDEX ON books (title);"
        "CREATE TYPE mood AS ENUM ('a'); CREATE SEQUENCE numbers; CREATE SCHEMA shop; CREATE DOMAIN d AS int",
    )
    family.sql("production", both.format(2, 2) + ";CREATE TYPE mood AS ENUM ('a', 'b'); CREATE TABLE more ()")
    found = family.ecm("branch", "diff", "development", "production", "--exit-code", "--json")
    assert found.code == 3
    assert [each["message"] for each in found.json["differences"]] == [
        "column books.title: NOT NULL on development, may be NULL on production",
        "domain d is only on development",
        "function public.f(): its text is another on development than on production",
        "index books_title_idx is only on development",
        "schema shop is only on development",
        "sequence numbers is only on development",
        "table more is only on production",
        "type mood: labels 'a' on development, labels 'a', 'b' on production",
        "view v: its query is another on development than on production",
    ]
    assert (found.json["differences"][1]["only_on"], found.json["differences"][0]["values"]) == (
        "development",
        {"development": "yes", "production": None},
    )


@pytest.mark.parametrize("moment", ["before-contract", "2026-03-01T12:00:00Z"])
def test_who_cannot_restore_says_so_before_anybody_is_asked(family: Project, moment: str) -> None:
    """Nothing is proposed, and no moment is asked for that would not help."""
    terminal = family.terminal("branch", "restore", "development", "--to", moment)

    assert terminal.end() == 1
    told = said(terminal.shown)
    assert "cannot be restored to a moment by ecm" in told
    assert "restore a backup with the means of whoever runs the server" in told
    assert "Restore development?" not in told
    assert "--to" not in told


def test_a_restore_goes_back_to_the_moment_before_contract_where_one_was_recorded(
    family: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one it says so; with one it asks for that moment, of a provider that keeps a history."""
    monkeypatch.setattr(UrlProvider, "check_restorable", lambda *_: None)
    monkeypatch.setattr(UrlProvider, "restore", lambda *_, **__: None)
    with pytest.raises(PreconditionError, match="nothing was contracted on development"):
        _restore(family)
    _contracted(family)
    with pytest.raises(PreconditionError, match="no moment was recorded before"):
        _restore(family)

    _contracted(family, noted={"time": "2026-03-01T12:00:00+00:00", "lsn": "0/16B3740"})
    proposed, done = _restore(family)
    assert done.done
    screen = StringIO()
    told = said(rendered(console(screen, {}), change(proposed)))
    assert "restore development to 2026-03-01 12:00:00+00:00, LSN 0/16B3740" in told
    assert "it is kept as broken" in told


def test_no_restore_goes_back_to_a_moment_before_the_branch_was_reset(
    family: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was noted then was of another history: on this one, the same place in the WAL is another moment."""
    monkeypatch.setattr(UrlProvider, "check_restorable", lambda *_: None)
    _contracted(family, noted={"time": "2026-03-01T12:00:00+00:00", "lsn": "0/16B3740"})
    assert family.ecm("branch", "reset", "development", "--yes").code == 0

    with pytest.raises(PreconditionError, match="nothing was contracted on development"):
        _restore(family)


def _restore(project: Project) -> tuple[BranchChangeReport, BranchChangeReport]:
    """Restore development to before its contract; return what was proposed, and what was done."""
    proposals = list[BranchChangeReport]()
    conductor = Conductor.open(project.root, environment=project.environment())
    done = conductor.branch_restore("development", "before-contract", keep_as="broken", consent=proposals.append)
    return proposals[0], done


@pytest.mark.parametrize("action", ["reset", "delete"])
def test_a_branch_that_the_ledger_is_in_is_kept(family: Project, action: str) -> None:
    """What was proven would be lost with it; a ledger beside it, on the same server, is in nobody's way."""
    (family.root / "ecm.yaml").write_text(f"ledger_env: LEDGER{_YAML}")
    url = family.urls["development"]
    assert family.ecm("advance", PLAN, "--branch", "development", "--yes", LEDGER=url).code == 0

    refused = family.ecm("branch", action, "development", "--yes", LEDGER=url)
    apart = family.ecm("branch", action, "development", "--yes", LEDGER=family.urls["production"])

    assert refused.code == 1, refused
    assert "the ledger is in the database of development" in said(refused.err)
    assert apart.code == 0, apart


@pytest.mark.parametrize("moment", ["yesterday", "0/", "12"])
def test_what_is_no_moment_is_a_wrong_argument(family: Project, moment: str) -> None:
    """The three forms are named."""
    refused = family.ecm("branch", "restore", "development", "--to", moment, "--yes", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (2, "usage")


def _contracted(project: Project, noted: dict[str, Any] | None = None) -> None:
    """Have the ledger hold a contract on development, and the moment before it."""
    move = {"direction": "forward", "phases": ["contract"], "origin": "reads_migrated", "target": "contracted"}
    events: dict[str, dict[str, Any]] = {"moment": noted} if noted else {}
    Ledger(f"sqlite:///{project.root / '.ecm' / 'ledger.db'}").append(
        Event(
            id=uuid4(),
            kind=kind,
            plan=PLAN,
            branch="development",
            checksum="sha256:0",
            actor="tester",
            happened_at=datetime.now(UTC),
            data=data,
            ecm_version="1",
        )
        for kind, data in {**events, "move": {**move, "measured": {}}}.items()
    )


def test_a_reset_while_an_ecm_is_at_work_there_is_refused(family: Project) -> None:
    """Somebody holds the lease: what is done there must not be taken away beneath it."""
    assert family.ecm("advance", PLAN, "--branch", "development").code == 0
    number = "pg_catalog.hashtextextended('ecm.lease ' || {}, 0)"
    with psycopg.connect(family.urls["development"], autocommit=True) as connection:
        connection.execute(sql.SQL("SELECT pg_advisory_lock(" + number + ")").format(sql.Literal(PLAN)))
        refused = reset(family)
    assert (refused.code, "an ecm is at work on" in refused.err) == (5, True)


def test_nothing_is_reset_while_the_ledger_cannot_be_told(family: Project) -> None:
    """What was proven there would be lost with it."""
    assert family.ecm("advance", PLAN, "--branch", "development").code == 0
    (family.root / "ecm.yaml").write_text(_YAML + "ledger_env: LEDGER\n")
    refused = family.ecm("branch", "reset", "development", "--yes", LEDGER="postgresql://app@127.0.0.1:1/ledger")
    assert refused.code == 1
    assert family.sql("development", "SELECT count(*) FROM ecm.moves") == [(1,)]


@pytest.fixture
def embedded(make_project: MakeProject) -> Generator[Project]:
    """A project on an embedded server of its own, which runs without waiting for the disk; no branch is made yet."""
    project = make_project({})
    (project.root / "ecm.yaml").write_text(_YAML + "provider: {kind: embedded}\n")
    server = EmbeddedServer(project.root / EMBEDDED_FOLDER, 16)
    server.start(FAST)
    yield project
    server.destroy()


def test_the_embedded_server_makes_what_is_asked_for_and_is_stopped_by_hand(embedded: Project) -> None:
    """A look makes nothing; the doctor opens all branches at the same time, copies included; stop stops, and starts."""
    listed = embedded.ecm("branch", "list", "--json").json
    assert [each["exists"] for each in listed["branches"]] == [False, False]
    assert listed["next_command"] == "ecm doctor", "without a parent that is there none can be made"
    assert embedded.ecm("status").code == 0
    assert all(each["exists"] for each in embedded.ecm("branch", "list", "--json").json["branches"])
    again = embedded.ecm("branch", "create", "production", "--parent", "development")
    assert (again.code, "next ecm branch list" in said(again.err)) == (1, True), "nothing that loses data is proposed"

    server = EmbeddedServer(embedded.root / EMBEDDED_FOLDER)
    stopped = embedded.ecm("branch", "stop", "--json")
    assert (stopped.code, stopped.json["done"], server.running) == (0, True, False)
    assert embedded.ecm("branch", "stop").out.startswith("✓ the embedded server is stopped already")
    assert embedded.ecm("status").code == 0
    assert server.running


def test_what_comes_in_the_place_of_a_deleted_branch(embedded: Project) -> None:
    """One of ecm.yaml comes again: as a copy of its parent, or, where that is not there, empty."""
    assert embedded.ecm("status").code == 0
    copied = embedded.ecm("branch", "delete", "development", "--yes", "--json").json["warnings"]
    emptied = embedded.ecm("branch", "delete", "production", "--confirm", "production", "--json").json["warnings"]

    again = "ecm.yaml names it: it is made again when it is next used, as"
    assert (copied, emptied) == ([f"{again} a copy of production"], [f"{again} an empty database"])


def test_where_ecm_runs_no_server_there_is_none_to_stop(family: Project) -> None:
    """The refusal names the provider."""
    refused = family.ecm("branch", "stop")
    assert (refused.code, "provider url" in refused.err) == (1, True)
