"""A subcommand of `ecm plan` for each kind of change, made from the kind's own fields.

Required values are arguments in the order of the fields, the rest are options. A value that is
itself a mapping or a list of mappings is given as YAML: `--into '{column: city, type: text}'`.
"""

import inspect
from collections.abc import Mapping
from functools import cache
from types import NoneType
from typing import Annotated, Any, Literal, cast, get_args, get_origin

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from orchestrator.cli.commands import LookAt, group, register
from orchestrator.cli.desk import Desk
from orchestrator.errors import UsageError
from orchestrator.operations import KINDS, Operation

_SCALARS = (str, int, float, bool)

_Name = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", show_default=False, help="The plan's name; made from the change otherwise."),
]
_Offline = Annotated[bool, typer.Option("--offline", help="Do not look at the table; write the file only.")]


@cache
def commands() -> Mapping[str, Any]:
    """Return a command for each kind, by its name on the command line."""
    kinds = group("plan", "")
    kinds.callback()(_group)
    for kind, operation in KINDS.items():
        _add(kinds, kind.replace("_", "-"), operation)
    # Given as a group, its commands are those of `ecm plan`.
    return cast("Any", typer.main.get_command(kinds)).commands


def _group() -> None:
    """Hold the kinds."""


def _add(app: typer.Typer, name: str, operation: type[Operation]) -> None:
    fields = {field: info for field, info in operation.model_fields.items() if field != "kind"}

    def draft(desk: Desk, *, called: str | None, branch: str | None, offline: bool, **given: Any) -> None:
        change = _build(operation, {field: _value(fields[field], value) for field, value in given.items()})
        if offline and branch is not None:
            raise UsageError("--offline looks at no database, and --branch names one", hint="leave one of them out")
        desk.show(desk.conductor().draft(change, name=called, branch=branch, offline=offline))

    ours = inspect.signature(_ours, eval_str=True).parameters.values()
    parameters = [*sorted((_parameter(*each) for each in fields.items()), key=_options_last), *ours]
    required = [each for each in parameters if each.default is inspect.Parameter.empty]
    needed = [each.name.upper() if _is_argument(each) else f"--{_kebab(each.name)} …" for each in required]
    register(
        app,
        name,
        draft,
        parameters,
        help_text=inspect.getdoc(operation) or "",
        examples=[" ".join(["ecm plan", name, *needed])],
    )


def _ours(*, called: _Name = None, branch: LookAt = None, offline: _Offline = False) -> None:
    """Take what all kinds take; under names that no field of a kind has."""


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    """Return a field as a parameter that typer understands."""
    annotation, default = _plain(field.annotation), inspect.Parameter.empty if field.is_required() else None
    described = field.description or ""
    if annotation in _SCALARS and field.is_required():
        how: Any = typer.Argument(metavar=name.upper(), help=described, show_default=False)
    elif annotation in _SCALARS:
        how = typer.Option(f"--{_kebab(name)}", help=described, show_default=False)
    elif annotation == list[str]:
        how = typer.Option(f"--{_kebab(name)}", help=f"{described} (give it once for each)", show_default=False)
    else:
        how, annotation = typer.Option(f"--{_kebab(name)}", metavar="YAML", help=described, show_default=False), str
    typed = annotation if field.is_required() else annotation | None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[typed, how])


def _plain(annotation: Any) -> Any:
    """Return the type typer reads a field's value as: a scalar, a list of strings; else the annotation itself."""
    alternatives = [_plain(each) for each in get_args(annotation) if each is not NoneType]
    origin = get_origin(annotation)
    if origin is Annotated:
        return _plain(get_args(annotation)[0])
    if origin is Literal:
        return str
    if origin in (tuple, list) and alternatives and alternatives[0] is str:
        return list[str]
    if origin is not None and NoneType in get_args(annotation) and len(alternatives) == 1:
        return alternatives[0]
    return annotation


def _options_last(parameter: inspect.Parameter) -> bool:
    return not _is_argument(parameter)


def _is_argument(parameter: inspect.Parameter) -> bool:
    how = get_args(parameter.annotation)[-1]
    return type(how).__name__ == "ArgumentInfo"


def _kebab(name: str) -> str:
    return name.replace("_", "-")


def _value(field: FieldInfo, given: Any) -> Any:
    """Return a parameter's value as the field's; YAML is read."""
    annotation = _plain(field.annotation)
    if not isinstance(given, str) or annotation in _SCALARS or annotation == list[str]:
        return given
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return cast("Any", YAML(typ="safe", pure=True)).load(given)
    except YAMLError as error:
        raise UsageError(f"{given!r} is not YAML", details=[str(error).splitlines()[0]]) from None


def _build(operation: type[Operation], given: Mapping[str, Any]) -> Operation:
    """Return the change.

    Raises:
        UsageError: a value is not what the kind takes; each is in the details.
    """
    values = {field: value for field, value in given.items() if value is not None}
    try:
        return operation.model_validate(values)
    except ValidationError as error:
        raise UsageError(
            f"that is not a {operation.model_fields['kind'].default}",
            details=[_said(problem) for problem in error.errors()],
            hint=f"ecm plan {_kebab(operation.model_fields['kind'].default)} --help",
        ) from None


def _said(problem: Any) -> str:
    where = ".".join(map(str, problem["loc"]))
    # A validator's own words come after pydantic's "Value error, ".
    words = problem["msg"].removeprefix("Value error, ")
    return f"{where.upper()}: {words}" if where else words
