"""What is not there any more: an error about it is told who took it away, or what makes it again.

What ecm made in a branch's database anybody may drop by hand. The journal has every statement that made it.
"""

import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress

from psycopg import errors
from pydantic import ValidationError

from orchestrator.engine import journal
from orchestrator.engine.connection import Connection, Link
from orchestrator.engine.journal import Record
from orchestrator.errors import PreconditionError, StatementFailedError
from orchestrator.operations.rename_table import RenameTable
from orchestrator.plan.lifecycle import Phase, State
from orchestrator.plan.model import Plan
from orchestrator.sql.identifiers import TableName

_MADE = re.compile(r'CREATE (?:OR REPLACE )?(?:UNIQUE )?(?:FUNCTION|VIEW|MATERIALIZED VIEW|TYPE) ("[^"]+"\."[^"]+")')
_GONE = (errors.UndefinedFunction, errors.UndefinedTable, errors.UndefinedObject)


def tell_of_table(connection: Connection, names: Iterable[TableName], error: PreconditionError) -> None:
    """Put into an error about a table that is not there how it is called now, or what it was."""
    missing = next((name for name in names if error.message.startswith(f"table {name} does not exist")), None)
    if missing is not None:
        records = journal.read_all(connection)
        _tell_of_renames(records, missing, error)
        _tell_of_view(connection, records, missing, error)


@contextmanager
def remedied(link: Link, plan: str) -> Generator[None]:
    """Put into an error about something of ecm's that is not there the statements that make it again.

    Args:
        link: the session with the branch.
        plan: whose statements failed in the block.
    """
    try:
        yield
    except StatementFailedError as error:
        if isinstance(error.__cause__, _GONE):
            run = [each for phase in Phase for each in journal.statements(link.connection, plan, phase)]
            named = ((each, made[1].replace('"', "")) for each in run if (made := _MADE.match(each)))
            again = [f"{each};" for each, name in named if f"{name}(" in error.message or f'"{name}"' in error.message]
            if again:
                error.details = (
                    f"{plan} made it, and somebody dropped it since; nothing was lost, and this makes it again:",
                    *again,
                )
                error.hint = "run that, then the same command again"
        raise


def _tell_of_view(
    connection: Connection, records: Iterable[Record], missing: TableName, error: PreconditionError
) -> None:
    view = missing.identifier.as_string(None)
    about = (f" VIEW {view} ", f" ON {view} ")
    kinds = ("CREATE VIEW", "COMMENT ON VIEW", "ALTER VIEW", "GRANT", "REVOKE")
    for record in records:
        if record.at_rest or record.position.kept:
            continue
        run = journal.statements(connection, record.plan, Phase.EXPAND)
        made = [f"{each};" for each in run if each.startswith(kinds) and any(part in each for part in about)]
        if any(each.startswith("CREATE VIEW") for each in made):
            error.message = f"{missing} is gone: the view in the table's place that {record.plan} made in expand"
            error.details = ("somebody dropped it; no row is lost, and these statements make it again:", *made)
            error.hint = "run them, then the same command again"
            return


def _tell_of_renames(records: Iterable[Record], missing: TableName, error: PreconditionError) -> None:
    renamed = {old: (new, plan) for record in records for old, new, plan in _renamed(record)}
    lines: list[str] = []
    while missing in renamed:  # a table may have been renamed more than once
        missing, plan = renamed.pop(missing)
        lines.append(f"plan {plan} renamed it: it is called {missing} now")
    if lines:
        error.details = tuple(lines)
        error.hint = f"write {missing} in its place"


def _renamed(record: Record) -> Iterable[tuple[TableName, TableName, str]]:
    """Return the tables that a plan renamed for good, with their new names; none where this ecm cannot read it."""
    if record.position.state is State.CONTRACTED:
        with suppress(ValidationError):
            for change in Plan.model_validate(record.recorded).changes:
                if isinstance(change, RenameTable):
                    yield change.target, change.new, record.plan
