"""The ledger itself: append events, read them back, check the chain.

The chain never forks: a writer holds the row of `head` (on SQLite, the whole file) from before it
reads the last hash until its entries are committed.
"""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import asdict
from types import TracebackType
from typing import Self
from uuid import UUID

from sqlalchemy import Connection, RowMapping, func, insert, inspect, or_, select, update
from sqlalchemy.exc import SQLAlchemyError

from orchestrator.errors import ConfigurationError, TamperingError
from orchestrator.ledger.audit import ChainReport, examine
from orchestrator.ledger.chain import EMPTY, Head, Record, seal, unseal
from orchestrator.ledger.events import Entry, Event
from orchestrator.ledger.export import Snapshot
from orchestrator.ledger.location import locate
from orchestrator.ledger.tables import REVISION

_IDS_AT_A_TIME = 500  # older SQLite takes 999 parameters in a statement


class Ledger:
    """An append-only, hash-chained list of events.

    Nothing is opened before it is needed, and nothing is made by reading: a ledger that does not
    exist yet reads as empty, and the first `append` makes it. Every method may raise:

    - ConnectionFailedError: it cannot be reached, is locked, or may not be written where it is;
    - ConfigurationError: it was written by a newer ecm;
    - PrivilegeError: the role may not do this; the hint holds the GRANT;
    - TamperingError: it holds what ecm never writes, so that it cannot be read or added to.

    Args:
        url: `sqlite:///path` (relative to the working folder), `postgresql://…`, `postgres://…` or
            `postgresql+psycopg://…`.
        patience: seconds to wait for a connection, or for another writer to finish.

    Raises:
        ConfigurationError: the URL is none of these.
    """

    def __init__(self, url: str, *, patience: float = 10.0) -> None:
        self._location = locate(url, patience=patience)
        self._tables = self._location.tables
        self._current: object | None = None  # the ledger whose tables were seen to be this ecm's

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection; the ledger can be used again, and would open a new one."""
        self._location.engine.dispose()

    def __repr__(self) -> str:
        return f"Ledger({self._location.shown!r})"

    def is_in(self, database: str) -> bool:
        """Whether the ledger is in a database, given what `THIS_DATABASE` answers there."""
        with self._in_plain_words():
            return self._location.database() == database

    @property
    def exists(self) -> bool:
        """Whether anything was ever appended here."""
        with self._reading() as connection:
            return connection is not None

    def append(self, events: Iterable[Event]) -> tuple[Entry, ...]:
        """Add events at the end, all or none; makes the ledger where there is none.

        Returns:
            The entries that were added, in the order given. An event whose id is there already is
            left out, so that sending again after a failure is harmless.
        """
        wanted: dict[UUID, Event] = {}
        for event in events:
            wanted.setdefault(event.id, event)
        if not wanted:
            return ()
        self._prepare()
        with self._writing() as connection:
            head = self._lock_head(connection)
            present = self._ids(connection, wanted)
            records = self._chain_up(connection, head, [event for id_, event in wanted.items() if id_ not in present])
            if records:
                last = records[-1]
                connection.execute(insert(self._tables.entries), [asdict(record) for record in records])
                connection.execute(update(self._tables.head).values(seq=last.seq, hash=last.hash))
        return tuple(self._entry(record) for record in records)

    def entries(
        self,
        plan: str | None = None,
        branch: str | None = None,
        checksum: str | None = None,
        limit: int | None = None,
        *,
        newest_first: bool = False,
        of_no_plan: bool = False,
    ) -> tuple[Entry, ...]:
        """Return the entries of a plan, branch and plan text, or of all; at most `limit`, in the order asked for.

        With `of_no_plan`, a plan's come with those of no plan: of what happened to a branch as a whole.
        """
        table = self._tables.entries
        wanted = {"branch": branch, "checksum": checksum}
        given = {name: value for name, value in wanted.items() if value is not None}
        query = select(table).filter_by(**given).order_by(table.c.seq.desc() if newest_first else table.c.seq)
        if plan is not None:
            query = query.where(
                or_(table.c.plan == plan, table.c.plan.is_(None)) if of_no_plan else table.c.plan == plan
            )
        with self._reading() as connection:
            rows = connection.execute(query.limit(limit)).mappings().all() if connection is not None else ()
        return tuple(self._entry(_record(row)) for row in rows)

    def known(self, ids: Iterable[UUID]) -> set[UUID]:
        """Return those of the events' ids that the ledger holds."""
        with self._reading() as connection:
            return self._ids(connection, ids) if connection is not None else set()

    def verify(self) -> ChainReport:
        """Check the whole chain, as it is at one moment; `audit` says what each fault means."""
        found = self.snapshot()
        return examine(found.records, found.head)

    def snapshot(self) -> Snapshot:
        """Return all that the ledger holds at one moment, as it is, sound or not."""
        table, head = self._tables.entries, self._tables.head
        with self._reading() as connection:
            if connection is None:
                return Snapshot(records=(), head=EMPTY, taken_at=None)
            rows = connection.execute(select(table).order_by(table.c.seq)).mappings()
            return Snapshot(
                records=tuple(_record(row) for row in rows),
                head=_head(connection.execute(select(head.c.seq, head.c.hash)).mappings().first()),
                taken_at=connection.scalar(select(self._location.now)),
            )

    def _lock_head(self, connection: Connection) -> Head:
        """Keep other writers out until the end of the transaction, and read where the chain ends."""
        table = self._tables.head
        head = _head(connection.execute(select(table.c.seq, table.c.hash).with_for_update()).mappings().first())
        if head is None:
            raise TamperingError(
                f"the ledger {self._location.shown} has lost the note of its last entry, so nothing can be added to it",
                hint="ecm audit verify",
            )
        return head

    def _chain_up(self, connection: Connection, head: Head, events: Iterable[Event]) -> list[Record]:
        last_seq, now = connection.execute(
            select(select(func.max(self._tables.entries.c.seq)).scalar_subquery(), self._location.now)
        ).one()
        # An entry beyond the head is none of ours. It is passed over, and the audit will point at it;
        # standing in its way would only keep the proof of what happened since from being recorded.
        seq, previous = max(head.seq, last_seq or 0), head.hash
        records: list[Record] = []
        for event in events:
            seq += 1
            records.append(seal(event, seq=seq, recorded_at=now, previous_hash=previous))
            previous = records[-1].hash
        return records

    def _ids(self, connection: Connection, ids: Iterable[UUID]) -> set[UUID]:
        column, texts = self._tables.entries.c.id, [str(id_) for id_ in ids]
        slices = (texts[start : start + _IDS_AT_A_TIME] for start in range(0, len(texts), _IDS_AT_A_TIME))
        return {UUID(found) for part in slices for found in connection.scalars(select(column).where(column.in_(part)))}

    def _prepare(self) -> None:
        """Make the ledger, or bring its tables up to date, unless they are."""
        if self._is_current():
            return
        self._location.create()
        with self._writing() as connection:
            revision = self._revision(connection)
            if revision != REVISION:
                self._upgrade(connection, revision)
        self._current = self._location.present()

    def _is_current(self) -> bool:
        """Whether the tables are known to be this ecm's; those of a file that was put in its place are not."""
        found = self._location.present()
        return found is not None and found == self._current

    def _revision(self, connection: Connection) -> str | None:
        version = self._tables.version
        if not inspect(connection).has_table(version.name, schema=version.schema):
            return None
        return connection.scalar(select(version.c.version_num))

    def _upgrade(self, connection: Connection, revision: str | None) -> None:
        from orchestrator.ledger.upgrade import knows, upgrade

        if revision is not None and not knows(revision):
            raise ConfigurationError(
                f"the ledger {self._location.shown} was written by a newer ecm",
                details=(f"its tables are at revision {revision}, this ecm knows them up to {REVISION}",),
                hint="upgrade ecm to the version that your team uses",
            )
        upgrade(connection)

    @contextmanager
    def _reading(self) -> Generator[Connection | None]:
        """Open a transaction that sees one moment; None where there is no ledger yet."""
        present = self._location.present()
        if present is None:
            yield None
            return
        with self._in_plain_words(), self._location.engine.connect() as connection:
            self._location.begin_reading(connection)
            if present == self._current or (revision := self._revision(connection)) == REVISION:
                self._current = present
                yield connection
                return
        if revision is None:
            yield None
            return
        self._prepare()
        with self._reading() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Generator[Connection]:
        """Open a transaction that may write, and commit it unless there is an error."""
        with self._in_plain_words(), self._location.engine.connect() as connection:
            self._location.begin_writing(connection)
            yield connection
            connection.commit()

    @contextmanager
    def _in_plain_words(self) -> Generator[None]:
        # "from None": the driver's own text may hold what nobody should read.
        try:
            yield
        except SQLAlchemyError as error:
            raise self._location.failure(error) from None

    def _entry(self, record: Record) -> Entry:
        try:
            return unseal(record)
        except ValueError:
            raise TamperingError(
                f"entry {record.seq} of the ledger {self._location.shown} cannot be read",
                details=("it holds something that ecm never writes",),
                hint="ecm audit verify",
            ) from None


def _record(row: RowMapping) -> Record:
    return Record(**row)


def _head(row: RowMapping | None) -> Head | None:
    """Read the row of `head`; None if it is gone, or was made unreadable."""
    if row is None or not isinstance(row["seq"], int) or not isinstance(row["hash"], str):
        return None
    return Head(seq=row["seq"], hash=row["hash"])
