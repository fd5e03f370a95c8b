"""What the doctor looks at on a branch."""

from dataclasses import dataclass

from psycopg import sql

from orchestrator.engine import journal
from orchestrator.engine.connection import Connection
from orchestrator.sql.identifiers import verbatim
from orchestrator.words import counted

LONG = 300
"""Seconds after which an open transaction is worth a word."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One thing that was looked at."""

    subject: str
    ok: bool
    message: str
    remedy: str = ""


def examine(connection: Connection, *, branch: str, known_plans: tuple[str, ...]) -> tuple[Observation, ...]:
    """Look at one branch, without changing anything."""
    return (
        _server(connection),
        _writable(connection),
        _privilege(connection),
        _long(connection),
        _leftovers(connection, branch, known_plans),
    )


def _server(connection: Connection) -> Observation:
    version = connection.info.parameter_status("server_version") or "?"
    return Observation(
        subject="connection",
        ok=True,
        message=f"direct, PostgreSQL {version.split()[0]}, database {connection.info.dbname}",
    )


def _writable(connection: Connection) -> Observation:
    row = connection.execute("SELECT pg_catalog.pg_is_in_recovery()").fetchone()
    standby = bool(row and row[0])
    return Observation(
        subject="writable",
        ok=not standby,
        message="a standby, which cannot be written" if standby else "a primary",
        remedy="give the branch the URL of its primary" if standby else "",
    )


def _privilege(connection: Connection) -> Observation:
    row = connection.execute(
        "SELECT current_user, pg_catalog.current_database(),"
        " pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')"
        " OR EXISTS (SELECT FROM pg_catalog.pg_namespace"
        " WHERE nspname = 'ecm' AND pg_catalog.pg_has_role(nspowner, 'USAGE')),"
        " pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY')"
    ).fetchone()
    user, database, create, temporary = row or ("?", "?", False, False)
    lacking = [name for name, has in (("CREATE", create), ("TEMPORARY", temporary)) if not has]
    if not lacking:
        return Observation(subject="privileges", ok=True, message=f"role {user} may keep the journal here")
    grant = sql.SQL("GRANT {} ON DATABASE {} TO {}").format(
        sql.SQL(", ").join(verbatim(name) for name in lacking), sql.Identifier(database), sql.Identifier(user)
    )
    return Observation(
        subject="privileges",
        ok=False,
        message=f"role {user} lacks {' and '.join(lacking)} on database {database}",
        remedy=grant.as_string(None),
    )


_LONG_TRANSACTIONS = """
SELECT pg_catalog.format('pid %%s, user %%s', pid, coalesce(usename, '?')) AS who,
  extract(epoch FROM pg_catalog.clock_timestamp() - xact_start)::int8 AS seconds,
  pg_catalog.format('SELECT pg_terminate_backend(%%s)', pid) AS remedy
FROM pg_catalog.pg_stat_activity
WHERE datname = pg_catalog.current_database() AND pid <> pg_catalog.pg_backend_pid()
UNION ALL
SELECT pg_catalog.format('prepared transaction "%%s" of user %%s', gid, owner),
  extract(epoch FROM pg_catalog.clock_timestamp() - prepared)::int8,
  pg_catalog.format('ROLLBACK PREPARED %%L', gid)
FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database()
"""


def _long(connection: Connection) -> Observation:
    rows = connection.execute(
        sql.SQL("SELECT who, seconds, remedy FROM ({}) AS t WHERE seconds >= %s ORDER BY seconds DESC LIMIT 3").format(
            sql.SQL(_LONG_TRANSACTIONS)
        ),
        [LONG],
    ).fetchall()
    if not rows:
        return Observation(subject="long transactions", ok=True, message=f"none older than {LONG // 60} minutes")
    shown = "; ".join(f"{who}, open for {seconds // 60} min" for who, seconds, _ in rows)
    return Observation(
        subject="long transactions",
        ok=False,
        message=f"they hold locks and dead rows back: {shown}",
        remedy="; ".join(remedy for _, _, remedy in rows),
    )


def _leftovers(connection: Connection, branch: str, known_plans: tuple[str, ...]) -> Observation:
    version = journal.version(connection)
    open_plans = [record.plan for record in journal.read_all(connection) if not record.at_rest]
    unknown = [plan for plan in open_plans if plan not in known_plans]
    if unknown:
        return Observation(
            subject="journal",
            ok=False,
            message=f"begun here, but without a plan file: {', '.join(unknown)}; bring it back, or roll back",
            remedy="; ".join(f"ecm rollback {plan} --branch {branch}" for plan in unknown),
        )
    under_way = f"version {version}, {counted(len(open_plans), 'plan')} under way"
    return Observation(
        subject="journal", ok=True, message=under_way if version else "none yet; made by the first advance"
    )
