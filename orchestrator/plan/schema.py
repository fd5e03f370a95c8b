"""Plan files for editors and people: the JSON Schema that completes them, and the text of a new one."""

from collections.abc import Iterable, Iterator
from collections.abc import Mapping as Dictionary
from dataclasses import dataclass, field
from datetime import timedelta
from io import StringIO
from textwrap import wrap
from typing import Any, Self, cast

from ruamel.yaml import YAML
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

from orchestrator.operations import Operation
from orchestrator.plan.durations import format_duration
from orchestrator.plan.model import Plan
from orchestrator.plan.phases import PHASE_SETTINGS, Hook
from orchestrator.plan.project import SCHEMA_FILE
from orchestrator.sql.facts import Dependent
from orchestrator.words import listed

_COMMENT = 112
_WIDTH = 4096
"""Lines are not folded: a long text stays on its line, as a person would have it."""


def json_schema() -> dict[str, object]:
    """Return the JSON Schema (draft 2020-12) of plan files."""
    schema = Plan.model_json_schema()
    for definition in schema.get("$defs", {}).values():
        # `kind` has a default in Python, where the class says it; in a file it must be written.
        if "const" in definition.get("properties", {}).get("kind", {}):
            definition["required"] = sorted({*definition.get("required", []), "kind"})
            definition["properties"]["kind"].pop("default", None)
    for model in (*PHASE_SETTINGS.values(), Hook):
        for name, setting in model.model_fields.items():
            if isinstance(setting.default, timedelta):
                schema["$defs"][model.__name__]["properties"][name]["default"] = format_duration(setting.default)
    for phase in PHASE_SETTINGS:
        settings = schema["properties"][phase]
        settings.pop("default", None)
        reference = settings.pop("$ref")
        # A section with nothing in it (all of it commented out) is null in YAML.
        settings["anyOf"] = [{"$ref": reference}, {"type": "null"}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def editor_comment(schema: str) -> str:
    """Return the line that points an editor's YAML language server to the schema.

    Args:
        schema: the schema file, relative to the plan file.
    """
    return f"# yaml-language-server: $schema={schema}"


@dataclass(frozen=True, kw_only=True)
class Notes:
    """What a new plan file says in comments, by phase.

    Attributes:
        about: what the phase is for this plan, a sentence.
        offered: lines of YAML to take the `#` from, below the phase's key.
        why: why the phase's settings are what they are, a sentence.
    """

    about: Dictionary[str, str] = field(default_factory=dict[str, str])
    offered: Dictionary[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    why: Dictionary[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def of(
        cls, change: Operation, *, unfollowed: Iterable[Dependent] = (), why: Dictionary[str, str] | None = None
    ) -> Self:
        """Return the notes for a plan of one change.

        Args:
            change: the change.
            unfollowed: what was found that ecm cannot bring along; it is named, and left to the person to acknowledge.
            why: by phase, why its settings are what they are.
        """
        found = tuple(dict.fromkeys(unfollowed))
        check = change.suggested_check()
        return cls(
            why=why or {},
            about={phase: guide.about for phase, guide in change.guide().items()},
            offered={
                "expand": _to_acknowledge(found) if found else (),
                "backfill": ("workers: 2", "throttle: {replica_lag: 5s, wal_rate: 50MB}") if change.fills() else (),
                "migrate_reads": ("soak: 24h", *(_check(*check) if check else ())),
            },
        )


def _to_acknowledge(found: tuple[Dependent, ...]) -> tuple[str, ...]:
    names = dict.fromkeys(each.name for each in found)
    told = dict.fromkeys("in reads migrated, before contract" if each.ready is None else "as it says" for each in found)
    return (
        *(
            f"{each.kind} {each.name} cannot follow: {each.why}" + (f"; {each.ready}" if each.ready is not None else "")
            for each in found
        ),
        f"Make each ready {listed(told, 'or')}; take the # from this line to say that you will:",
        *_yaml({"acknowledge": _Flow(names)}).splitlines(),
    )


def _check(name: str, query: str) -> tuple[str, ...]:
    return tuple(_yaml({"checks": [{"name": name, "sql": query, "expect": 0}]}).splitlines())


def render_plan(plan: Plan, *, schema: str = f"../{SCHEMA_FILE}", notes: Notes | None = None) -> str:
    """Return the text of a new plan file: commented, with the keys that say something; it reads back as `plan`.

    Args:
        plan: the plan to write.
        schema: the schema file, relative to the plan file.
        notes: what its comments say, beside what is said of every plan.
    """
    return editor_comment(schema) + "\n" + "\n".join(_sections(plan, notes or Notes()))


def _sections(plan: Plan, notes: Notes) -> Iterator[str]:
    values = plan.model_dump(mode="json", exclude_defaults=True)
    yield _yaml({key: values[key] for key in ("plan", "description") if key in values})
    # `kind` equals its default in Python, where the class says it.
    changes = [{"kind": change.kind, **said} for change, said in zip(plan.changes, values["changes"], strict=True)]
    yield "# One or more changes; they move through the phases together.\n" + _yaml({"changes": changes})
    for phase, settings in PHASE_SETTINGS.items():
        offered = notes.offered.get(phase, ())
        if values.get(phase) or offered:
            said = _yaml({phase: values[phase]}) if values.get(phase) else f"{phase}:\n"
            words = (notes.about.get(phase) or settings.__doc__ or "", notes.why.get(phase, ""))
            comment = "".join(_comment(each) for each in words if each)
            yield comment + said + "".join(f"  # {_printable(line)}\n" for line in offered)


def _comment(text: str) -> str:
    lines = wrap(_printable(text), _COMMENT, break_long_words=False, break_on_hyphens=False)
    return "".join(f"# {line}\n" for line in lines)


def _printable(text: str) -> str:
    """Return a line that may stand in a comment, whatever names are in it: a comment knows no escapes."""
    return "".join(character if character.isprintable() else "?" for character in text)


class _Flow(tuple[str, ...]):
    """A list that stays on its line."""

    __slots__ = ()


class _Representer(RoundTripRepresenter):
    """Writes null as a word; with nothing after its colon, a key looks forgotten."""


def _null(representer: Any, _: None) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


def _flow(representer: Any, names: "_Flow") -> Any:
    return representer.represent_sequence("tag:yaml.org,2002:seq", list(names), flow_style=True)


cast("Any", _Representer).add_representer(type(None), _null)
cast("Any", _Representer).add_representer(_Flow, _flow)


def _yaml(values: dict[str, Any]) -> str:
    writer: Any = YAML()
    writer.Representer = _Representer
    writer.width = _WIDTH
    writer.indent(mapping=2, sequence=4, offset=2)
    stream = StringIO()
    writer.dump(_in_blocks(values), stream)
    return stream.getvalue()


def _in_blocks(value: object) -> object:
    """Have text of several lines (a query, say) written as a block, where YAML can hold it as it is."""
    match value:
        case dict():
            return {key: _in_blocks(item) for key, item in cast("dict[str, object]", value).items()}
        case list():
            return [_in_blocks(item) for item in cast("list[object]", value)]
        case str() if _fits_a_block(value):
            return LiteralScalarString(value)
        case str() if not value.isprintable():
            # Only there is every character that a line of YAML cannot hold written as an escape.
            return DoubleQuotedScalarString(value)
        case _:
            return value


def _fits_a_block(text: str) -> bool:
    lines = text.split("\n")
    readable = all(line.isprintable() and line == line.rstrip() for line in lines)
    return len(lines) > 1 and readable and text.strip() == text.removesuffix("\n") != ""
