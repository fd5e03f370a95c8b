"""Give an enum type other labels: rename some, take some away, add some.

A second type with the labels of the end stands beside the first one, and every column of the first, plain or array,
in every table, gets a successor of the second in its place (`orchestrator.operations.succession`), by a table of
labels that is read in both directions. When readers move the columns exchange their names, and the types theirs, so
that who casts by the type's name has the type of the column in every state; contract drops the first type.

The application sees the old labels until readers move, and the new ones from then on. PostgreSQL refuses a label
that the type does not have when it parses the statement, before any trigger, so no trigger can translate it.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from psycopg import sql
from typing_extensions import override

from orchestrator.operations import succession
from orchestrator.operations.labels import Pair
from orchestrator.operations.labels_judged import JudgedLabels
from orchestrator.sql import moving, relabeling, sync
from orchestrator.sql.conversion import Conversion
from orchestrator.sql.edits import ChangeLabels, Edits, Facts
from orchestrator.sql.enums import Enum, former, second
from orchestrator.sql.facts import Column, Table
from orchestrator.sql.heritage import Heir
from orchestrator.sql.identifiers import TableName, verbatim
from orchestrator.sql.mapping import Truth
from orchestrator.sql.steps import Statement, Step, Transaction
from orchestrator.sql.sync import Ddl
from orchestrator.sql.value import Value
from orchestrator.words import listed

_NOTHING = Ddl(statements=(), inverse=())


class ChangeEnum(JudgedLabels):
    """An enum type gets other labels; what was written in the old ones is there in the new ones, and back."""

    kind: Literal["change_enum"] = "change_enum"  # pyright: ignore[reportIncompatibleVariableOverride] - frozen

    # ---------------------------------------------------------------- the two sides

    @override
    def mappings(self, facts: Table) -> tuple[Conversion, ...]:
        return tuple(self._conversion(facts, pair) for pair in self._pairs(facts))

    def _conversion(self, facts: Table, pair: Pair) -> Conversion:
        seen, old, new = (facts.column(name) for name in (pair.column, pair.old, pair.new))
        of = relabeling.of_array if pair.array else relabeling.of_value
        back = {new: old for old, new in self.rename.items()}
        changed = [f"{new!r} for {old!r}" for old, new in {**self.rename, **self.remove}.items()]
        return Conversion(
            new=(
                Value(
                    column=pair.new,
                    type=self._new_type(pair),
                    expression=of(pair.old, {**self.rename, **self.remove}, self._new_type(pair)),
                    default=new.constant_default if new else None,
                    not_null=seen is not None and seen.not_null,
                ),
            ),
            old=(
                Value(
                    column=pair.old,
                    type=self._old_type(pair),
                    expression=of(pair.new, back, self._old_type(pair), unknown=self.add),
                    default=old.constant_default if old else None,
                ),
            ),
            exact=True,
            sees=Truth.NEW if pair.switched else Truth.OLD,
            said=f"{pair.new} = {pair.old}" + (f" with {listed(changed)}" if changed else ""),
            beyond=f"{listed(map(repr, self.add), 'or')} has no label in the old type" if self.add else None,
        )

    @override
    def also_locked(self, facts: Table) -> tuple[TableName, ...]:
        return succession.related(facts)

    # ---------------------------------------------------------------- expand

    @override
    def expand(self, facts: Table) -> Ddl:
        table, own = facts.name.identifier, self._second_type(facts) if self._is_first(facts) else _NOTHING
        pairs = [(pair, column) for pair in self._pairs(facts) if (column := facts.column(pair.old)) is not None]
        return Ddl(
            statements=(
                *own.statements,
                *(
                    statement
                    for pair, column in pairs
                    for statement in succession.added(
                        facts, replace(column, name=pair.column), pair.heir, self._new_type(pair)
                    )
                ),
            ),
            inverse=(
                *(
                    sql.SQL("ALTER TABLE {} DROP COLUMN IF EXISTS {}").format(table, sql.Identifier(pair.new))
                    for pair, _ in pairs
                ),
                *own.inverse,
            ),
        )

    def _second_type(self, facts: Table) -> Ddl:
        enum, name = self._enum(facts), second(self.target).identifier
        labels = sql.SQL(", ").join(map(sql.Literal, self._labels(enum)))
        statements: list[Statement] = [sql.SQL("CREATE TYPE {} AS ENUM ({})").format(name, labels)]
        if enum.owner != facts.role:
            statements.append(sql.SQL("ALTER TYPE {} OWNER TO {}").format(name, sql.Identifier(enum.owner)))
        if enum.comment is not None:
            statements.append(sql.SQL("COMMENT ON TYPE {} IS {}").format(name, sql.Literal(enum.comment)))
        if enum.grants is not None:
            nobody = sql.SQL("PUBLIC, {}").format(sql.Identifier(enum.owner))
            statements.append(sql.SQL("REVOKE ALL ON TYPE {} FROM {}").format(name, nobody))
            statements += [
                sql.SQL("GRANT USAGE ON TYPE {} TO {}{}").format(
                    name,
                    sql.SQL("PUBLIC") if grantee is None else sql.Identifier(grantee),
                    sql.SQL(" WITH GRANT OPTION" if grantable and grantee != enum.owner else ""),
                )
                for grantee, grantable in enum.grants
            ]
        return Ddl(statements=tuple(statements), inverse=(sql.SQL("DROP TYPE IF EXISTS {}").format(name),))

    # ---------------------------------------------------------------- migrate reads

    @override
    def before_reads(self, facts: Table) -> tuple[Step, ...]:
        return succession.built(facts)

    @override
    def before_switch(self, facts: Table) -> tuple[Step, ...]:
        return (
            *succession.held(facts),
            *succession.required(facts, self._required(facts)),
            *(step for move in self._moves(facts) for step in moving.beside(facts, move)),
        )

    @override
    def on_return(self, facts: Table) -> tuple[Transaction, ...]:
        return tuple(step for move in self._moves(facts) for step in moving.refreshed(facts, move))

    @override
    def moved_first(self, facts: Table) -> tuple[TableName, ...]:
        return moving.locked_first(self._enum(facts).readers)

    @override
    def release(self, facts: Table) -> Ddl:
        """Readers leave before the first column of any table does, and come once the last has.

        The types have exchanged their names before anything is made.
        """
        own = self._types_exchanged(self._enum(facts)) if self._is_first(facts) else _NOTHING
        return Ddl(
            statements=(*own.statements, *succession.released(facts)),
            inverse=(*own.inverse, *succession.released(self.switched(facts))),
        )

    def _types_exchanged(self, enum: Enum) -> Ddl:
        readers = moving.leave(enum.readers)
        # Under the names that the types of their arguments have before.
        recompiled = succession.recompiled_routines(each.routine for each in enum.naming if each.routine is not None)
        name, new, old = self.target, second(self.target), former(self.target)
        return Ddl(
            statements=(*readers.statements, *recompiled, _type_renamed(name, old), _type_renamed(new, name)),
            inverse=(*readers.inverse, *recompiled, _type_renamed(name, new), _type_renamed(old, name)),
        )

    @override
    def switch(self, facts: Table) -> Ddl:
        enum = self._enum(facts)
        come, required = moving.come(enum.readers, enum.aside, switched=enum.switched), self._required(facts)
        return Ddl(
            statements=(
                *succession.taken_over(facts, required),
                *succession.recompiled(facts),
                *((*_renamed(enum), *come.statements) if self._is_last(facts) else ()),
            ),
            inverse=(
                *succession.taken_over(self.switched(facts), required, returning=True),
                *succession.recompiled(facts),
                *((*_renamed(enum, back=True), *come.inverse) if self._is_first(facts) else ()),
            ),
        )

    @override
    def switched(self, facts: Table) -> Table:
        pairs = [pair for pair in self._pairs(facts) if not pair.switched]
        missing = [pair for pair in pairs if facts.column(pair.new) is None]
        made = (Column.plain(pair.new, self._new_type(pair)) for pair in missing)
        facts = replace(facts, columns=(*facts.columns, *made))
        return _exchanged(facts, [(pair, succession.aside(pair.column)) for pair in pairs])

    @override
    def unswitched(self, facts: Table) -> Table:
        pairs = [pair for pair in self._pairs(facts) if pair.switched]
        return _exchanged(facts, [(pair, succession.beside(pair.column)) for pair in pairs])

    @override
    def unexpanded(self, facts: Table, *, contracted: bool) -> Table:
        enum = self._enum(facts)
        if not enum.switched or enum.made is None:
            return facts
        named = {enum.spelling.plain: enum.made.plain, enum.spelling.array: enum.made.array}
        return replace(
            facts, columns=tuple(replace(each, type=named.get(each.type, each.type)) for each in facts.columns)
        )

    # ---------------------------------------------------------------- the way back

    @override
    def built_on_return(self, facts: Table) -> tuple[Step, ...]:
        return succession.built(facts, returning=True) if self._is_switched(facts) else ()

    @override
    def before_return(self, facts: Table) -> tuple[Step, ...]:
        if not self._is_switched(facts):
            return ()
        return (
            *succession.on_return(succession.held(facts)),
            *succession.on_return(succession.required(facts, self._required(facts))),
        )

    # ---------------------------------------------------------------- on empty tables

    @override
    def edits(self, facts: Facts) -> Edits:
        """Change the labels at contract; told by the old type, which is there until then."""
        enum = next((table.enums[self.target] for table in facts.values() if self.concerns(table)), None)
        if enum is None or any(self._wrong_labels(enum)):
            return Edits(contract=None)
        changed = ChangeLabels(
            type=self.target,
            before=enum.labels,
            rename=self.rename,
            remove=self.remove,
            add=self.add,
            tables=enum.tables,
        )
        return Edits(contract=(changed,))

    # ---------------------------------------------------------------- contract

    @property
    @override
    def ending(self) -> str:
        return f"drop the type with the old labels of {self.target}, and its columns"

    @override
    def clear(self, facts: Table) -> tuple[Statement, ...]:
        return moving.dropped(self._enum(facts).aside) if self._is_first(facts) else ()

    @override
    def contract(self, facts: Table) -> tuple[Statement, ...]:
        table = facts.name.identifier
        pairs = self._pairs(facts)
        handed = (
            statement
            for pair in pairs
            for trigger in facts.triggers
            if pair.old in trigger.update_of
            for statement in sync.handed_over(facts.name, trigger, pair.old, pair.new)
        )
        gone = (sql.SQL("ALTER TABLE {} DROP COLUMN {}").format(table, sql.Identifier(pair.old)) for pair in pairs)
        return (*handed, *gone, *(self._no_old_type(facts) if self._is_last(facts) else ()))

    def _no_old_type(self, facts: Table) -> Iterable[Statement]:
        """Give what drops the old type, after the functions that take it and that one of the new type succeeds.

        What stands aside may have called them until here.
        """
        for user in self._enum(facts).users:
            if user.succeeded and user.signature is not None:
                yield sql.SQL("DROP ROUTINE IF EXISTS {}").format(verbatim(user.signature))
        yield sql.SQL("DROP TYPE {}").format(former(self.target).identifier)


def _type_renamed(now: TableName, then: TableName) -> sql.Composed:
    return sql.SQL("ALTER TYPE {} RENAME TO {}").format(now.identifier, sql.Identifier(then.name))


def _renamed(enum: Enum, *, back: bool = False) -> Iterable[Statement]:
    rename = sql.SQL("ALTER TABLE {} RENAME COLUMN {} TO {}")
    for table, move in enum.moves:
        for now, then in (
            ((move.old, move.new), (move.left, move.old)) if back else ((move.old, move.left), (move.new, move.old))
        ):
            yield rename.format(table.identifier, sql.Identifier(now), sql.Identifier(then))


def _exchanged(facts: Table, pairs: list[tuple[Pair, str]]) -> Table:
    """Return the facts with each pair's columns under one another's names.

    Args:
        facts: of the table.
        pairs: each with the name that the column has then which the application sees now.
    """
    if not pairs:
        return facts
    names = {pair.column: left for pair, left in pairs} | {pair.heir: pair.column for pair, _ in pairs}
    seen = {pair.column: facts.column(pair.column) for pair, _ in pairs}

    def moved(column: Column) -> Column:
        name = names.get(column.name, column.name)
        before = seen.get(name)
        if column.name not in names:
            return column
        own = facts.heritage.defaults.get(column.name, column.default)
        if before is None:
            # What stays behind keeps its default for the way back; what was made loses it.
            stays = name == succession.aside(column.name)
            return replace(column, name=name, not_null=False, default=own if stays else None)
        attributes = facts.heritage.attributes.get(name)
        default = (attributes and attributes.default) if name != succession.aside(name) else None
        return replace(
            column,
            name=name,
            not_null=before.not_null,
            default=own or default,
            default_is_constant=before.default_is_constant,
        )

    return replace(
        facts,
        columns=tuple(map(moved, facts.columns)),
        triggers=tuple(
            replace(trigger, update_of=tuple(names.get(name, name) for name in trigger.update_of))
            for trigger in facts.triggers
        ),
        heritage=replace(
            facts.heritage,
            heirs=tuple(Heir(column=pair.column, successor=left) for pair, left in pairs),
            defaults={},
        ),
    )
