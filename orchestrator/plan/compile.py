"""Turn a plan's phase into steps, given the facts of its tables.

Operations say what is their own; what all of them share is added here, once per table: the sync
trigger, the sweep, the proof, the switch of truth. The facts are always the branch's of this
moment, so the same phase compiled before and after it ran gives the same inverses.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import reduce
from itertools import chain
from typing import TypeVar

from psycopg import sql

from orchestrator.operations import Operation, building
from orchestrator.plan import keeping, scope, watched, window
from orchestrator.plan.facade import changes
from orchestrator.plan.keeping import sync_triggers
from orchestrator.plan.lifecycle import Phase
from orchestrator.plan.model import Plan
from orchestrator.sql import strays, sync
from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import TableName, bounded
from orchestrator.sql.mapping import Mapping, Truth
from orchestrator.sql.script import Locks, Outright, strongest
from orchestrator.sql.steps import (
    RESTORE,
    ConcurrentIndex,
    LockMode,
    Proof,
    Statement,
    Step,
    Strays,
    Sweep,
    SyncTrigger,
    Transaction,
)
from orchestrator.sql.sync import Ddl
from orchestrator.words import listed

Facts = scope.Facts
_OfChange = TypeVar("_OfChange", Transaction, ConcurrentIndex, Proof, Step)

_SWITCH = "switch"
"""The key of the step at which readers move."""
_NOTHING_LOST = "nothing is lost: find no row whose new side alone holds its value"
_DIFFER, _BREAKS = "whose two sides differ", "that breaks the rule"
"""What a row is that a proof looks for, where rows have two sides and where they have one."""
_WRITE_BOTH = (
    "something writes one side alone, and the plan has the application write both: see that every instance does, set"
    " these rows right, then run the same command again"
)
_WINS = "which wins from now on where a statement writes both"


def steps(plan: Plan, phase: Phase, facts: Facts) -> tuple[Step, ...]:
    """Return the steps of a phase, in order. What changes the catalog for good is one transaction for all tables.

    What only does something on the way back is no step forward: after the switch the phase is over, in one commit.
    """
    return tuple(
        step for step in _both_ways(plan, phase, facts) if not isinstance(step, Transaction) or step.statements
    )


def _both_ways(plan: Plan, phase: Phase, facts: Facts) -> tuple[Step, ...]:
    """Return the steps of a phase, with those that are none but for a rollback."""
    compilers = {
        Phase.EXPAND: _expand,
        Phase.BACKFILL: _backfill,
        Phase.MIGRATE_READS: _migrate_reads,
        Phase.CONTRACT: _contract,
        Phase.FINALIZE: window.finalizing,
    }
    return compilers[phase](plan, _at(plan, phase, facts))


def _at(plan: Plan, phase: Phase, facts: Facts) -> Facts:
    """Return the facts as a phase finds them: a person is shown every phase, wherever the plan is."""
    if phase is Phase.FINALIZE and all(table.kept for table in facts.values()):
        return facts
    facts = {name: scope.unhidden(plan, table) for name, table in facts.items()}
    if phase in (Phase.CONTRACT, Phase.FINALIZE):
        return _seen(plan, facts, lambda change, table: change.switched(table))
    return _seen(plan, facts, lambda change, table: change.unswitched(table))


def undo(plan: Plan, phase: Phase, facts: Facts, *, filled: bool, in_step: bool = True) -> tuple[Step, ...]:
    """Return the steps that take a phase back.

    Args:
        plan: the plan as it was begun.
        phase: the phase.
        facts: of its tables, now.
        filled: whether the backfill was completed. Before the side that new writers wrote goes, it is
            proven that the old side has all of it; rows that the backfill has not reached have nothing new.
        in_step: where contract keeps the old side: whether nothing came between what keeps it true and any write.
    """
    backward = tuple(step for step in reversed(_both_ways(plan, phase, facts)) if step.inverse)
    if phase is Phase.MIGRATE_READS:
        return _returning(plan, facts, backward)
    if phase is Phase.CONTRACT and window.is_open(plan):
        return _reopening(plan, facts, backward, in_step=in_step)
    facts = {name: scope.unhidden(plan, table) for name, table in facts.items()}
    if phase is not Phase.EXPAND:
        return backward
    facts = _at(plan, phase, facts)
    # A new column that someone dropped by hand holds nothing that could be lost.
    there = tuple(
        table.name
        for table in scope.in_step(plan, facts)
        if scope.filling(plan, table) and all(map(table.column, scope.made(plan, table)))
    )
    kept = tuple(chain.from_iterable(keeping.kept_by(plan, facts[table]) for table in there))
    repaired = tuple(table for table in map(facts.__getitem__, there) if scope.in_place(plan, table))
    proven = tuple(
        _given_up(replace(proof, unfilled_too=not filled))
        for proof in proofs(plan, facts, _NOTHING_LOST, two_sided=True)
        if proof.table in there
    )
    counting = _counting(plan, facts, proven, on_return=True)
    return (
        *_withdrawal(plan, repaired),
        *counting,
        *proven,
        *_own(plan, facts, lambda change, table: change.before_withdrawal(table)),
        *(_restoration(plan, table) for table in repaired),
        *(
            replace(step, kept_by=kept, counted=_counted(counting)) if isinstance(step, Transaction) else step
            for step in backward
        ),
    )


def _reopening(plan: Plan, facts: Facts, backward: tuple[Step, ...], *, in_step: bool) -> tuple[Step, ...]:
    """Return what undoes a contract that keeps the old structure; one that stopped before that, too."""
    kept = all(table.kept for table in facts.values())
    title = f"before the old side comes back: find no row {_DIFFER}"
    proven = () if in_step or not kept else proofs(plan, facts, title, two_sided=True)
    found = _at(plan, Phase.CONTRACT, facts)
    return (
        *(replace(proof, key=f"{proof.key} on return", remedy=_AMISS) for proof in proven),
        *(window.undoing(plan, facts, backward) if kept else backward),
        *(
            replace(
                _sweep(plan, found[name]),
                key=f"sweep {name} after undo",
                title=f"fill what was written to {name} while contract had taken away what fills it",
                purpose="undo",
            )
            for name in window.lapsed(plan, found)
        ),
    )


_AMISS = (
    "something wrote past the triggers that keep the old side true (they were disabled, or replaced): set these rows"
    " right, then roll back again; or drop the old side: ecm finalize --now"
)


def _given_up(proof: Proof) -> Proof:
    """Return the proof that the new side may go, with what to do where the old one cannot hold all of it."""
    if not any(mapping.stranded is not None for mapping in proof.mappings):
        return replace(proof, giving_up=True)
    known = {mapping.overflow for mapping in proof.mappings}
    overflow = known.pop() if len(known) == 1 else None
    wanted = "give these rows another one, or delete them" if overflow else "change these values or delete these rows"
    return replace(
        proof,
        giving_up=True,
        complaint=overflow or "the old side cannot hold what the new one has",
        remedy=f"{wanted}, then roll back again",
        instead="; or go on to contracted, with them",
    )


def _withdrawal(plan: Plan, repaired: tuple[Table, ...]) -> Iterable[Step]:
    """Return what ends the repair of rows, so that they can have their own values back.

    The lock waits for every writer under way: whoever comes after runs the functions as they are from here on.
    """
    if repaired:
        yield Transaction(
            key="withdraw",
            title="repair nothing any more",
            tables=tuple(chain.from_iterable(table.lockable for table in repaired)),
            lock=LockMode.SHARE_ROW_EXCLUSIVE,
            statements=tuple(
                function
                for table in repaired
                for function in sync.withdraw(plan.plan, table, scope.mappings(plan, table))
            ),
            inverse=tuple(
                function
                for table in repaired
                for function in sync.functions(plan.plan, table, scope.mappings(plan, table), Truth.OLD)
            ),
            note="replaces the triggers' functions",
            follows="expand",
            on_return=True,
        )


def _restoration(plan: Plan, facts: Table) -> Sweep:
    withdrawn = tuple(mapping.withdrawn for mapping in scope.in_place(plan, facts))
    return replace(
        _sweep(plan, facts),
        key=f"restore {facts.name}",
        title=f"give repaired rows of {facts.name} their own values back",
        mappings=withdrawn,
        touch=None,
        purpose=RESTORE,
    )


def _returning(plan: Plan, facts: Facts, backward: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return what moves readers back, after what that needs where nobody has seen the old side meanwhile."""
    hidden = {name: t for name, t in facts.items() if any(m.shown is Truth.NEW for m in scope.mappings(plan, t))}
    proven = tuple(
        _given_up(replace(proof, key=f"{proof.key} on return")) for proof in proofs(plan, hidden, _NOTHING_LOST)
    )
    counting = _counting(plan, hidden, proven, on_return=True)
    counted = _counted(counting)
    return (
        *counting,
        *proven,
        *_own(plan, facts, lambda change, table: change.built_on_return(table)),
        *_own(plan, facts, lambda change, table: change.before_return(table)),
        *(
            replace(step, inverse=(*_ended(counted), *step.inverse), counted=counted)
            if isinstance(step, Transaction) and step.key == _SWITCH
            else step
            for step in backward
        ),
    )


def _counting(plan: Plan, facts: Facts, found: Iterable[Proof], *, on_return: bool = False) -> tuple[Transaction, ...]:
    """Return what counts, from before these proofs on, the rows that they would not let pass.

    A phase that is given up before it dropped a side stops the count; a rollback begins one of its own.
    """
    counting = tuple(
        strays.strays(plan.plan, facts[proof.table], proof)
        for proof in found
        if scope.kept_by_trigger(plan) and any(mapping.may_stray for mapping in proof.mappings)
    )
    return _unless_empty(
        Transaction(
            key="count on return" if on_return else "count",
            title="from here on, count the rows that would not pass the proof",
            ends="count no more rows that would not pass the proof",
            tables=tuple(chain.from_iterable(facts[each.table].lockable for each in counting)),
            lock=LockMode.SHARE_ROW_EXCLUSIVE,
            statements=tuple(chain.from_iterable(each.begin for each in counting)),
            inverse=_ended(counting),
            note="what drops a side looks under its lock whether any came, and if so there is another proof",
            on_return=on_return,
            counting=counting,
        )
    )


def _counted(counting: tuple[Transaction, ...]) -> tuple[Strays, ...]:
    return tuple(chain.from_iterable(step.counting for step in counting))


def _ended(counted: tuple[Strays, ...]) -> tuple[Statement, ...]:
    return tuple(chain.from_iterable(each.end for each in counted))


def _outright(plan: Plan) -> tuple[Outright, ...]:
    return tuple(found for change in plan.changes if (found := change.outright()) is not None)


def _locked(plan: Plan, facts: Facts, outright: Iterable[Locks]) -> tuple[tuple[TableName, ...], LockMode | None]:
    """Return what a phase's transaction locks first: what the plan's author wrote may do with less than ecm itself."""
    found = tuple(outright)
    ours = scope.lockable(plan, facts)
    tables = tuple(dict.fromkeys((*ours, *chain.from_iterable(each.tables for each in found))))
    return tables, LockMode.ACCESS_EXCLUSIVE if ours else strongest(each.mode for each in found)


def _with_locks(note: str, outright: Iterable[Locks], *, ours: bool) -> str:
    """Return what is said of a transaction; the note is left out where there is nothing of ecm's own in it."""
    lines = tuple(chain.from_iterable(each.lines for each in outright))
    return "\n".join((*((note,) if ours or not lines else ()), *lines))


def _expand(plan: Plan, facts: Facts) -> tuple[Step, ...]:
    written = _outright(plan)
    tables, lock = _locked(plan, facts, (each.expand_locks for each in written))
    parts = [Ddl(statements=each.expand, inverse=each.inverse) for each in written]
    parts += [part for table in facts.values() for part in (*_expansions(plan, table), keeping.installed(plan, table))]
    return (
        *_own(plan, facts, lambda change, table: change.before_expand(table)),
        *demanded(plan, facts),
        *_unless_empty(
            Transaction(
                key="expand",
                title=_expands(plan, facts),
                tables=tables,
                views=scope.views(plan, facts),
                lock=lock,
                statements=tuple(chain.from_iterable(part.statements for part in parts)),
                inverse=tuple(chain.from_iterable(part.inverse for part in reversed(parts))),
                note=_with_locks(
                    "catalog only: nothing is rewritten, whatever the table's size",
                    (each.expand_locks for each in written),
                    ours=len(parts) > len(written),
                ),
            )
        ),
        *chain.from_iterable(each.after_expand for each in written),
    )


def _triggers(plan: Plan, facts: Facts) -> str:
    """Return the sync triggers in words; empty where no row has two sides."""
    tables = sum(1 for _ in scope.in_step(plan, facts)) if scope.kept_by_trigger(plan) else 0
    return "" if not tables else "the trigger" if tables == 1 else "the triggers"


def _expands(plan: Plan, facts: Facts) -> str:
    made: dict[str, None] = {}
    begun: list[str] = []
    for change in changes(plan):
        new = [name for name in change.made() if any(name in scope.news(plan, table) for table in facts.values())]
        made.update(dict.fromkeys(new))
        begun += [change.beginning] if change.beginning and not new else []
    first = ([f"add {listed(made)}"] if made else []) + begun
    kept = _triggers(plan, facts)
    if not kept:
        tables = dict.fromkeys(str(table) for table in facts)
        return listed(first) if first else f"ready {listed(tables)}" if tables else ""
    kept = f"{kept} that {_keeping(plan, facts, several=kept == 'the triggers')}"
    if not first:
        return f"add {kept}"
    return f"{listed(first)}, and {'add ' if begun else ''}{kept}"


def _keeping(plan: Plan, facts: Facts, *, several: bool) -> str:
    """Return what the sync triggers do, in words."""
    pairs = tuple(chain.from_iterable(scope.mappings(plan, table) for table in facts.values()))
    s = "" if several else "s"
    if all(pair.in_place for pair in pairs):
        return f"repair{s} rows as they are written"
    if not any(pair.fills for pair in pairs):
        return f"give{s} what new writers leave out"
    return f"keep{s} both sides in step"


def _contracts(plan: Plan, facts: Facts) -> str:
    endings = listed(change.ending for change in changes(plan))
    kept = _triggers(plan, facts)
    return f"take {kept} away, and {endings}" if kept else endings


def _own(plan: Plan, facts: Facts, hook: Callable[[Operation, Table], Iterable[_OfChange]]) -> Iterator[_OfChange]:
    """Give the steps of changes' own, each with its table in its key: two tables may have what is of one name."""
    for change, table in scope.each(plan, facts):
        for step in hook(change, table):
            named = step.key.endswith(f" {table.name}")
            yield step if named else replace(step, key=f"{step.key} of {table.name}")


def _unless_empty(step: Transaction) -> tuple[Transaction, ...]:
    """Return a step where there is anything to do in it; else no lock is asked for."""
    return (step,) if step.statements else ()


def _expansions(plan: Plan, facts: Table) -> Iterable[Ddl]:
    """What each change of a table does in expand; one that comes last does it to what the others left."""
    for change in scope.on(plan, facts):
        yield change.expand(facts)
        facts = change.expanded(facts)


def _backfill(plan: Plan, facts: Facts) -> tuple[Step, ...]:
    """Fill the tables that have a new side; the other side of one in another table is only read."""
    return tuple(
        _sweep(plan, table)
        for table in scope.in_step(plan, facts)
        if scope.filling(plan, table) and scope.news(plan, table)
    )


def _sweep(plan: Plan, facts: Table) -> Sweep:
    pairs = scope.mappings(plan, facts)
    kept, suppressed = keeping.kept_by(plan, facts), plan.backfill.user_triggers == "suppress"
    facts = replace(facts, triggers=tuple(t for t in facts.triggers if not suppressed or scope.fires_always(t)))
    by_trigger = scope.kept_by_trigger(plan)
    touch = sync.touchable(facts, pairs) if by_trigger and sync.by_column(facts, pairs) else None
    if touch is None and by_trigger:
        # No trigger of the table's own is on a column that only this plan knows. Where one of those looks at the row,
        # the sync trigger has to as well. It would take what the sweep writes for what a new writer wrote, and where
        # the old side does not come again from that, it would be another.
        meddled = bool(sync.meddlers(facts))
        # What comes last is computed of the row as those triggers leave it.
        last = (
            each for each in pairs if meddled and (each.one_way is not None or (each.comes_last and not each.in_place))
        )
        filled = (*(each for each in pairs if each.by_trigger), *last)
        touch = next((name for mapping in filled for name in mapping.news), None)
    return Sweep(
        key=f"sweep {facts.name}",
        title=f"{_verbs(pairs)} {listed(scope.news(plan, facts))} in every row of {facts.name}",
        table=facts.name,
        # What is to be filled in another table's rows is proven with these, once they are.
        mappings=tuple(each for each in scope.filling(plan, facts) if each.news),
        spared=None if touch or not by_trigger or sync.meddlers(facts) else sync.trigger_name(plan.plan, facts.name),
        touch=touch,
        kept_by=kept,
        note="in batches of pages; each batch commits with its own checkpoint",
        remedy="" if by_trigger else _WRITE_BOTH,
    )


def _verbs(pairs: tuple[Mapping, ...]) -> str:
    return " and ".join(sorted({"repair" if mapping.in_place else "fill" for mapping in pairs}))


def _again(plan: Plan, facts: Facts, purpose: str) -> Iterable[Sweep]:
    """Return sweeps of the tables whose rows can come to break a rule by what happens to other rows."""
    for table in scope.in_step(plan, facts):
        drifting = tuple(mapping for mapping in scope.in_place(plan, table) if mapping.drifts)
        if drifting:
            yield replace(
                _sweep(plan, table),
                key=f"sweep {table.name} again",
                title=f"repair what came to break a rule in {table.name} since",
                mappings=drifting,
                touch=None,
                purpose=purpose,
            )


def _migrate_reads(plan: Plan, facts: Facts) -> tuple[Step, ...]:
    statistics = tuple(
        Transaction(
            key=f"analyze {table.name}",
            title=f"statistics on {listed(news)}, for the planner",
            tables=(table.name,),
            lock=LockMode.SHARE_UPDATE_EXCLUSIVE,
            statements=(
                sql.SQL("ANALYZE {} ({})").format(table.name.identifier, sql.SQL(", ").join(map(sql.Identifier, news))),
            ),
            inverse=(),
        )
        for table in facts.values()
        for news in [scope.news(plan, table)]
        if news
    )
    proven = proofs(plan, facts, f"before readers come: find no row {_DIFFER}", closing=True)
    # Where both sides stay in sight, a row that is wrong loses nothing yet.
    counting = _counting(plan, facts, (each for each in proven if any(m.shown for m in each.mappings)))
    counted = _counted(counting)
    return (
        *chain.from_iterable(_twin_steps(plan, table) for table in facts.values()),
        *statistics,
        *_own(plan, facts, lambda change, table: change.before_reads(table)),
        *_again(plan, facts, Phase.MIGRATE_READS),
        *watched.steps(plan, facts),
        *counting,
        *proven,
        *_own(plan, facts, lambda change, table: change.before_switch(table)),
        *(
            replace(step, statements=(*_ended(counted), *step.statements), counted=counted)
            for step in _switch(plan, facts)
        ),
        *(
            # They take back what the switch did, which has the last record of the phase.
            replace(step, follows=_SWITCH)
            for step in _own(plan, facts, lambda change, table: change.on_return(table))
        ),
    )


def keeping_old(plan: Plan, facts: Facts) -> tuple[SyncTrigger, ...]:
    """Return what keeps the old side true once contract has put it out of sight, as it has to be found."""
    kept = any(table.kept for table in facts.values())
    return window.triggers(plan, facts if kept else _at(plan, Phase.CONTRACT, facts))


def _seen(plan: Plan, facts: Facts, how: Callable[[Operation, Table], Table]) -> Facts:
    """Return the facts as each change of a table says that they are at another moment."""
    return {
        name: reduce(lambda seen, change: how(change, seen), scope.on(plan, table), table)
        for name, table in facts.items()
    }


def _switch(plan: Plan, before: Facts) -> tuple[Step, ...]:
    """Return the moment at which readers move, and the new side becomes what counts; nothing where there are no sides.

    The way back first gives the functions their old bodies only after the columns have their old names.
    """
    after = _seen(plan, before, lambda change, table: change.switched(table))
    released = [change.release(table) for change, table in scope.each(plan, before)]
    parts = [change.switch(table) for change, table in scope.each(plan, before)]
    catalog = tuple(chain.from_iterable(part.statements for part in (*released, *parts)))
    functions, before_it = _functions(plan, after, Truth.NEW), _functions(plan, before, Truth.OLD)
    hidden = all(pair.shown is not None for table in before.values() for pair in scope.mappings(plan, table))
    # Where rows have one side only, there is nothing that could win.
    if not catalog and functions == before_it:
        return ()
    return (
        Transaction(
            key=_SWITCH,
            title=("readers move to the new side" + ("" if hidden else f", {_WINS}"))
            if catalog
            else "the new side wins from now on where a statement writes both",
            tables=scope.lockable(plan, before) if catalog else tuple(before),
            views=scope.moved_views(plan, before) if catalog else (),
            lock=LockMode.ACCESS_EXCLUSIVE if catalog else None,
            statements=(*catalog, *functions),
            inverse=(
                *chain.from_iterable(part.inverse for part in (*released, *reversed(parts))),
                *before_it,
            ),
            note="catalog only" if catalog else "replaces the trigger's function; no table is locked",
        ),
    )


def _twin_steps(plan: Plan, facts: Table) -> Iterable[Step]:
    """Return what builds the twins without holding writers back."""
    for twin in scope.twins(plan, facts):
        yield from building.built(facts, twin, lambda partition, name=twin.name: bounded(name, partition.name))


def _functions(plan: Plan, facts: Facts, truth: Truth) -> tuple[Statement, ...]:
    """Return the functions with another side that wins, or, where columns exchange their names, all of them anew."""
    return tuple(
        function
        for table in scope.in_step(plan, facts)
        if scope.kept_by_trigger(plan)
        for pairs in [scope.mappings(plan, table)]
        for function in (
            sync.functions(plan.plan, table, pairs, truth)
            if any(mapping.shown is not None for mapping in pairs)
            else (sync.sync_function(plan.plan, table, pairs, truth),)
        )
    )


def _contract(plan: Plan, facts: Facts) -> tuple[Step, ...]:
    written = _outright(plan)
    tables, lock = _locked(plan, facts, (each.contract_locks for each in written))
    own = (
        *watched.ended(plan, facts),
        *chain.from_iterable(keeping.installed(plan, table).inverse for table in facts.values()),
        *chain.from_iterable(change.clear(table) for change, table in scope.each(plan, facts)),
        *scope.dues(plan, facts),
        *chain.from_iterable(change.contract(table) for change, table in scope.each(plan, facts)),
    )
    again = {sweep.table: sweep for sweep in _again(plan, facts, Phase.CONTRACT)}
    proven = proofs(plan, facts, f"for the last time: find no row {_DIFFER}", closing=True)
    counting = _counting(plan, facts, proven)
    contract = Transaction(
        key=window.CONTRACT,
        title=_contracts(plan, facts),
        tables=tables,
        views=scope.views(plan, facts),
        lock=lock,
        first=tuple(
            chain.from_iterable(mapping.at_last for table in facts.values() for mapping in scope.mappings(plan, table))
        ),
        statements=(*own, *chain.from_iterable(each.contract for each in written)),
        inverse=(),
        note=_with_locks(window.FOR_GOOD, (each.contract_locks for each in written), ours=bool(own)),
        reversible=False,
        kept_by=sync_triggers(
            plan, {name: table for name, table in facts.items() if scope.filling(plan, table)}, Truth.NEW
        ),
        counted=_counted(counting),
    )
    return (
        *_own(plan, facts, lambda change, table: change.hold(table)),
        *again.values(),
        *counting,
        *proven,
        *(
            replace(step, again=again.get(table.name)) if isinstance(step, ConcurrentIndex) else step
            for table in facts.values()
            for step in _own(plan, {table.name: table}, lambda change, table: change.before_contract(table))
        ),
        *chain.from_iterable(each.before_contract for each in written),
        *_unless_empty(window.hiding(plan, facts, contract) if window.is_open(plan) else contract),
    )


def proofs(
    plan: Plan, facts: Facts, title: str, *, closing: bool = False, two_sided: bool = False
) -> tuple[Proof, ...]:
    """Return the scan of each table that says whether the two sides follow from one another.

    With `closing`, the new side also has to be as it must be after contract. With `two_sided`, what is changed in
    place is left out: it has no side that could be lost.
    """
    wanted = {
        table.name: tuple(
            each for each in (*scope.filling(plan, table), *_demands(plan, table)) if not (two_sided and each.in_place)
        )
        for table in facts.values()
    }
    return tuple(
        Proof(
            key=f"proof {name}",
            title=title.replace(_DIFFER, _BREAKS) if all(each.in_place for each in found) else title,
            table=facts[name].at,
            mappings=found,
            kept_by=keeping.kept_by(plan, facts[name]) if scope.mappings(plan, facts[name]) else (),
            closing=closing,
            remedy="" if scope.kept_by_trigger(plan) else _WRITE_BOTH,
        )
        for name, found in wanted.items()
        if found
    )


def _demands(plan: Plan, facts: Table) -> tuple[Mapping, ...]:
    return tuple(chain.from_iterable(change.demands(facts) for change in scope.on(plan, facts)))


def demanded(plan: Plan, facts: Facts) -> tuple[Proof, ...]:
    """Return the scans for what every row has to be like before anything is touched."""
    return tuple(
        Proof(
            key=f"proof {table.name} is ready",
            title="before anything is touched: find no row that breaks what nothing repairs",
            table=table.name,
            mappings=found,
        )
        for table in facts.values()
        for found in [_demands(plan, table)]
        if found
    )


def foreseen(plan: Plan, facts: Facts) -> tuple[Proof, ...]:
    """Return the looks for rows whose new values contract would not take."""
    return tuple(proof for change, table in scope.each(plan, facts) for proof in change.foreseen(table))


def rehearsals(plan: Plan, facts: Facts) -> tuple[tuple[Operation, Table, tuple[Statement, ...]], ...]:
    """Return what is tried on an empty temporary copy of a table, for each change that has anything to try there."""
    return tuple(
        (change, table, statements)
        for change, table in scope.each(plan, facts)
        for statements in [change.rehearsed(table)]
        if statements
    )


def trials(plan: Plan, facts: Facts) -> tuple[tuple[Operation, Table, Transaction], ...]:
    """Return the steps of expand that only read, to find out what PostgreSQL makes of expressions."""
    return tuple(
        (change, table, step)
        for change, table in scope.each(plan, facts)
        for step in change.before_expand(table)
        if isinstance(step, Transaction) and step.lock is None and not step.inverse
    )
