"""YAML text in, plain values out, and the place in the text that each value came from.

Only what a configuration file needs is taken: mappings with text keys, lists, and the scalars of
the YAML 1.2 core schema (so `no` is text, and JSON is YAML). Tags, merge keys and more than one
document are refused; anchors and aliases are fine, within a limit on what they expand to.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

_TAG_PREFIX = "tag:yaml.org,2002:"

MAX_DEPTH = 50
"""How deep lists and mappings may nest; a plan needs about six levels."""

MAX_VALUES = 50_000
"""How many values a file may come to once its aliases are written out ("billion laughs")."""

Path = tuple[str | int, ...]
"""Where a value is: keys and list positions from the top, such as ("changes", 0, "column")."""


@dataclass(frozen=True, order=True)
class Place:
    """A line and column of the text, both counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, order=True)
class Problem:
    """Something wrong at a place, in words."""

    place: Place
    message: str


class UnreadableError(Exception):
    """The text is not YAML that can be used here.

    Attributes:
        problems: what is wrong and where, in the order of the text.
    """

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems


@dataclass(frozen=True, kw_only=True)
class Tree:
    """The values of a document and where they stand.

    Attributes:
        value: None, bool, int, float, str, list or dict with text keys, nested.
        keys: the place of each key, by the path of its value.
        values: the place of each value, by its path; the top is ().
    """

    value: object
    keys: Mapping[Path, Place]
    values: Mapping[Path, Place]

    @property
    def is_mapping(self) -> bool:
        """Whether there are keys at the top."""
        return isinstance(self.value, dict)

    def at(self, path: Path) -> object:
        """Return the value at a path; None where the document has none."""
        if path not in self.values:
            return None
        value: Any = self.value
        for step in path:
            value = value[step]
        return value


def read(text: str) -> Tree:
    """Read one YAML or JSON document.

    Raises:
        UnreadableError: the text is not YAML, or uses what is refused here. A parser stops at the
            first fault of syntax; everything else is collected.
    """
    return _Reader(text.removeprefix("\ufeff")).read()


class _Reader:
    """One reading of one text: walks the parser's nodes, gathering values, places and problems."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._yaml: Any = YAML(typ="safe", pure=True)
        self._yaml.max_depth = MAX_DEPTH
        # An anchor may be given again (YAML 1.2, section 3.2.2.2); that deserves no warning.
        self._yaml.composer.warn_double_anchors = False
        self._keys: dict[Path, Place] = {}
        self._values: dict[Path, Place] = {}
        self._problems: list[Problem] = []

    def read(self) -> Tree:
        node = self._compose()
        self._values[()] = _place(node.start_mark) if node is not None else Place(1, 1)
        value = self._build(node, ()) if node is not None else None
        if self._problems:
            raise UnreadableError(*sorted(self._problems))
        return Tree(value=value, keys=self._keys, values=self._values)

    def _compose(self) -> Any:
        try:
            return self._yaml.compose(self._text)
        except ReaderError as error:
            raise UnreadableError(self._unprintable(error)) from None
        except MarkedYAMLError as error:
            raise UnreadableError(_syntax(error)) from None
        except (YAMLError, ArithmeticError, AssertionError, LookupError, ValueError, TypeError) as error:
            # The parser lets Python's own errors through on odd input, such as "\UFFFFFFFF".
            raise UnreadableError(Problem(Place(1, 1), f"this is not YAML ({type(error).__name__})")) from None

    def _unprintable(self, error: Any) -> Problem:
        before = self._text[: error.position]
        place = Place(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        return Problem(place, f"an unprintable character (U+{ord(self._text[error.position]):04X}) cannot be in YAML")

    def _build(self, node: Any, path: Path) -> object:
        """Return the node's value; note its place, and what is wrong with it."""
        place = self._values[path] = _place(node.start_mark)
        if len(self._values) > MAX_VALUES:
            raise UnreadableError(Problem(place, f"aliases in this file expand to more than {MAX_VALUES} values"))
        if len(path) > MAX_DEPTH:
            # An alias inside its own anchor ends here too.
            raise UnreadableError(Problem(place, f"lists and mappings are nested more than {MAX_DEPTH} deep"))
        kind = str(node.tag).removeprefix(_TAG_PREFIX)
        match str(node.id), kind:
            case "mapping", "map":
                return self._mapping(node, path)
            case "sequence", "seq":
                return [self._build(item, (*path, index)) for index, item in enumerate(node.value)]
            case "scalar", "str" | "timestamp" | "value" | "merge":
                return self._characters(node.value, place)
            case "scalar", "null" | "bool" | "int" | "float":
                return self._scalar(node, place)
            case _:
                self._problems.append(Problem(place, f"the YAML tag !{kind} has no meaning here; leave it out"))
                return None

    def _mapping(self, node: Any, path: Path) -> dict[str, object]:
        values: dict[str, object] = {}
        for key_node, value_node in node.value:
            place = _place(key_node.start_mark)
            key = self._key(key_node, place)
            if key is None:
                continue
            if key in values:
                first = self._keys[*path, key]
                message = f"key {key!r} is given twice; the first is on line {first.line}, column {first.column}"
                self._problems.append(Problem(place, message))
                continue
            self._keys[*path, key] = place
            values[key] = self._build(value_node, (*path, key))
        return values

    def _key(self, node: Any, place: Place) -> str | None:
        kind = str(node.tag).removeprefix(_TAG_PREFIX)
        if kind in {"str", "timestamp", "value"} and node.id == "scalar":
            return self._characters(str(node.value), place)
        if kind == "merge":
            message = "merge keys (<<) are not part of YAML 1.2; write the keys out"
        elif node.id == "scalar" and node.value:
            message = f"a key must be text; put {node.value} in quotes"
        else:
            message = "a key must be text"
        self._problems.append(Problem(place, message))
        return None

    def _scalar(self, node: Any, place: Place) -> object:
        try:
            value: Hashable = self._yaml.constructor.construct_object(node)
        except (YAMLError, ValueError, LookupError, ArithmeticError):
            # Such as more digits than Python reads, or `!!int five`.
            self._problems.append(Problem(place, "this number cannot be read; put it in quotes if it is text"))
            return None
        return value

    def _characters(self, value: str, place: Place) -> str:
        r"""Join the halves of a character that JSON writes as two escapes (\ud83d\ude00)."""
        try:
            return value.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._problems.append(Problem(place, "this text holds half a character (an unpaired surrogate)"))
            return ""


def _place(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1)


_TAB = "a tab character; YAML is indented with spaces"
_IN_WORDS = (
    # What the parser calls the fault, where it stands (at the fault, or where the thing began), in plain words.
    ("found character '\\t'", "fault", _TAB),
    ("found unexpected end of stream", "start", "the quote that opens here is not closed"),
    ("found unexpected document separator", "start", "the quote that opens here is not closed"),
    (
        "mapping values are not allowed here",
        "fault",
        "a ':' that does not belong here; check the indentation, or put text that holds ': ' in quotes",
    ),
    ("could not find expected ':'", "start", "a ':' is missing after this key"),
    ("but found another document", "fault", "a second document begins here; one file holds one"),
    ("expected ',' or ']'", "start", "the list that opens here is not closed with ]"),
    ("expected ',' or '}'", "start", "the mapping that opens here is not closed with }"),
    (
        "expected <block end>, but found '<scalar>'",
        "fault",
        "text after a closing quote; a quote inside quotes is doubled ('it''s')",
    ),
    ("expected <block end>", "fault", "this line is indented differently from those it belongs with"),
    ("found unknown escape character", "fault", "an unknown escape; a backslash in double quotes is written \\\\"),
    ("that cannot start any token", "fault", "text that begins with this character must be in quotes"),
    ("maximum depth", "fault", f"lists and mappings are nested more than {MAX_DEPTH} deep"),
)


def _syntax(error: Any) -> Problem:
    """Put the parser's complaint in plain words, at the place where a person has to act."""
    problem = str(error.problem or error.context or "this is not YAML")
    fault = error.problem_mark or error.context_mark
    for theirs, where, ours in _IN_WORDS:
        if theirs in problem:
            mark = error.context_mark if where == "start" and error.context_mark else fault
            return Problem(_place(mark) if mark else Place(1, 1), ours)
    return Problem(_place(fault) if fault else Place(1, 1), problem)
