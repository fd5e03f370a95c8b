"""Random histories of two branches: whatever is done in whatever order, nothing passes that the gate refuses.

Plans are advanced, rolled back and edited; development is reset from production; the ledger is lost, or put back as it
was; words are given and taken back, approvals come and lapse; two processes race. What is true is told from the
databases' own journals, which the gate does not read for its evidence.
"""

import json
import shutil
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString, cast
from urllib.parse import urlsplit

import psycopg
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from servers import Server

from orchestrator.conductor import Conductor
from orchestrator.errors import LeaseError, LockTimeoutError, RefusedError, VerificationError
from orchestrator.plan.lifecycle import PHASES, STATES, Direction, Phase, State
from orchestrator.workspace import Workspace

EXAMPLES, LONG = 6, 200
"""How many histories are played; and in a long run, under the hypothesis profile of that name."""
DEVELOPMENT, PRODUCTION = "development", "production"
PLAN = "rename-year"
START = "CREATE TABLE books (id int PRIMARY KEY, year int); INSERT INTO books VALUES (1, 1815), (2, 1852)"
TEXTS: tuple[dict[str, Any], ...] = (
    {},
    {"migrate_reads": {"soak": "1h"}, "contract": {"require": {"attestations": ["reads-new"]}}},
    {"changes": [{"kind": "rename_column", "table": "books", "column": "year", "to": "published"}]},
    {"contract": {"undo_window": "1h"}},
)
"""Texts of the plan, by what they say otherwise."""

Draw = Callable[[st.SearchStrategy[Any]], Any]


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Run a statement on a database; no rows where there is no journal yet."""
    with psycopg.connect(url, autocommit=True) as connection:
        try:
            cursor = connection.execute(cast("LiteralString", statement))
        except psycopg.errors.UndefinedTable:
            return []
        return cursor.fetchall() if cursor.description else []


@dataclass
class Game:
    """A project of two branches, and what is known of its history without a ledger.

    Args:
        folder: the project's.
        server: where its databases are.
        urls: theirs, by branch.
        draw: draws everything that varies.
    """

    folder: Path
    server: Server
    urls: dict[str, str]
    draw: Draw
    text: int = 0
    known: set[str] = field(default_factory=set[str])
    """Moves that were seen."""
    done: dict[tuple[str, str], set[Phase]] = field(default_factory=lambda: defaultdict(set))
    """Phases completed and not rolled back since, by branch and checksum."""
    before: dict[tuple[str, str], set[Phase]] = field(default_factory=dict[tuple[str, str], set[Phase]])
    """The same as of the ledger that was kept, and put back."""
    words: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """Where reads-new is attested, by branch and checksum."""
    approved: bool = False
    aged: bool = False

    def __post_init__(self) -> None:
        (self.folder / "plans").mkdir(parents=True)
        branches = "branches:\n  development: {}\n  production: {approvals: 1}\n"
        (self.folder / "ecm.yaml").write_text(f"project: bookstore\n{branches}")
        self.write(0)

    def conductor(self, actor: str = "ana") -> Conductor:
        """Return what one person's commands go through."""
        urls = {f"DATABASE_URL_{branch.upper()}": url for branch, url in self.urls.items()}
        return Conductor(Workspace.find(self.folder, None, {**urls, "ECM_ACTOR": actor}), sleep=lambda _: None)

    def write(self, text: int) -> None:
        """Write the plan's file."""
        self.text = text
        change = {"kind": "rename_column", "table": "books", "column": "year", "to": "publication_year"}
        plan = {"plan": PLAN, "changes": [change], **TEXTS[text]}
        (self.folder / "plans" / f"{PLAN}.yaml").write_text(json.dumps(plan))

    def state(self, branch: str) -> tuple[Any, ...]:
        """Return where a branch's journal says that the plan is."""
        found = query(self.urls[branch], "SELECT state, phase, direction, checksum FROM ecm.plans")
        return found[0] if found else ("planned", None, None, None)

    # ------------------------------------------------------------ what may happen

    def advance(self) -> None:
        """What the gate says, advance does."""
        branch = self.draw(st.sampled_from([DEVELOPMENT, PRODUCTION, PRODUCTION]))
        to = self.draw(st.sampled_from([None, None, "contracted"]))
        before = self.state(branch)
        asked = with_refusals(lambda: self.conductor().gate(PLAN, branch, to=to))
        moved = with_refusals(lambda: self.conductor().advance(PLAN, branch, to=to))
        allowed = asked is not None and asked.allowed
        assert (moved is not None) == (allowed or before[0] == to), (asked, moved)
        assert moved is not None or self.state(branch) == before

    def cycle(self) -> None:
        """Development goes through all of it, where it may."""
        with_refusals(lambda: self.conductor().advance(PLAN, DEVELOPMENT, to="reads_migrated"))
        self.attest()
        self.wait()
        with_refusals(lambda: self.conductor().advance(PLAN, DEVELOPMENT, to="contracted"))

    def rollback(self) -> None:
        """A step back, where there is one."""
        branch = self.draw(st.sampled_from([DEVELOPMENT, DEVELOPMENT, PRODUCTION]))
        with_refusals(lambda: self.conductor().rollback(PLAN, branch))

    def finalize(self) -> None:
        """Drop what contract kept, where it kept anything and the time is over, or it is not waited for."""
        branch, now = self.draw(st.sampled_from([DEVELOPMENT, PRODUCTION])), self.draw(st.booleans())
        kept = query(
            self.urls[branch], "SELECT undo_until <= clock_timestamp() FROM ecm.plans WHERE undo_until > '-infinity'"
        )
        made = with_refusals(lambda: self.conductor().finalize(PLAN, branch, now=now))
        assert (made is not None) == (bool(kept) and (now or kept[0][0]))

    def drift(self) -> None:
        """An index comes or goes on production alone."""
        there = query(self.urls[PRODUCTION], "SELECT 1 FROM pg_indexes WHERE indexname = 'by_id'")
        query(self.urls[PRODUCTION], "DROP INDEX by_id" if there else "CREATE INDEX by_id ON books (id)")

    def edit(self) -> None:
        """Another text in the plan's file."""
        self.write(self.draw(st.integers(0, len(TEXTS) - 1)))

    def attest(self) -> None:
        """Somebody's word on the application, or that it is no longer so."""
        branch = self.draw(st.sampled_from([DEVELOPMENT, PRODUCTION]))
        withdraw = self.draw(st.booleans())
        report = with_refusals(
            lambda: self.conductor().attest(PLAN, branch, claim="reads-new", version="1", withdraw=withdraw)
        )
        if report is not None:
            (self.words.discard if withdraw else self.words.add)((branch, str(self.state(branch)[3])))

    def approve(self) -> None:
        """Consent of another person, or of the one who advances, which does not count."""
        actor = self.draw(st.sampled_from(["ana", "ben"]))
        if with_refusals(lambda: self.conductor(actor).approve(PLAN, PRODUCTION)) and actor != "ana":
            self.approved = True

    def wait(self) -> None:
        """Two hours pass for both branches."""
        for url in self.urls.values():
            query(
                url,
                "UPDATE ecm.plans SET state_since = state_since - interval '2 hours',"
                " undo_until = undo_until - interval '2 hours'",
            )

    def reset(self) -> None:
        """Development is made again from production, with all that is in it."""
        names = {branch: urlsplit(url).path.lstrip("/") for branch, url in self.urls.items()}
        self.server.drop_database(names[DEVELOPMENT])
        self.server.create_database(names[DEVELOPMENT], template=names[PRODUCTION])
        self.known.update(str(row[0]) for row in query(self.urls[DEVELOPMENT], "SELECT id FROM ecm.moves"))

    @property
    def ledger(self) -> Path:
        return self.folder / ".ecm" / "ledger.db"

    def keep_ledger(self) -> None:
        """Somebody makes a copy of the ledger."""
        if self.ledger.exists():
            shutil.copy(self.ledger, self.folder / "kept.db")
            self.before = {key: set(phases) for key, phases in self.done.items()}

    def put_ledger_back(self) -> None:
        """The copy takes the ledger's place, or nothing does."""
        self.ledger.unlink(missing_ok=True)
        kept = self.folder / "kept.db"
        if self.draw(st.booleans()) and kept.exists():
            shutil.copy(kept, self.ledger)

    def race(self) -> None:
        """Two processes advance the same branch at once."""
        branch = self.draw(st.sampled_from([DEVELOPMENT, PRODUCTION]))
        racers = [
            threading.Thread(target=with_refusals, args=(lambda: self.conductor().advance(PLAN, branch),))
            for _ in range(2)
        ]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()

    # ------------------------------------------------------------ what has to hold

    def look(self) -> None:
        """Judge each move that was made since the last look, development's first where it was made on purpose."""
        for branch in (DEVELOPMENT, PRODUCTION):
            moves = query(
                self.urls[branch], "SELECT id, branch, checksum, direction, phases FROM ecm.moves ORDER BY seq"
            )
            for number, wrote, checksum, direction, phases in moves:
                if str(number) in self.known:
                    continue
                self.known.add(str(number))
                assert wrote == branch
                for phase in map(Phase, phases):
                    self.seen(branch, checksum, Direction(direction), phase)

    def seen(self, branch: str, checksum: str, direction: Direction, phase: Phase) -> None:
        """Judge a phase that was completed, or taken back; to drop what was kept is none of the four."""
        if phase is Phase.FINALIZE:
            return
        if direction is Direction.BACK:
            self.done[branch, checksum].discard(phase)
            self.words.discard((branch, checksum))
            return
        self.done[branch, checksum].add(phase)
        if branch == PRODUCTION:
            needed = set(PHASES[: PHASES.index(phase) + 1])
            proven = self.done[DEVELOPMENT, checksum], self.before.get((DEVELOPMENT, checksum), set())
            assert any(needed <= each for each in proven), f"production was first in {phase}"
            assert phase is not Phase.CONTRACT or self.approved, "nobody approved"
            event(f"production went through {phase.words}")


def with_refusals(work: Callable[[], Any]) -> Any:
    """Do something that may be refused; None where it was."""
    try:
        return work()
    except (RefusedError, VerificationError, LeaseError, LockTimeoutError):
        return None


ACTS = ["advance"] * 8 + ["rollback", "rollback", "edit", "attest", "attest", "approve", "approve", "wait", "reset"]
ACTS += ["finalize", "drift", "cycle", "cycle", "keep_ledger", "put_ledger_back", "race"]


@pytest.mark.timeout(600)
@settings(
    max_examples=LONG if settings.get_current_profile_name() == "long" else EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(acts=st.lists(st.sampled_from(ACTS), min_size=8, max_size=24), data=st.data())
def test_nothing_passes_that_the_gate_refuses(
    postgres: Server,
    databases: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
    acts: list[str],
    data: Any,
) -> None:
    """Production is never first, contracts only with another's approval, and what gate says is what advance does."""
    urls = databases(DEVELOPMENT, PRODUCTION)
    for url in urls.values():
        query(url, START)
    game = Game(folder=tmp_path_factory.mktemp("game") / "project", server=postgres, urls=urls, draw=data.draw)
    for act in acts:
        getattr(game, act)()
        game.look()
    assert {State(game.state(branch)[0]) for branch in urls} <= set(STATES)
