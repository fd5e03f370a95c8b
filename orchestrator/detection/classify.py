"""What the statements of migrations do to versions of the application that run meanwhile, and what does it safely.

Two questions of each statement. Does a version that is running fail when it has run (breaking)? Is a table held while
it is read or written as a whole, so that writers, or readers too, wait (lock-hungry)? What is done to a table that
the same migrations make is no finding: nobody uses it, and it is empty.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from orchestrator.detection import changes, pairs, types, verdicts
from orchestrator.detection.deeds import (
    AddColumn,
    AddConstraint,
    AlterColumn,
    ChangeType,
    ColumnText,
    Constraint,
    Create,
    CreateEnum,
    CreateIndex,
    CreateTable,
    Deed,
    Drop,
    DropColumn,
    Hidden,
    Hold,
    RenameColumn,
    RenameTable,
    RenameType,
    RenameValue,
    Shed,
    Withdraw,
)
from orchestrator.detection.finding import Finding, Level, Place
from orchestrator.detection.known import Known
from orchestrator.detection.pairs import Pair
from orchestrator.detection.parsing import read
from orchestrator.sql.identifiers import TableName, words
from orchestrator.words import listed

Column = tuple[TableName, str]

_HELD = "the table is held while every row is {}"
_BY_ITSELF = ("no kind of plan has it as it is: contract runs the statement itself, and the table is held meanwhile",)
_ALONG = "what hangs on {} comes along when ecm renames it, and keeps its name"


def findings(
    migrations: Sequence[Sequence[Place]], *, before: Iterable[str] = (), together: bool = True
) -> tuple[Finding, ...]:
    """Return what should be known of migrations before they run, in their order.

    Args:
        migrations: the statements of each, in order.
        before: statements that ran already, as far as they are known: they tell types and what is there.
        together: whether all of them reach a database in one go, so that a table which one makes is empty for the
            next; each by itself otherwise.
    """
    known = Known()
    for text in before:
        for deed in read(text):
            known.take(deed)
    look = _Look(known=known)
    found: list[Finding] = []
    for places in migrations:
        if not together:
            look = _Look(known=look.known)
        found += look.migration([(place, deed) for place in places for deed in read(place.text)])
    return tuple(look.completed(each) for each in found) if together else tuple(found)


@dataclass
class _Added:
    """A column that the migrations add, as it is so far."""

    column: ColumnText
    was: str | None = None
    """The default that it had and lost."""


@dataclass
class _Look:
    """What is known while migrations are gone through."""

    known: Known
    made: set[TableName] = field(default_factory=set[TableName])
    """Tables, types and views that the migrations make."""
    added: dict[Column, _Added] = field(default_factory=dict[Column, _Added])
    alike: dict[Column, Pair] = field(default_factory=dict[Column, Pair])
    """Of the migration at hand, by the column that goes and by the one that comes."""
    renamed: dict[Column, str] = field(default_factory=dict[Column, str])
    """Of the migration at hand, by the column with its new name: the old one."""
    sheds: bool = False
    """Whether the migration at hand takes indexes or constraints away, as a tool does that makes names up."""
    tables: dict[TableName, TableName] = field(default_factory=dict[TableName, TableName])
    created: set[TableName] = field(default_factory=set[TableName])
    """What the migration at hand makes, or makes anew."""

    def migration(self, statements: Sequence[tuple[Place, Deed]]) -> list[Finding]:
        """Return what is found in one migration."""
        deeds = [deed for _, deed in statements]
        after = self.known.copy()
        for deed in deeds:
            after.take(deed)
        remade = pairs.enums(deeds, self.known, after)
        matched = pairs.columns(deeds, self.known)
        self.alike = {(pair.table, name): pair for pair in matched for name in (pair.old, pair.new)}
        self.renamed = {(each.table, each.to): each.column for each in deeds if isinstance(each, RenameColumn)}
        self.sheds = any(isinstance(each, Shed) for each in deeds)
        self.tables = pairs.tables(deeds, self.known)
        self.created = {name for each in deeds if isinstance(each, Create) for name in each.names}
        part_of = {id(deed): each for each in remade for deed in each.deeds}
        passing = _passing(deeds)
        said: set[int] = set()
        found: list[Finding] = []
        for place, deed in statements:
            of = part_of.get(id(deed))
            if of is None and id(deed) not in passing:
                found += self._of(place, deed)
            elif of is not None and id(of) not in said:
                said.add(id(of))
                found.append(verdicts.remade(place, of.deed))
            if not self._stays(deed):
                self._note(deed)
            self.known.take(deed)
        return [self.completed(each) for each in found]

    def completed(self, finding: Finding) -> Finding:
        """Return a finding about a column that is added with all that later statements give the column."""
        deed = finding.deed
        if isinstance(deed, AddColumn | AlterColumn) or (
            isinstance(deed, AddConstraint) and len(deed.constraint.columns) == 1
        ):
            match deed:
                case AddColumn(table=table, column=column):
                    key = (table, column.name)
                case AlterColumn(table=table, column=name):
                    key = (table, name)
                case AddConstraint(table=table, constraint=constraint):
                    key = (table, constraint.columns[0])
            if (added := self.added.get(key)) is not None:
                change = changes.add_column(key[0], added.column, was=added.was)
                return replace(
                    finding, change=change, left=verdicts.left_to_say(added.column, added.was) if change else ()
                )
        return finding

    def _note(self, deed: Deed) -> None:
        """Take down what later statements are judged by."""
        match deed:
            case CreateTable(table=name) | CreateEnum(type=name):
                self.made.add(name)
            case Create(names=names):
                self.made.update(names)
            case RenameTable(table=old, to=new) | RenameType(type=old, to=new) if old in self.made:
                self.made.add(new)
            case AddColumn(table=table, column=column) if table not in self.made:
                self.added.setdefault((table, column.name), _Added(column))
            case RenameColumn(table=table, column=old, to=new) if (table, old) in self.added:
                self.added[(table, new)] = self.added.pop((table, old))
            case AlterColumn(table=table, column=name) if (added := self.added.get((table, name))) is not None:
                if deed.how.endswith("default"):
                    added.was = added.column.default or added.was if deed.how == "drop default" else added.was
                    added.column = replace(added.column, default=deed.default)
                else:
                    added.column = replace(added.column, not_null=deed.how == "set not null")
            case AddConstraint(table=table, constraint=constraint) if len(constraint.columns) == 1:
                if (added := self.added.get((table, constraint.columns[0]))) is not None:
                    added.column = replace(
                        added.column,
                        unique=added.column.unique or constraint.kind == "unique",
                        references=constraint.references or added.column.references,
                    )
            case _:
                pass

    def _stays(self, deed: Deed) -> bool:
        """Whether IF NOT EXISTS makes nothing, since it is there."""
        match deed:
            case CreateTable(table=table, if_missing=True):
                return table in self.known.tables
            case AddColumn(table=table, column=column, if_missing=True):
                return self.known.column(table, column.name) is not None
            case _:
                return False

    # ---------------------------------------------------------------- one deed

    def _of(self, place: Place, deed: Deed) -> Iterator[Finding]:  # noqa: C901, PLR0912 - one line for each kind
        match deed:
            case RenameTable(table=table) if table not in self.made:
                yield verdicts.rename_table(place, deed)
            case RenameColumn(table=table, column=column) if self._used(table, column):
                yield verdicts.rename_column(place, deed)
            case DropColumn(table=table, column=column) if self._used(table, column):
                yield self._drop_column(place, deed)
            case AddColumn(table=table) if table not in self.made:
                yield from self._add_column(place, deed)
            case ChangeType(table=table, column=column) if self._used(table, column):
                yield self._change_type(place, deed)
            case AlterColumn(table=table) if table not in self.made:
                yield from self._alter_column(place, deed)
            case AddConstraint(table=table) if table not in self.made:
                yield from self._add_constraint(place, deed)
            case CreateIndex(table=table, concurrently=False) if table not in self.made:
                yield self._waiting(self._along(verdicts.create_index(place, deed), table, deed.columns or ()), deed)
            case CreateIndex(table=table, unique=True) if table not in self.made:
                yield verdicts.unique_index(place, deed)
            case RenameValue(type=name) if name not in self.made:
                yield verdicts.rename_value(place, deed)
            case RenameType(type=name) if name not in self.made:
                yield verdicts.outright(
                    place, deed, "rename-type", f"type {name}", f"casts to {name} fail from here on"
                )
            case Withdraw(name=name) if name not in self.made:
                said = f"a version that uses it as {name} fails from here on: it {deed.how}"
                yield verdicts.outright(
                    place, deed, f"alter-{deed.what.replace(' ', '-')}", f"{deed.what} {name}", said
                )
            case Drop():
                yield from self._drop(place, deed)
            case Hold(tables=tables) if not tables or not self.made.issuperset(tables):
                yield verdicts.hold(place, deed)
            case Hidden():
                yield verdicts.hidden(place)
            case _:
                pass

    def _used(self, table: TableName, column: str) -> bool:
        """Whether a column was there before the migrations."""
        return table not in self.made and (table, column) not in self.added

    def _drop_column(self, place: Place, deed: DropColumn) -> Finding:
        subject = f"{deed.table}.{deed.column}"
        pair = self.alike.get((deed.table, deed.column))
        likely = pair.likely if pair else None
        message = f"a version that reads or writes {deed.column} fails from here on, and its values are gone"
        if pair and likely:
            message += f"; {pair.new}, which comes with it, is like it: a rename, perhaps"
        return Finding(
            rule="drop-column",
            level=Level.BREAKING,
            place=place,
            deed=deed,
            subject=subject,
            message=message,
            change=changes.change("drop_column", table=str(deed.table), column=deed.column),
            likely=likely,
        )

    def _add_column(self, place: Place, deed: AddColumn) -> Iterator[Finding]:
        column, pair = deed.column, self.alike.get((deed.table, deed.column.name))
        locks = [
            said
            for said, so in (
                ("written: its value is another in each row", changes.writes_rows(column)),
                ("read: a unique index is built", column.unique or column.primary),
                ("read: its check is tried", column.check is not None),
                ("read: its foreign key is tried, and the other table is held too", column.references is not None),
            )
            if so
        ]
        missing = changes.needs_value(column, None)
        if not missing and not locks:
            return
        said = [
            f"INSERTs of a version that does not know {column.name} fail, and so does this statement where there is"
            " a row"
            if missing
            else "",
            _HELD.format(listed(locks)) if locks else "",
        ]
        yield Finding(
            rule="add-column-not-null" if missing else "add-column",
            level=Level.BREAKING if missing else Level.LOCKING,
            locks=bool(locks),
            place=place,
            deed=deed,
            subject=f"{deed.table}.{column.name}",
            message="; ".join(filter(None, said)),
            change=changes.add_column(deed.table, column),
            likely=pair.likely if pair else None,
            left=verdicts.left_to_say(column, None),
        )

    def _change_type(self, place: Place, deed: ChangeType) -> Finding:
        before = self.known.column(deed.table, deed.column)
        subject = f"{deed.table}.{deed.column}"
        free = deed.using is None and deed.collation is None
        if before is not None and free and types.costs_nothing(before.type, deed.type):
            message = f"{before.type} becomes {deed.type} in the catalog alone: no row is read, and old versions go on"
            return Finding(
                rule="change-type", level=Level.NOTE, place=place, deed=deed, subject=subject, message=message
            )
        was = f"{before.type} becomes {deed.type}" if before else f"it becomes {deed.type}"
        using = deed.using if deed.using and not verdicts.is_plain_cast(deed) else None
        change = changes.change("change_type", table=str(deed.table), column=deed.column, type=deed.type, using=using)
        left = ("give `reverse`: the old value, over the new one",) if using and change else ()
        if deed.collation is not None:
            change, left = None, ("say it in a plan of kind sql: no other one changes a collation",)
        return Finding(
            rule="change-type",
            level=Level.BREAKING,
            locks=True,
            place=place,
            deed=deed,
            subject=subject,
            message=f"{was}: readers and writers wait while every row is written anew, and a version that knows the"
            " old type may fail",
            change=change,
            left=left,
        )

    def _alter_column(self, place: Place, deed: AlterColumn) -> Iterator[Finding]:
        subject = f"{deed.table}.{deed.column}"
        added = self.added.get((deed.table, deed.column))
        column = added.column if added else self.known.column(deed.table, deed.column)
        table = str(deed.table)
        if deed.how == "set not null":
            pair = self.alike.get((deed.table, deed.column)) if added else None
            unknown = f" a version that does not know {deed.column}" if added else " a version that writes NULL"
            default = added is not None and added.column.default is not None
            yield Finding(
                rule="set-not-null",
                level=Level.LOCKING if default else Level.BREAKING,
                locks=True,
                place=place,
                deed=deed,
                subject=subject,
                message=("" if default else f"writes of{unknown} fail from here on, and ") + _HELD.format("read"),
                change=changes.change("set_not_null", table=table, column=deed.column),
                likely=pair.likely if pair else None,
                left=() if added else ("give `using`: the value for a NULL; without it rows with NULL stop the plan",),
            )
        elif deed.how == "drop not null" and added is None:
            yield Finding(
                rule="drop-not-null",
                level=Level.NOTE,
                place=place,
                deed=deed,
                subject=subject,
                message=f"a version that counts on {deed.column} may meet NULL once a newer one writes it",
                change=changes.change("drop_not_null", table=table, column=deed.column),
            )
        elif deed.how == "drop default" and (column is None or (column.not_null and column.default is not None)):
            pair = self.alike.get((deed.table, deed.column)) if added else None
            yield Finding(
                rule="drop-default",
                level=Level.BREAKING if column else Level.NOTE,
                place=place,
                deed=deed,
                subject=subject,
                message=f"INSERTs that leave {deed.column} out fail from here on"
                + ("" if column else ", where it is NOT NULL"),
                change=changes.at_the_end(place.text) if column and not added else None,
                likely=pair.likely if pair else None,
            )

    def _add_constraint(self, place: Place, deed: AddConstraint) -> Iterator[Finding]:
        constraint = self._pointed(deed.constraint)
        kind, subject = (
            constraint.kind,
            f"{deed.table} {constraint.name or listed(constraint.columns or ('',))}".strip(),
        )
        if constraint.not_valid or constraint.using_index:
            waits = "no row is read under the lock"
            message = f"what breaks it is refused from here on, also from a version that is running; {waits}"
            yield Finding(
                rule=f"add-{kind.replace(' ', '-')}", level=Level.NOTE, place=place, deed=deed, subject=subject,
                message=message,
            )  # fmt: skip
            return
        new = bool(constraint.columns) and all((deed.table, each) in self.added for each in constraint.columns)
        held = "both tables are held while every row is read" if kind == "foreign key" else _HELD.format("read")
        refused = "writes that break it, of a version that is running, fail from here on, and "
        change = changes.add_constraint(deed.table, constraint)
        found = Finding(
            rule=f"add-{kind.replace(' ', '-')}",
            level=Level.LOCKING if new or kind == "primary key" else Level.BREAKING,
            locks=True,
            place=place,
            deed=deed,
            subject=subject,
            message=("" if new or kind == "primary key" else refused) + held,
            change=change or changes.at_the_end(place.text),
            left=_BY_ITSELF if change is None else verdicts.repair_to_say(kind) if not new else (),
        )
        yield self._along(found, deed.table, constraint.columns)

    def _pointed(self, constraint: Constraint) -> Constraint:
        """Return a foreign key with the key that it points to, where it leaves that out and it is known."""
        pointed = constraint.references
        if pointed is None or pointed.columns or len(constraint.columns) != 1:
            return constraint
        keys = tuple(each.name for each in self.known.tables.get(pointed.table, {}).values() if each.primary)
        return replace(constraint, references=replace(pointed, columns=keys)) if len(keys) == 1 else constraint

    def _along(self, found: Finding, table: TableName, columns: Sequence[str]) -> Finding:
        """Return a finding about an index or a constraint, with the rename that has it come along where one does."""
        for column in columns:
            old, pair = self.renamed.get((table, column)), self.alike.get((table, column))
            if old is not None and self._used(table, old) and self.sheds:
                rename = changes.change("rename_column", table=str(table), column=old, to=column)
                return replace(found, message=f"{found.message}; {_ALONG.format(old)}", change=rename, left=())
            if old is not None and self._used(table, old):
                return replace(found, message=f"{found.message}; build it once the rename of {old} has contracted")
            if pair is not None and pair.new == column and pair.likely is not None:
                return replace(found, message=f"{found.message}; {_ALONG.format(pair.old)}", likely=pair.likely)
        return found

    def _waiting(self, found: Finding, deed: CreateIndex) -> Finding:
        """Return a finding about an index with the columns under it that the migrations add."""
        if found.change is None or not found.change.written():
            return found
        named = words(deed.tail)
        return replace(found, needs=tuple(name for table, name in self.added if table == deed.table and name in named))

    def _drop(self, place: Place, deed: Drop) -> Iterator[Finding]:
        for name in deed.names:
            if name in self.made or (name in self.created and deed.what != "table"):
                continue
            likely = None
            message = f"a version that uses {deed.what} {name} fails from here on"
            if deed.what == "table":
                message += ", and its rows are gone"
            if (like := self.tables.get(name)) is not None:
                likely = changes.change("rename_table", table=str(name), to=str(like))
                message += f"; {like}, which comes with it, has its columns: a rename, perhaps"
            yield Finding(
                rule=f"drop-{deed.what.replace(' ', '-')}",
                level=Level.BREAKING,
                place=place,
                deed=replace(deed, names=(name,)),
                subject=f"{deed.what} {name}",
                message=message,
                change=changes.at_the_end(place.text),
                likely=likely,
            )


def _passing(deeds: Sequence[Deed]) -> frozenset[int]:
    """Return which deeds take a default away that the same migration gives again, as tools do around a new type."""
    found: set[int] = set()
    given: set[Column] = set()
    for deed in reversed(deeds):
        if isinstance(deed, AlterColumn) and deed.how == "set default":
            given.add((deed.table, deed.column))
        elif isinstance(deed, AlterColumn) and deed.how == "drop default":
            if (deed.table, deed.column) in given:
                found.add(id(deed))
            given.discard((deed.table, deed.column))
    return frozenset(found)
