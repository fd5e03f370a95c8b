"""Who still reads or writes what a plan's contract takes away: what to look for, and what was found, as values.

Pure: `orchestrator.engine.usage` looks.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from orchestrator.operations import Operation
from orchestrator.operations.base import WHOLE
from orchestrator.plan import obstacles, scope
from orchestrator.plan.facade import changes
from orchestrator.plan.model import Plan
from orchestrator.sql.facts import Dependent
from orchestrator.sql.references import OldSide

Kind = Literal["statement", "dependent", "write"]


@dataclass(frozen=True, kw_only=True)
class Use:
    """Somebody who relies on what contract takes away.

    Attributes:
        kind: a statement that names it, something in the catalog that stands on it, or writes that were noticed.
        what: the statement in one line, without its constants; or the object and why; or the writes.
        role: who runs it, as far as that is known.
        calls: how often it was run since the watch began; of writes, how often they were noticed, which is at most once
            a second for each session. None for what stands in the catalog.
        last_seen: when at the latest it was run last. None for what stands in the catalog, which is there now.
        note: what else a person should know.
        holds: whether it has to be gone before contract; what the plan acknowledges has not.
    """

    kind: Kind
    what: str
    role: str | None = None
    calls: int | None = None
    last_seen: datetime | None = None
    note: str = ""
    holds: bool = True

    @property
    def line(self) -> str:
        """It for a person, in a line."""
        counted = f"{self.calls:,} times" if self.calls is not None else ""
        at = f"last {self.last_seen:%H:%M:%S}" if self.last_seen is not None else ""
        return ", ".join(filter(None, (self.what, f"by {self.role}" if self.role else "", counted, at)))


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Who was seen to rely on what contract takes away.

    Attributes:
        uses: the latest first; what stands in the catalog before them.
        unseen: what could not be seen, a line each.
        watched_since: since when somebody looks; None where nothing can be seen at all.
        quiet_since: since when nobody was seen; None where something stands in the catalog, or nobody looks.
        now: the database's clock.
        sees_statements: whether pg_stat_statements was read: without it nobody who only reads is seen.
    """

    uses: tuple[Use, ...]
    unseen: tuple[str, ...]
    watched_since: datetime | None
    quiet_since: datetime | None
    now: datetime
    sees_statements: bool


def weighed(
    uses: Iterable[Use],
    *,
    unseen: Iterable[str],
    watched_since: datetime | None,
    lost_until: datetime | None,
    now: datetime,
    sees_statements: bool,
) -> Usage:
    """Return what was seen, in its order, with since when there was nothing.

    Args:
        uses: what was seen.
        unseen: what could not be.
        watched_since: since when somebody looks.
        lost_until: up to when what was seen was lost again, where it was.
        now: the database's clock.
        sees_statements: whether pg_stat_statements was read.
    """
    standing = tuple(use for use in uses if use.last_seen is None)
    seen = sorted(
        ((use.last_seen, use) for use in uses if use.last_seen is not None), key=lambda each: each[0], reverse=True
    )
    quiet = None
    if watched_since is not None and not any(use.holds for use in standing):
        quiet = max(moment for moment in (watched_since, lost_until, *(last for last, _ in seen)) if moment is not None)
    return Usage(
        uses=(*standing, *(use for _, use in seen)),
        unseen=tuple(dict.fromkeys(unseen)),
        watched_since=watched_since,
        quiet_since=quiet,
        now=now,
        sees_statements=sees_statements,
    )


def old_sides(plan: Plan, facts: scope.Facts) -> tuple[OldSide, ...]:
    """Return the names that contract takes away, table by table."""
    losing = tuple(change for change in changes(plan) if change.gone)
    found = {
        each.target: {name for change in losing if change.target == each.target for name in change.gone}
        for each in losing
    }
    known = {name: {column.name for column in table.columns} for name, table in facts.items()}
    return tuple(
        OldSide(
            table=table,
            columns=frozenset(names - {WHOLE}),
            whole=WHOLE in names,
            others=frozenset(known.get(table, ())),
        )
        for table, names in found.items()
    )


_BLIND = {
    True: "old and new version use the same names there: neither statements nor writes tell them apart",
    False: "no name goes there: statements do not tell who relies on the old rule",
}


def blind(plan: Plan, facts: scope.Facts) -> tuple[str, ...]:
    """Return what of a plan nobody can see, by the nature of its changes, a line each."""
    lines: list[str] = []
    for change in changes(plan):
        told = any(change.reliances(table) for table in facts.values() if change.concerns(table))
        if not change.gone:
            lines.append(f"{change.summary}: {_BLIND[not told]}" + ("" if told else "; rely on ecm attest"))
        elif not told:
            lines.append(f"{change.summary}: through which name a row was written is not counted, only statements tell")
    return tuple(lines)


_READS = frozenset({"view", "materialized view", "rule", "function", "policy", "trigger", "generated column"})


def dependents(plan: Plan, facts: scope.Facts) -> tuple[Use, ...]:
    """Return what stands in the catalog on what contract takes away, or names it in a text."""
    found: dict[tuple[str, str], Use] = {}
    for table in facts.values():
        for each, acknowledged in obstacles.unfollowed(plan, table):
            if each.names_it:
                found[each.kind, each.name] = _standing(each, each.why, holds=not acknowledged)
        for change in scope.on(plan, table):
            for each, column in _on_columns(change, facts):
                found.setdefault((each.kind, each.name), _standing(each, f"it reads {column}", holds=True))
    return tuple(found.values())


def _on_columns(change: Operation, facts: scope.Facts) -> Iterable[tuple[Dependent, str]]:
    """Return what PostgreSQL knows to read columns that go; of those that get another name it follows by itself."""
    table = facts.get(change.target)
    kept = {old for old, _ in change.renames()}
    if table is None or table.behind is not None:  # behind a view, names change and nothing goes
        return
    for column in change.gone:
        for each in table.tracked.get(column, ()) if column not in kept else ():
            if each.kind in _READS and not each.is_ours:
                yield each, f"{change.target}.{column}"


def _standing(dependent: Dependent, why: str, *, holds: bool) -> Use:
    note = "" if holds else "acknowledged in the plan"
    return Use(kind="dependent", what=f"{dependent.kind} {dependent.name}: {why}", note=note, holds=holds)
