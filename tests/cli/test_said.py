"""What is said of each sort of change is true of it: in each state, before contract, and where it is refused."""

import inspect
import json
from io import StringIO
from itertools import product
from typing import Any, get_args

import psycopg
import pytest
from cli.runs import PLAN, Project, said

from orchestrator.cli.kinds import _parameter, commands
from orchestrator.cli.render import words
from orchestrator.cli.render.look import Code, console, rendered
from orchestrator.engine.verification import Sample
from orchestrator.operations import KINDS
from orchestrator.operations.sides import Sides
from orchestrator.plan.lifecycle import STATES, State

USERS = """
CREATE TABLE users (id int PRIMARY KEY, full_name text NOT NULL, age int, city text);
INSERT INTO users VALUES (1, 'Ada Lovelace', 36, 'London'), (2, 'Mary Ann Smith', 40, 'London');
CREATE VIEW ages AS SELECT id, age FROM users;
"""
HERE = ("--branch", "development")


@pytest.fixture
def users(project: Project) -> Project:
    """A project of one table of two users more; the plan on books is not begun."""
    project.sql("development", USERS)
    return project


# ---------------------------------------------------------------- what the application may do


_ONE_SIDE = [each for each in Sides if each not in (Sides.BOTH, Sides.WRITTEN)]


@pytest.mark.parametrize(("sides", "state"), list(product(_ONE_SIDE, STATES)))
def test_a_change_without_two_sides_is_not_told_of_them(sides: Sides, state: State) -> None:
    """Who can write one side only is not told which of two counts, nor that a column reads empty."""
    told = words.now_possible(state, sides=sides, retires=False)

    assert told.endswith(".")
    assert "both sides" not in told
    assert "reads empty" not in told
    assert "the old one used is gone" not in told


def test_an_application_that_writes_both_sides_is_told_to(users: Project) -> None:
    """Where no trigger keeps the sides in step, nobody is told that either version may write as ever."""
    plan = users.root / "plans" / f"{PLAN}.yaml"
    plan.write_text(plan.read_text() + "expand: {dual_write: application}\n")
    shown = said(users.ecm("plan", "show", PLAN, *HERE).out)
    expanded = said(users.ecm("advance", PLAN, *HERE).out)

    assert "Deploy the one that writes both sides, everywhere, and attest that it does" in expanded
    assert "Every version that runs has to write both sides" in shown
    assert "the old one counts" not in shown
    assert "the new one counts" not in shown


def test_every_kind_has_a_sentence_of_its_sort(users: Project) -> None:
    """A rule keeps every version that keeps it; the view's two names are both the table's; see what contract says."""
    check = ("plan", "add-check", "users", "users_age_check", "age > 0", "--name", "rule")
    assert users.ecm(*check).code == 0
    answers = [users.ecm("advance", "rule", *HERE) for _ in range(4)]

    assert [answer.code for answer in answers] == [0, 0, 0, 0]
    assert "a row that breaks the rule stops the plan" in said(answers[0].out)
    assert "PostgreSQL refuses what breaks the rule" in said(answers[3].out)
    assert not any("both sides" in said(answer.out) or "is gone" in said(answer.out) for answer in answers)


def test_a_column_of_another_type_is_told_under_its_name(users: Project) -> None:
    """The application sees one of the two at a time; SELECT * sees the other, under the name that it has then."""
    assert users.ecm("plan", "change-type", "users", "age", "bigint", "--name", "wider").code == 0
    before = said(users.ecm("plan", "show", "wider").out)
    moved = users.ecm("advance", "wider", *HERE, "--to", "reads_migrated")
    after = said(users.ecm("plan", "show", "wider").out)

    assert "see age_ecm_new (age_ecm_old once readers move) too, until contract" in before
    assert 'DROP COLUMN "age_ecm_old"' in before
    assert "Every version reads and writes the new type" in said(moved.out)
    assert "readers move to the new side:" in said(moved.err)
    assert "see age_ecm_old too, until contract" in after
    assert "1 view (ages)" in after
    assert "ecm.was" not in after.partition("contract 1")[0]


def test_a_rollback_says_what_it_does_not_keep(users: Project) -> None:
    """The lookup table goes, with what it alone has; a column that was added, with what was written to it."""
    extract = ("plan", "extract-table", "users", "city_id", "--columns", "city", "--into", "{table: cities, key: id}")
    users.ecm(*extract, "--name", "cities")
    shown = said(users.ecm("plan", "show", "cities").out)
    users.ecm("advance", "cities", *HERE)
    answer = users.ecm("rollback", "cities", *HERE)

    kept = "what cities alone has: rows that no row of users refers to, and columns of its own"
    assert f"ecm rollback takes it back; with it goes {kept}" in shown
    assert f"lost {kept}" in said(answer.out)
    assert "lost nothing" not in said(answer.out)


# ---------------------------------------------------------------- what contract takes away


def test_values_that_do_not_come_again_are_counted_before_they_go(users: Project) -> None:
    """The middle name is in neither part: it is told before the plan begins, at the gate, and before contract."""
    parts = ("first text = split_part(full_name, ' ', 1)", "last text = regexp_replace(full_name, '^.* ', '')")
    split = ("plan", "split-column", "users", "full_name", "--into", parts[0], "--into", parts[1])
    drafted = users.ecm(*split, "--reverse", "concat_ws(' ', first, last)", "--name", "names")
    users.ecm("advance", "names", *HERE, "--to", "reads_migrated")
    gate = users.ecm("gate", "names", *HERE)
    dry = users.ecm("advance", "names", *HERE, "--dry-run", "--json")

    told = (
        "1 of 2 rows of users hold in full_name what does not come again from first and last, and contract drops it:"
        " id=2 full_name=Mary Ann Smith would be Mary Smith"
    )
    assert told in said(drafted.out)
    assert "NOT NULL of full_name is not carried to first and last" in said(drafted.out)
    assert (gate.code, told in said(gate.out)) == (0, True)
    assert dry.json["warnings"] == [told]


def test_what_comes_again_is_not_told(users: Project) -> None:
    """Expressions that undo each other lose nothing, and nothing is said of it."""
    merge = ("plan", "merge-columns", "users", "--columns", "city", "--into", "town text = city")
    answer = users.ecm(*merge, "--reverse", "city = town")

    assert answer.code == 0
    assert "does not come again" not in said(answer.out)


# ---------------------------------------------------------------- refusals


def test_a_refused_rollback_did_nothing_and_the_plan_may_go_on(users: Project) -> None:
    """The old type cannot hold a value: nothing was undone, so nothing is under way, and contract keeps it."""
    users.ecm("plan", "change-type", "users", "age", "bigint", "--name", "wider")
    users.ecm("advance", "wider", *HERE, "--to", "reads_migrated")
    users.sql("development", "UPDATE users SET age = 5000000000 WHERE id = 1")
    first, again = (users.ecm("rollback", "wider", *HERE) for _ in range(2))

    assert (first.code, again.code) == (6, 6)
    assert first.err.count("id=1") == 1
    assert "goes on" not in again.err
    (plan,) = users.ecm("status", "wider", *HERE, "--json").json["plans"]
    assert plan["branches"][0]["in_progress"] is None
    assert users.ecm("advance", "wider", *HERE).code == 0


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (
            ("change-type", "users", "age", "bigint"),
            [
                "from here on, count the rows that would not pass the proof",
                "nothing is lost: find no row whose new side alone holds its value",
                "take back: readers move to the new side",
                "count no more rows that would not pass the proof",
            ],
        ),
        (
            ("add-check", "users", "users_age_check", "age > 38", "--using", "age = 39"),
            [
                "repair nothing any more",
                "give repaired rows of users their own values back",
            ],
        ),
    ],
)
def test_a_rollback_names_each_step_once_by_what_it_does(
    users: Project, change: tuple[str, ...], names: list[str]
) -> None:
    """What a rollback does of its own is not 'taken back', and a count that ends is not the one that begins."""
    users.ecm("plan", *change, "--name", "plan")
    users.ecm("advance", "plan", *HERE, "--to", "reads_migrated" if change[0] == "change-type" else "backfilled")
    dry = users.ecm("rollback", "plan", *HERE, "--dry-run", "--json").json["moves"][0]["steps"]
    run = users.ecm("rollback", "plan", *HERE, "--events", "--json").err

    done = [event["title"] for line in run.splitlines() if (event := json.loads(line))["event"] == "step_finished"]
    assert [step["title"] for step in dry] == done
    assert len(done) == len(set(done))
    assert [title for title in done if title in names] == names


def test_a_type_that_changes_at_once_misses_no_trigger(users: Project) -> None:
    """Nothing has two sides, so nothing keeps them in step, and status does not ask for what does."""
    users.ecm("plan", "change-type", "users", "city", "varchar", "--name", "cities")
    users.ecm("advance", "cities", *HERE)
    shown = users.ecm("status", "cities", *HERE).out

    assert "is gone" not in shown
    assert "ecm advance cities --branch development" in shown


def test_the_name_of_an_enum_is_that_of_the_type_that_its_columns_have(users: Project) -> None:
    """A cast by name goes on once readers have moved, except by who keeps to the type's number: said beforehand."""
    users.sql("development", "CREATE TYPE mood AS ENUM ('sad', 'ok'); ALTER TABLE users ADD COLUMN mood mood")
    drafted = users.ecm("plan", "change-enum", "mood", "--rename", "sad=blue", "--name", "moods")
    users.ecm("advance", "moods", *HERE, "--to", "reads_migrated")

    assert "a statement that casts to it by name ('…'::mood) goes on" in said(drafted.out)
    assert "a driver that has looked the type up by name has to connect again" in said(drafted.out)
    users.sql("development", "SELECT FROM users WHERE mood = 'ok'::mood AND mood <> 'blue'::mood")


def test_rows_that_an_expression_fails_on_are_told_as_such(users: Project) -> None:
    """What was written after the expression was tried is found by the proof, which does not blame the trigger alone."""
    users.sql("development", "UPDATE users SET city = '12'")
    users.ecm("plan", "change-type", "users", "city", "int", "--name", "counted")
    users.ecm("advance", "counted", *HERE)
    users.sql("development", "UPDATE users SET city = 'Bath' WHERE id = 1")
    refused = users.ecm("advance", "counted", *HERE)

    assert refused.code == 6
    assert "next an expression fails on these values, or something writes past the sync trigger" in said(refused.err)


def test_a_column_that_nobody_fills_is_told_as_such(users: Project) -> None:
    """NOT NULL without a value for the rows from before: said in the plan, and by the proof that stops it."""
    drafted = users.ecm("plan", "add-column", "users", "rank", "int", "--not-null", "--name", "ranks")
    refused = users.ecm("advance", "ranks", *HERE, "--to", "reads_migrated")

    assert "a row without a rank stops the plan before readers move: using would compute it" in said(drafted.out)
    assert refused.code == 6
    assert "nobody gave these rows a value, and the plan has no using to compute one" in said(refused.err)


def test_a_row_tells_a_column_of_its_key_once() -> None:
    """A key may be among the columns that differ."""
    assert Sample(key={"id": "1"}, old={"id": "1"}, new={"id_ecm_new": None}).line == "id=1  id_ecm_new=NULL"


def test_the_gate_and_advance_agree(users: Project) -> None:
    """What stands in the way before anything is touched is a refusal, exit code 4, whichever of them is asked."""
    users.ecm("plan", "add-check", "users", "users_age_check", "age > 38", "--name", "rule")
    body = "CREATE FUNCTION since() RETURNS bigint LANGUAGE plpgsql AS"
    users.sql("development", f"{body} 'BEGIN RETURN (SELECT max(published_year) FROM books); END'")

    for plan in ("rule", PLAN):
        assert users.ecm("gate", plan, *HERE).code == 4
        refused = users.ecm("advance", plan, *HERE, "--json")
        assert (refused.code, refused.json["error"]["code"]) == (4, "precondition")


def test_what_stands_on_a_column_that_goes_is_made_again_without_it(users: Project) -> None:
    """The advice works: as it was, a view could not be made again after contract. It is told once."""
    parts = (
        "--into",
        "first text = split_part(full_name, ' ', 1)",
        "--into",
        "last text = split_part(full_name, ' ', 2)",
    )
    users.ecm(
        "plan", "split-column", "users", "full_name", *parts, "--reverse", "first || ' ' || last", "--name", "parts"
    )
    users.ecm("advance", "parts", *HERE, "--to", "reads_migrated")
    users.sql("development", "CREATE VIEW names AS SELECT id, full_name FROM users")
    refused = users.ecm("advance", "parts", *HERE)

    assert refused.code == 4
    assert said(refused.err).count("view public.names") == 1
    assert said(refused.err).endswith("next make it again without full_name, or drop it")
    again = "CREATE OR REPLACE VIEW names AS SELECT id, first || ' ' || last AS full_name FROM users"
    users.sql("development", again)
    assert users.ecm("advance", "parts", *HERE).code == 0
    assert users.sql("development", "SELECT full_name FROM names WHERE id = 1") == [("Ada Lovelace",)]


def test_what_stands_on_a_column_that_was_exchanged_is_made_again_without_it(users: Project) -> None:
    """Its name goes with it at contract, so that nothing can be made again over it."""
    users.ecm("plan", "change-type", "users", "age", "bigint", "--name", "wider")
    users.ecm("advance", "wider", *HERE, "--to", "reads_migrated")
    users.sql("development", "CREATE VIEW old_ages AS SELECT id, age_ecm_old AS age FROM users")
    refused = users.ecm("advance", "wider", *HERE)

    assert refused.code == 4
    assert said(refused.err).endswith("next make it again without age_ecm_old, or drop it")
    users.sql("development", "DROP VIEW old_ages; CREATE VIEW old_ages AS SELECT id, age FROM users")
    assert users.ecm("advance", "wider", *HERE).code == 0


def test_status_names_the_plan_that_is_in_the_way(users: Project) -> None:
    """What would be refused is not recommended; without PLAN, what is contracted there is no candidate."""
    users.ecm("plan", "add-check", "users", "users_age_check", "age > 0", "--name", "rule")
    users.ecm("plan", "change-type", "users", "age", "bigint", "--name", "wider")
    users.ecm("advance", "rule", *HERE)
    (plan,) = users.ecm("status", "wider", *HERE, "--json").json["plans"]
    (here,) = plan["branches"]

    assert [reason["code"] for reason in here["blocked_by"]] == ["overlap"]
    assert here["next_command"] == "ecm advance rule --branch development"
    users.ecm("advance", "rule", *HERE, "--to", "contracted")
    several = users.ecm("advance", *HERE)
    assert several.code == 2
    assert f"several plans are active on development: {PLAN}, wider" in said(several.err)
    assert users.ecm("rollback", *HERE).code == 2, "none of the two has begun"
    users.ecm("advance", "wider", *HERE)
    assert "wider on development: expanded → planned" in users.ecm("rollback", *HERE).out


def test_a_lock_that_was_not_to_be_had_tells_what_stays(users: Project) -> None:
    """The statistics are made by then; the state is as it was."""
    users.ecm("plan", "change-type", "users", "age", "bigint", "--name", "wider")
    file = users.root / "plans" / "wider.yaml"
    file.write_text(file.read_text().replace("migrate_reads:", "migrate_reads:\n  lock_timeout: 1ms"))
    users.ecm("advance", "wider", *HERE, "--to", "backfilled")
    with psycopg.connect(users.urls["development"]) as reader:
        reader.execute("SELECT count(*) FROM users")
        answer = users.ecm("advance", "wider", *HERE, attempts=2)

    assert answer.code == 5
    assert "what was done before stays, and the state is as it was" in said(answer.err)
    assert "nothing was changed" not in answer.err


# ---------------------------------------------------------------- new plans


@pytest.mark.parametrize("kind", KINDS)
def test_the_help_of_a_kind_has_no_stray_brace(kind: str) -> None:
    """How a value stands in a file is cut out of the help as a whole, or not at all."""
    fields = {info.alias or name: info for name, info in KINDS[kind].model_fields.items() if name != "kind"}
    assert kind.replace("_", "-") in commands()
    for name, info in fields.items():
        parameter: inspect.Parameter = _parameter(name, info)
        how: Any = get_args(parameter.annotation)[-1]
        assert how.help, f"{kind}.{name} has no help"
        assert how.help.count("{") == how.help.count("}")
        assert how.metavar != "PARTS" or "{" not in how.help


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("split-column", "users", "full_name", "--into", "a text = full_name"),
            "give --reverse, or accept that with --one-way",
        ),
        (("set-not-null", "users", "full_name"), "where there is a plan for it, remove its file"),
        (("rename-column", "users", "nme", "name"), "correct COLUMN"),
        (
            ("add-column", "users", "x", "int", "--using", "1", "--default", "2"),
            "ecm plan add-column cannot make a plan of that --using and",
        ),
        (("drop-column", "users", "ctid"), "ecm plan drop-column cannot make a plan of that COLUMN: 'ctid' is"),
        (("sql", "--expand", ""), "ecm plan sql cannot make a plan of that --expand: there is nothing in it"),
        (
            ("move-column", "users", "city", "--to", "{table: users, column: town}", "--on", "id = id"),
            "to rename a column, ecm plan rename-column does",
        ),
    ],
)
def test_errors_are_in_the_words_of_the_command(users: Project, arguments: tuple[str, ...], words: str) -> None:
    """There is no plan yet whose keys could be corrected."""
    answer = users.ecm("plan", *arguments)

    assert answer.code in (1, 2)
    assert words in said(answer.err)
    assert "in the plan" not in answer.err
    assert not any(kind in answer.err for kind in KINDS if "_" in kind)


def test_two_plans_of_the_same_name(users: Project) -> None:
    """Of two tables, the second has its table in its name; of the same, --name is offered."""
    users.sql("development", "ALTER TABLE users ADD title text")
    assert users.ecm("plan", "rename-column", "books", "title", "heading").code == 0
    other = users.ecm("plan", "rename-column", "users", "title", "form", "--json")
    same = users.ecm("plan", "rename-column", "books", "title", "headline")

    assert (other.code, other.json["plan"]) == (0, "rename-title-in-users")
    assert same.code == 1
    assert "there is a plan rename-title already books.title becomes heading" in said(same.err)
    assert "give this one another name with --name" in said(same.err)


def test_a_table_that_a_plan_renamed_is_named(users: Project) -> None:
    """Whoever asks for the old name hears the new one, and which plan gave it."""
    users.ecm("plan", "rename-table", "users", "people", "--name", "people")
    assert users.ecm("advance", "people", *HERE, "--to", "contracted").code == 0
    answer = users.ecm("plan", "drop-column", "users", "city")

    assert answer.code == 1
    assert "plan people renamed it: it is called people now" in said(answer.err)
    assert "next write people in its place" in said(answer.err)


def test_init_says_where_to_connect(nowhere: Project) -> None:
    """The server of ecm's own is started by the first command that needs it, which tells its URL."""
    answer = nowhere.ecm("init", "--provider", "embedded")

    assert answer.code == 0
    assert "ecm doctor, which starts the server and says how to connect to it" in answer.out


@pytest.mark.parametrize(
    ("provider", "ledger", "told"),
    [
        ("embedded", "", {"all machines need one ledger", "a runner has a server of its own, empty"}),
        ("url", "", {"all machines need one ledger"}),
        ("url", "ledger_env: LEDGER\n", set[str]()),
    ],
)
def test_init_says_what_the_machines_of_workflows_do_not_share(
    nowhere: Project, provider: str, ledger: str, told: set[str]
) -> None:
    """A ledger that is a file, and a server in the project's folder, are each machine's own."""
    assert nowhere.ecm("init", "--provider", provider).code == 0
    settings = nowhere.root / "ecm.yaml"
    settings.write_text(settings.read_text() + ledger)

    answer = nowhere.ecm("init", "--github")

    assert answer.code == 0
    known = ("all machines need one ledger", "a runner has a server of its own, empty")
    assert {each for each in known if each in answer.out} == told
    assert all(len(line) <= 80 for line in answer.out.splitlines())


# ---------------------------------------------------------------- what was dropped by hand


def test_a_view_that_was_dropped_is_made_again_by_what_is_said(users: Project) -> None:
    """The view in the table's place is gone: the error has what makes it, and then the rollback goes on."""
    (users.root / "plans" / "front.yaml").write_text(
        "plan: front\nexpand: {strategy: facade}\nchanges:\n"
        "  - {kind: rename_column, table: books, column: title, to: heading}\n"
    )
    assert users.ecm("advance", "front", *HERE).code == 0
    users.sql("development", "DROP VIEW books")
    refused = users.ecm("rollback", "front", *HERE, "--json")

    assert refused.code == 1
    error = refused.json["error"]
    assert error["message"] == "books is gone: the view in the table's place that front made in expand"
    for statement in error["details"][1:]:
        users.sql("development", statement)
    assert users.ecm("rollback", "front", *HERE).code == 0
    assert users.sql("development", "SELECT count(title) FROM books") == [(100,)]


def test_a_function_that_was_dropped_is_made_again_by_what_is_said(users: Project) -> None:
    """What attempts an expression is gone: the proof cannot ask it, and the error has what makes it."""
    users.ecm("plan", "change-type", "users", "age", "bigint", "--name", "wider")
    users.ecm("advance", "wider", *HERE, "--to", "backfilled")
    ours = (
        "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'ecm'::regnamespace AND proname ~ '^attempt'"
    )
    for (function,) in users.sql("development", ours):
        users.sql("development", f"DROP FUNCTION {function} CASCADE")
    assert "this makes it again" in said(users.ecm("verify", "wider", *HERE).err)
    refused = users.ecm("advance", "wider", *HERE, "--json")

    assert refused.json["error"]["hint"] == "run that, then the same command again"
    for statement in refused.json["error"]["details"][1:]:
        users.sql("development", statement)
    assert users.ecm("advance", "wider", *HERE).code == 0


def test_helpers_that_were_dropped_stop_nothing(users: Project) -> None:
    """An index and a function that would go at contract are gone before."""
    unique = ("plan", "add-unique", "users", "users_age_key", "--columns", "age", "--using", "age = id")
    users.ecm(*unique, "--name", "alone")
    assert users.ecm("advance", "alone", *HERE, "--to", "reads_migrated").code == 0
    ours = "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'ecm'::regnamespace AND proname ~ '^met'"
    for (function,) in users.sql("development", ours):
        users.sql("development", f"DROP FUNCTION {function} CASCADE")
    users.sql("development", "DROP INDEX users_age_key_ecm")

    assert users.ecm("advance", "alone", *HERE).code == 0


# ---------------------------------------------------------------- statements on a screen


def test_a_statement_is_not_broken_within_a_name_or_a_string() -> None:
    """A blank in them is theirs: a line's end in its place would be another name, or another string."""
    text = """ALTER TABLE "my shop"."order lines" ADD CHECK (state IN ('not yet paid', 'paid in full', 'given back'))"""
    body = """CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN ''one two three'' || "a b c"; END'"""
    for width in range(40, 100):
        shown = rendered(console(StringIO(), {"COLUMNS": str(width)}), Code(f"{text};\n{body}"))
        for whole in ('"my shop"', '"order lines"', "'not yet paid'", "'given back'", "''one two three''", '"a b c"'):
            assert whole in shown, f"{whole} is broken at {width}"
        assert said(shown) == f"{text}; {body}"


def test_names_in_a_statement_are_quoted_as_it_needs(project: Project) -> None:
    """What a warning says of COPY can be copied: a name with a space, and one that is a key word, stand in quotes."""
    project.sql("development", 'CREATE TABLE "Order Log" (id int PRIMARY KEY, "order" int)')
    project.ecm("plan", "rename-column", "Order Log", "order", "a b", "--name", "log")
    (line,) = (line for line in project.ecm("plan", "show", "log", "--json").json["beware"] if line.startswith("COPY"))

    assert line.startswith('COPY "Order Log" FROM without a column list, and SELECT *, see "a b" too')
