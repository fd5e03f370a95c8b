"""A column becomes several: the steps to the letter, both sides in every state, and what cannot be split."""

import random
from typing import Any

import pytest
from operations.conftest import Journeys, Roles
from operations.harness import Db, Journey, ask, make_plan, round_trip, rows, run, undone
from psycopg import errors
from pydantic import ValidationError

from orchestrator.errors import EcmError, PreconditionError, StatementFailedError, VerificationError
from orchestrator.plan.lifecycle import Phase, State

FIRST = "split_part(full_name, ' ', 1)"
LAST = "substr(full_name, length(split_part(full_name, ' ', 1)) + 2)"
SPLIT = {
    "kind": "split_column",
    "table": "users",
    "column": "full_name",
    "into": [
        {"column": "first_name", "type": "text", "using": FIRST, "not_null": True},
        {"column": "last_name", "type": "text", "using": LAST},
    ],
    "reverse": "concat_ws(' ', first_name, nullif(last_name, ''))",
}
USERS = """
    CREATE TABLE users (id integer PRIMARY KEY, full_name text NOT NULL, age integer);
    INSERT INTO users SELECT g, 'First' || g || ' Last' || g, g FROM generate_series(1, 60) g;
"""
DIRECT = f"""
    ALTER TABLE users ADD COLUMN first_name text, ADD COLUMN last_name text;
    UPDATE users SET first_name = {FIRST}, last_name = {LAST};
    ALTER TABLE users ALTER COLUMN first_name SET NOT NULL, DROP COLUMN full_name
"""


def names(db: Db, number: int) -> tuple[Any, ...]:
    """Return a row's two sides."""
    return rows(db, f"SELECT full_name, first_name, last_name FROM users WHERE id = {number}")[0]


def in_step(db: Db) -> None:
    """What is written through either side shows on both."""
    run(db, "INSERT INTO users (id, full_name) VALUES (901, 'Alan Turing')")
    run(db, "INSERT INTO users (id, first_name, last_name) VALUES (902, 'Edsger', 'Dijkstra')")
    assert names(db, 901) == ("Alan Turing", "Alan", "Turing")
    assert names(db, 902) == ("Edsger Dijkstra", "Edsger", "Dijkstra")
    run(db, "UPDATE users SET full_name = 'Ada Lovelace' WHERE id = 902")
    run(db, "UPDATE users SET last_name = 'Kay' WHERE id = 901")
    assert names(db, 902) == ("Ada Lovelace", "Ada", "Lovelace")
    assert names(db, 901) == ("Alan Kay", "Alan", "Kay")
    # A row from before expand, of which a new writer gives one part: the other is kept.
    run(db, "UPDATE users SET last_name = 'Byron' WHERE id = 7")
    assert names(db, 7) == ("First7 Byron", "First7", "Byron")
    run(db, "UPDATE users SET age = 1 WHERE id = 8")
    assert names(db, 8) == ("First8 Last8", "First8", "Last8")


WRITES = ["UPDATE users SET last_name = last_name || 'x' WHERE id % 3 = 0", "UPDATE users SET age = age + 1"]


@pytest.mark.parametrize("key", ["", "ALTER TABLE users DROP CONSTRAINT users_pkey"])
def test_round_trip(journeys: Journeys, key: str) -> None:
    """Both sides in every state; back to the start from each; and the end is what the direct DDL gives."""
    round_trip(journeys(USERS + key, SPLIT), direct=DIRECT, holds=in_step, writes=WRITES[1:])


@pytest.mark.parametrize(
    "more",
    [
        "CREATE INDEX ON users (full_name); CREATE INDEX ON users (lower(full_name), age)",
        "ALTER TABLE users ADD UNIQUE (full_name), ADD CHECK (length(full_name) > 2)",
        "ALTER TABLE users ALTER full_name DROP NOT NULL; INSERT INTO users VALUES (500, NULL)",
    ],
    ids=["indexes", "constraints", "nulls"],
)
def test_what_hangs_on_the_old_column(journeys: Journeys, more: str) -> None:
    """What belongs to the old column goes with it, as it does by the direct DDL."""
    journey = journeys(USERS + more, {**SPLIT, "into": [{**SPLIT["into"][0], "not_null": False}, SPLIT["into"][1]]})
    round_trip(journey, direct=DIRECT.replace("ALTER COLUMN first_name SET NOT NULL, ", ""))


def test_partitioned(journeys: Journeys) -> None:
    """A partitioned table is split as one."""
    start = """
        CREATE TABLE users (id integer, full_name text NOT NULL, age integer) PARTITION BY RANGE (id);
        CREATE TABLE users_1 PARTITION OF users FOR VALUES FROM (0) TO (30);
        CREATE TABLE users_2 PARTITION OF users FOR VALUES FROM (30) TO (1000);
        INSERT INTO users SELECT g, 'First' || g || ' Last' || g, g FROM generate_series(1, 60) g;
    """
    round_trip(journeys(start, SPLIT), direct=DIRECT, holds=in_step)


def test_steps(journeys: Journeys) -> None:
    """What is sent in contract: validated under a light lock, then trusted."""
    journey = journeys(USERS, SPLIT)
    journey.advance(State.READS_MIGRATED)
    *_, hold, validate, contract = (
        [statement.as_string(None) for statement in step.statements] for step in journey.steps(Phase.CONTRACT)
    )
    check = '"first_name_not_null_ecm"'
    assert hold == [f'ALTER TABLE "public"."users" ADD CONSTRAINT {check} CHECK ("first_name" IS NOT NULL) NOT VALID']
    assert validate == [f'ALTER TABLE "public"."users" VALIDATE CONSTRAINT {check}']
    *ours, _, _, _ = contract
    assert all(
        statement.startswith(("DROP TRIGGER", 'DROP FUNCTION IF EXISTS "ecm".', "DROP SEQUENCE")) for statement in ours
    )
    assert contract[-3:] == [
        'ALTER TABLE "public"."users" ALTER COLUMN "first_name" SET NOT NULL',
        f'ALTER TABLE "public"."users" DROP CONSTRAINT {check}',
        'ALTER TABLE "public"."users" DROP COLUMN "full_name"',
    ]


def test_random_writers_of_both_versions(journeys: Journeys) -> None:
    """Any order of writes and moves, forward and back: each row reads as who wrote it last left it."""
    journey, dice = journeys(USERS, SPLIT), random.Random(4)
    model = {number: [f"First{number}", f"Last{number}"] for number in range(1, 61)}

    def write(*, both: bool) -> None:
        number, part, value = dice.randint(1, 80), dice.randrange(2), f"v{dice.randrange(1000)}"
        if number not in model:
            model[number] = [value, "new"]
            new = both and dice.random() < 0.5
            columns = "first_name, last_name" if new else "full_name"
            values = f"'{value}', 'new'" if new else f"'{value} new'"
            run(journey.db, f"INSERT INTO users (id, {columns}) VALUES ({number}, {values})")
        elif both and dice.random() < 0.5:
            model[number][part] = value
            run(journey.db, f"UPDATE users SET {('first_name', 'last_name')[part]} = '{value}' WHERE id = {number}")
        else:
            model[number] = [value, "old"]
            run(journey.db, f"UPDATE users SET full_name = '{value} old' WHERE id = {number}")

    for _ in range(12):
        both = journey.state is not State.PLANNED
        for _ in range(40):
            write(both=both)
        found = dict(rows(journey.db, "SELECT id, full_name FROM users"))
        assert found == {number: " ".join(parts) for number, parts in model.items()}
        if journey.state in (State.BACKFILLED, State.READS_MIGRATED):
            parts = rows(journey.db, "SELECT id, first_name, last_name FROM users")
            assert {number: [first, last] for number, first, last in parts} == model
        back = journey.state is State.READS_MIGRATED or (both and dice.random() < 0.3)
        _ = journey.rollback() if back else journey.advance()


def test_what_one_side_cannot_give_again(journeys: Journeys) -> None:
    """`Mary Ann` `Smith` does not come again from `Mary Ann Smith`: it is right, and verify says how many are so."""
    journey = journeys(USERS, SPLIT)
    journey.advance(State.BACKFILLED)
    run(journey.db, "INSERT INTO users (id, first_name, last_name) VALUES (900, 'Mary Ann', 'Smith')")
    assert names(journey.db, 900) == ("Mary Ann Smith", "Mary Ann", "Smith")
    found = journey.conductor.verify("change", "main")
    assert (found.mismatches, found.not_invertible) == (0, 1)
    run(journey.db, "UPDATE users SET age = 3 WHERE id = 900")
    assert names(journey.db, 900) == ("Mary Ann Smith", "Mary Ann", "Smith"), "another column's write changed it"
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED
    assert ask(journey.db, "SELECT first_name FROM users WHERE id = 900") == "Mary Ann"


COPIED = (
    "CREATE TEMP TABLE copy AS SELECT * FROM users WHERE id = 5;"
    " UPDATE copy SET id = 500, {}; INSERT INTO users SELECT * FROM copy; DROP TABLE copy"
)
"""What a program does that takes a row as a whole: it gives both sides, and knows one of them."""


def test_a_row_that_is_copied_whole(journeys: Journeys) -> None:
    """Both sides are given and one of them is stale: the side wins that counts, as where an UPDATE changes both."""
    journey = journeys(USERS, SPLIT)
    for state in (State.BACKFILLED, State.READS_MIGRATED):
        journey.advance(state)
        with undone(journey.db):
            run(journey.db, COPIED.format("age = 3"))
            assert names(journey.db, 500) == names(journey.db, 5)
        old = state is State.BACKFILLED
        with undone(journey.db):
            run(journey.db, COPIED.format("full_name = 'Alan Kay'" if old else "last_name = 'Kay'"))
            assert names(journey.db, 500) == (("Alan Kay", "Alan", "Kay") if old else ("First5 Kay", "First5", "Kay"))


def test_who_writes_both_sides_is_left_alone_where_they_agree(journeys: Journeys) -> None:
    """One side follows from the other, if not the other way round: nothing is computed over it."""
    journey = journeys(USERS, SPLIT)
    both = ("Mary Ann Smith", "Mary Ann", "Smith")
    for state in (State.EXPANDED, State.BACKFILLED, State.READS_MIGRATED):
        journey.advance(state)
        with undone(journey.db):
            run(
                journey.db,
                "INSERT INTO users (id, full_name, first_name, last_name) VALUES (500, 'Mary Ann Smith', 'Mary Ann', 'Smith')",
            )
            assert names(journey.db, 500) == both
            run(
                journey.db,
                "UPDATE users SET full_name = 'Mary Ann Smith', first_name = 'Mary Ann', last_name = 'Smith' WHERE id = 7",
            )
            assert names(journey.db, 7) == both
            run(
                journey.db,
                "UPDATE users SET full_name = 'Jo Public', first_name = 'Other', last_name = 'Name' WHERE id = 8",
            )
            wins = ("Other Name", "Other", "Name") if state is State.READS_MIGRATED else ("Jo Public", "Jo", "Public")
            assert names(journey.db, 8) == wins


def test_rows_without_a_required_value(journeys: Journeys) -> None:
    """A new column that has to be NOT NULL in the end is named before readers come, with its rows."""
    journey = journeys(USERS.replace("NOT NULL", ""), SPLIT)
    journey.advance()
    run(journey.db, "INSERT INTO users VALUES (500, NULL)")
    journey.advance(State.BACKFILLED)
    with pytest.raises(VerificationError) as refused:
        journey.advance()
    assert refused.value.message.startswith("first_name may not be NULL in the end, and is in 1 of")
    assert "first_name is not NULL" in refused.value.details[-1]
    assert any(line.startswith("id=500") for line in refused.value.details)
    run(journey.db, "UPDATE users SET first_name = 'Nobody' WHERE id = 500")
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED
    with pytest.raises(errors.NotNullViolation), undone(journey.db):
        run(journey.db, "INSERT INTO users (id, last_name) VALUES (1000, 'x')")


def test_one_way(journeys: Journeys) -> None:
    """Without a way back, new writers' rows stand on their own, and a person is told what that means."""
    without = {name: value for name, value in SPLIT.items() if name != "reverse"}
    with pytest.raises(ValidationError, match="one_way: true"):
        make_plan("change", [without])
    with pytest.raises(ValidationError, match="leave one out"):
        make_plan("change", [{**SPLIT, "one_way": True}])
    journey = journeys(USERS.replace("NOT NULL", ""), {**without, "one_way": True})
    assert any("lost by a rollback" in line for line in journey.conductor.preview("change").beware)
    journey.advance(State.BACKFILLED)
    run(journey.db, "INSERT INTO users (id, first_name, last_name) VALUES (900, 'Mary Ann', 'Smith')")
    run(journey.db, "UPDATE users SET full_name = 'Ada Lovelace' WHERE id = 1")
    assert names(journey.db, 900) == (None, "Mary Ann", "Smith")
    assert names(journey.db, 1) == ("Ada Lovelace", "Ada", "Lovelace")
    assert journey.rollback(State.PLANNED) is State.PLANNED
    assert rows(journey.db, "SELECT full_name FROM users WHERE id IN (1, 900) ORDER BY id") == [
        ("Ada Lovelace",),
        (None,),
    ]
    run(journey.db, "DELETE FROM users WHERE id = 900")
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED


PART = SPLIT["into"][0]


@pytest.mark.parametrize(
    ("start", "change", "why"),
    [
        ("", {"column": "name"}, "column name of users does not exist"),
        ("ALTER TABLE users ADD first_name text", {}, "already has a column first_name"),
        (
            "CREATE VIEW everyone AS SELECT full_name FROM users",
            {},
            "view public.everyone cannot follow: it stands on full_name, which contract drops",
        ),
        (
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$;"
            "CREATE TRIGGER t AFTER UPDATE OF full_name ON users FOR EACH ROW EXECUTE FUNCTION f()",
            {},
            "trigger t on users fires on UPDATE OF full_name",
        ),
        (
            "CREATE TABLE other (name text); ALTER TABLE users ADD UNIQUE (full_name);"
            "ALTER TABLE other ADD CONSTRAINT theirs FOREIGN KEY (name) REFERENCES users (full_name)",
            {},
            "constraint theirs on public.other cannot follow",
        ),
        ("ALTER TABLE users ADD copy text GENERATED ALWAYS AS (full_name) STORED", {}, "cannot follow"),
    ],
)
def test_refused_before_anything_is_touched(journeys: Journeys, start: str, change: dict[str, Any], why: str) -> None:
    """What stands in the way is said, and nothing is changed."""
    journey = journeys(f"{USERS};{start}", {**SPLIT, **change})
    before = journey.fingerprint
    with pytest.raises(PreconditionError) as refused:
        journey.advance()
    assert why in " ".join([refused.value.message, *refused.value.details])
    assert journey.fingerprint == before


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            {"into": [{**PART, "using": "split_part(name, ' ', 1)"}]},
            "using of first_name names a column name that users does not have",
        ),
        ({"into": [{**PART, "using": "full_name::integer::text"}]}, "invalid input syntax for type integer"),
        ({"into": [{**PART, "type": "jsonb", "using": "full_name"}]}, "invalid input syntax for type json"),
        ({"reverse": "first_name || full_name"}, "reverse cannot be made of users.full_name"),
        ({"reverse": "nothing(first_name)"}, "function nothing(text) does not exist"),
    ],
)
def test_expressions_that_do_not_work(journeys: Journeys, change: dict[str, Any], why: str) -> None:
    """An expression is tried before the first writer meets it."""
    journey = journeys(USERS, {**SPLIT, **change})
    before = journey.fingerprint
    with pytest.raises(StatementFailedError) as refused:
        journey.advance()
    assert why in refused.value.message
    assert journey.fingerprint == before


NUMBERED = {
    **SPLIT,
    "into": [{"column": "number", "type": "integer", "using": "substring(full_name from '[0-9]+')::integer"}],
    "reverse": "'Number ' || (1000 / number)",
}


def test_a_value_that_an_expression_fails_on(journeys: Journeys) -> None:
    """Neither version's write is refused for it; the row is named, and counts as right once it was set right."""
    journey = journeys(USERS.replace("NOT NULL", ""), NUMBERED)
    journey.advance(State.BACKFILLED)
    run(journey.db, "INSERT INTO users (id, full_name) VALUES (900, 'Agent 99999999999')")
    run(journey.db, "UPDATE users SET full_name = 'Agent 99999999998' WHERE id = 1")
    assert rows(journey.db, "SELECT full_name, number FROM users WHERE id IN (1, 900) ORDER BY id") == [
        ("Agent 99999999998", None),
        ("Agent 99999999999", None),
    ]
    run(journey.db, "INSERT INTO users (id, number) VALUES (901, 0)")
    assert rows(journey.db, "SELECT full_name, number FROM users WHERE id = 901") == [(None, 0)]
    found = journey.conductor.verify("change", "main")
    assert (found.mismatches, found.not_invertible) == (2, 1)
    assert {sample.key["id"] for sample in found.samples} == {"1", "900"}
    with pytest.raises(VerificationError, match="2 of 62 rows"):
        journey.advance()
    run(journey.db, "UPDATE users SET full_name = 'Agent 7' WHERE id IN (1, 900)")
    assert journey.rollback() is State.BACKFILLED  # from the phase that could not end
    with pytest.raises(VerificationError) as lost:
        journey.rollback()
    assert any(line.startswith("id=901") for line in lost.value.details)
    run(journey.db, "DELETE FROM users WHERE id = 901")
    assert journey.rollback(State.PLANNED) is State.PLANNED
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED
    assert ask(journey.db, "SELECT number FROM users WHERE id = 900") == 7


def test_a_column_with_the_name_of_a_variable(journeys: Journeys) -> None:
    """PL/pgSQL knows `found` too; the column is meant."""
    start = "CREATE TABLE users (id integer PRIMARY KEY, found text); INSERT INTO users VALUES (1, 'a b')"
    into = [
        {"column": name, "type": "text", "using": f"split_part(found, ' ', {n})"} for name, n in [("x", 1), ("y", 2)]
    ]
    journey = journeys(
        start, {"kind": "split_column", "table": "users", "column": "found", "into": into, "reverse": "x || ' ' || y"}
    )
    journey.advance(State.BACKFILLED)
    run(journey.db, "INSERT INTO users (id, found) VALUES (2, 'c d')")
    run(journey.db, "UPDATE users SET y = 'e' WHERE id = 1")
    assert rows(journey.db, "SELECT found, x, y FROM users ORDER BY id") == [("a e", "a", "e"), ("c d", "c", "d")]


def test_what_stands_on_the_old_column_is_to_be_dropped_before_contract(journeys: Journeys) -> None:
    """A view that was acknowledged keeps contract waiting until it is gone."""
    view = "CREATE VIEW everyone AS SELECT full_name FROM users"
    journey = journeys(USERS + view, SPLIT, expand={"acknowledge": ["public.everyone"]})
    journey.advance(State.READS_MIGRATED)
    with pytest.raises(EcmError) as refused:
        journey.advance()
    assert "view public.everyone stands on a column that contract drops" in str(
        [refused.value.message, *refused.value.details]
    )
    run(journey.db, "CREATE OR REPLACE VIEW everyone AS SELECT first_name || last_name AS full_name FROM users")
    assert journey.advance() is State.CONTRACTED


def test_a_function_of_the_users_own(journeys: Journeys, roles: Roles) -> None:
    """An expression may call what the role finds on its search_path, whoever's write it is."""
    role = roles()
    function = """
        CREATE SCHEMA tools; CREATE FUNCTION tools.first(text) RETURNS text LANGUAGE sql IMMUTABLE
          AS $$SELECT split_part($1, ' ', 1)$$;
    """
    journey: Journey = journeys(USERS + function, {**SPLIT, "into": [{**PART, "using": "first(full_name)"}]}, role=role)
    name = ask(journey.db, "SELECT current_database()")
    run(journey.db, f"ALTER TABLE users OWNER TO {role}; GRANT ALL ON SCHEMA public, tools TO {role}")
    run(journey.db, f'GRANT ALL ON DATABASE "{name}" TO {role}')
    run(journey.db, f"ALTER ROLE {role} SET search_path = public, tools")
    journey.plan = make_plan(
        "change", [{**SPLIT, "into": [{**PART, "using": "first(full_name)"}], "reverse": "first_name"}]
    )
    assert journey.advance(State.BACKFILLED) is State.BACKFILLED
    run(journey.db, "INSERT INTO users (id, full_name) VALUES (900, 'Alan Turing')")
    assert ask(journey.db, "SELECT first_name FROM users WHERE id = 900") == "Alan"
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED


LOOKS = """
    CREATE FUNCTION looks() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
    CREATE TRIGGER looks BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION looks();
"""
ROUND = {"kind": "change_type", "table": "t", "column": "price", "type": "integer", "using": "round(price)"}


@pytest.mark.parametrize("trigger", ["", LOOKS], ids=["no trigger", "a trigger"])
@pytest.mark.parametrize(
    "change",
    [
        {
            "kind": "split_column",
            "table": "t",
            "column": "name",
            "into": [
                {"column": "first", "type": "text", "using": "split_part(name, ' ', 1)"},
                {"column": "last", "type": "text", "using": "split_part(name, ' ', 2)"},
            ],
            "reverse": "first || ' ' || last",
        },
        {**ROUND, "reverse": "price::numeric"},
        {**ROUND, "to": "cost", "reverse": "cost::numeric"},
    ],
    ids=["split", "in place", "another name"],
)
def test_the_backfill_leaves_the_old_side_as_it_is(journeys: Journeys, change: dict[str, Any], trigger: str) -> None:
    """What the new side cannot hold stays on the old one, also where the table has a trigger that looks at each row."""
    start = "CREATE TABLE t (id integer PRIMARY KEY, name text, price numeric(8, 2)); INSERT INTO t VALUES (1, 'a b c', 1.5);"
    journey = journeys(start + trigger, change)
    journey.advance(State.BACKFILLED)
    assert rows(journey.db, "SELECT name, price::text FROM t") == [("a b c", "1.50")]
    journey.advance()
    journey.rollback(State.PLANNED)
    assert rows(journey.db, "SELECT name, price::text FROM t") == [("a b c", "1.50")]
