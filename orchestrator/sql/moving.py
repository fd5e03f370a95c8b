"""Move the readers of a column to another one, and back (`orchestrator.sql.readers` says how).

    follow(facts, move, swap)   Operation.switch: readers move, the columns exchange their names, and the way back
    beside(facts, move)         Operation.before_switch: what is built before it, in steps of their own
    refreshed(facts, move)      Operation.on_return: what the way back begins with
    moved(facts, move)          Operation.moved_first: the views among them
    forget(facts, move)         Operation.clear: what stands aside goes, before contract drops the old column
    strangers(facts, move)      Operation.standing_on: what stands on the old column and is not ecm's

The operation names its moves (`Operation.moves`), the same before and after, so that they are in the facts,
and adds `facts.unmovable[move.old]` to what it reports as unfollowed. `Table.readers` is by the names that the
columns have now; `Operation.unswitched` leaves it as it is.
"""

from collections.abc import Iterable

from psycopg import sql

from orchestrator.sql import remaking
from orchestrator.sql.facts import Dependent, Table
from orchestrator.sql.identifiers import JOURNAL_SCHEMA, TableName
from orchestrator.sql.readers import BESIDE, KEPT, Move, Reader
from orchestrator.sql.steps import Statement, Step, Transaction
from orchestrator.sql.sync import Ddl

SECOND_LOCK = sql.SQL("SET LOCAL lock_timeout = '100ms'")
"""How long the lock on a reader may be waited for while that on the table is held.

A session that uses a view locks the view first and its table next; ecm, which holds the table, must give
up long before that session looks for a deadlock and finds itself the victim. The transaction is tried again.
"""


def follow(facts: Table, move: Move, swap: Ddl) -> Ddl:
    """Return what moves a column's readers in the switch transaction, and back.

    Args:
        facts: of the table, before or after the switch: the inverse is the same.
        move: from which column to which.
        swap: how the columns exchange their names, and back; nothing where the new one has another name.
    """
    readers = _readers(facts, move)
    orphans = _orphans(facts, move, readers)
    if not readers and not orphans:
        return swap
    return Ddl(
        statements=(
            SECOND_LOCK,
            *(statement for reader in reversed(readers) for statement in remaking.set_aside(reader)),
            *swap.statements,
            *(statement for reader in readers for statement in _again(reader, move)),
        ),
        inverse=(
            SECOND_LOCK,
            *(statement for reader in reversed(readers) for statement in remaking.drop(reader)),
            *swap.inverse,
            *(s for reader in readers for s in _returned(reader, readers, switched=facts.readers_moved)),
            *(statement for reader in reversed(orphans) for statement in remaking.drop(reader)),
        ),
    )


def beside(facts: Table, move: Move) -> tuple[Step, ...]:
    """Return the step that builds, before the switch, the materialized views and what they stand on.

    For `before_switch`: as late as can be, so that the new ones are as fresh as the old ones were.
    """
    early = [reader for reader in _readers(facts, move) if reader.early]
    if not early:
        return ()
    names = " and ".join(str(reader.name) for reader in early)
    return (
        Transaction(
            key=f"beside {facts.name} {move.old}",
            title=f"build {names} beside, over the new column",
            tables=(),
            lock=None,
            statements=tuple(
                statement
                for reader in early
                for statement in remaking.make(
                    reader, remaking.beside(reader), _text(reader.moved, reader), word=BESIDE
                )
            ),
            inverse=tuple(remaking.drop_beside(reader) for reader in reversed(early)),
            note="reads the table once for each materialized view; nobody waits",
        ),
    )


def refreshed(facts: Table, move: Move) -> tuple[Transaction, ...]:
    """Return the steps, for `on_return`, that only do something on the way back, before the switch is undone.

    They refresh the materialized views that stand aside, which nobody reads: those that go may have been
    refreshed since the switch.
    """
    readers = _readers(facts, move)
    switched = any(reader.aside for reader in readers)
    return tuple(
        Transaction(
            key=f"refresh {reader.name}",
            title=f"{reader.name}, as it was, stands aside for the way back",
            tables=(),
            lock=None,
            statements=(),
            inverse=(sql.SQL("REFRESH MATERIALIZED VIEW {}").format(remaking.aside(reader).identifier),),
            note="refreshed there before it comes back; nobody waits",
        )
        for reader in reversed(readers)  # the way back is the other way round
        if reader.kind == "materialized view" and reader.populated and (reader.aside or not switched)
    )


def forget(facts: Table, move: Move) -> tuple[Statement, ...]:
    """Return what drops the readers of the old column that stand aside, for contract.

    Args:
        facts: of the table, now.
        move: what was moved.
    """
    aside = [reader for reader in facts.readers.get(move.left, ()) if reader.is_ours]
    gone = tuple(statement for reader in reversed(aside) for statement in remaking.drop(reader))
    return (SECOND_LOCK, *gone) if gone else ()


def strangers(facts: Table, move: Move) -> tuple[Dependent, ...]:
    """Return what stands on the old column after the switch, or on what stands aside, and is not ecm's own."""
    ours = (f"{JOURNAL_SCHEMA}.", KEPT)
    found = facts.tracked.get(move.left, ())
    # A rule, a policy or a trigger goes by its own name and the table it is on.
    tracked = (
        each
        for each in found
        if not any(name.startswith(ours) for name in (each.name, each.why, each.why.rpartition(" on ")[2]))
    )
    return tuple(dict.fromkeys((*tracked, *facts.unmovable.get(move.left, ()))))


def locked_first(readers: Iterable[Reader]) -> tuple[TableName, ...]:
    """Return the views among readers, each before those it stands on, as those lock them who use them.

    Args:
        readers: each after those it stands on.
    """
    views = [each.name for each in readers if each.on is None and each.kind.endswith("view") and not each.is_ours]
    return tuple(reversed(views))


def moved(facts: Table, move: Move) -> tuple[TableName, ...]:
    """Return the views that a switch of one column sets aside, for `Operation.moved_first`."""
    return locked_first(_readers(facts, move))


def _readers(facts: Table, move: Move) -> tuple[Reader, ...]:
    """Return what the switch moves, or has moved: then with what was made since on top of it."""
    after = [reader for reader in facts.readers.get(move.read, ()) if not reader.is_ours]
    if move.in_place:
        return tuple(after)
    moved: list[Reader] = []
    for reader in after:
        if reader.aside or any(each.key in reader.stands_on for each in moved):
            moved.append(reader)
    return tuple(moved) or tuple(reader for reader in facts.readers.get(move.old, ()) if not reader.is_ours)


def _orphans(facts: Table, move: Move, readers: tuple[Reader, ...]) -> tuple[Reader, ...]:
    """Return what stands aside for a reader that someone has dropped since."""
    awaited = {remaking.aside(reader) for reader in readers}
    aside = (reader for reader in facts.readers.get(move.left, ()) if reader.is_ours and not reader.carried)
    return tuple(reader for reader in aside if reader.name not in awaited)


def _returned(reader: Reader, readers: tuple[Reader, ...], *, switched: bool = False) -> tuple[Statement, ...]:
    """What brings a reader back: it stands aside, or came after the switch and stands on what goes back."""
    switched = switched or any(each.aside for each in readers)
    if reader.aside or not switched:
        return remaking.put_back(reader)
    if reader.carried and any(each.aside and each.name == reader.on for each in readers):
        return ()  # its view brings its own
    return _made(reader, _text(reader.again, reader))


def _again(reader: Reader, move: Move) -> tuple[Statement, ...]:
    """What puts a reader of the new column in the place of one of the old.

    Where the columns have exchanged their names, the old text reads the new column.
    """
    if reader.early:
        return (*remaking.put_in_place(reader), *remaking.dress(reader))
    return _made(reader, _text(reader.again if move.in_place else reader.moved, reader))


def _made(reader: Reader, text: str) -> tuple[Statement, ...]:
    return (*remaking.make(reader, reader.name, text), *remaking.dress(reader))


def _text(moved: str | None, reader: Reader) -> str:
    """The text over the new column; the present one where that was not asked for: it has moved, or cannot yet."""
    return reader.definition if moved is None else moved


# ---------------------------------------------------------------- readers of several columns, in several tables


def leave(readers: tuple[Reader, ...]) -> Ddl:
    """Return what sets readers aside before any of their columns moves, and drops the new ones before it goes back.

    Args:
        readers: of columns that move in place, each once and after those it stands on.
    """
    if not readers:
        return Ddl(statements=(), inverse=())
    return Ddl(
        statements=(SECOND_LOCK, *(s for reader in reversed(readers) for s in remaking.set_aside(reader))),
        inverse=(SECOND_LOCK, *(s for reader in reversed(readers) for s in remaking.drop(reader))),
    )


def come(readers: tuple[Reader, ...], kept: tuple[Reader, ...], *, switched: bool) -> Ddl:
    """Return what makes readers again once all of their columns have moved, and puts the old ones back.

    Args:
        readers: as for `leave`.
        kept: ecm's own, that stand aside.
        switched: whether they have moved already, so that one for which none stands aside came since.
    """
    awaited = {remaking.aside(reader) for reader in readers}
    orphans = [reader for reader in kept if not reader.carried and reader.name not in awaited]
    return Ddl(
        statements=tuple(
            statement
            for reader in readers
            for statement in (
                (*remaking.put_in_place(reader), *remaking.dress(reader))
                if reader.early
                else _made(reader, _text(reader.again, reader))
            )
        ),
        inverse=(
            *(statement for reader in readers for statement in _returned(reader, readers, switched=switched)),
            *(statement for reader in reversed(orphans) for statement in remaking.drop(reader)),
        ),
    )


def dropped(kept: tuple[Reader, ...]) -> tuple[Statement, ...]:
    """Return what drops the readers that stand aside, for contract."""
    gone = tuple(statement for reader in reversed(kept) for statement in remaking.drop(reader))
    return (SECOND_LOCK, *gone) if gone else ()
