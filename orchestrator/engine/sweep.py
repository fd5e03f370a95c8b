"""The sweep: fill the new columns, page range by page range, while the application writes.

Coverage, without a key: the pages to visit are counted after the sync trigger was committed.
CREATE TRIGGER waited for every writer then under way, so each row version made since is right,
and each one made before is on a page that is visited. The checkpoint is one number, committed
with the batch it stands for.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from time import monotonic

from psycopg import errors, sql
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from orchestrator.engine import journal, leases, locks, sentry
from orchestrator.engine.connection import Connection, explained
from orchestrator.engine.journal import SweepRecord, Writer
from orchestrator.engine.verification import Verdict, pages, unproven, verify
from orchestrator.events import Observer, Progress
from orchestrator.sql.steps import Sweep, region
from orchestrator.sql.sync import GUARD

FIRST_BATCH = 32
"""Pages in the first batch, until it is known how long one takes."""
LARGEST_BATCH = 8192
ROUNDS = 3
"""How often a table is swept before ecm says that something keeps undoing its work."""
PATIENCE = timedelta(seconds=60)
"""How long a batch of a single page is tried while its rows stay locked."""


class _MovedError(Exception):
    """The table was rewritten under the sweep (VACUUM FULL, CLUSTER): its pages are other ones now."""


@dataclass(kw_only=True)
class Sweeper:
    """Runs one sweep to its proof, from wherever the journal says it is.

    Args:
        connection: gives the session, which may be another one after it was lost.
        writer: makes the journal's writer for a session.
        batch_time: how long a batch should take.
        lock_timeout: the longest wait for a row; capped well below deadlock_timeout.
    """

    connection: Callable[[], Connection]
    writer: Callable[[Connection], Writer]
    plan: str
    step: Sweep
    batch_time: timedelta
    lock_timeout: timedelta
    observer: Observer
    sleep: Callable[[float], None]

    def run(self) -> Verdict:
        """Sweep until a fresh scan finds nothing.

        Raises:
            VerificationError: rows still differ after every page was visited several times.
            LockTimeoutError: rows stayed locked.
        """
        sentry.on_post(self.connection(), self.step.kept_by)
        record = self._record()
        if record.round >= ROUNDS and record.next_page >= record.pages:
            record = self._begin(1)  # it gave up before; since then someone may have put things right
        while True:
            try:
                record = self._to_the_end(record)
            except _MovedError:
                record = self._begin(record.round)
                continue
            verdict = self._proof()
            if not verdict.mismatches:
                return verdict
            if record.round >= ROUNDS:
                raise unproven(verdict)
            record = self._begin(record.round + 1)

    # ------------------------------------------------------------ the checkpoint

    @property
    def _relation(self) -> str:
        return self.step.table.identifier.as_string(None)

    def _record(self) -> SweepRecord:
        found = [r for r in journal.sweeps(self.connection(), self.plan) if r.relation == self._relation]
        return found[0] if found else self._begin(1)

    def _begin(self, round_number: int) -> SweepRecord:
        """Count the pages and start at the first."""
        connection = self.connection()
        with connection.transaction():
            writer = self.writer(connection)
            leases.hold(connection, writer.lease)
            connection.execute(
                "INSERT INTO ecm.sweeps"
                " (plan, relation, filenode, pages, next_page, rows, round, started_at, updated_at)"
                " VALUES (%s, %s, %s::pg_catalog.int8::pg_catalog.oid, %s, 0, 0, %s,"
                " pg_catalog.clock_timestamp(), pg_catalog.clock_timestamp())"
                " ON CONFLICT (plan, relation) DO UPDATE SET filenode = excluded.filenode, pages = excluded.pages,"
                " next_page = 0, round = excluded.round, updated_at = excluded.updated_at",
                [
                    self.plan,
                    self._relation,
                    self._filenode(connection),
                    pages(connection, self.step.table),
                    round_number,
                ],
            )
        return self._record()

    def _filenode(self, connection: Connection) -> int:
        query = sql.SQL("SELECT pg_catalog.pg_relation_filenode({}::pg_catalog.regclass)::pg_catalog.int8")
        row = connection.execute(query.format(sql.Literal(self._relation))).fetchone()
        return row[0] if row else 0

    # ------------------------------------------------------------ batches

    def _to_the_end(self, record: SweepRecord) -> SweepRecord:
        size, began, before = FIRST_BATCH, monotonic(), record
        self._tell(record, before, began)
        while record.next_page < record.pages:
            record, size = self._batch_or_smaller(record, size)
            self._tell(record, before, began)
        return record

    def _batch_or_smaller(self, record: SweepRecord, size: int) -> tuple[SweepRecord, int]:
        """Do the next batch; one that meets a locked row gives way, is halved and tried again."""
        began, attempts, out_of_time = monotonic(), 0, False
        try:
            for attempt in Retrying(
                retry=retry_if_exception_type(locks.REFUSED),
                stop=stop_after_delay(PATIENCE.total_seconds()),
                wait=wait_random_exponential(multiplier=0.05, max=2),
                before_sleep=self._waits,
                sleep=self.sleep,
                reraise=True,
            ):
                with attempt:
                    attempts, started = attempts + 1, monotonic()
                    end = min(record.next_page + size, record.pages)
                    # One page can take long only by the user's own triggers; then it is given the time.
                    bounded = not (size == 1 and out_of_time)
                    try:
                        rows = self._batch(record, end, bounded=bounded)
                    except locks.REFUSED as met:
                        size, out_of_time = max(1, size // 2), isinstance(met, errors.QueryCanceled)
                        raise
                    done = replace(record, next_page=end, rows=record.rows + rows)
                    return done, self._next_size(size, monotonic() - started)
        except locks.REFUSED as met:
            table = [self.step.table]
            raise locks.gave_up(
                self.connection(), table, budget=self._row_wait(), attempts=attempts, seconds=monotonic() - began
            ) from met
        raise AssertionError  # Retrying either returns or raises

    def _waits(self, state: RetryCallState) -> None:
        self.observer(locks.waiting(state, what=str(self.step.table), why="rows are locked"))

    def _next_size(self, size: int, seconds: float) -> int:
        """Grow gently, shrink at once."""
        ideal = size * self.batch_time.total_seconds() / max(seconds, 0.001)
        return max(1, min(LARGEST_BATCH, int(min(ideal, size * 1.5 + 1))))

    def _row_wait(self) -> timedelta:
        return min(self.lock_timeout, self._deadlock / 4)

    @cached_property
    def _deadlock(self) -> timedelta:
        return locks.deadlock_timeout(self.connection())

    def _batch(self, record: SweepRecord, end: int, *, bounded: bool) -> int:
        """Fill one range of pages and commit it with the checkpoint; return the number of rows written.

        The whole batch ends before deadlock_timeout: a session that waits for one of its rows is
        let go before PostgreSQL looks for a deadlock, so the application is never the victim of one.
        """
        connection = self.connection()
        timeout = locks.milliseconds(self._deadlock * 0.75) if bounded else "0"
        row_wait = self._row_wait()
        with connection.transaction():
            writer = self.writer(connection)
            leases.hold(connection, writer.lease)
            # Safe: the checkpoint is in the same transaction, so a crash loses both or neither.
            locks.set_local(
                connection,
                synchronous_commit="off",
                lock_timeout=locks.milliseconds(row_wait),
                statement_timeout=timeout,
                **({GUARD.replace(".", "__"): self.step.spared} if self.step.spared else {}),
            )
            locks.as_the_owner(connection)
            # The table itself was judged before, and is proven with it off; a trigger of its own may read others.
            locks.set_local(connection, row_security="on")
            with explained(f"backfill of {self.step.table}"):
                rows = connection.execute(self.step.update(region(record.next_page, end))).rowcount
            # The UPDATE holds its lock on the table by now, so nobody can rewrite it any more.
            if self._filenode(connection) != record.filenode:
                raise _MovedError
            connection.execute(
                "UPDATE ecm.sweeps SET next_page = %s, rows = rows + %s, updated_at = pg_catalog.clock_timestamp()"
                " WHERE plan = %s AND relation = %s",
                [end, rows, self.plan, self._relation],
            )
        return rows

    # ------------------------------------------------------------ the end

    def _proof(self) -> Verdict:
        def progress(done: int, total: int, rows: int) -> None:
            self.observer(Progress(what=f"proof {self.step.table}", done=done, total=total, rows=rows))

        with explained(f"proof of {self.step.table}"):
            sentry.on_post(self.connection(), self.step.kept_by)
            return verify(self.connection(), self.step.proof, progress=progress)

    def _tell(self, record: SweepRecord, before: SweepRecord, began: float) -> None:
        seconds, done = monotonic() - began, record.next_page - before.next_page
        self.observer(
            Progress(
                what=f"backfill {self.step.table}",
                done=record.next_page,
                total=record.pages,
                rows=record.rows,
                rows_per_second=(record.rows - before.rows) / seconds if seconds and done else None,
                eta_seconds=(record.pages - record.next_page) * seconds / done if done else None,
            )
        )
