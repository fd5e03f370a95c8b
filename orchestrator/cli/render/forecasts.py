"""A table before it is touched, on screen: how large it is, what the plan will take, what hangs on its columns."""

from collections.abc import Iterable, Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from orchestrator.cli.render import look, words
from orchestrator.reports import BuiltIndex, DependentReport, ForecastReport, SessionReport, TableFacts
from orchestrator.words import counted, listed

_LABEL = 13
_NAMED = 6
"""How many names are told before the rest is counted."""
_PLURALS = {"index": "indexes", "policy": "policies", "statistics": "statistics objects"}


def table(facts: TableFacts) -> RenderableType:
    """Return everything a person wants to know about a table before it is touched."""
    rows: list[tuple[str, str]] = [("size", _sizes(facts)), *_expected(facts.forecast)]
    rows += [("hanging on it", _hanging(each.fate, each.dependents, facts.table)) for each in facts.hanging]
    rows += [("cannot follow", _unfollowed(each)) for each in facts.unfollowed]
    return look.stacked(
        Text(f"{facts.table}: {_rows(facts)}, {counted(facts.indexes, 'index', 'indexes')}", style="bold"),
        look.indented(look.labelled(rows, width=_LABEL + 2)),
    )


def in_short(facts: TableFacts) -> RenderableType:
    """Return a table's size, and how long its backfill takes."""
    line = f"{facts.table}: {_rows(facts)}, {words.size(facts.bytes)}, {counted(facts.indexes, 'index', 'indexes')}"
    expected = facts.forecast and f"backfill: {_duration(facts.forecast)}"
    return look.stacked(*(Text(said, style="dim") for said in (line, expected) if said))


def sessions(present: Sequence[SessionReport]) -> Iterator[RenderableType]:
    """Return who would be waited for at this moment."""
    if present:
        yield Text()
        yield look.labelled([("right now", _session(each)) for each in present], width=_LABEL + 2)


def _rows(facts: TableFacts) -> str:
    # The planner's estimate.
    if facts.rows > 0:
        return f"about {words.compact(facts.rows)} rows"
    return "no rows" if facts.analyzed else "rows unknown: never analyzed"


def _sizes(facts: TableFacts) -> str:
    if facts.heap_bytes is None or facts.index_bytes is None:
        return words.size(facts.bytes)
    toast = f", TOAST {words.size(facts.toast_bytes)}" if facts.toast_bytes else ""
    return f"heap {words.size(facts.heap_bytes)}, indexes {words.size(facts.index_bytes)}{toast}"


def _expected(forecast: ForecastReport | None) -> Iterator[tuple[str, str]]:
    if forecast is None:
        return
    yield "backfill", _duration(forecast)
    if forecast.disk.most or forecast.indexes_built:
        yield "disk", _disk(forecast)
    if forecast.wal.most:
        yield "WAL", f"{words.size_between(forecast.wal.least, forecast.wal.most)} written by the backfill"


def _duration(forecast: ForecastReport) -> str:
    lasts = words.lasting_between(forecast.seconds.least, forecast.seconds.most)
    if not forecast.writes:
        return f"{lasts}: nothing to fill, every row is read once"
    if forecast.seconds.most <= 1 and forecast.as_on is None:
        return lasts
    pace = forecast.rows_per_second
    if pace is None:
        return f"{lasts}: a guess from its size alone; ANALYZE it for a better one"
    rows = f"{words.number_between(pace.least, pace.most)} rows/s"
    if forecast.as_on is None:
        return f"{lasts}: a guess, at {rows}; it was not measured on any branch yet"
    in_place = "" if forecast.share_in_place is None else f", {forecast.share_in_place:.0%} in place"
    return f"{lasts}, as {forecast.as_on} did: {rows}{in_place}"


def _disk(forecast: ForecastReport) -> str:
    grown = forecast.heap_growth.most or forecast.index_growth.most
    parts = [f"{words.size_between(forecast.disk.least, forecast.disk.most)} more at the peak"]
    if grown:
        parts.append("the most where a long transaction is open throughout")
    if forecast.writes and forecast.new_columns is None:
        parts.append("and what the new values take, which nobody can tell before")
    known = [index for index in forecast.indexes_built if index.bytes is not None]
    if known:
        least, most = (sum(getattr(index.bytes, end) for index in known) for end in ("least", "most"))
        parts.append(f"of it {words.size_between(least, most)} for {_indexes(known)}")
    if unknown := [index for index in forecast.indexes_built if index.bytes is None]:
        parts.append(f"without {_indexes(unknown)}, whose size nobody can tell yet")
    return "; ".join(parts)


def _indexes(built: Sequence[BuiltIndex]) -> str:
    twins = [index.like for index in built if index.like is not None]
    new = [index.name for index in built if index.like is None]
    said = [f"a twin of {listed(twins)}" if len(twins) == 1 else f"twins of {listed(twins)}"] if twins else []
    return listed([*said, *([f"index {listed(new)}"] if new else [])])


def _hanging(fate: str, dependents: Sequence[DependentReport], table: str) -> str:
    by_kind: dict[str, list[str]] = {}
    for each in dependents:
        by_kind.setdefault(each.kind, []).append(_short(each.name).removesuffix(f" on {table}"))
    told = (f"{counted(len(n), kind, _PLURALS.get(kind))} ({', '.join(_first(n))})" for kind, n in by_kind.items())
    return f"{fate}: {', '.join(told)}"


def _first(names: Sequence[str]) -> Iterable[str]:
    more = len(names) - _NAMED
    return names if more <= 0 else (*names[:_NAMED], f"{more} more")


def _short(name: str) -> str:
    """Return an object's name as a person writes it: without schema public, and not as pg_identify_object has it."""
    return " on ".join(part.removeprefix("public.") for part in name.removeprefix("for ").split(" on "))


def _unfollowed(each: DependentReport) -> str:
    said = "acknowledged" if each.acknowledged else "not acknowledged yet"
    return f"{each.kind} {_short(each.name)}: {each.why} ({said})"


def _session(session: SessionReport) -> str:
    age = "" if session.seconds is None else f" (transaction open for {words.lasting(session.seconds)})"
    return f"{session.message}{age}"
