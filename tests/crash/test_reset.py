"""Development is made anew from production: what it is follows its database, what it proved stays proven."""

from collections.abc import Callable
from typing import Any

import psycopg
from servers import Server

from crash.harness import PLAN, STATES, Project, fill, moves, position, rename_directly, schema

Databases = Callable[..., dict[str, str]]


def name_of(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


def reset(server: Server, urls: dict[str, str]) -> None:
    """What `ecm branch reset` and every provider do: drop development, copy production."""
    server.drop_database(name_of(urls["development"]))
    server.create_database(name_of(urls["development"]), template=name_of(urls["production"]))


def status(ecm: Project, branch: str) -> dict[str, Any]:
    report = ecm.done("status", branch=None).told["report"]
    (plan,) = report["plans"]
    return next(each for each in plan["branches"] if each["branch"] == branch)


def gate(ecm: Project, to: str) -> dict[str, Any]:
    return ecm.done("gate", branch="production", to=to).told["report"]


def test_evidence_outlives_a_reset(server: Server, databases: Databases, project: Callable[..., Project]) -> None:
    """Reset after its cycle, development is planned again, and production may still go all the way."""
    urls = databases("development", "production", "direct")
    direct = urls.pop("direct")
    for url in urls.values():
        fill(url, 30)
    rename_directly(direct)
    ecm = project(**urls)
    assert not gate(ecm, "contracted")["allowed"]
    ecm.done("advance", to="contracted")
    reset(server, urls)
    assert status(ecm, "development")["state"] == "planned"
    assert gate(ecm, "contracted")["allowed"]
    ecm.done("advance", branch="production", to="contracted")
    assert schema(urls["production"]) == schema(direct)
    reset(server, urls)
    assert status(ecm, "development")["state"] == "contracted"
    assert ecm.run("advance").code == 4
    assert {"branch": "development", "state": "contracted"}.items() <= status(ecm, "development").items()


def test_evidence_that_the_ledger_was_not_told_of_is_fetched(
    databases: Databases, project: Callable[..., Project]
) -> None:
    """Killed before the ledger was told, development's moves are found in its journal when production is judged."""
    urls = databases("development", "production")
    for url in urls.values():
        fill(url, 30)
    ecm = project(**urls)
    ecm.done("advance", to="reads_migrated")
    last = ecm.start("advance", to="contracted", at="every", signal="SIGSTOP")
    while (event := last.stopped()) is not None and event["event"] != "StateReached":
        last.go_on()
    last.kill()
    assert gate(ecm, "contracted")["allowed"]


def test_a_copy_made_in_the_middle_is_adopted_and_goes_on(
    server: Server, databases: Databases, project: Callable[..., Project]
) -> None:
    """Copied from production in each state, development goes on from there under its own name, production untouched."""
    for state in STATES[1:4]:
        urls = databases("development", "production")
        for url in urls.values():
            fill(url, 30)
        ecm = project(**urls)
        ecm.done("advance", to="contracted")
        ecm.done("advance", branch="production", to=state)
        reset(server, urls)
        found = status(ecm, "development")
        assert (found["state"], found["in_progress"]) == (state, None)
        before = ecm.ledger_moves()
        ecm.done("advance", to="contracted")
        new = ecm.ledger_moves()[len(before) :]
        assert new == [("development", "forward", later) for later in STATES[STATES.index(state) + 1 :]]
        with psycopg.connect(urls["development"]) as connection:
            assert connection.execute("SELECT branch FROM ecm.plans").fetchall() == [("development",)]
        assert position(urls["production"]) == (state, None, None)
        ecm.done("advance", branch="production", to="contracted")
        assert schema(urls["production"]) == schema(urls["development"])


def test_a_copy_of_a_phase_under_way_is_adopted_and_finished(
    server: Server, databases: Databases, project: Callable[..., Project]
) -> None:
    """Copied while production's ecm was killed in its sweep, development drops that lease and finishes for itself."""
    urls = databases("development", "production")
    for url in urls.values():
        fill(url, 120)
    ecm = project(**urls)
    ecm.done("advance", to="contracted")
    ecm.done("advance", branch="production", to="expanded")
    ecm.run("advance", branch="production", to="backfilled", at=4, signal="SIGKILL")
    ecm.run("status", branch=None)
    reset(server, urls)
    assert status(ecm, "development")["in_progress"]["phase"] == "backfill"
    assert status(ecm, "development")["in_progress"]["holder"] is None, "the copied lease is nobody's here"
    ecm.done("advance", to="backfilled")
    assert moves(urls["development"])[-1] == ("forward", "backfilled")
    assert ecm.ledger_moves()[-1] == ("development", "forward", "backfilled")
    assert position(urls["production"]) == ("expanded", "backfill", "forward")
    ecm.done("advance", branch="production", to="backfilled")


def test_a_rollback_after_a_reset_is_no_evidence_against_the_cycle_before(
    server: Server, databases: Databases, project: Callable[..., Project]
) -> None:
    """What a reset branch rolls back, it has to go through again before production may."""
    urls = databases("development", "production")
    for url in urls.values():
        fill(url, 30)
    ecm = project(**urls)
    ecm.done("advance", to="contracted")
    ecm.done("advance", branch="production", to="backfilled")
    reset(server, urls)
    ecm.done("rollback", to="planned")
    refused = gate(ecm, "reads_migrated")
    assert {reason["code"] for reason in refused["reasons"]} <= {"requires"}
    ecm.done("advance", to="contracted")
    assert gate(ecm, "contracted")["allowed"]
    assert PLAN in refused["plan"]
