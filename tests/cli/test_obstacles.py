"""What would stop a plan is said before it begins, under the one heading, in the plan's words, with what comes next."""

import pytest
from cli.runs import Project, said

USERS = """
CREATE TABLE users (id int PRIMARY KEY, full_name text NOT NULL, age int, zero int DEFAULT 0,
    far int DEFAULT 70000, price numeric(10,4) DEFAULT 123456.5,
    spare int);
CREATE TABLE groups (id int PRIMARY KEY, title text);
INSERT INTO groups VALUES (36);
INSERT INTO users VALUES (1, 'Ada Lovelace', 36), (2, 'Mary Ann Smith', 40);
"""
HERE = ("--branch", "development")
IN_THE_WAY = "in the way, before anything is touched:"
SPLIT = ("split-column", "users", "full_name", "--into", "first text = split_part(full_name, ' ', 1)", "--into")


@pytest.fixture
def users(project: Project) -> Project:
    """A project of one table of two users more."""
    project.sql("development", USERS)
    return project


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            ("add-column", "users", "ratio", "int", "--using", "age / zero"),
            "using fails on a row of users: division by zero",
        ),
        (
            ("add-column", "users", "ratio", "int", "--using", "agee / 2"),
            "using names a column agee that users does not have; did you mean age?",
        ),
        (
            ("change-type", "users", "full_name", "int", "--using", "full_name::int"),
            'using fails on a row of users: invalid input syntax for type integer: "Ada Lovelace"',
        ),
        (
            ("change-type", "users", "full_name", "int"),
            'full_name of users does not go into int: invalid input syntax for type integer: "Ada Lovelace"',
        ),
        (
            ("change-type", "users", "full_name", "jsonb"),
            "full_name of users does not go into jsonb: invalid input syntax for type json",
        ),
        (
            ("change-type", "users", "far", "smallint"),
            "far of users does not go into smallint: smallint out of range",
        ),
        (
            ("change-type", "users", "price", "numeric(5,1)"),
            "price of users does not go into numeric(5,1): numeric field overflow",
        ),
        (
            ("add-column", "users", "ratio", "intt", "--using", "age"),
            'users gets a column ratio: PostgreSQL says type "intt" does not exist',
        ),
        (
            (*SPLIT, "last text = full_name", "--reverse", "firs || last"),
            "reverse names a column firs that users does not have; did you mean first",
        ),
        (
            (*SPLIT, "last text = full_name", "--reverse", "coalesce(first, full_name)"),
            "reverse cannot be made of users.full_name",
        ),
        (
            (*SPLIT, "last text = full_name", "--reverse", "repeat(first, 1000 / (length(first) - 3))"),
            "reverse fails on a row of users: division by zero",
        ),
        (
            ("change-type", "users", "age", "bigint", "--reverse", "(age::int) / 0"),
            "reverse fails on a row of users: division by zero",
        ),
        (
            ("add-column", "users", "ratio", "int", "--using", "nullif(age, 40)", "--not-null"),
            "ratio is NOT NULL in the end, and nullif(age, 40) gives NULL in 1 of 2 rows of users; id=2",
        ),
        (
            (*SPLIT[:3], "--into", "first text not null = nullif(full_name, 'Ada Lovelace')", "--reverse", "first"),
            "first is NOT NULL in the end, and nullif(full_name, 'Ada Lovelace') gives NULL in 1 of 2 rows of users;"
            " id=1",
        ),
        (
            ("add-column", "users", "ratio", "int", "--using", "age / 2", "--check", "ratio < 20"),
            "the check of ratio is broken by age / 2 in 1 of 2 rows of users; id=2",
        ),
        (
            ("add-column", "users", "kind", "text", "--default", "'new'", "--unique"),
            "kind is unique in the end, and 'new' is the same as in another row in 2 of 2 rows of users; id=1",
        ),
        (
            ("set-not-null", "users", "spare", "--using", "full_name"),
            'PostgreSQL says column "spare" is of type integer but expression is of type text',
        ),
        (
            ("set-not-null", "users", "spare", "--using", "far::bigint * 100000"),
            "using fails on a row of users: integer out of range",
        ),
        (
            ("add-unique", "users", "users_far_key", "--columns", "far", "--using", "far = full_name"),
            'PostgreSQL says column "far" is of type integer but expression is of type text',
        ),
        (
            ("add-check", "users", "users_age_check", "age < (SELECT 100)"),
            "PostgreSQL says cannot use subquery in check constraint",
        ),
        (
            ("add-column", "users", "ratio", "int", "--check", "ratio < (SELECT 100)"),
            "PostgreSQL says cannot use subquery in check constraint",
        ),
        (
            ("add-column", "users", "ratio", "int", "--using", "spare::text"),
            'PostgreSQL says column "ratio" is of type integer but expression is of type text',
        ),
        (
            ("add-column", "users", "group", "text", "--references", "groups"),
            "PostgreSQL says foreign key constraint",
        ),
        (
            ("add-column", "users", "group", "text", "--references", "groups(title)"),
            'PostgreSQL says there is no unique constraint matching given keys for referenced table "groups"',
        ),
        (
            ("add-column", "users", "group", "int", "--using", "age", "--references", "groups(id)"),
            "group points to groups in the end, and age is not there in 1 of 2 rows of users; id=2",
        ),
        (
            ("add-column", "users", "group", "int", "--references", "grups"),
            'PostgreSQL says relation "public.grups" does not exist',
        ),
        (
            (*SPLIT, "last int = '7' || left(full_name, 0)", "--reverse", "first"),
            'PostgreSQL says column "last" is of type integer but expression is of type text',
        ),
        (
            ("add-check", "users", "users_age_check", "agee > 0"),
            "the check names a column agee that users does not have; did you mean age?",
        ),
        (
            ("add-check", "users", "users_age_check", "age > 100", "--using", "age = agee"),
            "using of age names a column agee that users does not have; did you mean age?",
        ),
    ],
)
def test_an_expression_that_expand_would_refuse_is_in_the_way(
    users: Project, change: tuple[str, ...], why: str
) -> None:
    """It is tried as expand tries it, told in the plan's own words, and by nothing is the plan begun."""
    drafted = users.ecm("plan", *change, "--name", "new")
    shown = users.ecm("plan", "show", "new")
    gate = users.ecm("gate", "new", *HERE)
    advance = users.ecm("advance", "new", *HERE)

    for screen in (drafted.out, shown.out):
        beware, _, in_the_way = said(screen).partition(IN_THE_WAY)
        assert why in in_the_way
        assert why not in beware
    assert (gate.code, advance.code) == (4, 4)
    assert why in said(gate.out)
    assert why.partition(";")[0] in said(advance.err)
    assert "proof" not in said(advance.err)
    assert "find no row" not in said(advance.err)
    (plan,) = users.ecm("status", "new", *HERE, "--json").json["plans"]
    assert plan["branches"][0]["in_progress"] is None


def test_an_expression_that_fails_far_down_in_a_table_is_in_the_way(users: Project) -> None:
    """Before a plan begins all rows are tried, as far as they can be in a moment."""
    users.sql(
        "development",
        "UPDATE users SET zero = 1;"
        "INSERT INTO users (id, full_name, age, zero) SELECT n, n::text, n, 1 FROM generate_series(3, 12000) n;"
        "INSERT INTO users (id, full_name, age, zero) VALUES (12001, 'Last', 1, 0)",
    )
    drafted = users.ecm("plan", "add-column", "users", "ratio", "int", "--using", "age / zero", "--name", "new")

    assert "using fails on a row of users: division by zero" in said(drafted.out).partition(IN_THE_WAY)[2]
    assert users.ecm("advance", "new", *HERE).code == 4


def test_what_cannot_be_tried_without_writing_is_left_to_expand(users: Project) -> None:
    """A preview draws nothing from a sequence, and does not take that for an obstacle."""
    users.sql("development", "CREATE SEQUENCE numbers")
    drafted = users.ecm("plan", "add-column", "users", "number", "bigint", "--using", "nextval('numbers')")

    assert IN_THE_WAY not in drafted.out
    assert users.sql("development", "SELECT is_called FROM numbers") == [(False,)]


LOGS = """
CREATE TABLE asked (id int);
CREATE FUNCTION logged(given int) RETURNS int LANGUAGE plpgsql AS $$BEGIN
  IF given = 0 THEN RAISE EXCEPTION 'nothing to log'; END IF;
  INSERT INTO asked VALUES (given); RETURN given;
EXCEPTION WHEN OTHERS THEN RAISE EXCEPTION 'not logged: %', SQLERRM;
END$$
"""


def test_a_function_that_hides_that_it_writes_is_left_to_expand(users: Project) -> None:
    """It is tried where it may write, and that is undone; what it says of a value then stands in the way."""
    users.sql("development", LOGS)
    change = ("plan", "add-column", "users", "number", "int")
    drafted = users.ecm(*change, "--using", "logged(age)")
    refused = users.ecm(*change, "--using", "logged(zero)", "--name", "other")

    assert IN_THE_WAY not in drafted.out
    assert "not logged: nothing to log" in said(refused.out)
    assert IN_THE_WAY in refused.out
    assert users.sql("development", "SELECT count(*) FROM asked") == [(0,)]


def test_a_plan_with_something_in_the_way_says_what_comes_next(users: Project) -> None:
    """What a person has to do first has no command of ecm's; the one that tells whether it is done names another."""
    users.ecm("plan", "add-column", "users", "ratio", "int", "--using", "age / zero", "--name", "ratio")

    assert users.ecm("plan", "show", "ratio").out.endswith("next      ecm gate ratio --branch development\n")
    refused = users.ecm("gate", "ratio", *HERE)
    assert refused.code == 4
    assert refused.out.endswith("next      ecm status\n")
    users.sql("development", "UPDATE users SET zero = 1; ALTER TABLE users ALTER zero SET DEFAULT 1")
    assert users.ecm("gate", "ratio", *HERE).code == 0
