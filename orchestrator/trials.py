"""Expressions of a plan that PostgreSQL refuses, found before the plan begins and told in the plan's own words."""

import re
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import cast

from psycopg import errors

from orchestrator.engine.connection import Connection
from orchestrator.engine.trial import Objection, objection
from orchestrator.errors import EcmError, PrivilegeError, StatementFailedError
from orchestrator.operations import Operation
from orchestrator.plan import compile as compiler
from orchestrator.plan.model import Plan
from orchestrator.plan.scope import Facts
from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import words
from orchestrator.words import did_you_mean, listed

_NAME = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
_NAMED = re.compile(rf"(?:{_NAME}\.)*({_NAME})")
"""A column as an expression names it, with or without its table; the group is its own name."""

_WRITTEN_IN = ("check", "using", "reverse", "default")
"""The fields of all kinds that hold expressions."""

_LEAST = 0.1
"""Seconds that a look takes at least, however long others took."""

_MADE_BY_OTHERS = (errors.UndefinedTable, errors.UndefinedColumn, errors.UndefinedFunction, errors.InvalidForeignKey)
"""What may be there by the time that it is needed, where a plan makes other changes too."""

_HINT = "correct the plan, or set these rows right"


def refused(connection: Connection, plan: Plan, facts: Facts, *, seconds: float) -> tuple[EcmError, ...]:
    """Try what expand tries first, without touching anything; return an error for each trial that fails.

    Args:
        connection: a session with the branch.
        plan: whose expressions are tried.
        facts: of its tables, before it begins.
        seconds: the longest look at one table's first rows, and at all rows of all tables.
    """
    until = monotonic() + seconds
    errors_found: list[EcmError] = []
    for change, table, step in compiler.trials(plan, facts):
        if (found := objection(connection, step.statements, seconds=seconds)) is not None:
            errors_found.append(_error(change, table, found, "using"))
            continue
        for field, statement in step.thorough:
            left = max(_LEAST, until - monotonic())
            if (found := objection(connection, (statement,), seconds=left)) is not None:
                errors_found.append(_error(change, table, found, field))
                break
    return tuple(errors_found) or tuple(_rehearsed(connection, plan, facts, seconds))


def _rehearsed(connection: Connection, plan: Plan, facts: Facts, seconds: float) -> Iterable[EcmError]:
    undecided = (errors.InsufficientPrivilege, *(_MADE_BY_OTHERS if len(plan.changes) > 1 else ()))
    for change, table, statements in compiler.rehearsals(plan, facts):
        found = objection(connection, statements, seconds=seconds, undone=True)
        if found is not None and not isinstance(found.error, undecided):
            yield _error(change, table, found, "using")


def _error(change: Operation, table: Table, found: Objection, field: str) -> EcmError:
    diag, error = found.error.diag, found.error
    why = diag.message_primary or str(error)
    more = [line for line in (diag.message_detail, diag.message_hint) if line]
    if isinstance(error, errors.InsufficientPrivilege):
        return PrivilegeError(f"{change.summary}: {why}", details=more)
    if isinstance(error, errors.UndefinedColumn) and (name := _NAMED.match(found.at)):
        return _of_column(change, table, _plain(name[1]))
    if isinstance(error, errors.DataError):
        return StatementFailedError(
            f"{_at_fault(change, table, field)}: {why}", details=[change.summary, *more], hint=_HINT
        )
    return StatementFailedError(f"{change.summary}: PostgreSQL says {why}", details=more, hint="correct the plan")


def _at_fault(change: Operation, table: Table, field: str) -> str:
    """Return what failed on a row; where the plan says nothing of values, that they are cast is what fails."""
    if field == "using" and change.casts is not None:
        return f"{change.casts[0]} of {table.name} does not go into {change.casts[1]}"
    blamed = _expressions(change)
    back = tuple(each for each in blamed if each.startswith("reverse"))
    forward = tuple(each for each in blamed if each not in back)
    return f"{_or((back if field == 'reverse' else forward) or blamed)} fails on a row of {table.name}"


def _or(blamed: tuple[str, ...]) -> str:
    return listed(blamed, "or") if blamed else "an expression"


def _of_column(change: Operation, table: Table, name: str) -> EcmError:
    blamed = _expressions(change, name)
    column = table.column(name)
    if column is not None:
        # It is there, so only what is written for the other direction can be wrong to name it.
        back = tuple(each for each in blamed if each.startswith("reverse"))
        said = _or((not column.generated and back) or blamed)
        return StatementFailedError(f"{said} cannot be made of {table.name}.{name}", hint="correct the plan")
    forward = any(each.startswith("using") for each in blamed)
    known = {*(each.name for each in table.columns), *(() if forward else change.made())} - {name}
    return StatementFailedError(
        f"{_or(blamed)} names a column {name} that {table.name} does not have",
        details=[did_you_mean(name, known)],
        hint="correct the plan",
    )


def _expressions(change: Operation, naming: str | None = None) -> tuple[str, ...]:
    """Return the fields of a change that hold expressions, as a person calls them; those that name a column, or all."""

    def found(field: str, value: object, of: str) -> Iterable[str]:
        if isinstance(value, str) and field in _WRITTEN_IN and (naming is None or naming in words(value)):
            yield f"{'the ' if field == 'check' else ''}{field}{of}"
        elif isinstance(value, Mapping):
            several = cast("Mapping[str, object]", value)
            part = several.get("column")
            for key, each in several.items():
                if field in _WRITTEN_IN:
                    yield from found(field, each, f" of {key}")
                else:
                    yield from found(key, each, f" of {part}" if isinstance(part, str) and field else "")
        elif isinstance(value, list | tuple):
            for each in cast("Iterable[object]", value):
                yield from found(field, each, of)

    return tuple(dict.fromkeys(found("", change.model_dump(), "")))


def _plain(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()
