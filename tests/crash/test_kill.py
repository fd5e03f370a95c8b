"""SIGKILL at every event: both applications go on, and the same command, or the way back, finishes."""

import random
from collections.abc import Callable
from itertools import count, pairwise

import psycopg
import pytest

from crash.applications import Applications, applications
from crash.conftest import Stages
from crash.harness import (
    KILLED,
    NEW,
    OLD,
    STATES,
    Outcome,
    Project,
    end_sessions,
    fill,
    holding,
    moves,
    position,
    schema,
    sessions,
)

FORWARD = list(pairwise(STATES))
BACK = [("reads_migrated", "backfilled"), ("backfilled", "planned"), ("expanded", "planned")]
NAMES = {"planned": [OLD], "contracted": [NEW]}


def check(
    stages: Stages, running: Applications, state: str, before: list[tuple[str, str]], move: tuple[str, str]
) -> None:
    """Check that a database is in a state as if it had been brought there without a fault, by one move."""
    running.check(*NAMES.get(state, [OLD, NEW]))
    assert position(running.url) == (state, None, None)
    assert moves(running.url) == [*before, move]
    assert schema(running.url) == (stages.direct if state == "contracted" else stages.schemas[state])
    assert not sessions(running.url)


def finished(outcome: Outcome, url: str, state: str) -> bool:
    """Whether a command did its work, or refused because the killed one had done all of it."""
    return outcome.code == 0 or (outcome.code == 4 and position(url) == (state, None, None))


@pytest.mark.parametrize(("origin", "target"), FORWARD)
def test_the_same_command_finishes_after_a_kill_at_any_event(
    stages: Stages, project: Callable[..., Project], origin: str, target: str
) -> None:
    """Killed at each event in turn, a phase is finished by the same command, as if nothing had happened."""
    for number in count(1):
        url = stages.copy(origin)
        ecm, before = project(development=url), moves(url)
        with applications(url, origin, seed=number) as running:
            if target == "contracted":
                running.end_old()
            killed = ecm.run("advance", to=target, at=number, signal="SIGKILL")
            running.have_written()
            again = ecm.run("advance", to=target)
            running.reached(target)
            running.have_written()
        assert killed.code in (0, KILLED), str(killed)
        assert finished(again, url, target), str(again)
        check(stages, running, target, before, ("forward", target))
        stages.drop(url)
        if killed.code == 0:
            break
    assert number > 4, "there were events to be killed at"


@pytest.mark.parametrize(("origin", "target"), BACK)
def test_the_same_rollback_finishes_after_a_kill_at_any_event(
    stages: Stages, project: Callable[..., Project], origin: str, target: str
) -> None:
    """Killed at each event in turn, a rollback is finished by the same command, and no write is lost."""
    for number in count(1):
        url = stages.copy(origin)
        ecm, before = project(development=url), moves(url)
        with applications(url, origin, seed=number) as running:
            if target == "planned":
                running.end_new()
            killed = ecm.run("rollback", to=target, at=number, signal="SIGKILL")
            running.have_written()
            again = ecm.run("rollback", to=target)
            running.have_written()
        assert killed.code in (0, KILLED), str(killed)
        assert finished(again, url, target), str(again)
        check(stages, running, target, before, ("back", target))
        stages.drop(url)
        if killed.code == 0:
            break
    assert number > 4, "there were events to be killed at"


@pytest.mark.parametrize(("origin", "target"), FORWARD[:3])
def test_a_phase_that_was_killed_can_be_taken_back(
    stages: Stages, project: Callable[..., Project], origin: str, target: str
) -> None:
    """Killed at each event in turn, a phase is given up by one rollback; the schema is as it was, no write is lost."""
    for number in count(1):
        url = stages.copy(origin)
        ecm, before = project(development=url), moves(url)
        with applications(url, origin, seed=number) as running:
            ecm.run("advance", to=target, at=number, signal="SIGKILL")
            found = position(url)
            back = ecm.run("rollback", to=origin) if found[1] else None  # nothing to roll back before it has begun
            running.have_written()
        if back is None:
            stages.drop(url)
            if found[0] == target:
                break
            continue
        assert back.code == 0, str(back)
        running.check(*([OLD] if origin == "planned" else [OLD, NEW]))
        assert position(url) == (origin, None, None)
        assert moves(url) == [*before, ("back", origin)]
        assert schema(url) == stages.schemas[origin]
        forward = ecm.run("advance", to=target)
        assert forward.code == 0, str(forward)
        assert schema(url) == stages.schemas[target]
        stages.drop(url)
    assert number > 2, "there were events to be killed at"


def test_a_sweep_killed_over_and_over_fills_every_row(database: str, project: Callable[..., Project]) -> None:
    """Killed fifty times after a random number of batches, the backfill still goes on to the end."""
    fill(database, 30_000)
    ecm, dice = project({"backfill": "batch_time: 1ms"}, development=database), random.Random(7)
    ecm.done("advance", to="expanded")
    kills = 0
    with applications(database, "expanded") as running:
        while True:
            outcome = ecm.run(
                "advance", to="backfilled", at=dice.randint(3, 25) if kills < 50 else None, signal="SIGKILL"
            )
            if outcome.code != KILLED:
                break
            kills += 1
            if dice.random() < 0.2:
                end_sessions(database)
        running.reached("backfilled")
        running.have_written()
    assert finished(outcome, database, "backfilled"), str(outcome)
    assert kills == 50
    running.check(OLD, NEW)
    assert ecm.done("verify").told["report"]["mismatches"] == 0


def test_a_kill_before_the_ledger_is_told_loses_no_evidence(database: str, project: Callable[..., Project]) -> None:
    """Killed between the last commit and the ledger, ecm tells the ledger when the same command is run again."""
    fill(database, 20)
    ecm = project(development=database)
    for state in STATES[1:]:
        reached = ecm.start("advance", to=state, at="every", signal="SIGSTOP")
        while (event := reached.stopped()) is not None and event["event"] != "StateReached":
            reached.go_on()
        reached.kill()
        ecm.run("advance", to=state)
        assert ecm.ledger_moves()[-1:] == [("development", "forward", state)]


def test_what_committed_is_not_done_again(stages: Stages, project: Callable[..., Project]) -> None:
    """A step that committed before the kill is passed over when the phase goes on."""
    url = stages.copy("backfilled")
    ecm = project(development=url)
    first = ecm.start("advance", to="reads_migrated", at="every", signal="SIGSTOP")
    while (event := first.stopped()) is not None and (event["event"], event.get("key")) != (
        "StepFinished",
        "analyze books",
    ):
        first.go_on()
    first.kill()
    events = ecm.done("advance", to="reads_migrated").told["events"]
    done = {event["key"]: event["already_done"] for event in events if event["event"] == "StepFinished"}
    assert done["analyze books"]
    assert not done["switch"]


@pytest.mark.parametrize(("origin", "target"), FORWARD[1:])
def test_a_proof_from_before_a_kill_is_not_trusted(
    stages: Stages, project: Callable[..., Project], origin: str, target: str
) -> None:
    """Rows that went wrong while ecm was dead are found when it goes on, though the scan had been done before."""
    url = stages.copy(origin)
    ecm = project(development=url)
    first = ecm.start("advance", to=target, at="every", signal="SIGSTOP")
    while (event := first.stopped()) is not None and not (
        event["event"] == "StepFinished" and event["key"].startswith(("proof", "sweep"))
    ):
        first.go_on()
    first.kill()
    with psycopg.connect(url, autocommit=True) as connection:
        ((trigger,),) = connection.execute(
            "SELECT quote_ident(tgname) FROM pg_trigger WHERE tgname LIKE '~ecm%'"
        ).fetchall()
        connection.execute(f"ALTER TABLE books DISABLE TRIGGER {trigger}")
        connection.execute(f"UPDATE books SET {NEW} = 4711 WHERE id = 1")
        connection.execute(f"ALTER TABLE books ENABLE ALWAYS TRIGGER {trigger}")
    again = ecm.run("advance", to=target)
    if target == "backfilled":
        assert again.code in (0, 6), str(again)
        with psycopg.connect(url) as connection:
            (same,) = connection.execute(f"SELECT {OLD} IS NOT DISTINCT FROM {NEW} FROM books WHERE id = 1").fetchone()
        assert same or again.code == 6, "it says backfilled, and a row is wrong"
    else:
        assert again.code == 6, str(again)
        assert position(url)[0] == origin


def test_a_rollback_takes_back_only_what_was_done(database: str, project: Callable[..., Project]) -> None:
    """A column of the new name that someone made after expand had given up is not dropped by the rollback."""
    fill(database, 10)
    ecm = project({"expand": "lock_timeout: 50ms"}, development=database, patience={"attempts": 2})
    with holding(database, "SELECT count(*) FROM books"):
        assert ecm.run("advance", to="expanded").code == 5
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"ALTER TABLE books ADD COLUMN {NEW} integer DEFAULT 42")
    before = schema(database)
    ecm.run("rollback")
    assert schema(database) == before
