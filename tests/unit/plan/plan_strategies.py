"""Any plan that could be written, for the tests of what holds for all of them."""

from datetime import timedelta

from hypothesis import strategies as st

from orchestrator.plan.durations import format_duration
from orchestrator.plan.model import Plan
from orchestrator.sql.identifiers import NAME_BYTES, SYSTEM_COLUMNS

words = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=15)
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=40) | st.sampled_from(
    ["no", "null", "5", "2020-01-01", "<<", "=", "a: b", "# a", "select 1\n  from a\n", "'", '"', " x ", "!!str x"]
)
paragraphs = st.lists(st.text("ab #:-'\"|>%@é\t\\", max_size=8), max_size=4).map("\n".join)
texts |= paragraphs
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)


def durations(shortest: timedelta, longest: timedelta) -> st.SearchStrategy[str]:
    return st.timedeltas(shortest, longest).map(format_duration)


millisecond = timedelta(milliseconds=1)
checks = st.lists(
    st.fixed_dictionaries({"name": words, "sql": words | paragraphs.filter(bool), "expect": scalars}), max_size=2
)
sizes = st.builds("{}{}".format, st.integers(1, 10**6), st.sampled_from(["B", "kB", "MB", "GB", "TB"]))
throttles = st.fixed_dictionaries(
    {},
    optional={
        "replica_lag": st.none() | durations(millisecond, timedelta(days=1)),
        "wal_rate": sizes,
        "slot_retention": sizes,
        "archive_backlog": st.integers(0, 10**6),
        "active_per_core": st.floats(0.1, 100),
        "lock_waiters": st.integers(0, 10**6),
        "custom": st.fixed_dictionaries({"sql": words, "max": st.floats(-(10**9), 10**9)}, optional={"name": words}),
    },
)
phase = {"deploy": texts, "checks": checks, "lock_timeout": durations(millisecond, timedelta(hours=1))}


def section(**more: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.fixed_dictionaries({}, optional={**phase, **more})


def _is_column(name: str) -> bool:
    quoted = name.startswith('"') and name.endswith('"')
    return len(name.encode()) <= NAME_BYTES and name not in SYSTEM_COLUMNS and not quoted


@st.composite
def changes(draw: st.DrawFn) -> list[dict[str, str]]:
    tables = st.sampled_from(["books", "public.authors", 'shop."Order"', "no"])
    columns = draw(st.lists(words.filter(_is_column), min_size=2, max_size=6, unique=True))
    pairs = zip(columns[::2], columns[1::2], strict=False)
    return [{"kind": "rename_column", "table": draw(tables), "column": a, "to": b} for a, b in pairs]


contents = st.fixed_dictionaries(
    {"plan": names, "changes": changes()},
    optional={
        "description": texts,
        "expand": section(acknowledge=st.lists(words, max_size=3)),
        "backfill": section(
            batch_time=durations(millisecond, timedelta(minutes=1)),
            workers=st.integers(1, 32),
            user_triggers=st.sampled_from(["fire", "suppress"]),
            throttle=st.none() | throttles,
        ),
        "migrate_reads": section(soak=durations(timedelta(0), timedelta(days=30))),
        "contract": st.none() | section(),
    },
)
"""What a plan file may hold, as the values that YAML gives."""

plans = contents.map(Plan.model_validate)
