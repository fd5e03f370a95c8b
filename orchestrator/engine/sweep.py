"""The sweep: fill the new columns, a region of pages after the other, while the application writes.

Coverage, without a key: the pages to visit are counted after the sync trigger was committed.
CREATE TRIGGER waited for every writer then under way, so each row version made since is right,
and each one made before is on a page that is visited. The checkpoint is one number, the page before
which all are finished, committed with the batch that made it so. In which order the workers write
the pages is the wave's business.
"""

import math
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property, partial
from time import monotonic
from typing import Any

from psycopg import errors, sql
from psycopg.types.json import Jsonb

from orchestrator.engine import catalog, journal, leases, locks, sentry, throttle
from orchestrator.engine.connection import Connection, Link, explained
from orchestrator.engine.crew import Crew
from orchestrator.engine.journal import SweepRecord, Writer
from orchestrator.engine.pace import Pace
from orchestrator.engine.vacuum import Vacuum
from orchestrator.engine.verification import Proven, Verdict, pages, unproven, verify
from orchestrator.engine.wave import FIRST, PASSES, Turn, Wave
from orchestrator.errors import ConnectionFailedError
from orchestrator.events import Observer, Progress, Waiting
from orchestrator.plan.phases import Backfill
from orchestrator.sql.identifiers import TableName
from orchestrator.sql.steps import Sweep, fraction, region
from orchestrator.sql.sync import GUARD

ROUNDS = 3
"""How often a table is swept before ecm says that something keeps undoing its work."""
PATIENCE = timedelta(seconds=60)
"""How long rows may stay locked, with nothing else left to do, before the sweep gives up."""
_EVERY = 0.5
"""Seconds between two looks at what the workers do not tell."""
_MINDED_EVERY = 1.0
"""Seconds between two looks at the throttle, and two notes for `status`."""
_SHORTEST_WAIT = timedelta(milliseconds=10)
_SAMPLED = 16
"""Pages on which rows are counted, to know how many fit on one."""


class _MovedError(Exception):
    """The table was rewritten under the sweep (VACUUM FULL, CLUSTER): its pages are other ones now."""


@dataclass(frozen=True, kw_only=True)
class _Batch:
    """What a worker tells of a batch that was committed."""

    rows: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a sweep came to.

    Attributes:
        verdict: of the proof at its end.
        measured: what it took, as it is recorded with the move.
    """

    verdict: Verdict
    measured: dict[str, Any]


@dataclass(kw_only=True)
class _Taken:
    """What the sweeps of a table's heaps took, together. Seconds and rows."""

    seconds: float = 0.0
    held: float = 0.0
    longest: float = 0.0
    retries: int = 0
    vacuums: int = 0
    written: int = 0
    in_place: int = 0


@dataclass(frozen=True, kw_only=True)
class Sweeper:
    """Runs one sweep to its proof, from wherever the journal says it is.

    Args:
        link: the session with the branch that holds the lease; opens the workers' sessions too.
        writer: makes the journal's writer for a session.
        plan: its name.
        step: what to fill.
        settings: the pace, the workers, the throttle.
        lock_timeout: the longest wait for a row; a quarter of a batch's time, and of deadlock_timeout, at most.
    """

    link: Link
    writer: Callable[[Connection], Writer]
    plan: str
    step: Sweep
    settings: Backfill
    lock_timeout: timedelta
    observer: Observer
    sleep: Callable[[float], None]

    def run(self) -> Outcome:
        """Sweep until a fresh scan finds nothing.

        Raises:
            VerificationError: rows still differ after every page was visited several times.
            LockTimeoutError: rows stayed locked.
        """
        self._on_post()
        taken = _Taken()
        records = self._records()
        number = max((record.round for record in records), default=1)
        if number >= ROUNDS and all(record.next_page >= record.pages for record in records):
            number = 1  # it gave up before; since then someone may have put things right
            self._forget()
        while True:
            # Looked for in each round: a partition may have been attached, with rows that nobody has filled.
            heaps = self.link.do(lambda connection: catalog.heaps(connection, self.step.table))
            for heap in heaps:
                _HeapSweep(sweeper=self, heap=heap, taken=taken).run(number)
            verdict = self._proof()
            if not verdict.mismatches:
                return Outcome(verdict=verdict, measured=self._measured(taken))
            if number >= ROUNDS:
                raise unproven(verdict, self.step.proof)
            number += 1

    def _records(self) -> tuple[SweepRecord, ...]:
        """Return how far each heap of the table is."""
        heaps = self.link.do(lambda connection: catalog.heaps(connection, self.step.table))
        names = {_named(heap) for heap in heaps}
        return tuple(
            record
            for record in self.link.do(lambda connection: journal.sweeps(connection, self.plan))
            if record.relation in names and record.purpose == self.step.purpose
        )

    def _forget(self) -> None:
        def forget(connection: Connection) -> None:
            with connection.transaction():
                leases.hold(connection, self.writer(connection).lease)
                connection.execute(
                    "DELETE FROM ecm.sweeps WHERE plan = %s AND purpose = %s AND relation = ANY(%s)",
                    [self.plan, self.step.purpose, [record.relation for record in self._records()]],
                )

        self.link.do(forget)

    def _proof(self) -> Verdict:
        def progress(done: int, total: int, rows: int) -> None:
            self.observer(Progress(what=f"proof {self.step.table}", done=done, total=total, rows=rows))

        with explained(f"proof of {self.step.table}"):
            under = sentry.as_json(self._on_post())
            begun = {
                record.relation: Proven(
                    page=record.proven_page, rows=record.proven_rows, filenode=record.proven_filenode
                )
                for record in self._records()
                # What is right by other rows may have stopped being so since it was looked at.
                if record.proven_under == under and not any(each.drifts for each in self.step.mappings)
            }

            def keep(heap: TableName, proven: Proven) -> None:
                self.link.do(lambda connection: self._keep(connection, heap, proven, under))

            return verify(
                self.link,
                self.step.proof,
                workers=self.settings.workers,
                begun=lambda heap: begun.get(_named(heap), Proven()),
                progress=progress,
                keep=keep,
            )

    def _on_post(self) -> sentry.Watch:
        """Make sure that the sync triggers are where they have to be; of partitions, those that are still there."""

        def look(connection: Connection) -> sentry.Watch:
            tables = {self.step.table, *catalog.heaps(connection, self.step.table)}
            return sentry.on_post(connection, [each for each in self.step.kept_by if each.table in tables])

        return self.link.do(look)

    def _keep(self, connection: Connection, heap: TableName, proven: Proven, under: dict[str, list[str]]) -> None:
        """Note how far the proof of a heap is."""
        with connection.transaction():
            leases.hold(connection, self.writer(connection).lease)
            connection.execute(
                "UPDATE ecm.sweeps SET proven_page = %s, proven_rows = %s, proven_filenode = %s, proven_under = %s"
                " WHERE plan = %s AND relation = %s AND purpose = %s",
                [
                    proven.page,
                    proven.rows,
                    proven.filenode,
                    Jsonb(under),
                    self.plan,
                    _named(heap),
                    self.step.purpose,
                ],
            )

    def _measured(self, taken: _Taken) -> dict[str, Any]:
        """Return what the sweep took. Bytes and seconds; WAL is the whole server's of that time."""
        records, at_work = self._records(), taken.seconds - taken.held
        after = self.link.do(lambda connection: [_sizes(connection, record.relation) for record in records])
        written = max((sizes["wal"] for sizes in after), default=0)
        began = min((record.measured.get("wal", written) for record in records), default=written)
        return {
            "filled": sum(record.rows for record in records),
            "written": taken.written,
            "seconds": round(taken.seconds, 3),
            "held": round(taken.held, 3),
            "rows_per_second": round(taken.written / at_work) if at_work > 0 and taken.written else None,
            "share_in_place": round(taken.in_place / taken.written, 3) if taken.written else None,
            "longest_batch": round(taken.longest, 4),
            "retries": taken.retries,
            "vacuums": taken.vacuums,
            "wal": written - began,
            "heap_before": sum(record.measured.get("heap", 0) for record in records),
            "heap_after": sum(sizes["heap"] for sizes in after),
            "indexes_before": sum(record.measured.get("indexes", 0) for record in records),
            "indexes_after": sum(sizes["indexes"] for sizes in after),
        }


def _named(heap: TableName) -> str:
    """Return a heap's name as the journal has it."""
    return heap.identifier.as_string(None)


def _sizes(connection: Connection, relation: str) -> dict[str, int]:
    """Return the bytes of a heap and of its indexes, and the place in the WAL."""
    row = connection.execute(
        sql.SQL(
            "SELECT pg_catalog.pg_relation_size({0}::pg_catalog.regclass),"
            " pg_catalog.pg_indexes_size({0}::pg_catalog.regclass),"
            " (pg_catalog.pg_current_wal_lsn() - '0/0'::pg_catalog.pg_lsn)::pg_catalog.int8"
        ).format(sql.Literal(relation))
    ).fetchone() or (0, 0, 0)
    return dict(zip(("heap", "indexes", "wal"), row, strict=True))


@dataclass(kw_only=True)
class _HeapSweep:
    """Sweeps one heap, a table or a partition, once.

    Args:
        sweeper: what is filled, and how.
        heap: where.
        taken: added to.
    """

    sweeper: Sweeper
    heap: TableName
    taken: _Taken
    _held_by: str | None = field(default=None, init=False)
    _looked_at: float = field(default=0.0, init=False)

    def run(self, number: int) -> None:
        """Have every page written in a round, from its checkpoint on; anew where the heap is rewritten meanwhile."""
        record = self._found()
        if record is None or record.round < number:
            record = self._begin(number)
        while True:
            began = monotonic()
            try:
                self._to_the_end(record)
            except _MovedError:
                record = self._begin(number)
                continue
            finally:
                self.taken.seconds += monotonic() - began
            return

    # ------------------------------------------------------------ the checkpoint

    @property
    def _relation(self) -> str:
        return _named(self.heap)

    @property
    def _mine(self) -> tuple[str, str, str]:
        """The key of its checkpoint in the journal."""
        return self.sweeper.plan, self._relation, self.sweeper.step.purpose

    def _found(self) -> SweepRecord | None:
        records = self.sweeper.link.do(lambda connection: journal.sweeps(connection, self.sweeper.plan))
        return next(
            (record for record in records if (self.sweeper.plan, record.relation, record.purpose) == self._mine), None
        )

    def _begin(self, round_number: int) -> SweepRecord:
        """Count the pages and start at the first."""

        def begin(connection: Connection) -> None:
            with connection.transaction():
                leases.hold(connection, self.sweeper.writer(connection).lease)
                connection.execute(
                    "INSERT INTO ecm.sweeps"
                    " (plan, relation, purpose, filenode, pages, next_page, rows, round, started_at, updated_at,"
                    " measured)"
                    " VALUES (%s, %s, %s, %s::pg_catalog.int8::pg_catalog.oid, %s, 0, 0, %s,"
                    " pg_catalog.clock_timestamp(), pg_catalog.clock_timestamp(), %s)"
                    " ON CONFLICT (plan, relation, purpose) DO UPDATE SET filenode = excluded.filenode,"
                    " pages = excluded.pages, next_page = 0, round = excluded.round,"
                    " updated_at = excluded.updated_at, proven_page = 0, proven_rows = 0, proven_filenode = NULL,"
                    " proven_under = NULL",
                    [
                        *self._mine,
                        catalog.filenode(connection, self.heap),
                        pages(connection, self.heap),
                        round_number,
                        Jsonb(_sizes(connection, self._relation)),
                    ],
                )

        self.sweeper.link.do(begin)
        record = self._found()
        if record is None:
            raise AssertionError
        return record

    # ------------------------------------------------------------ the workers

    def _to_the_end(self, record: SweepRecord) -> SweepRecord:
        """Have every page written, from the checkpoint on."""
        connection = self.sweeper.link.connection
        wave = Wave(
            first=record.next_page,
            end=record.pages,
            passes=self._passes(connection, record),
            batch_time=self.sweeper.settings.batch_time.total_seconds(),
            window=self._window(connection),
        )
        clock = Pace(record.next_page, record.pages, record.rows)
        self._tell(record, wave, clock, workers=0)
        if wave.over:
            return record
        gauge = throttle.Gauge(self.sweeper.settings.throttle)
        _ = self._deadlock  # asked for here: the workers' threads must not use this session
        workers = min(self.sweeper.settings.workers, max(1, math.ceil((record.pages - record.next_page) / FIRST)))
        size = record.measured.get("heap", 0)
        rows, minded = record.rows, -math.inf
        crew = Crew[_Batch | Waiting](
            self.sweeper.link,
            workers,
            partial(self._turn, wave, record.filenode),
            prepare=self._settle,
            stop=wave.close,
        )
        self._held_by, self._looked_at = None, monotonic()
        self.sweeper.link.do(gauge.check)
        self._mind(crew, gauge, record, wave, clock)  # before the first batch
        with self._counted(wave, clock), Vacuum(self.sweeper.link, self.heap, size) as vacuum, crew:
            for told in crew.told(_EVERY):
                if isinstance(told, Waiting):
                    self.sweeper.observer(told)
                elif told is not None:
                    rows += told.rows
                    clock.note(wave.done, rows)
                    self._tell(_with_rows(record, rows), wave, clock, workers=crew.at_work)
                if monotonic() - minded >= _MINDED_EVERY:
                    minded = monotonic()
                    self._mind(crew, gauge, _with_rows(record, rows), wave, clock)
                    self.sweeper.link.do(vacuum.look)
        self.taken.vacuums += vacuum.times
        if not wave.over:
            raise crew.unreachable or ConnectionFailedError("the workers could not go on", hint="run it again")
        return self._finished(_with_rows(record, rows))

    @contextmanager
    def _counted(self, wave: Wave, clock: Pace) -> Generator[None]:
        """Keep what a wave has measured, however it ends."""
        try:
            yield
        except BaseException:
            # Batches that were under way have ended since the last word of them.
            self._count(wave)
            link = self.sweeper.link
            with suppress(Exception):
                if link.current is not None and not link.current.closed and (stopped := self._found()) is not None:
                    self._tell(stopped, wave, clock, workers=0)
            raise
        else:
            self._count(wave)

    def _count(self, wave: Wave) -> None:
        self.taken.retries += wave.refusals
        self.taken.longest = max(self.taken.longest, wave.longest)
        self.taken.written, self.taken.in_place = (
            self.taken.written + wave.rows,
            self.taken.in_place + wave.in_place,
        )
        if owed := wave.owed:
            # After Ctrl-C there may be no session left; the number is for people, and no page depends on it.
            with suppress(Exception):
                self.sweeper.link.do(lambda connection: self._record_rows(connection, owed))

    def _record_rows(self, connection: Connection, more: int) -> None:
        with connection.transaction():
            leases.hold(connection, self.sweeper.writer(connection).lease)
            connection.execute(
                "UPDATE ecm.sweeps SET rows = rows + %s WHERE plan = %s AND relation = %s AND purpose = %s",
                [more, *self._mine],
            )

    def _passes(self, connection: Connection, record: SweepRecord) -> int:
        """Return how often to go over a page: there is no sense in more passes than it holds rows."""
        first = max(record.next_page, min(record.pages // 2, record.pages - _SAMPLED))
        with connection.transaction():
            locks.as_the_owner(connection)
            row = connection.execute(
                sql.SQL("SELECT count(*) FROM ONLY {} WHERE {}").format(
                    self.heap.identifier, region(first, first + _SAMPLED)
                )
            ).fetchone()
        seen = max(1, min(_SAMPLED, record.pages - first))
        return max(1, min(PASSES, (row[0] if row else 0) // seen))

    def _window(self, connection: Connection) -> int:
        """Return how many pages may wait for their next pass: a quarter of what the server keeps in memory."""
        row = connection.execute(
            "SELECT setting::pg_catalog.int8 / 4 FROM pg_catalog.pg_settings WHERE name = 'shared_buffers'"
        ).fetchone()
        return row[0] if row else 1024

    def _settle(self, connection: Connection) -> None:
        """Give a worker's session its settings."""
        settings = {
            # Safe: the checkpoint is in the same transaction, so a crash loses both or neither.
            "synchronous_commit": "off",
            "lock_timeout": locks.milliseconds(self._row_wait),
            "statement_timeout": locks.milliseconds(self._longest_batch),
            # A frozen ecm (a suspended laptop) must not keep the rows of a batch locked.
            "idle_in_transaction_session_timeout": locks.milliseconds(locks.UNHEARD_OF),
            # The table itself was judged before, and is proven with it off; a trigger of its own may read others.
            "row_security": "on",
            **({GUARD: self.sweeper.step.spared} if self.sweeper.step.spared else {}),
        }
        for name, value in settings.items():
            connection.execute("SELECT pg_catalog.set_config(%s, %s, false)", [name, value])
        connection.execute("SET search_path TO DEFAULT")
        if self.sweeper.settings.user_triggers == "suppress":
            # Only triggers that are enabled ALWAYS or for REPLICA fire in this session: the sync trigger is one.
            connection.execute("SET session_replication_role = replica")

    @cached_property
    def _deadlock(self) -> timedelta:
        return self.sweeper.link.do(locks.deadlock_timeout)

    @cached_property
    def _row_wait(self) -> timedelta:
        """How long a batch waits for a row, with those that it wrote already locked."""
        return max(
            _SHORTEST_WAIT, min(self.sweeper.lock_timeout, self._deadlock / 4, self.sweeper.settings.batch_time / 4)
        )

    @cached_property
    def _longest_batch(self) -> timedelta:
        """When a batch is ended by force.

        It ends before deadlock_timeout: a session that waits for one of its rows is let go before PostgreSQL
        looks for a deadlock, so the application is never the victim of one.
        """
        return min(self._deadlock * 0.75, max(self.sweeper.settings.batch_time * 2, timedelta(milliseconds=100)))

    def _turn(self, wave: Wave, filenode: int, connection: Connection) -> _Batch | Waiting | None:
        """Write the wave's next turn in a worker's session; None where there is none."""
        turn = wave.begin()
        if turn is None:
            return None
        began = monotonic()
        try:
            rows, in_place = self._write(wave, turn, filenode, connection)
        except locks.REFUSED as met:
            locks.let_go(connection)
            out_of_time = isinstance(met, errors.QueryCanceled)
            seconds = wave.refuse(turn, out_of_time=out_of_time, seconds=monotonic() - began)
            # Time in which nobody tried (paused, a frozen process) says nothing about the rows.
            idle = min(wave.clock() - wave.last_success, turn.waited)
            if idle > PATIENCE.total_seconds():
                raise locks.gave_up(
                    connection, [self.heap], budget=self._row_wait, attempts=turn.refused + 1, seconds=idle
                ) from met
            why = "a batch took too long" if out_of_time else "rows are locked"
            return Waiting(what=str(self.heap), why=why, attempt=turn.refused + 1, seconds=seconds)
        except BaseException:
            wave.give_back(turn)
            raise
        wave.finish(turn, rows=rows, in_place=in_place, seconds=monotonic() - began)
        return _Batch(rows=rows)

    def _write(self, wave: Wave, turn: Turn, filenode: int, connection: Connection) -> tuple[int, int]:
        """Fill a turn's rows and commit them with the checkpoint; return how many, and how many of them in place."""
        where = region(turn.first, turn.end)
        if not turn.last:
            where = sql.SQL("{} AND {}").format(where, fraction(turn.number, turn.passes))
        with wave.reckoned() as reckoning, connection.transaction():
            leases.hold(connection, self.sweeper.writer(connection).lease)
            if turn.unhurried:
                locks.set_local(connection, statement_timeout="0")
            before = connection.execute(_IN_PLACE, [self._relation]).fetchone()
            with explained(f"backfill of {self.heap}"):
                rows = connection.execute(self.sweeper.step.update(self.heap, where)).rowcount
            reckoning.page = wave.checkpoint(turn)
            # The UPDATE holds its lock on the table by now, so nobody can rewrite it any more.
            after = connection.execute(
                _CHECKPOINT,
                {
                    "page": reckoning.page,
                    "rows": rows + reckoning.owed,
                    "plan": self.sweeper.plan,
                    "of": self._relation,
                    "purpose": self.sweeper.step.purpose,
                },
            ).fetchone()
            if after is None or after[0] != filenode:
                raise _MovedError
            reckoning.written, reckoning.recorded = rows, after[2]
        return rows, after[1] - (before[0] if before else 0)

    def _finished(self, record: SweepRecord) -> SweepRecord:
        """Record the end; the last batches may have left their checkpoint to each other."""

        def finish(connection: Connection) -> None:
            with connection.transaction():
                leases.hold(connection, self.sweeper.writer(connection).lease)
                connection.execute(
                    "UPDATE ecm.sweeps SET next_page = pages, rows = %s, throttled_by = NULL, workers = 0,"
                    " rows_per_second = NULL, eta_seconds = NULL, eta_at_most = NULL,"
                    " updated_at = pg_catalog.clock_timestamp() WHERE plan = %s AND relation = %s AND purpose = %s",
                    [record.rows, *self._mine],
                )

        self.sweeper.link.do(finish)
        return self._found() or record

    # ------------------------------------------------------------ holding back

    def _mind(self, crew: Crew[Any], gauge: throttle.Gauge, record: SweepRecord, wave: Wave, clock: Pace) -> None:
        """Hold the workers back where somebody asked for it or a signal says so, and leave word for `status`."""

        def look(connection: Connection) -> tuple[str | None, tuple[throttle.Reading, ...]]:
            who = journal.paused(connection, self.sweeper.plan)
            readings = gauge.look(connection)
            return (f"paused by {who}; ecm resume {self.sweeper.plan}" if who else throttle.reason(readings)), readings

        held_by, readings = self.sweeper.link.do(look)
        crew.hold(held_by is not None)
        if held_by is None and wave.stuck:
            held_by = self.sweeper.link.do(self._who_locks)
        before, self._looked_at = self._looked_at, monotonic()
        if self._held_by is not None:
            self.taken.held += self._looked_at - before
        if held_by is not None or self._held_by is not None:
            clock.rest(wave.done, record.rows)
        self._held_by = held_by
        progress = self._progress(record, wave, clock, workers=crew.at_work)

        def note(connection: Connection) -> None:
            with connection.transaction():
                leases.hold(connection, self.sweeper.writer(connection).lease)
                connection.execute(
                    "UPDATE ecm.sweeps SET throttled_by = %s, signals = %s, workers = %s, share_in_place = %s,"
                    " rows_per_second = %s, eta_seconds = %s, eta_at_most = %s,"
                    " updated_at = pg_catalog.clock_timestamp() WHERE plan = %s AND relation = %s AND purpose = %s",
                    [
                        held_by,
                        Jsonb([vars(reading) for reading in readings]),
                        crew.at_work,
                        wave.share_in_place,
                        progress.rows_per_second,
                        progress.eta_seconds,
                        progress.eta_at_most,
                        *self._mine,
                    ],
                )

        self.sweeper.link.do(note)
        self.sweeper.observer(progress)

    def _who_locks(self, connection: Connection) -> str:
        """Return whose transaction it is that the last rows wait for, as far as can be told."""
        found = locks.blockers(connection, [self.heap])
        return f"rows are locked, {found[0].lines[0]}" if found else "rows are locked by another session"

    def _tell(self, record: SweepRecord, wave: Wave, clock: Pace, *, workers: int) -> None:
        self.sweeper.observer(self._progress(record, wave, clock, workers=workers))

    def _progress(self, record: SweepRecord, wave: Wave, clock: Pace, *, workers: int) -> Progress:
        soonest, latest = clock.left
        return Progress(
            what=f"backfill {self.heap}",
            # As `status` has it, and as a later run begins: what waits for another pass is not done yet.
            done=record.pages if wave.over else wave.kept,
            total=record.pages,
            rows=record.rows,
            round=record.round,
            rows_per_second=None if self._held_by else clock.rows_per_second,
            eta_seconds=None if self._held_by else soonest,
            eta_at_most=None if self._held_by else latest,
            workers=workers,
            share_in_place=wave.share_in_place,
            throttled_by=self._held_by,
        )


def _with_rows(record: SweepRecord, rows: int) -> SweepRecord:
    return replace(record, rows=rows)


_IN_PLACE = "SELECT pg_catalog.pg_stat_get_xact_tuples_hot_updated(%s::pg_catalog.regclass)"

_CHECKPOINT = """
WITH mine AS (SELECT FROM ecm.sweeps WHERE plan = %(plan)s AND relation = %(of)s AND purpose = %(purpose)s
  FOR NO KEY UPDATE SKIP LOCKED),
kept AS (
  UPDATE ecm.sweeps SET next_page = greatest(next_page, %(page)s), rows = rows + %(rows)s,
    updated_at = pg_catalog.clock_timestamp()
  WHERE plan = %(plan)s AND relation = %(of)s AND purpose = %(purpose)s AND EXISTS (SELECT FROM mine)
  RETURNING 1
)
SELECT pg_catalog.pg_relation_filenode(%(of)s::pg_catalog.regclass)::pg_catalog.int8,
  pg_catalog.pg_stat_get_xact_tuples_hot_updated(%(of)s::pg_catalog.regclass),
  EXISTS (SELECT FROM kept)
"""
"""Workers do not wait for each other: who finds the row locked leaves the checkpoint to the one that has it, or to
the next batch. It may only be too low then, and pages that are written twice come to no harm."""
