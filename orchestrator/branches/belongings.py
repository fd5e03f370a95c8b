"""What belongs to a database and is in no copy of it: owner, grants, limit of connections, settings.

They are kept for the server as a whole, beside the databases: CREATE DATABASE … TEMPLATE takes none of them over.
"""

import csv
from collections.abc import Generator, Mapping
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import errors, sql
from psycopg.rows import dict_row

Session = psycopg.Connection[Any]

_QUOTED_LISTS = frozenset({"search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries"})
"""Settings of a database whose value is a list of names (GUC_LIST_QUOTE): given as one string, it would be one name."""


def furnish(session: Session, database: str, *, like: str) -> None:
    """Give a database what belongs to one and is in no copy of it: owner, grants, limit of connections, settings."""
    with session.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(
            "SELECT oid, pg_get_userbyid(datdba) AS owner, datdba, datacl IS NOT NULL AS granted, datconnlimit,"
            " datdba <> (SELECT datdba FROM pg_database WHERE datname = %s) AS moved"
            " FROM pg_database WHERE datname = %s",
            [database, like],
        ).fetchone()
        if row is None:
            return
        target = sql.Identifier(database)
        for statement in (*_grants(session, target, row), *_settings(session, target, row)):
            session.execute(statement)
        if row["datconnlimit"] >= 0:
            limit = sql.Literal(row["datconnlimit"])
            session.execute(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(target, limit))
        if row["moved"]:  # at last: whoever gives it away may not be able to do more with it
            _give(session, target, row["owner"])


def _give(session: Session, target: sql.Identifier, owner: str) -> None:
    with suppress(errors.InsufficientPrivilege):  # it then belongs to the role that made it, as PostgreSQL has it
        session.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(target, sql.Identifier(owner)))


def _grants(session: Session, target: sql.Identifier, row: Mapping[str, Any]) -> Generator[sql.Composed]:
    if not row["granted"]:
        return
    yield sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(target)
    for privilege, grantee, grantable in session.execute(
        "SELECT a.privilege_type, pg_get_userbyid(nullif(a.grantee, 0)), a.is_grantable"
        " FROM pg_database d, aclexplode(d.datacl) a WHERE d.oid = %s AND a.grantee <> d.datdba",
        [row["oid"]],
    ).fetchall():
        to = sql.SQL("PUBLIC") if grantee is None else sql.Identifier(grantee)
        option = sql.SQL(" WITH GRANT OPTION" if grantable else "")
        yield sql.SQL("GRANT {} ON DATABASE {} TO {}{}").format(sql.SQL(privilege), target, to, option)


def _settings(session: Session, target: sql.Identifier, row: Mapping[str, Any]) -> Generator[sql.Composed]:
    for role, setting in session.execute(
        "SELECT pg_get_userbyid(nullif(setrole, 0)), unnest(setconfig) FROM pg_db_role_setting WHERE setdatabase = %s",
        [row["oid"]],
    ).fetchall():
        name, _, value = setting.partition("=")
        words = next(csv.reader([value], skipinitialspace=True), list[str]()) if name in _QUOTED_LISTS else [value]
        whose = (
            sql.SQL("ALTER DATABASE {}").format(target)
            if role is None
            else sql.SQL("ALTER ROLE {} IN DATABASE {}").format(sql.Identifier(role), target)
        )
        values = sql.SQL(", ").join(map(sql.Literal, words or [""]))
        yield sql.SQL("{} SET {} TO {}").format(whose, sql.Identifier(*name.split(".")), values)
