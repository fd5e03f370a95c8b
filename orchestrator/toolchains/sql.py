"""Plain SQL: files in a folder, named and numbered as the last one there, whatever runs them.

What was applied is known to whatever runs them, and not to ecm: run on a branch where ecm has been, such a file does
nothing, and is noted there like any other.
"""

import re
from datetime import datetime
from pathlib import Path

from orchestrator.toolchains import header
from orchestrator.toolchains.toolchain import Emission, Migration
from orchestrator.toolchains.writing import Written
from orchestrator.workspace import replace_file

_NAME = re.compile(r"(?P<before>[A-Za-z]*)(?P<number>\d+)(?P<joint>[^A-Za-z0-9]*)(?P<rest>.*)")
_TIMES = {14: "%Y%m%d%H%M%S", 12: "%Y%m%d%H%M", 8: "%Y%m%d"}
_MARKS = (
    ("-- +goose Up", "-- +goose Up\n-- +goose StatementBegin\n", "-- +goose StatementEnd\n"),
    ("-- migrate:up", "-- migrate:up\n", "\n-- migrate:down\n"),
)
"""What a file's text has where goose or dbmate runs it, with what comes before the statements and after."""


class Sql(Written):
    """The .sql files of a project."""

    def emit(self, emission: Emission) -> tuple[Path, ...]:
        """Write the next file."""
        there = self.migrations()
        last = there[-1] if there else None
        name = Path(last.path.name if last else "0000_none.sql")
        found = _NAME.match(name.name)
        before, joint = (found["before"], found["joint"] or "_") if found else ("", "_")
        number = self._number(found["number"]) if found else f"{self.now():%Y%m%d%H%M%S}"
        up = ".up.sql" if name.name.endswith(".up.sql") else ".sql"
        folder = (self.root / last.path).parent if last else self.folder
        head, foot = self._marks(last)
        path = folder / f"{before}{number}{joint}{emission.slug}{up}"
        return (replace_file(path, head + header.sql_text(emission) + foot),)

    def _number(self, last: str) -> str:
        """Return what comes after a number: the next one as wide, or the time where it was one."""
        form = _TIMES.get(len(last))
        if form is not None and _is_time(last, form):
            now = f"{self.now():{form}}"
            if now > last:
                return now
        return f"{int(last) + 1:0{len(last)}}"

    def _marks(self, last: Migration | None) -> tuple[str, str]:
        text = self.text(last.path) if last else ""
        return next(((head, foot) for mark, head, foot in _MARKS if mark in text), ("", ""))

    def row(self, migration: Migration) -> None:
        """Return that nothing is known of a row."""


def _is_time(text: str, form: str) -> bool:
    try:
        datetime.strptime(text, form)  # noqa: DTZ007 - whether it is one
    except ValueError:
        return False
    return True
