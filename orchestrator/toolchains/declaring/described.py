"""A column as an ORM's schema describes it, and its type taken apart."""

import re
from dataclasses import dataclass

from orchestrator.detection.types import ALIASES
from orchestrator.sql.edits import AddForeignKey, AddUnique
from orchestrator.sql.identifiers import NAME_BYTES

Own = AddForeignKey | AddUnique
"""A constraint as what would add it."""

_LITERAL = re.compile(r"'((?:[^']|'')*)'(?:::[\w\s.\"()\[\],]+)?")
_NUMBER = re.compile(r"'?(-?\d+(?:\.\d+)?)'?(?:::[\w\s.\"()\[\],]+)?")
_TYPE = re.compile(r"(?P<name>[^()\[\]]+?)\s*(?:\((?P<sizes>[^()]*)\))?(?P<rest>[^()\[\]]*?)\s*(?P<array>(?:\[\])*)")


@dataclass(frozen=True, kw_only=True)
class Described:
    """A column.

    Attributes:
        name: its name.
        type: as PostgreSQL prints it.
        not_null: whether it is NOT NULL.
        default: its default expression, as PostgreSQL prints it.
        primary: whether it is the primary key.
        identity: whether it draws its values from a sequence of its own.
        always: whether a writer's value is refused there (GENERATED ALWAYS).
        generated: whether it is computed from others.
        own: constraints on it alone that stand in its line.
    """

    name: str
    type: str
    not_null: bool = False
    default: str | None = None
    primary: bool = False
    identity: bool = False
    always: bool = False
    generated: bool = False
    own: tuple[Own, ...] = ()

    @property
    def counts(self) -> bool:
        """Whether its default is the next value of a sequence."""
        return self.default is not None and self.default.startswith("nextval(")

    @property
    def literal(self) -> str | None:
        """The text of a default that is a string; None where it is something else."""
        found = _LITERAL.fullmatch(self.default or "")
        return found[1].replace("''", "'") if found else None

    @property
    def number(self) -> str | None:
        """The digits of a default that is a number; None where it is something else."""
        found = _NUMBER.fullmatch(self.default or "")
        return found[1] if found else None


def apart(type_name: str) -> tuple[str, tuple[str, ...], int]:
    """Return a type's first name without its sizes, its sizes, and how many dimensions of an array it has."""
    found = _TYPE.fullmatch(type_name)
    if found is None:
        return type_name, (), 0
    sizes = tuple(size.strip() for size in found["sizes"].split(",")) if found["sizes"] else ()
    name = found["name"] + found["rest"]
    plain = name if '"' in name else name.lower()  # as PostgreSQL reads it, where a person or a tool wrote NUMERIC
    return ALIASES.get(plain, plain), sizes, found["array"].count("[]")


def cut(name: str) -> str:
    """Return a name as PostgreSQL keeps it."""
    return name.encode()[:NAME_BYTES].decode(errors="ignore")


def own_type(name: str) -> str:
    """Return a type of the schema's own, without schema and quotes."""
    return name.rpartition(".")[2].replace('"', "")


def camel(name: str) -> str:
    """Return a name as TypeScript has it: publication_year → publicationYear."""
    first, *others = [part for part in re.split(r"[^A-Za-z0-9]+", name) if part] or [name]
    return first[:1].lower() + first[1:] + "".join(part[:1].upper() + part[1:] for part in others)
