"""The undo window: contract keeps the old structure out of sight, and true, so that it can be undone at once.

What contract would drop is given another name; the sync goes on, towards that name only, since the application sees
the new side alone. Undo gives the names back. Finalize drops what is kept, under the names it has by then: since
contract only the new side was written by anybody, so there is nothing left to prove. Where no row has two sides (a
table's name, a facade, statements of the author's own) contract does all it does, and undo makes again what expand
made (docs/decisions/0036-contract-hides-before-it-drops.md).
"""

from collections.abc import Iterable
from dataclasses import replace
from itertools import chain

from psycopg import sql

from orchestrator.errors import EcmError, PreconditionError
from orchestrator.plan import keeping, scope, watched
from orchestrator.plan.durations import humanize
from orchestrator.plan.model import Plan
from orchestrator.plan.scope import Facts
from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import TableName
from orchestrator.sql.mapping import Truth
from orchestrator.sql.script import strongest
from orchestrator.sql.steps import LockMode, Statement, Step, SyncTrigger, Transaction
from orchestrator.words import listed

CONTRACT, FINALIZE = "contract", "finalize"
"""The keys of the steps that hide the old structure, and that drop what is kept of it."""
FOR_GOOD = "catalog only; this cannot be rolled back"
"""What is said of a step that drops the old structure."""


def is_open(plan: Plan) -> bool:
    """Whether a plan's contract can be undone for some time."""
    return bool(plan.contract.undo_window)


def after(plan: Plan, facts: Facts) -> Facts:
    """Return the facts of tables as they are once contract has put the old side out of sight."""
    return {name: scope.hidden(plan, table) for name, table in facts.items()}


def triggers(plan: Plan, facts: Facts) -> tuple[SyncTrigger, ...]:
    """Return what keeps the old side true meanwhile, as it has to be found."""
    return keeping.sync_triggers(plan, after(plan, facts), Truth.NEW)


# ---------------------------------------------------------------- contract, and back


def hiding(plan: Plan, facts: Facts, contract: Transaction) -> Transaction:
    """Return contract's transaction as it is where it can be undone.

    Args:
        plan: the plan.
        facts: of its tables, while both versions work.
        contract: the transaction that drops the old structure, with its locks and what it looks at.
    """
    hidden = after(plan, facts)
    resting = _resting(plan, facts, hidden)
    moved = [change.hiding(table) for change, table in scope.each(plan, facts)]
    written = [found for change in scope.changes(plan) if (found := change.outright()) is not None]
    there, back = _functions(plan, hidden.values()), _functions(plan, facts.values())
    if there == back:  # the columns have exchanged their names already, and nobody sees the old one
        there = back = ()
    return replace(
        contract,
        title=f"take the old structure out of sight, and keep it for {humanize(plan.contract.undo_window)}",
        ends="bring the old structure back, with both versions working again",
        statements=(
            *chain.from_iterable(each.end for each in contract.counted),
            *watched.ended(plan, facts),
            # New writers alone write from here on, and their readers would wait for one of them.
            *scope.dues(plan, facts),
            *(rename for table in facts.values() for rename in _columns(plan, table)),
            *chain.from_iterable(ddl.statements for ddl in moved),
            *chain.from_iterable(keeping.installed(plan, table).inverse for table in resting),
            *there,
            *chain.from_iterable(each.contract for each in written),
        ),
        inverse=(
            *chain.from_iterable(each.contract_inverse for each in reversed(written)),
            # A view over all columns is made again once these have their names.
            *(rename for table in hidden.values() for rename in _columns(plan, table, back=True)),
            *chain.from_iterable(ddl.inverse for ddl in reversed(moved)),
            *chain.from_iterable(keeping.installed(plan, table).statements for table in resting),
            *back,
            *watched.begun(plan, facts),
        ),
        note="\n".join(
            (*_costs(plan, facts, hidden), *(line for line in contract.note.splitlines() if line != FOR_GOOD))
        ),
        reversible=True,
    )


def taken(plan: Plan, facts: Facts) -> Iterable[EcmError]:
    """Return why undo cannot give columns their names back: somebody made others of these names meanwhile.

    Args:
        plan: the plan.
        facts: of its tables, as contract left them, or not.
    """
    for table in facts.values() if all(table.kept for table in facts.values()) else ():
        pairs = _pairs(plan, table)
        for now in {now for now, _ in pairs} - {then for _, then in pairs}:
            if table.column(now) is not None:
                yield PreconditionError(
                    f"{table.at} has a column {now} again, which is the name of what contract keeps",
                    details=["it was made since, and undo would give the name back"],
                    hint=f"rename or drop it, then roll {plan.plan} back again; or drop what is kept: ecm finalize",
                )


def undoing(plan: Plan, facts: Facts, backward: Iterable[Step]) -> tuple[Step, ...]:
    """Return the steps that undo contract, where it keeps the old structure.

    Args:
        plan: the plan.
        facts: of its tables, as contract left them.
        backward: the inverses of contract's steps.
    """
    filled = {name: t for name, t in facts.items() if any(pair.fills for pair in scope.mappings(plan, t))}
    ours = scope.lockable(plan, facts)
    written = [found.undo_locks for change in scope.changes(plan) if (found := change.outright()) is not None]
    lock = LockMode.ACCESS_EXCLUSIVE if ours else strongest(each.mode for each in written)
    return tuple(
        replace(
            step,
            tables=tuple(dict.fromkeys((*ours, *chain.from_iterable(each.tables for each in written)))),
            lock=lock,
            views=(),
            note="catalog only: no row is read, and nothing is lost",
            kept_by=keeping.sync_triggers(plan, filled, Truth.NEW),
            counted=(),
        )
        if isinstance(step, Transaction) and step.key == CONTRACT
        else step
        for step in backward
        if not (isinstance(step, Transaction) and step.counting)  # contract has ended that
    )


def _resting(plan: Plan, facts: Facts, hidden: Facts) -> tuple[Table, ...]:
    """Return the tables whose triggers have nothing to do meanwhile."""
    busy = {table.name for table in scope.in_step(plan, hidden)}
    return tuple(table for table in scope.in_step(plan, facts) if table.name not in busy)


def lapsed(plan: Plan, facts: Facts) -> tuple[TableName, ...]:
    """Return the tables whose rows are filled again once contract is undone."""
    return tuple(
        name
        for name, table in after(plan, facts).items()
        if any(getattr(pair, "lapses", False) for pair in scope.mappings(plan, table))
    )


def _costs(plan: Plan, facts: Facts, hidden: Facts) -> Iterable[str]:
    """Give what it costs as long as contract can be undone, a line each."""
    yield f"catalog only; it can be undone for {humanize(plan.contract.undo_window)}, and until it is finalized"
    if any(pair.fills for table in hidden.values() for pair in scope.mappings(plan, table)):
        yield "meanwhile each write goes to both sides, as before"
    if names := (*_kept_columns(plan, facts), *_aside(plan, facts)):
        yield (
            f"SELECT *, and INSERT and COPY without a list of columns, see {listed(names)} until then, whose"
            " constraints still hold"
        )
    yield from sent(plan, facts)


def sent(plan: Plan, facts: Facts) -> Iterable[str]:
    """Give the publications that send what is out of sight under a name that no subscriber knows, a line each.

    A subscriber without a column of that name applies nothing any more ("Logical Replication", Subscription).
    """
    for table in facts.values() if is_open(plan) else ():
        names = _out_of_sight(_pairs(plan, table))
        for publication in table.publications if names else ():
            yield (
                f"publication {publication} sends whole rows of {table.name}: its subscribers need {listed(names)} too"
                " from contract on, until it is finalized"
            )


def _kept_columns(plan: Plan, facts: Facts) -> tuple[str, ...]:
    """Return the names of the columns that are out of sight."""
    return tuple(chain.from_iterable(_out_of_sight(_pairs(plan, table)) for table in facts.values()))


def _aside(plan: Plan, facts: Facts) -> Iterable[str]:
    """Give the columns that stand aside already: what has exchanged its name, and what rows held before a repair."""
    for table in facts.values():
        for pair in scope.mappings(plan, table):
            if pair.in_place:
                yield from pair.scaffolding
            elif pair.shown is not None:
                yield from pair.olds


def _out_of_sight(pairs: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """Return the names among (now, then) pairs that nobody knows."""
    return tuple(then for _, then in pairs if then not in {now for now, _ in pairs})


def _pairs(plan: Plan, facts: Table) -> tuple[tuple[str, str], ...]:
    return tuple(chain.from_iterable(change.hidden(facts.name) for change in scope.on(plan, facts)))


def _columns(plan: Plan, facts: Table, *, back: bool = False) -> Iterable[Statement]:
    pairs = _pairs(plan, facts)
    for now, then in ((then, now) for now, then in reversed(pairs)) if back else pairs:
        yield sql.SQL("ALTER TABLE {} RENAME COLUMN {} TO {}").format(
            facts.at.identifier, sql.Identifier(now), sql.Identifier(then)
        )


def _functions(plan: Plan, tables: Iterable[Table]) -> tuple[Statement, ...]:
    """Return every function of the tables' triggers, and of those on others, for the side that counts after readers."""
    found = {
        trigger.function: trigger.create_function
        for table in tables
        if not all(pair.rests for pair in scope.mappings(plan, table))
        for trigger in keeping.kept_by(plan, table, Truth.NEW)
        if trigger.table not in table.lockable[1:]
    }
    return tuple(found.values())


# ---------------------------------------------------------------- finalize


def finalizing(plan: Plan, facts: Facts) -> tuple[Step, ...]:
    """Return what drops for good what contract kept: one transaction of the catalog's, without a proof.

    Args:
        plan: the plan.
        facts: of its tables, as contract left them, or would.
    """
    kept = after(plan, facts)
    statements = tuple(chain.from_iterable(_dropped(plan, kept))) if is_open(plan) else ()
    if not statements:
        return ()
    return (
        Transaction(
            key=FINALIZE,
            title=f"drop what contract kept: {listed(_kept_columns(plan, facts))}"
            if _kept_columns(plan, facts)
            else "drop what contract kept",
            tables=scope.lockable(plan, kept),
            lock=LockMode.ACCESS_EXCLUSIVE,
            statements=statements,
            inverse=(),
            note=FOR_GOOD,
            reversible=False,
        ),
    )


def _dropped(plan: Plan, kept: Facts) -> Iterable[tuple[Statement, ...]]:
    """Give what is done to the tables, in order; a table that contract renamed has its own name meanwhile."""
    own = {name: replace(table, now=None) for name, table in kept.items()}
    work = (
        *chain.from_iterable(keeping.installed(plan, table).inverse for table in scope.in_step(plan, own)),
        *chain.from_iterable(change.clear(table) for change, table in scope.each(plan, own)),
        *chain.from_iterable(change.contract(table) for change, table in scope.each(plan, own)),
    )
    # Before the tables have other names: mappings know them by those of now.
    yield scope.dues(plan, kept)
    moved = [(table.now, name) for name, table in kept.items() if table.now is not None and work]
    yield tuple(_table_renamed(now, name) for now, name in moved)
    yield work
    yield tuple(_table_renamed(name, now) for now, name in moved)


def _table_renamed(now: TableName, then: TableName) -> Statement:
    return sql.SQL("ALTER TABLE {} RENAME TO {}").format(now.identifier, sql.Identifier(then.name))
