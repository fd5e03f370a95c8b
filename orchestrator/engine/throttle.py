"""The throttle: what the server and those behind it feel of the backfill, and when it has to hold back.

Each signal is one query. What a plan names and the role cannot read holds the backfill back: nobody
can say that all is well. A signal that is there by default and cannot be read is shown as that.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic

import psycopg
from psycopg import errors

from orchestrator.engine.connection import Connection, is_lost, one_statement
from orchestrator.engine.locks import set_local
from orchestrator.errors import PreconditionError
from orchestrator.plan.phases import Throttle
from orchestrator.plan.sizes import humanize_size
from orchestrator.sql.identifiers import verbatim

_PATIENCE = "2s"
"""How long a signal's query may take."""
_REMEMBERED = 3600
"""Looks that are remembered, to tell for how long a standby has been stuck."""
_WRITTEN = "pg_catalog.pg_current_wal_lsn() - '0/0'::pg_catalog.pg_lsn"
_CLEARS_AT = 0.9
"""A signal that tripped clears at this part of its limit, so that it does not flutter."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A signal as it was read.

    Attributes:
        value: None where it cannot be read.
        limit: what it may be at most (`free_disk`: at least).
        said: the value and the limit for a person, or why it cannot be read.
        holds: whether the backfill holds back for it.
    """

    signal: str
    value: float | None
    limit: float
    said: str
    holds: bool


class _UnreadableError(Exception):
    """A signal cannot be read; the text says why and what would change that."""


class _NoNumberError(_UnreadableError):
    """A query gives something that is no number."""


def _unusable(why: str) -> PreconditionError:
    return PreconditionError(
        "the throttle's custom query cannot be used",
        details=[why],
        hint="correct throttle.custom in the plan file (it may change at any time), then run the same command again",
    )


@dataclass(frozen=True, kw_only=True)
class _Signal:
    name: str
    limit: float
    read: Callable[[Connection], tuple[float, str]]
    """Returns the value, and words for it."""
    words: Callable[[float], str]
    least: bool = False
    """Whether the limit is what there has to be at least."""


class Gauge:
    """Reads a plan's signals, again and again.

    Args:
        settings: which ones, and their limits.
        clock: seconds.
    """

    def __init__(self, settings: Throttle, *, clock: Callable[[], float] = monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._signals = tuple(self._wanted())
        self._held: set[str] = set()
        self._wal: tuple[float, float] | None = None
        self._written: deque[tuple[float, float]] = deque(maxlen=_REMEMBERED)
        """When the WAL was how long."""

    def look(self, connection: Connection) -> tuple[Reading, ...]:
        """Read every signal.

        Args:
            connection: a session in autocommit.

        Raises:
            psycopg.OperationalError: the session was lost.
        """
        readings = tuple(self._read(connection, signal) for signal in self._signals)
        self._held = {reading.signal for reading in readings if reading.holds}
        return readings

    def check(self, connection: Connection) -> None:
        """Make sure that the plan's own query can be run at all.

        Args:
            connection: a session in autocommit.

        Raises:
            PreconditionError: it cannot, and waiting would not change that.
        """
        if self._settings.custom is None:
            return
        try:
            with connection.transaction():
                set_local(connection, statement_timeout=_PATIENCE)
                self._custom(connection)
        except _NoNumberError as error:
            raise _unusable(str(error)) from None
        except (errors.ProgrammingError, errors.ReadOnlySqlTransaction) as error:
            raise _unusable(_first_line(error)) from None
        except (psycopg.Error, _UnreadableError) as error:
            if is_lost(error):
                raise
            # It may pass (a timeout, a row that is not there yet): the backfill holds back for it.

    def _read(self, connection: Connection, signal: _Signal) -> Reading:
        try:
            with connection.transaction():
                set_local(connection, statement_timeout=_PATIENCE)
                value, said = signal.read(connection)
        except (psycopg.Error, _UnreadableError) as error:
            if is_lost(error):
                raise
            why = str(error) if isinstance(error, _UnreadableError) else _first_line(error)
            if isinstance(error, errors.QueryCanceled):
                why = f"its query takes longer than {_PATIENCE}"
            named = signal.name in self._settings.model_fields_set or signal.name not in Throttle.model_fields
            return Reading(
                signal=signal.name, value=None, limit=signal.limit, said=f"cannot be read: {why}", holds=named
            )
        limit = signal.limit * (_CLEARS_AT if signal.name in self._held and not signal.least else 1)
        holds = value < limit if signal.least else value > limit
        bound = "at least" if signal.least else "limit"
        return Reading(
            signal=signal.name,
            value=value,
            limit=signal.limit,
            said=f"{said} ({bound} {signal.words(signal.limit)})",
            holds=holds,
        )

    def _wanted(self) -> Iterator[_Signal]:
        wanted = self._settings
        if wanted.replica_lag is not None:
            yield _Signal(
                name="replica_lag", limit=wanted.replica_lag.total_seconds(), read=self._replica_lag, words=_seconds
            )
        if wanted.wal_rate is not None:
            yield _Signal(name="wal_rate", limit=wanted.wal_rate, read=self._wal_rate, words=_size_a_second)
        if wanted.archive_backlog is not None:
            yield _Signal(name="archive_backlog", limit=wanted.archive_backlog, read=_archive_backlog, words=_count)
        if wanted.slot_retention is not None:
            yield _Signal(name="slot_retention", limit=wanted.slot_retention, read=_slots, words=humanize_size)
        if wanted.active_per_core is not None:
            yield _Signal(name="active_per_core", limit=wanted.active_per_core, read=self._active, words=_count)
        if wanted.lock_waiters is not None:
            yield _Signal(name="lock_waiters", limit=wanted.lock_waiters, read=_lock_waiters, words=_count)
        if wanted.xmin_age is not None:
            yield _Signal(name="xmin_age", limit=wanted.xmin_age, read=_xmin_age, words=_count)
        if wanted.free_disk is not None:
            yield _Signal(
                name="free_disk", limit=wanted.free_disk, read=self._free_disk, words=humanize_size, least=True
            )
        if (custom := wanted.custom) is not None:
            yield _Signal(name=custom.name, limit=custom.max, read=self._custom, words=_count)

    def _replica_lag(self, connection: Connection) -> tuple[float, str]:
        now, written = self._clock(), _number(connection, f"SELECT {_WRITTEN}")
        self._written.append((now, written))
        rows = connection.execute(
            "SELECT application_name, state, extract(epoch FROM replay_lag)::float8,"
            " replay_lsn - '0/0'::pg_catalog.pg_lsn"
            " FROM pg_catalog.pg_stat_replication WHERE coalesce(state, '') <> 'backup'"
        ).fetchall()
        if any(state is None for _, state, *_ in rows):  # hidden from this role
            _needs_statistics(connection)
        lags = [(max(told or 0.0, self._behind(replayed, now)), name) for name, _, told, replayed in rows]
        lag, name = max(lags, default=(0.0, None))
        return lag, f"{name} is {lag:.1f} s behind" if name is not None else "no standby"

    def _behind(self, replayed: float | None, now: float) -> float:
        """Return for how long at least a standby has not replayed what was written.

        PostgreSQL measures the lag from one answer of the standby to the next, and says nothing of one that is stuck.
        """
        if replayed is None:
            return 0.0  # it only receives
        return max((now - then for then, written in self._written if written > replayed), default=0.0)

    def _wal_rate(self, connection: Connection) -> tuple[float, str]:
        written, now = _number(connection, f"SELECT {_WRITTEN}"), self._clock()
        before, self._wal = self._wal, (written, now)
        rate = (written - before[0]) / max(now - before[1], 0.001) if before else 0.0
        return rate, f"{_size_a_second(rate)} of WAL are written"

    def _active(self, connection: Connection) -> tuple[float, str]:
        _needs_statistics(connection)
        active = _number(
            connection,
            "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE state = 'active'"
            " AND backend_type = 'client backend' AND application_name NOT LIKE 'ecm%'",
        )
        cores = self._settings.cores or _cores(connection)
        return active / cores, f"{active:g} sessions are at work on {cores} cores"

    def _free_disk(self, connection: Connection) -> tuple[float, str]:
        size = self._settings.disk or _cluster_limit(connection)
        used = _number(
            connection, "SELECT sum(pg_catalog.pg_database_size(oid)) FROM pg_catalog.pg_database WHERE datallowconn"
        ) + _number(connection, "SELECT coalesce(sum(size), 0) FROM pg_catalog.pg_ls_waldir()")
        return size - used, f"{humanize_size(size - used)} of {humanize_size(size)} are free"

    def _custom(self, connection: Connection) -> tuple[float, str]:
        custom = self._settings.custom
        if custom is None:
            raise AssertionError
        connection.execute("SET TRANSACTION READ ONLY")
        connection.execute("SET LOCAL search_path TO DEFAULT")
        row = one_statement(connection, custom.sql)
        value = row[0] if row else None
        try:
            number = float(value)  # pyright: ignore[reportArgumentType] - that it may be anything is the point
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            if value is None:
                raise _UnreadableError(f"its query returned {'NULL' if row else 'no row'}, and not a number")
            raise _NoNumberError(f"its query returned {value}, and not a number")
        return number, f"{custom.name} is {number:g}"


def reason(readings: tuple[Reading, ...]) -> str | None:
    """Return what holds the backfill back, in words; None where nothing does."""
    said = [f"{reading.signal.replace('_', ' ')}: {reading.said}" for reading in readings if reading.holds]
    return "; ".join(said) or None


def _archive_backlog(connection: Connection) -> tuple[float, str]:
    files = _number(connection, "SELECT count(*) FROM pg_catalog.pg_ls_archive_statusdir() WHERE name LIKE '%.ready'")
    return files, f"{files:g} WAL files wait for the archiver"


def _slots(connection: Connection) -> tuple[float, str]:
    row = connection.execute(
        "SELECT slot_name, (pg_catalog.pg_current_wal_lsn() - restart_lsn)::float8"
        " FROM pg_catalog.pg_replication_slots WHERE restart_lsn IS NOT NULL ORDER BY 2 DESC LIMIT 1"
    ).fetchone()
    return (row[1], f"slot {row[0]} keeps {humanize_size(row[1])} of WAL") if row else (0.0, "no slot")


def _lock_waiters(connection: Connection) -> tuple[float, str]:
    waiting = _number(connection, "SELECT count(DISTINCT pid) FROM pg_catalog.pg_locks WHERE NOT granted")
    return waiting, f"{waiting:g} sessions wait for a lock"


def _xmin_age(connection: Connection) -> tuple[float, str]:
    age = _number(
        connection,
        "SELECT coalesce(max(pg_catalog.age(xmin)), 0) FROM ("
        "SELECT backend_xmin FROM pg_catalog.pg_stat_activity WHERE pid <> pg_catalog.pg_backend_pid()"
        " UNION ALL SELECT xmin FROM pg_catalog.pg_replication_slots"
        " UNION ALL SELECT transaction FROM pg_catalog.pg_prepared_xacts) AS held (xmin)",
    )
    return age, f"the oldest snapshot is {age:,.0f} transactions behind"


def _cores(connection: Connection) -> int:
    try:
        text = connection.execute("SELECT pg_catalog.pg_read_file('/proc/cpuinfo')").fetchone()
    except errors.Error:
        raise _UnreadableError("the server does not tell how many cores it has; write throttle.cores") from None
    return max(1, sum(line.startswith("processor") for line in str(text[0] if text else "").splitlines()))


def _cluster_limit(connection: Connection) -> int:
    """Return the size that a Neon project may have; no other server tells."""
    row = connection.execute("SELECT pg_catalog.current_setting('neon.max_cluster_size', true)").fetchone()
    if row is None or not row[0]:
        raise _UnreadableError("the server does not tell how large its disk is; write throttle.disk")
    megabytes = connection.execute(
        "SELECT setting::float8 FROM pg_catalog.pg_settings WHERE name = 'neon.max_cluster_size'"
    ).fetchone()
    return int((megabytes[0] if megabytes else 0) * 1024**2)


def _needs_statistics(connection: Connection) -> None:
    """Make sure that this role sees what other roles do.

    Raises:
        _UnreadableError: it does not; the text names the privilege.
    """
    row = connection.execute(
        "SELECT pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'),"
        " pg_catalog.quote_ident(current_user)"
    ).fetchone()
    if row is None or not row[0]:
        raise _UnreadableError(f"GRANT pg_monitor TO {row[1] if row else 'this role'}")


def _number(connection: Connection, query: str) -> float:
    row = connection.execute(verbatim(query)).fetchone()
    return float(row[0]) if row and row[0] is not None else 0.0


def _first_line(error: Exception) -> str:
    text = str(error).splitlines()
    return text[0] if text else type(error).__name__


def _seconds(value: float) -> str:
    return f"{value:g} s"


def _count(value: float) -> str:
    return f"{value:g}"


def _size_a_second(value: float) -> str:
    return f"{humanize_size(value)}/s"
