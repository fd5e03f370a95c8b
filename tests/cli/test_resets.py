"""What a branch looked like is kept; a database that is not the one the ledger knows is recognised, and proves nothing."""

from collections.abc import Iterable
from typing import Any

import psycopg
import pytest
from cli.conftest import MakeProject
from cli.runs import PLAN, Project, said
from pydantic import SecretStr
from servers import Server

from orchestrator import likeness
from orchestrator.engine.connection import connect
from orchestrator.ledger import Entry, Ledger
from orchestrator.plan.drift import Drift
from orchestrator.plan.lifecycle import PHASES, Direction, Phase, Position, State
from orchestrator.workspace import Workspace

DEVELOPMENT, PRODUCTION = ("--branch", "development"), ("--branch", "production")
PROVEN = "what they proved stays proven"


def name_of(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


def copy(server: Server, project: Project, branch: str, source: str) -> None:
    """Replace the database of a branch by a copy of another one."""
    server.drop_database(name_of(project.urls[branch]))
    server.create_database(name_of(project.urls[branch]), template=name_of(source))


def advance(project: Project, branch: str, to: str) -> Any:
    done = project.ecm("advance", PLAN, "--branch", branch, "--to", to, "--confirm", PLAN, "--json")
    assert done.code == 0, done.out + done.err
    return done.json


def notes(project: Project, branch: str) -> dict[str, int]:
    """Return what is noted of the plan on a branch: codes, and how many moves are not known."""
    (plan,) = project.ecm("status", PLAN, "--branch", branch, "--json").json["plans"]
    return {note["code"]: note["moves"] for note in plan["branches"][0]["notes"]}


def entries(project: Project) -> list[dict[str, Any]]:
    return project.ecm("history", "--json").json["entries"]


def drifts(project: Project, kept: Iterable[Entry], phase: Phase) -> tuple[Drift, ...]:
    plan = Workspace.find(project.root, None, {}).plan(PLAN)
    with connect(SecretStr(project.urls["production"]), branch="production") as session:
        return likeness.drifts(
            kept,
            likeness.look(session, plan),
            plan=plan,
            branch="production",
            required=("development", "staging"),
            phase=phase,
        )


def test_what_a_branch_looked_like_outlives_it(server: Server, project: Project) -> None:
    """Before each phase it is recorded; another branch is held against it after that one was reset."""
    assert not project.ecm("advance", PLAN, *DEVELOPMENT, "--to", "contracted").code
    found = entries(project)
    names = [{thing["name"] for thing in entry["data"]["looked_like"]["things"]} for entry in found]
    assert ["books.publication_year" in each for each in names] == [False, True, True, True]
    assert all("books.published_year" in each for each in names)
    assert not any("looked_like" in entry["data"]["measured"] for entry in found)
    assert "sweep books" in found[1]["data"]["measured"], "forecasts read it"
    assert "looked" not in project.ecm("history").out

    copy(server, project, "development", project.urls["production"])
    project.sql("production", "CREATE INDEX ON books (title)")
    project.sql("production", "ALTER TABLE books ALTER published_year SET DEFAULT 1999")
    with Ledger(Workspace.find(project.root, None, {}).ledger_url) as ledger:
        kept = ledger.entries()
    lines = (
        "column books.published_year: default 2000 on development, default 1999 on production",
        "index books_title_idx is only on production",
    )
    unmarked = Drift(branch="development", known=True, lines=lines, marks=("", ""))
    assert drifts(project, kept, Phase.EXPAND) == (unmarked,)
    older = [each.model_copy(update={"data": {**each.data, "looked_like": None}}) for each in kept]
    assert drifts(project, older, Phase.EXPAND) == (Drift(branch="development", known=False),)
    assert drifts(project, kept[:3], Phase.CONTRACT) == (), "what was not completed is another reason"
    back = {**found[3]["data"], "direction": "back"}
    undone = (*kept, kept[3].model_copy(update={"data": back}))
    assert drifts(project, kept, Phase.CONTRACT) != drifts(project, undone, Phase.CONTRACT) == ()
    override = ("--override", "drift", "--reason", "the year is to be 1999", "--yes")
    assert not project.ecm("advance", PLAN, "--branch", "production", "--to", "expanded", *override).code
    made = "column books.publication_year: default 2000 on development, default 1999 on production"
    expected = (Drift(branch="development", known=True, lines=(made, *lines), marks=("", "", "")),)
    assert drifts(project, kept, Phase.BACKFILL) == expected, (
        "what ecm made is on both, and follows from what was there"
    )


def test_a_phase_is_compared_before_it_begins() -> None:
    """Later ones are still to come, and what is under way is judged by what it began with; a way back is not."""
    expanded = Position(state=State.EXPANDED)
    assert [likeness.is_to_be_compared(expanded, phase) for phase in PHASES] == [False, True, False, False]
    under_way = Position(state=State.EXPANDED, phase=Phase.BACKFILL, direction=Direction.FORWARD)
    going_back = Position(state=State.EXPANDED, phase=Phase.EXPAND, direction=Direction.BACK)
    assert likeness.is_to_be_compared(under_way, Phase.BACKFILL)
    assert not likeness.is_to_be_compared(going_back, Phase.BACKFILL)


def test_a_reset_is_said_and_is_no_tampering(server: Server, project: Project) -> None:
    """In status, at the gate and as a warning, until the branch has moved on; the evidence stays."""
    advance(project, "development", "reads_migrated")
    assert notes(project, "development") == {}
    copy(server, project, "development", project.urls["production"])
    assert notes(project, "development") == {"reset": 3}
    assert notes(project, "production") == {}
    assert "what it proved before stays proven" in said(project.ecm("status").out)
    words = f"its database does not know 3 of its moves; {PROVEN}"
    assert words in said(project.ecm("status", PLAN, *DEVELOPMENT).out)
    assert words in project.ecm("gate", PLAN, *DEVELOPMENT, "--json").json["warnings"][0]
    assert project.ecm("gate", PLAN, *PRODUCTION, "--to", "reads_migrated", "--json").json["allowed"]
    audit = project.ecm("audit", "verify")
    assert audit.code == 0
    assert words in said(audit.out)
    assert words in advance(project, "development", "expanded")["warnings"][0]
    assert notes(project, "development") == {}
    assert words not in said(project.ecm("audit", "verify").out)


def test_a_database_restored_to_an_earlier_time_is_recognised(server: Server, project: Project) -> None:
    """It knows the moves up to then; those after are only in the ledger."""
    advance(project, "development", "expanded")
    kept = name_of(project.urls["production"]) + "_backup"
    server.create_database(kept, template=name_of(project.urls["development"]))
    try:
        advance(project, "development", "reads_migrated")
        copy(server, project, "development", server.url(kept))
    finally:
        server.drop_database(kept)
    assert notes(project, "development") == {"reset": 2}
    assert not project.ecm("audit", "verify").code


@pytest.fixture
def three(make_project: MakeProject, databases: Any) -> Project:
    """A project where nothing is required yet."""
    made = make_project(databases("development", "production", "europe"))
    (made.root / "ecm.yaml").write_text(
        "project: bookstore\nbranches: {development: {}, production: {requires: []}, europe: {requires: [production]}}\n"
    )
    for branch in made.urls:
        made.sql(branch, "CREATE TABLE books (id int PRIMARY KEY, title text, published_year int)")
    return made


@pytest.mark.parametrize("forgotten", [False, True])
def test_what_another_branch_did_is_no_proof(server: Server, three: Project, forgotten: bool) -> None:
    """A copy of production has proven nothing by production's journal, nor where the ledger is made anew from that.

    What it then finishes for itself is its own proof, and that alone.
    """
    advance(three, "production", "reads_migrated")
    copy(server, three, "development", three.urls["production"])
    if forgotten:
        (three.root / ".ecm" / "ledger.db").unlink()
    (three.root / "ecm.yaml").write_text(
        "project: bookstore\nbranches: {development: {}, production: {}, europe: {requires: [development]}}\n"
    )
    assert notes(three, "development") == {"copy": 0}
    assert "development is a copy of production" in three.ecm("status").out

    def missing() -> str:
        report = three.ecm("gate", PLAN, "--branch", "europe", "--to", "contracted", "--json").json
        return "; ".join(reason["message"] for reason in report["reasons"] if reason["code"] == "requires")

    assert "has completed 0 of 4" in missing()
    done = advance(three, "development", "contracted")
    assert "its journal was written by production" in done["warnings"][0]
    assert notes(three, "development") == {}
    assert "has completed 1 of 4" in missing()
    assert {each["branch"] for each in entries(three) if each["data"]["target"] != "contracted"} == {"production"}


def test_a_database_of_another_project_is_no_fault_of_the_ledgers(
    server: Server, project: Project, make_project: MakeProject, databases: Any
) -> None:
    """Its moves are strange to the ledger, which production vouches for; an emptied ledger has nobody to do so."""
    advance(project, "development", "backfilled")
    advance(project, "production", "expanded")
    other = make_project(databases("development"))
    other.sql("development", "CREATE TABLE books (id int PRIMARY KEY, title text, published_year int)")
    advance(other, "development", "reads_migrated")
    copy(server, project, "development", other.urls["development"])
    audit = project.ecm("audit", "verify")
    assert audit.code == 0, audit.out
    assert "the database of development is another project's" in said(audit.out)
    assert notes(project, "development") == {"reset": 2}
    with psycopg.connect(project.urls["production"]) as production:
        production.execute("UPDATE ecm.moves SET id = gen_random_uuid()")
    assert project.ecm("audit", "verify").code == 6, "it may as well be the ledger that is another project's"
