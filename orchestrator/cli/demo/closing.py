"""What was found in the end: whether every promise held, and the table that says so."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.cli.render import look, words


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What was found on a branch.

    Attributes:
        compared: rows of books that were held against the mirror, all comparisons together.
        differing: how many of them were not as they had been written.
        written: by the old version of the application and by the new one.
        read_back: rows that either version read again and found as they were written.
        errors: what went wrong for either of them.
        longest: what was going on → the longest wait of either for a statement, in seconds.
        schema_differences: lines of the schema that a direct rename gives and the branch has not, or the reverse.
    """

    branch: str
    compared: int
    differing: int
    written: tuple[int, int]
    read_back: int
    errors: Sequence[str]
    longest: Mapping[str, float]
    schema_differences: Sequence[str]

    @property
    def failures(self) -> Iterator[str]:
        """What should not have been, in sentences."""
        if self.differing:
            yield f"{self.branch}: {self.differing:,} rows are not as they were written"
        if not self.compared:
            yield f"{self.branch}: no row was compared"
        for version, writes in zip(("old", "new"), self.written, strict=True):
            if not writes:
                yield f"{self.branch}: the {version} version wrote nothing"
        if not self.read_back:
            yield f"{self.branch}: no row was read back"
        if self.errors:
            yield f"{self.branch}: {len(self.errors):,} errors in the application; the first: {self.errors[0]}"
        for line in self.schema_differences:
            yield f"{self.branch}: the schema is not that of a direct rename: {line}"


def failures(branches: Sequence[Findings], *, chain_holds: bool) -> tuple[str, ...]:
    """Return everything that should not have been; nothing where all held."""
    broken = () if chain_holds else ("the ledger's chain of hashes is broken",)
    return (*(line for branch in branches for line in branch.failures), *broken)


def table(branches: Sequence[Findings], *, chain_holds: bool) -> RenderableType:
    """Return what was checked, a column for each branch."""
    grid = Table(box=None, padding=(0, 0, 0, 3), show_edge=False, pad_edge=False, header_style="bold")
    grid.add_column("")
    for branch in branches:
        grid.add_column(branch.branch, justify="right", no_wrap=True)

    def line(label: str, value: Callable[[Findings], str | Text], style: str = "") -> None:
        grid.add_row(Text(label, style=style), *(value(each) for each in branches))

    line("rows compared with the mirrors", lambda each: f"{each.compared:,}")
    line("rows that differ", lambda each: _none(each.differing))
    line("writes by the old version", lambda each: f"{each.written[0]:,}")
    line("writes by the new version", lambda each: f"{each.written[1]:,}")
    line("rows read back by either", lambda each: f"{each.read_back:,}")
    line("errors in either", lambda each: _none(len(each.errors)))
    line("schema against a direct rename", lambda each: _verdict(not each.schema_differences, "equal", "differs"))
    line("the ledger's chain of hashes", lambda _: _verdict(chain_holds, "holds", "broken"))
    grid.add_row()
    grid.add_row(Text("longest wait of either version", style="bold"))
    for scene in dict.fromkeys(scene for each in branches for scene in each.longest):
        line(f"  {scene}", lambda each, scene=scene: _lasting(each.longest.get(scene)))
    return look.indented(grid)


def _none(count: int) -> Text:
    return _verdict(count == 0, "0", f"{count:,}")


def _verdict(good: bool, yes: str, no: str) -> Text:
    return look.marked(look.GOOD, yes) if good else look.marked(look.BAD, no)


def _lasting(seconds: float | None) -> str:
    return "\N{EN DASH}" if seconds is None else words.lasting(seconds)
