"""A holder that was held up, and replaced meanwhile, changes nothing more when it comes back."""

from collections.abc import Callable
from itertools import count, pairwise

import pytest

from crash.applications import applications
from crash.conftest import Stages
from crash.harness import NEW, OLD, STATES, Project, end_sessions, moves, position, records, schema

MOVES = [
    *(("advance", origin, target) for origin, target in pairwise(STATES)),
    ("rollback", "reads_migrated", "backfilled"),
    ("rollback", "backfilled", "planned"),
]


@pytest.mark.parametrize(("command", "origin", "target"), MOVES)
def test_whoever_was_replaced_changes_nothing_more(
    stages: Stages, project: Callable[..., Project], command: str, origin: str, target: str
) -> None:
    """Paused at any event, cut off and overtaken, the first ecm gives up when it goes on, and says why."""
    for number in count(1):
        url = stages.copy(origin)
        ecm = project(development=url)
        held_up = ecm.start(command, to=target, at=number, signal="SIGSTOP")
        event = held_up.stopped()
        if event is None:
            assert held_up.wait().code == 0
            stages.drop(url)
            break
        end_sessions(url)
        was_done = position(url) == (target, None, None)
        second = ecm.run(command, to=target)
        assert second.code == 0, str(second)
        assert bool(second.told["report"]["moves"]) != was_done, str(second)
        before, shape = records(url), schema(url)
        held_up.go_on()
        outcome = held_up.wait()
        after = records(url)
        if was_done:  # then nobody took its lease, and it gives it back
            del before["leases"], after["leases"]
        assert after == before, f"it changed the journal after {event}: {outcome}"
        assert schema(url) == shape == (stages.direct if target == "contracted" else stages.schemas[target])
        assert position(url) == (target, None, None)
        if was_done:  # everything but to tell the ledger, and nobody had a reason to take over
            assert outcome.code == 0, f"all of it was done, and it said: {outcome}"
        else:
            assert outcome.code == 5, str(outcome)
            assert "took over" in outcome.words, str(outcome)
        stages.drop(url)
    assert number > 4


def test_a_holder_that_comes_back_while_another_works_lets_it_work(
    stages: Stages, project: Callable[..., Project]
) -> None:
    """Let go in the middle of the other's sweep, the first gives up, and the other finishes as if alone."""
    url = stages.copy("expanded")
    ecm = project({"backfill": "batch_time: 1ms"}, development=url)
    with applications(url, "expanded") as running:
        first = ecm.start("advance", to="backfilled", at=4, signal="SIGSTOP")
        assert first.stopped()
        end_sessions(url)
        second = ecm.start("advance", to="backfilled", at=4, signal="SIGSTOP")
        assert second.stopped()
        first.go_on()
        lost = first.wait()
        running.have_written()
        second.go_on()
        won = second.wait()
        running.reached("backfilled")
        running.have_written()
    assert won.code == 0, str(won)
    assert lost.code == 5, str(lost)
    running.check(OLD, NEW)
    assert moves(url) == [("forward", "expanded"), ("forward", "backfilled")]


def test_a_holder_that_lost_its_session_and_its_lease_to_nobody_goes_on(
    stages: Stages, project: Callable[..., Project]
) -> None:
    """Cut off at any event of the cycle but overtaken by no one, ecm comes back by itself and finishes, or says so."""
    url = stages.copy("planned")
    ecm = project(development=url)
    for target in STATES[1:]:
        process = ecm.start("advance", to=target, at="every", signal="SIGSTOP")
        cuts = 0
        while (event := process.stopped()) is not None:
            if event["event"] in ("PhaseStarted", "StepStarted", "StepFinished"):
                cuts += end_sessions(url) > 0
            process.go_on()
        outcome = process.wait()
        assert cuts > 1
        assert outcome.code == 0, str(outcome)
        assert position(url) == (target, None, None)
    assert schema(url) == stages.direct
