"""A plan as edits of an ORM's schema: which line comes and which goes, in which phase. Pure; no file is written."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from orchestrator.sql.edits import (
    AddCheck,
    AddColumn,
    AddForeignKey,
    AddIndex,
    AddUnique,
    ChangeLabels,
    CreateTable,
    Edit,
    RenameColumn,
    RenameTable,
)
from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import TableName
from orchestrator.toolchains.declaring import drizzle, sqlalchemy
from orchestrator.toolchains.declaring.shape import Hung, Shape, Shapes, UntoldError, edited, shaped

__all__ = ["Hung", "LineEdit", "UntoldError", "lines"]

ORMS = {"drizzle": drizzle, "sqlalchemy": sqlalchemy}


@dataclass(frozen=True, kw_only=True)
class LineEdit:
    """What becomes of a table's description in an ORM's schema.

    Attributes:
        table: the table.
        add: lines that come.
        remove: lines that go.
        keep: lines beside the columns that are there and stay, on a column whose line changes.
        notes: what no line says.
    """

    table: TableName
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def lines(
    orm: str,
    facts: Mapping[TableName, Table],
    expand: Iterable[Edit],
    contract: Iterable[Edit],
    hung: Mapping[TableName, Hung] | None = None,
) -> tuple[tuple[LineEdit, ...], tuple[LineEdit, ...]]:
    """Return the edits of an ORM's schema for expand and for contract.

    Args:
        orm: `drizzle` or `sqlalchemy`.
        facts: of the plan's tables, with the columns as they were before it began.
        expand: what the plan does to the schema in expand.
        contract: what it does in contract.
        hung: what else is known of the tables' columns.

    Raises:
        UntoldError: a column that the plan changes is not among the facts.
    """
    expand, contract, hung = tuple(expand), tuple(contract), hung or {}
    # What a table is called in the end says its plan alone.
    before: Shapes = {each.table: Shape() for each in contract if isinstance(each, RenameTable)}
    for name, table in facts.items():
        made = frozenset(each.column for each in expand if isinstance(each, AddColumn) and each.table == name)
        before[name] = shaped(table, hung.get(name, Hung()), made)
    between = edited(before, expand)
    kept = [said for edit in contract for said in _kept(facts, hung, edit)]
    return _between(orm, before, between, expand), _between(orm, between, edited(between, contract), contract, kept)


def _kept(facts: Mapping[TableName, Table], hung: Mapping[TableName, Hung], edit: Edit) -> Iterator[str]:
    """Give what keeps its name when a column that it is over gets another, and an ORM may have made up from that."""
    if isinstance(edit, RenameColumn) and (table := facts.get(edit.table)) is not None:
        told = {each.name for each in hung.get(edit.table, Hung()).constraints}
        for index in table.indexes:
            if edit.column in index.columns and not index.primary and index.name not in told:
                yield f"index {index.name} is over {edit.to} now and keeps its name: write it out"


def _between(
    orm: str, old: Shapes, new: Shapes, edits: tuple[Edit, ...], kept: Iterable[str] = ()
) -> tuple[LineEdit, ...]:
    renamed = {each.table: each.to for each in edits if isinstance(each, RenameTable)}
    notes = [*kept]
    found: list[LineEdit] = []
    for table, shape in old.items():
        now = renamed.get(table, table)
        end = new.get(now, Shape())
        before, after = _columns(orm, shape), _columns(orm, end)
        changed = {name for name, text in after.items() if before.get(name) != text}
        apart, then = _apart(orm, shape), _apart(orm, end)
        said = [f"the table's name becomes {now.name}"] if now != table else []
        keep = tuple(text for text, of in then.items() if text in apart and changed & set(of))
        typed = [each for each in edits if isinstance(each, ChangeLabels) and each.table == table]
        add = [*(ORMS[orm].labels(each.type, each.labels) for each in typed)]
        add += [text for name, text in after.items() if name in changed]
        add += [text for text in then if text not in apart]
        add += _beside_columns(orm, table, new, edits)
        remove = [*(ORMS[orm].labels(each.type, each.before) for each in typed)]
        remove += [text for name, text in before.items() if after.get(name) != text]
        remove += [text for text in apart if text not in then]
        if add or remove or said or notes:
            edit = LineEdit(table=table, add=tuple(add), remove=tuple(remove), keep=keep, notes=(*said, *notes))
            found.append(edit)
            notes = []
    made = (each for each in edits if isinstance(each, CreateTable))
    return (*(_created(orm, each, new) for each in made), *found)


def _columns(orm: str, shape: Shape) -> dict[str, str]:
    """Return the line of each column, with those constraints that an ORM has on it."""
    on_columns = [each for each in shape.constraints if ORMS[orm].on_column(each)]
    return {
        name: ORMS[orm].line(replace(each, own=tuple(own for own in on_columns if own.columns == (name,))))
        for name, each in shape.columns.items()
    }


def _apart(orm: str, shape: Shape) -> dict[str, tuple[str, ...]]:
    """Return the lines of the other constraints, each with the columns that it is on."""
    return {ORMS[orm].beside(each): each.columns for each in shape.constraints if not ORMS[orm].on_column(each)}


def _beside_columns(orm: str, table: TableName, shapes: Shapes, edits: Iterable[Edit]) -> list[str]:
    """Return what comes to a table that is no column: constraints and indexes."""
    found: list[str] = []
    for edit in edits:
        match edit:
            case AddForeignKey() if edit.table == table:
                key = tuple(name for name, each in shapes.get(edit.to, Shape()).columns.items() if each.primary)
                found.append(ORMS[orm].beside(replace(edit, to_columns=edit.to_columns or key or ("id",))))
            case AddUnique() | AddCheck() | AddIndex() if edit.table == table:
                found.append(ORMS[orm].beside(edit))
            case _:
                pass
    return found


def _created(orm: str, edit: CreateTable, shapes: Shapes) -> LineEdit:
    columns = [ORMS[orm].line(each) for each in shapes[edit.table].columns.values()]
    unique = AddUnique(table=edit.table, name=edit.unique, columns=tuple(each.column for each in edit.columns))
    return LineEdit(table=edit.table, add=tuple(ORMS[orm].table(edit.table, columns, ORMS[orm].beside(unique))))
