"""What is found in a statement that needs nothing to be judged by but itself."""

from orchestrator.detection import changes
from orchestrator.detection.deeds import (
    ChangeType,
    ColumnText,
    CreateIndex,
    Deed,
    Hidden,
    Hold,
    RemakeEnum,
    RenameColumn,
    RenameTable,
    RenameValue,
)
from orchestrator.detection.finding import Finding, Level, Place
from orchestrator.operations import Operation
from orchestrator.words import listed


def _breaking(
    place: Place,
    deed: Deed,
    rule: str,
    subject: str,
    message: str,
    *,
    change: Operation | None,
    left: tuple[str, ...] = (),
) -> Finding:
    return Finding(
        rule=rule,
        level=Level.BREAKING,
        place=place,
        deed=deed,
        subject=subject,
        message=message,
        change=change,
        left=left,
    )


def rename_table(place: Place, deed: RenameTable) -> Finding:
    """Return that a table gets another name."""
    message = f"a version that knows it as {deed.table} fails from here on, one that knows {deed.to} until here"
    to = deed.to.name if deed.to.schema == "public" else str(deed.to)
    change = changes.change("rename_table", table=str(deed.table), to=to)
    return _breaking(place, deed, "rename-table", str(deed.table), message, change=change)


def rename_column(place: Place, deed: RenameColumn) -> Finding:
    """Return that a column gets another name."""
    message = f"a version that reads or writes {deed.column} fails from here on, one that knows {deed.to} until here"
    change = changes.change("rename_column", table=str(deed.table), column=deed.column, to=deed.to)
    return _breaking(place, deed, "rename-column", f"{deed.table}.{deed.column}", message, change=change)


def rename_value(place: Place, deed: RenameValue) -> Finding:
    """Return that a label of an enum gets another name."""
    message = f"a version that reads or writes {deed.old!r} fails from here on, one that knows {deed.new!r} until here"
    change = changes.change("change_enum", type=str(deed.type), rename={deed.old: deed.new})
    return _breaking(place, deed, "rename-value", f"type {deed.type}", message, change=change)


def remade(place: Place, deed: RemakeEnum) -> Finding:
    """Return that an enum type is made anew."""
    subject, likely, left = f"type {deed.type}", None, ()
    removed, added = deed.removed, deed.added
    change: Operation | None = None
    if not removed:
        change = changes.change("change_enum", type=str(deed.type), add=added) if added else None
    elif len(removed) == len(added) == 1:
        likely = changes.change("change_enum", type=str(deed.type), rename={removed[0]: added[0]})
    if removed:
        taken = " ".join(f"--remove {label}=INSTEAD" for label in removed)
        left = (f"say what takes the place of {listed(map(repr, removed))}: ecm plan change-enum {deed.type} {taken}",)
    gone = f"a version that uses {listed(map(repr, removed))} fails from here on, and " if removed else ""
    return Finding(
        rule="change-enum",
        level=Level.BREAKING if removed else Level.LOCKING,
        locks=True,
        place=place,
        deed=deed,
        subject=subject,
        message=f"{gone}readers and writers wait while every row of each column of the type is written anew",
        change=change,
        likely=likely,
        left=left,
    )


def create_index(place: Place, deed: CreateIndex) -> Finding:
    """Return that an index is built while writers wait."""
    refused = "a version that writes duplicates fails from here on, and " if deed.unique else ""
    return Finding(
        rule="create-unique-index" if deed.unique else "create-index",
        level=Level.BREAKING if deed.unique else Level.LOCKING,
        locks=True,
        place=place,
        deed=deed,
        subject=f"{deed.table} {deed.name or ''}".strip(),
        message=f"{refused}writers wait while every row is read",
        change=changes.index(deed),
    )


def unique_index(place: Place, deed: CreateIndex) -> Finding:
    """Return that a unique index is built while nobody waits."""
    return Finding(
        rule="create-unique-index",
        level=Level.NOTE,
        place=place,
        deed=deed,
        subject=f"{deed.table} {deed.name or ''}".strip(),
        message="duplicates are refused from here on, also from a version that is running; nobody waits",
    )


def outright(place: Place, deed: Deed, rule: str, subject: str, message: str) -> Finding:
    """Return that something a version uses is not there any more, which a plan puts off to contract."""
    change = changes.at_the_end(place.text)
    left = () if change else ("no plan runs it: run it by hand, once no version uses that any more",)
    return _breaking(place, deed, rule, subject, message, change=change, left=left)


def hold(place: Place, deed: Hold) -> Finding:
    """Return that a table is held as a whole."""
    tables = listed(map(str, deed.tables)) if deed.tables else "a table"
    instead = f"; instead: {deed.instead}" if deed.instead else ""
    return Finding(
        rule="lose-rows" if deed.loses else "hold-table",
        level=Level.BREAKING if deed.loses else Level.LOCKING,
        locks=True,
        place=place,
        deed=deed,
        subject=tables,
        message=f"{deed.how}, and others wait for it to the end of the transaction{instead}",
        change=changes.at_the_end(place.text) if deed.loses else None,
    )


def hidden(place: Place) -> Finding:
    """Return that nobody can tell what a statement does."""
    return Finding(
        rule="not-read",
        level=Level.NOTE,
        place=place,
        deed=Hidden(),
        subject="",
        message="ecm cannot tell what it does: it is put together as it runs, or cannot be read",
    )


def left_to_say(column: ColumnText, was: str | None) -> tuple[str, ...]:
    """Return what is left to say of a column that comes."""
    if not changes.needs_value(column, was):
        return ()
    return ("give `using` or `default`: what a row gets that does not give it; without it such rows stop the plan",)


def repair_to_say(kind: str) -> tuple[str, ...]:
    """Return what is left to say of a constraint that comes."""
    if kind not in ("check", "unique", "foreign key"):
        return ()
    return ("give `using`: the values of rows that break it; without it such rows stop the plan",)


def is_plain_cast(deed: ChangeType) -> bool:
    """Whether USING is the cast that a plan makes anyhow: `"amount"::bigint`."""
    using = "".join((deed.using or "").replace('"', "").lower().split())
    kind = "".join(deed.type.replace('"', "").lower().split())
    return using in (
        f"{deed.column.lower()}::{kind}",
        f"({deed.column.lower()})::{kind}",
        f"cast({deed.column.lower()}as{kind})",
    )
