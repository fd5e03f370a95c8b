"""Tables as PostgreSQL has them, and edits of an ORM's schema, on screen."""

from collections.abc import Iterable, Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.cli.render import look, words
from orchestrator.detection_reports import ColumnReport, InspectReport, PhaseLines, SchemaEditReport, TableReport
from orchestrator.words import counted

_LABEL = 13
_COLOURS = {"+": "green", "-": "red", "=": "dim"}


def inspected(report: InspectReport) -> RenderableType:
    """Return a table with all that is on it; of several, each in a line."""
    if len(report.tables) == 1:
        return look.stacked(*_whole(report.tables[0], report.branch), *look.onward([report.next_command]))
    grid = Table.grid(padding=(0, 2, 0, 0))
    for table in report.tables:
        grid.add_row(
            Text(table.table, style="bold"),
            _rows(table),
            words.size(table.bytes),
            counted(len(table.columns), "column"),
            counted(len(table.indexes), "index", "indexes"),
        )
    shown = grid if report.tables else Text("there are no tables")
    return look.stacked(
        look.heading(report.branch, counted(len(report.tables), "table")),
        Text(),
        look.indented(shown),
        *look.onward([report.next_command]),
    )


def _rows(table: TableReport) -> str:
    return "rows unknown" if table.rows is None else counted(table.rows, "row")


def _whole(table: TableReport, branch: str) -> Iterator[RenderableType]:
    size = f"{_rows(table)}, {words.size(table.bytes)}"
    yield look.heading(f"{table.table} on {branch}", size)
    yield Text()
    grid = Table.grid(padding=(0, 2, 0, 0))
    more = any(map(_more, table.columns))  # rich takes the width of a last column without a word from the one before
    for column in table.columns:
        said = [Text(_more(column), style="dim")] if more else []
        grid.add_row(Text(column.name, style="bold"), Text(column.type), *said)
    yield look.indented(grid)
    rows = [
        *(("constraint", f"{each.name} {each.definition}") for each in table.constraints),
        *(
            ("index", f"{each.name} {each.definition}{'' if each.valid else ', INVALID'}, {words.size(each.bytes)}")
            for each in table.indexes
        ),
        *(("trigger", f"{each.name} {each.fires}: {each.function}") for each in table.triggers),
        *_listed("read by", table.views),
        *_listed("pointed to by", table.pointed_to),
        *_listed("partitions", table.partitions),
    ]
    if rows:
        yield Text()
        yield look.indented(look.labelled(rows, width=_LABEL + 1))


def _listed(label: str, names: Iterable[str]) -> list[tuple[str, str]]:
    said = ", ".join(names)
    return [(label, said)] if said else []


def _more(column: ColumnReport) -> str:
    default = f"default {column.default}" if column.default is not None and not column.generated else ""
    computed = f"generated {column.default or ''}".rstrip() if column.generated else ""
    parts = ["not null" if column.not_null else "", default, "identity" if column.identity else "", computed]
    return ", ".join(filter(None, parts))


def schema_edit(report: SchemaEditReport) -> RenderableType:
    """Return, phase by phase, the lines to add to a schema and to remove from it."""
    parts: list[RenderableType] = [look.heading(f"{report.plan} in {report.orm}", f"as on {report.branch}")]
    for phase in report.phases:
        parts += [Text(), *_phase(phase)]
    kept = any(table.keep for phase in report.phases for table in phase.tables)
    said = "a line after = is there already and stays; " if kept else ""
    end = Text(f"no file was written: these lines are yours to edit; {said}keep what else yours say", style="dim")
    return look.stacked(*parts, Text(), end, *look.onward([report.next_command]))


def _phase(phase: PhaseLines) -> Iterator[RenderableType]:
    title = Text(words.phase(phase.phase), style="bold")
    yield Text.assemble(look.icon(look.GOOD), " ", title, ", done") if phase.done else title
    for table in phase.tables:
        yield look.indented(Text(f"table {table.table}", style="dim"))
        yield from (_signed("-", line) for line in table.remove)
        yield from (_signed("+", line) for line in table.add)
        yield from (_signed("=", line) for line in table.keep)
        yield from (look.indented(look.labelled([("note", line)])) for line in table.notes)
    if phase.unread:
        unread = "raw SQL is not read: what it changes in your schema is yours to write"
        yield look.indented(look.labelled([("note", unread)]))
    elif not phase.tables:
        yield look.indented(Text("no line changes", style="dim"))
    if phase.application:
        yield look.indented(look.labelled([("deploy", phase.application)]))


def _signed(sign: str, line: str) -> look.Line:
    return look.Line(f"{sign} {line}", style=_COLOURS[sign], indent=2)
