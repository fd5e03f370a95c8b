"""How an error reads: what and where, why, and the next command."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.cli.render import look


def failure(message: str, details: Sequence[str], hint: str | None) -> RenderableType:
    """Return an error's screen."""
    return look.stacked(
        _headline(message),
        *(look.indented(_line(line)) for text in details for line in text.splitlines() if line.strip() != hint),
        look.indented(look.labelled([("next", look.step(hint))], width=8)) if hint else None,
    )


def _headline(message: str) -> RenderableType:
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_row(Text("error:", style="bold red"), Text(message))
    return grid


def _line(text: str) -> RenderableType:
    """Return a line of details, its own indentation kept when it wraps."""
    content = text.lstrip()
    return look.indented(Text(content), len(text) - len(content))
