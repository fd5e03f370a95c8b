"""What goes and comes in one migration and is alike: a rename, perhaps, that the tool could not know for one."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby

from orchestrator.detection import types
from orchestrator.detection.changes import change
from orchestrator.detection.deeds import (
    AddColumn,
    ChangeType,
    CreateEnum,
    CreateTable,
    Deed,
    Drop,
    DropColumn,
    RemakeEnum,
    RenameType,
)
from orchestrator.detection.known import Known
from orchestrator.operations import Operation
from orchestrator.sql.identifiers import TableName

_NEAR = 0.5
"""How much of two names has to be alike, from 0 to 1, where other columns go or come as well."""
_SHARED = 0.6
"""Which part of a table's columns another has to have under the same names to be like it."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A column that goes, and one like it that comes."""

    table: TableName
    old: str
    new: str
    likely: Operation | None


def columns(deeds: Iterable[Deed], known: Known) -> tuple[Pair, ...]:
    """Return the columns that go and have a like that comes in the same table: by type, and by name or place.

    Args:
        deeds: of one migration.
        known: the schema before it.
    """
    found = tuple(deeds)
    gone = sorted({(each.table, each.column) for each in found if isinstance(each, DropColumn)})
    come = [each for each in found if isinstance(each, AddColumn)]
    pairs: list[Pair] = []
    for table, names in groupby(gone, key=lambda each: each[0]):
        olds = [name for _, name in names]
        news = [each for each in come if each.table == table]
        pairs += _matched(table, olds, news, known)
    return tuple(pairs)


def _matched(table: TableName, olds: Sequence[str], news: Sequence[AddColumn], known: Known) -> Iterator[Pair]:
    """Pair columns off, the most alike first; where one goes and one comes, their place is the same."""
    alone = len(olds) == len(news) == 1
    ranked = sorted(
        (
            (alike(old, new.column.name), old, new)
            for old in olds
            for new in news
            if old != new.column.name and _fits(known, table, old, new.column.type)
        ),
        key=lambda each: (-each[0], each[1], each[2].column.name),
    )
    taken: set[str] = set()
    for likeness, old, new in ranked:
        name = new.column.name
        if old in taken or name in taken or not (alone or likeness >= _NEAR):
            continue
        taken |= {old, name}
        before = known.column(table, old)
        if before is None or types.same(before.type, new.column.type):
            likely = change("rename_column", table=str(table), column=old, to=name)
        else:
            likely = change("change_type", table=str(table), column=old, type=new.column.type, to=name)
        yield Pair(table=table, old=old, new=name, likely=likely)


def _fits(known: Known, table: TableName, old: str, new_type: str) -> bool:
    before = known.column(table, old)
    return before is None or types.castable(before.type, new_type)


def alike(one: str, other: str) -> float:
    """Return how alike two names are, from 0 to 1; one that holds a word of the other is near."""
    words = [set(name.lower().split("_")) for name in (one, other)]
    ratio = SequenceMatcher(None, one.lower(), other.lower()).ratio()
    return max(ratio, _NEAR if words[0] & words[1] - {"id", "is", "at", "the"} else 0.0)


def tables(deeds: Iterable[Deed], known: Known) -> dict[TableName, TableName]:
    """Return the tables that go and have a like that comes: of the same columns, most of them."""
    found = tuple(deeds)
    gone = [name for each in found if isinstance(each, Drop) and each.what == "table" for name in each.names]
    come = [each for each in found if isinstance(each, CreateTable)]
    matched: dict[TableName, TableName] = {}
    for name in gone:
        before = set(known.tables.get(name, ()))
        for new in come:
            after = {column.name for column in new.columns}
            shared = len(before & after) / max(len(before | after), 1)
            if new.table != name and new.table.schema == name.schema and shared >= _SHARED:
                matched.setdefault(name, new.table)
    return matched


@dataclass(frozen=True, kw_only=True)
class Remade:
    """An enum type that is made anew, and the statements' deeds that do it."""

    deed: RemakeEnum
    deeds: tuple[Deed, ...]


def enums(deeds: Sequence[Deed], before: Known, after: Known) -> tuple[Remade, ...]:
    """Return the enum types that a migration makes anew with other labels, as tools do that cannot take one away."""
    found: list[Remade] = []
    for name, labels in before.enums.items():
        now = after.enums.get(name)
        if now is None or now == labels or not any(_takes_away(each, name) for each in deeds):
            continue
        renamed = {each.to for each in deeds if isinstance(each, RenameType) and each.type == name}
        others = {each.type for each in deeds if isinstance(each, RenameType) and each.to == name}
        names = {name, *renamed, *others}
        found.append(
            Remade(
                deed=RemakeEnum(
                    type=name,
                    removed=tuple(label for label in labels if label not in now),
                    added=tuple(label for label in now if label not in labels),
                ),
                deeds=tuple(each for each in deeds if _is_part(each, names, before)),
            )
        )
    return tuple(found)


def _takes_away(deed: Deed, name: TableName) -> bool:
    return (isinstance(deed, Drop) and deed.what == "type" and name in deed.names) or (
        isinstance(deed, RenameType) and deed.type == name
    )


def _is_part(deed: Deed, names: set[TableName], before: Known) -> bool:
    match deed:
        case ChangeType(table=table, column=column, type=kind):
            was = before.column(table, column)
            spelled = {types.parse(str(name)).base for name in names}
            return types.parse(kind).base in spelled or (was is not None and types.parse(was.type).base in spelled)
        case CreateEnum(type=name) | RenameType(type=name):
            return name in names
        case Drop(what="type", names=dropped):
            return bool(names.intersection(dropped))
        case _:
            return False
