"""Every statement that ecm sends passes squawk, a linter for migrations that hold up an application."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from operations.conftest import Journeys
from operations.harness import Journey

from orchestrator.plan import compile as compiler
from orchestrator.plan.lifecycle import PHASES, Phase, State
from orchestrator.sql.steps import Statement, Step, Transaction

SQUAWK = Path(sys.executable).with_name("squawk")

START = """
    CREATE TABLE books (id integer PRIMARY KEY, year integer DEFAULT 1900, title text);
    CREATE UNIQUE INDEX of_year ON books (year);
    GRANT SELECT (year) ON books TO PUBLIC;
    CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER seen BEFORE UPDATE OF year ON books FOR EACH ROW EXECUTE FUNCTION nothing();
    ALTER TABLE books DISABLE TRIGGER seen;
    COMMENT ON TRIGGER seen ON books IS 'seen';
"""
CHANGES = {"rename_column": {"kind": "rename_column", "table": "books", "column": "year", "to": "published"}}
"""One change of each kind, on a table where it has everything to do."""

EXPECTED = {
    # Contract is the step that drops the scaffolding and gives the column its name: after every version of
    # the application that knows the old one is gone, and after a gate.
    ("ban-drop-column", 'ALTER TABLE "public"."books" DROP COLUMN "published"'),
    # The way back: the scaffolding goes, and all that it held is in the original column.
    ("ban-drop-column", 'ALTER TABLE "public"."books" DROP COLUMN IF EXISTS "published"'),
    ("renaming-column", 'ALTER TABLE "public"."books" RENAME COLUMN "year" TO "published"'),
    # The type is that of the column that gets another name.
    ("prefer-bigint-over-int", 'ALTER TABLE "public"."books" ADD COLUMN "published" integer'),
    # ecm's own function, in its own schema, which nobody but the trigger that went with it could call.
    ("ban-drop-function", 'DROP FUNCTION IF EXISTS "ecm".'),
    # The same of its sequences, in which it notes when somebody last wrote the old side.
    ("ban-drop-sequence", 'DROP SEQUENCE IF EXISTS "ecm".'),
    # IF NOT EXISTS would take an index that a broken build left behind for a whole one; ecm asks the catalog.
    ("prefer-robust-stmts", 'CREATE UNIQUE INDEX CONCURRENTLY "of_year_published_ecm"'),
}
"""(rule, how the statement begins) that are right all the same."""

SESSION = """
    SET lock_timeout = '1s'; -- the engine sets it before each step (engine/runner.py)
    SET statement_timeout = '1s'; -- it does not: what could take long holds nobody up, and takes what it takes
"""
"""What a statement finds when it is sent. The linter cannot see it, and would ask for it each time."""


def _complaints(statement: str, *, in_transaction: bool, version: int) -> list[tuple[str, str]]:
    answer = subprocess.run(
        [
            SQUAWK,
            "--reporter=json",
            f"--pg-version={version}",
            *(["--assume-in-transaction"] if in_transaction else []),
        ],
        input=f"{SESSION}{statement};",
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode in (0, 1), answer.stderr
    return [(found["rule_name"], found["message"]) for found in json.loads(answer.stdout)]


def _lint(
    steps: tuple[Step, ...],
    *,
    back: bool,
    version: int,
    met: set[tuple[str, str]],
    right: set[tuple[str, str]] = EXPECTED,
) -> list[str]:
    found: list[str] = []
    for step in steps:
        statements: tuple[Statement, ...] = step.inverse if back else step.statements
        for statement in statements:
            text = statement.as_string(None)
            for rule, message in _complaints(text, in_transaction=isinstance(step, Transaction), version=version):
                known = {expected for expected in right if rule == expected[0] and text.startswith(expected[1])}
                met |= known
                if not known:
                    found.append(f"{rule}: {message}\n  {text}")
    return found


def _states(journey: Journey):
    """Go through every phase, giving each with the facts of before it ran."""
    for phase in PHASES:
        yield phase, journey.facts()
        journey.advance()


@pytest.mark.parametrize("kind", CHANGES)
def test_every_statement_passes(journeys: Journeys, kind: str) -> None:
    """Forward and back, of every phase, with the facts as they are when it is run."""
    journey = journeys(START, CHANGES[kind])
    version = journey.db.info.server_version // 10000
    found: list[str] = []
    met: set[tuple[str, str]] = set()
    for phase, facts in _states(journey):
        found += _lint(compiler.steps(journey.plan, phase, facts), back=False, version=version, met=met)
        if phase is not Phase.CONTRACT:
            found += _lint(compiler.undo(journey.plan, phase, facts, filled=True), back=True, version=version, met=met)
    assert journey.state is State.CONTRACTED
    assert not found, "\n".join(found)
    assert met == EXPECTED, "these exceptions are of no use any more"


VIEWED = {
    # The table's name is taken by a view in the same transaction, or has been one until then.
    ("renaming-table", 'ALTER TABLE "public"."books'),
    ("renaming-column", 'ALTER TABLE "public"."volumes" RENAME COLUMN "year" TO "published"'),
    # Each view of ecm's own gives way to the table in that same transaction, or goes with the new name on the way back.
    ("ban-drop-view", 'DROP VIEW "public"."books"'),
    ("ban-drop-view", 'DROP VIEW "public"."volumes"'),
}
"""The same, where views have the other names."""


def test_every_statement_passes_where_views_have_the_other_names(journeys: Journeys) -> None:
    """A table and a column of it, renamed behind a facade."""
    table = {"kind": "rename_table", "table": "books", "to": "volumes"}
    journey = journeys(START, CHANGES["rename_column"], table, expand={"strategy": "facade"})
    version = journey.db.info.server_version // 10000
    found: list[str] = []
    met: set[tuple[str, str]] = set()
    for phase, facts in _states(journey):
        steps = compiler.steps(journey.plan, phase, facts)
        found += _lint(steps, back=False, version=version, met=met, right=VIEWED)
        if phase is Phase.EXPAND:
            found += _lint(steps, back=True, version=version, met=met, right=VIEWED)
    assert journey.state is State.CONTRACTED
    assert not found, "\n".join(found)
    assert met == VIEWED, "these exceptions are of no use any more"


def test_the_linter_is_at_work() -> None:
    """It would say so if a statement held up the application."""
    rules = [rule for rule, _ in _complaints("CREATE INDEX i ON t (c)", in_transaction=False, version=16)]
    assert "require-concurrent-index-creation" in rules
