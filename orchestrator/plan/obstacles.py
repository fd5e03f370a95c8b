"""What stands in a plan's way on a branch, and what a person should know before it begins.

Pure, like the compiling of its steps: everything is decided by the facts of the tables at this moment.
"""

from collections.abc import Iterable
from itertools import chain

from psycopg import sql

from orchestrator.errors import EcmError, PreconditionError, PrivilegeError
from orchestrator.operations import Operation
from orchestrator.plan import scope, shapes
from orchestrator.plan.lifecycle import Phase
from orchestrator.plan.model import Plan
from orchestrator.plan.scope import Facts
from orchestrator.sql import sync
from orchestrator.sql.facts import Dependent, Table, Trigger
from orchestrator.sql.identifiers import TableName, bounded, spelled
from orchestrator.words import listed


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
            standing = _standing(plan, facts)
            told = {(dependent.kind, dependent.name) for _, dependent in standing}
            return (
                *(_in_the_way(plan, change, dependent) for change, dependent in standing),
                *(error for table in facts.values() for error in _written_since(plan, table, told)),
                *_apart(plan, facts),
            )
        case Phase.FINALIZE:
            return tuple(_in_the_way(plan, change, dependent) for change, dependent in _standing(plan, facts))
        case Phase.BACKFILL:
            suppressible = (error for table in facts.values() for error in _suppressible(plan, table))
            return (*suppressible, *_apart(plan, facts))
        case Phase.MIGRATE_READS:
            taken = (error for table in facts.values() for error in _names_taken(plan, table))
            came = (
                error
                for table in facts.values()
                for change in scope.on(plan, table)
                for error in change.came_since(table)
            )
            return (*taken, *_apart(plan, facts), *came)


def _apart(plan: Plan, facts: Facts) -> Iterable[EcmError]:
    """What came on a partition alone since the plan began."""
    for table in facts.values():
        yield from shapes.apart(table, scope.on(plan, table))


def _standing(plan: Plan, facts: Facts) -> tuple[tuple[Operation, Dependent], ...]:
    """Return what would go with what contract drops and is not ecm's own, with the change that drops it."""
    ours = {
        *(
            ("index", TableName(twin.table.schema, twin.name))
            for table in facts.values()
            for twin in scope.twins(plan, table)
        ),
        *(("view", view.name) for table in facts.values() for view in table.views.views),
    }
    return tuple(
        (change, dependent)
        for change, table in scope.each(plan, facts)
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
            *shapes.no_room(table, scope.on(plan, table)),
            *shapes.early_rules(table, scope.on(plan, table)),
            *shapes.exchanged(table, scope.on(plan, table)),
            *shapes.shared(table, scope.on(plan, table)),
            *shapes.apart(table, scope.on(plan, table)),
            *_at_odds(plan, table),
            *(error for change in scope.on(plan, table) for error in change.problems(table)),
        )
    )


def _read_by_several(plan: Plan, facts: Facts, table: Table) -> Iterable[EcmError]:
    """What reads columns of several changes would have to move with each of them."""
    first = next(iter(facts), None) == table.name
    moved = [
        (reader, change, f"{each.name}.{move.old}")
        for change, each in (scope.each(plan, facts) if first else ())
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
        *(line for table in scope.in_step(plan, facts) for line in _warnings(plan, table)),
        *(line for change, table in scope.each(plan, facts) for line in change.warnings(table)),
        *left_behind(plan, facts),
        *_misnamed(plan, facts),
    )


def fired(plan: Plan, facts: Table) -> tuple[str, ...]:
    """Return the table's own triggers that fire on every row the backfill writes."""
    suppressed = plan.backfill.user_triggers == "suppress"
    return tuple(t.name for t in _on_every_update(facts) if not suppressed or scope.fires_always(t))


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
    for change in scope.on(plan, facts):
        for column in sorted(change.touched_in(facts) - set(change.made())):
            for each in facts.tracked.get(column, ()):
                if (each.kind, each.name) not in left and not each.is_ours:
                    found.setdefault(change.fate, {})[each.kind, each.name] = each
    return tuple((fate, tuple(dependents.values())) for fate, dependents in found.items())


def unfollowed(plan: Plan, facts: Table) -> tuple[tuple[Dependent, bool], ...]:
    """Return what ecm cannot bring along, and whether the plan acknowledges it."""
    return tuple((each, _is_acknowledged(plan, each)) for each in _left_to_the_person(plan, facts))


def _warnings(plan: Plan, facts: Table) -> Iterable[str]:
    firing = fired(plan, facts)
    swept = scope.filling(plan, facts) and scope.news(plan, facts)
    for trigger in _on_every_update(facts) if swept else ():
        how = "fires on every row" if trigger.name in firing else "is suppressed for what"
        yield f"trigger {trigger.name} {how} the backfill writes"
    more, passing = _seen_too(plan, facts)
    exchanged = {
        move.new: move.left for change in scope.on(plan, facts) for move in change.moves(facts) if move.in_place
    }
    passing |= exchanged.keys()
    if gone := tuple(left for left in exchanged.values() if facts.column(left) is not None):
        more, passing = (*more, *gone), passing | set(gone)
    for publication in facts.publications if more else ():
        added = listed(map(spelled, more))
        yield f"publication {publication} sends whole rows of {facts.name}: add {added} on its subscribers first"
    for since in ("until contract", "from expand on"):
        if names := tuple(
            f"{spelled(name)} ({spelled(exchanged[name])} once readers move)" if name in exchanged else spelled(name)
            for name in more
            if (name in passing) == (since == "until contract")
        ):
            table = facts.name.spelled
            yield f"COPY {table} FROM without a column list, and SELECT *, see {listed(names)} too, {since}"


def _in_the_way(plan: Plan, change: Operation, dependent: Dependent) -> EcmError:
    return PreconditionError(
        f"{dependent.kind} {dependent.name} {change.standing}",
        details=[change.goes_along],
        hint=dependent.remedy or f"drop it, advance {plan.plan}, and make it again",
    )


def _unsuitable(plan: Plan, facts: Table) -> Iterable[EcmError]:
    """What ecm does not change, and why. What has to do with columns, or rows, does not matter where none change."""
    columns = any(change.touched_in(facts) or change.synced() for change in scope.on(plan, facts))
    reasons = {
        "a view": facts.kind == "v",
        "a materialized view": facts.kind == "m",
        "a foreign table": facts.kind == "f",
        "a partition: change the table it belongs to": columns and facts.is_partition,
        "part of an inheritance tree: a write to a parent does not fire a child's trigger": columns and facts.inherits,
        "a typed table: its columns belong to its type": columns and facts.of_type,
    }
    faced = any(facts.name in change.relations() for change in scope.on(plan, facts))
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
    for last in (change for change in scope.on(plan, facts) if change.comes_last):
        for why in filter(None, (last.alongside(other) for other in scope.on(plan, facts) if other is not last)):
            yield PreconditionError(
                f"two changes of {facts.name} cannot move together: {why}",
                hint="put one of them in a plan of its own, for afterwards",
            )


def _privileges(plan: Plan, facts: Table) -> Iterable[EcmError]:
    filled = any(change.synced() or change.type_changed() for change in scope.on(plan, facts))
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
    found = dict.fromkeys(d for change in scope.on(plan, facts) for d in change.unfollowed(facts))
    # What another plan keeps in ecm's own schema for its way back is not for a person to drop.
    return tuple(each for each in found if not each.is_ours)


def _is_acknowledged(plan: Plan, dependent: Dependent) -> bool:
    return dependent.name in {name.partition("(")[0] for name in plan.expand.acknowledge}


def _unfollowed(plan: Plan, facts: Table) -> Iterable[EcmError]:
    found = [each for each in _left_to_the_person(plan, facts) if not _is_acknowledged(plan, each)]
    if not found:
        return
    names = list(dict.fromkeys((*plan.expand.acknowledge, *(each.name for each in found))))
    tracked = {each for change in scope.on(plan, facts) for each in change.standing_on(facts)}
    tracked.update(chain.from_iterable(facts.unmovable.values()))
    one_each = [f"{each.kind} {each.name} cannot follow: {each.why}" for each in found]
    yield PreconditionError(
        one_each[0] if len(found) == 1 else f"{len(found)} objects on {facts.name} cannot follow",
        details=[
            *(one_each if len(found) > 1 else ()),
            *(
                ("PostgreSQL does not track names inside such text, so ecm cannot rewrite them",)
                if set(found) - tracked
                else ()
            ),
        ],
        hint=f"{_to_do(found, tracked)}, and say so in the plan: expand: {{acknowledge: [{', '.join(names)}]}}",
    )


def left_behind(plan: Plan, facts: Facts) -> tuple[str, ...]:
    """Return what was acknowledged and will fail once contract has taken the old name away, a line each."""
    return tuple(
        f"{each.kind} {each.name}: {each.why}, and fails from contract on; rewrite it in reads migrated, before"
        for table in facts.values()
        for each in _left_to_the_person(plan, table)
        if each.names_it and _is_acknowledged(plan, each)
    )


def _written_since(plan: Plan, facts: Table, told: set[tuple[str, str]]) -> Iterable[EcmError]:
    """What came to name the old column after expand looked, and would fail after contract; `told` is said already."""
    for each in _left_to_the_person(plan, facts):
        if each.names_it and (each.kind, each.name) not in told and not _is_acknowledged(plan, each):
            yield PreconditionError(
                f"{each.kind} {each.name} was made while both versions ran, and {each.why}",
                details=["after contract that name is gone, and it would fail"],
                hint=f"rewrite it for the new name, which works already, then advance {plan.plan} again",
            )


def _misnamed(plan: Plan, facts: Facts) -> Iterable[str]:
    """Entries of `acknowledge` that mean nothing, told before the plan begins: a typing error, most likely."""
    begun = any(change.begun(table) for change, table in scope.each(plan, facts))
    found = {each.name for table in facts.values() for each in _left_to_the_person(plan, table)}
    for name in () if begun else plan.expand.acknowledge:
        if name.partition("(")[0] not in found:
            yield f"acknowledge names {name}, and there is nothing of that name that cannot follow"


def _names_taken(plan: Plan, facts: Table) -> Iterable[EcmError]:
    """Someone's index with the name of a twin: it would be taken for ecm's, and dropped with the scaffolding."""
    for twin in scope.twins(plan, facts):
        index = facts.index(twin.name)
        if index is not None and (index.tail, index.unique) != (twin.tail, twin.unique):
            yield PreconditionError(
                f"index {twin.name} on {facts.name} is not the one that ecm builds under this name",
                details=[f"readers of the new name need{twin.tail}, and it has{index.tail}"],
                hint=f"ALTER INDEX {sql.Identifier(facts.name.schema, index.name).as_string(None)}"
                f" RENAME TO {sql.Identifier(bounded(index.name, 'mine')).as_string(None)}",
            )


def _seen_too(plan: Plan, facts: Table) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the columns that a table has from expand on besides its own, and which of them only until contract."""
    ours = frozenset(chain.from_iterable(change.made() for change in scope.on(plan, facts)))
    hidden = frozenset(chain.from_iterable(mapping.scaffolding for mapping in scope.mappings(plan, facts)))
    passing = chain.from_iterable(change.made() for change in scope.on(plan, facts) if not change.stays)
    # What a plan's own statements add is known only until it is there.
    more = (name for name in scope.made(plan, facts) if name in ours | hidden or facts.column(name) is None)
    return tuple(dict.fromkeys(more)), hidden.union(passing)


def _to_do(found: Iterable[Dependent], tracked: set[Dependent]) -> str:
    """Return what a person does about what cannot follow: text is rewritten, what stands on a column goes, or moves."""
    found = tuple(found)
    names: dict[str, dict[str, None]] = {}
    for each in found:
        if each.ready is not None:
            names.setdefault(each.ready, {})[each.name] = None
    told = (f"{listed(of)}: {ready}" if len(found) > 1 else ready for ready, of in names.items())
    ways = {each in tracked for each in found if each.ready is None}
    usual = {
        frozenset({False}): "rewrite them yourself",
        frozenset({True}): "drop it, or make it again without the old column,",
        frozenset({False, True}): "rewrite the text, and drop what stands on the old column, or make it again without"
        " that,",
    }.get(frozenset(ways))
    return "; ".join((*told, *([f"{usual} in reads migrated, before contract"] if usual else ())))
