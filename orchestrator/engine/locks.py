"""Locks within a budget, and who stood in the way."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from random import uniform
from time import monotonic, sleep
from typing import TypeVar

from psycopg import errors, sql
from psycopg.pq import TransactionStatus
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from orchestrator.engine.connection import Connection
from orchestrator.errors import LockTimeoutError
from orchestrator.events import Observer, Waiting
from orchestrator.sql.identifiers import TableName
from orchestrator.sql.steps import LockMode

T = TypeVar("T")

ATTEMPTS = 8
"""How often a lock is asked for before ecm gives up."""

INDEX_LOCK_TIMEOUT = timedelta(seconds=30)
"""The budget of CREATE and DROP INDEX CONCURRENTLY. Nobody queues behind their SHARE UPDATE EXCLUSIVE
but other DDL and VACUUM, so they can afford to wait for old snapshots where an ALTER TABLE cannot."""

UNHEARD_OF = timedelta(seconds=2)
"""How long a transaction that holds locks of the application's tables outlives an ecm that says nothing."""

_MOMENT = timedelta(milliseconds=100)
"""How long a further lock is waited for once that went wrong, and at most until it is asked for again."""

_LOCK_TIMEOUT = "SELECT pg_catalog.set_config('lock_timeout', %s, false)"


REFUSED = (errors.LockNotAvailable, errors.QueryCanceled, errors.DeadlockDetected)
"""How PostgreSQL says that a lock was not to be had."""


@dataclass(frozen=True, kw_only=True)
class Blocker:
    """A session that holds a lock on a table."""

    pid: int
    user: str
    application: str
    state: str
    seconds: float
    """How long its transaction has been open."""
    query: str
    autovacuum: bool

    @property
    def lines(self) -> tuple[str, str]:
        """The session for a person, and what it runs or ran last."""
        application = f', application "{self.application}"' if self.application else ""
        age = timedelta(seconds=round(self.seconds))
        query = " ".join(self.query.split())
        shown = query if len(query) <= 100 else query[:99] + "…"  # noqa: PLR2004 - a line
        return f"held by pid {self.pid}, user {self.user}{application}, {self.state} for {age}", f"  {shown}"


def milliseconds(duration: timedelta) -> str:
    """Return a duration as PostgreSQL's settings take it."""
    return f"{max(1, round(duration.total_seconds() * 1000))}ms"


def set_local(connection: Connection, **settings: str) -> None:
    """Set settings for the rest of the transaction."""
    for name, value in settings.items():
        connection.execute("SELECT pg_catalog.set_config(%s, %s, true)", [name.replace("__", "."), value])


def as_the_owner(connection: Connection) -> None:
    """Look names up as the role's own sessions do, for the rest of the transaction.

    ecm's statements are qualified, but they make PostgreSQL run code that may not be: triggers, checks,
    generated columns and index expressions of the table.
    """
    connection.execute("SET LOCAL search_path TO DEFAULT")


def take(
    connection: Connection,
    tables: Sequence[TableName],
    mode: LockMode,
    budget: timedelta,
    *,
    views: Sequence[TableName] = (),
    attempt: int = 1,
) -> None:
    """Take locks, as a whole within the budget; they outlive an ecm that is frozen by no more than `UNHEARD_OF`.

    Those on tables are taken in one statement: `lock_timeout` counts for each lock anew, and `statement_timeout`
    bounds them together. Where there are several, it is tried several times, each time another way. Who writes one
    table and then the other has the first by the time that ecm has the second, and each waits for what the other one
    has; who uses a view locks it before its table, but who writes a child of the table has that locked already and
    wants the view next; and who reads a view may want next one that stands on it. Of sessions that go different ways
    ecm can follow one at a time. Where it went the wrong way, nothing but to let go of what it has helps: so after the
    first time it waits for each further lock for a moment only, and lets those that waited for it go on before it asks
    again.

    Args:
        connection: a session with the branch, in a transaction.
        tables: to be locked.
        mode: of their locks; on views it is ACCESS EXCLUSIVE.
        budget: the longest wait, and less than deadlock_timeout where there is more than one lock (`budget_for`).
        views: views and materialized views over them, each before those it stands on.
        attempt: how often it was tried, this time included.
    """
    tables = sorted(set(tables) - set(views))
    if len(tables) + len(views) > 1:
        _take_several(connection, tables, mode, budget, views=views, way=attempt)
    else:
        _take_tables(connection, tables, mode, budget)
    set_local(
        connection,
        lock_timeout=milliseconds(budget),
        statement_timeout="0",
        idle_in_transaction_session_timeout=milliseconds(UNHEARD_OF),
    )


def _take_several(
    connection: Connection,
    tables: Sequence[TableName],
    mode: LockMode,
    budget: timedelta,
    *,
    views: Sequence[TableName],
    way: int,
) -> None:
    until = monotonic() + budget.total_seconds()
    second = budget / 2
    while True:
        left = timedelta(seconds=until - monotonic())
        try:
            # Back to here, PostgreSQL lets go of what was locked since ("SAVEPOINT").
            with connection.transaction():
                if views:
                    _take_with_views(connection, tables, mode, views=views, way=way, first=left - second, second=second)
                else:
                    _take_tables(connection, tables if way % 2 else tables[::-1], mode, second, together=left)
                return
        except (errors.LockNotAvailable, errors.QueryCanceled):
            way, second = way + 1, min(_MOMENT, budget / 4)
            if until - monotonic() < 2 * second.total_seconds():
                raise
            # Who waited is in the middle of its transaction now, and would meet ecm there again. For as long as such
            # a transaction may take, but never twice the same: in step with it, ecm would come at the wrong time again.
            sleep(uniform(0, min(_MOMENT, budget / 8).total_seconds()))  # noqa: S311 - chance, no secret


def _take_with_views(
    connection: Connection,
    tables: Sequence[TableName],
    mode: LockMode,
    *,
    views: Sequence[TableName],
    way: int,
    first: timedelta,
    second: timedelta,
) -> None:
    round_about = (way - 1) // 2 % 2 == 1
    if way % 2:
        _take_views(connection, views[::-1] if round_about else views, first)
        _take_tables(connection, tables, mode, second)
    else:
        _take_tables(connection, tables[::-1] if round_about else tables, mode, first)
        _take_views(connection, views, second)


def _take_tables(
    connection: Connection,
    tables: Sequence[TableName],
    mode: LockMode,
    budget: timedelta,
    *,
    together: timedelta | None = None,
) -> None:
    if tables:
        names = sql.SQL(", ").join(table.identifier for table in tables)
        bound = budget * 1.1 if together is None else together
        set_local(connection, lock_timeout=milliseconds(budget), statement_timeout=milliseconds(bound))
        connection.execute(sql.SQL("LOCK TABLE {} IN {} MODE").format(names, sql.SQL(mode.value)))


def _take_views(connection: Connection, views: Sequence[TableName], budget: timedelta) -> None:
    """Lock views, and nothing that they show: LOCK TABLE would lock every table of theirs as well.

    To give a relation to its owner locks it, and changes nothing.
    """
    until = monotonic() + budget.total_seconds()
    for view in views:
        found = connection.execute(
            "SELECT c.relkind::text, r.rolname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n"
            " ON n.oid = c.relnamespace JOIN pg_catalog.pg_roles r ON r.oid = c.relowner"
            " WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('v', 'm')",
            [view.schema, view.name],
        ).fetchone()
        if found is None:
            continue
        kind, owner = found
        left = milliseconds(timedelta(seconds=max(0.001, until - monotonic())))
        set_local(connection, lock_timeout=left, statement_timeout=left)
        connection.execute(
            sql.SQL("ALTER {} {} OWNER TO {}").format(
                sql.SQL("MATERIALIZED VIEW" if kind == "m" else "VIEW"), view.identifier, sql.Identifier(owner)
            )
        )


@contextmanager
def looking(connection: Connection, *, seconds: float, undone: bool = False) -> Generator[None]:
    """Look at an application's rows in a transaction of a bounded time; names mean what they do in `as_the_owner`.

    Args:
        connection: a session with the branch, in autocommit.
        seconds: the longest that a statement may take.
        undone: whether it may write, which is undone; otherwise it may only read.
    """
    try:
        with connection.transaction(force_rollback=undone):
            if not undone:
                connection.execute("SET TRANSACTION READ ONLY")
            set_local(connection, statement_timeout=milliseconds(timedelta(seconds=seconds)))
            as_the_owner(connection)
            yield
    finally:
        let_go(connection)


def let_go(connection: Connection) -> None:
    """End the transaction of a statement that ran out of time, where its ROLLBACK did, too; to be called outside of it.

    statement_timeout counts for ROLLBACK like for any other command until that has gone through, and psycopg passes
    over an error there.
    """
    while not connection.closed and connection.info.transaction_status is TransactionStatus.INERROR:
        with suppress(errors.QueryCanceled):
            connection.rollback()


@contextmanager
def patient(connection: Connection) -> Generator[None]:
    """Give what runs outside of a transaction the budget of an index build, then the usual one again.

    Names are looked up meanwhile as in `as_the_owner`: an index expression may rely on it.
    """
    connection.execute(_LOCK_TIMEOUT, [milliseconds(INDEX_LOCK_TIMEOUT)])
    connection.execute("SET search_path TO DEFAULT")
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute(_LOCK_TIMEOUT, ["1s"])
            connection.execute("SET search_path TO ''")


def budget_for(connection: Connection, tables: Sequence[TableName], budget: timedelta) -> timedelta:
    """Return how long a lock on the tables may be waited for now.

    An autovacuum of the table gives way to a lock request, but only once that has waited
    deadlock_timeout ("Autovacuum", manual 25.1.6). Where one runs, a shorter budget would never do.
    With several tables, the wait for one while another is held ends before that, so that the
    application is never the victim of a deadlock.
    """
    deadlock = deadlock_timeout(connection)
    if len(tables) > 1:
        return min(budget, deadlock * 0.8)
    vacuumed = any(blocker.autovacuum for blocker in blockers(connection, tables))
    return max(budget, deadlock * 1.2) if vacuumed else budget


def deadlock_timeout(connection: Connection) -> timedelta:
    """Return how long PostgreSQL lets a session wait for a lock before it looks for a deadlock."""
    row = connection.execute("SELECT setting FROM pg_catalog.pg_settings WHERE name = 'deadlock_timeout'").fetchone()
    return timedelta(milliseconds=int(row[0])) if row else timedelta(seconds=1)


def patience(
    passes: Callable[[BaseException], bool],
    *,
    sleep: Callable[[float], None],
    before_sleep: Callable[[RetryCallState], None],
    attempts: int | None = None,
) -> Retrying:
    """Return the way ecm tries again: a bounded number of times, with jitter, and only what may pass."""
    return Retrying(
        retry=retry_if_exception(passes),
        stop=stop_after_attempt(attempts or ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.5, max=8),
        before_sleep=before_sleep,
        sleep=sleep,
        reraise=True,
    )


def waiting(state: RetryCallState, *, what: str, why: str, held_by: str | None = None) -> Waiting:
    """Return the event for a pause before something is tried again."""
    seconds = state.next_action.sleep if state.next_action else 0.0
    return Waiting(what=what, why=why, attempt=state.attempt_number, seconds=seconds, held_by=held_by)


def insist(
    connection: Connection,
    tables: Sequence[TableName],
    work: Callable[[], T],
    *,
    sleep: Callable[[float], None],
    observer: Observer,
    attempts: int | None = None,
) -> T:
    """Do what only needs tables not to be locked by someone else's DDL.

    Args:
        connection: a session with the branch.
        tables: that have to be free.
        work: what is to be done.
        sleep: how to wait before it is tried again.
        observer: told what is waited for, and who holds it.
        attempts: how often it is tried; as often as ecm asks for any lock where it is None.

    Raises:
        LockTimeoutError: they stayed locked.
    """
    began = monotonic()

    def waits(state: RetryCallState) -> None:
        what = " and ".join(str(table) for table in tables)
        held_by = next(iter(_holders(connection, tables)), None)
        observer(waiting(state, what=what, why="locked by another session", held_by=held_by))

    try:
        # A column that is gone was there a moment ago: someone else's DDL came between two looks at the catalog.
        passes = (*REFUSED, errors.UndefinedColumn)
        for attempt in patience(
            lambda error: isinstance(error, passes), sleep=sleep, before_sleep=waits, attempts=attempts
        ):
            with attempt:
                return work()
    except REFUSED as error:
        budget, seconds = timedelta(seconds=1), monotonic() - began
        tried = attempts or ATTEMPTS
        raise gave_up(connection, tables, budget=budget, attempts=tried, seconds=seconds) from error
    raise AssertionError  # Retrying either returns or raises


def blockers(connection: Connection, tables: Sequence[TableName]) -> tuple[Blocker, ...]:
    """Return the other sessions that hold a lock on the tables, the longest transaction first."""
    return _sessions(connection, sql.SQL("EXISTS (SELECT {} AND l.pid = a.pid)").format(_locks_on(tables)))


def _holders(connection: Connection, tables: Sequence[TableName]) -> list[str]:
    """Return a line for each session or prepared transaction that holds a lock on the tables."""
    return [*(blocker.lines[0] for blocker in blockers(connection, tables)), *prepared(connection, tables)]


def _locks_on(tables: Sequence[TableName]) -> sql.Composed:
    # Looked up in the catalog: a cast to regclass would itself wait for the lock.
    names = sql.SQL(", ").join(sql.SQL("({}, {})").format(table.schema, table.name) for table in tables)
    return sql.SQL(
        "FROM pg_catalog.pg_locks l WHERE l.granted AND l.locktype = 'relation'"
        " AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"
        " AND l.relation IN (SELECT c.oid FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE (n.nspname, c.relname) IN ({}))"
    ).format(names)


def prepared(connection: Connection, tables: Sequence[TableName]) -> list[str]:
    """Return a line for each prepared transaction that holds a lock on the tables: no session of it is left to end."""
    rows = connection.execute(
        sql.SQL(
            "SELECT p.owner, extract(epoch FROM pg_catalog.clock_timestamp() - p.prepared)::float8,"
            " pg_catalog.quote_literal(p.gid) FROM pg_catalog.pg_prepared_xacts p"
            # In pg_locks it has no pid; the lock on its own number tells its virtual transaction.
            " JOIN pg_catalog.pg_locks x ON x.locktype = 'transactionid' AND x.transactionid = p.transaction"
            " WHERE EXISTS (SELECT {} AND l.pid IS NULL AND l.virtualtransaction = x.virtualtransaction)"
            " ORDER BY p.prepared"
        ).format(_locks_on(tables))
    ).fetchall()
    return [
        f"held by a prepared transaction of user {owner} for {timedelta(seconds=round(seconds))}:"
        f" COMMIT PREPARED {name}, or ROLLBACK PREPARED {name}"
        for owner, seconds, name in rows
    ]


def snapshots(connection: Connection) -> tuple[Blocker, ...]:
    """Return the other sessions of this database that hold a snapshot, the longest transaction first."""
    return _sessions(connection, sql.SQL("a.datname = pg_catalog.current_database() AND a.backend_xmin IS NOT NULL"))


def _sessions(connection: Connection, condition: sql.SQL | sql.Composed) -> tuple[Blocker, ...]:
    rows = connection.execute(
        sql.SQL(
            "SELECT a.pid, coalesce(a.usename, a.backend_type), coalesce(a.application_name, ''),"
            " coalesce(a.state, 'hidden'),"
            " coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start), 0)::float8,"
            " coalesce(nullif(a.query, ''), a.backend_type), a.backend_type = 'autovacuum worker'"
            " FROM pg_catalog.pg_stat_activity a WHERE a.pid <> pg_catalog.pg_backend_pid() AND {}"
            " ORDER BY a.xact_start NULLS LAST LIMIT 5"
        ).format(condition)
    ).fetchall()
    return tuple(
        Blocker(
            pid=pid,
            user=user,
            application=application,
            state=state,
            seconds=seconds,
            query=query,
            autovacuum=autovacuum,
        )
        for pid, user, application, state, seconds, query, autovacuum in rows
    )


def gave_up(
    connection: Connection,
    tables: Sequence[TableName],
    *,
    budget: timedelta,
    attempts: int,
    seconds: float,
    before: bool = False,
) -> LockTimeoutError:
    """Return the error for a lock that was not to be had, naming who held it.

    Args:
        connection: a session with the branch.
        tables: what was to be locked.
        budget: how long each attempt waited.
        attempts: how many there were.
        seconds: how long they took together.
        before: whether earlier steps of the same phase are done.
    """
    names = " and ".join(str(table) for table in tables)
    return LockTimeoutError(
        f"{names} could not be locked within {budget.total_seconds():g} s"
        + (f", {attempts} times over {seconds:.0f} s" if attempts > 1 else ""),
        details=_named(blockers(connection, tables), prepared(connection, tables)),
        hint="what was done before stays, and the state is as it was; end that session or wait, then run the same"
        " command again: it goes on from here"
        if before
        else "nothing was changed; end that session or wait, then run the same command again",
    )


def held_up(
    connection: Connection, tables: Sequence[TableName], *, index: str, attempts: int, seconds: float, left: str
) -> LockTimeoutError:
    """Return the error for an index that could not be built or dropped beside the application.

    CREATE and DROP INDEX CONCURRENTLY wait for every transaction of the database whose snapshot is
    older than theirs, whatever table it looked at ("Building Indexes Concurrently", CREATE INDEX).
    """
    found = (*blockers(connection, tables), *snapshots(connection))
    return LockTimeoutError(
        f"index {index} had to wait for older transactions, {attempts} times over {seconds:.0f} s",
        details=_named(tuple({blocker.pid: blocker for blocker in found}.values()), prepared(connection, tables)),
        hint=f"{left}; end that session or wait, then run the same command again",
    )


def _named(found: tuple[Blocker, ...], prepared: list[str]) -> list[str]:
    gone = "the session that held it is gone by now, or hidden from this role (GRANT pg_monitor shows it)"
    return [*(line for blocker in found for line in blocker.lines), *prepared] or [gone]
