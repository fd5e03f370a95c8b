"""`strategy: facade`: columns are renamed without a copy, in milliseconds, whatever the table's size.

Expand renames the table aside and puts an updatable view in its place that shows each column under both names. All
rows stay where they are; there are no two sides to keep in step, to fill or to prove. Contract drops the view and
renames the table back, and the columns for good.
"""

from collections.abc import Iterable
from collections.abc import Mapping as Dictionary
from dataclasses import replace
from itertools import chain
from typing import ClassVar

from psycopg import sql
from typing_extensions import override

from orchestrator.errors import EcmError, PreconditionError
from orchestrator.operations import Operation, viewing
from orchestrator.operations.base import WHOLE, Claim, Guide, missing, nothing_to_fill, taken
from orchestrator.operations.rename_column import RenameColumn
from orchestrator.operations.rename_table import RenameTable
from orchestrator.plan.model import Plan
from orchestrator.plan.sizes import humanize_size
from orchestrator.sql.facts import Dependent, Table
from orchestrator.sql.identifiers import TableName, aside
from orchestrator.sql.mapping import Mapping
from orchestrator.sql.steps import Statement
from orchestrator.sql.sync import Ddl
from orchestrator.words import listed

PROPOSED_FROM = 100 * 1024**3
"""Bytes from which on `ecm plan rename-column` proposes a facade: a copy would write most of them again."""


def changes(plan: Plan) -> tuple[Operation, ...]:
    """Return a plan's changes as they are made: behind a facade, those of one table are one."""
    if plan.expand.strategy != "facade":
        return plan.changes
    by_table: dict[TableName, list[Operation]] = {}
    for change in plan.changes:
        by_table.setdefault(change.target, []).append(change)
    return tuple(chain.from_iterable(_as_made(table, several) for table, several in by_table.items()))


def proposal(plan: Plan, tables: Iterable[Table], size: int = PROPOSED_FROM) -> Plan | None:
    """Return a plan behind a facade, where a copy would take long; None where it would not, or needs none.

    Args:
        plan: as drafted.
        tables: facts of its tables.
        size: bytes of a table from which on a copy takes long.
    """
    only_renames = all(isinstance(change, RenameColumn | RenameTable) for change in plan.changes)
    copies = any(isinstance(change, RenameColumn) for change in plan.changes)
    if not (only_renames and copies and any(table.bytes >= size for table in tables)):
        return None
    behind = plan.model_copy(update={"expand": plan.expand.model_copy(update={"strategy": "facade"})})
    deploys = {phase: guide.deploy for change in changes(behind) for phase, guide in change.guide().items()}
    said = {phase: behind.phase(phase) for phase in deploys if behind.phase(phase).deploy}
    return behind.model_copy(
        update={phase: own.model_copy(update={"deploy": deploys[phase]}) for phase, own in said.items()}
    )


def reason(tables: Iterable[Table]) -> str:
    """Return why a facade is proposed, for a comment in the plan."""
    sizes = listed([f"{table.name} is {humanize_size(table.bytes)}" for table in tables])
    return (
        f"{sizes}, which a copy would write again: a view shows both names at once; see ecm plan show for its limits."
    )


def _as_made(table: TableName, several: list[Operation]) -> Iterable[Operation]:
    columns = tuple((each.column, each.to) for each in several if isinstance(each, RenameColumn))
    names = [each for each in several if isinstance(each, RenameTable)]
    if not columns:
        return names  # a table's name alone needs no more than a view beside it
    return (TableFacade(kind="facade", table=str(table), columns=columns, to=names[0].to if names else None),)


class TableFacade(Operation):
    """Columns of a table get other names, and perhaps the table as well, behind a view in its place."""

    table: str
    columns: tuple[tuple[str, str], ...]
    """(old, new) names."""
    to: str | None = None
    """The table's own new name."""

    fate: ClassVar[str] = "follow by themselves"
    standing: ClassVar[str] = "was made on the view that has the table's place until contract"
    goes_along: ClassVar[str] = "contract drops the view and gives the table its place back, and this would go with it"

    @property
    @override
    def target(self) -> TableName:
        return TableName.parse(self.table)

    @property
    def _aside(self) -> TableName:
        return aside(self.target)

    @property
    def _views(self) -> tuple[TableName, ...]:
        own = self.target
        return (own,) if self.to is None else (own, TableName.parse(self.to, schema=own.schema))

    @property
    @override
    def summary(self) -> str:
        return f"{self.target} has {listed([f'{new} for {old}' for old, new in self.columns])}"

    @property
    @override
    def slug(self) -> str:
        return f"rename-{self.target.name}"

    @property
    @override
    def beginning(self) -> str:
        return f"rename {self.target} aside, and put a view in its place that shows both names"

    @property
    @override
    def ending(self) -> str:
        renamed = listed([f"{old} to {new}" for old, new in self.columns])
        return f"drop the view, give {self._views[-1]} its place and rename {renamed}"

    @override
    def guide(self) -> Dictionary[str, Guide]:
        olds, news = listed([old for old, _ in self.columns]), listed([new for _, new in self.columns])
        old, new = (olds, news) if self.to is None else (f"{self.target} ({olds})", f"{self.to} ({news})")
        renamed = f"the version that reads and writes {new}"
        return {
            "expand": Guide(
                about=f"The table is renamed aside; a view in its place shows {olds} as {news} too.",
                deploy=f"{renamed} may be deployed from here on, beside the old one",
            ),
            "backfill": nothing_to_fill(
                f"{renamed} may be deployed, beside the old one",
                "There is nothing to fill: both names show the same column.",
            ),
            "migrate_reads": Guide(
                about="Nothing changes in the database: both names still work.", deploy=f"{renamed}, everywhere"
            ),
            "contract": Guide(
                about="The view goes; the table has its place back, and the new name.",
                deploy=f"nothing; a version that uses {old} must be gone everywhere",
            ),
        }

    @override
    def claims(self) -> frozenset[Claim]:
        return frozenset((str(name), WHOLE) for name in self._views)

    @override
    def touched(self, table: TableName) -> frozenset[str]:
        return frozenset(chain.from_iterable(self.columns)) if table == self.target else frozenset()

    @property
    @override
    def gone(self) -> tuple[str, ...]:
        return (*(old for old, _ in self.columns), *((WHOLE,) if self.to is not None else ()))

    @override
    def relations(self) -> tuple[TableName, ...]:
        return (self._aside, *self._views)

    @override
    def synced(self) -> tuple[TableName, ...]:
        return ()

    @override
    def made(self) -> tuple[str, ...]:
        return ()

    @override
    def begun(self, facts: Table) -> bool:
        return facts.behind is not None

    @override
    def warnings(self, facts: Table) -> tuple[str, ...]:
        return (
            *(f"no INSERT or UPDATE may name both {old} and {new}: they are one column" for old, new in self.columns),
            f"until contract {self.target} has one more column for each new name, which SELECT * sees",
            *viewing.warnings(facts, listed([str(view) for view in self._views])),
            *viewing.seen(facts),
        )

    @override
    def problems(self, facts: Table) -> tuple[EcmError, ...]:
        return (*self._in_place(facts), *viewing.problems(facts), *self._columns(facts), *self._replicated(facts))

    def _in_place(self, facts: Table) -> Iterable[EcmError]:
        if facts.behind is not None:
            yield PreconditionError(f"{self.target} is behind a view of another plan of ecm's", hint="ecm status")

    def _columns(self, facts: Table) -> Iterable[EcmError]:
        for old, new in self.columns:
            yield from taken(facts, new) if facts.column(old) is not None else (missing(facts, old),)

    def _replicated(self, facts: Table) -> Iterable[EcmError]:
        if facts.views.replicated:
            yield PreconditionError(
                f"{self.target} is replicated, and cannot be behind a view: {listed(facts.views.replicated)}",
                details=[f"logical replication knows a table by its name, which would be {self._aside} until contract"],
                hint="leave strategy out of the plan: a copy keeps the table's name",
            )

    @override
    def unfollowed(self, facts: Table) -> tuple[Dependent, ...]:
        of_columns = (each for old, _ in self.columns for each in facts.untracked.get(old, ()) if each.names_it)
        of_table = facts.views.naming if self.to is not None else ()
        return (*of_columns, *of_table, *facts.views.typed, *facts.views.asking)

    @override
    def mappings(self, facts: Table) -> tuple[Mapping, ...]:
        return ()

    @override
    def expand(self, facts: Table) -> Ddl:
        return Ddl(
            statements=(
                _renamed(self.target, self._aside),
                *chain.from_iterable(viewing.over(facts, self._aside, view, self.columns) for view in self._views),
            ),
            inverse=(*map(viewing.dropped, reversed(self._views)), _renamed(self._aside, self.target)),
        )

    @override
    def standing_on(self, facts: Table) -> tuple[Dependent, ...]:
        if facts.kept:
            return ()
        made = (each for view in self._views for each in viewing.added(facts, view, self.columns))
        return (*made, *facts.views.occupied)

    @override
    def locked_first(self, facts: Table) -> tuple[TableName, ...]:
        return self._views if self.begun(facts) else ()

    @override
    def hiding(self, facts: Table) -> Ddl:
        """All that contract does: there is one column under two names, so nothing would have to be kept."""
        *_, final = self._views
        return Ddl(
            statements=self.contract(replace(facts, kept=False)),
            inverse=(
                *(
                    sql.SQL("ALTER TABLE {} RENAME COLUMN {} TO {}").format(
                        final.identifier, sql.Identifier(new), sql.Identifier(old)
                    )
                    for old, new in reversed(self.columns)
                ),
                *((_renamed(final, self.target),) if final != self.target else ()),
                *self.expand(facts).statements,
            ),
        )

    @override
    def renamed_to(self, table: TableName) -> TableName | None:
        *_, final = self._views
        return final if final != self.target else None

    @override
    def contract(self, facts: Table) -> tuple[Statement, ...]:
        if facts.kept:
            return ()
        *_, final = self._views
        return (
            *map(viewing.dropped, reversed(self._views)),
            _renamed(self._aside, final),
            *(
                sql.SQL("ALTER TABLE {} RENAME COLUMN {} TO {}").format(
                    final.identifier, sql.Identifier(old), sql.Identifier(new)
                )
                for old, new in self.columns
            ),
        )


def _renamed(table: TableName, to: TableName) -> Statement:
    return sql.SQL("ALTER TABLE {} RENAME TO {}").format(table.identifier, sql.Identifier(to.name))
