"""What drizzle.config says, as far as it is plain to see: the file is a program, and none is run to read it."""

import re
from dataclasses import dataclass
from pathlib import Path

from orchestrator.sql.identifiers import TableName
from orchestrator.workspace import read_text

FILES = ("drizzle.config.ts", "drizzle.config.js", "drizzle.config.mjs", "drizzle.config.json")

_OUT = re.compile(r"""["']?\bout\b["']?\s*:\s*(?:["'`](?P<said>[^"'`$]+)["'`](?!\s*[+.?|]))?""")
_TABLE = re.compile(r"""["']?\bmigrations\b["']?\s*:\s*\{[^}]*?["']?\btable\b["']?\s*:\s*["'`]([^"'`]+)["'`]""")
_SCHEMA = re.compile(r"""["']?\bmigrations\b["']?\s*:\s*\{[^}]*?["']?\bschema\b["']?\s*:\s*["'`]([^"'`]+)["'`]""")
_COMMENT = re.compile(r"""("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|//[^\n]*|/\*.*?\*/""", re.DOTALL)
_FILTERED = re.compile(r"""["']?\bschemaFilter\b["']?\s*:""")


@dataclass(frozen=True, kw_only=True)
class Config:
    """What ecm needs of it.

    Attributes:
        file: its name; None where there is none.
        folder: where migrations are, from the project's folder; None where that is computed.
        table: where Drizzle keeps what was applied.
        filtered: whether it says which schemas are Drizzle's.
    """

    file: str | None
    folder: Path | None
    table: TableName
    filtered: bool


def read(root: Path) -> Config | None:
    """Return what a project's drizzle.config says; None where it has none."""
    file = next((name for name in FILES if (root / name).is_file()), None)
    if file is None:
        return None
    text = _COMMENT.sub(lambda each: each[1] or " ", read_text(root / file, shown=file))

    def said(pattern: re.Pattern[str], otherwise: str) -> str:
        found = pattern.search(text)
        return found[1] if found else otherwise

    return Config(
        file=file,
        folder=_folder(text),
        table=TableName(said(_SCHEMA, "drizzle"), said(_TABLE, "__drizzle_migrations")),
        filtered=_FILTERED.search(text) is not None,
    )


def _folder(text: str) -> Path | None:
    out = _OUT.search(text)
    if out is None:
        return Path("drizzle")
    return Path(out["said"]) if out["said"] else None
