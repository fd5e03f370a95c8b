"""Django: migrations in Python, in each application's folder; their SQL is what `manage.py sqlmigrate` writes."""

import ast
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.plan.project import ToolchainSettings
from orchestrator.sql.identifiers import TableName
from orchestrator.toolchains.reading.files import in_order, output, python, shown, statements_of, without_transaction
from orchestrator.toolchains.toolchain import Migration, Statement

_NOT_OURS = frozenset({"node_modules", "site-packages", "build", "dist", "__pycache__"})


@dataclass(frozen=True, kw_only=True)
class _File:
    """A migration's file, the migrations that it says it comes after, and those in whose place it is."""

    app: str
    name: str
    path: Path
    after: tuple[tuple[str, str], ...]
    replaces: tuple[tuple[str, str], ...]


def find(root: Path) -> ToolchainSettings | None:
    """Return the settings where there is a manage.py."""
    return ToolchainSettings(kind="django") if (root / "manage.py").is_file() else None


def listed(root: Path, settings: ToolchainSettings) -> tuple[Migration, ...]:
    """Return the migrations of the project's own applications, each after those that it names; `books.0002_year`."""
    return tuple(_migration(root, each) for each in _ordered(_files(root, settings)))


def read(
    root: Path, settings: ToolchainSettings, *, only: Callable[[Migration], bool] | None = None
) -> tuple[Migration, ...]:
    """Return migrations with the SQL that Django writes for them: all, or only some of them.

    Raises:
        ConfigurationError: the command fails, as it does where the database of Django's settings does not answer.
    """
    return tuple(
        _with_statements(root, settings, each) for each in listed(root, settings) if only is None or only(each)
    )


def table(_root: Path, settings: ToolchainSettings) -> TableName | None:
    """Return where Django keeps what was applied."""
    return TableName.parse(settings.table or "django_migrations")


def pending(root: Path, settings: ToolchainSettings, rows: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return the migrations without a row; one in the place of others may have theirs."""
    done = {f"{row['app']}.{row['name']}" for row in rows}
    done |= {name for name, others in replacing(root, settings).items() if done.issuperset(others)}
    return frozenset(each.name for each in listed(root, settings)) - done


def replacing(root: Path, settings: ToolchainSettings) -> dict[str, tuple[str, ...]]:
    """Return the migrations in whose place another one is, by that one's name (`squashmigrations`)."""
    return {
        f"{each.app}.{each.name}": tuple(f"{app}.{name}" for app, name in each.replaces)
        for each in _files(root, settings)
        if each.replaces
    }


def _migration(root: Path, file: _File) -> Migration:
    return Migration(name=f"{file.app}.{file.name}", path=Path(shown(root, file.path)), statements=())


def _files(root: Path, settings: ToolchainSettings) -> list[_File]:
    """Return every migration in the project's folder; those of libraries are not the project's to change."""
    found: list[_File] = []
    for folder, folders, names in os.walk(root / (settings.folder or "")):
        folders[:] = sorted(name for name in folders if name not in _NOT_OURS and not name.startswith("."))
        if "pyvenv.cfg" in names:
            folders.clear()
            continue
        here = Path(folder)
        if here.name == "migrations":
            label = _label(root, here.parent)
            numbered = sorted(name for name in names if name.endswith(".py"))
            found += [_file(root, label, here / name) for name in numbered if name != "__init__.py"]
    return found


def _label(root: Path, app: Path) -> str:
    """Return an application's label: as its AppConfig says, its folder's name otherwise."""
    path = app / "apps.py"
    if path.is_file():
        for node in ast.walk(python(root, path)):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
                if "label" in names:
                    return str(node.value.value)
    return app.name


def _file(root: Path, label: str, path: Path) -> _File:
    tree = python(root, path)
    return _File(
        app=label, name=path.stem, path=path, after=_pairs(tree, "dependencies"), replaces=_pairs(tree, "replaces")
    )


def _pairs(tree: ast.Module, said: str) -> tuple[tuple[str, str], ...]:
    """Return the migrations that a list names."""
    found: list[tuple[str, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == said for target in node.targets
        ):
            pairs = node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else []
            for pair in pairs:
                if isinstance(pair, ast.Tuple) and all(isinstance(each, ast.Constant) for each in pair.elts):
                    app, name = ast.literal_eval(pair)
                    found.append((str(app), str(name)))
    return tuple(found)


def _ordered(files: list[_File]) -> tuple[_File, ...]:
    """Return migrations each after those that it names."""
    return in_order(files, lambda each: (each.app, each.name), lambda each: each.after)


def _with_statements(root: Path, settings: ToolchainSettings, migration: Migration) -> Migration:
    app, _, name = migration.name.partition(".")
    text = output(root, settings, command(root), ["sqlmigrate", app, name])
    kept, in_one = without_transaction(statements_of(text, where=f"the SQL of {migration.path.as_posix()}"))
    return replace(migration, statements=tuple(Statement(text=each.text) for each in kept), transactional=in_one)


def command(root: Path) -> tuple[str, ...]:
    """Return the project's own Python where it has one in .venv, then that on the PATH, then ecm's."""
    own = root / ".venv" / "bin" / "python"
    if own.is_file():
        return (str(own), "manage.py")
    return (shutil.which("python") or sys.executable, "manage.py")
