"""Branches that are made, reset and deleted as copies of one another, on the embedded server and by URL."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from branches.settings import Settings
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from servers import FAST

from orchestrator.branches import EMBEDDED_FOLDER, Making, Moment, Provider, copying, provider_for
from orchestrator.branches.copying import RESERVED
from orchestrator.branches.server import EmbeddedServer
from orchestrator.errors import (
    ConfigurationError,
    ConnectionFailedError,
    EcmError,
    PreconditionError,
    PrivilegeError,
    UsageError,
)


@dataclass(frozen=True, kw_only=True)
class Home:
    """A provider with the branch production, which has one table, and development, whose parent it is."""

    provider: Provider
    root: str
    environment: dict[str, str]

    def run(self, branch: str, statement: str) -> list[tuple]:
        with psycopg.connect(self.provider.address(branch).url.get_secret_value(), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def names(self) -> list[str]:
        return [found.name for found in self.provider.found()]

    def leftovers(self) -> list[tuple]:
        with psycopg.connect(self.root) as connection:
            return connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'ecm-%'").fetchall()


BRANCHES = {
    "development": Settings(url_env="URL_DEV", parent="production"),
    "production": Settings(url_env="URL_PROD"),
}


@pytest.fixture(scope="module")
def embedded_server(scratch):
    """The embedded server of a project, for this module's tests."""
    server = EmbeddedServer(scratch / "copies" / EMBEDDED_FOLDER, 18)
    server.start(FAST)
    yield server
    server.destroy()


@pytest.fixture(params=["embedded", "url"])
def home(request, scratch, embedded_server):
    """The two branches on the embedded server, opened by each provider, without other databases."""
    root = embedded_server.url("postgres")
    with psycopg.connect(root, autocommit=True) as connection:
        for (name,) in connection.execute(
            "SELECT datname FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1')"
        ).fetchall():
            embedded_server.drop_database(name)
    embedded_server.create_database("production")
    environment = {"URL_DEV": embedded_server.url("development"), "URL_PROD": embedded_server.url("production")}
    provider = provider_for(request.param, BRANCHES, scratch / "copies", environment)
    made = Home(provider=provider, root=root, environment=environment)
    made.run("production", "CREATE TABLE books AS SELECT n AS id FROM generate_series(1, 3) n")
    return made


def test_a_branch_is_made_opened_reset_and_deleted(home):
    """It has its parent's rows, says whose copy it is, follows its parent on reset, and is gone in the end."""
    made = home.provider.create("pr-7", Making(parent="production"))
    assert (made.name, made.parent) == ("pr-7", "production")
    assert made.created_at is not None
    assert made.size
    assert made.size > 1_000_000
    assert home.run("pr-7", "SELECT count(*) FROM books") == [(3,)]

    home.run("pr-7", "DROP TABLE books")
    home.run("production", "INSERT INTO books VALUES (4)")
    home.provider.reset("pr-7")
    assert home.run("pr-7", "SELECT count(*) FROM books") == [(4,)]
    assert home.provider.found()[-1].parent == "production"
    assert home.names() == ["production", "pr-7"]

    home.provider.delete("pr-7")
    assert home.names() == ["production"]
    with pytest.raises(UsageError, match="there is no branch pr-7"):
        home.provider.address("pr-7")


def test_a_branch_of_the_project_comes_first_and_from_the_parent_that_it_is_given(home):
    """The parent of ecm.yaml counts where no other is named; what is found keeps the order of ecm.yaml."""
    home.provider.create("a-copy", Making(parent="production"))
    assert home.provider.create("development", Making()).parent == "production"
    assert home.names() == ["development", "production", "a-copy"]
    with pytest.raises(PreconditionError, match=r"already"):
        home.provider.create("development", Making())
    assert home.leftovers() == []


def test_a_parent_in_use_is_refused_with_who_is_connected(home, monkeypatch):
    """The branch that was to be reset is as it was, and no half copy is left."""
    monkeypatch.setattr(copying, "COMING_AND_GOING", 0.1)
    home.provider.create("development", Making())
    home.run("development", "CREATE TABLE only_here ()")
    url = make_conninfo(home.provider.address("production").url.get_secret_value(), application_name="report")
    with psycopg.connect(url) as reader:
        for refused in (
            lambda: home.provider.create("pr-7", Making(parent="production")),
            lambda: home.provider.reset("development"),
        ):
            with pytest.raises(PreconditionError, match="production cannot be copied") as caught:
                refused()
            said = f'a session of postgres, pid {reader.info.backend_pid}, application "report"'
            assert caught.value.details == (said,)
    assert home.run("development", "SELECT to_regclass('only_here') IS NOT NULL") == [(True,)]
    assert home.leftovers() == []


def test_a_reset_ends_the_sessions_on_the_branch_however_fast_they_come_back(home):
    """A pool that reconnects at once cannot hold the reset up, and finds the new database under the old name."""
    home.provider.create("development", Making())
    home.run("development", "DROP TABLE books")
    url, over = home.provider.address("development").url.get_secret_value(), threading.Event()

    def come_back() -> None:
        while not over.is_set():
            try:
                with psycopg.connect(url, autocommit=True) as connection:
                    while not over.is_set():
                        connection.execute("SELECT pg_sleep(0.01)")
            except psycopg.OperationalError:
                continue

    pool = [threading.Thread(target=come_back) for _ in range(4)]
    for each in pool:
        each.start()
    try:
        home.provider.reset("development")
    finally:
        over.set()
        for each in pool:
            each.join()
    assert home.run("development", "SELECT count(*) FROM books") == [(3,)]
    assert home.leftovers() == []


@pytest.mark.parametrize("survived", [0, 1])
def test_a_reset_that_fails_leaves_the_branch_as_it_was(home, monkeypatch, survived):
    """Whichever of the two changes of names breaks, the old database is in its place, and no copy is left."""
    home.provider.create("development", Making())
    home.run("development", "CREATE TABLE only_here ()")
    rename, calls = copying._rename, []

    def breaking(*arguments):
        calls.append(arguments)
        if len(calls) > survived:
            raise psycopg.errors.DiskFull("no space left on device")
        rename(*arguments)

    monkeypatch.setattr(copying, "_rename", breaking)
    url = home.provider.address("development").url.get_secret_value()
    with pytest.raises(EcmError, match="could not be reset"):
        home.provider.reset("development")
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT to_regclass('only_here') IS NOT NULL").fetchone() == (True,)
    assert home.leftovers() == []


def test_what_belongs_to_the_database_itself_is_the_branchs_own_and_survives_a_reset(home):
    """Owner, grants, settings, the limit of connections and what people wrote about it are no part of any copy."""
    with psycopg.connect(home.root, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS keeper, writer")
        connection.execute("CREATE ROLE keeper")
        connection.execute("CREATE ROLE writer")
        home.provider.create("development", Making())
        for statement in (
            "ALTER DATABASE development SET search_path TO \"$user\", 'My Schema', public",
            "ALTER DATABASE development SET app.tenant TO 'it''s'",
            "ALTER ROLE keeper IN DATABASE development SET work_mem TO '7MB'",
            "REVOKE TEMPORARY ON DATABASE development FROM PUBLIC",
            "GRANT CREATE ON DATABASE development TO writer WITH GRANT OPTION",
            "ALTER DATABASE development CONNECTION LIMIT 42",
            "COMMENT ON DATABASE development IS 'the team''s own'",
            "ALTER DATABASE development OWNER TO keeper",
        ):
            connection.execute(statement)
        shown = (
            "SELECT datdba::regrole::text, (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(datacl) a),"
            " datconnlimit, (SELECT array_agg(setrole::regrole || "
            " setconfig::text ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = d.oid)"
            " FROM pg_database d WHERE datname = 'development'"
        )
        before = connection.execute(shown).fetchone()
        home.provider.reset("development")
        assert connection.execute(shown).fetchone() == before
        comment = connection.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'development'"
        ).fetchone()
        assert comment
        assert comment[0].startswith("the team's own\necm branch ")
        home.provider.delete("development")
        connection.execute("DROP ROLE keeper, writer")


def test_what_a_copy_cannot_be_is_refused(home):
    """Nothing that was asked for is left out in silence."""
    for asked in (
        {"at": Moment(lsn="0/1")},
        {"schema_only": True},
        {"expires_in": timedelta(hours=1)},
        {"compute": (0.25, 1)},
    ):
        with pytest.raises(PreconditionError, match="cannot be made"):
            home.provider.create("pr-7", Making(parent="production", **asked))
    assert home.names() == ["production"]


def test_a_large_database_is_copied_by_its_files(home, monkeypatch):
    """Cloned where system and file system can; where they cannot, the copy is made all the same."""
    monkeypatch.setattr(copying, "CLONED_FROM", 0)
    monkeypatch.setattr(copying, "COPIED_BY_FILE_FROM", 0)
    home.provider.create("pr-7", Making(parent="production"))
    assert home.run("pr-7", "SELECT count(*) FROM books") == [(3,)]


def test_there_is_no_moment_to_come_back_to(home):
    """Neither keeps a history, and each says what to do instead."""
    assert home.provider.moment("production") is None
    with pytest.raises(PreconditionError, match="cannot be restored") as caught:
        home.provider.restore("production", Moment(lsn="0/1"))
    assert caught.value.hint


def test_databases_that_are_no_branches_are_neither_listed_nor_opened_nor_dropped(home, embedded_server):
    """What somebody else made on the server is none of ecm's, whatever name is asked for."""
    embedded_server.create_database("scratch")
    assert home.names() == ["production"]
    for refused in (home.provider.address, home.provider.delete):
        with pytest.raises(UsageError, match="there is no branch scratch"):
            refused("scratch")
    for name in ("postgres", "template1"):
        with pytest.raises((UsageError, PreconditionError, ConfigurationError)):
            home.provider.delete(name)
    assert {"scratch", "postgres", "template1"} <= embedded_server.databases()


def test_a_name_that_no_branch_could_have_is_refused(home):
    """Branches beyond those of ecm.yaml keep to the same names."""
    for name in ("-x", "a b", "x" * 64, "ecm-new-1f-2a"):
        with pytest.raises(UsageError, match="cannot be a branch's name"):
            home.provider.create(name, Making(parent="production"))


def test_what_a_killed_ecm_left_goes_with_the_next_command(home, embedded_server):
    """A half copy of an hour ago, and a database that was replaced; one that another ecm makes now stays."""
    with psycopg.connect(home.root) as connection:
        row = connection.execute("SELECT extract(epoch FROM now())::bigint").fetchone()
    now = row[0] if row else 0
    young = f"ecm-new-{now:x}-2"
    for name in (f"ecm-new-{now - 4000:x}-1", f"ecm-replaced-{now:x}-1", young):
        embedded_server.create_database(name)
    assert home.names() == ["production"]
    home.provider.create("development", Making())
    assert home.leftovers() == [(young,)]
    embedded_server.drop_database(young)


def test_replication_that_hangs_on_a_branch_is_said_before_anything_is_copied(home, embedded_server):
    """PostgreSQL drops no database with a subscription; the branch stays, and the subscription is named."""
    home.provider.create("development", Making())
    home.run("development", "CREATE SUBSCRIPTION feed CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false)")
    try:
        for refused in (home.provider.reset, home.provider.delete):
            with pytest.raises(PreconditionError, match="hangs on it") as caught:
                refused("development")
            assert caught.value.details == ("subscription feed",)
    finally:
        home.run("development", "ALTER SUBSCRIPTION feed SET (slot_name = NONE)")
        home.run("development", "DROP SUBSCRIPTION feed")


# --- by URL -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Rented:
    """A server of somebody else's, where a role of ours has a database named production."""

    root: str
    url: Callable[..., str]

    def execute(self, *statements: str, database: str = "postgres") -> None:
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def provider(self, **environment: str) -> Provider:
        return provider_for("url", BRANCHES, Path(), environment)


@pytest.fixture
def rented(embedded_server):
    """The server, with the database production of the role shop, which may create none; nothing of it stays."""
    made = Rented(
        root=embedded_server.url("postgres"),
        url=lambda database, user="postgres": embedded_server.url(database).replace("postgres@", f"{user}@", 1),
    )

    def clean():
        for name in embedded_server.databases() - RESERVED:
            embedded_server.drop_database(name)
        made.execute("DROP ROLE IF EXISTS shop", "DROP ROLE IF EXISTS landlord")

    clean()
    made.execute("CREATE ROLE landlord", "CREATE ROLE shop LOGIN", "CREATE DATABASE production OWNER landlord")
    yield made
    clean()


def test_the_rights_that_are_missing_are_named_one_after_the_other(rented):
    """A role without CREATEDB, then one that does not own the source; with both it makes the copy, and it owns it."""
    provider = rented.provider(URL_PROD=rented.url("production", "shop"))

    with pytest.raises(PrivilegeError, match="role shop may create no database") as caught:
        provider.create("development", Making())
    assert caught.value.hint == "as a superuser: ALTER ROLE shop CREATEDB"
    rented.execute("ALTER ROLE shop CREATEDB")
    with pytest.raises(PrivilegeError, match="role shop may not copy the database of production") as caught:
        provider.create("development", Making())
    assert caught.value.hint == "GRANT landlord TO shop, or ALTER DATABASE production IS_TEMPLATE true"
    rented.execute("GRANT landlord TO shop")
    assert provider.create("development", Making()).size


def test_a_new_branch_whose_variable_is_not_set_says_which_and_shows_no_password(rented):
    """The database is there, and what is left to do is in the note; once it is set, the branch can be reset."""
    provider = rented.provider(URL_PROD=rented.url("production"))
    found = provider.create("development", Making())
    assert found.note == "put URL_DEV into .env: the URL of production, with the database development"

    provider = rented.provider(URL_PROD=rented.url("production"), URL_DEV=rented.url("development"))
    assert [each.parent for each in provider.found()] == ["production", None]
    provider.reset("development")


def test_a_database_that_two_branches_name_is_neither_reset_nor_deleted(rented):
    """What is done to development would be done to production; the URLs may spell the server in two ways."""
    rented.execute("CREATE DATABASE staging")
    provider = rented.provider(
        URL_PROD=rented.url("production"), URL_DEV=rented.url("production") + "&application_name=x"
    )
    for refused in (provider.reset, provider.delete):
        with pytest.raises(PreconditionError, match="is that of production as well as of development"):
            refused("development")


def test_postgresqls_own_database_is_never_dropped(rented):
    """A branch may be there, and be a parent; it cannot be deleted, and not reset."""
    provider = rented.provider(URL_PROD=rented.url("production"), URL_DEV=rented.url("postgres"))
    for refused in (provider.reset, provider.delete):
        with pytest.raises(PreconditionError, match="PostgreSQL's own"):
            refused("development")


def test_a_parent_on_another_server_is_said(rented, database):
    """Copies are made within a server; the other one is told apart by when it was started, not by its name."""
    provider = rented.provider(URL_PROD=database, URL_DEV=rented.url("production"))
    with pytest.raises(PreconditionError, match="development and its parent production are on two servers"):
        provider.reset("development")


def test_a_server_that_does_not_answer_hides_no_other_branch_and_no_password_is_shown(rented):
    """The list goes on; what is looked for by name is not said to be missing while a server is silent."""
    nowhere = "postgresql://app:correct-horse@127.0.0.1:1/development"
    provider = rented.provider(URL_PROD=rented.url("production"), URL_DEV=nowhere)
    development, production = provider.found()
    assert (development.note, production.note) == ("branch development cannot be reached", None)
    with pytest.raises(ConnectionFailedError) as caught:
        provider.address("pr-7")
    assert "correct-horse" not in "".join((caught.value.message, *caught.value.details))


def test_a_database_that_two_branches_name_is_known_whatever_their_urls_say(rented, tmp_path, monkeypatch):
    """A URL may leave the database to a service file; what is done to development would be done to production."""
    (tmp_path / "services").write_text("[live]\ndbname=production\n")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    hidden = rented.url("").replace("?", "?service=live&", 1)
    provider = rented.provider(URL_PROD=hidden, URL_DEV=rented.url("production"))
    for refused in (provider.reset, provider.delete):
        with pytest.raises(PreconditionError, match="is that of production as well as of development"):
            refused("development")


def test_a_url_without_a_host_leads_to_other_databases_too(rented, monkeypatch):
    """A copy is made, opened, and deleted where the URL leaves the server to its parameters."""
    monkeypatch.setenv("PGUSER", "postgres")
    socket = conninfo_to_dict(rented.url("production"))
    url = f"postgresql:///production?host={socket['host']}&port={socket['port']}"
    provider = rented.provider(URL_PROD=url)
    provider.create("try-out", Making(parent="production"))
    with psycopg.connect(provider.address("try-out").url.get_secret_value()) as connection:
        assert connection.info.dbname == "try-out"
    provider.delete("try-out")
    assert [each.name for each in provider.found()] == ["production"]


def test_a_copy_is_opened_by_its_own_name_however_the_url_spells_its_parents(rented):
    """A parameter of a URL may be written in escapes; what leads to a copy leads to its parent in no case."""
    provider = rented.provider(URL_PROD=rented.url("postgres") + "&db%6eame=production")
    provider.create("try-out", Making(parent="production"))
    with psycopg.connect(provider.address("try-out").url.get_secret_value()) as connection:
        assert connection.info.dbname == "try-out"


def test_a_branch_whose_url_names_no_database_is_not_made_under_another_name(rented, tmp_path, monkeypatch):
    """Which one a service file means is known to libpq alone; the role's own name would be a guess."""
    (tmp_path / "services").write_text("[dev]\ndbname=development\n")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    hidden = rented.url("").replace("?", "?service=dev&", 1)
    provider = rented.provider(URL_PROD=rented.url("production"), URL_DEV=hidden)
    with pytest.raises(ConfigurationError, match="its URL names none") as caught:
        provider.create("development", Making())
    assert caught.value.hint == "end URL_DEV with /DATABASE"


@pytest.mark.parametrize("home", ["url"], indirect=True)  # an embedded server has one project
def test_another_project_on_the_server_has_its_own_branches(home):
    """What one project made, the other neither lists, opens nor deletes; the name stays taken."""
    shop, library = (
        provider_for("url", BRANCHES, Path(), home.environment, project=project) for project in ("shop", "library")
    )
    shop.create("pr-7", Making(parent="production"))
    assert [each.name for each in library.found()] == ["production"]
    for use in (library.address, library.delete):
        with pytest.raises(UsageError, match="there is no branch pr-7"):
            use("pr-7")
    with pytest.raises(PreconditionError):
        library.create("pr-7", Making(parent="production"))
    shop.delete("pr-7")
    assert [each.name for each in shop.found()] == ["production"]
