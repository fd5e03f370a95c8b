"""The common look of all screens: the console, icons with words, labelled lines.

Colour is a second signal only: every screen says the same without it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from textwrap import wrap
from typing import TextIO

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

DONE, PART, NONE, BAD, GOOD = "●", "◐", "○", "✗", "✓"

_COLOURS = {DONE: "green", PART: "yellow", NONE: "", BAD: "red", GOOD: "green"}

_NARROWEST = 40
_LABEL = 10


class _Console(Console):
    """rich's console, without its leave of the program when nobody reads any more."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console(stream: TextIO, environment: Mapping[str, str]) -> Console:
    """Return a console for a stream: as wide as its terminal or COLUMNS says, 80 columns where neither does."""
    made = _Console(
        file=stream,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
        legacy_windows=False,
        _environ=environment,
    )
    made.width = max(_NARROWEST, made.width if made.is_terminal or _given_width(environment) else 80)
    return made


def _given_width(environment: Mapping[str, str]) -> bool:
    return environment.get("COLUMNS", "").isdigit()


def icon(mark: str) -> Text:
    """Return an icon in its colour."""
    return Text(mark, style=_COLOURS.get(mark, "dim"))


def marked(mark: str, words: str) -> Text:
    """Return a few words after their icon."""
    return Text.assemble((mark, _COLOURS[mark]), " ", words)


def item(mark: str, words: str) -> Table:
    """Return a sentence after its icon; where it wraps, it stays to the right of the icon."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_row(icon(mark), Text(words))
    return grid


def rendered(console: Console, screen: RenderableType) -> str:
    """Return a screen laid out for a console's width, without the blanks that pad its lines."""
    with console.capture() as captured:
        console.print(screen, crop=False)
    return "\n".join(line.rstrip() for line in captured.get().rstrip("\n").split("\n"))


def heading(left: str, right: str = "") -> RenderableType:
    """Return a screen's first line: what it is about, and at the right margin what goes with it."""
    row = Table.grid(expand=True, padding=(0, 2))
    row.add_column(ratio=1)
    row.add_column(justify="right")
    row.add_row(Text(left, style="bold"), Text(right, style="dim"))
    return row


def labelled(rows: Iterable[tuple[str, str | RenderableType]], *, width: int = _LABEL) -> Table:
    """Return lines after labels; a label that is empty or repeats the one above is not shown."""
    grid = Table.grid(padding=0)
    grid.add_column(width=width, no_wrap=True)
    grid.add_column()
    last = None
    for label, text in rows:
        grid.add_row(Text("" if label == last else label, style="dim"), Text(text) if isinstance(text, str) else text)
        last = label
    return grid


def onward(commands: Iterable[str | None]) -> tuple[RenderableType, ...]:
    """Return the last lines of a screen: what is to be done next; nothing where there is nothing."""
    rows = [("next", step(each)) for each in dict.fromkeys(commands) if each]
    return (Text(), labelled(rows)) if rows else ()


def step(text: str) -> "Command | str":
    """Return what is to be done next: a command as one, which a shell reads where it is broken; words as they are."""
    return Command(text) if text.startswith("ecm ") else text


def indented(screen: RenderableType, by: int = 2) -> Padding:
    """Return a screen moved to the right."""
    return Padding(screen, (0, 0, 0, by), expand=False)


def bar(done: int, total: int, *, width: int, beside: str = "") -> Text:
    """Return a progress bar, and words beside it; without colour too the part that is left can be told."""
    full = min(width, width * done // total) if total else 0
    drawn = Text.assemble(("━" * full, "green"), ("─" * (width - full), "dim"))
    return drawn.append(f"  {beside}") if beside else drawn


class Command:
    """A command line to run; where it does not fit, broken as a shell can read it."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        del console
        fits = len(self._text) <= options.max_width
        lines = [self._text] if fits else _wrapped(self._text, options.max_width - len(" \\"))
        yield Text(" \\\n    ".join(lines), style="bold", overflow="fold")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        del console
        return Measurement(min(_NARROWEST, options.max_width), min(len(self._text), options.max_width))


def _wrapped(command: str, width: int) -> list[str]:
    """Return the lines of a command: broken between words, never within quotes; an option stays with its value."""
    words = re.findall(r"""(?:[^\s"']|"[^"]*"|'[^']*')+|\S""", command)
    pieces: list[str] = []
    for word in words:
        if pieces and pieces[-1].startswith("-") and " " not in pieces[-1] and not word.startswith("-"):
            pieces[-1] += f" {word}"
        else:
            pieces.append(word)
    lines = [pieces[0]]
    for piece in pieces[1:]:
        if len(lines[-1]) + 1 + len(piece) <= width - 4:
            lines[-1] += f" {piece}"
        else:
            lines.append(piece)
    return lines


class Code:
    """Statements: a line that wraps goes on further in, so that the next line is told from its rest."""

    def __init__(self, text: str) -> None:
        self._text = text.expandtabs(4)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        del console
        for line in _held_together(self._text, options.max_width - 2 * _FURTHER).splitlines():
            start = " " * (len(line) - len(line.lstrip()))
            wrapped = wrap(
                line.strip(),
                options.max_width,
                initial_indent=start,
                subsequent_indent=start + " " * _FURTHER,
                break_long_words=False,
                break_on_hyphens=False,
                replace_whitespace=False,
            )
            yield Text("\n".join(wrapped).replace(_HELD, " "), overflow="fold")


class Line:
    """A line to copy: it is never broken here, and a terminal that breaks it gives it back whole.

    Where it is put into something that has a width of its own, such as a grid, it is cut there: it stands by itself.
    """

    def __init__(self, text: str, *, style: str = "", indent: int = 0) -> None:
        # Text leaves out what would move a terminal's cursor.
        self._text, self._style = " " * indent + Text(text).plain.replace("\n", " "), style

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        del options
        yield Segment(self._text, console.get_style(self._style))
        yield Segment.line()

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        del console
        return Measurement(1, options.max_width)


_FURTHER = 4
"""How much further in the rest of a line stands."""
_HELD = "\ue000"
"""A blank that no line is broken at, for as long as lines are wrapped."""
_QUOTED = re.compile("'(?:[^']|'')*'" + r'|"(?:[^"]|"")*"')
_QUOTED_IN_A_STRING = re.compile("''(?:[^']|'{4})*''" + r'|"[^"]*"')


def _held_together(text: str, width: int) -> str:
    """Return statements with the blanks held that are within a quoted name or a string: another would be another name.

    A string that does not fit on a line is a body most likely: in it, names and strings are held together too.
    """

    def held(found: re.Match[str]) -> str:
        quoted = found[0]
        if len(quoted) <= width and "\n" not in quoted:
            return quoted.replace(" ", _HELD)
        return _QUOTED_IN_A_STRING.sub(within, quoted) if quoted[0] == "'" else quoted

    def within(found: re.Match[str]) -> str:
        return found[0].replace(" ", _HELD) if len(found[0]) <= width and "\n" not in found[0] else found[0]

    return _QUOTED.sub(held, text)


def stacked(*parts: RenderableType | None) -> Group:
    """Return screens below one another; None is left out."""
    return Group(*(part for part in parts if part is not None))
