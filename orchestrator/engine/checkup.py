"""What the doctor looks at on a branch."""

from dataclasses import dataclass

from psycopg import sql

from orchestrator.engine import journal
from orchestrator.engine.connection import Connection
from orchestrator.sql.identifiers import verbatim
from orchestrator.words import counted, listed

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
        _owner(connection),
        _creators(connection),
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


_OWNERS = r"""
SELECT pg_catalog.pg_get_userbyid(c.relowner), count(*), pg_catalog.pg_has_role(c.relowner, 'USAGE'), current_user::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND n.nspname NOT IN ('ecm', 'information_schema') AND n.nspname NOT LIKE 'pg\_%'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.pg_class'::regclass
    AND e.objid = c.oid AND e.deptype = 'e')
GROUP BY c.relowner ORDER BY 2 DESC, 1
"""


def _owner(connection: Connection) -> Observation:
    """Tell whether the tables are the role's: ALTER TABLE is for their owner, and no other grant gives it."""
    rows = connection.execute(sql.SQL(_OWNERS)).fetchall()
    total, owned = sum(number for _, number, _, _ in rows), sum(number for _, number, mine, _ in rows if mine)
    if owned or not total:
        # Who is a superuser, or a member of the owner, has the owner's rights.
        owns = "owns" if all(owner == user for owner, _, mine, user in rows if mine) else "may act as owner of"
        says = f"this role {owns} {owned} of {counted(total, 'table')}" if total else "no tables yet"
        return Observation(subject="owner", ok=True, message=says)
    owner, _, _, user = rows[0]
    grant = sql.SQL("GRANT {} TO {}").format(sql.Identifier(owner), sql.Identifier(user))
    return Observation(
        subject="owner",
        ok=False,
        message=f"role {user} owns none of the {counted(total, 'table')} here, which belong to"
        f" {listed(name for name, *_ in rows[:3])}: it may alter none of them",
        remedy=f"use the URL of role {owner}, or {grant.as_string(None)}",
    )


_CREATORS = """
WITH path AS (
  SELECT oid, nspname, nspowner, nspacl FROM pg_catalog.pg_namespace
  WHERE nspname = ANY (pg_catalog.current_schemas(false))
), granted AS (
  SELECT p.oid AS schema, a.grantee FROM path p CROSS JOIN LATERAL pg_catalog.aclexplode(p.nspacl) a
  WHERE a.privilege_type = 'CREATE'
), other AS (
  SELECT p.oid AS schema, r.oid, r.rolname::text AS name, pg_catalog.pg_has_role(r.oid, p.nspowner, 'MEMBER') AS owns
  FROM pg_catalog.pg_roles r CROSS JOIN path p
  WHERE r.rolcanlogin AND NOT r.rolsuper AND r.rolname <> current_user
    AND pg_catalog.has_database_privilege(r.oid, pg_catalog.current_database(), 'CONNECT')
    -- Who may become this role needs no detour.
    AND NOT pg_catalog.pg_has_role(r.oid, current_user, 'MEMBER')
)
SELECT p.nspname::text,
  (SELECT array_agg(o.name ORDER BY o.name) FROM other o WHERE o.schema = p.oid AND o.owns),
  (SELECT array_agg(o.name ORDER BY o.name) FROM other o WHERE o.schema = p.oid AND NOT o.owns
    AND pg_catalog.has_schema_privilege(o.oid, p.oid, 'CREATE')),
  (SELECT array_agg(DISTINCT CASE g.grantee WHEN 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(g.grantee)::text END)
    FROM granted g JOIN other o ON o.schema = g.schema AND NOT o.owns
    WHERE g.schema = p.oid
      AND CASE g.grantee WHEN 0 THEN true ELSE pg_catalog.pg_has_role(o.oid, g.grantee, 'USAGE') END),
  EXISTS (SELECT FROM granted g WHERE g.schema = p.oid AND g.grantee = 0), current_user::text
FROM path p ORDER BY p.nspname
"""


def _creators(connection: Connection) -> Observation:
    """Tell who may put functions of their own where the names in a plan's expressions are looked up.

    Among functions of one name PostgreSQL takes the one whose arguments fit exactly, be it not that of pg_catalog
    ("Function Type Resolution", manual 10.3): a `lower(varchar)` in public would be called by the sweep, by the proofs
    and by ecm's SECURITY DEFINER triggers, with the rights of this role.
    """
    with connection.transaction():
        connection.execute("SET LOCAL search_path TO DEFAULT")
        rows = connection.execute(_CREATORS).fetchall()
    found, remedies = list[str](), list[str]()
    for schema, owners, others, grantees, _, user in rows:
        if owners:
            found.append(f"{listed(owners)} as owner of schema {schema}")
            given = sql.SQL("ALTER SCHEMA {} OWNER TO {}").format(sql.Identifier(schema), sql.Identifier(user))
            remedies.append(f"{given.as_string(None)}, or take it out of the search_path")
        if others:
            found.append(f"{listed(others)} in schema {schema}")
            roles = (sql.SQL("PUBLIC") if name is None else sql.Identifier(name) for name in grantees)
            revoked = sql.SQL("REVOKE CREATE ON SCHEMA {} FROM {}").format(
                sql.Identifier(schema), sql.SQL(", ").join(roles)
            )
            remedies.append(revoked.as_string(None))
    if found:
        return Observation(
            subject="search_path",
            ok=False,
            message="may create functions that a plan's expressions would call with the rights of this role: "
            + "; ".join(found),
            remedy="; ".join(remedies),
        )
    message = "nobody may create functions where expressions look names up but this role and superusers"
    if open_to_all := [schema for schema, *_, public, _ in rows if public]:
        message += f"; any role that is added could, in schema {listed(open_to_all)}, where CREATE is PUBLIC's"
    return Observation(subject="search_path", ok=True, message=message)


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
