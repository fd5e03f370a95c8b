"""An enum type and the one that takes its place, as a branch's catalog has them.

PostgreSQL can add a label to a type and rename one; but an old writer does not know the renamed one, and an added one
never goes again. So labels change through a second type (`orchestrator.operations.change_enum`);
`orchestrator.engine.enums` reads what is here.
"""

from dataclasses import dataclass

from orchestrator.sql.identifiers import TableName, bounded
from orchestrator.sql.readers import Move, Reader


def successor(type_name: TableName) -> TableName:
    """Return the name that the second type has until contract."""
    return TableName(type_name.schema, bounded(type_name.name, "ecm_new"))


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
    """

    kind: str
    name: str
    view: TableName | None = None
    by_signature: bool = False


@dataclass(frozen=True, kw_only=True)
class Enum:
    """An enum type, with all that a plan has to know of it."""

    name: TableName
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
    occupied: bool = False
    """Whether something else has the second type's name."""
    tables: tuple[TableName, ...] = ()
    """The tables with a column of it; what is done once for all of them is done with the first, or the last."""
    moves: tuple[tuple[TableName, Move], ...] = ()
    """The columns that change, in all tables: all get their names at once, for keys point from one to another."""
    switched: bool = False
    """Whether readers have moved to the second type."""
    users: tuple[User, ...] = ()
    naming: tuple[str, ...] = ()
    """Functions whose text names the type, which PostgreSQL does not track."""
    readers: tuple[Reader, ...] = ()
    """What reads its columns, each once and after those it stands on."""
    aside: tuple[Reader, ...] = ()
    """ecm's own among what reads the columns that were left behind: what stands aside, each after what it stands on."""
    unmovable: tuple[str, ...] = ()
    """Readers that are built before the switch and read more than one of its columns."""
