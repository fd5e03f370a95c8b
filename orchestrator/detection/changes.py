"""The changes that do safely what a statement does at once."""

from typing import Any

from pydantic import ValidationError

from orchestrator.detection.deeds import ColumnText, Constraint, CreateIndex, Pointed
from orchestrator.detection.expressions import is_constant
from orchestrator.operations import KINDS, Operation
from orchestrator.sql.identifiers import TableName, bounded, spelled


def change(kind: str, **fields: Any) -> Operation | None:
    """Return a change; None where a plan cannot say it (a table of PostgreSQL's own, say)."""
    try:
        return KINDS[kind].model_validate({name: value for name, value in fields.items() if value is not None})
    except ValidationError:
        return None


def add_column(table: TableName, column: ColumnText, *, was: str | None = None) -> Operation | None:
    """Return the change that adds a column, all its constraints with it.

    Args:
        table: its table.
        column: as it is in the end.
        was: the default that it had when it was added, and loses: it is the value of rows that do not give it.
    """
    if column.drawn or column.primary:
        return None
    return change(
        "add_column",
        table=str(table),
        column=column.name,
        type=column.type,
        default=column.default,
        using=was if column.default is None else None,
        not_null=column.not_null,
        check=column.check,
        unique=column.unique,
        references=_reference(column.references),
    )


def add_constraint(table: TableName, constraint: Constraint) -> Operation | None:
    """Return the change that adds a constraint; None where no kind has it as it is."""
    name = constraint.name or _usual_name(table, constraint)
    pointed = constraint.references
    match constraint.kind:
        case "check" if constraint.plain:
            return change("add_check", table=str(table), name=name, check=constraint.check)
        case "unique" if constraint.plain and constraint.columns:
            return change("add_unique", table=str(table), name=name, columns=constraint.columns)
        case "foreign key" if constraint.plain and pointed is not None and pointed.columns:
            return change(
                "add_foreign_key",
                table=str(table),
                name=name,
                columns=constraint.columns,
                references=_reference(pointed),
                on_delete=_unless_usual(pointed.on_delete),
                on_update=_unless_usual(pointed.on_update),
            )
        case "primary key" if constraint.columns:
            return _primary_key(table, name, constraint.columns)
        case _:
            return None


def _primary_key(table: TableName, name: str, columns: tuple[str, ...]) -> Operation | None:
    listed = ", ".join(spelled(column) for column in columns)
    return at_the_end(
        f"CREATE UNIQUE INDEX CONCURRENTLY {spelled(name)} ON {table.spelled} ({listed})",
        f"ALTER TABLE {table.spelled} ADD CONSTRAINT {spelled(name)} PRIMARY KEY USING INDEX {spelled(name)}",
    )


def index(found: CreateIndex) -> Operation | None:
    """Return the change that builds an index beside the application; a unique one once the old version is gone."""
    name = found.name or bounded(found.table.name, *(found.columns or ()), "idx")
    unique = "UNIQUE " if found.unique else ""
    text = f"CREATE {unique}INDEX CONCURRENTLY {spelled(name)} ON {found.table.spelled} {found.tail}"
    if found.unique:
        return change("sql", contract=text)
    schema = () if found.table.schema == "public" else (found.table.schema,)
    return change("sql", expand=text, rollback={"expand": f"DROP INDEX {spelled(*schema, name)}"})


def at_the_end(*statements: str) -> Operation | None:
    """Return the change that runs statements as they are once the old version is gone."""
    return change("sql", contract=";\n".join(statements))


def _reference(pointed: Pointed | None) -> dict[str, Any] | None:
    return {"table": str(pointed.table), "columns": list(pointed.columns)} if pointed else None


def _unless_usual(action: str | None) -> str | None:
    return None if action == "no action" else action


def _usual_name(table: TableName, constraint: Constraint) -> str:
    """Return the name that PostgreSQL would give, as far as that is known without the table."""
    endings = {"check": "check", "unique": "key", "foreign key": "fkey", "primary key": "pkey", "exclude": "excl"}
    columns = () if constraint.kind in ("primary key", "check") else constraint.columns
    return bounded(table.name, *columns, endings[constraint.kind])


def needs_value(column: ColumnText, was: str | None) -> bool:
    """Whether somebody has to say what rows get that do not give a column."""
    return column.not_null and column.default is None and was is None and not column.drawn


def writes_rows(column: ColumnText) -> bool:
    """Whether ADD COLUMN writes the table anew: a value of its own for each row ("ALTER TABLE", ADD COLUMN)."""
    return column.drawn or (column.default is not None and not is_constant(column.default))
