"""Branches as databases of one server, each a copy of another.

What is remembered of a branch (whose copy it is, and since when) stands in its database's comment: it goes where the
database goes, and cannot be lost without it. A copy is made whole under a name of its own before it takes its place, so
that an error, or a killed ecm, leaves every branch as it was.
"""

import json
import re
import secrets
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any

import psycopg
from psycopg import errors, sql

from orchestrator.branches.belongings import furnish
from orchestrator.branches.provider import InUseError, Making
from orchestrator.errors import PreconditionError, PrivilegeError, StatementFailedError, UsageError

Session = psycopg.Connection[Any]
Connect = Callable[[], Session]
"""Opens a session in autocommit, on the server that holds the copy, and on no database that is replaced or dropped."""

RESERVED = frozenset({"postgres", "template0", "template1"})
"""PostgreSQL's own databases, which are nobody's branch to drop."""

CLONED_FROM = 32 * 2**20
"""Bytes from which on it pays to clone files: a copy by files waits for a checkpoint, one through the WAL does not."""
COPIED_BY_FILE_FROM = 256 * 2**20
"""Bytes from which on a copy by files is the faster one; it also keeps the whole database out of the WAL."""

_MEMORY = re.compile(r"^ecm branch (\{.*\})$", re.MULTILINE)
_UNFINISHED = re.compile(r"ecm-(new|replaced)-([0-9a-f]+)-[0-9a-f]+")
_STALE = 3600
"""Seconds after which a copy that nobody put in its place was left by a killed ecm."""
COMING_AND_GOING = 3.0
"""Seconds that sessions on what is to be copied have to go."""
_KNOCK = 0.05
"""Seconds between two attempts to end the sessions on a database."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A database, with what its comment remembers of the branch in it.

    Attributes:
        database: its name.
        ours: whether ecm made it as a branch.
        parent: the branch that it was copied from.
        made_at: when.
        size: bytes; None where the role may not ask.
    """

    database: str
    ours: bool
    project: str | None
    parent: str | None
    made_at: datetime | None
    size: int | None


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is copied: a branch, the database it is in, and the project that it is a branch of."""

    branch: str
    database: str
    project: str = ""


def settled(session: Session) -> Session:
    """Return a session with the settings that a copy needs, whatever the role or the database sets for applications."""
    session.execute(
        "SELECT set_config(name, value, false) FROM (VALUES ('search_path', ''), ('statement_timeout', '0'),"
        " ('lock_timeout', '0'), ('default_transaction_read_only', 'off')) AS settings (name, value)"
    )
    return session


def refuse_misnamed(branch: str) -> None:
    """Refuse a name for a branch beyond those of ecm.yaml that no branch there could have.

    Raises:
        UsageError: it is such a name.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}", branch) or _UNFINISHED.fullmatch(branch):
        raise UsageError(
            f"{branch!r} cannot be a branch's name",
            details=["it has up to 63 letters, digits and - _ . / and begins with a letter or a digit"],
        )


def refuse_what_no_copy_can(branch: str, making: Making) -> None:
    """Refuse to make a branch in a way that takes more than a copy of a database.

    Raises:
        PreconditionError: a moment, a schema without rows, an end or a compute was asked for.
    """
    asked = (
        (making.at, "as its parent was at a moment", "PostgreSQL copies a database as it is now"),
        (making.schema_only, "without rows", "PostgreSQL copies a database with all that is in it"),
        (making.expires_in, "for a time only", "nothing here would delete it when that time is over"),
        (making.compute, "with a compute of its own", "it shares its server with the other branches"),
    )
    for wanted, words, why in asked:
        if wanted:
            raise PreconditionError(
                f"branch {branch} cannot be made {words}",
                details=[why],
                hint="leave that out, or use a provider that can: provider.kind: neon in ecm.yaml",
            )


# --- looking --------------------------------------------------------------------------------------


def kept(session: Session, database: str | None = None) -> tuple[Kept, ...]:
    """Return the server's databases, or the one of a name; none that is half made, and none of PostgreSQL's own."""
    rows = session.execute(
        "SELECT datname, shobj_description(oid, 'pg_database'),"
        " CASE WHEN has_database_privilege(oid, 'CONNECT') THEN pg_database_size(oid) END"
        " FROM pg_database WHERE datname <> ALL (%(templates)s) AND (%(name)s::text IS NULL OR datname = %(name)s)"
        " ORDER BY datname",
        {"name": database, "templates": ["template0", "template1"]},
    ).fetchall()
    return tuple(_remembered(*row) for row in rows if not _UNFINISHED.fullmatch(row[0]))


def _remembered(database: str, comment: str | None, size: int | None) -> Kept:
    found = _MEMORY.search(comment or "")
    memory: dict[str, str | None] = {}
    with suppress(ValueError):
        memory = json.loads(found[1]) if found else {}
    made_at = None
    with suppress(ValueError):
        made_at = datetime.fromisoformat(memory.get("made_at") or "")
    return Kept(
        database=database,
        ours=found is not None,
        project=memory.get("project"),
        parent=memory.get("parent"),
        made_at=made_at,
        size=size,
    )


def connected(session: Session, database: str) -> tuple[str, ...]:
    """Return who is connected to a database: `a session of web, pid 4711, application "report"`."""
    rows = session.execute(
        "SELECT pid, usename, application_name FROM pg_stat_activity"
        " WHERE datname = %s AND pid <> pg_backend_pid() AND backend_type = 'client backend' ORDER BY pid",
        [database],
    )
    return tuple(
        f"a session of {user}, pid {pid}" + (f', application "{application}"' if application else "")
        for pid, user, application in rows
    )


# --- making ---------------------------------------------------------------------------------------


def make(connect: Connect, database: str, source: Source | None) -> Kept:
    """Make a database: a copy with the source's owner, grants and settings, or an empty one.

    Raises:
        InUseError: sessions on the source keep it from being copied.
        PreconditionError: there is one of that name.
        PrivilegeError: the role may not.
        StatementFailedError: PostgreSQL could not (a full disk, say).
    """
    with connect() as session, _explained(session, f"database {database} could not be made"):
        if kept(session, database):
            raise PreconditionError(f"there is a database {database} already", hint="ecm branch list")
        _tidy(session)
        unfinished = _copied(session, source, database)
        try:
            if source is not None:
                furnish(session, unfinished, like=source.database)
            _remember(session, unfinished, source)
            _rename(session, unfinished, database)
        except BaseException:
            _give_up(session, unfinished)
            raise
        return kept(session, database)[0]


def replace(connect: Connect, database: str, source: Source) -> None:
    """Put a new copy of the source in a database's place and end the sessions there; owner, grants and settings stay.

    The two change names in one transaction: whoever looks sees the one or the other.

    Raises:
        InUseError: sessions on the source keep it from being copied.
        PreconditionError: replication hangs on the database.
        PrivilegeError: the role may not.
        StatementFailedError: PostgreSQL could not.
    """
    with connect() as session, _explained(session, f"database {database} could not be reset"):
        _refuse_replicated(session, database)
        _tidy(session)
        unfinished, old = _copied(session, source, database), _name(session, "replaced")
        try:
            furnish(session, unfinished, like=database)
            _remember(session, unfinished, source, besides=database)
            with _ending_sessions(connect, database), session.transaction():
                _rename(session, database, old)
                _rename(session, unfinished, database)
        except BaseException:
            _give_up(session, unfinished)
            raise
        _drop(session, old)


def drop(connect: Connect, database: str) -> None:
    """Drop a database and end the sessions on it; one that is not there is dropped already.

    Raises:
        PreconditionError: it is PostgreSQL's own, or replication hangs on it.
        PrivilegeError: the role may not.
    """
    if database in RESERVED:
        raise PreconditionError(f"database {database} is PostgreSQL's own, and is not dropped")
    with connect() as session, _explained(session, f"database {database} could not be dropped"):
        _refuse_replicated(session, database)
        _drop(session, database)
        _tidy(session)


def _copied(session: Session, source: Source | None, database: str) -> str:
    """Make a database under a name of its own and return that."""
    name = _name(session, "new")
    if source is None:
        session.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return name
    _refuse_in_use(session, source, database)
    try:
        for method in _methods(session, source.database):
            if method(name):
                return name
    except errors.ObjectInUse as problem:
        said = (problem.diag.message_detail or str(problem),)
        raise _in_use(source, database, connected(session, source.database) or said) from problem
    raise AssertionError("the last method makes the copy or raises")  # pragma: no cover


def _refuse_in_use(session: Session, source: Source, database: str) -> None:
    """Refuse to copy what others are connected to; those that come and go, ecm's own among them, have a moment to go.

    PostgreSQL would wait for 5 s ("CREATE DATABASE", notes), and does so for those that come after this look.
    """
    until = time.monotonic() + COMING_AND_GOING
    while who := connected(session, source.database):
        if time.monotonic() > until:
            raise _in_use(source, database, who)
        time.sleep(_KNOCK)


def _in_use(source: Source, database: str, details: tuple[str, ...]) -> InUseError:
    return InUseError(
        f"{source.branch} cannot be copied to {database} while it is in use",
        details=details,
        hint=f"close the connections to {source.branch}, then run the same command again",
    )


def _methods(session: Session, source: str) -> Generator[Callable[[str], bool]]:
    """Yield the ways to copy a database, the best first; each says whether it did.

    Through the WAL is PostgreSQL's own choice from 15 on, and right for a small one ("CREATE DATABASE", STRATEGY); a
    clone shares the blocks until one of the two writes them (18, `file_copy_method`).
    """
    version = session.info.server_version // 10_000
    row = session.execute("SELECT pg_database_size(%s::text)", [source]).fetchone()
    size = row[0] if row else 0

    def copy(name: str, strategy: sql.Composable) -> bool:
        owner = _owner_to_be(session, source)
        session.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}{}{}").format(
                sql.Identifier(name), sql.Identifier(source), owner, strategy
            )
        )
        return True

    def clone(name: str) -> bool:
        try:
            session.execute("SET file_copy_method = clone")
            return copy(name, sql.SQL(" STRATEGY FILE_COPY"))
        except (errors.InvalidParameterValue, errors.InternalError_, errors.IoError, errors.FeatureNotSupported):
            return False  # neither the system nor the file system clones; errcode_for_file_access knows no code for it
        finally:
            session.execute("RESET file_copy_method")

    if version >= 18 and size >= CLONED_FROM:  # noqa: PLR2004 - the version that clones
        yield clone
    by_file = version >= 15 and size >= COPIED_BY_FILE_FROM  # noqa: PLR2004 - older ones know no other way
    yield lambda name: copy(name, sql.SQL(" STRATEGY FILE_COPY" if by_file else ""))


def _owner_to_be(session: Session, source: str) -> sql.Composable:
    """Return the clause that gives a copy its source's owner, where the role may."""
    # From 16 on it takes the SET option of a membership, where before the membership itself was enough.
    option = "SET" if session.info.server_version >= 160_000 else "MEMBER"  # noqa: PLR2004
    row = session.execute(
        "SELECT pg_get_userbyid(datdba), pg_has_role(datdba, %s) FROM pg_database WHERE datname = %s", [option, source]
    ).fetchone()
    return sql.SQL(" OWNER {}").format(sql.Identifier(row[0])) if row and row[1] else sql.SQL("")


def _remember(session: Session, database: str, source: Source | None, *, besides: str | None = None) -> None:
    """Write down whose copy a database is; what people wrote about the one it takes the place of stays."""
    row = session.execute(
        "SELECT now(), (SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s)", [besides]
    ).fetchone()
    now, comment = row or (None, None)
    memory = {
        "project": source.project if source else None,
        "parent": source.branch if source else None,
        "made_at": now.astimezone(UTC).isoformat(timespec="seconds") if now else None,
    }
    said = _MEMORY.sub("", comment or "").strip()
    text = "\n".join(filter(None, [said, f"ecm branch {json.dumps(memory)}"]))
    session.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(database), sql.Literal(text)))


# --- taking a place -------------------------------------------------------------------------------


@contextmanager
def _ending_sessions(connect: Connect, database: str) -> Generator[None]:
    """End the sessions on a database over and over while the block renames it.

    A rename first locks the database against new sessions, then waits 5 s for those that are there to go: ended before
    the lock, a pool would have come back by then.
    """
    over, refused = Event(), list[errors.InsufficientPrivilege]()

    def knock(session: Session) -> None:
        with session, suppress(psycopg.OperationalError):
            while not over.wait(_KNOCK) and not refused:
                try:
                    session.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = %s AND pid <> pg_backend_pid()",
                        [database],
                    )
                except errors.InsufficientPrivilege as problem:
                    refused.append(problem)

    knocking = Thread(target=knock, args=(connect(),), daemon=True)
    knocking.start()
    try:
        yield
    except errors.ObjectInUse as problem:
        raise refused[0] if refused else problem from problem
    finally:
        over.set()
        knocking.join()


def _refuse_replicated(session: Session, database: str) -> None:
    """Refuse where the database could not be dropped: PostgreSQL keeps one with logical slots or subscriptions."""
    rows = session.execute(
        "SELECT 'replication slot ' || slot_name FROM pg_replication_slots WHERE database = %(name)s"
        " UNION ALL SELECT 'subscription ' || subname FROM pg_subscription"
        " WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = %(name)s)"
        " UNION ALL SELECT 'prepared transaction ' || gid FROM pg_prepared_xacts WHERE database = %(name)s",
        {"name": database},
    ).fetchall()
    if rows:
        raise PreconditionError(
            f"database {database} cannot be dropped while something else hangs on it",
            details=[row[0] for row in rows],
            hint="drop those (or end the prepared transactions), then run the same command again",
        )


def _tidy(session: Session) -> None:
    """Drop copies that a killed ecm left: those that were replaced, and those that never took their place."""
    row = session.execute("SELECT extract(epoch FROM now())::bigint").fetchone()
    now = row[0] if row else 0
    for (name,) in session.execute("SELECT datname FROM pg_database WHERE datname LIKE 'ecm-%'").fetchall():
        found = _UNFINISHED.fullmatch(name)
        if found and (found[1] == "replaced" or now - int(found[2], 16) > _STALE):
            with suppress(psycopg.errors.Error):  # another role's, or being dropped by the ecm that made it
                _drop(session, name)


def _name(session: Session, what: str) -> str:
    row = session.execute("SELECT extract(epoch FROM now())::bigint").fetchone()
    return f"ecm-{what}-{row[0] if row else 0:x}-{secrets.token_hex(4)}"


def _rename(session: Session, database: str, to: str) -> None:
    session.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(database), sql.Identifier(to)))


def _drop(session: Session, database: str) -> None:
    session.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))


def _give_up(session: Session, unfinished: str) -> None:
    with suppress(psycopg.Error):  # the session may be what broke; the next command drops the copy (`_tidy`)
        _drop(session, unfinished)


@contextmanager
def _explained(session: Session, failed: str) -> Generator[None]:
    """Turn what PostgreSQL refuses into an error that says what was to be done and by which role."""
    try:
        yield
    except errors.InsufficientPrivilege as problem:
        raise PrivilegeError(
            f"{failed}: role {session.info.user} may not",
            details=[problem.diag.message_primary or str(problem)],
            hint="use the URL of the role that owns the databases and may create some (CREATEDB), or of a superuser",
        ) from problem
    except errors.DuplicateDatabase as problem:
        raise PreconditionError(f"{failed}: there is one of that name already", hint="ecm branch list") from problem
    except psycopg.Error as problem:
        details = filter(None, [problem.diag.message_primary or str(problem), problem.diag.message_detail])
        raise StatementFailedError(failed, details=details, hint=problem.diag.message_hint) from problem
