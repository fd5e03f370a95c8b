"""Which plan ecm wrote a migration for: its first lines say so, as comments of any tool's files."""

import re
from pathlib import Path

from orchestrator.workspace import read_text

_SAID = re.compile(r"ecm: (?P<plan>[a-z0-9-]+) (?P<part>expand|contract) (?P<checksum>\S+)")
_WHERE = 12
"""Lines of a file among which it is."""


def emitted_for(path: Path) -> str | None:
    """Return the name of the plan that a migration was written for; None where a person or a tool wrote it."""
    for line in read_text(path, shown=path.name).split("\n", _WHERE)[:_WHERE]:
        if (found := _SAID.search(line)) is not None:
            return found["plan"]
    return None
