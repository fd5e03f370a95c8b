"""Two of ecm at once: one does the work, or they share it cleanly; never both, never an error without a reason."""

import random
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest

from crash.applications import applications
from crash.conftest import Stages
from crash.harness import NEW, PLAN, STATES, Outcome, Project, fill, holding, moves, position, schema

ECM = Path(sys.executable).with_name("ecm")


def performed(outcome: Outcome) -> list[list[str]]:
    report = outcome.told.get("report", {})
    return [[move["origin"], move["target"]] for move in report.get("moves", ())]


@pytest.mark.parametrize("round_number", range(4))
def test_two_commands_at_once_make_one_move(stages: Stages, project: Callable[..., Project], round_number: int) -> None:
    """Of two commands that are told to go one phase on, each does what it proposed and no move is made twice."""
    url, dice = stages.copy("planned"), random.Random(round_number)
    ecm = project(development=url)
    with applications(url, "planned") as running:
        while position(url)[0] != "contracted":
            state = position(url)[0]
            if state == "reads_migrated":
                running.end_old()
            first = ecm.start("advance")
            if dice.random() < 0.5:
                running.have_written()
            both = [each.wait() for each in (ecm.start("advance"), first)]
            reached = position(url)[0]
            for outcome in both:
                assert outcome.code in (0, 4, 5), str(outcome)
                assert outcome.code == 0 or outcome.words
                assert all(move in outcome.told["proposed"] for move in performed(outcome)), "it did what was not asked"
            assert any(outcome.code == 0 for outcome in both)
            made = sorted(
                (move for outcome in both for move in performed(outcome)), key=lambda move: STATES.index(move[0])
            )
            way = STATES[STATES.index(state) : STATES.index(reached) + 1]
            assert made == [list(pair) for pair in pairwise(way)]
            running.reached(reached)
            if reached == "contracted":
                break
    running.check(NEW)
    assert moves(url) == [("forward", state) for state in STATES[1:]]
    assert schema(url) == stages.direct
    assert len(ecm.ledger_moves()) == 4


def test_two_commands_to_the_same_state_share_the_way(stages: Stages, project: Callable[..., Project]) -> None:
    """Of two commands told how far to go, whoever comes second finds it done, or says who is at work."""
    url = stages.copy("planned")
    ecm = project(development=url)
    both = [each.wait() for each in [ecm.start("advance", to="contracted") for _ in range(2)]]
    assert 0 in [outcome.code for outcome in both], "\n".join(map(str, both))
    for outcome in both:
        assert outcome.code in (0, 4, 5), str(outcome)
    assert position(url) == ("contracted", None, None)
    assert moves(url) == [("forward", state) for state in STATES[1:]]
    assert schema(url) == stages.direct


def test_two_that_open_a_fresh_branch_at_once(
    databases: Callable[..., dict[str, str]], project: Callable[..., Project]
) -> None:
    """Of two commands that find no journal yet, one makes it and both go on with it, through the real command."""
    for name in ("one", "two", "three"):
        url = databases(name)[name]
        fill(url, 20)
        ecm = project(development=url)
        both = [
            subprocess.Popen(
                [str(ECM), "advance", PLAN, "--branch", "development", "--to", "expanded"],
                cwd=ecm.root,
                env=ecm.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for _ in range(2)
        ]
        said = [process.communicate(timeout=60)[0] for process in both]
        codes = [process.returncode for process in both]
        assert 0 in codes, said
        assert set(codes) <= {0, 4, 5}, said
        assert moves(url) == [("forward", "expanded")]


def test_a_rollback_and_an_advance_at_once(stages: Stages, project: Callable[..., Project]) -> None:
    """Told to go forward and back at once, ecm does one of the two, or one after the other, and never half of each."""
    for number in range(4):
        url = stages.copy("backfilled")
        ecm = project(development=url)
        both = [ecm.start(command, to=to) for command, to in (("advance", "reads_migrated"), ("rollback", "planned"))]
        outcomes = [each.wait() for each in (both if number % 2 else reversed(both))]
        for outcome in outcomes:
            assert outcome.code in (0, 4, 5), str(outcome)
        state, phase, _ = position(url)
        assert phase is None
        assert schema(url) == stages.schemas[state]
        stages.drop(url)


def test_a_change_that_another_makes_meanwhile_is_not_held_against_the_plan(
    stages: Stages, project: Callable[..., Project]
) -> None:
    """Who looks at the table while another ecm contracts it says that, and gives no advice to change the schema."""
    url = stages.copy("reads_migrated")
    ecm = project(development=url)
    first = ecm.start("advance", to="contracted", at="every", signal="SIGSTOP")
    while (event := first.stopped()) is not None and (event["event"], event.get("key")) != ("StepStarted", "contract"):
        first.go_on()
    with holding(url, "LOCK TABLE books IN ACCESS EXCLUSIVE MODE"):
        first.go_on()
        waiting(url, 1)
        second = ecm.start("advance", to="contracted")
        waiting(url, 2)
    while first.stopped() is not None:
        first.go_on()
    assert first.wait().code == 0
    outcome = second.wait()
    assert outcome.code in (4, 5), str(outcome)
    assert schema(url) == stages.direct


def waiting(url: str, count: int) -> None:
    """Wait until so many sessions of ecm wait for the table."""
    limit = time.monotonic() + 30
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(
            "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND relation = 'books'::regclass"
        ).fetchone() != (count,):
            assert time.monotonic() < limit
            time.sleep(0.002)
