"""How an emitted migration is known: by its first lines, which are comments in any tool's files."""

import re
from dataclasses import dataclass
from pathlib import Path

from orchestrator.toolchains.toolchain import Emission, Migration
from orchestrator.workspace import read_text

_HEADER = re.compile(r"ecm: (?P<plan>[a-z0-9-]+) (?P<part>expand|contract) (?P<checksum>\S+)")
_WHERE = 12
"""Lines of a file among which the header is."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What an emitted migration says of itself."""

    plan: str
    part: str
    checksum: str


def lines(emission: Emission) -> tuple[str, ...]:
    """Return the header, line by line, without the marks of a comment."""
    return (
        f"ecm: {emission.plan} {emission.part} {emission.checksum}",
        emission.title,
        "Where ecm has done it, this does nothing; on empty tables it does all of it; else it stops.",
    )


def sql_text(emission: Emission) -> str:
    """Return a migration as a file of SQL."""
    return "".join(f"-- {line}\n" for line in lines(emission)) + f"{emission.statement};\n"


def of(root: Path, migration: Migration) -> Header | None:
    """Return what a migration of a project says of itself; None where ecm did not write it."""
    return read(read_text(root / migration.path, shown=migration.path.as_posix()))


def read(text: str) -> Header | None:
    """Return what a migration's text says of itself; None where ecm did not write it."""
    for line in text.split("\n", _WHERE)[:_WHERE]:
        if (found := _HEADER.search(line)) is not None:
            return Header(**found.groupdict())
    return None
