"""The story: a column is renamed on two branches of a bookstore while two versions of its application work."""

import time
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql
from rich.console import RenderableType
from rich.text import Text

from orchestrator.cli.demo import closing
from orchestrator.cli.demo.applications import Application, Crew
from orchestrator.cli.demo.bookstore import NEW, OLD, RENAME, Book, furnish, schema
from orchestrator.cli.demo.closing import Findings
from orchestrator.cli.demo.stage import Stage
from orchestrator.cli.render import look, words
from orchestrator.errors import EcmError
from orchestrator.words import counted

DEVELOPMENT, PRODUCTION = "development", "production"
PLAN = "rename-published-year"

_DIRECT = "direct"
"""The third copy, which nobody writes to and the column is renamed in directly."""

_TITLE, _YEAR = "Written Under the New Name Only", 1789
"""A book that is shown before and after a rollback."""


def play(stage: Stage, *, rows: int) -> bool:
    """Tell the whole story; return whether everything held that ecm promises.

    Args:
        stage: where it plays.
        rows: books on each branch.

    Raises:
        EcmError: a command did not end as it should have.
    """
    began = time.monotonic()
    _introduce(stage)
    _open_the_store(stage, rows)
    _write_the_plan(stage)
    with Crew(stage.server.url(DEVELOPMENT)) as crew:
        _show_development(stage, crew)
        development = _contracted(stage, crew, DEVELOPMENT, "")
    with Crew(stage.server.url(PRODUCTION)) as crew:
        _show_production(stage, crew)
        production = _contracted(stage, crew, PRODUCTION, f" --confirm {PLAN}")
    chain_holds = _look_at_the_record(stage)
    return _close(stage, (development, production), chain_holds=chain_holds, seconds=time.monotonic() - began)


# --- before anything changes ------------------------------------------------------------------------


def _introduce(stage: Stage) -> None:
    stage.put(Text("ecm demo", style="bold"))
    stage.say(
        f"A bookstore renames books.{OLD} to {NEW}. One version of its application knows the old name, the next"
        " one the new. Both write while the rename goes on, and neither may notice."
    )
    stage.say("Everything below is real: the PostgreSQL server, the commands, what they print.")


def _open_the_store(stage: Stage, rows: int) -> None:
    stage.act("A project", "An empty folder becomes a project, with branches on a server that ecm runs itself.")
    stage.ecm("init --provider embedded")
    stage.start_server()
    stage.server.ensure_database(PRODUCTION)
    with psycopg.connect(stage.server.url(PRODUCTION), autocommit=True) as connection:
        furnish(connection, rows)
    stage.server.ensure_database(DEVELOPMENT, copy_of=PRODUCTION)
    stage.server.create_database(_DIRECT, template=PRODUCTION)
    with psycopg.connect(stage.server.url(_DIRECT)) as connection:
        connection.execute(RENAME)
    stage.say(
        f"PostgreSQL {stage.server.version} runs. Production has {counted(rows, 'book')}, an index on {OLD} and a view"
        " over it; development is a copy. In a third copy the column is renamed by a plain ALTER TABLE, to compare with"
        " in the end."
    )


def _write_the_plan(stage: Stage) -> None:
    stage.act("A plan", "The change is a file, to be reviewed and committed like any other.")
    stage.ecm(f"plan rename-column books {OLD} {NEW}")
    stage.say("Nothing is hidden. These are the statements of its first phase, to the letter:")
    stage.ecm(f"plan show {PLAN} --phase expand")


# --- development ------------------------------------------------------------------------------------


def _show_development(stage: Stage, crew: Crew) -> None:
    stage.act(
        "Expand, on development",
        f"The old version of the application comes to work: it inserts, updates, deletes and reads back, and has"
        f" never heard of {NEW}. Now the new column comes beside the old one, with a trigger that keeps the two in"
        " step.",
    )
    crew.old.start()
    _advance(stage, crew, "expand", DEVELOPMENT)
    stage.say(f"The new version is deployed beside the old one. It writes {NEW} and nothing else.")
    crew.new.start()
    stage.watch(lambda: _pulse(crew))

    stage.act("Backfill", "The rows from before get their value in small batches. Then every row is checked.")
    _advance(stage, crew, "backfill", DEVELOPMENT)
    stage.watch(lambda: _pulse(crew))

    stage.act("Migrate reads", "The new name gets its index, and one more look at every row, before readers come.")
    _migrate_reads(stage, crew, DEVELOPMENT)
    stage.ecm("status")

    stage.act("Too early for production", "Someone is in a hurry and wants all of it on production, now.")
    stage.ecm(f"advance --branch {PRODUCTION} --to contracted --yes", expect=4)
    stage.say("Production is never ahead of development. Nothing was touched.")
    _show_the_way_back(stage, crew)


def _show_the_way_back(stage: Stage, crew: Crew) -> None:
    stage.act(
        "Back, and nothing is lost",
        "Suppose the new version disappoints. A book that was written under the new name only:",
    )
    with psycopg.connect(crew.url, autocommit=True) as connection:
        number = _insert_under_the_new_name(stage, connection)
        stage.say("Its readers go back to the old name first, then the database.")
        crew.new.reads = False
        with crew.during("roll back"):
            stage.ecm(f"rollback --branch {DEVELOPMENT}")
        stage.say("And under the old name:")
        year = _select_under_the_old_name(stage, connection, number)
    if year != _YEAR:
        crew.old.errors.append(f"a row written under {NEW} with {_YEAR} shows {year} under {OLD}")
    # Only now, so that neither version of the application touched it before it was shown.
    crew.mirror.add(number, Book(title=_TITLE, author=1, year=_YEAR))
    crew.compare(OLD)
    stage.watch(lambda: _pulse(crew))
    stage.say("The problem is found and mended. Forward again:")
    _migrate_reads(stage, crew, DEVELOPMENT)


def _insert_under_the_new_name(stage: Stage, connection: psycopg.Connection[Any]) -> int:
    statement = sql.SQL(
        "INSERT INTO books (title, author_id, publication_year)\n    VALUES ({}, 1, {}) RETURNING id;"
    ).format(_TITLE, _YEAR)
    return _ask(stage, connection, statement, "id")


def _select_under_the_old_name(stage: Stage, connection: psycopg.Connection[Any], number: int) -> int | None:
    statement = sql.SQL("SELECT published_year FROM books WHERE id = {};").format(number)
    return _ask(stage, connection, statement, OLD)


def _ask(stage: Stage, connection: psycopg.Connection[Any], statement: sql.Composed, name: str) -> Any:
    """Show a statement, run it, and show and return the one value it gives."""
    stage.prompt(f"{DEVELOPMENT}=>", statement.as_string(None))
    row = connection.execute(statement).fetchone()
    value = row[0] if row else None
    stage.put(look.labelled([(name, str(value))], width=len(name) + 2))
    return value


# --- production -------------------------------------------------------------------------------------


def _show_production(stage: Stage, crew: Crew) -> None:
    stage.act(
        "Production",
        "Development has been through all of it, so production may follow. It is protected: a person would be"
        " asked, a script says --yes.",
    )
    crew.old.start()
    _advance(stage, crew, "expand", PRODUCTION, " --yes")
    stage.say("The new version is deployed beside the old one.")
    crew.new.start()
    stage.watch(lambda: _pulse(crew))
    _advance(stage, crew, "backfill", PRODUCTION, " --yes")
    stage.watch(lambda: _pulse(crew))
    _migrate_reads(stage, crew, PRODUCTION, " --yes")


# --- what both branches go through ------------------------------------------------------------------


def _advance(stage: Stage, crew: Crew, phase: str, branch: str, consent: str = "") -> None:
    with crew.during(phase):
        stage.ecm(f"advance --branch {branch}{consent}")


def _migrate_reads(stage: Stage, crew: Crew, branch: str, consent: str = "") -> None:
    _advance(stage, crew, "migrate reads", branch, consent)
    stage.say(f"Now the new version reads {NEW} too: whatever either of the two wrote.")
    crew.new.reads = True
    stage.watch(lambda: _pulse(crew))


def _contracted(stage: Stage, crew: Crew, branch: str, consent: str) -> Findings:
    """Retire the old version, contract, and say what was found on the branch."""
    stage.act(
        f"Contract, on {branch}",
        "The old version has had its day: the last of it is stopped. Then the old name goes. For this there is no"
        " way back, so the last look at every row comes right before.",
    )
    crew.old.stop()
    crew.compare(OLD)
    crew.compare(NEW)
    _advance(stage, crew, "contract", branch, consent)
    stage.watch(lambda: _pulse(crew))
    crew.new.stop()
    crew.compare(NEW)
    return Findings(
        branch=branch,
        compared=crew.compared,
        differing=crew.differing,
        written=(crew.old.writes, crew.new.writes),
        read_back=sum(each.read_back for each in crew.both),
        errors=tuple(error for each in crew.both for error in each.errors),
        longest=_longest(crew.both),
        schema_differences=_schema_differences(stage, branch),
    )


def _longest(versions: Sequence[Application]) -> dict[str, float]:
    return {
        scene: max(each.longest.get(scene, 0.0) for each in versions)
        for scene in (*_SCENES, Crew.BETWEEN)
        if any(scene in each.longest for each in versions)
    }


_SCENES = ("expand", "backfill", "migrate reads", "roll back", "contract")


def _schema_differences(stage: Stage, branch: str) -> tuple[str, ...]:
    with psycopg.connect(stage.server.url(branch)) as there, psycopg.connect(stage.server.url(_DIRECT)) as wanted:
        found, direct = schema(there), schema(wanted)
    return (*(f"lacks {line}" for line in sorted(direct - found)), *(f"has {line}" for line in sorted(found - direct)))


def _pulse(crew: Crew) -> RenderableType:
    """Return how both versions fare, in a line."""
    errors = sum(len(each.errors) for each in crew.both)
    longest = max((wait for each in crew.both for wait in tuple(each.longest.values())), default=0.0)
    return look.indented(
        Text("   ").join(
            [
                _count(crew.old, "old"),
                _count(crew.new, "new"),
                look.marked(look.BAD if errors else look.GOOD, counted(errors, "error")),
                Text(f"longest wait {words.lasting(longest)}", style="dim"),
            ]
        )
    )


def _count(version: Application, name: str) -> Text:
    return look.marked(look.DONE if version.at_work else look.NONE, f"{name}: {counted(version.writes, 'write')}")


# --- the end ----------------------------------------------------------------------------------------


def _look_at_the_record(stage: Stage) -> bool:
    """Return whether the ledger is as it was written."""
    stage.act("What is on record", "Who did what, where and when, each entry chained to the one before by its hash.")
    stage.ecm("status")
    stage.ecm("history")
    try:
        stage.ecm("audit verify")
    except EcmError:
        return False
    return True


def _close(stage: Stage, branches: Sequence[Findings], *, chain_holds: bool, seconds: float) -> bool:
    stage.act("Did it hold?")
    stage.put(Text(), closing.table(branches, chain_holds=chain_holds))
    stage.put(Text())
    failures = closing.failures(branches, chain_holds=chain_holds)
    if failures:
        stage.put(*(look.item(look.BAD, failure) for failure in failures))
        return False
    stage.put(
        look.item(look.GOOD, f"Both versions worked throughout, and not a write was lost. {words.lasting(seconds)}"),
        *look.onward(["ecm init", "ecm plan rename-column TABLE COLUMN NEW_NAME"]),
    )
    return True
