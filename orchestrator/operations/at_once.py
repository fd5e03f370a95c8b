"""A type that changes in the catalog alone: PostgreSQL writes neither the table nor an index anew.

The column takes values of both types from expand on, so there is no second one. What it was is kept as a composite
type in the journal's schema, for the way back.
"""

from psycopg import sql

from orchestrator.sql.conversion import Conversion
from orchestrator.sql.facts import Column
from orchestrator.sql.heritage import former_name
from orchestrator.sql.identifiers import JOURNAL_SCHEMA, TableName, bounded, verbatim
from orchestrator.sql.steps import Proof, Statement
from orchestrator.sql.sync import Ddl
from orchestrator.sql.value import Value


def type_of(column: Column) -> str:
    """Return a column's type with its length and collation."""
    return column.type + (f" COLLATE {column.collation}" if column.collation else "")


def changed(table: TableName, column: str, former: str, type_name: str) -> Ddl:
    """Return what changes a column's type, and back: from `former` to another."""
    change = sql.SQL("ALTER TABLE {} ALTER COLUMN {} TYPE {}")
    name, (fits,) = sql.Identifier(column), _fitting(table, column, former, type_name).attempts
    return Ddl(
        statements=(
            sql.SQL("CREATE TYPE {} AS ({} {})").format(_memory(table, column), name, verbatim(former)),
            change.format(table.identifier, name, verbatim(type_name)),
            *fits.attempted,
            _exactly(table, column, former, type_name),
        ),
        inverse=(
            # A value that was written since the proof is refused, and not rounded or cut off.
            change.format(
                table.identifier, name, verbatim(f"{former} USING {_back(table, column)}({_quoted(column)})")
            ),
            *forgotten(table, column, former, type_name),
        ),
    )


def forgotten(table: TableName, column: str, former: str, type_name: str) -> tuple[Statement, ...]:
    """Return what takes away all that was kept for the way back."""
    (fits,) = _fitting(table, column, former, type_name).attempts
    return (
        sql.SQL("DROP TYPE IF EXISTS {}").format(_memory(table, column)),
        sql.SQL("DROP FUNCTION IF EXISTS {}({})").format(verbatim(_back(table, column)), verbatim(type_name)),
        *fits.abandoned,
    )


def proof(table: TableName, column: str, former: str, type_name: str) -> Proof:
    """Return the scan that finds no value which the former type cannot hold."""
    return Proof(
        key=f"fits {column}",
        title=f"nothing is lost: find no {column} that its old type cannot hold",
        table=table,
        mappings=(_fitting(table, column, former, type_name),),
        giving_up=True,
    )


def _back(table: TableName, column: str) -> str:
    return sql.Identifier(JOURNAL_SCHEMA, bounded("back", table.qualified, column)).as_string(None)


def _quoted(column: str) -> str:
    return sql.Identifier(column).as_string(None)


def _exactly(table: TableName, column: str, former: str, type_name: str) -> Statement:
    """Return the function that gives a value of the former type, or refuses."""
    kind = former.partition(" COLLATE ")[0]
    body = sql.SQL(
        "BEGIN IF NOT pg_catalog.record_image_eq(ROW(given), ROW(given::{}::{})) THEN"
        " RAISE 'a value was written meanwhile that the old type cannot hold: %', given"
        " USING ERRCODE = 'data_exception'; END IF; RETURN given::{}; END"
    ).format(verbatim(kind), verbatim(type_name), verbatim(kind))
    return sql.SQL("CREATE FUNCTION {}(given {}) RETURNS {} LANGUAGE plpgsql STRICT AS {}").format(
        verbatim(_back(table, column)), verbatim(type_name), verbatim(kind), sql.Literal(body.as_string(None))
    )


def _memory(table: TableName, column: str) -> sql.Identifier:
    return sql.Identifier(JOURNAL_SCHEMA, former_name(table, column))


def _fitting(table: TableName, column: str, former: str, type_name: str) -> Conversion:
    """Return what holds where a value goes through the former type unchanged."""
    through = Value(
        column=column,
        type=type_name,
        expression=f"({sql.Identifier(column).as_string(None)}::{former})::{type_name}",
        scope=((column, column),),
        attempt=bounded("attempt", table.qualified, column),
    )
    return Conversion(old=(Value(column=column, type=type_name, expression=None),), new=(through,), exact=True)
