"""Who still reads or writes what a plan's contract takes away, as far as a branch's database can tell.

pg_stat_statements counts and keeps no times ("pg_stat_statements", manual F.32 in PostgreSQL 18): so each look takes a
sample, kept in the journal, and a statement was run last at the latest when a sample found that its count had grown.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, LiteralString

import psycopg
from psycopg import errors, sql
from psycopg.rows import dict_row

from orchestrator.engine import journal, sentry
from orchestrator.engine.connection import Connection, is_lost, select
from orchestrator.engine.journal import Record
from orchestrator.plan import scope, usage, watched
from orchestrator.plan.lifecycle import State
from orchestrator.plan.model import Plan
from orchestrator.plan.phases import PHASE_SETTINGS
from orchestrator.plan.usage import Usage, Use
from orchestrator.sql.identifiers import naming
from orchestrator.sql.references import OldSide, Reading
from orchestrator.sql.statements import is_own, reading
from orchestrator.words import counted

_KEPT = 400
"""Characters of a statement that are kept."""


def begin(connection: Connection, plan: Plan, facts: scope.Facts) -> None:
    """Begin to watch anew, with a first sample that nothing counts against."""
    journal.prepare(connection)
    with connection.transaction():
        connection.execute(
            "INSERT INTO ecm.watches AS w (plan, since) VALUES (%s, pg_catalog.clock_timestamp())"
            " ON CONFLICT (plan) DO UPDATE SET since = excluded.since, sampled_at = NULL, reset_at = NULL,"
            " lost_until = NULL, evictions = NULL",
            [plan.plan],
        )
        connection.execute("DELETE FROM ecm.statements WHERE plan = %s", [plan.plan])
    _sample(connection, plan, usage.old_sides(plan, facts))


def observe(connection: Connection, plan: Plan, facts: scope.Facts, record: Record | None) -> Usage:
    """Look who relies on what contract takes away, and take a sample for the next look.

    Args:
        connection: a session with the branch, in autocommit.
        plan: as it was begun.
        facts: of its tables, now.
        record: what the journal says of the plan; a watch from before the state it is in is begun anew.

    Raises:
        PrivilegeError: the journal cannot be brought up to this ecm's version.
    """
    journal.prepare(connection)
    watch = _watch(connection, plan.plan)
    if watch is None or (record is not None and _is_older(watch, record)):
        begin(connection, plan, facts)
    sides = usage.old_sides(plan, facts)
    sampled = _sample(connection, plan, sides)
    written, blind = _writes(connection, plan, facts, begun=record is not None and record.position.state is _WATCHED)
    watch = _watch(connection, plan.plan) or {}
    return usage.weighed(
        (*usage.dependents(plan, facts), *_statements(connection, plan.plan), *written),
        unseen=(*sampled.unseen, *blind, *usage.blind(plan, facts), *(_elsewhere(connection) if sides else ())),
        watched_since=watch.get("since"),
        lost_until=watch.get("lost_until"),
        now=_now(connection),
        sees_statements=sampled.read,
    )


_WATCHED = State.READS_MIGRATED
"""The state in which nobody should need the old side any more, and writes of it are noticed."""


def _is_older(watch: dict[str, Any], record: Record) -> bool:
    return record.position.state is _WATCHED and watch["since"] < record.state_since


def _watch(connection: Connection, plan: str) -> dict[str, Any] | None:
    return next(iter(select(connection, "SELECT * FROM ecm.watches WHERE plan = %s", [plan])), None)


def _now(connection: Connection) -> datetime:
    (row,) = select(connection, "SELECT pg_catalog.clock_timestamp() AS now")
    return row["now"]


# ---------------------------------------------------------------- statements


@dataclass(frozen=True, kw_only=True)
class _Sampled:
    """Whether statements were read, and what could not be seen of them."""

    read: bool
    unseen: tuple[str, ...] = ()


_EXTENSION: LiteralString = """
SELECT c.relname AS name, n.nspname AS schema FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
  AND d.deptype = 'e'
WHERE c.relname IN ('pg_stat_statements', 'pg_stat_statements_info') AND c.relkind = 'v'
"""

_COUNTED: LiteralString = """
SELECT s.userid::text || ' ' || coalesce(s.queryid::text, '') AS statement,
  coalesce(r.rolname::text, s.userid::text) AS role, min(s.query) AS query, sum(s.calls)::bigint AS calls
FROM {} s LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.userid
WHERE s.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
  AND s.query ~ %(naming)s GROUP BY 1, 2
"""

_HIDDEN: LiteralString = """
SELECT count(*) AS hidden FROM {} s WHERE s.query = '<insufficient privilege>'
  AND s.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
"""

_HOLDERS: LiteralString = """
SELECT a.attname AS "column", pg_catalog.array_agg(DISTINCT c.relname::text) AS names
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
WHERE a.attname = ANY (%(columns)s) AND c.relkind IN ('r', 'v', 'm', 'f', 'p') AND NOT a.attisdropped GROUP BY 1
"""

_KEEP: LiteralString = """
INSERT INTO ecm.statements AS k (plan, statement, role, query, unclear, calls, since, last_seen)
VALUES (%(plan)s, %(statement)s, %(role)s, %(query)s, %(unclear)s, %(calls)s,
  CASE WHEN %(first)s THEN 0 ELSE %(calls)s END, CASE WHEN %(first)s THEN NULL ELSE %(now)s::timestamptz END)
ON CONFLICT (plan, statement) DO UPDATE SET calls = excluded.calls,
  -- A count that has fallen began anew: it was reset, or the statement was evicted and came again.
  since = k.since + CASE WHEN excluded.calls >= k.calls THEN excluded.calls - k.calls ELSE excluded.calls END,
  last_seen = CASE WHEN excluded.calls <> k.calls THEN %(now)s ELSE k.last_seen END
"""


_NOT_INSTALLED = (
    "who only reads: pg_stat_statements is not installed here (CREATE EXTENSION pg_stat_statements; it has to be in"
    " shared_preload_libraries)"
)


def _sample(connection: Connection, plan: Plan, sides: Sequence[OldSide]) -> _Sampled:
    """Take a sample of the statements that name the old side; what one finds first counts from the next one on."""
    if not sides:
        return _Sampled(read=False)
    place = {row["name"]: row["schema"] for row in select(connection, _EXTENSION)}
    if "pg_stat_statements" not in place:
        return _Sampled(read=False, unseen=(_NOT_INSTALLED,))
    counted_in = sql.Identifier(place["pg_stat_statements"], "pg_stat_statements")
    names = [side.table.name for side in sides]
    try:
        with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
            found = cursor.execute(sql.SQL(_COUNTED).format(counted_in), {"naming": naming(*names)}).fetchall()
            (hidden,) = cursor.execute(sql.SQL(_HIDDEN).format(counted_in)).fetchall()
            info = _info(connection, place.get("pg_stat_statements_info"))
    except psycopg.Error as error:
        if is_lost(error):
            raise
        # Not loaded by the server, not for this role, or another version of it than is known here.
        why = error.diag.message_primary or str(error)
        return _Sampled(read=False, unseen=(f"who only reads: pg_stat_statements cannot be read here: {why}",))
    checks = (check.sql for phase in PHASE_SETTINGS for check in plan.phase(phase).checks)
    own = frozenset(map(_without_constants, checks))
    found = [row for row in found if not is_own(row["query"]) and _without_constants(row["query"]) not in own]
    _keep(connection, plan.plan, _naming(connection, found, sides), info)
    return _Sampled(read=True, unseen=tuple(_missed(connection, plan.plan, hidden["hidden"], info)))


def _naming(
    connection: Connection, found: Iterable[dict[str, Any]], sides: Sequence[OldSide]
) -> list[tuple[dict[str, Any], Reading]]:
    """Return the statements that name the old side, with how."""
    columns = sorted({column for side in sides for column in side.columns})
    rows = select(connection, _HOLDERS, {"columns": columns}) if columns else []
    holders = {row["column"]: frozenset(row["names"]) for row in rows}
    told = ((row, reading(row["query"], sides, holders)) for row in found)
    return [(row, how) for row, how in told if how is not None]


def _info(connection: Connection, schema: str | None) -> dict[str, Any]:
    if schema is None:
        return {"reset_at": None, "evictions": None}
    query = sql.SQL("SELECT stats_reset AS reset_at, dealloc AS evictions FROM {}")
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.format(sql.Identifier(schema, "pg_stat_statements_info"))).fetchone() or {}


def _keep(
    connection: Connection, plan: str, found: Sequence[tuple[dict[str, Any], Reading]], info: dict[str, Any]
) -> None:
    with connection.transaction():
        # One sample at a time: of two that overlap, the older must not be taken for a count that began anew.
        (watch,) = select(
            connection,
            "SELECT sampled_at, since, reset_at, evictions, pg_catalog.clock_timestamp() AS now"
            " FROM ecm.watches WHERE plan = %s FOR UPDATE",
            [plan],
        )
        first, now = watch["sampled_at"] is None, watch["now"]
        for row, how in found:
            values = {
                **row,
                "plan": plan,
                "query": _short(_plain(row["query"])),
                "unclear": how is Reading.UNCLEAR,
                "first": first,
                "now": now,
            }
            connection.execute(_KEEP, values)
        reset = info["reset_at"]
        lost = not first and reset is not None and reset != watch["reset_at"] and reset > watch["since"]
        connection.execute(
            "UPDATE ecm.watches SET sampled_at = %(now)s, reset_at = %(reset)s,"
            " lost_until = CASE WHEN %(lost)s THEN %(reset)s ELSE lost_until END,"
            " evictions = CASE WHEN %(first)s THEN %(evictions)s ELSE evictions END WHERE plan = %(plan)s",
            {"now": now, "reset": reset, "lost": lost, "first": first, "evictions": info["evictions"], "plan": plan},
        )


_BLANKS = re.compile(r"/\*.*?\*/|--[^\n]*|\s+", re.DOTALL)
_CONSTANTS = re.compile(r"'(?:[^']|'')*'|(?<![\w.$])\d+(?:\.\d+)?")
_PARAMETERS = re.compile(r"\$\d+")


def _plain(query: str) -> str:
    """Return a statement in one line without constants: before PostgreSQL 16 those of utility statements are kept."""
    return _CONSTANTS.sub("?", " ".join(_BLANKS.sub(" ", query).split()))


def _without_constants(query: str) -> str:
    """Return a statement as it is the same however its constants are told."""
    return _PARAMETERS.sub("?", _plain(query)).rstrip("; ")


def _short(query: str) -> str:
    return query if len(query) <= _KEPT else query[: _KEPT - 1] + "…"


def _missed(connection: Connection, plan: str, hidden: int, info: dict[str, Any]) -> Iterable[str]:
    """Return what pg_stat_statements did not show, a line each."""
    watch = _watch(connection, plan) or {}
    if hidden:
        role = connection.execute("SELECT pg_catalog.quote_ident(current_user)").fetchone() or ("?",)
        yield (f"the text of {counted(hidden, 'statement')} of other roles: GRANT pg_read_all_stats TO {role[0]}")
    if watch.get("lost_until") is not None:
        yield f"what ran before pg_stat_statements was reset at {watch['lost_until']:%Y-%m-%d %H:%M} UTC"
    gone = (info["evictions"] or 0) - (watch.get("evictions") or 0)
    if gone > 0:
        yield (
            f"statements that pg_stat_statements forgot: {counted(gone, 'time')} there were more than"
            " pg_stat_statements.max since the watch began"
        )
    track = connection.execute("SELECT pg_catalog.current_setting('pg_stat_statements.track', true)").fetchone()
    if track and track[0] == "top":
        yield "statements within functions (pg_stat_statements.track is top)"
    if track and track[0] == "none":
        yield "any statement: pg_stat_statements.track is none"


def _statements(connection: Connection, plan: str) -> Iterable[Use]:
    for row in select(
        connection,
        "SELECT role, query, unclear, since, last_seen FROM ecm.statements WHERE plan = %s AND last_seen IS NOT NULL",
        [plan],
    ):
        note = "could not be understood; it has the names in its text" if row["unclear"] else ""
        yield Use(
            kind="statement",
            what=row["query"],
            role=row["role"],
            calls=row["since"],
            last_seen=row["last_seen"],
            note=note,
        )


def _elsewhere(connection: Connection) -> Iterable[str]:
    (row,) = select(connection, "SELECT count(*) AS standbys FROM pg_catalog.pg_stat_replication")
    if row["standbys"]:
        yield f"what is read on the {counted(row['standbys'], 'server')} that this one is replicated to"


# ---------------------------------------------------------------- writes


def _writes(
    connection: Connection, plan: Plan, facts: scope.Facts, *, begun: bool
) -> tuple[tuple[Use, ...], tuple[str, ...]]:
    """Return the writes of the old side that were noticed, and what could not be."""
    uses: list[Use] = []
    unseen: list[str] = []
    for table in facts.values():
        for watch in watched.watches(plan, table):
            if not begun:
                unseen.append(f"{watch.what}: they are noticed from reads migrated on")
                continue
            unseen += sentry.absent(connection, ((each.table, each.name) for each in watch.triggers))
            if watch.beyond:
                unseen.append(f"{table.name}: {watch.beyond}")
            try:
                with connection.transaction():
                    found = connection.execute(watch.noticed).fetchone()
            except (errors.UndefinedTable, psycopg.errors.InsufficientPrivilege):
                unseen.append(f"{watch.what}: what counts them is gone")
                continue
            if found is not None:
                uses.append(_write(connection, watch.what, *found))
    return tuple(uses), tuple(unseen)


def _write(connection: Connection, what: str, count: int, seconds: int, role: int) -> Use:
    (row,) = select(connection, "SELECT pg_catalog.pg_get_userbyid(%s) AS role", [role])
    return Use(
        kind="write",
        what=what,
        role=row["role"],
        calls=count,
        last_seen=datetime.fromtimestamp(seconds, UTC),
        note="the role is that of the last one",
    )
