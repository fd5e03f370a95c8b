"""Which plan does already what a statement does."""

from collections.abc import Iterable

from orchestrator.detection import types
from orchestrator.detection.deeds import (
    AddColumn,
    AddConstraint,
    AlterColumn,
    ChangeType,
    CreateIndex,
    Deed,
    Drop,
    DropColumn,
    RemakeEnum,
    RenameColumn,
    RenameTable,
    RenameValue,
)
from orchestrator.detection.finding import Finding
from orchestrator.operations import Operation
from orchestrator.plan.model import Plan
from orchestrator.sql.identifiers import TableName
from orchestrator.sql.lexer import Token, UnreadableSqlError, scan

_NO_MATTER = frozenset({"concurrently", "if", "exists", "only"})
"""Words that make no other statement of one."""


def covering(finding: Finding, plans: Iterable[Plan]) -> str | None:
    """Return the name of a plan that does what a finding's statement does; None where there is none."""
    for plan in plans:
        if any(_covers(change, finding) for change in plan.changes):
            return plan.plan
    return None


def _covers(change: Operation, finding: Finding) -> bool:
    written = change.written()
    if written:
        return _is_written(finding, written.values())
    if isinstance(finding.deed, CreateIndex) and any(
        _renames_as(change, own) for own in (finding.change, finding.likely)
    ):
        return True
    return finding.deed is not None and _does(change, finding.deed)


def _renames_as(change: Operation, own: Operation | None) -> bool:
    """Whether a plan's change gives the columns their names that a finding's does, with all that hangs on them."""
    kinds = ("rename_column", "change_type")
    if own is None or own.kind not in kinds or change.kind not in kinds:
        return False
    return (change.target, change.gone, change.made()) == (own.target, own.gone, own.made())


def _is_written(finding: Finding, texts: Iterable[str]) -> bool:
    """Whether a plan's own SQL has the statement, or those that are proposed instead."""
    own = [each for text in texts for each in _normal(text)]
    proposed = [each for text in finding.change.written().values() for each in _normal(text)] if finding.change else []
    return any(each in own for each in _normal(finding.place.text)) or any(each in own for each in proposed)


def _normal(text: str) -> list[tuple[str, ...]]:
    """Return a text's statements as their words, without what makes no difference."""
    found: list[tuple[str, ...]] = []
    words: list[str] = []
    try:
        tokens = list(scan(text, key=""))
    except UnreadableSqlError:
        return []
    for number, token in enumerate(tokens):
        if token.kind == "mark" and token.text == ";":
            found.append(tuple(words))
            words = []
        elif not (token.kind == "word" and token.text in _NO_MATTER) and not _is_public(tokens, number):
            words.append(token.text)
    return [each for each in (*found, tuple(words)) if each]


def _is_public(tokens: list[Token], number: int) -> bool:
    """Whether a piece is the schema public before a name, or the dot after that."""
    around = [token.text for token in tokens[max(number - 1, 0) : number + 2]]
    pair = around[-2:] if tokens[number].text == "public" else around[:2]
    return tokens[number].text in ("public", ".") and pair == ["public", "."]


def _does(change: Operation, deed: Deed) -> bool:  # noqa: PLR0911, PLR0912, C901 - one answer for each kind
    fields = change.model_dump()
    match deed:
        case RenameColumn(table=table, column=column, to=to):
            return _about(change, table) and column in change.gone and to in change.made()
        case DropColumn(table=table, column=column):
            return _takes_away(change, table, column)
        case AddColumn(table=table, column=column):
            return _makes(change, table, column.name)
        case ChangeType(table=table, column=column, type=kind):
            own = change.kind == "change_type" and _about(change, table) and fields["column"] == column
            return own and types.same(str(fields["type"]), kind)
        case AlterColumn(table=table, column=column, how=how):
            named = {"set not null": "set_not_null", "drop not null": "drop_not_null"}.get(how)
            own = change.kind == named and _about(change, table) and fields["column"] == column
            return own or _makes(change, table, column)
        case AddConstraint(table=table, constraint=constraint):
            kind = "add_" + constraint.kind.replace(" ", "_")
            if change.kind == kind and _about(change, table):
                named = constraint.name is not None and fields["name"] == constraint.name
                return named or (kind != "add_check" and tuple(fields["columns"]) == constraint.columns)
            return len(constraint.columns) == 1 and _makes(change, table, constraint.columns[0])
        case CreateIndex(table=table, unique=True, columns=columns):
            return change.kind == "add_unique" and _about(change, table) and tuple(fields["columns"]) == columns
        case RenameTable(table=table, to=to):
            return change.kind == "rename_table" and _about(change, table) and TableName.parse(fields["to"]) == to
        case Drop(what="table", names=(table,)):
            return change.kind == "rename_table" and _about(change, table)
        case RenameValue(type=name, old=old, new=new):
            return change.kind == "change_enum" and _of(name, fields["type"]) and fields["rename"].get(old) == new
        case RemakeEnum(type=name, removed=removed, added=added):
            own = change.kind == "change_enum" and _of(name, fields["type"])
            return own and _goes(fields, removed) and _comes(fields, added)
        case _:
            return False


def _goes(fields: dict[str, dict[str, str]], labels: Iterable[str]) -> bool:
    return set(labels) <= fields["rename"].keys() | fields["remove"].keys()


def _comes(fields: dict[str, dict[str, str]], labels: Iterable[str]) -> bool:
    return set(labels) <= {*fields["rename"].values(), *fields["add"]}


def _of(name: TableName, said: str) -> bool:
    return TableName.parse(said) == name


def _about(change: Operation, table: TableName) -> bool:
    return change.target == table


def _takes_away(change: Operation, table: TableName, column: str) -> bool:
    return _about(change, table) and column in change.gone


def _makes(change: Operation, table: TableName, column: str) -> bool:
    if change.kind == "move_column":
        return (str(table), column) in change.claims()
    return _about(change, table) and column in change.made()
