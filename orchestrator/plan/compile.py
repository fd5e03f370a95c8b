"""Turn a plan's phase into steps, given the facts of its tables.

Operations say what is their own; what all of them share is added here, once per table: the sync
trigger, the sweep, the proof, the switch of truth. The facts are always the branch's of this
moment, so the same phase compiled before and after it ran gives the same inverses.
"""

from collections.abc import Callable, Iterable
from collections.abc import Mapping as Dictionary
from dataclasses import replace
from functools import reduce
from itertools import chain

from psycopg import sql

from orchestrator.errors import EcmError, PreconditionError, PrivilegeError
from orchestrator.operations import Operation, building
from orchestrator.plan import shapes
from orchestrator.plan.facade import changes
from orchestrator.plan.lifecycle import Phase
from orchestrator.plan.model import Plan
from orchestrator.sql import sync
from orchestrator.sql.facts import Dependent, Index, Table, Trigger
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
    Sweep,
    SyncTrigger,
    Transaction,
)
from orchestrator.sql.sync import Ddl
from orchestrator.words import listed

Facts = Dictionary[TableName, Table]


def tables(plan: Plan) -> tuple[TableName, ...]:
    """Return the tables a plan names as those it changes, each once, in the plan's order."""
    return tuple(dict.fromkeys(chain.from_iterable(change.tables() for change in changes(plan))))


def synced(plan: Plan) -> tuple[TableName, ...]:
    """Return the tables a plan names that a sync trigger keeps in step from expand until contract."""
    return tuple(dict.fromkeys(chain.from_iterable(change.synced() for change in changes(plan))))


def mappings(plan: Plan, facts: Table) -> tuple[Mapping, ...]:
    """Return every mapping of a plan on one table."""
    return tuple(chain.from_iterable(change.mappings(facts) for change in _on(plan, facts)))


def _filling(plan: Plan, facts: Table) -> tuple[Mapping, ...]:
    """The mappings that have something to say of rows that were there before."""
    return tuple(mapping for mapping in mappings(plan, facts) if mapping.fills)


def _in_step(plan: Plan, facts: Facts) -> Iterable[Table]:
    """The tables whose rows have two sides; of others only the catalog changes."""
    return (table for table in facts.values() if mappings(plan, table))


def _each(plan: Plan, facts: Facts) -> Iterable[tuple[Operation, Table]]:
    """Each change with each of its tables, table by table."""
    return ((change, table) for table in facts.values() for change in _on(plan, table))


def has_two_sides(plan: Plan, facts: Facts) -> bool:
    """Whether any row has an old and a new side until contract."""
    return any(_in_step(plan, facts))


def _news(plan: Plan, facts: Table) -> tuple[str, ...]:
    return tuple(name for mapping in mappings(plan, facts) for name in mapping.news)


def _made(plan: Plan, facts: Table) -> tuple[str, ...]:
    """The columns that are there only since expand."""
    return tuple(
        name
        for mapping in mappings(plan, facts)
        for name in (mapping.scaffolding if mapping.in_place else mapping.news)
    )


def _in_place(plan: Plan, facts: Table) -> tuple[Mapping, ...]:
    """The mappings of a table that change values where they stand."""
    return tuple(mapping for mapping in mappings(plan, facts) if mapping.in_place)


def steps(plan: Plan, phase: Phase, facts: Facts) -> tuple[Step, ...]:
    """Return the steps of a phase, in order. What changes the catalog for good is one transaction for all tables."""
    compilers = {
        Phase.EXPAND: _expand,
        Phase.BACKFILL: _backfill,
        Phase.MIGRATE_READS: _migrate_reads,
        Phase.CONTRACT: _contract,
    }
    return compilers[phase](plan, _at(plan, phase, facts))


def _at(plan: Plan, phase: Phase, facts: Facts) -> Facts:
    """Return the facts as a phase finds them: a person is shown every phase, wherever the plan is."""
    if phase is Phase.CONTRACT:
        return _seen(plan, facts, lambda change, table: change.switched(table))
    return _seen(plan, facts, lambda change, table: change.unswitched(table))


def undo(plan: Plan, phase: Phase, facts: Facts, *, filled: bool) -> tuple[Step, ...]:
    """Return the steps that take a phase back.

    Args:
        plan: the plan as it was begun.
        phase: the phase.
        facts: of its tables, now.
        filled: whether the backfill was completed. Before the side that new writers wrote goes, it is
            proven that the old side has all of it; rows that the backfill has not reached have nothing new.
    """
    backward = tuple(step for step in reversed(steps(plan, phase, facts)) if step.inverse)
    if phase is Phase.MIGRATE_READS:
        return (*_returning(plan, facts), *backward)
    if phase is not Phase.EXPAND:
        return backward
    facts = _at(plan, phase, facts)
    # A new column that someone dropped by hand holds nothing that could be lost.
    there = tuple(
        table.name
        for table in _in_step(plan, facts)
        if _filling(plan, table) and all(map(table.column, _made(plan, table)))
    )
    kept = tuple(chain.from_iterable(_kept(plan, facts[table]) for table in there))
    repaired = tuple(table for table in map(facts.__getitem__, there) if _in_place(plan, table))
    return (
        *_withdrawal(plan, repaired),
        *(
            replace(proof, unfilled_too=not filled, giving_up=True)
            for proof in proofs(
                plan, facts, "nothing is lost: find no row whose new side alone holds its value", two_sided=True
            )
            if proof.table in there
        ),
        *(step for change, table in _each(plan, facts) for step in change.before_withdrawal(table)),
        *(_restoration(plan, table) for table in repaired),
        *(replace(step, kept_by=kept) if isinstance(step, Transaction) else step for step in backward),
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
            statements=(),
            inverse=tuple(
                function for table in repaired for function in sync.withdraw(plan.plan, table, mappings(plan, table))
            ),
            note="replaces the triggers' functions",
            follows="expand",
        )


def _restoration(plan: Plan, facts: Table) -> Sweep:
    withdrawn = tuple(mapping.withdrawn for mapping in _in_place(plan, facts))
    return replace(
        _sweep(plan, facts),
        key=f"restore {facts.name}",
        title=f"give repaired rows of {facts.name} their own values back",
        mappings=withdrawn,
        touch=None,
        purpose=RESTORE,
    )


def _returning(plan: Plan, facts: Facts) -> Iterable[Step]:
    """Return what comes before readers are moved back to a side that nobody has seen meanwhile."""
    hidden = {name: t for name, t in facts.items() if any(m.shown is Truth.NEW for m in mappings(plan, t))}
    for proof in proofs(plan, hidden, "nothing is lost: find no row whose new side alone holds its value"):
        yield replace(proof, key=f"{proof.key} on return", giving_up=True)
    for change, table in _each(plan, facts):
        yield from change.built_on_return(table)
    for change, table in _each(plan, facts):
        yield from change.before_return(table)


def problems(plan: Plan, phase: Phase, facts: Facts) -> tuple[EcmError, ...]:
    """Return everything in a branch's catalog that stands in the way of beginning a phase there."""
    match phase:
        case Phase.EXPAND:
            own = (
                error for table in facts.values() for error in (*_privileges(plan, table), *_unfollowed(plan, table))
            )
            suppressible = (error for table in facts.values() for error in _suppressible(plan, table))
            return (*unfit(plan, facts), *own, *suppressible)
        case Phase.CONTRACT:
            return (
                *(_in_the_way(plan, change, dependent) for change, dependent in _standing(plan, facts)),
                *(error for table in facts.values() for error in _written_since(plan, table)),
            )
        case Phase.BACKFILL:
            return tuple(error for table in facts.values() for error in _suppressible(plan, table))
        case Phase.MIGRATE_READS:
            return tuple(error for table in facts.values() for error in _names_taken(plan, table))


def _standing(plan: Plan, facts: Facts) -> tuple[tuple[Operation, Dependent], ...]:
    """Return what would go with what contract drops and is not ecm's own, with the change that drops it."""
    ours = {
        *(
            ("index", TableName(twin.table.schema, twin.name))
            for table in facts.values()
            for twin in _twins(plan, table)
        ),
        *(("view", view.name) for table in facts.values() for view in table.views.views),
    }
    return tuple(
        (change, dependent)
        for change, table in _each(plan, facts)
        for dependent in change.standing_on(table)
        if dependent.kind not in ("index", "view") or (dependent.kind, TableName.parse(dependent.name)) not in ours
    )


def unfit(plan: Plan, facts: Facts) -> tuple[EcmError, ...]:
    """Return why a plan's changes cannot be made to these tables at all."""
    return tuple(
        problem
        for table in facts.values()
        for problem in (
            *_read_by_several(plan, facts, table),
            *_unsuitable(plan, table),
            *shapes.no_room(table, _on(plan, table)),
            *shapes.early_rules(table, _on(plan, table)),
            *shapes.exchanged(table, _on(plan, table)),
            *_at_odds(plan, table),
            *(error for change in _on(plan, table) for error in change.problems(table)),
        )
    )


def _read_by_several(plan: Plan, facts: Facts, table: Table) -> Iterable[EcmError]:
    """What reads columns of several changes would have to move with each of them."""
    first = next(iter(facts), None) == table.name
    moved = [
        (reader, change, f"{each.name}.{move.old}")
        for change, each in (_each(plan, facts) if first else ())
        for move in change.moves(each)
        for reader in {r.key: r for name in (move.old, move.left) for r in each.readers.get(name, ())}.values()
        if not reader.is_ours
    ]
    names: dict[str, dict[Operation, str]] = {}
    for reader, change, column in moved:
        # One that moves several columns moves what reads them once.
        names.setdefault(f"{reader.kind} {reader.name}", {}).setdefault(change, column)
    for reader, columns in names.items():
        if len(columns) > 1:
            yield PreconditionError(
                f"{reader} reads {' and '.join(columns.values())}, which this plan changes both",
                details=["it is made to read another column once a plan"],
                hint="change them in two plans, one after the other",
            )


def beware(plan: Plan, facts: Facts) -> tuple[str, ...]:
    """Return what a person should know before the plan begins, a line each."""
    return (
        *(line for table in _in_step(plan, facts) for line in _warnings(plan, table)),
        *(line for change, table in _each(plan, facts) for line in change.warnings(table)),
        *left_behind(plan, facts),
        *_misnamed(plan, facts),
    )


def fired(plan: Plan, facts: Table) -> tuple[str, ...]:
    """Return the table's own triggers that fire on every row the backfill writes."""
    suppressed = plan.backfill.user_triggers == "suppress"
    return tuple(t.name for t in _on_every_update(facts) if not suppressed or _fires_always(t))


def _on_every_update(facts: Table) -> Iterable[Trigger]:
    return (
        trigger
        for trigger in facts.triggers
        if "UPDATE" in trigger.events and not trigger.update_of and trigger.enabled != "D" and not sync.is_ours(trigger)
    )


def hanging(plan: Plan, facts: Table) -> tuple[tuple[str, tuple[Dependent, ...]], ...]:
    """Return what PostgreSQL knows to hang on the columns that change, by what becomes of it."""
    left = {(each.kind, each.name) for each in _left_to_the_person(plan, facts)}
    found: dict[str, dict[tuple[str, str], Dependent]] = {}
    for change in _on(plan, facts):
        for column in sorted(change.touched_in(facts) - set(change.made())):
            for each in facts.tracked.get(column, ()):
                if (each.kind, each.name) not in left:
                    found.setdefault(change.fate, {})[each.kind, each.name] = each
    return tuple((fate, tuple(dependents.values())) for fate, dependents in found.items())


def unfollowed(plan: Plan, facts: Table) -> tuple[tuple[Dependent, bool], ...]:
    """Return what ecm cannot bring along, and whether the plan acknowledges it."""
    return tuple((each, _is_acknowledged(plan, each)) for each in _left_to_the_person(plan, facts))


def _warnings(plan: Plan, facts: Table) -> Iterable[str]:
    firing = fired(plan, facts)
    for trigger in _on_every_update(facts):
        how = "fires on every row" if trigger.name in firing else "is suppressed for what"
        yield f"trigger {trigger.name} {how} the backfill writes"
    for publication in facts.publications:
        yield f"publication {publication} sends whole rows of {facts.name}: add the new column on its subscribers first"
    if more := tuple(name for change in _on(plan, facts) for name in change.made()):
        since = "until contract" if all(change.renames() for change in _on(plan, facts)) else "from expand on"
        yield f"COPY {facts.name} FROM without a column list, and SELECT *, see {listed(more)} too, {since}"


def _in_the_way(plan: Plan, change: Operation, dependent: Dependent) -> EcmError:
    return PreconditionError(
        f"{dependent.kind} {dependent.name} {change.standing}",
        details=[change.goes_along],
        hint=dependent.remedy or f"drop it, advance {plan.plan}, and make it again",
    )


def _unsuitable(plan: Plan, facts: Table) -> Iterable[EcmError]:
    """What ecm does not change, and why. What has to do with columns, or rows, does not matter where none change."""
    columns = any(change.touched_in(facts) or change.synced() for change in _on(plan, facts))
    reasons = {
        "a view": facts.kind == "v",
        "a materialized view": facts.kind == "m",
        "a foreign table": facts.kind == "f",
        "a partition: change the table it belongs to": columns and facts.is_partition,
        "part of an inheritance tree: a write to a parent does not fire a child's trigger": columns and facts.inherits,
        "a typed table: its columns belong to its type": columns and facts.of_type,
    }
    faced = any(facts.name in change.relations() for change in _on(plan, facts))
    reasons["behind a view of ecm's until another plan contracts"] = facts.behind is not None and not faced
    for reason, applies in reasons.items():
        if applies:
            yield PreconditionError(f"{facts.name} is {reason}", hint="ecm changes ordinary and partitioned tables")
    if not columns:
        return
    for why in facts.unlike_partitions:
        yield PreconditionError(
            f"{facts.name} cannot be changed as one table: {why}",
            hint="put the trigger on the partitioned table, or detach that partition",
        )
    for trigger in sync.meddlers(facts):
        if not sync.FIRST < trigger.name < sync.LAST:
            when = "before" if trigger.name < sync.FIRST else "after"
            yield PreconditionError(
                f"trigger {trigger.name} on {facts.name} would fire {when} ecm's own",
                details=["BEFORE triggers fire in the order of their names, and ecm's enclose those of the table"],
                hint=f"give it a name between {sync.FIRST} and {sync.LAST}",
            )


def _at_odds(plan: Plan, facts: Table) -> Iterable[EcmError]:
    """A change of a type, say, names no table; on which of them it meets another change is in the catalog alone."""
    for last in (change for change in _on(plan, facts) if change.comes_last):
        for why in filter(None, (last.alongside(other) for other in _on(plan, facts) if other is not last)):
            yield PreconditionError(
                f"two changes of {facts.name} cannot move together: {why}",
                hint="put one of them in a plan of its own, for afterwards",
            )


def _privileges(plan: Plan, facts: Table) -> Iterable[EcmError]:
    filled = any(change.synced() or change.type_changed() for change in _on(plan, facts))
    role = sql.Identifier(facts.role).as_string(None)
    if not facts.may_alter:
        owner = sql.Identifier(facts.owner).as_string(None)
        # Membership in a superuser's role would give away everything.
        ownership = f"ALTER TABLE {facts.name.identifier.as_string(None)} OWNER TO {role}"
        yield PrivilegeError(
            f"role {facts.role} does not own {facts.name}, and only the owner may alter it",
            details=[f"it belongs to {facts.owner}"],
            hint=ownership if facts.owner_is_superuser else f"GRANT {owner} TO {role}",
        )
    if not facts.may_create_in_schema:
        schema = sql.Identifier(facts.name.schema).as_string(None)
        yield PrivilegeError(
            f"role {facts.role} may not create {'indexes' if filled else 'views'} in schema {facts.name.schema}",
            hint=f"GRANT CREATE ON SCHEMA {schema} TO {role}",
        )
    if facts.row_security and filled:
        yield PrivilegeError(
            f"row-level security of {facts.name} applies to role {facts.role}, and would hide rows from the backfill",
            hint="connect as the owner (without FORCE ROW LEVEL SECURITY) or as a role with BYPASSRLS",
        )


def _suppressible(plan: Plan, facts: Table) -> Iterable[EcmError]:
    if plan.backfill.user_triggers == "suppress" and not facts.may_suppress_triggers:
        role = sql.Identifier(facts.role).as_string(None)
        yield PrivilegeError(
            f"role {facts.role} may not suppress the triggers of {facts.name}",
            details=["user_triggers: suppress sets session_replication_role, which needs a privilege"],
            hint=f"GRANT SET ON PARAMETER session_replication_role TO {role} (PostgreSQL 15 or newer),"
            " or write backfill: {user_triggers: fire}",
        )


def _left_to_the_person(plan: Plan, facts: Table) -> tuple[Dependent, ...]:
    """Return what names an old column where PostgreSQL does not track it, each once."""
    return tuple(dict.fromkeys(d for change in _on(plan, facts) for d in change.unfollowed(facts)))


def _is_acknowledged(plan: Plan, dependent: Dependent) -> bool:
    return dependent.name in {name.partition("(")[0] for name in plan.expand.acknowledge}


def _unfollowed(plan: Plan, facts: Table) -> Iterable[EcmError]:
    found = [each for each in _left_to_the_person(plan, facts) if not _is_acknowledged(plan, each)]
    if not found:
        return
    names = list(dict.fromkeys((*plan.expand.acknowledge, *(each.name for each in found))))
    one_each = [f"{each.kind} {each.name} cannot follow: {each.why}" for each in found]
    yield PreconditionError(
        one_each[0] if len(found) == 1 else f"{len(found)} objects on {facts.name} cannot follow",
        details=[
            *(one_each if len(found) > 1 else ()),
            "PostgreSQL does not track names inside such text, so ecm cannot rewrite them",
        ],
        hint="rewrite them yourself in reads migrated, before contract, and say so in the plan:"
        f" expand: {{acknowledge: [{', '.join(names)}]}}",
    )


def left_behind(plan: Plan, facts: Facts) -> tuple[str, ...]:
    """Return what was acknowledged and will fail once contract has taken the old name away, a line each."""
    return tuple(
        f"{each.kind} {each.name}: {each.why}, and fails from contract on; rewrite it in reads migrated, before"
        for table in facts.values()
        for each in _left_to_the_person(plan, table)
        if each.names_it and _is_acknowledged(plan, each)
    )


def _written_since(plan: Plan, facts: Table) -> Iterable[EcmError]:
    """What came to name the old column after expand looked, and would fail after contract."""
    for each in _left_to_the_person(plan, facts):
        if each.names_it and not _is_acknowledged(plan, each):
            yield PreconditionError(
                f"{each.kind} {each.name} was made while both versions ran, and {each.why}",
                details=["after contract that name is gone, and it would fail"],
                hint=f"rewrite it for the new name, which works already, then advance {plan.plan} again",
            )


def _misnamed(plan: Plan, facts: Facts) -> Iterable[str]:
    """Entries of `acknowledge` that mean nothing, told before the plan begins: a typing error, most likely."""
    begun = any(change.begun(table) for change, table in _each(plan, facts))
    found = {each.name for table in facts.values() for each in _left_to_the_person(plan, table)}
    for name in () if begun else plan.expand.acknowledge:
        if name.partition("(")[0] not in found:
            yield f"acknowledge names {name}, and there is nothing of that name that cannot follow"


def _on(plan: Plan, facts: Table) -> tuple[Operation, ...]:
    return tuple(sorted((each for each in changes(plan) if each.concerns(facts)), key=lambda each: each.comes_last))


def sync_triggers(plan: Plan, facts: Facts, truth: Truth = Truth.OLD) -> tuple[SyncTrigger, ...]:
    """Return what has to keep both sides in step from expand until contract."""
    return tuple(chain.from_iterable(_kept(plan, table, truth) for table in _in_step(plan, facts)))


def _kept(plan: Plan, facts: Table, truth: Truth = Truth.OLD) -> tuple[SyncTrigger, ...]:
    others = chain.from_iterable(change.keepers(facts) for change in _on(plan, facts))
    return (*sync.triggers(plan.plan, facts, mappings(plan, facts), truth), *others)


def _lockable(plan: Plan, facts: Facts) -> tuple[TableName, ...]:
    names = (name for change, table in _each(plan, facts) for name in (*table.lockable, *change.also_locked(table)))
    return tuple(dict.fromkeys(names))


def _views(plan: Plan, facts: Facts) -> tuple[TableName, ...]:
    return tuple(dict.fromkeys(view for change, table in _each(plan, facts) for view in change.locked_first(table)))


def _trigger(plan: Plan, facts: Table) -> Ddl:
    pairs = mappings(plan, facts)
    return sync.install(plan.plan, facts, pairs) if pairs else Ddl(statements=(), inverse=())


def _outright(plan: Plan) -> tuple[Outright, ...]:
    return tuple(found for change in plan.changes if (found := change.outright()) is not None)


def _locked(plan: Plan, facts: Facts, outright: Iterable[Locks]) -> tuple[tuple[TableName, ...], LockMode | None]:
    """Return what a phase's transaction locks first: what the plan's author wrote may do with less than ecm itself."""
    found = tuple(outright)
    ours = _lockable(plan, facts)
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
    parts += [part for table in facts.values() for part in (*_expansions(plan, table), _trigger(plan, table))]
    return (
        *(step for change, table in _each(plan, facts) for step in change.before_expand(table)),
        *demanded(plan, facts),
        *_unless_empty(
            Transaction(
                key="expand",
                title=_expands(plan, facts),
                tables=tables,
                views=_views(plan, facts),
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
    tables = sum(1 for _ in _in_step(plan, facts))
    return "" if not tables else "the trigger" if tables == 1 else "the triggers"


def _expands(plan: Plan, facts: Facts) -> str:
    made = tuple(dict.fromkeys(name for change in plan.changes for name in change.made()))
    begun = f"add {listed(made)}" if made else "ready " + listed(dict.fromkeys(str(table) for table in facts))
    kept = _triggers(plan, facts)
    return f"{begun}, and {kept} that keep{'s' if kept == 'the trigger' else ''} both sides in step" if kept else begun


def _contracts(plan: Plan, facts: Facts) -> str:
    endings = listed(change.ending for change in plan.changes)
    kept = _triggers(plan, facts)
    return f"take {kept} away, and {endings}" if kept else endings


def _unless_empty(step: Transaction) -> tuple[Step, ...]:
    """Return a step where there is anything to do in it; else no lock is asked for."""
    return (step,) if step.statements else ()


def _expansions(plan: Plan, facts: Table) -> Iterable[Ddl]:
    """What each change of a table does in expand; one that comes last does it to what the others left."""
    for change in _on(plan, facts):
        yield change.expand(facts)
        facts = change.expanded(facts)


def _backfill(plan: Plan, facts: Facts) -> tuple[Step, ...]:
    """Fill the tables that have a new side; the other side of one in another table is only read."""
    return tuple(_sweep(plan, table) for table in _in_step(plan, facts) if _filling(plan, table) and _news(plan, table))


def _sweep(plan: Plan, facts: Table) -> Sweep:
    pairs = mappings(plan, facts)
    kept, suppressed = _kept(plan, facts), plan.backfill.user_triggers == "suppress"
    facts = replace(facts, triggers=tuple(t for t in facts.triggers if not suppressed or _fires_always(t)))
    touch = sync.touchable(facts, pairs) if sync.by_column(facts, pairs) else None
    if touch is None:
        # No trigger of the table's own is on a column that only this plan knows.
        touch = next((name for mapping in pairs if mapping.by_trigger for name in mapping.news), None)
    return Sweep(
        key=f"sweep {facts.name}",
        title=f"{_verbs(pairs)} {listed(_news(plan, facts))} in every row of {facts.name}",
        table=facts.name,
        mappings=_filling(plan, facts),
        spared=None if touch or sync.meddlers(facts) else sync.trigger_name(plan.plan, facts.name),
        touch=touch,
        kept_by=kept,
        note="in batches of pages; each batch commits with its own checkpoint",
    )


def _verbs(pairs: tuple[Mapping, ...]) -> str:
    return " and ".join(sorted({"repair" if mapping.in_place else "fill" for mapping in pairs}))


def _again(plan: Plan, facts: Facts, purpose: str) -> Iterable[Sweep]:
    """Return sweeps of the tables whose rows can come to break a rule by what happens to other rows."""
    for table in _in_step(plan, facts):
        drifting = tuple(mapping for mapping in _in_place(plan, table) if mapping.drifts)
        if drifting:
            yield replace(
                _sweep(plan, table),
                key=f"sweep {table.name} again",
                title=f"repair what came to break a rule in {table.name} since",
                mappings=drifting,
                touch=None,
                purpose=purpose,
            )


def _fires_always(trigger: Trigger) -> bool:
    """Whether a trigger fires where the session's own triggers are suppressed ("ALTER TABLE", ENABLE ALWAYS)."""
    return trigger.enabled in ("A", "R")


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
        for news in [_news(plan, table)]
        if news
    )
    return (
        *chain.from_iterable(_twin_steps(plan, table) for table in facts.values()),
        *statistics,
        *(step for change, table in _each(plan, facts) for step in change.before_reads(table)),
        *_again(plan, facts, Phase.MIGRATE_READS),
        *proofs(plan, facts, "before readers come: find no row whose two sides differ", closing=True),
        *(step for change, table in _each(plan, facts) for step in change.before_switch(table)),
        *_switch(plan, facts),
        *(step for change, table in _each(plan, facts) for step in change.after_switch(table)),
    )


def _seen(plan: Plan, facts: Facts, how: Callable[[Operation, Table], Table]) -> Facts:
    """Return the facts as each change of a table says that they are at another moment."""
    return {
        name: reduce(lambda seen, change: how(change, seen), _on(plan, table), table) for name, table in facts.items()
    }


def _switch(plan: Plan, before: Facts) -> tuple[Step, ...]:
    """Return the moment at which readers move, and the new side becomes what counts; nothing where there are no sides.

    The way back first gives the functions their old bodies only after the columns have their old names.
    """
    after = _seen(plan, before, lambda change, table: change.switched(table))
    released = [change.release(table) for change, table in _each(plan, before)]
    parts = [change.switch(table) for change, table in _each(plan, before)]
    catalog = tuple(chain.from_iterable(part.statements for part in (*released, *parts)))
    functions = _functions(plan, after, Truth.NEW)
    if not catalog and not functions:
        return ()
    return (
        Transaction(
            key="switch",
            title="readers move to the new side, which wins from now on where a statement writes both"
            if catalog
            else "the new side wins from now on where a statement writes both",
            tables=_lockable(plan, before) if catalog else tuple(before),
            views=_views(plan, before) if catalog else (),
            lock=LockMode.ACCESS_EXCLUSIVE if catalog else None,
            statements=(*catalog, *functions),
            inverse=(
                *chain.from_iterable(part.inverse for part in (*released, *reversed(parts))),
                *_functions(plan, before, Truth.OLD),
            ),
            note="catalog only" if catalog else "replaces the trigger's function; no table is locked",
        ),
    )


def _twins(plan: Plan, facts: Table) -> tuple[ConcurrentIndex, ...]:
    """Return, for each index on a column that is renamed, one like it for readers of the new name."""
    new_name = dict(chain.from_iterable(change.renames() for change in _on(plan, facts)))

    def twin(index: Index) -> ConcurrentIndex:
        names = [new_name[column] for column in sorted(index.columns) if column in new_name]
        return ConcurrentIndex(
            key=f"index {index.name}",
            title=f"index for readers of {' and '.join(names)}, like {index.name}",
            table=facts.name,
            name=bounded(index.name, *names, "ecm"),
            unique=index.unique,
            tail=facts.twins[index.name],
            like=index.name,
            note=f"goes with the scaffolding at contract, when {index.name} itself serves the new name",
        )

    return tuple(twin(index) for index in facts.indexes if index.valid and index.name in facts.twins)


def _twin_steps(plan: Plan, facts: Table) -> Iterable[Step]:
    """Return what builds the twins without holding writers back."""
    for twin in _twins(plan, facts):
        yield from building.built(facts, twin, lambda partition, name=twin.name: bounded(name, partition.name))


def _names_taken(plan: Plan, facts: Table) -> Iterable[EcmError]:
    """Someone's index with the name of a twin: it would be taken for ecm's, and dropped with the scaffolding."""
    for twin in _twins(plan, facts):
        index = facts.index(twin.name)
        if index is not None and (index.tail, index.unique) != (twin.tail, twin.unique):
            yield PreconditionError(
                f"index {twin.name} on {facts.name} is not the one that ecm builds under this name",
                details=[f"readers of the new name need{twin.tail}, and it has{index.tail}"],
                hint=f"ALTER INDEX {sql.Identifier(facts.name.schema, index.name).as_string(None)}"
                f" RENAME TO {sql.Identifier(bounded(index.name, 'mine')).as_string(None)}",
            )


def _functions(plan: Plan, facts: Facts, truth: Truth) -> tuple[Statement, ...]:
    """Return the functions with another side that wins, or, where columns exchange their names, all of them anew."""
    return tuple(
        function
        for table in _in_step(plan, facts)
        for pairs in [mappings(plan, table)]
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
        *chain.from_iterable(_trigger(plan, table).inverse for table in facts.values()),
        *chain.from_iterable(change.clear(table) for change, table in _each(plan, facts)),
        *chain.from_iterable(change.contract(table) for change, table in _each(plan, facts)),
    )
    again = {sweep.table: sweep for sweep in _again(plan, facts, Phase.CONTRACT)}
    return (
        *(step for change, table in _each(plan, facts) for step in change.hold(table)),
        *again.values(),
        *proofs(plan, facts, "for the last time: find no row whose two sides differ", closing=True),
        *(
            replace(step, again=again.get(table.name)) if isinstance(step, ConcurrentIndex) else step
            for change, table in _each(plan, facts)
            for step in change.before_contract(table)
        ),
        *chain.from_iterable(each.before_contract for each in written),
        *_unless_empty(
            Transaction(
                key="contract",
                title=_contracts(plan, facts),
                tables=tables,
                views=_views(plan, facts),
                lock=lock,
                statements=(*own, *chain.from_iterable(each.contract for each in written)),
                inverse=(),
                note=_with_locks(
                    "catalog only; this cannot be rolled back",
                    (each.contract_locks for each in written),
                    ours=bool(own),
                ),
                reversible=False,
                kept_by=sync_triggers(
                    plan, {name: table for name, table in facts.items() if _filling(plan, table)}, Truth.NEW
                ),
            )
        ),
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
            each for each in (*_filling(plan, table), *_demands(plan, table)) if not (two_sided and each.in_place)
        )
        for table in facts.values()
    }
    return tuple(
        Proof(
            key=f"proof {name}",
            title=title,
            table=name,
            mappings=found,
            kept_by=_kept(plan, facts[name]) if mappings(plan, facts[name]) else (),
            closing=closing,
        )
        for name, found in wanted.items()
        if found
    )


def _demands(plan: Plan, facts: Table) -> tuple[Mapping, ...]:
    return tuple(chain.from_iterable(change.demands(facts) for change in _on(plan, facts)))


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
