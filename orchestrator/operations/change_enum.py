"""Give an enum type other labels: rename some, take some away, add some.

A second type with the labels of the end stands beside the first one, and every column of the first, plain or array,
in every table, gets a successor of the second in its place (`orchestrator.operations.succession`), by a table of
labels that is read in both directions. The two exchange their names when readers move; contract drops the first type
and gives the second its name.

The application sees the old labels until readers move, and the new ones from then on. PostgreSQL refuses a label
that the type does not have when it parses the statement, before any trigger, so no trigger can translate it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

from psycopg import sql
from pydantic import AfterValidator, Field, model_validator
from typing_extensions import override

from orchestrator.errors import EcmError, PreconditionError, PrivilegeError
from orchestrator.operations import succession
from orchestrator.operations.base import WHOLE, Claim, Guide, Operation, TableField, unusable
from orchestrator.sql import heritage, moving, relabeling, sync
from orchestrator.sql.conversion import Conversion
from orchestrator.sql.enums import Enum, User, successor
from orchestrator.sql.facts import Column, Dependent, Table
from orchestrator.sql.heritage import Heir
from orchestrator.sql.identifiers import NAME_BYTES, TableName
from orchestrator.sql.mapping import Truth
from orchestrator.sql.readers import Move
from orchestrator.sql.restating import Restated
from orchestrator.sql.steps import LockMode, Statement, Step, Transaction
from orchestrator.sql.sync import Ddl
from orchestrator.sql.value import Value
from orchestrator.words import a, did_you_mean, kebab, listed

_GOES_ALONG = frozenset({"index", "constraint", "statistics", "trigger"})
"""What hangs on a column and is handed over, or was refused before anything was touched."""
_BY_POSITION = "INSERT and COPY without a list of columns give their values by position"
_NOTHING = Ddl(statements=(), inverse=())


def _a_label(value: str) -> str:
    if (size := len(value.encode())) > NAME_BYTES:
        raise ValueError(f"label {value!r} is {size} bytes long; PostgreSQL takes {NAME_BYTES} (NAMEDATALEN - 1)")
    return value


Label = Annotated[str, AfterValidator(_a_label)]


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """A column under the name that the application knows, and the one that stands beside or aside."""

    column: str
    array: bool
    switched: bool

    @property
    def old(self) -> str:
        """The column of the old type, under the name it has now."""
        return succession.aside(self.column) if self.switched else self.column

    @property
    def new(self) -> str:
        """The column of the new type, under the name it has now."""
        return self.column if self.switched else succession.beside(self.column)

    @property
    def heir(self) -> str:
        """The one that the application does not see."""
        return self.old if self.switched else self.new


class ChangeEnum(Operation):
    """An enum type gets other labels; what was written in the old ones is there in the new ones, and back."""

    kind: Literal["change_enum"] = "change_enum"  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    type: Annotated[TableField, Field(description="The type, as type or schema.type")]
    rename: Annotated[
        dict[Label, Label], Field(default_factory=dict, description="Labels that get another name: {old: new}")
    ]
    remove: Annotated[
        dict[Label, Label],
        Field(default_factory=dict, description="Labels that go, each with the one in its place: {gone: instead}"),
    ]
    add: Annotated[tuple[Label, ...], Field(description="Labels that come, after those that are there")] = ()

    comes_last: ClassVar[bool] = True
    standing: ClassVar[str] = "still uses the old type, which contract drops"
    goes_along: ClassVar[str] = "PostgreSQL does not drop a type, or a column, that something else stands on"
    example: ClassVar[str] = "status --rename draft=pending"

    def __hash__(self) -> int:
        """Return a hash of what it says; pydantic has none for dictionaries."""
        return hash((self.type, *sorted(self.rename.items()), None, *sorted(self.remove.items()), *self.add))

    @model_validator(mode="after")
    def _says_something_that_can_be(self) -> "ChangeEnum":
        if not (self.rename or self.remove or self.add):
            raise ValueError("says nothing to change: give rename, remove or add")
        if both := sorted(self.rename.keys() & self.remove.keys()):
            raise ValueError(f"label {both[0]!r} is both renamed and removed")
        if kept := [old for old, new in self.rename.items() if old == new]:
            raise ValueError(f"label {kept[0]!r} is renamed to itself; leave it out, and it stays")
        coming = [*self.rename.values(), *self.add]
        if twice := [label for label in coming if coming.count(label) > 1]:
            raise ValueError(f"label {twice[0]!r} would be there twice")
        if lost := [new for new in self.remove.values() if new in self.remove or self._is_renamed_away(new)]:
            raise ValueError(f"{lost[0]!r} cannot take the place of a label: the new type does not have it")
        return self

    def _is_renamed_away(self, label: str) -> bool:
        return label in self.rename and label not in (*self.rename.values(), *self.add)

    @property
    @override
    def target(self) -> TableName:
        return TableName.parse(self.type)

    @override
    def tables(self) -> tuple[TableName, ...]:
        return ()

    @override
    def type_changed(self) -> TableName:
        return self.target

    @override
    def concerns(self, facts: Table) -> bool:
        return self.target in facts.enums

    @property
    @override
    def summary(self) -> str:
        renamed = (f"{old} becomes {new}" for old, new in sorted(self.rename.items()))
        removed = (f"{old} goes, for {new}" for old, new in sorted(self.remove.items()))
        return f"type {self.target}: " + listed([*renamed, *removed, *(f"{label} comes" for label in self.add)])

    @property
    @override
    def slug(self) -> str:
        return f"change-{kebab(self.target.name)}"

    @override
    def guide(self) -> Mapping[str, Guide]:
        both = "the version that reads the old labels and the new ones"
        return {
            "expand": Guide(
                about="A second type has the new labels, and a column of it stands beside each of the old type.",
                deploy="nothing yet; the application goes on as it is",
            ),
            "backfill": Guide(
                about="Rows from before get their value in the second type, while the application writes.",
                deploy=f"{both}; until readers move it writes the old ones, and afterwards the new ones",
            ),
            "migrate_reads": Guide(
                about="The columns exchange their names: old labels are refused from here on, by PostgreSQL itself.",
                deploy="the version that reads and writes the new labels, everywhere",
            ),
            "contract": Guide(
                about="The old type and its columns go, and the second type gets the name.", deploy="nothing"
            ),
        }

    @property
    @override
    def retires(self) -> bool:
        return bool(self.rename or self.remove)

    @override
    def claims(self) -> frozenset[Claim]:
        return frozenset({(str(self.target), WHOLE)})

    @override
    def alongside(self, other: Operation) -> str | None:
        return f"it changes all columns of type {self.target} there, and what hangs on them"

    @override
    def touched_in(self, facts: Table) -> frozenset[str]:
        return frozenset(name for pair in self._pairs(facts) for name in (pair.column, pair.heir))

    @override
    def made(self) -> tuple[str, ...]:
        return ()

    @override
    def begun(self, facts: Table) -> bool:
        return self._enum(facts).made is not None

    # ---------------------------------------------------------------- what there is

    def _enum(self, facts: Table) -> Enum:
        return facts.enums[self.target]

    def _is_first(self, facts: Table) -> bool:
        return self._enum(facts).tables[0] == facts.name

    def _is_last(self, facts: Table) -> bool:
        return self._enum(facts).tables[-1] == facts.name

    @property
    def _successor(self) -> TableName:
        return successor(self.target)

    def _pairs(self, facts: Table) -> tuple[_Pair, ...]:
        """Return the columns that change; one that came since expand is none of them."""
        enum = self._enum(facts)
        old = (enum.spelling.plain, enum.spelling.array)
        new = () if enum.made is None else (enum.made.plain, enum.made.array)
        types = {column.name: column.type for column in facts.columns}
        if facts.heritage.heirs:
            own = [(heir.column, heir.successor == succession.aside(heir.column)) for heir in facts.heritage.heirs]
        else:
            aside = {succession.aside(name): name for name, type_name in types.items() if type_name in new}
            own = [
                (aside.get(name, name), name in aside)
                for name, type_name in types.items()
                if type_name in old and (not new or name in aside or types.get(succession.beside(name)) in new)
            ]
        pairs = (_Pair(column=name, array=False, switched=switched) for name, switched in own)
        return tuple(replace(pair, array=types.get(pair.old) == enum.spelling.array) for pair in pairs)

    def _is_switched(self, facts: Table) -> bool:
        return any(pair.switched for pair in self._pairs(facts))

    def _moves(self, facts: Table) -> tuple[Move, ...]:
        return tuple(
            Move(old=pair.column, new=succession.beside(pair.column), left=succession.aside(pair.column))
            for pair in self._pairs(facts)
        )

    @override
    def moves(self, facts: Table) -> tuple[Move, ...]:
        restated = self._restated(facts, back=self._is_switched(facts))
        return tuple(replace(move, restated=restated) for move in self._moves(facts))

    @override
    def heirs(self, facts: Table) -> tuple[Heir, ...]:
        return tuple(
            Heir(column=pair.column, successor=pair.heir, restated=self._restated(facts, back=pair.switched))
            for pair in self._pairs(facts)
        )

    def _restated(self, facts: Table, *, back: bool) -> Restated | None:
        enum = self._enum(facts)
        if not enum.may_alter or any(self._wrong_labels(enum)):
            return None
        kept = tuple((label, self.rename.get(label, label)) for label in enum.labels if label not in self.remove)
        if back:
            labels = (*((new, old) for old, new in kept), *((label, None) for label in self.add))
            return Restated(type=self._successor, successor=self.target, labels=labels)
        gone = tuple((label, None) for label in enum.labels if label in self.remove)
        return Restated(type=self.target, successor=self._successor, labels=(*kept, *gone))

    def _labels(self, enum: Enum) -> tuple[str, ...]:
        """Return the labels of the end: those that stay keep their place."""
        stay = (self.rename.get(label, label) for label in enum.labels if label not in self.remove)
        return (*stay, *self.add)

    def _required(self, facts: Table) -> tuple[str, ...]:
        columns = (facts.column(pair.column) for pair in self._pairs(facts))
        return tuple(column.name for column in columns if column is not None and column.not_null)

    # ---------------------------------------------------------------- what stands in the way

    def _wrong_labels(self, enum: Enum) -> Iterable[EcmError]:
        for label in (*self.rename, *self.remove):
            if label not in enum.labels:
                yield PreconditionError(
                    f"type {self.target} has no label {label!r}",
                    details=[did_you_mean(label, enum.labels)],
                    hint="correct the label in the plan",
                )
        end = self._labels(enum)
        for label in dict.fromkeys(label for label in end if end.count(label) > 1):
            yield PreconditionError(
                f"type {self.target} would have label {label!r} twice",
                details=[f"it has {listed(enum.labels)}"],
                hint="choose another label, or remove or rename the one that is there",
            )
        for label in self.remove.values():
            if label not in end:
                yield PreconditionError(
                    f"{label!r} cannot take the place of a label: the new type does not have it",
                    details=[did_you_mean(label, end)],
                    hint="correct the label in the plan",
                )

    @override
    def problems(self, facts: Table) -> tuple[EcmError, ...]:
        enum = self._enum(facts)
        own = (self._wrong_labels, self._unsuitable, self._immovable) if self._is_first(facts) else ()
        return (
            *(error for asked in own for error in asked(enum)),
            *(error for pair in self._pairs(facts) for error in self._unfit(facts, pair)),
        )

    def _unsuitable(self, enum: Enum) -> Iterable[EcmError]:
        if not enum.may_alter:
            yield PrivilegeError(
                f"the connected role does not own type {self.target}, and only the owner may change it",
                details=[f"it belongs to {enum.owner}"],
                hint=f"GRANT {sql.Identifier(enum.owner).as_string(None)} TO the role",
            )
        if not enum.may_create_in_schema:
            yield PrivilegeError(
                f"the connected role may not create a type in schema {self.target.schema}",
                hint=f"GRANT CREATE ON SCHEMA {sql.Identifier(self.target.schema).as_string(None)} TO the role",
            )
        if enum.extension is not None:
            yield PreconditionError(
                f"type {self.target} belongs to extension {enum.extension}",
                hint="let the extension change it: ALTER EXTENSION … UPDATE",
            )
        if enum.occupied:
            yield PreconditionError(
                f"there is a type {self._successor} already, and the second type needs that name until contract",
                hint="give it another name first: ALTER TYPE … RENAME TO …",
            )

    def _immovable(self, enum: Enum) -> Iterable[EcmError]:
        reading = {f"{reader.name.schema}.{reader.name.name}" for reader in enum.readers if reader.kind == "function"}
        for user in enum.users:
            if not user.by_signature or user.name in reading:
                yield PreconditionError(
                    f"{user.kind} {user.name} is of type {self.target}, and cannot follow",
                    details=["only columns of tables get a successor, and what stands on these"],
                    hint="drop it first, and make it again after contract",
                )
        for reader in enum.readers:
            parts = (
                *((f"the default of column {each.name}", each.default or "") for each in reader.columns),
                *((f"index {index.name}", index.tail) for index in reader.indexes),
                *((f"trigger {trigger.name}", trigger.definition) for trigger in reader.triggers),
            )
            for what, text in parts:
                if f"::{enum.spelling.plain}" in text:
                    yield PreconditionError(
                        f"{what} of {reader.kind} {reader.name} mentions a value of type {self.target}",
                        details=["what reads a column is made again with what was said of it, to the letter"],
                        hint="drop it first, and make it again after contract",
                    )
        for name in enum.unmovable:
            yield PreconditionError(
                f"{name} reads several columns of type {self.target}, and is, or serves, a materialized view",
                details=["it is built before the switch, when no two of them have their new names yet"],
                hint="drop it first, and make it again after contract",
            )

    def _unfit(self, facts: Table, pair: _Pair) -> Iterable[EcmError]:
        column, where = facts.column(pair.column), f"{facts.name}.{pair.column}"
        if column is None:
            return
        yield from unusable(facts, pair.column)
        if facts.column(pair.heir) is not None and not self.begun(facts):
            yield PreconditionError(
                f"{facts.name} already has a column {pair.heir}",
                details=["the name must be free: it is that of the new column until readers move"],
                hint="give that column another name first",
            )
        if column.default is not None and not column.default_is_constant:
            yield PreconditionError(
                f"the default of {where} is an expression, {column.default}",
                details=["what label it gives is known only when it is evaluated"],
                hint="make it a constant first, or drop it",
            )
        said = facts.heritage.attributes.get(pair.column)
        for use in said.used if said is not None else ():
            yield PreconditionError(
                f"{where} cannot be changed: {use}",
                details=["nothing can take over there while reads and writes go on"],
                hint="take it away first, and make it again after contract",
            )
        for each in facts.tracked.get(pair.column, ()):
            if each.kind == "generated column":
                yield PreconditionError(
                    f"{where} cannot be changed: {each.why} is generated from it",
                    hint="take it away first, and make it again after contract",
                )
        yield from self._mentioned(facts, pair)

    def _mentioned(self, facts: Table, pair: _Pair) -> Iterable[EcmError]:
        """What mentions a label that goes: whether the one in its place means the same there, nobody can tell."""
        restated = self._restated(facts, back=pair.switched)
        if restated is None:
            return
        for what, text in self._texts(facts, pair):
            for label in restated.gone(text):
                yield PreconditionError(
                    f"{what} mentions the label {label!r}, which goes",
                    details=[f"whether {self.remove.get(label)!r} means the same there, only you can tell"],
                    hint="change it first so that it does without that label",
                )

    def _texts(self, facts: Table, pair: _Pair) -> tuple[tuple[str, str], ...]:
        """Return what hangs on a column, each with its text as it reads over the second type."""
        held, said = facts.heritage, facts.heritage.attributes.get(pair.column)
        default = said.default if said is not None else None
        return (
            *(((f"the default of {facts.name}.{pair.column}", default),) if default is not None else ()),
            *((f"index {index.name}", index.tail) for index in held.indexes),
            *((f"constraint {each.name}", each.definition) for each in held.constraints),
            *((f"statistics {each.name}", each.definition) for each in held.statistics),
            *((f"{each.kind} {each.name}", each.again or "") for each in facts.readers.get(pair.column, ())),
        )

    @override
    def warnings(self, facts: Table) -> tuple[str, ...]:
        enum = self._enum(facts)
        columns = [pair.column for pair in self._pairs(facts)]
        bodies = (
            f"{each.kind} {each.name}: {each.why}, whose labels change"
            for column in columns
            for each in facts.untracked.get(column, ())
        )
        place = "is the last column" if len(columns) == 1 else "are the last columns"
        last = f"{listed(columns)} {place} of {facts.name} in the end: {_BY_POSITION}"
        asked = self._asked(enum) if self._is_first(facts) else ()
        return (*bodies, *self._as_text(facts), last, *asked)

    def _as_text(self, facts: Table) -> Iterable[str]:
        """What compares a label as text: to PostgreSQL that is a string like any other."""
        for what, text in dict.fromkeys(said for pair in self._pairs(facts) for said in self._texts(facts, pair)):
            for label in (*self.rename, *self.remove):
                if sql.SQL("{}::text").format(sql.Literal(label)).as_string(None) in text:
                    yield f"{what} has {label!r} as text, which stays as it is: change it in reads migrated"

    def _asked(self, enum: Enum) -> Iterable[str]:
        gone = [*self.rename, *self.remove]
        if gone:
            yield (
                f"the application reads and writes {listed(gone)} until readers move, and {listed(self._instead)} from"
                " then on: before migrate reads it has to know both"
            )
            yield (
                f"once readers have moved, PostgreSQL refuses a statement that names {listed(gone)} when it parses it,"
                " and no trigger can help: by then no version that writes that may be running"
            )
        if self.add:
            yield f"{listed(self.add)} can be written once readers have moved, and not before"
            yield f"a rollback is refused while a row has {listed(self.add)}, which the old type cannot hold"
        yield (
            f"a session that prepared a statement with a column of type {self.target} is told once, when readers move"
            " and when they are moved back, that its cached plan must not change result type, or that operator does"
            " not exist; it has to prepare it again"
        )
        yield from (f"function {name}: its text names {self.target}, whose labels change" for name in enum.naming)

    @property
    def _instead(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.rename.values(), *self.remove.values())))

    @override
    def unfollowed(self, facts: Table) -> tuple[Dependent, ...]:
        obstacles = (each for pair in self._pairs(facts) for each in facts.unmovable.get(pair.column, ()))
        return (*(map(self._of, self._signatures(facts)) if self._is_first(facts) else ()), *obstacles)

    def _signatures(self, facts: Table) -> Iterable[User]:
        return (user for user in self._enum(facts).users if user.by_signature)

    def _of(self, user: User) -> Dependent:
        return Dependent(
            kind=user.kind,
            name=user.name,
            why=f"it is of type {self.target}, and goes on to take and give the old labels",
            names_it=False,
            remedy=f"in reads migrated, drop it and make it again with {self._successor}, {self.target} in the end",
        )

    @override
    def standing_on(self, facts: Table) -> tuple[Dependent, ...]:
        own = map(self._of, self._enum(facts).users) if self._is_first(facts) else ()
        known = {name for pair in self._pairs(facts) for name in (pair.column, pair.heir)}
        spelling = self._enum(facts).spelling
        came = (
            Dependent(kind="column", name=f"{facts.name}.{column.name}", why="it came while both types were there")
            for column in facts.columns
            if column.type in (spelling.plain, spelling.array) and column.name not in known
        )
        strangers = (
            each
            for move in self._moves(facts)
            for each in moving.strangers(facts, move)
            if each.kind not in _GOES_ALONG
        )
        return (*own, *came, *strangers)

    # ---------------------------------------------------------------- the two sides

    @override
    def mappings(self, facts: Table) -> tuple[Conversion, ...]:
        return tuple(self._conversion(facts, pair) for pair in self._pairs(facts))

    def _conversion(self, facts: Table, pair: _Pair) -> Conversion:
        seen, old, new = (facts.column(name) for name in (pair.column, pair.old, pair.new))
        of = relabeling.of_array if pair.array else relabeling.of_value
        back = {new: old for old, new in self.rename.items()}
        return Conversion(
            new=(
                Value(
                    column=pair.new,
                    type=self._spelled(self._successor, pair),
                    expression=of(pair.old, {**self.rename, **self.remove}, self._spelled(self._successor, pair)),
                    default=_constant(new),
                    not_null=seen is not None and seen.not_null,
                ),
            ),
            old=(
                Value(
                    column=pair.old,
                    type=self._spelled(self.target, pair),
                    expression=of(pair.new, back, self._spelled(self.target, pair), unknown=self.add),
                    default=_constant(old),
                ),
            ),
            exact=True,
            sees=Truth.NEW if pair.switched else Truth.OLD,
        )

    def _spelled(self, type_name: TableName, pair: _Pair) -> str:
        return type_name.identifier.as_string(None) + ("[]" if pair.array else "")

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
                        facts, replace(column, name=pair.column), pair.heir, self._spelled(self._successor, pair)
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
        enum, name = self._enum(facts), self._successor.identifier
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
    def after_switch(self, facts: Table) -> tuple[Step, ...]:
        return tuple(step for move in self._moves(facts) for step in moving.refreshed(facts, move))

    @override
    def moved_first(self, facts: Table) -> tuple[TableName, ...]:
        return moving.locked_first(self._enum(facts).readers)

    @override
    def release(self, facts: Table) -> Ddl:
        """Readers leave before the first column of any table does, and come once the last has."""
        enum = self._enum(facts)
        own = moving.leave(enum.readers) if self._is_first(facts) else _NOTHING
        return Ddl(
            statements=(*own.statements, *succession.released(facts)),
            inverse=(*own.inverse, *self._unguarded(facts), *succession.released(self.switched(facts))),
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
        made = (Column.plain(pair.new, self._spelled(self._successor, pair)) for pair in missing)
        facts = replace(facts, columns=(*facts.columns, *made))
        return _exchanged(facts, [(pair, succession.aside(pair.column)) for pair in pairs])

    @override
    def unswitched(self, facts: Table) -> Table:
        pairs = [pair for pair in self._pairs(facts) if pair.switched]
        return _exchanged(facts, [(pair, succession.beside(pair.column)) for pair in pairs])

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
            *(self._guarded(facts, pair) for pair in self._pairs(facts)),
        )

    def _guard(self, pair: _Pair) -> sql.Identifier:
        return sql.Identifier(heritage.guard(pair.column))

    def _guarded(self, facts: Table, pair: _Pair) -> Step:
        """From the proof that the old column has everything until it is read again, nothing else may come."""
        ((new,),) = (mapping.new for mapping in [self._conversion(facts, pair)])
        return Transaction(
            key=f"guard {facts.name} {pair.column}",
            title=f"new rows have {a(pair.column)} that its old type can hold",
            tables=facts.lockable,
            lock=LockMode.ACCESS_EXCLUSIVE,
            statements=(
                sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} CHECK ({} IS NULL OR {}) NOT VALID").format(
                    facts.name.identifier, self._guard(pair), new.name, new.is_computed
                ),
            ),
            inverse=(),
            note="catalog only, until the columns have exchanged their names again",
            on_return=True,
        )

    def _unguarded(self, facts: Table) -> Iterable[Statement]:
        drop = sql.SQL("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {}")
        return (drop.format(facts.name.identifier, self._guard(pair)) for pair in self._pairs(facts))

    # ---------------------------------------------------------------- contract

    @property
    @override
    def ending(self) -> str:
        return f"drop the old type {self.target} with its columns, and give the new one its name"

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
        return (*handed, *gone, *(self._named() if self._is_last(facts) else ()))

    def _named(self) -> tuple[Statement, ...]:
        name = sql.Identifier(self.target.name)
        return (
            sql.SQL("DROP TYPE {}").format(self.target.identifier),
            sql.SQL("ALTER TYPE {} RENAME TO {}").format(self._successor.identifier, name),
        )


def _renamed(enum: Enum, *, back: bool = False) -> Iterable[Statement]:
    rename = sql.SQL("ALTER TABLE {} RENAME COLUMN {} TO {}")
    for table, move in enum.moves:
        for now, then in (
            ((move.old, move.new), (move.left, move.old)) if back else ((move.old, move.left), (move.new, move.old))
        ):
            yield rename.format(table.identifier, sql.Identifier(now), sql.Identifier(then))


def _exchanged(facts: Table, pairs: list[tuple[_Pair, str]]) -> Table:
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
        if before is None:
            # What stays behind keeps its default for the way back; what was made loses it.
            stays = name == succession.aside(column.name)
            return replace(column, name=name, not_null=False, default=column.default if stays else None)
        attributes = facts.heritage.attributes.get(name)
        default = (attributes and attributes.default) if name != succession.aside(name) else None
        return replace(
            column,
            name=name,
            not_null=before.not_null,
            default=column.default or default,
            default_is_constant=before.default_is_constant,
        )

    return replace(
        facts,
        columns=tuple(map(moved, facts.columns)),
        triggers=tuple(
            replace(trigger, update_of=tuple(names.get(name, name) for name in trigger.update_of))
            for trigger in facts.triggers
        ),
        heritage=replace(facts.heritage, heirs=tuple(Heir(column=pair.column, successor=left) for pair, left in pairs)),
    )


def _constant(column: Column | None) -> str | None:
    return column.default if column is not None and column.default_is_constant else None
