"""An enum type and the one that takes its place, as a branch's catalog has them.

PostgreSQL can add a label to a type and rename one; but an old writer does not know the renamed one, and an added one
never goes again. So labels change through a second type (`orchestrator.operations.change_enum`), which has the name
of the first once readers have moved; `orchestrator.engine.enums` reads what is here.
"""

from dataclasses import dataclass

from orchestrator.sql.heritage import aside, beside
from orchestrator.sql.identifiers import TableName
from orchestrator.sql.readers import Move, Reader


def second(type_name: TableName) -> TableName:
    """Return the name that the second type has until readers move to it."""
    return TableName(type_name.schema, beside(type_name.name))


def former(type_name: TableName) -> TableName:
    """Return the name that the first type has from then on, until contract."""
    return TableName(type_name.schema, aside(type_name.name))


def of_old(type_name: TableName, *, switched: bool) -> TableName:
    """Return the name of the type with the old labels, before readers move or after."""
    return former(type_name) if switched else type_name


def of_new(type_name: TableName, *, switched: bool) -> TableName:
    """Return the name of the type with the new labels, before readers move or after."""
    return type_name if switched else second(type_name)


@dataclass(frozen=True, kw_only=True)
class Spelling:
    """How format_type prints a type."""

    plain: str
    array: str


@dataclass(frozen=True, kw_only=True)
class User:
    """Something that depends on the type and is no column of a table, nor on one.

    Attributes:
        kind: as pg_identify_object says it.
        name: schema.object, as `expand.acknowledge` takes it.
        view: the view it is, or is part of.
        by_signature: whether it is a function that takes the type or gives it.
        takes: whether it takes it, so that there can be another function of its name beside it.
        signature: with the types of what it takes, as in a statement.
        succeeded: whether there is one of its name that takes the second type in its place, and the connected role
            may drop it.
    """

    kind: str
    name: str
    view: TableName | None = None
    by_signature: bool = False
    takes: bool = False
    signature: str | None = None
    succeeded: bool = False


@dataclass(frozen=True, kw_only=True)
class Naming:
    """A function whose text names the type or a column of it, which PostgreSQL does not track.

    Attributes:
        name: schema.object, as `expand.acknowledge` takes it.
        names: the type, or else the first of the columns.
        routine: with its arguments, where sessions keep it compiled and the connected role may have that done anew.
    """

    name: str
    names: str
    routine: str | None = None


@dataclass(frozen=True, kw_only=True)
class Body:
    """The text of a function that may have to do with the type's labels, which PostgreSQL does not track.

    It names the type or one of its columns, or is a trigger's of something that has such a column.

    Attributes:
        kind: function or procedure.
        name: schema.object, as `expand.acknowledge` takes it.
        language: what it is written in.
        text: what it says.
    """

    kind: str
    name: str
    language: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Enum:
    """An enum type, with all that a plan has to know of it: the one with the old labels, whatever its name is now."""

    name: TableName
    """As the plan has it: that of the type which the application uses."""
    labels: tuple[str, ...]
    spelling: Spelling
    owner: str
    may_alter: bool
    """Whether the connected role is (a member of) the owner."""
    may_create_in_schema: bool
    comment: str | None = None
    grants: tuple[tuple[str | None, bool], ...] | None = None
    """(grantee, grantable) of USAGE, None for PUBLIC; no grants at all where they are those of every new type."""
    extension: str | None = None
    """The extension it belongs to."""
    made: Spelling | None = None
    """The second type, once expand has made it."""
    occupied: TableName | None = None
    """A name that one of the two types has until contract, where something else has it."""
    tables: tuple[TableName, ...] = ()
    """The tables with a column of it; what is done once for all of them is done with the first, or the last."""
    moves: tuple[tuple[TableName, Move], ...] = ()
    """The columns that change, in all tables: all get their names at once, for keys point from one to another."""
    switched: bool = False
    """Whether readers have moved to the second type, and the name with them."""
    users: tuple[User, ...] = ()
    naming: tuple[Naming, ...] = ()
    bodies: tuple[Body, ...] = ()
    readers: tuple[Reader, ...] = ()
    """What reads its columns, each once and after those it stands on."""
    aside: tuple[Reader, ...] = ()
    """ecm's own among what reads the columns that were left behind: what stands aside, each after what it stands on."""
    unmovable: tuple[str, ...] = ()
    """Readers that are built before the switch and read more than one of its columns."""
