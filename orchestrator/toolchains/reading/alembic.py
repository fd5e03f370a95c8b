"""Alembic: revisions in Python, each naming the one before; their SQL is what `alembic upgrade --sql` writes."""

import ast
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from configparser import ConfigParser, Error
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.errors import InvalidFileError
from orchestrator.plan.project import ToolchainSettings
from orchestrator.sql.identifiers import TableName
from orchestrator.toolchains.reading.files import in_order, output, python, shown, statements_of, without_transaction
from orchestrator.toolchains.toolchain import Migration, Statement
from orchestrator.workspace import read_text

_RUNNING = re.compile(r"^-- Running upgrade (.*) -> (\S+)\s*$", re.MULTILINE)
"""The line before each revision's statements."""
_OWN = re.compile(
    r"CREATE TABLE \S+ \(\s*version_num VARCHAR\(32\) NOT NULL(,\s*CONSTRAINT \S+ PRIMARY KEY \(version_num\))?\s*\)"
    r"|INSERT INTO \S+ \(version_num\) VALUES \(\S+\)( RETURNING \S+)?"
    r"|UPDATE \S+ SET version_num=\S+ WHERE \S+\.version_num = \S+"
    r"|DELETE FROM \S+ WHERE \S+\.version_num = \S+"
)
"""What Alembic writes for its own table, whatever that is called."""
_SEPARATORS = {"os": os.pathsep, "space": None, "newline": "\n", ":": ":", ";": ";"}


@dataclass(frozen=True, kw_only=True)
class _Revision:
    """A revision's file as it says of itself."""

    name: str
    down: tuple[str, ...]
    needs: tuple[str, ...]
    """Revisions of other branches that have to be there first (`depends_on`), and count as applied with it."""
    path: Path
    empty: bool
    """Whether its upgrade does nothing."""


def find(root: Path) -> ToolchainSettings | None:
    """Return the settings where there is an alembic.ini, with the folder of its versions."""
    path = root / "alembic.ini"
    if not path.is_file():
        return None
    parser = ConfigParser(interpolation=None)
    try:
        parser.read_string(read_text(path, shown=path.name))
    except Error as error:
        raise InvalidFileError(f"alembic.ini cannot be read: {str(error).splitlines()[0]}") from None
    location = parser.get("alembic", "script_location", fallback="alembic")
    folder = Path(location.replace("%(here)s", ".")).joinpath("versions").as_posix()
    return ToolchainSettings(kind="alembic", folder=next(iter(_locations(root)), folder))


def _locations(root: Path) -> tuple[str, ...]:
    """Return the folders that alembic.ini names as `version_locations`; none where it names none."""
    parser = ConfigParser(interpolation=None)
    with suppress(Error, OSError, UnicodeDecodeError):
        parser.read(root / "alembic.ini", encoding="utf-8-sig")
    said = parser.get("alembic", "version_locations", fallback="")
    usual = parser.get("alembic", "version_path_separator", fallback="")
    separator = parser.get("alembic", "path_separator", fallback=usual)
    parts = said.split(_SEPARATORS.get(separator)) if separator else re.split(r",\s*|\s+", said)
    named = (part.strip().replace("%(here)s", ".") for part in parts)
    return tuple(Path(part).as_posix() for part in named if part)


def listed(root: Path, settings: ToolchainSettings) -> tuple[Migration, ...]:
    """Return the revisions without their statements, each after those that it follows."""
    return tuple(_migration(root, each) for each in _ordered(_revisions(root, settings)))


def read(
    root: Path, settings: ToolchainSettings, *, only: Callable[[Migration], bool] | None = None
) -> tuple[Migration, ...]:
    """Return revisions with the SQL that Alembic writes for them: all, or only some of them.

    Raises:
        ConfigurationError: the command fails, as it does where a revision asks a database while it runs.
    """
    revisions = _ordered(_revisions(root, settings))
    wanted = [each for each in revisions if only is None or only(_migration(root, each))]
    texts: dict[str, str] = {}
    for run in _runs(wanted):
        texts |= _written(root, settings, run)
    return tuple(_with_statements(_migration(root, each), texts.get(each.name, "")) for each in wanted)


def followed(root: Path, settings: ToolchainSettings) -> dict[str, tuple[str, ...]]:
    """Return which revisions each revision follows."""
    return {each.name: each.down for each in _revisions(root, settings)}


def stands_on(root: Path, settings: ToolchainSettings) -> dict[str, tuple[str, ...]]:
    """Return which revisions each revision follows or depends on: with its row, Alembic counts them as applied."""
    return {each.name: each.down + each.needs for each in _revisions(root, settings)}


def table(_root: Path, settings: ToolchainSettings) -> TableName | None:
    """Return where Alembic keeps the revision that a database is at."""
    return TableName.parse(settings.table or "alembic_version")


def pending(root: Path, settings: ToolchainSettings, rows: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return the revisions that are neither a row's nor before it."""
    revisions = {each.name: each for each in _revisions(root, settings)}
    reached: set[str] = set()
    frontier = [str(row["version_num"]) for row in rows]
    while frontier:
        name = frontier.pop()
        if name in revisions and name not in reached:
            reached.add(name)
            frontier += revisions[name].down + revisions[name].needs
    return frozenset(revisions.keys() - reached)


def _migration(root: Path, revision: _Revision) -> Migration:
    return Migration(name=revision.name, path=Path(shown(root, revision.path)), statements=())


def _revisions(root: Path, settings: ToolchainSettings) -> tuple[_Revision, ...]:
    there = find(root)
    folder = settings.folder or (there.folder if there else None) or "alembic/versions"
    folders = dict.fromkeys([root / folder, *(root / each for each in _locations(root))])
    files = sorted({path for each in folders for path in each.rglob("*.py") if path.name != "__init__.py"})
    return tuple(found for path in files if (found := _revision(root, path)) is not None)


def _revision(root: Path, path: Path) -> _Revision | None:
    """Return what a file says of itself, read and not run; None where it is no revision."""
    said: dict[str, Any] = {}
    tree = python(root, path)
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        for target in targets:
            if isinstance(target, ast.Name) and isinstance(value, ast.Constant | ast.Tuple | ast.List):
                said[target.id] = ast.literal_eval(value)
    if not isinstance(said.get("revision"), str):
        return None
    down, needs = _several(said.get("down_revision")), _several(said.get("depends_on"))
    return _Revision(name=said["revision"], down=down, needs=needs, path=path, empty=_is_empty(tree))


def _several(said: str | Iterable[str] | None) -> tuple[str, ...]:
    return (said,) if isinstance(said, str) else tuple(said or ())


def _is_empty(tree: ast.Module) -> bool:
    """Whether a revision's upgrade holds nothing but a text and `pass`."""
    return all(
        isinstance(each, ast.Pass) or (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name == "upgrade"
        for each in node.body
    )


def _ordered(revisions: Sequence[_Revision]) -> tuple[_Revision, ...]:
    """Return revisions each after those that it follows."""
    return in_order(revisions, lambda each: each.name, lambda each: each.down)


def _runs(wanted: Sequence[_Revision]) -> list[list[_Revision]]:
    """Return revisions as chains of which one command writes all; one that joins several begins another."""
    runs: list[list[_Revision]] = []
    for each in wanted:
        if len(each.down) > 1 and each.empty:
            continue
        if runs and each.down == (runs[-1][-1].name,):
            runs[-1].append(each)
        else:
            runs.append([each])
    return runs


def _written(root: Path, settings: ToolchainSettings, run: Sequence[_Revision]) -> dict[str, str]:
    """Return what Alembic writes for a chain, by revision."""
    first, last = run[0], run[-1]
    span = f"{first.down[0]}:{last.name}" if first.down else last.name
    text = output(root, settings, command(root), ["upgrade", span, "--sql"])
    heads = list(_RUNNING.finditer(text))
    ends = [*(head.start() for head in heads[1:]), len(text)]
    return {head[2]: text[head.end() : end] for head, end in zip(heads, ends, strict=True)}


def command(root: Path) -> tuple[str, ...]:
    """Return the project's own alembic where it has one in .venv, then that on the PATH, then ecm's."""
    own = root / ".venv" / "bin" / "alembic"
    if own.is_file():
        return (str(own),)
    return ("alembic",) if shutil.which("alembic") else (sys.executable, "-m", "alembic")


def _with_statements(migration: Migration, text: str) -> Migration:
    """Return a revision with its statements, without Alembic's own of its table."""
    kept, _ = without_transaction(statements_of(text, where=f"the SQL of {migration.path.as_posix()}"))
    own = tuple(Statement(text=each.text) for each in kept if not _OWN.fullmatch(each.text))
    in_one = "COMMIT;" not in text.strip().removesuffix("COMMIT;")
    return replace(migration, statements=own, transactional=in_one)
