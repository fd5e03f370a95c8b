"""A subcommand of `ecm plan` for each kind of change, made from the kind's own fields.

Required values are arguments in the order of the fields, the rest are options. A value that has parts is given in
short, once for each of several, or as YAML: `--into "city text = split_part(address, ',', 2)"`, or
`--into '{column: city, type: text, using: …}'`; `--reverse "street = line"`, or `--reverse '{street: line}'`.
"""

import inspect
import re
from collections.abc import Mapping
from enum import Enum
from functools import cache
from types import NoneType
from typing import Annotated, Any, Literal, cast, get_args, get_origin

import typer
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from orchestrator.cli.commands import LookAt, group, register
from orchestrator.cli.desk import Desk
from orchestrator.errors import EcmError, UsageError
from orchestrator.operations import KINDS, Operation

_SCALARS = (str, int, float, bool)
_IN_A_FILE = re.compile(r"[:,] \[?\{[^}]*\}(?:, …\])?")

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
    fields = {info.alias or field: info for field, info in operation.model_fields.items() if field != "kind"}

    command = f"ecm plan {name}"

    def draft(desk: Desk, *, called: str | None, branch: str | None, offline: bool, **given: Any) -> None:
        try:
            change = _build(operation, {field: _value(field, fields[field], value) for field, value in given.items()})
        except UsageError as error:
            error.hint = error.hint or f"{command} --help"
            raise
        if offline and branch is not None:
            raise UsageError("--offline looks at no database, and --branch names one", hint="leave one of them out")
        try:
            with desk.watched() as conductor:
                report = conductor.draft(change, name=called, branch=branch, offline=offline)
        except EcmError as error:
            error.hint = error.hint and _as_typed(error.hint, operation)
            raise
        desk.show(report)

    ours = inspect.signature(_ours, eval_str=True).parameters.values()
    parameters = [*sorted((_parameter(*each) for each in fields.items()), key=_needed_first), *ours]
    required = [each for each in parameters if each.default is inspect.Parameter.empty]
    needed = [each.name.upper() if _is_argument(each) else f"--{_kebab(each.name)} …" for each in required]
    example = operation.example or " ".join(needed)
    register(
        app,
        name,
        draft,
        parameters,
        help_text=inspect.getdoc(operation) or "",
        examples=[f"{command} {example}"],
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
        metavar = "VALUE" if annotation is str else None
        how = typer.Option(f"--{_kebab(name)}", metavar=metavar, help=described, show_default=False)
    else:
        metavar, described = _described(name, field, described)
        how = typer.Option(f"--{_kebab(name)}", metavar=metavar, help=described, show_default=False)
        annotation = list[str]
    typed = annotation if field.is_required() else annotation | None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[typed, how])


class _Parted(Enum):
    """How many of what has parts a field takes."""

    ONE = 1
    SEVERAL = 2
    MAPPING = 3


def _parted(annotation: Any) -> tuple[_Parted, Any]:
    """Return how many values with parts a field takes, and the model of one; None where it has none."""
    alternatives = [each for each in get_args(annotation) if each is not NoneType]
    origin = get_origin(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _Parted.ONE, annotation
    if origin is dict:
        return _Parted.MAPPING, None
    if origin in (tuple, list):
        return _Parted.SEVERAL, _parted(alternatives[0])[1]
    return _parted(alternatives[0]) if alternatives else (_Parted.ONE, None)


def _described(name: str, field: FieldInfo, words: str) -> tuple[str, str]:
    """Return what stands for the value of an option that may be given several times or has parts, and its help."""
    if _plain(field.annotation) == list[str]:
        return name.upper().removesuffix("S"), f"{words}; once for each"
    how, model = _parted(field.annotation)
    short = "'NAME = VALUE'" if how is _Parted.MAPPING else f"'{model.said}'" if hasattr(model, "said") else None
    # How it stands in a file, in braces, is not how it is given here.
    said = _IN_A_FILE.sub("", words)
    described = f"{said}, as {short} or YAML" if short else f"{words} (YAML)"
    return "PARTS" if short else "YAML", described if how is _Parted.ONE else f"{described}; once for each"


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


def _needed_first(parameter: inspect.Parameter) -> tuple[bool, bool, bool]:
    """Arguments, then options that must be given, then those that may be; switches last."""
    return not _is_argument(parameter), parameter.default is None, "bool" in str(get_args(parameter.annotation)[0])


def _is_argument(parameter: inspect.Parameter) -> bool:
    how = get_args(parameter.annotation)[-1]
    return type(how).__name__ == "ArgumentInfo"


def _kebab(name: str) -> str:
    return name.replace("_", "-")


def _value(name: str, field: FieldInfo, given: Any) -> Any:
    """Return a parameter's value as the field's: what has parts is read, in short or as YAML, and put together.

    Raises:
        UsageError: it is neither.
    """
    annotation = _plain(field.annotation)
    if not given or annotation in _SCALARS or annotation == list[str]:
        return given
    how, model = _parted(field.annotation)
    read = [_read(f"--{_kebab(name)}", text, how, model) for text in given]
    if how is _Parted.MAPPING:
        return {key: value for each in read for key, value in cast("dict[str, Any]", each).items()}
    several = [item for each in read for item in (cast("list[Any]", each) if isinstance(each, list) else [each])]
    if how is _Parted.SEVERAL:
        return several
    if len(several) > 1:
        raise UsageError(f"--{_kebab(name)} is given {len(several)} times, and there is one")
    return several[0]


def _read(option: str, text: str, how: _Parted, model: Any) -> object:
    """Return one value of an option: as it is in short, else as YAML."""
    if not text.lstrip().startswith(("{", "[")):
        if how is _Parted.MAPPING and "=" in text:
            key, _, value = text.partition("=")
            return {key.strip(): value.strip()}
        if hasattr(model, "in_short") and (parts := model.in_short(text)):
            return parts
    value = _yaml(text)
    if isinstance(value, dict | list):
        return cast("object", value)
    short = "NAME = VALUE" if how is _Parted.MAPPING else getattr(model, "said", None)
    raise UsageError(f"{option} {text!r} is neither {short} nor YAML" if short else f"{option} {text!r} has no parts")


def _yaml(text: str) -> object:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return cast("Any", YAML(typ="safe", pure=True)).load(text)
    except YAMLError as error:
        raise UsageError(f"{text!r} is not YAML", details=[str(error).splitlines()[0]]) from None


def _build(operation: type[Operation], given: Mapping[str, Any]) -> Operation:
    """Return the change.

    Raises:
        UsageError: a value is not what the kind takes; each is in the details.
    """
    values = {field: value for field, value in given.items() if value is not None}
    try:
        return operation.model_validate(values)
    except ValidationError as error:
        problems = error.errors()
        places = [problem["loc"] for problem in problems]
        # That there is none is not worth a word where there was one, and why it is none is said.
        beneath = {place[:length] for place in places for length in range(len(place)) if length}
        told = (problem for problem in problems if problem["loc"] not in beneath)
        raise UsageError(
            f"ecm plan {_kebab(operation.model_fields['kind'].default)} cannot make a plan of that",
            details=[_said(each, operation) for each in told],
        ) from None


def _said(problem: Any, operation: type[Operation]) -> str:
    """Return what is wrong with a value, after its place on the command line."""
    # A validator's own words come after pydantic's "Value error, ".
    empty = problem["type"] == "string_too_short"
    words = "there is nothing in it" if empty else problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return _as_typed(words, operation)
    name, *within = problem["loc"]
    place = [_place(name, operation)]
    place += [str(part + 1) if isinstance(part, int) else str(part) for part in within]
    return f"{' '.join(place)}: {words}"


def _place(name: str, operation: type[Operation]) -> str:
    """Return what stands for a field on the command line: `TABLE`, `--reverse`."""
    fields = {info.alias or field: info for field, info in operation.model_fields.items()}
    argument = fields[name].is_required() and _plain(fields[name].annotation) in _SCALARS
    return name.upper() if argument else f"--{_kebab(name)}"


_NOTHING_ELSE = ("reverse", "using", "one_way")
"""Fields whose names mean nothing else in a sentence."""


def _as_typed(words: str, operation: type[Operation]) -> str:
    """Return what is said of a plan's fields as it is said to somebody who types them: there is no plan yet."""
    fields = {info.alias or field for field, info in operation.model_fields.items()} - {"kind"}

    def placed(found: re.Match[str]) -> str:
        return _place(found[1], operation) if found[1] in fields else found[0]

    said = words.replace(" in the plan", "").replace("one_way: true", "one_way")
    said = re.sub(r"say kind: (\w+)", lambda found: f"ecm plan {_kebab(found[1])} does", said)
    said = re.sub(r"`(\w+)`", placed, said)
    said = re.sub(rf"(?<![\w-])({'|'.join(_NOTHING_ELSE)})(?![\w-])", placed, said)
    said = re.sub(r"^(\w+)(?=[ .])", placed, said)
    return re.sub(r"(?<= and )(\w+)(?= (?:both|are both))", placed, said)
