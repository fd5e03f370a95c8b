"""Alembic: revisions in Python, each naming the one before; their SQL is what `alembic upgrade --sql` writes."""

import ast
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from configparser import ConfigParser, Error
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


@dataclass(frozen=True, kw_only=True)
class _Revision:
    """A revision's file as it says of itself."""

    name: str
    down: tuple[str, ...]
    path: Path


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
    return ToolchainSettings(kind="alembic", folder=folder)


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
            frontier += revisions[name].down
    return frozenset(revisions.keys() - reached)


def _migration(root: Path, revision: _Revision) -> Migration:
    return Migration(name=revision.name, path=Path(shown(root, revision.path)), statements=())


def _revisions(root: Path, settings: ToolchainSettings) -> tuple[_Revision, ...]:
    there = find(root)
    folder = root / (settings.folder or (there.folder if there else None) or "alembic/versions")
    files = sorted(path for path in folder.rglob("*.py") if path.name != "__init__.py")
    return tuple(found for path in files if (found := _revision(root, path)) is not None)


def _revision(root: Path, path: Path) -> _Revision | None:
    """Return what a file says of itself, read and not run; None where it is no revision."""
    said: dict[str, Any] = {}
    for node in python(root, path).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        for target in targets:
            if isinstance(target, ast.Name) and isinstance(value, ast.Constant | ast.Tuple | ast.List):
                said[target.id] = ast.literal_eval(value)
    if not isinstance(said.get("revision"), str):
        return None
    down = said.get("down_revision")
    return _Revision(name=said["revision"], down=(down,) if isinstance(down, str) else tuple(down or ()), path=path)


def _ordered(revisions: Sequence[_Revision]) -> tuple[_Revision, ...]:
    """Return revisions each after those that it follows."""
    return in_order(revisions, lambda each: each.name, lambda each: each.down)


def _runs(wanted: Sequence[_Revision]) -> list[list[_Revision]]:
    """Return revisions as chains of which one command writes all; one that joins several has nothing to write."""
    runs: list[list[_Revision]] = []
    for each in wanted:
        if len(each.down) > 1:
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
    own = tuple(Statement(text=each.text) for each in kept if "version_num" not in each.text)
    in_one = "COMMIT;" not in text.strip().removesuffix("COMMIT;")
    return replace(migration, statements=own, transactional=in_one)
