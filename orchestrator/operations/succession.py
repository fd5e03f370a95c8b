"""A column gets a successor: another column of its table that takes over all that hangs on it.

    added      expand: the successor, with what is said of the column itself
    built      its indexes, beside those of the column
    held       its checks and foreign keys, NOT VALID and then validated
    required   its NOT NULL, in the same way
    released   the column's foreign keys, first of all in the transaction in which the successor takes over
    taken_over constraints, indexes, identity, sequence and statistics get their names on the successor

What a change does with it: which columns have which heirs (`Operation.heirs`), and when that transaction is. Until
then the successor's objects have names of their own (`beside`). A column that stays behind for a way back keeps its
indexes under other names (`aside`), and is held to nothing any more: it may have no value for what only the
successor can hold.

On the way back the same functions are asked of the same table, whose heirs are then the other way round.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from psycopg import sql

from orchestrator.operations import building, constraints, feeding, saying
from orchestrator.sql.facts import Column, Table
from orchestrator.sql.heritage import Heir, HeldConstraint, HeldIndex, aside, beside
from orchestrator.sql.identifiers import TableName, bounded, verbatim
from orchestrator.sql.steps import ConcurrentIndex, LockMode, Statement, Step, Transaction

# ---------------------------------------------------------------- expand


def added(facts: Table, column: Column, successor: str, type_name: str) -> tuple[Statement, ...]:
    """Return what adds a successor, without a default, and says of it what is said of the column.

    Collation, storage and compression are those of the type, as after ALTER COLUMN TYPE.
    """
    table, name = facts.name.identifier, sql.Identifier(successor)
    return (
        sql.SQL("ALTER TABLE {} ADD COLUMN {} {}").format(table, name, verbatim(type_name)),
        *saying.said(facts, column, successor),
    )


# ---------------------------------------------------------------- indexes


def built(facts: Table, *, returning: bool = False) -> tuple[Step, ...]:
    """Return the steps that build the successors' indexes while reads and writes go on.

    Args:
        facts: of the table.
        returning: whether a rollback builds them: those that stayed aside are there.
    """
    kept = {index.name for index in facts.indexes}
    return tuple(
        step
        for index in facts.heritage.indexes
        if not (returning and _stays(facts, index) and aside(index.name) in kept)
        for step in _built(facts, index, returning=returning)
    )


def _built(facts: Table, index: HeldIndex, *, returning: bool) -> Iterable[Step]:
    # What stays aside is found there when the successor takes over on the way back.
    name = aside if returning and _stays(facts, index) else beside
    successors = [heir.successor for heir in facts.heritage.heirs]
    step = ConcurrentIndex(
        key=f"index {index.name} on return" if returning else f"index {index.name}",
        title=f"index like {index.name} for {' and '.join(successors)}",
        table=facts.name,
        name=name(index.name),
        unique=index.unique,
        tail=index.tail,
        on_return=returning,
    )
    names = {part.table: name(part.name) for part in index.parts}

    def of_part(partition: TableName) -> str:
        return names.get(partition, bounded(name(index.name), partition.name))

    if index.constraint is not None and facts.kind == "p":
        # A constraint of a partitioned table cannot take an index over; those of its partitions can.
        return building.on_partitions(facts, step, of_part)
    return building.built(facts, step, of_part)


def _stays(facts: Table, index: HeldIndex) -> bool:
    """Whether the index can stay on a column that is held to nothing: a primary key cannot be NULL."""
    of = next((c for c in facts.heritage.constraints if c.index == index.name), None)
    return of is None or (of.kind == "u" and "NULLS NOT DISTINCT" not in index.tail and facts.kind != "p")


# ---------------------------------------------------------------- constraints


def held(facts: Table) -> tuple[Step, ...]:
    """Return the steps that hold the successors to the checks and foreign keys that the columns are held to."""
    return tuple(step for c in facts.heritage.constraints if c.kind in "cf" for step in _held(facts, c))


def required(facts: Table, columns: Iterable[str]) -> tuple[Step, ...]:
    """Return the steps after which the successors of columns that may not be NULL never are."""
    return tuple(step for column in columns for step in _not_null(facts, column))


def on_return(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Return steps of a phase as a rollback does them itself."""
    return tuple(
        replace(step, key=f"{step.key} on return", on_return=True) for step in steps if isinstance(step, Transaction)
    )


def _held(facts: Table, constraint: HeldConstraint) -> Iterable[Step]:
    """Return the steps that put a constraint's like on a table, and validate it where the constraint is."""
    like = [(constraint.table, constraint.name)]
    if constraint.kind == "f" and constraint.parts:
        # NOT VALID is for ordinary tables; the whole's takes those of the partitions over, without a look at rows.
        like = [(part.table, part.name) for part in constraint.parts if part.leaf]
    tables = facts.lockable if constraint.table == facts.name else (constraint.table,)
    also = (constraint.references,) if constraint.references is not None else ()
    for table, original in like:
        name, owner = sql.Identifier(beside(original)), table.identifier
        where = original if len(like) == 1 else f"{original} on {table}"
        yield Transaction(
            key=f"hold {where}",
            title=f"new rows keep to the like of {where}",
            tables=tuple(dict.fromkeys((*tables, *also))),
            lock=LockMode.ACCESS_EXCLUSIVE if constraint.kind == "c" else LockMode.SHARE_ROW_EXCLUSIVE,
            statements=(
                sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}{}").format(
                    owner,
                    name,
                    verbatim(constraint.definition),
                    sql.SQL(" NOT VALID" if constraint.enforced else ""),
                ),
            ),
            inverse=(sql.SQL("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {}").format(owner, name),),
            note="catalog only: rows that are there already are not read",
        )
        if constraint.valid and constraint.enforced:
            yield Transaction(
                key=f"validate {where}",
                title=f"every row keeps to the like of {where}",
                tables=tables,
                lock=LockMode.SHARE_UPDATE_EXCLUSIVE,
                statements=(sql.SQL("ALTER TABLE {} VALIDATE CONSTRAINT {}").format(owner, name),),
                inverse=(),
                note="reads every row, while reads and writes go on",
            )


def _not_null(facts: Table, column: str) -> tuple[Step, ...]:
    named, heir = facts.heritage.attributes[column].not_null, _heir(facts, column)
    if named is None:
        return constraints.validated_not_null(facts, heir.successor)
    # From PostgreSQL 18 on it is a constraint with a name, and can be NOT VALID.
    definition = sql.SQL("NOT NULL {}").format(sql.Identifier(heir.successor))
    return constraints.validated(facts, beside(named), definition, what=heir.successor)


def related(facts: Table) -> tuple[TableName, ...]:
    """Return the other tables at the ends of the columns' foreign keys."""
    ends = (end for c in facts.heritage.constraints if c.references for end in (c.table, c.references))
    return tuple(dict.fromkeys(end for end in ends if end != facts.name))


# ---------------------------------------------------------------- the transaction in which the successor takes over


def released(facts: Table) -> tuple[Statement, ...]:
    """Return what takes away the columns' foreign keys: those that point from them, and to them."""
    return tuple(
        sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(c.table.identifier, sql.Identifier(c.name))
        for c in facts.heritage.constraints
        if c.kind == "f"
    )


def taken_over(
    facts: Table, never_null: Iterable[str], *, returning: bool = False, waits: bool = False
) -> tuple[Statement, ...]:
    """Return what gives the successors everything under its name, and holds the columns to nothing any more.

    Args:
        facts: of the table.
        never_null: columns that may not be NULL.
        returning: whether it is the way back: what the columns have was made for them, and goes.
        waits: as for `feeding.fed`.
    """
    never_null = tuple(never_null)
    return (
        *_constraints_leave(facts, returning=returning),
        *(statement for column in never_null for statement in _never_null(facts, column)),
        *_indexes_move(facts, returning=returning),
        *(s for c in facts.heritage.constraints for s in _constraint_comes(facts, c, returning=returning)),
        *_marks(facts),
        *(
            statement
            for heir in facts.heritage.heirs
            for statement in feeding.fed(facts, heir, returning=returning, waits=waits)
        ),
        *(statement for column in never_null for statement in _free(facts, column)),
        *_statistics(facts, returning=returning),
        *saying.said_since(facts),
    )


def _constraints_leave(facts: Table, *, returning: bool) -> Iterable[Statement]:
    for c in facts.heritage.constraints:
        if c.kind != "f" and (returning or not _constraint_stays(facts, c)):
            yield sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(c.table.identifier, sql.Identifier(c.name))


def _constraint_stays(facts: Table, constraint: HeldConstraint) -> bool:
    index = facts.heritage.index(constraint.index) if constraint.index else None
    return index is not None and _stays(facts, index)


def _never_null(facts: Table, column: str) -> tuple[Statement, ...]:
    if facts.heritage.attributes[column].not_null is not None:
        return ()
    return constraints.not_null(facts, _heir(facts, column).successor)


def _free(facts: Table, column: str) -> Iterable[Statement]:
    """Let a column be NULL again, and give the name of its NOT NULL to the successor's."""
    named = facts.heritage.attributes[column].not_null
    # A partition's own primary key made the NOT NULL its own as well, which stays when the whole's goes.
    for table in facts.lockable:
        yield sql.SQL("ALTER TABLE {} ALTER COLUMN {} DROP NOT NULL").format(table.identifier, sql.Identifier(column))
    if named is not None:
        yield _renamed_constraint(facts.name, beside(named), named)


def _indexes_move(facts: Table, *, returning: bool) -> Iterable[Statement]:
    """Rename indexes: those of the columns make room, those of the successors take their names.

    ALTER INDEX renames the constraint of an index as well.
    """
    for index in facts.heritage.indexes:
        stays = _stays(facts, index)
        goes_with_constraint = index.constraint is not None and (returning or not stays)
        if not goes_with_constraint:
            made_room = beside if returning else aside
            yield from _renamed_index(facts, index, _itself, made_room)
        if stays and (returning or index.constraint is None):
            yield from _renamed_index(facts, index, aside if returning else beside, _itself)


def _itself(name: str) -> str:
    return name


def _renamed_index(
    facts: Table, index: HeldIndex, now: Callable[[str], str], then: Callable[[str], str]
) -> Iterable[Statement]:
    for schema, name in ((facts.name.schema, index.name), *((part.table.schema, part.name) for part in index.parts)):
        yield sql.SQL("ALTER INDEX {} RENAME TO {}").format(
            sql.Identifier(schema, now(name)), sql.Identifier(then(name))
        )


def _constraint_comes(facts: Table, c: HeldConstraint, *, returning: bool) -> Iterable[Statement]:
    if c.kind in "pu":
        if returning and _constraint_stays(facts, c):
            return  # it was there all the time
        yield from _promoted(facts, c)
    elif c.parts:
        yield from (_renamed_constraint(part.table, beside(part.name), part.name) for part in c.parts if part.leaf)
        yield sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(
            c.table.identifier, sql.Identifier(c.name), verbatim(c.definition)
        )
    else:
        yield _renamed_constraint(c.table, beside(c.name), c.name)
    if c.comment is not None:
        yield sql.SQL("COMMENT ON CONSTRAINT {} ON {} IS {}").format(
            sql.Identifier(c.name), c.table.identifier, sql.Literal(c.comment)
        )


def _promoted(facts: Table, c: HeldConstraint) -> Iterable[Statement]:
    """Make a constraint of an index that is there ("ALTER TABLE", ADD table_constraint_using_index)."""
    kind = verbatim("PRIMARY KEY" if c.kind == "p" else "UNIQUE")
    index = facts.heritage.index(c.index or "")
    parts = {part.table: part for part in index.parts} if index is not None and facts.kind == "p" else {}
    add = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {} USING INDEX {}{}")
    for table, name in ((part.table, part.name) for part in parts.values() if part.leaf):
        yield add.format(
            table.identifier, sql.Identifier(name), kind, sql.Identifier(beside(name)), verbatim(c.definition)
        )
    name = sql.Identifier(c.name)
    if facts.kind != "p":
        yield add.format(facts.name.identifier, name, kind, sql.Identifier(beside(c.name)), verbatim(c.definition))
        return
    # From the leaves up: each takes what is beneath it for its parts, and builds nothing.
    names = {facts.name: c.name} | {part.table: part.name for part in parts.values()}
    for table in (*reversed(facts.partitioned_again), facts.name):
        yield sql.SQL("ALTER TABLE ONLY {} ADD CONSTRAINT {} {}{}").format(
            table.identifier, sql.Identifier(names[table]), verbatim(c.whole), verbatim(c.definition)
        )
    for partition, parent in reversed(facts.tree):
        yield sql.SQL("ALTER INDEX {} ATTACH PARTITION {}").format(
            sql.Identifier(parent.schema, names[parent]), sql.Identifier(partition.schema, names[partition])
        )


def _renamed_constraint(table: TableName, now: str, then: str) -> sql.Composed:
    return sql.SQL("ALTER TABLE {} RENAME CONSTRAINT {} TO {}").format(
        table.identifier, sql.Identifier(now), sql.Identifier(then)
    )


def _marks(facts: Table) -> Iterable[Statement]:
    """What is said of an index, and what it is to its table; as much as ALTER COLUMN TYPE keeps of it."""
    table, identity = facts.name.identifier, sql.SQL("ALTER TABLE {} REPLICA IDENTITY USING INDEX {}")
    for index in facts.heritage.indexes:
        name = sql.Identifier(facts.name.schema, index.name)
        if index.comment is not None:
            yield sql.SQL("COMMENT ON INDEX {} IS {}").format(name, sql.Literal(index.comment))
        if index.replica_identity:
            yield identity.format(table, sql.Identifier(index.name))
        for part in index.parts:
            # ALTER COLUMN TYPE forgets it, and then PostgreSQL refuses to update rows that are published.
            if part.replica_identity:
                yield identity.format(part.table.identifier, sql.Identifier(part.name))
        if index.clustered:
            yield sql.SQL("ALTER TABLE {} CLUSTER ON {}").format(table, sql.Identifier(index.name))


def _statistics(facts: Table, *, returning: bool) -> Iterable[Statement]:
    """Make extended statistics anew; those that stay aside go with their column."""
    rename = sql.SQL("ALTER STATISTICS {} RENAME TO {}")
    for each in facts.heritage.statistics:
        name, kept = each.name, TableName(each.name.schema, aside(each.name.name))
        if returning:
            yield sql.SQL("DROP STATISTICS {}").format(name.identifier)
            yield rename.format(kept.identifier, sql.Identifier(name.name))
            continue
        yield rename.format(name.identifier, sql.Identifier(kept.name))
        yield sql.SQL("CREATE STATISTICS {}{} FROM {}").format(
            name.identifier, verbatim(each.definition), facts.name.identifier
        )
        if each.comment is not None:
            yield sql.SQL("COMMENT ON STATISTICS {} IS {}").format(name.identifier, sql.Literal(each.comment))


def recompiled(facts: Table) -> tuple[Statement, ...]:
    """Return what has every session compile the functions of the table's triggers anew.

    A session in which one has run holds NEW and OLD to the types that their columns had then ("type of parameter
    does not match that when preparing the plan"). It looks whether the function's row in the catalog is another
    one; RESET makes it that, and changes nothing.
    """
    return recompiled_routines(f"{each.identifier.as_string(None)}()" for each in facts.heritage.functions)


def recompiled_routines(routines: Iterable[str]) -> tuple[Statement, ...]:
    """Return the same for functions and procedures.

    Args:
        routines: each with the types of its arguments.
    """
    return tuple(sql.SQL("ALTER ROUTINE {} RESET geqo_seed").format(verbatim(each)) for each in routines)


def _heir(facts: Table, column: str) -> Heir:
    return next(heir for heir in facts.heritage.heirs if heir.column == column)
