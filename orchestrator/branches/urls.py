"""Branches whose URLs stand in the environment: databases that someone else runs."""

import re
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NoReturn, final
from urllib.parse import quote, unquote

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from orchestrator.abreast import abreast
from orchestrator.branches import copying
from orchestrator.branches.copying import RESERVED, Kept, Session, Source
from orchestrator.branches.provider import (
    Address,
    BranchSettings,
    Found,
    Making,
    OnServers,
    in_order,
    no_parent,
    unknown_branch,
)
from orchestrator.errors import ConfigurationError, ConnectionFailedError, EcmError, PreconditionError, PrivilegeError
from orchestrator.redaction import redact, secrets_in

SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")

_PARTS = re.compile(r"((?:[^@/]*@)?[^/?]*)(?:/[^?]*)?(?:\?(.*))?", re.DOTALL)
"""What follows the scheme: user, password and hosts, and the parameters."""

_PATIENCE = 10
"""Seconds to wait for a server to answer."""


@dataclass(frozen=True, kw_only=True)
class _Place:
    """A database as its server knows it, whatever the URL calls that: no other one has all three of these."""

    started: str
    oid: int
    database: str


@dataclass(frozen=True, kw_only=True)
class _Look:
    """A branch's own database, and those on its server that ecm made as branches."""

    own: Kept
    others: tuple[Kept, ...]


@final
class UrlProvider(OnServers):
    """Reads each branch's URL from the variable its settings name; makes others on the server of their parent.

    Args:
        branches: name → settings, from ecm.yaml.
        environment: variable → value; .env has been merged into it already.
        project: the project's name: another's branches may be on the same server, and are none of its own.
    """

    def __init__(
        self, branches: Mapping[str, BranchSettings], environment: Mapping[str, str], *, project: str = ""
    ) -> None:
        self._branches = branches
        self._environment = environment
        self._project = project

    def names(self) -> tuple[str, ...]:
        """Return the branches' names, in the order of ecm.yaml."""
        return tuple(self._branches)

    def address(self, branch: str) -> Address:
        """Return the branch's address, its URL normalised to `postgresql://`.

        One that is not in ecm.yaml is looked for among the databases that `create` made on the project's servers.

        Raises:
            UsageError: there is no branch of that name.
            ConfigurationError: the variable is missing, empty, or no PostgreSQL URL.
            ConnectionFailedError: it is not in ecm.yaml, and a server where it may be does not answer.
        """
        if branch not in self._branches:
            return Address(branch=branch, url=SecretStr(self._url_of_made(branch)))
        variable = self._branches[branch].url_env
        value = self._environment.get(variable, "").strip()
        if not value:
            raise ConfigurationError(
                f"branch {branch} has no URL: {variable} is not set",
                details=("it is looked for in the environment, then in .env beside ecm.yaml",),
                hint=f"add {variable}=postgresql://user:password@host/database to .env",
            )
        return Address(branch=branch, url=SecretStr(_normalised(value, branch=branch, variable=variable)))

    def found(self) -> tuple[Found, ...]:
        """Return the branches whose URLs are set, and those that were made beside them; the note says what is wrong."""
        seen = dict(self._set())
        looks = dict(zip(seen, abreast(lambda branch: self._look(branch, seen[branch]), seen), strict=True))
        own, made = dict[str, Found](), dict[str, Found]()
        for branch, look in looks.items():
            if isinstance(look, EcmError):
                own[branch] = Found(name=branch, note=look.message)
            elif look is not None:
                own[branch] = _found(look.own, branch)
                made.update({each.database: _found(each, each.database) for each in look.others})
        taken = {look.own.database for look in looks.values() if isinstance(look, _Look)} | own.keys()
        return in_order(self.names(), (*own.values(), *(each for name, each in made.items() if name not in taken)))

    def create(self, branch: str, making: Making) -> Found:
        """Make a database on the parent's server: of the name in the branch's URL, else of the branch's own name.

        The note of what is returned says which variable has to be set, where one has.

        Raises:
            PreconditionError: there is one already, its parent is in use, or more than a copy was asked for.
            PrivilegeError: the role may create no database, or may not copy that one.
        """
        copying.refuse_what_no_copy_can(branch, making)
        settings = self._branches.get(branch)
        if settings is None:
            copying.refuse_misnamed(branch)
        parent = making.parent or (settings.parent if settings else None)
        if parent is None or parent == branch:
            raise no_parent(branch, known=settings is not None)
        source_url = self._url(parent)
        url = self._environment.get(settings.url_env, "").strip() if settings else ""
        with _session(parent, source_url) as session:
            source = session.info.dbname
            _must_copy(session, parent)
            database = branch
            if url:
                database = self._named(branch)
                self._refuse_elsewhere(session, branch, parent)
        kept = copying.make(
            _opening(parent, source_url), database, Source(branch=parent, database=source, project=self._project)
        )
        note = None
        if settings and not url:
            note = f"put {settings.url_env} into .env: the URL of {parent}, with the database {database}"
        return Found(name=branch, parent=parent, created_at=kept.made_at, size=kept.size, note=note)

    def reset(self, branch: str) -> None:
        """Put a new copy of the parent in the place of the branch's database, both of which are on one server.

        Raises:
            PreconditionError: it has no parent or one on another server, the parent is in use, or the database is
                another branch's as well; the branch is as it was.
            PrivilegeError: the role owns one of the two not, or may create no database.
        """
        url = self._url(branch)
        with _session(branch, url) as session:
            place = _place(session)
            (kept,) = copying.kept(session, place.database) or (None,)
        parent = (self._branches[branch].parent if branch in self._branches else None) or (kept and kept.parent)
        if parent is None:
            raise no_parent(branch, known=branch in self._branches)
        self._refuse_shared(branch, place)
        parent_url = self._url(parent)
        with _session(parent, parent_url) as session:
            source = _place(session)
            if not _sees(session, place):
                raise _two_servers(branch, parent)
            _must_copy(session, parent)
            _must_own(session, place.database, branch)
        copying.replace(
            _opening(parent, parent_url),
            place.database,
            Source(branch=parent, database=source.database, project=self._project),
        )

    def delete(self, branch: str) -> None:
        """Drop the branch's database; its URL then leads nowhere.

        Raises:
            PreconditionError: the database is another branch's as well, or PostgreSQL's own.
            PrivilegeError: it does not belong to the role.
        """
        if branch not in self._branches and branch not in RESERVED and self._is_nowhere(branch):
            return
        url = self._url(branch)
        try:
            with _session(branch, url) as session:
                place = _place(session)
        except _NoDatabaseError:
            return
        self._refuse_shared(branch, place)
        beside = self._beside(branch, url, place)
        with _session(branch, beside) as session:
            _must_own(session, place.database, branch)
        copying.drop(_opening(branch, beside), place.database)

    def check_restorable(self, branch: str) -> NoReturn:
        """Refuse: going back to a moment is for whoever runs the server.

        Raises:
            PreconditionError: always.
        """
        raise PreconditionError(
            f"branch {branch} cannot be restored to a moment by ecm",
            details=["a database that is known by its URL alone keeps no history that ecm could reach"],
            hint="restore a backup with the means of whoever runs the server (point-in-time recovery)",
        )

    # ------------------------------------------------------------ which database

    def _set(self) -> Iterator[tuple[str, str]]:
        """Yield the project's branches that have a URL, with it."""
        for branch, settings in self._branches.items():
            if self._environment.get(settings.url_env, "").strip():
                yield branch, self._url(branch)

    def _url(self, branch: str) -> str:
        return self.address(branch).url.get_secret_value()

    def _named(self, branch: str) -> str:
        """Return the database that a branch's URL names: one that is yet to be made cannot be asked.

        Raises:
            ConfigurationError: it names none, and leaves that to a service file, the environment or the role.
        """
        name = conninfo_to_dict(self._url(branch)).get("dbname")
        if not name:
            raise ConfigurationError(
                f"it is not known which database is to be made for {branch}: its URL names none",
                hint=f"end {self._branches[branch].url_env} with /DATABASE",
            )
        return str(name)

    def _look(self, branch: str, url: str) -> "_Look | EcmError | None":
        """Look at a branch's server; None where the branch is yet to be made there."""
        try:
            with _session(branch, url) as session:
                there = copying.kept(session)
                own = next(each for each in there if each.database == session.info.dbname)
                return _Look(own=own, others=tuple(each for each in there if self._made(each)))
        except _NoDatabaseError:
            return None
        except EcmError as problem:
            return problem

    def _made(self, kept: Kept) -> bool:
        """Whether a database was made as a branch of this project."""
        return kept.ours and kept.project == self._project

    def _url_of_made(self, branch: str) -> str:
        silent: EcmError | None = None
        for known, url in self._set():
            try:
                with _session(known, url) as session:
                    if any(self._made(each) for each in copying.kept(session, branch)):
                        return _elsewhere(url, branch)
            except _NoDatabaseError:
                continue
            except ConnectionFailedError as problem:
                silent = problem
        if silent is not None:
            raise silent
        raise unknown_branch(branch, self.names())

    def _is_nowhere(self, branch: str) -> bool:
        """Whether no server of the project has a database of that name."""
        for known, url in self._set():
            with suppress(_NoDatabaseError), _session(known, url) as session:
                if copying.kept(session, branch):
                    return False
        return True

    def _refuse_shared(self, branch: str, place: _Place) -> None:
        """Refuse to drop a database that is PostgreSQL's own, or that another branch's URL names too."""
        if place.database in RESERVED:
            raise PreconditionError(
                f"branch {branch} is the database {place.database}, which is PostgreSQL's own and not dropped",
                hint="give it a database of its own",
            )
        for other, url in self._set():
            # One that names no database leaves it to a service file or the environment: only its server tells which.
            if other == branch or conninfo_to_dict(url).get("dbname") not in (None, place.database):
                continue
            with suppress(_NoDatabaseError), _session(other, url) as session:
                if _place(session) == place:
                    raise PreconditionError(
                        f"the database {place.database} is that of {other} as well as of {branch}",
                        details=[f"what is done to {branch} would be done to {other}"],
                        hint=f"give {branch} a database of its own",
                    )

    def _refuse_elsewhere(self, session: Session, branch: str, parent: str) -> None:
        """Refuse where the URL of a branch that is to be made leads to another server than its parent's."""
        with _session(branch, _elsewhere(self._url(branch), session.info.dbname)) as other:
            if _place(other) != _place(session):
                raise _two_servers(branch, parent)

    def _beside(self, branch: str, url: str, place: _Place) -> str:
        """Return the URL of another database on a branch's server: nobody drops the one that they are connected to."""
        others = [candidate for _, candidate in self._set()]
        for candidate in (_elsewhere(url, "postgres"), _elsewhere(url, "template1"), *others):
            with suppress(ConnectionFailedError), _session(branch, candidate) as session:
                if session.info.dbname != place.database and _sees(session, place):
                    return candidate
        raise PreconditionError(
            f"the database of {branch} cannot be dropped: its server lets the role into no other one",
            details=["PostgreSQL drops no database from within"],
            hint="grant the role CONNECT on the database postgres",
        )


class _NoDatabaseError(ConnectionFailedError):
    """The server answers, and has no such database."""


@contextmanager
def _session(branch: str, url: str) -> Generator[Session]:
    """Open a session in autocommit on a branch's server, and close it.

    Raises:
        ConnectionFailedError: it does not answer, or lets nobody in so.
    """
    with _opening(branch, url)() as session:
        yield session


def _opening(branch: str, url: str) -> Callable[[], Session]:
    def opened() -> Session:
        try:
            session = psycopg.connect(url, autocommit=True, connect_timeout=_PATIENCE, application_name="ecm")
            return copying.settled(session)
        except psycopg.Error as problem:
            said = redact(str(problem), secrets_in({"url": url})).strip().splitlines()
            missing = isinstance(problem, psycopg.OperationalError) and "does not exist" in str(problem)
            kind = _NoDatabaseError if missing and "database" in str(problem) else ConnectionFailedError
            raise kind(f"branch {branch} cannot be reached", details=said[:3], hint="ecm doctor") from None

    return opened


def _found(kept: Kept, branch: str) -> Found:
    return Found(name=branch, parent=kept.parent, created_at=kept.made_at, size=kept.size)


def _place(session: Session) -> _Place:
    row = session.execute("SELECT oid, datname FROM pg_database WHERE datname = current_database()").fetchone()
    return _Place(started=_started(session), oid=row[0] if row else 0, database=row[1] if row else "")


def _started(session: Session) -> str:
    """Return when a session's server was started, to the microsecond: no two started together hold the same oids."""
    row = session.execute("SELECT extract(epoch FROM pg_postmaster_start_time())::text").fetchone()
    return row[0] if row else ""


def _sees(session: Session, place: _Place) -> bool:
    """Whether a session is on the server that a database is on."""
    row = session.execute(
        "SELECT EXISTS (SELECT FROM pg_database WHERE oid = %s AND datname = %s)", [place.oid, place.database]
    ).fetchone()
    return _started(session) == place.started and row == (True,)


def _must_copy(session: Session, parent: str) -> None:
    """Refuse what CREATE DATABASE would: the attribute CREATEDB, and the right to copy that database."""
    row = session.execute(
        "SELECT r.rolsuper OR r.rolcreatedb, r.rolsuper OR d.datistemplate OR pg_has_role(d.datdba, 'USAGE'),"
        " quote_ident(current_user), quote_ident(pg_get_userbyid(d.datdba)), quote_ident(d.datname)"
        " FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = current_database()"
    ).fetchone()
    creates, copies, role, owner, database = row or (False, False, "", "", "")
    if not creates:
        raise PrivilegeError(
            f"role {role} may create no database on the server of {parent}",
            details=["a branch is a database of its own there"],
            hint=f"as a superuser: ALTER ROLE {role} CREATEDB",
        )
    if not copies:
        raise PrivilegeError(
            f"role {role} may not copy the database of {parent}, which belongs to {owner}",
            details=["PostgreSQL lets the owner, a superuser, or everybody copy it where it is marked a template"],
            hint=f"GRANT {owner} TO {role}, or ALTER DATABASE {database} IS_TEMPLATE true",
        )


def _must_own(session: Session, database: str, branch: str) -> None:
    row = session.execute(
        "SELECT pg_has_role(datdba, 'USAGE'), quote_ident(current_user), quote_ident(pg_get_userbyid(datdba))"
        " FROM pg_database WHERE datname = %s",
        [database],
    ).fetchone()
    if row is not None and not row[0]:
        raise PrivilegeError(
            f"role {row[1]} may not replace or drop the database of {branch}, which belongs to {row[2]}",
            hint=f"GRANT {row[2]} TO {row[1]}",
        )


def _two_servers(branch: str, parent: str) -> PreconditionError:
    return PreconditionError(
        f"{branch} and its parent {parent} are on two servers",
        details=["PostgreSQL copies a database within its server only"],
        hint=f"put {branch} on the server of {parent}, or copy it with pg_dump and pg_restore",
    )


def _elsewhere(url: str, database: str) -> str:
    """Return the URL of another database on the same server, by the same role."""
    # As libpq reads a URL: a password may hold ? and #, there may be several hosts or none, and names may be escaped.
    scheme, _, rest = url.partition("://")
    parts = _PARTS.fullmatch(rest)
    server, query = (parts[1], parts[2] or "") if parts else ("", "")
    kept = "&".join(part for part in query.split("&") if unquote(part.partition("=")[0]) != "dbname")
    return f"{scheme}://{server}/{quote(database, safe='')}" + (f"?{kept}" if kept else "")


def _normalised(value: str, *, branch: str, variable: str) -> str:
    scheme, separator, rest = value.partition("://")
    if not separator or scheme.lower() not in SCHEMES:
        # The value is not quoted: whatever it is, it may hold a password.
        raise ConfigurationError(
            f"branch {branch} has no PostgreSQL URL: the value of {variable} does not start with postgresql://",
            details=(f"also accepted: {', '.join(f'{other}://' for other in SCHEMES[1:])}",),
            hint=f"set {variable}=postgresql://user:password@host/database in .env",
        )
    return f"postgresql://{rest}"
