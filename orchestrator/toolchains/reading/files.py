"""What the readings of all tools share: files of SQL and of Python, their order, and the tool's own command."""

import ast
import os
import re
import subprocess
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from orchestrator.errors import ConfigurationError, InvalidFileError
from orchestrator.plan.project import ToolchainSettings
from orchestrator.sql import lexer
from orchestrator.sql.lexer import UnreadableSqlError
from orchestrator.toolchains.toolchain import Statement
from orchestrator.workspace import read_text

T = TypeVar("T")

_LAST_LINES = 6
"""Of what a command says before it fails."""
_TRANSACTION = ("begin", "commit", "start transaction", "end")


def shown(root: Path, path: Path) -> str:
    """Return a path as a person in the project's folder would write it."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def statements_of(text: str, *, where: str, separator: str | None = None) -> tuple[Statement, ...]:
    """Return the statements of a migration's text with their lines.

    Args:
        text: of the file.
        where: the file, for messages.
        separator: what stands between statements beside semicolons.

    Raises:
        InvalidFileError: a quote, comment or parenthesis is not closed.
    """
    found: list[Statement] = []
    line = 0
    for part in text.split(separator) if separator else [text]:
        try:
            found += [Statement(text=each.text, line=line + each.line) for each in lexer.statements(part, key=where)]
        except UnreadableSqlError as error:
            raise InvalidFileError(f"{where} cannot be read as SQL", details=[str(error)]) from None
        line += part.count("\n")
    return tuple(found)


def sql_file(root: Path, path: Path, *, separator: str | None = None) -> tuple[Statement, ...]:
    """Return the statements of a file; see `statements_of`."""
    return statements_of(read_text(path, shown=shown(root, path)), where=shown(root, path), separator=separator)


def without_transaction(statements: Sequence[Statement]) -> tuple[tuple[Statement, ...], bool]:
    """Return statements without BEGIN and COMMIT, and whether these were there."""
    kept = tuple(each for each in statements if " ".join(each.text.lower().split()) not in _TRANSACTION)
    return kept, len(kept) < len(statements)


def natural(path: str) -> tuple[tuple[int, int | str], ...]:
    """Return what paths are ordered by: numbers in them as numbers, V2 before V10."""
    parts = re.findall(r"\d+|\D+", path)
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in parts)


def python(root: Path, path: Path) -> ast.Module:
    """Return a file of Python as it is written, read and not run.

    Raises:
        InvalidFileError: it is not Python.
    """
    where = shown(root, path)
    try:
        return ast.parse(read_text(path, shown=where))
    except SyntaxError as error:
        raise InvalidFileError(f"{where}:{error.lineno} is not Python: {error.msg}") from None


def in_order(
    several: Iterable[T], key: Callable[[T], Hashable], after: Callable[[T], Iterable[Hashable]]
) -> tuple[T, ...]:
    """Return things each after those that it names, in the order given otherwise; a ring is cut where it is met.

    Args:
        several: the things.
        key: by which one is named.
        after: those that one comes after; what is not among them counts for nothing.
    """
    by_key = {key(each): each for each in several}
    order: dict[Hashable, T] = {}
    for each in by_key.values():
        chain = [each]
        while chain:
            last = chain[-1]
            before = [by_key[name] for name in after(last) if name in by_key and name not in order]
            before = [found for found in before if found not in chain]
            if before:
                chain.append(before[0])
            else:
                order.setdefault(key(last), last)
                chain.pop()
    return tuple(order.values())


def output(
    root: Path,
    settings: ToolchainSettings,
    command: Sequence[str],
    arguments: Sequence[str],
    *,
    variables: Mapping[str, str] | None = None,
) -> str:
    """Return what a tool's command writes, run in the project's folder and without a shell.

    Args:
        root: the project's folder.
        settings: they may say how it is run, and how long it may take.
        command: how it is run otherwise.
        arguments: what it is to do.
        variables: of the environment, besides those of ecm's own.

    Raises:
        ConfigurationError: it cannot be run, fails, or takes too long.
    """
    words = [*(settings.command or command), *arguments]
    said = " ".join(words)
    hint = f"run it yourself; or say how it is run in ecm.yaml: toolchain: {{kind: {settings.kind}, command: […]}}"
    try:
        done = subprocess.run(
            words,
            cwd=root,
            env={**os.environ, **(variables or {})},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            stdin=subprocess.DEVNULL,
            check=False,
            timeout=settings.timeout.total_seconds(),
        )
    except OSError as error:
        raise ConfigurationError(f"`{said}` cannot be run: {error.strerror}", hint=hint) from None
    except subprocess.TimeoutExpired:
        seconds = round(settings.timeout.total_seconds())
        raise ConfigurationError(
            f"`{said}` took more than {seconds} s", hint=f"{hint.removesuffix('}')}, timeout: 5m}}"
        ) from None
    if done.returncode != 0:
        last = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()][-_LAST_LINES:]
        raise ConfigurationError(f"`{said}` failed", details=last, hint=hint)
    return done.stdout
