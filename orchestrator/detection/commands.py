"""A change as the command that writes its plan, and a name for that plan."""

import shlex
from collections.abc import Iterable
from typing import Any, cast

from orchestrator.detection.finding import Finding
from orchestrator.operations import Operation
from orchestrator.plan.phases import NAME_LENGTH
from orchestrator.words import kebab

_ARGUMENTS = {
    "rename_column": ("table", "column", "to"),
    "rename_table": ("table", "to"),
    "change_type": ("table", "column", "type"),
    "add_column": ("table", "column", "type"),
    "drop_column": ("table", "column"),
    "set_not_null": ("table", "column"),
    "drop_not_null": ("table", "column"),
    "add_check": ("table", "name", "check"),
    "add_unique": ("table", "name"),
    "add_foreign_key": ("table", "name"),
    "change_enum": ("type",),
}
"""By kind: the fields that are arguments, in their order; the rest are options."""


def command_for(change: Operation) -> str | None:
    """Return the command line that writes a plan of a change; None where it says more than a line holds."""
    arguments = _ARGUMENTS.get(change.kind)
    if arguments is None:
        return None
    fields = change.model_dump(mode="json", exclude_defaults=True)
    words = ["ecm", "plan", kebab(change.kind), *(str(fields.pop(name)) for name in arguments)]
    for name, value in fields.items():
        if name != "kind":
            words += _option(f"--{kebab(name)}", value)
    return shlex.join(words)


def _option(option: str, value: Any) -> list[str]:
    if value is True:
        return [option]
    if isinstance(value, dict):
        said = cast("dict[str, Any]", value)
        if "table" in said:
            columns: list[str] = said.get("columns", [])
            return [option, f"{said['table']}({', '.join(columns)})" if columns else str(said["table"])]
        return [word for old, new in said.items() for word in (option, f"{old}={new}")]
    if isinstance(value, list):
        return [word for each in cast("list[object]", value) for word in (option, str(each))]
    return [option, str(value)]


def name_for(found: Finding, change: Operation, taken: Iterable[str]) -> str:
    """Return a free name for a plan: as `ecm plan` gives it, with the table where another plan has that already."""
    slug = kebab(f"{found.rule} {found.subject.split()[-1]}") if change.kind == "sql" else change.slug
    names = frozenset(taken)
    candidates = [slug[:NAME_LENGTH], f"{slug[: NAME_LENGTH // 2]}-in-{kebab(change.target.name)}"[:NAME_LENGTH]]
    candidates += [f"{slug[: NAME_LENGTH - 4]}-{number}" for number in range(2, 1000)]
    return next(name for name in (each.strip("-") for each in candidates) if name not in names)
