"""A file's text in, a model out; or one error that lists everything wrong, by line and column.

pydantic says where a value is with a path of keys (`loc`) and what is wrong in its own words.
Here the path is followed through the document and the model side by side: the document gives the
line and column, the model gives the keys that would have been right.
"""

import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from orchestrator.errors import InvalidFileError
from orchestrator.plan.yaml_reader import Path, Place, Problem, Tree, UnreadableError, read
from orchestrator.redaction import redact
from orchestrator.words import counted, listed, nearest

M = TypeVar("M", bound=BaseModel)

_HINT = "correct the file, then run `ecm plan validate`"
_LONGEST_VALUE = 60
"""How many characters of a wrong value are shown."""


def parse(text: str, *, file: str, model: type[M], context: Mapping[str, object] | None = None) -> M:
    """Read YAML (or JSON) text as a model.

    Args:
        text: the file's contents.
        file: its name as a person would write it, for the messages.
        model: what the file holds.
        context: passed to the model's validators.

    Raises:
        InvalidFileError: with a line `file:line:column: message` for each problem, in file order.
    """
    try:
        tree = read(text)
    except UnreadableError as error:
        raise invalid(file, error.problems) from None
    if not tree.is_mapping:
        raise invalid(file, [Problem(tree.values[()], _not_a_mapping(tree.value, model))])
    try:
        return model.model_validate(tree.value, context=dict(context) if context else None)
    except ValidationError as error:
        raise invalid(file, _problems(error, tree, model)) from None


def invalid(file: str, problems: Iterable[Problem]) -> InvalidFileError:
    """Return the error for a file with these problems; each is shown once, passwords never."""
    found = sorted(set(problems))
    lines = [redact(f"{file}:{at.place.line}:{at.place.column}: {at.message}") for at in found]
    return InvalidFileError(f"{file} has {counted(len(found), 'problem')}", details=lines, hint=_HINT)


def _not_a_mapping(value: object, model: type[BaseModel]) -> str:
    required = [name for name, field in model.model_fields.items() if field.is_required()]
    wanted = f"expected keys at the top, such as {listed(f'{name}:' for name in required)}"
    return f"{wanted}; the file is empty" if value is None else f"{wanted}; found {_shown(value)}"


# --- from pydantic's errors to problems -----------------------------------------------------------


def _problems(error: ValidationError, tree: Tree, model: type[BaseModel]) -> Iterator[Problem]:
    for details in error.errors(include_url=False):
        spot = _Spot.find(details["loc"], tree, model)
        context: dict[str, Any] = details.get("ctx", {})
        match details["type"]:
            case "too_short" if _size(spot.value) >= context["min_length"]:
                continue  # pydantic counts only the entries that were valid; what is wrong with the rest is said
            case "extra_forbidden":
                yield Problem(spot.key_place, spot.unknown_key())
            case "missing":
                yield Problem(spot.place, f"key {spot.missing!r} is missing{spot.within(spot.path)}")
            case "union_tag_invalid":
                kind = spot.tag
                yield Problem(kind.place, kind.unknown_kind(_quoted(context["expected_tags"])))
            case "literal_error" if spot.path[-1:] == ("kind",):
                yield Problem(spot.place, spot.unknown_kind(_quoted(context["expected"])))
            case "misplaced":
                for below, message in context["problems"]:
                    yield Problem(_Spot.find((*details["loc"], *below), tree, model).nearest_place, message)
            case kind:
                yield Problem(spot.place, spot.named(_in_words(kind, context, details["msg"], spot)))


@dataclass(frozen=True, kw_only=True)
class _Spot:
    """Where pydantic's path leads in the document and in the model.

    Attributes:
        path: as much of it as the document has.
        value: what the document has there.
        shape: the type the model expects there.
        parent: the model whose key this is, if it is a model's.
        missing: the key that the document lacks, if that is where the path leads.
    """

    tree: Tree
    path: Path
    value: object
    shape: Any
    parent: type[BaseModel] | None = None
    missing: str | None = None

    @classmethod
    def find(cls, loc: tuple[str | int, ...], tree: Tree, model: type[BaseModel]) -> "_Spot":
        spot = cls(tree=tree, path=(), value=tree.value, shape=model)
        for step in loc:
            below = spot.child(step)
            if below.missing is not None or (below.path == spot.path and below.shape is None):
                return below
            spot = below
        return spot

    def child(self, step: str | int) -> "_Spot":
        """Return where one step leads: to a key or list entry, or, in a union, to one of its types."""
        shape = _plain(self.shape)
        if isinstance(shape, _Union):
            # Here the step is the name of an alternative and is not in the document.
            chosen = next((member for member in shape.members if _kind(member) == step), None)
            return _Spot(tree=self.tree, path=self.path, value=self.value, shape=chosen or shape, parent=self.parent)
        path = (*self.path, step)
        if path not in self.tree.values:
            return _Spot(tree=self.tree, path=self.path, value=self.value, shape=shape, missing=str(step))
        parent = shape if isinstance(shape, type) and issubclass(shape, BaseModel) else None
        return _Spot(tree=self.tree, path=path, value=self.tree.at(path), shape=_below(shape, step), parent=parent)

    @property
    def tag(self) -> "_Spot":
        """The key that picks one type of a union."""
        path = (*self.path, "kind")
        return _Spot(tree=self.tree, path=path, value=self.tree.at(path), shape=str)

    @property
    def place(self) -> Place:
        return self.tree.values[self.path]

    @property
    def key_place(self) -> Place:
        return self.tree.keys.get(self.path, self.place)

    @property
    def nearest_place(self) -> Place:
        """The value's place where it is a word or a number, and else that of the key over it."""
        return self.key_place if self.value is None or isinstance(self.value, list | dict) else self.place

    def within(self, path: Path) -> str:
        """Return ` in changes[0] (rename_column)`, or nothing at the top."""
        if not path:
            return ""
        kind = self.tree.at((*path, "kind"))
        return f" in {_dotted(path)}" + (f" ({kind})" if isinstance(kind, str) else "")

    def named(self, message: str) -> str:
        """Put the name of the value before what is wrong with it."""
        return f"{_dotted(self.path)}: {message}" if self.path else message

    def unknown_key(self) -> str:
        known = list(_keys(self.parent)) if self.parent else []
        name = str(self.path[-1])
        return f"unknown key {_short(name)}{self.within(self.path[:-1])}{_or_else(name, known, 'its keys are')}"

    def unknown_kind(self, kinds: list[str]) -> str:
        within = self.within(self.path[:-1]).split(" (")[0]
        if not isinstance(self.value, str):
            return f"the kind{within} must be text, found {_shown(self.value)}; the kinds are {listed(kinds)}"
        return f"unknown kind {_short(self.value)}{within}{_or_else(self.value, kinds, 'the kinds are')}"


@dataclass(frozen=True)
class _Union:
    """A type that is one of several, None apart."""

    members: tuple[Any, ...]


def _plain(shape: Any) -> Any:
    """Strip Annotated, type aliases and `| None`; return what is left, or a `_Union` of it."""
    while get_origin(shape) is Annotated or hasattr(shape, "__value__"):
        shape = get_args(shape)[0] if get_origin(shape) is Annotated else shape.__value__
    if get_origin(shape) not in {typing.Union, types.UnionType}:
        return shape
    members = tuple(_plain(member) for member in get_args(shape) if member is not types.NoneType)
    return members[0] if len(members) == 1 else _Union(members)


def _below(shape: Any, step: str | int) -> Any:
    """Return the type of a model's field, a mapping's value or a list's entry; None where that is unknown."""
    if isinstance(shape, type) and issubclass(shape, BaseModel):
        field = _keys(shape).get(str(step))
        return field.annotation if field else None
    arguments = get_args(shape)
    if not arguments:
        return None
    return arguments[0] if isinstance(step, int) else arguments[-1]


def _keys(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """Return a model's fields by the keys that a file has for them."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _kind(shape: Any) -> str | None:
    """Return the `kind` that picks this model out of a union."""
    if isinstance(shape, type) and issubclass(shape, BaseModel) and "kind" in shape.model_fields:
        return next(iter(get_args(shape.model_fields["kind"].annotation)), None)
    return None


# --- plain words ----------------------------------------------------------------------------------

_TYPE_NAMES: dict[Any, str] = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}

_EXPECTED = {
    # Every type of error that says no more than which type was wanted.
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of ordinary size",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "list_type": "a list",
    "tuple_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "keys and values",
    "mapping_type": "keys and values",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
    "string_unicode": "text in Unicode",
}

_LIMITS = {
    # How pydantic calls a bound, and its sense.
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}

_SIZES = {
    # How pydantic calls a bound on a length, its sense, and what is counted.
    "too_short": ("min_length", "at least", ("entry", "entries")),
    "too_long": ("max_length", "at most", ("entry", "entries")),
    "string_too_short": ("min_length", "at least", ("character", "characters")),
    "string_too_long": ("max_length", "at most", ("character", "characters")),
}


def _in_words(kind: str, context: Mapping[str, Any], message: str, spot: _Spot) -> str:
    """Return what was expected and what was found; another validator's own message as it is."""
    shape = _plain(spot.shape)
    if kind == "value_error":
        return str(context["error"])
    if isinstance(shape, _Union):
        expected = listed(dict.fromkeys(map(_type_name, shape.members)), "or")
    elif kind in _EXPECTED:
        expected = _EXPECTED[kind] + (
            f", such as [{spot.value}]" if kind == "tuple_type" and _is_word(spot.value) else ""
        )
    elif kind in _LIMITS:
        name, sense = _LIMITS[kind]
        expected = f"{sense} {context[name]}"
    elif kind in _SIZES:
        name, sense, noun = _SIZES[kind]
        expected = f"{sense} {counted(context[name], *noun)}"
    elif kind == "literal_error":
        allowed = [str(value) for value in get_args(shape)] if get_origin(shape) is Literal else []
        expected = listed(allowed or [str(context["expected"])], "or")
    else:
        return str(context["error"]) if "error" in context else message[:1].lower() + message[1:]
    # A number, true or false where text belongs is most often text that lacks its quotes.
    quotes = "; put it in quotes" if kind == "string_type" and isinstance(spot.value, bool | int | float) else ""
    return f"expected {expected}, found {_shown(spot.value)}{quotes}"


def _type_name(shape: Any) -> str:
    if isinstance(shape, type) and issubclass(shape, BaseModel):
        return "keys and values"
    return _TYPE_NAMES.get(shape, str(cast("object", shape)))


def _size(value: object) -> int:
    return len(cast("list[object]", value)) if isinstance(value, list | dict) else 0


def _shown(value: object) -> str:
    """Return a value as a person would name it."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {value}"
        case str():
            return _short(value)
        case list():
            return "a list" if value else "an empty list"
        case _:
            return "keys and values" if value else "no keys"


def _short(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…")


def _is_word(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[\w.-]{1,60}", value) is not None


def _or_else(word: str, known: list[str], otherwise: str) -> str:
    """Return the nearest of the known words as a question, or all of them."""
    if near := nearest(word, known, most=1):
        return f"; did you mean {near[0]!r}?"
    return f"; {otherwise} {listed(known)}" if known else ""


def _quoted(tags: str) -> list[str]:
    """Read the words out of pydantic's `'a', 'b' or 'c'`."""
    return re.findall(r"'([^']*)'", tags)


def _dotted(path: Path) -> str:
    """Return `changes[0].column`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")
