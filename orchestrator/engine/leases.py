"""The lease: at most one ecm at work on a plan in a database.

The advisory lock of the holder's session decides: it ends with the session, so it tells the living
from the dead. The fencing number protects: every write to the journal states it, and what a holder
that was replaced still tries to commit is refused. The heartbeat informs people.
"""

from dataclasses import dataclass

from psycopg import sql

from orchestrator.engine.connection import Connection
from orchestrator.errors import LeaseError


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right to work on a plan in this database, until someone takes a higher number."""

    plan: str
    fence: int
    holder: str


def held(plan: sql.Composable) -> sql.Composed:
    """Return the condition, in SQL, that a living session of this database holds the lease on a plan.

    The number of an advisory lock stands in pg_locks in two halves ("pg_locks", manual 54.12).
    """
    return sql.SQL(
        "EXISTS (SELECT FROM pg_catalog.pg_locks k, {} AS lease (number)"
        " WHERE k.locktype = 'advisory' AND k.objsubid = 1 AND k.granted"
        " AND k.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"
        " AND k.classid::bigint = (lease.number >> 32) & 4294967295"
        " AND k.objid::bigint = lease.number & 4294967295)"
    ).format(_lock_number(plan))


def _lock_number(plan: sql.Composable) -> sql.Composed:
    return sql.SQL("pg_catalog.hashtextextended('ecm.lease ' || {}, 0)").format(plan)


def _try_lock(connection: Connection, plan: str) -> bool:
    query = sql.SQL("SELECT pg_catalog.pg_try_advisory_lock({})").format(_lock_number(sql.Literal(plan)))
    row = connection.execute(query).fetchone()
    return bool(row and row[0])


def take(connection: Connection, plan: str, holder: str) -> Lease | None:
    """Take the lease, or return None where a living session holds it.

    The session's advisory lock tells the living from the dead: it ends with the session. The
    fencing number tells the dead that they are: what they still try to commit is refused.
    """
    if not _try_lock(connection, plan):
        return None
    with connection.transaction():
        # FOR UPDATE waits for a transaction of the former holder that is still committing (see `hold`).
        connection.execute("SELECT FROM ecm.leases WHERE plan = %s FOR UPDATE", [plan])
        row = connection.execute(
            "INSERT INTO ecm.leases AS l (plan, fence, holder, acquired_at, heartbeat_at)"
            " VALUES (%s, 1, %s, pg_catalog.clock_timestamp(), pg_catalog.clock_timestamp())"
            " ON CONFLICT (plan) DO UPDATE SET fence = l.fence + 1, holder = excluded.holder,"
            " acquired_at = excluded.acquired_at, heartbeat_at = excluded.heartbeat_at RETURNING fence",
            [plan, holder],
        ).fetchone()
    return Lease(plan=plan, fence=row[0] if row else 0, holder=holder)


def renew(connection: Connection, lease: Lease) -> None:
    """Take the advisory lock again in a new session, and make sure that no one came between.

    Raises:
        LeaseError: someone did.
    """
    for _ in range(50):
        hold(connection, lease)
        if _try_lock(connection, lease.plan):
            return
        # The server has not yet noticed that our former session is gone.
        connection.execute("SELECT pg_catalog.pg_sleep(0.1)")


def release(connection: Connection, lease: Lease) -> None:
    """Give the lease back."""
    connection.execute("UPDATE ecm.leases SET holder = '' WHERE plan = %s AND fence = %s", [lease.plan, lease.fence])
    connection.execute(
        sql.SQL("SELECT pg_catalog.pg_advisory_unlock({})").format(_lock_number(sql.Literal(lease.plan)))
    )


def hold(connection: Connection, lease: Lease) -> None:
    """Hold the lease for the length of this transaction.

    FOR KEY SHARE lets heartbeats pass and makes a taker wait until this transaction has ended.

    Raises:
        LeaseError: someone took it.
    """
    row = connection.execute(
        "SELECT FROM ecm.leases WHERE plan = %s AND fence = %s FOR KEY SHARE", [lease.plan, lease.fence]
    ).fetchone()
    if row is None:
        raise lost(connection, lease)


def lost(connection: Connection, lease: Lease) -> LeaseError:
    """Return the error for a lease that someone else took."""
    row = connection.execute("SELECT holder FROM ecm.leases WHERE plan = %s", [lease.plan]).fetchone()
    return LeaseError(
        f"another ecm took over {lease.plan} here ({row[0] if row else 'unknown'})",
        details=["this one stopped before changing anything more"],
        hint="ecm status",
    )


def beat(connection: Connection, lease: Lease) -> bool:
    """Show that the holder lives; False where the lease is lost."""
    found = connection.execute(
        "UPDATE ecm.leases SET heartbeat_at = pg_catalog.clock_timestamp() WHERE plan = %s AND fence = %s",
        [lease.plan, lease.fence],
    )
    return found.rowcount == 1
