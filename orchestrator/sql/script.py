"""What statements of the plan's author lock, and whether they may run in a transaction.

A table of kinds of statement, by the manual's page of each and "Explicit Locking" (13.3). What is not in it is taken
for the strongest lock, and a person is told that it was assumed.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise, takewhile

from orchestrator.sql.identifiers import TableName, verbatim
from orchestrator.sql.lexer import Token, Written
from orchestrator.sql.steps import ConcurrentIndex, LockMode, Statement
from orchestrator.sql.words import Words, as_word


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A statement as it was understood.

    Attributes:
        lock: the strongest that it takes on a table that was there before; None where it takes none.
        tables: those that it names and locks so, without what it may find missing (IF EXISTS).
        makes: the table that it makes.
        assumed: whether the lock is a guess.
    """

    lock: LockMode | None
    tables: tuple[TableName, ...] = ()
    makes: TableName | None = None
    assumed: bool = False


def read(statement: Written) -> Reading:
    """Return what a statement does to tables."""
    words = _Words(statement.tokens)
    for head, how in _KINDS:
        if words.begins(head):
            return how(words)
    return Reading(lock=LockMode.ACCESS_EXCLUSIVE, assumed=True)


@dataclass(frozen=True, kw_only=True)
class Outright:
    """What a change does to the database as a whole, in the words of the plan's author.

    Attributes:
        expand: in expand's transaction, with what takes it back.
        contract: in contract's transaction, after the sync triggers are gone.
        expand_locks: what expand and its way back lock first, and how strongly.
        contract_locks: what contract locks first.
        contract_inverse: what takes that back.
        undo_locks: what that locks first.
        after_expand: what is built without a transaction once expand is done.
        before_contract: what is built so before contract.
    """

    expand: tuple[Statement, ...] = ()
    inverse: tuple[Statement, ...] = ()
    contract: tuple[Statement, ...] = ()
    expand_locks: "Locks"
    contract_locks: "Locks"
    contract_inverse: tuple[Statement, ...] = ()
    undo_locks: "Locks"
    after_expand: tuple[ConcurrentIndex, ...] = ()
    before_contract: tuple[ConcurrentIndex, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Locks:
    """Tables that are locked before the first of several statements.

    Attributes:
        tables: none of them made by the statements themselves.
        mode: the strongest lock that any of the statements takes; None where none takes any.
        lines: for a person, what each statement locks.
    """

    tables: tuple[TableName, ...] = ()
    mode: LockMode | None = None
    lines: tuple[str, ...] = ()


def locks(*texts: Iterable[Written]) -> Locks:
    """Return what is locked before statements run, whichever of the texts it is that runs."""
    tables: list[TableName] = []
    modes: list[LockMode | None] = []
    lines: list[str] = []
    made: set[TableName] = set()
    for text in texts:
        for statement in text:
            found = read(statement)
            made |= {found.makes} if found.makes else set()
            modes.append(found.lock)
            tables += [table for table in found.tables if table not in made and table not in tables]
            lines.append(f"{statement.place()}: {_said(found)}")
    return Locks(tables=tuple(tables), mode=strongest(modes), lines=tuple(lines))


def _said(found: Reading) -> str:
    if found.lock is None:
        return "locks no table that was there"
    on = f" on {', '.join(map(str, found.tables))}" if found.tables else ""
    return f"{found.lock}{on}, {'assumed: ecm does not know this statement' if found.assumed else found.lock.waits_for}"


def strongest(locks: Iterable[LockMode | None]) -> LockMode | None:
    """Return the strongest of locks."""
    order = list(LockMode)
    return min((lock for lock in locks if lock is not None), key=order.index, default=None)


@dataclass(frozen=True, kw_only=True)
class WrittenIndex:
    """A CREATE INDEX CONCURRENTLY that was understood."""

    name: str
    table: TableName
    unique: bool
    tail: str
    """From USING or the parenthesis on, as ` USING …`."""


def concurrent_index(statement: Written) -> WrittenIndex | None:
    """Return what a CREATE INDEX CONCURRENTLY builds; None where it is not that, or not in a form that ecm knows."""
    words = _Words(statement.tokens)
    unique = bool(words.take("create unique"))
    if not (unique or words.take("create")) or not words.take("index concurrently"):
        return None
    words.take("if not exists")
    name = words.table()
    if name is None or name.schema != "public" or not words.take("on"):
        return None
    table = words.table()
    following = words.next
    if table is None or following is None or following.text not in ("using", "("):
        return None
    first = statement.tokens[0].start
    return WrittenIndex(
        name=name.name, table=table, unique=unique, tail=f" {statement.text[following.start - first :]}"
    )


def without_concurrently(statement: Written) -> Statement:
    """Return a CREATE or DROP INDEX CONCURRENTLY as one that runs in a transaction, and any other statement as it is.

    The word comes right after INDEX, and nowhere else in a statement that a plan may have in these phases.
    """
    words = [token for token in statement.tokens[:4] if token.kind == "word"]
    for before, word in pairwise(words):
        if (before.text, word.text) == ("index", "concurrently"):
            first = statement.tokens[0].start
            text = statement.text
            return verbatim(text[: word.start - first] + text[word.end - first :].lstrip())
    return statement


def dropped_indexes(statement: Written) -> tuple[TableName, ...]:
    """Return the indexes that a DROP INDEX names; none where it is another statement."""
    words = _Words(statement.tokens)
    if not words.take("drop index"):
        return ()
    words.take("if exists")
    return words.tables()


_OURS = "ecm begins and ends the transaction that holds these statements and their record: leave it out"
_OUTLIVES = "it would outlive the transaction and change what ecm does after it: write SET LOCAL"

_REFUSED = {
    **dict.fromkeys(
        ("begin", "commit", "rollback", "savepoint", "start transaction", "end", "abort", "release"), _OURS
    ),
    "prepare transaction": _OURS,
    "set local": None,
    "set constraints": None,
    "set": _OUTLIVES,
    "reset": _OUTLIVES,
    "vacuum": "PostgreSQL does not run VACUUM in a transaction, and it changes no schema: run it yourself",
    "create database": "PostgreSQL does not run it in a transaction, and it is no change to this database",
    "drop database": "PostgreSQL does not run it in a transaction, and it is no change to this database",
    "create tablespace": "PostgreSQL does not run it in a transaction: run it yourself",
    "drop tablespace": "PostgreSQL does not run it in a transaction: run it yourself",
    "alter system": "PostgreSQL does not run it in a transaction: run it yourself",
}
"""How a statement begins that ecm does not send, and why; the first that fits counts, None where it is sent."""


def refusal(statement: Written) -> str | None:
    """Return why ecm does not send a statement, or None where it does."""
    words = _Words(statement.tokens)
    for head, why in _REFUSED.items():
        if words.begins(head):
            return why
    if not _is_concurrent(words):
        return None
    if words.begins("create index") or words.begins("create unique index"):
        form = "CREATE [UNIQUE] INDEX CONCURRENTLY name ON table [USING …] (…), the index in its table's schema"
        return None if concurrent_index(statement) else f"ecm builds an index by its name, written as {form}"
    if words.begins("drop index"):
        return "write DROP INDEX: its lock is asked for within the lock timeout, and held for a moment"
    return "PostgreSQL does not run it in a transaction, and ecm could not tell whether it was done: run it yourself"


def _is_concurrent(words: "_Words") -> bool:
    head = ("create index", "create unique index", "drop index", "reindex")
    if any(words.begins(each) for each in head):
        return words.has("concurrently")
    return words.begins("alter table") and words.has("detach") and words.has("concurrently")


class _Words(Words):
    """A statement's tokens, read from the front."""

    def has(self, wanted: str) -> bool:
        """Whether a word comes before the first parenthesis."""
        return any(as_word(token) == wanted for token in takewhile(lambda token: token.text != "(", self.rest))

    def seek(self, wanted: str) -> bool:
        """Go past the first of a word, where it comes."""
        for number, token in enumerate(self.rest):
            if as_word(token) == wanted:
                self._at += number + 1
                return True
        return False

    def parts(self) -> Iterator["_Words"]:
        """Give what stands between the commas outside of parentheses."""
        depth, part = 0, list[Token]()
        for token in self.rest:
            depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "mark" else 0
            if token.text == "," and token.kind == "mark" and depth == 0:
                yield _Words(tuple(part))
                part = []
            else:
                part.append(token)
        yield _Words(tuple(part))


# ---------------------------------------------------------------- kinds of statement


def _named(lock: LockMode, *heads: str) -> Callable[[_Words], Reading]:
    """The tables come after one of these heads; what may be missing is not locked first."""

    def how(words: _Words) -> Reading:
        next(filter(words.take, heads), None)
        missing = words.take("if exists")
        names = words.tables()
        return Reading(lock=lock, tables=() if missing else names)

    return how


def _on(lock: LockMode, before: str = "on") -> Callable[[_Words], Reading]:
    """The table comes after a word."""

    def how(words: _Words) -> Reading:
        missing = words.has("exists")
        found = words.tables() if words.seek(before) else ()
        return Reading(lock=lock, tables=() if missing else found)

    return how


def _none(_: _Words) -> Reading:
    return Reading(lock=None)


def _some(lock: LockMode) -> Callable[[_Words], Reading]:
    return lambda _: Reading(lock=lock)


_GENTLE = ("validate constraint", "attach partition", "cluster on", "set without cluster")


def _alter_table(words: _Words) -> Reading:
    words.take("alter table")
    missing = words.take("if exists")
    tables = words.tables()
    locks: list[LockMode] = []
    for action in words.parts():
        referred = _referred(action)
        tables = (*tables, *referred)
        locks.append(LockMode.SHARE_ROW_EXCLUSIVE if referred and _only_refers(action) else _of_action(action))
    return Reading(lock=strongest(locks), tables=() if missing else tuple(dict.fromkeys(tables)))


def _of_action(action: _Words) -> LockMode:
    storage = [token.text for token in action.rest[:2]] in (["set", "("], ["reset", "("])
    if storage or any(map(action.begins, _GENTLE)) or (action.begins("alter") and action.has("statistics")):
        return LockMode.SHARE_UPDATE_EXCLUSIVE
    if action.begins("enable trigger") or action.begins("disable trigger"):
        return LockMode.SHARE_ROW_EXCLUSIVE
    return LockMode.ACCESS_EXCLUSIVE


def _only_refers(action: _Words) -> bool:
    """Whether an action adds a foreign key to columns that are there."""
    return action.begins("add foreign") or (action.begins("add constraint") and action.has("foreign"))


def _referred(words: _Words) -> tuple[TableName, ...]:
    """Return the tables that foreign keys in it point to, and partitions that come or go."""
    found: list[TableName] = []
    again = _Words(words.rest)
    while again.seek("references"):
        if (name := again.table()) is not None:
            found.append(name)
    again = _Words(words.rest)
    if (again.take("attach partition") or again.take("detach partition")) and (name := again.table()) is not None:
        found.append(name)
    return tuple(found)


def _create_table(words: _Words) -> Reading:
    words.seek("table")
    words.take("if not exists")
    made = words.table()
    referred = _referred(words)
    if words.take("partition of"):
        parent = words.table()
        return Reading(lock=LockMode.ACCESS_EXCLUSIVE, tables=(parent,) if parent else (), makes=made)
    referred = tuple(table for table in referred if table != made)
    return Reading(lock=LockMode.SHARE_ROW_EXCLUSIVE if referred else None, tables=referred, makes=made)


def _create_view(words: _Words) -> Reading:
    """A view that is replaced is locked; one that is new is nobody's yet, and what it reads is only looked at."""
    replaced = words.has("replace")
    words.seek("view")
    words.take("if not exists")
    made = None if replaced else words.table()
    return Reading(lock=LockMode.ACCESS_EXCLUSIVE if replaced else LockMode.ACCESS_SHARE, makes=made)


def _lock(words: _Words) -> Reading:
    words.take("lock")
    words.take("table")
    names = words.tables()
    said = " ".join(token.text.upper() for token in words.rest if token.kind == "word" and token.text != "nowait")
    lock = next((mode for mode in LockMode if said == f"IN {mode} MODE"), LockMode.ACCESS_EXCLUSIVE)
    return Reading(lock=lock, tables=names)


_KINDS: tuple[tuple[str, Callable[[_Words], Reading]], ...] = (
    ("alter table", _alter_table),
    ("alter index", _some(LockMode.SHARE_UPDATE_EXCLUSIVE)),
    ("alter view", _named(LockMode.ACCESS_EXCLUSIVE, "alter view")),
    ("alter materialized view", _named(LockMode.ACCESS_EXCLUSIVE, "alter materialized view")),
    ("alter policy", _on(LockMode.ACCESS_EXCLUSIVE)),
    ("alter trigger", _on(LockMode.ACCESS_EXCLUSIVE)),
    ("alter sequence", _none),
    ("alter function", _none),
    ("alter procedure", _none),
    ("alter type", _none),
    ("alter schema", _none),
    ("alter role", _none),
    ("alter default", _none),
    ("alter publication", _none),
    ("analyze", _named(LockMode.SHARE_UPDATE_EXCLUSIVE, "analyze verbose", "analyze")),
    ("cluster", _named(LockMode.ACCESS_EXCLUSIVE, "cluster")),
    ("comment on table", _named(LockMode.SHARE_UPDATE_EXCLUSIVE, "comment on table")),
    ("comment", _none),
    ("copy", _named(LockMode.ROW_EXCLUSIVE, "copy")),
    ("create unique index", _on(LockMode.SHARE)),
    ("create index", _on(LockMode.SHARE)),
    ("create trigger", _on(LockMode.SHARE_ROW_EXCLUSIVE)),
    ("create or replace trigger", _on(LockMode.SHARE_ROW_EXCLUSIVE)),
    ("create constraint trigger", _on(LockMode.SHARE_ROW_EXCLUSIVE)),
    ("create policy", _on(LockMode.ACCESS_EXCLUSIVE)),
    ("create rule", _on(LockMode.ACCESS_EXCLUSIVE, "to")),
    ("create or replace rule", _on(LockMode.ACCESS_EXCLUSIVE, "to")),
    ("create statistics", _on(LockMode.SHARE_UPDATE_EXCLUSIVE, "from")),
    ("create table", _create_table),
    ("create unlogged table", _create_table),
    ("create view", _create_view),
    ("create or replace view", _create_view),
    ("create materialized view", _create_view),
    ("create", _none),
    ("delete from", _named(LockMode.ROW_EXCLUSIVE, "delete from")),
    ("drop table", _named(LockMode.ACCESS_EXCLUSIVE, "drop table")),
    ("drop view", _named(LockMode.ACCESS_EXCLUSIVE, "drop view")),
    ("drop materialized view", _named(LockMode.ACCESS_EXCLUSIVE, "drop materialized view")),
    ("drop index", _some(LockMode.ACCESS_EXCLUSIVE)),
    ("drop trigger", _on(LockMode.ACCESS_EXCLUSIVE)),
    ("drop policy", _on(LockMode.ACCESS_EXCLUSIVE)),
    ("drop rule", _on(LockMode.ACCESS_EXCLUSIVE)),
    ("drop function", _none),
    ("drop procedure", _none),
    ("drop sequence", _none),
    ("drop role", _none),
    ("drop statistics", _some(LockMode.SHARE_UPDATE_EXCLUSIVE)),
    ("grant", _none),
    ("revoke", _none),
    ("insert into", _named(LockMode.ROW_EXCLUSIVE, "insert into")),
    ("lock", _lock),
    ("merge into", _named(LockMode.ROW_EXCLUSIVE, "merge into")),
    ("refresh materialized view concurrently", _named(LockMode.EXCLUSIVE, "refresh materialized view concurrently")),
    ("refresh materialized view", _named(LockMode.ACCESS_EXCLUSIVE, "refresh materialized view")),
    ("reset", _none),
    ("select", _some(LockMode.ACCESS_SHARE)),
    ("set", _none),
    ("truncate", _named(LockMode.ACCESS_EXCLUSIVE, "truncate table", "truncate")),
    ("update", _named(LockMode.ROW_EXCLUSIVE, "update")),
    ("values", _none),
)
"""How a statement begins, and what it locks; the first that fits counts."""
