"""Plan files for editors and people: the JSON Schema that completes them, and the text of a new one."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from io import StringIO
from typing import Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

from orchestrator.plan.durations import format_duration
from orchestrator.plan.model import Plan
from orchestrator.plan.phases import PHASE_SETTINGS
from orchestrator.plan.project import SCHEMA_FILE

_WIDTH = 4096
"""Lines are not folded: a long text stays on its line, as a person would have it."""


def json_schema() -> dict[str, object]:
    """Return the JSON Schema (draft 2020-12) of plan files."""
    schema = Plan.model_json_schema()
    for definition in schema.get("$defs", {}).values():
        # `kind` has a default in Python, where the class says it; in a file it must be written.
        if "const" in definition["properties"].get("kind", {}):
            definition["required"] = sorted({*definition.get("required", []), "kind"})
            definition["properties"]["kind"].pop("default", None)
    for phase, model in PHASE_SETTINGS.items():
        for name, field in model.model_fields.items():
            if isinstance(field.default, timedelta):
                schema["$defs"][model.__name__]["properties"][name]["default"] = format_duration(field.default)
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


def render_plan(plan: Plan, *, schema: str = f"../{SCHEMA_FILE}", why: Mapping[str, str] | None = None) -> str:
    """Return the text of a new plan file: commented, with the keys that say something; it reads back as `plan`.

    Args:
        plan: the plan to write.
        schema: the schema file, relative to the plan file.
        why: by phase, a line that tells why its settings are what they are.
    """
    return editor_comment(schema) + "\n" + "\n".join(_sections(plan, why or {}))


def _sections(plan: Plan, why: Mapping[str, str]) -> Iterator[str]:
    values = plan.model_dump(mode="json", exclude_defaults=True)
    yield _yaml({key: values[key] for key in ("plan", "description") if key in values})
    # `kind` equals its default in Python, where the class says it.
    changes = [{"kind": change.kind, **said} for change, said in zip(plan.changes, values["changes"], strict=True)]
    yield "# One or more changes; they move through the phases together.\n" + _yaml({"changes": changes})
    for phase, settings in PHASE_SETTINGS.items():
        if values.get(phase):
            reason = f"# {why[phase]}\n" if phase in why else ""
            yield f"# {settings.__doc__}\n{reason}" + _yaml({phase: values[phase]})


class _Representer(RoundTripRepresenter):
    """Writes null as a word; with nothing after its colon, a key looks forgotten."""


def _null(representer: Any, _: None) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


cast("Any", _Representer).add_representer(type(None), _null)


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
