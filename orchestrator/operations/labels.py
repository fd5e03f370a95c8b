"""A change of an enum type's labels: what it says, and the columns that it concerns, each with its successor."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import override

from orchestrator.errors import EcmError, PreconditionError
from orchestrator.operations import succession
from orchestrator.operations.base import WHOLE, Claim, Guide, Operation, TableField
from orchestrator.sql.enums import Enum, former, of_new, of_old, second
from orchestrator.sql.facts import Table
from orchestrator.sql.heritage import Heir
from orchestrator.sql.identifiers import NAME_BYTES, TableName
from orchestrator.sql.readers import Move
from orchestrator.sql.restating import Restated
from orchestrator.words import did_you_mean, kebab, listed


def _a_label(value: str) -> str:
    if (size := len(value.encode())) > NAME_BYTES:
        raise ValueError(f"label {value!r} is {size} bytes long; PostgreSQL takes {NAME_BYTES} (NAMEDATALEN - 1)")
    return value


Label = Annotated[str, AfterValidator(_a_label)]


@dataclass(frozen=True, kw_only=True)
class Pair:
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


def _spelled(type_name: TableName, pair: Pair) -> str:
    return type_name.identifier.as_string(None) + ("[]" if pair.array else "")


class Labels(Operation):
    """Which labels an enum type gets, and which columns of the catalog that concerns."""

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
    def _says_something_that_can_be(self) -> "Labels":
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
        removed = (f"{old} gives way to {new}" for old, new in sorted(self.remove.items()))
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
                about="Columns and types exchange their names: PostgreSQL itself refuses old labels from here on.",
                deploy="the version that reads and writes the new labels, everywhere",
            ),
            "contract": Guide(about="The old type and its columns go.", deploy="nothing"),
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

    def _old_type(self, pair: Pair) -> str:
        """Return the type of a pair's column with the old labels, under the name it has now."""
        return _spelled(of_old(self.target, switched=pair.switched), pair)

    def _new_type(self, pair: Pair) -> str:
        """Return the type of a pair's column with the new labels, under the name it has now."""
        return _spelled(of_new(self.target, switched=pair.switched), pair)

    def _pairs(self, facts: Table) -> tuple[Pair, ...]:
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
        pairs = (Pair(column=name, array=False, switched=switched) for name, switched in own)
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
        if not enum.may_alter or enum.occupied is not None or any(self._wrong_labels(enum)):
            return None
        kept = tuple((label, self.rename.get(label, label)) for label in enum.labels if label not in self.remove)
        if back:
            labels = (*((new, old) for old, new in kept), *((label, None) for label in self.add))
            return Restated(type=self.target, successor=former(self.target), aside=second(self.target), labels=labels)
        gone = tuple((label, None) for label in enum.labels if label in self.remove)
        return Restated(
            type=self.target, successor=second(self.target), aside=former(self.target), labels=(*kept, *gone)
        )

    def _labels(self, enum: Enum) -> tuple[str, ...]:
        """Return the labels of the end: those that stay keep their place."""
        stay = (self.rename.get(label, label) for label in enum.labels if label not in self.remove)
        return (*stay, *self.add)

    def _required(self, facts: Table) -> tuple[str, ...]:
        columns = (facts.column(pair.column) for pair in self._pairs(facts))
        return tuple(column.name for column in columns if column is not None and column.not_null)

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
