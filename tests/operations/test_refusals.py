"""What ecm does not begin: it says what is wrong, where, why and what to do, and has touched nothing."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from fingerprint import ecm_objects
from operations.conftest import Journeys, Roles
from operations.harness import Db, Journey, as_role, ask, run
from pydantic import ValidationError
from servers import FAST, OwnServer

from orchestrator.errors import EcmError, LockTimeoutError, PreconditionError, PrivilegeError, RefusedError
from orchestrator.plan.lifecycle import State

BOOKS = "CREATE TABLE books (id integer PRIMARY KEY, year integer, title text); CREATE INDEX of_year ON books (year)"


def rename(table: str = "books", column: str = "year", to: str = "published") -> dict[str, Any]:
    """Return the change as it stands in a file."""
    return {"kind": "rename_column", "table": table, "column": column, "to": to}


def refused(journey: Journey, error: type[EcmError], *, code: int = 4) -> EcmError:
    """Advance, see it refused with nothing touched, and return the error; where ecm cannot even keep a journal, 1."""
    before, ours = journey.fingerprint, ecm_objects(journey.db)
    with pytest.raises(error) as caught:
        journey.advance()
    assert journey.fingerprint == before
    assert ecm_objects(journey.db) == ours
    assert type(caught.value) is error
    assert caught.value.exit_code == code
    assert caught.value.hint
    return caught.value


def told(error: EcmError) -> str:
    """Return all that an error says."""
    return "\n".join(filter(None, (error.message, *error.details, error.hint)))


# ---------------------------------------------------------------- what is not there, or already is


@pytest.mark.parametrize(
    ("change", "message", "detail"),
    [
        (rename(table="boks"), "table boks does not exist in", "did you mean books?"),
        (rename(table="shop.books"), "table shop.books does not exist in", "did you mean books?"),
        (rename(table="Books"), "table Books does not exist in", "did you mean books?"),
        (rename(column="yeer"), "column yeer of books does not exist", "did you mean year?"),
        (rename(column="Year"), "column Year of books does not exist", "did you mean year?"),
        (rename(column="isbn"), "column isbn of books does not exist", "there is id, title, year"),
        (rename(to="title"), "books already has a column title", "the new name must be free"),
        (rename(table="of_year"), "table of_year does not exist in", "did you mean"),
    ],
)
def test_missing_or_taken(journeys: Journeys, change: dict[str, Any], message: str, detail: str) -> None:
    """The nearest names are offered."""
    error = refused(journeys(BOOKS, change), PreconditionError)
    assert error.message.startswith(message)
    if detail != "did you mean":
        assert any(line.startswith(detail) for line in error.details)


def test_empty_database(journeys: Journeys) -> None:
    """Where there is no table at all, that is said."""
    assert "the database has no tables" in told(refused(journeys("", rename()), PreconditionError))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (rename(to="é" * 32), "64 bytes long; PostgreSQL keeps 63"),
        (rename(to="year"), "column and to are both 'year'"),
        (rename(to=""), "at least 1 character"),
        (rename(table=""), "at least 1 character"),
        (rename(table="a.b.c"), "is not a table name"),
        (rename(to="ctid"), "'ctid' is a system column"),
        (rename(column="xmin"), "'xmin' is a system column"),
        (rename(table="pg_catalog.pg_class"), "is not a table of yours"),
        (rename(table="ecm.plans"), "is not a table of yours"),
        (rename(column='"Year"'), "has quotes around it"),
    ],
)
def test_no_plan_can_say_it(journeys: Journeys, change: dict[str, Any], words: str) -> None:
    """What can be seen without a database is refused before one is asked."""
    with pytest.raises(ValidationError, match=words):
        journeys("", change)


def test_two_changes_of_one_column(journeys: Journeys) -> None:
    """Two changes of a plan cannot share a column, so no swap of names either."""
    with pytest.raises(ValidationError, match=r"both change or make column books\.year"):
        journeys("", rename(), rename(to="other"))
    with pytest.raises(ValidationError, match="both change or make column"):
        journeys("", rename(column="a", to="b"), rename(column="b", to="a"))


def test_two_plans_of_one_column(journeys: Journeys) -> None:
    """A plan waits while another one is under way on the same column."""
    journey = journeys(BOOKS, rename())
    conductor = journey.conductor
    (journey.folder / "plans" / "other.yaml").write_text(
        '{"plan": "other", "changes": [{"kind": "rename_column", "table": "books", "column": "year", "to": "y"}]}'
    )
    conductor.advance("other", "main")
    before = journey.fingerprint
    with pytest.raises(EcmError) as caught:
        journey.advance()
    assert caught.value.exit_code == 4
    assert "other is under way on main" in told(caught.value)
    assert journey.fingerprint == before


# ---------------------------------------------------------------- what is no ordinary table

KINDS = {
    "a view": f"{BOOKS}; ALTER TABLE books RENAME TO b; CREATE VIEW books AS SELECT * FROM b",
    "a materialized view": "CREATE MATERIALIZED VIEW books AS SELECT 1 AS id, 2 AS year",
    "a foreign table": (
        "CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER s FOREIGN DATA WRAPPER nowhere;"
        " CREATE FOREIGN TABLE books (id integer, year integer) SERVER s"
    ),
    "a partition": (
        "CREATE TABLE all_books (id integer, year integer) PARTITION BY RANGE (id);"
        " CREATE TABLE books PARTITION OF all_books DEFAULT"
    ),
    "part of an inheritance tree": "CREATE TABLE things (id integer, year integer); CREATE TABLE books () INHERITS (things)",
    "a typed table": "CREATE TYPE book AS (id integer, year integer); CREATE TABLE books OF book",
}


@pytest.mark.parametrize("kind", KINDS)
def test_kind_of_relation(journeys: Journeys, kind: str) -> None:
    """Ecm changes ordinary and partitioned tables, and says what this one is."""
    assert f"books is {kind}" in told(refused(journeys(KINDS[kind], rename()), PreconditionError))


def test_parent_by_inheritance(journeys: Journeys) -> None:
    """A write to the parent would not fire the trigger on a child's rows; the parent is refused like the child."""
    journey = journeys(f"{BOOKS}; CREATE TABLE novels () INHERITS (books)", rename())
    assert "part of an inheritance tree" in refused(journey, PreconditionError).message


def test_generated_column(journeys: Journeys) -> None:
    """Nobody writes it, so there are no two sides."""
    start = "CREATE TABLE books (id integer, year integer GENERATED ALWAYS AS (id * 2) STORED)"
    assert refused(journeys(start, rename()), PreconditionError).message == "books.year is a generated column"


@pytest.mark.parametrize("key", ["RANGE (year)", "LIST ((year / 100))", "HASH (id, year)"])
def test_partition_key(journeys: Journeys, key: str) -> None:
    """PostgreSQL moves no row to another partition from within a BEFORE trigger."""
    start = f"CREATE TABLE books (id integer, year integer, year2 integer) PARTITION BY {key}"
    assert "books.year is part of the partition key" in told(refused(journeys(start, rename()), PreconditionError))


def test_everything_at_once(journeys: Journeys) -> None:
    """Whatever else is wrong stands in the details."""
    start = """
        CREATE TABLE books (id integer, year integer, published integer) PARTITION BY RANGE (year);
        CREATE FUNCTION f() RETURNS integer LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT max(year) FROM books); END';
    """
    text = told(refused(journeys(start, rename()), PreconditionError))
    for part in ("already has a column published", "partition key", "public.f"):
        assert part in text


# ---------------------------------------------------------------- privileges


def _owned(
    journeys: Journeys, roles: Roles, start: str = BOOKS, *, without: tuple[str, ...] = ()
) -> tuple[Journey, str]:
    """Return a journey of a role that owns its table and may do everything but what is named."""
    role = roles()
    journey = journeys(start, rename(), role=role)
    name = journey.db.info.dbname
    run(journey.db, f"REVOKE ALL ON DATABASE {name} FROM PUBLIC; ALTER TABLE books OWNER TO {role}")
    run(journey.db, f"REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT USAGE ON SCHEMA public TO {role}")
    for privilege, grant in {
        "CONNECT": f"GRANT CONNECT ON DATABASE {name} TO {role}",
        "CREATE": f"GRANT CREATE ON DATABASE {name} TO {role}",
        "TEMPORARY": f"GRANT TEMPORARY ON DATABASE {name} TO {role}",
        "CREATE ON SCHEMA": f"GRANT CREATE ON SCHEMA public TO {role}",
    }.items():
        if privilege not in without:
            run(journey.db, grant)
    return journey, role


def _grants_and_runs(journey: Journey, error: EcmError, expected: str, role: str) -> None:
    """Run the GRANT that the error names, to the letter, and see the plan run."""
    assert expected in (error.hint or "")
    run(journey.db, error.hint or "")
    assert journey.advance() is State.EXPANDED


def test_a_plain_owner_is_enough(journeys: Journeys, roles: Roles) -> None:
    """No superuser is needed for the whole cycle."""
    journey, _ = _owned(journeys, roles)
    run(journey.db, "INSERT INTO books (id, year) VALUES (1, 1)")
    assert journey.advance(State.READS_MIGRATED) is State.READS_MIGRATED
    journey.rollback()
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED


def test_not_the_owner(journeys: Journeys, roles: Roles) -> None:
    """Only the owner, or a member of the owner, may alter a table."""
    journey, role = _owned(journeys, roles)
    owner = roles()
    run(
        journey.db,
        f"ALTER TABLE books OWNER TO {owner}; GRANT ALL ON books TO {role}; GRANT ALL ON SCHEMA public TO {owner}",
    )
    error = refused(journey, PrivilegeError)
    assert "does not own books" in error.message
    _grants_and_runs(journey, error, f'GRANT "{owner}" TO', role)


def test_not_the_owner_and_without_a_right_to_read(journeys: Journeys, roles: Roles) -> None:
    """A role without any right on the table is told the same, and not in PostgreSQL's words."""
    journey, role = _owned(journeys, roles)
    run(journey.db, "ALTER TABLE books OWNER TO postgres")
    assert f'ALTER TABLE "public"."books" OWNER TO "{role}"' in told(refused(journey, PrivilegeError))
    assert not ask(journey.db, f"SELECT has_table_privilege('{role}', 'books', 'SELECT')")


def test_no_schema_ecm(journeys: Journeys, roles: Roles) -> None:
    """The journal needs a schema; the GRANT for it is named before anything is touched."""
    journey, role = _owned(journeys, roles, without=("CREATE",))
    error = refused(journey, PrivilegeError, code=1)
    assert f"role {role} may not create schema ecm" in error.message
    _grants_and_runs(journey, error, f'GRANT CREATE ON DATABASE "{journey.db.info.dbname}" TO "{role}"', role)


def test_schema_ecm_made_by_an_administrator(journeys: Journeys, roles: Roles) -> None:
    """Where the schema was made for the role, CREATE on the database is not needed."""
    journey, role = _owned(journeys, roles, without=("CREATE",))
    run(journey.db, f"CREATE SCHEMA ecm AUTHORIZATION {role}")
    assert journey.advance() is State.EXPANDED


def test_schema_ecm_of_someone_else(journeys: Journeys, roles: Roles) -> None:
    """A second role finds the journal of the first: it is told what it lacks, in ecm's words."""
    journey, role = _owned(journeys, roles)
    journey.advance()
    other = roles()
    run(
        journey.db,
        f"GRANT ALL ON DATABASE {journey.db.info.dbname} TO {other}; GRANT {role} TO {other} WITH INHERIT FALSE"
        if journey.db.info.server_version >= 160000
        else f"GRANT ALL ON DATABASE {journey.db.info.dbname} TO {other}",
    )
    stranger = Journey(
        folder=journey.folder / "other", url=as_role(journey.url, other), plan=journey.plan, db=journey.db
    )
    error = refused(stranger, PrivilegeError, code=1)
    assert "ecm" in error.message
    assert "GRANT" in told(error)


def test_no_index_in_the_schema(journeys: Journeys, roles: Roles) -> None:
    """Indexes for the new readers need CREATE on the table's schema, and it is asked for at the beginning."""
    journey, role = _owned(journeys, roles, without=("CREATE ON SCHEMA",))
    error = refused(journey, PrivilegeError)
    assert "may not create indexes in schema public" in error.message
    _grants_and_runs(journey, error, 'GRANT CREATE ON SCHEMA "public" TO', role)


def test_no_temporary_tables(journeys: Journeys, roles: Roles) -> None:
    """PostgreSQL is asked on an empty copy how indexes would read; without that right it cannot be."""
    journey, role = _owned(journeys, roles, without=("TEMPORARY",))
    error = refused(journey, PrivilegeError)
    assert "may not make temporary tables" in error.message
    _grants_and_runs(journey, error, f'GRANT TEMPORARY ON DATABASE "{journey.db.info.dbname}" TO "{role}"', role)


def test_no_temporary_tables_and_no_index_on_the_column(journeys: Journeys, roles: Roles) -> None:
    """The right is asked for only where there is something to ask PostgreSQL."""
    start = "CREATE TABLE books (id integer PRIMARY KEY, year integer)"
    journey, _ = _owned(journeys, roles, start, without=("TEMPORARY",))
    assert journey.advance() is State.EXPANDED


def _hide(db: Db) -> None:
    run(
        db,
        "CREATE POLICY new_ones ON books USING (year > 1950); ALTER TABLE books ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    )


def test_row_level_security_that_is_forced_on_the_owner(journeys: Journeys, roles: Roles) -> None:
    """It would hide rows from the backfill; that is refused, and what may be done instead runs."""
    journey, _ = _owned(journeys, roles)
    _hide(journey.db)
    run(journey.db, "INSERT INTO books (id, year) VALUES (1, 1900), (2, 2000)")
    error = refused(journey, PrivilegeError)
    assert "row-level security of books applies to role" in error.message
    assert "BYPASSRLS" in (error.hint or "")
    run(journey.db, "ALTER TABLE books NO FORCE ROW LEVEL SECURITY")
    assert journey.advance(State.BACKFILLED) is State.BACKFILLED
    assert ask(journey.db, "SELECT count(*) FROM books WHERE year = published") == 2


def test_row_level_security_that_the_role_bypasses(journeys: Journeys, roles: Roles) -> None:
    """A role with BYPASSRLS sees every row, forced or not."""
    journey, role = _owned(journeys, roles)
    _hide(journey.db)
    run(journey.db, f"ALTER ROLE {role} BYPASSRLS; INSERT INTO books (id, year) VALUES (1, 1900), (2, 2000)")
    assert journey.advance(State.BACKFILLED) is State.BACKFILLED
    assert ask(journey.db, "SELECT count(*) FROM books WHERE year = published") == 2


def test_a_check_that_cannot_be_asked(journeys: Journeys) -> None:
    """Its error is a reason like any other answer, and hides none of the others."""
    checks = [
        {"name": "mistyped", "sql": "SELECT nothing FROM books", "expect": 0},
        {"name": "writes", "sql": "DELETE FROM books RETURNING 0", "expect": 0},
        {"name": "ends what is read-only", "sql": "SELECT 0; COMMIT; DELETE FROM public.books", "expect": 0},
        {"name": "wrong", "sql": "SELECT 1", "expect": 0},
    ]
    journey = journeys(f"{BOOKS}; INSERT INTO books VALUES (1)", rename(), expand={"checks": checks})
    with pytest.raises(RefusedError) as caught:
        journey.advance()
    words = "\n".join(caught.value.details)
    for word in (
        "'mistyped' found an error",
        "'writes' found an error",
        "read-only' found an error",
        "'wrong' found 1",
    ):
        assert word in words
    assert ask(journey.db, "SELECT count(*) FROM books") == 1


# ---------------------------------------------------------------- servers


def test_a_prepared_transaction_in_the_way(own_server: OwnServer, journeys: Journeys) -> None:
    """No session holds its lock, so it is named by itself, with what ends it."""
    own_server.stop("fast")
    own_server.start({**FAST, "max_prepared_transactions": "2"})
    own_server.create_database("main")
    journey = journeys(BOOKS, rename(), expand={"lock_timeout": "10ms"})
    journey.db.close()
    journey.url = own_server.url("main")
    with psycopg.connect(journey.url, autocommit=True) as db:
        run(db, BOOKS)
        run(db, "BEGIN; LOCK TABLE books IN SHARE MODE; PREPARE TRANSACTION 'it''s mine'")
        journey.db = db
        with pytest.raises(LockTimeoutError) as caught:
            journey.advance()
        (line,) = caught.value.details
        assert "prepared transaction" in line
        run(db, line.rpartition(", or ")[2])
        assert journey.advance() is State.EXPANDED


def test_standby(own_server: OwnServer, journeys: Journeys) -> None:
    """A standby cannot be written; that is said, by every command that would have to."""
    own_server.create_database("main")
    url = own_server.url("main")
    journey = journeys(BOOKS, rename())
    with psycopg.connect(url, autocommit=True) as db:
        run(db, BOOKS)
        folder = ask(db, "SELECT current_setting('data_directory')")
    own_server.stop("fast")
    (Path(folder) / "standby.signal").touch()  # "Standby Server Operation", manual 27.2.2
    # By the socket: a start that listens on TCP would write a password.
    own_server.embedded.start(FAST)
    journey.url = own_server.embedded.url("main")
    with psycopg.connect(journey.url, autocommit=True) as db:
        assert ask(db, "SELECT pg_is_in_recovery()")
        journey.db.close()
        journey.db = db
        error = refused(journey, PreconditionError)
        assert "is a standby, and cannot be written" in error.message
        with pytest.raises(PreconditionError, match="standby"):
            journey.conductor.preview("change")
        with pytest.raises(EcmError):
            journey.rollback()
        assert journey.state is State.PLANNED
