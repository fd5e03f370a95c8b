"""Readers: the views, materialized views, functions, policies and rules that read a column, and how they move.

PostgreSQL binds them by column number, so a new column takes none of them along. At migrate_reads each
is made again over the new column, and the one it replaces is not dropped but set aside: renamed, and
put into ecm's schema where it has one of its own. On rollback it gets its name and place back, so
what comes back is the object itself, to the letter: a text that PostgreSQL printed of the new one would
have lost the casts that the new type makes superfluous, and a materialized view its rows. Contract
drops what stands aside, with the old column.

What a materialized view shows takes long to compute, so it is built beside the old one before the
switch, together with everything it stands on (`beside`); the switch renames.

Here they are as values; `orchestrator.engine.readers` reads them, `orchestrator.sql.moving` moves them.
"""

from dataclasses import dataclass
from typing import Literal

from orchestrator.sql.identifiers import JOURNAL_SCHEMA, TableName
from orchestrator.sql.restating import Restated

ASIDE = "was"
"""How the name begins of what stands aside in ecm's schema."""
BESIDE = "next"
"""How the name begins of what is built beside, in ecm's schema."""
KEPT = "ecm_was"
"""How the name begins of a policy or rule that stands aside: it cannot leave its table."""

Kind = Literal["view", "materialized view", "function", "policy", "rule"]


@dataclass(frozen=True, kw_only=True)
class Move:
    """A column whose readers are to read another one."""

    old: str
    """The column that is read, under the name it has before the switch."""
    new: str
    """The column to be read instead, under the name it has before the switch."""
    left: str
    """The old column's name after the switch: another one where the new column takes over its name."""
    restated: Restated | None = None
    """How constants of its type read over the column that its readers are made to read next."""

    @property
    def in_place(self) -> bool:
        """Whether the switch gives the new column the name of the old one."""
        return self.left != self.old

    @property
    def read(self) -> str:
        """The name under which readers find the new column after the switch."""
        return self.old if self.in_place else self.new

    @property
    def columns(self) -> tuple[str, ...]:
        """Every name that one of the two columns has at some time."""
        return (self.old, self.new, self.left)


@dataclass(frozen=True, kw_only=True)
class Privilege:
    """An entry of an access control list (aclexplode)."""

    grantor: str
    grantee: str | None
    """The role, or None for PUBLIC."""
    privilege: str
    grantable: bool
    column: str | None = None


@dataclass(frozen=True, kw_only=True)
class ReaderIndex:
    """An index of a materialized view."""

    name: str
    unique: bool
    tail: str
    """Its definition from ` USING` on."""
    tablespace: str | None = None
    clustered: bool = False
    comment: str | None = None
    statistics: tuple[tuple[int, int], ...] = ()
    """(number of the column, target), for those of expressions."""


@dataclass(frozen=True, kw_only=True)
class ReaderColumn:
    """What is said of a column of a view beyond its name and type; None where nothing is."""

    name: str
    default: str | None = None
    comment: str | None = None
    statistics: int | None = None
    storage: str | None = None
    compression: str | None = None
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class ReaderTrigger:
    """A trigger of a view."""

    name: str
    definition: str
    comment: str | None


@dataclass(frozen=True, kw_only=True)
class Reader:
    """An object that reads a column, or stands on one that does, with all that is needed to make it again.

    Texts are PostgreSQL's own, qualified: the query of a view, the whole CREATE statement of anything else.
    """

    kind: Kind
    name: TableName
    """Its schema and name; of a policy or rule, the schema of its table."""
    definition: str
    """As it reads now."""
    moved: str | None = None
    """As it reads over the new column under the name it has now; None where nobody asked."""
    again: str | None = None
    """As it reads over the new column once that has the old one's name; None where it reads as it does now."""
    early: bool = False
    """Whether a materialized view stands on it, or it is one: then it is built before the switch.

    Its `moved` text is over what is built beside.
    """
    aside: bool = False
    """Whether it has replaced one that stands aside."""
    on: TableName | None = None
    """The table or view of a policy or rule."""
    carried: bool = False
    """Whether it is a rule of a view that is a reader itself, and goes where that goes."""
    stands_on: frozenset[str] = frozenset()
    """The other readers it reads, by `key`."""
    signature: str = ""
    """The arguments by which a function is found."""
    owner: str = ""
    privileges: tuple[Privilege, ...] | None = None
    """None where they are what a new object has."""
    uninvited: tuple[str, ...] = ()
    """Whom ALTER DEFAULT PRIVILEGES gives rights on what the connected role makes."""
    comment: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    columns: tuple[ReaderColumn, ...] = ()
    triggers: tuple[ReaderTrigger, ...] = ()
    indexes: tuple[ReaderIndex, ...] = ()
    populated: bool = True
    tablespace: str | None = None
    access_method: str | None = None
    roles: tuple[str | None, ...] = ()
    """Of a policy: whom it is for; None is PUBLIC."""
    table_owner: str = ""
    enabled: str = "O"
    """Of a rule: pg_rewrite.ev_enabled."""

    @property
    def key(self) -> str:
        """What tells it from every other reader."""
        on = f" ON {self.on.qualified}" if self.on else ""
        return f"{self.kind} {self.name.qualified}({self.signature}){on}"

    @property
    def is_ours(self) -> bool:
        """Whether it stands aside or is built beside."""
        return self.name.schema == JOURNAL_SCHEMA or (self.on is not None and self.name.name.startswith(KEPT))
