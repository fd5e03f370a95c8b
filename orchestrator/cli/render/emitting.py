"""Emitted migrations on screen."""

from rich.console import RenderableType
from rich.text import Text

from orchestrator.cli.render import look
from orchestrator.reports import EmitReport


def emitted(report: EmitReport) -> RenderableType:
    """Return the files that were written, and what to beware of."""
    parts: list[RenderableType] = []
    for migration in report.migrations:
        parts.append(look.item(look.GOOD, f"{migration.part}: {migration.name}"))
        parts += [look.indented(Text(name, style="dim")) for name in migration.files]
    parts += [look.item(look.GOOD, f"{path} is there already") for path in report.existing]
    parts += [look.labelled([("beware", line)]) for line in report.beware]
    onward = (("schema", report.schema_edit), ("next", report.next_command))
    rows = [(label, look.step(told)) for label, told in onward if told]
    return look.stacked(*parts, *((Text(), look.labelled(rows)) if rows else ()))
