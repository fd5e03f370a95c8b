"""The connection is cut at any message, before it arrives or before its answer does: nothing is done twice or half."""

import re
from typing import Any

import pytest
from servers import Server

from crash.applications import applications
from crash.conftest import Stages
from crash.harness import NEW, OLD, STATES, UNEXPLAINED, Outcome, Project, moves, position, schema
from crash.proxy import Cut, Proxy

CHANGES = re.compile(r"\b(INSERT|UPDATE|DELETE|ALTER|CREATE|DROP|LOCK|GRANT|COMMENT|ANALYZE|pg_\w*advisory_\w+)\b")


class Cuts:
    """Cuts at each request that is unlike all before, once before it arrives and once before its answer does.

    A request that changes something is another one in each phase; a COMMIT also by what was asked before it.
    """

    def __init__(self) -> None:
        self.done: set[tuple[str, str, str]] = set()
        self.on, self.phase = True, ""
        self._last = ""

    def __call__(self, text: str) -> Cut:
        asked = re.sub(r"\d+|'[^']*'", "?", text)
        kind, phase = asked, ""
        if asked == "COMMIT":
            kind, phase = f"{self._last} → COMMIT", self.phase
        elif CHANGES.search(asked):
            phase = self.phase
        self._last = asked
        for way in ("before", "after"):
            if self.on and (kind, phase, way) not in self.done:
                self.done.add((kind, phase, way))
                return way
        return None


def through(cuts: Cuts, ecm: Project, url: str, command: str, target: str) -> list[Outcome]:
    """Run a command again and again until it is done; return how each run ended."""
    outcomes: list[Outcome] = []
    cuts.phase = f"{command} to {target}"
    while not outcomes or (outcomes[-1].code != 0 and position(url) != (target, None, None)):
        outcomes.append(ecm.run(command, to=target))
        assert len(outcomes) < 300, str(outcomes[-1])
    return outcomes


@pytest.fixture(scope="module")
def cut_everywhere(stages: Stages, server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A cycle there and back and there again, with the connection cut at every kind of request."""
    url, cuts = stages.copy("planned"), Cuts()
    with Proxy(url, cuts) as proxy:
        ecm = Project.make(
            tmp_path_factory.mktemp("cut") / "project", {"development": proxy.url}, stages.project.processes
        )
        outcomes: list[Outcome] = []
        with applications(url, "planned") as running:
            for state in STATES[1:4]:
                outcomes += through(cuts, ecm, url, "advance", state)
                running.reached(state)
                running.have_written()
            running.check(OLD, NEW)
            outcomes += through(cuts, ecm, url, "rollback", "backfilled")
            running.check(OLD, NEW)
            cuts.on = False
            outcomes += through(cuts, ecm, url, "advance", "reads_migrated")
            cuts.on = True
            running.end_old()
            outcomes += through(cuts, ecm, url, "advance", "contracted")
            running.have_written()
        running.check(NEW)
    return {"url": url, "outcomes": outcomes, "cuts": cuts.done}


def test_every_cut_was_overcome(cut_everywhere: dict[str, Any], stages: Stages) -> None:
    """With the connection cut at every kind of request, each move is made once and the end is as without a cut."""
    assert len(cut_everywhere["cuts"]) > 100
    path = ["expanded", "backfilled", "reads_migrated", "backfilled", "reads_migrated", "contracted"]
    assert [state for _, state in moves(cut_everywhere["url"])] == path
    assert schema(cut_everywhere["url"]) == stages.direct


def test_what_is_said_of_a_lost_connection_is_ecms_own(cut_everywhere: dict[str, Any]) -> None:
    """A command that does not come back from a lost connection says so in its own words, not with a driver's error."""
    unexplained = [outcome for outcome in cut_everywhere["outcomes"] if outcome.code == UNEXPLAINED]
    assert not unexplained, f"{len(unexplained)} of {len(cut_everywhere['outcomes'])}, the first:\n{unexplained[0]}"


def test_no_one_else_is_blamed_for_a_lost_connection(cut_everywhere: dict[str, Any]) -> None:
    """Ecm does not take what it did itself before a connection was lost for the work of another ecm."""
    blaming = [outcome for outcome in cut_everywhere["outcomes"] if "another ecm" in outcome.words]
    assert not blaming, f"{len(blaming)} of {len(cut_everywhere['outcomes'])}, the first:\n{blaming[0]}"
