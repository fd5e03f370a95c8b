"""The journal: what was done to a branch's database, kept in that database (schema `ecm`).

Whatever changes the database commits together with its record here, so the journal is the truth
about this database and travels with it when it is copied. Every write states the fencing number
of the lease it is made under (`leases`); a holder that was replaced finds its writes refused.
"""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID, uuid4
from weakref import WeakKeyDictionary

from psycopg import errors, sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from orchestrator.engine import leases, trail
from orchestrator.engine.connection import Connection, lacking, select
from orchestrator.engine.leases import Lease
from orchestrator.errors import ConfigurationError, LeaseError, PrivilegeError
from orchestrator.plan.lifecycle import Direction, Move, Phase, Position, State

HEAD = "0006"
"""The newest version in `migrations/versions`; a test holds the two together."""


LOOKED_LIKE = "looked_like"
"""Among a move's data, what the plan's tables looked like before its phase began (`plan.drift`)."""
SQL = "sql"
"""Under this name what a move ran stands beside what was measured; steps have other names."""

HOLDER = "holder"
"""Under this name stands the process that made the move, and on which machine."""
NOT_MEASURED = frozenset({LOOKED_LIKE, SQL, HOLDER})
REHEARSED = "rehearsed"
"""Among a move's data: it was made on a copy, in the name of the branch that this is a copy of, and proves nothing."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a branch's journal says of a plan."""

    plan: str
    branch: str
    """The branch that wrote it; another than the one it was read from after a copy or reset."""
    checksum: str
    recorded: dict[str, Any]
    """The plan's text as it was begun, as `Plan.model_dump(mode="json")`."""
    position: Position
    state_since: datetime
    phase_started_at: datetime | None
    phase_error: str | None
    verified_at: datetime | None
    holder: str | None
    """Who took the lease last and did not give it back, dead or alive."""
    held: bool
    """Whether a living session holds the lease in this database."""
    heartbeat_at: datetime | None
    now: datetime
    """The database's clock when it was read."""
    paused_by: str | None = None
    """Who asked the backfill to pause, where somebody did."""
    undo_until: datetime | None = None
    """Until when the old structure is kept at least, where contract keeps it; also once that moment has passed."""
    undo_watch: dict[str, list[str]] | None = None
    """The sync triggers' versions when contract kept it (`sentry.as_json`)."""

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way: not begun, rolled back, or contracted with nothing kept."""
        return self.position in (Position(), Position(state=State.CONTRACTED))


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """A step as it was run."""

    phase: Phase
    direction: Direction
    key: str
    title: str
    started_at: datetime
    finished_at: datetime | None
    lock_wait: float | None


@dataclass(frozen=True, kw_only=True)
class SweepRecord:
    """How far a sweep is. Pages from `next_page` up to `pages` are still to be visited."""

    relation: str
    filenode: int
    pages: int
    next_page: int
    rows: int
    round: int
    started_at: datetime
    updated_at: datetime
    workers: int = 0
    share_in_place: float | None = None
    rows_per_second: float | None = None
    eta_seconds: float | None = None
    eta_at_most: float | None = None
    throttled_by: str | None = None
    """Why the workers hold back, where they do."""
    signals: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """The throttle's readings, as `throttle.Reading`."""
    measured: dict[str, Any] = field(default_factory=dict[str, Any])
    """Sizes in bytes when it began: heap, indexes, and the place in the WAL."""
    proven_page: int = 0
    """The proof found all right on the pages before this one, while the triggers were `proven_under`."""
    proven_rows: int = 0
    proven_filenode: int | None = None
    proven_under: dict[str, Any] | None = None
    purpose: str = "backfill"


@dataclass(frozen=True, kw_only=True)
class CompletedMove:
    """A move that was completed here, to be copied to the ledger."""

    id: UUID
    plan: str
    branch: str
    checksum: str
    direction: Direction
    phases: tuple[Phase, ...]
    origin: State
    target: State
    actor: str
    happened_at: datetime
    data: dict[str, Any]


# ---------------------------------------------------------------- the schema


def version(connection: Connection) -> str | None:
    """Return the version of the journal in this database, or None where there is none."""
    if not _has(connection, "ecm.alembic_version"):
        return None
    row = connection.execute("SELECT version_num FROM ecm.alembic_version").fetchone()
    return str(row[0]) if row else None


def prepare(connection: Connection) -> None:
    """Make the journal, or bring it up to this ecm's version, in one transaction.

    Raises:
        PrivilegeError: the role may not create a schema here.
        ConfigurationError: a newer ecm wrote the journal.
    """
    found = version(connection)
    if found == HEAD:
        return
    if found is not None and found > HEAD:
        raise ConfigurationError(
            f"the journal in this database was written by a newer ecm (version {found}; this one knows {HEAD})",
            hint="upgrade ecm",
        )
    try:
        with connection.transaction():
            # Two that open a fresh branch at once: the second waits here and finds the work done.
            connection.execute("SET LOCAL lock_timeout = '1min'")
            connection.execute("SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('ecm.journal', 0))")
            # Looked up first, because IF NOT EXISTS asks for the right to create even where there is nothing to do.
            if connection.execute("SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'ecm'").fetchone() is None:
                connection.execute("CREATE SCHEMA ecm")
                connection.execute("COMMENT ON SCHEMA ecm IS 'The journal of ecm (expand-contract): do not edit'")
            _upgrade(connection)
    except errors.InsufficientPrivilege as error:
        raise missing_create(connection) from error


def missing_create(connection: Connection) -> PrivilegeError:
    """Return the error for a role that may not create schema ecm."""
    role, database, grant = lacking(connection, "CREATE")
    return PrivilegeError(
        f"role {role} may not create schema ecm in database {database}",
        details=["ecm keeps its journal there, in the same transactions as the change itself"],
        hint=grant,
    )


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import StaticPool

    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: _Borrowed(connection),
        poolclass=StaticPool,
        use_native_hstore=False,
    )
    try:
        with engine.connect() as borrowed:
            config = Config()
            config.set_main_option("script_location", "orchestrator:engine/migrations")
            config.attributes["connection"] = borrowed
            command.upgrade(config, "head")
    except DBAPIError as error:
        raise (error.orig or error) from None  # the driver's own error, which the callers know


class _Borrowed:
    """A connection that SQLAlchemy may use but neither commit, roll back nor close: the transaction is ours."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    def close(self) -> None: ...


_seen: WeakKeyDictionary[Connection, set[str]] = WeakKeyDictionary()
"""The journal's tables that were seen in a session: they stay, and a short move asks for them a hundred times."""


def _has(connection: Connection, table: str) -> bool:
    """Whether a table of the journal is there.

    Raises:
        PrivilegeError: it is another role's.
    """
    seen = _seen.setdefault(connection, set())
    if table in seen:
        return True
    try:
        row = connection.execute("SELECT pg_catalog.to_regclass(%s) IS NOT NULL", [table]).fetchone()
    except errors.InsufficientPrivilege as error:
        raise _of_another(connection) from error
    if row and row[0]:
        seen.add(table)
    return table in seen


def _of_another(connection: Connection) -> PrivilegeError:
    row = connection.execute(
        "SELECT current_user, pg_catalog.pg_get_userbyid(nspowner) FROM pg_catalog.pg_namespace WHERE nspname = 'ecm'"
    ).fetchone() or ("?", "?")
    grant = sql.SQL("GRANT {} TO {}").format(sql.Identifier(row[1]), sql.Identifier(row[0]))
    return PrivilegeError(
        f"schema ecm in {connection.info.dbname} belongs to role {row[1]}, and role {row[0]} may not use it",
        details=["the journal of a database is kept by one role, whoever runs ecm"],
        hint=grant.as_string(None),
    )


# ---------------------------------------------------------------- reading

_RECORD = sql.SQL("""
SELECT p.plan, p.branch, p.checksum, p.recorded, p.state, p.state_since, p.phase, p.direction, p.phase_started_at,
  p.phase_error, p.verified_at, pg_catalog.to_jsonb(p) ->> 'paused_by' AS paused_by,
  (pg_catalog.to_jsonb(p) ->> 'undo_until')::timestamptz AS undo_until,
  pg_catalog.to_jsonb(p) -> 'undo_watch' AS undo_watch,
  l.holder, {held} AS held, l.heartbeat_at, pg_catalog.clock_timestamp() AS now
FROM ecm.plans p LEFT JOIN ecm.leases l USING (plan)
WHERE p.plan = %(plan)s OR %(plan)s IS NULL
ORDER BY p.plan
""").format(held=leases.held(sql.Identifier("p", "plan")))


def read(connection: Connection, plan: str) -> Record | None:
    """Return what the journal says of a plan; None where it was never begun.

    Raises:
        ConfigurationError: a newer ecm wrote it, and used words that this one does not know.
    """
    return next(iter(_records(connection, plan)), None)


def read_all(connection: Connection) -> tuple[Record, ...]:
    """Return every plan the journal knows; reads only, a database without a journal has none. Raises as `read`."""
    return _records(connection, None)


def _records(connection: Connection, plan: str | None) -> tuple[Record, ...]:
    if not _has(connection, "ecm.plans"):
        return ()
    with connection.cursor(row_factory=dict_row) as cursor:
        return tuple(_record(row) for row in cursor.execute(_RECORD, {"plan": plan}).fetchall())


def _record(row: dict[str, Any]) -> Record:
    with _known_words(row["plan"]):
        position = Position(
            state=State(row.pop("state")),
            phase=Phase(phase) if (phase := row.pop("phase")) else None,
            direction=Direction(direction) if (direction := row.pop("direction")) else None,
            kept=row["undo_until"] is not None,
        )
    return Record(position=position, **row)


@contextmanager
def _known_words(plan: str) -> Generator[None]:
    try:
        yield
    except ValueError as error:
        raise ConfigurationError(
            f"what the journal says of {plan} cannot be read: {error}",
            details=["a newer ecm wrote it, or a hand"],
            hint="upgrade ecm",
        ) from None


def steps(connection: Connection, plan: str) -> tuple[StepRecord, ...]:
    """Return the steps run for a plan's present position, oldest first; raises as `read`."""
    rows = select(
        connection,
        "SELECT phase, direction, key, title, started_at, finished_at, lock_wait FROM ecm.steps"
        " WHERE plan = %s ORDER BY started_at, key",
        [plan],
    )
    with _known_words(plan):
        return tuple(
            StepRecord(phase=Phase(row.pop("phase")), direction=Direction(row.pop("direction")), **row) for row in rows
        )


def looked_like(connection: Connection, plan: str) -> object:
    """Return what a plan's tables looked like before the phase under way, as it was kept; None where it was not."""
    rows = select(
        connection,
        # As JSON, because a journal that an older ecm made has no such column.
        "SELECT pg_catalog.to_jsonb(p) -> 'looked_like' AS kept FROM ecm.plans p WHERE plan = %s",
        [plan],
    )
    return next((row["kept"] for row in rows), None)


def statements(connection: Connection, plan: str, phase: Phase) -> tuple[str, ...]:
    """Return the statements that were run for a phase that was not taken back, in their order; raises as `read`."""
    rows = connection.execute(
        "SELECT statements FROM ecm.steps WHERE plan = %s AND phase = %s AND direction = %s"
        " AND finished_at IS NOT NULL ORDER BY started_at, key",
        [plan, phase.value, Direction.FORWARD.value],
    ).fetchall()
    return tuple(statement for (several,) in rows for statement in several)


def sweeps(connection: Connection, plan: str) -> tuple[SweepRecord, ...]:
    """Return how far each sweep of a plan is."""
    if not _has(connection, "ecm.sweeps"):
        return ()
    rows = select(
        connection,
        # An older journal has fewer columns; status reads it as it is.
        "SELECT s.*, s.filenode::bigint AS filenode FROM ecm.sweeps s WHERE plan = %s ORDER BY started_at, relation",
        [plan],
    )
    known = {each.name for each in fields(SweepRecord)}
    return tuple(SweepRecord(**{name: value for name, value in row.items() if name in known}) for row in rows)


def paused(connection: Connection, plan: str) -> str | None:
    """Return who asked the plan's backfill to pause; None where nobody did."""
    row = connection.execute("SELECT paused_by FROM ecm.plans WHERE plan = %s", [plan]).fetchone()
    return row[0] if row else None


def pause(connection: Connection, plan: str, by: str | None) -> None:
    """Ask the plan's backfill to pause, or to go on where `by` is None. Whoever holds the lease will look here."""
    connection.execute(
        "UPDATE ecm.plans SET paused_by = %(by)s, paused_at = CASE WHEN %(by)s::text IS NOT NULL"
        " THEN pg_catalog.clock_timestamp() END WHERE plan = %(plan)s",
        {"by": by, "plan": plan},
    )


def verified(connection: Connection, plan: str, position: Position, *, sound: bool = True) -> None:
    """Record a fresh scan, unless the plan was moved meanwhile; where it was not sound, nothing stays proven."""
    connection.execute(
        "UPDATE ecm.plans SET verified_at = CASE WHEN %s THEN pg_catalog.clock_timestamp() END"
        " WHERE plan = %s AND state = %s AND phase IS NOT DISTINCT FROM %s",
        [sound, plan, position.state, position.phase],
    )


def known(connection: Connection) -> tuple[UUID, ...]:
    """Return the ids of the moves completed in this database (or in the one it was copied from), oldest first.

    Those that were rehearsed are left out, here and in `moves`: on the branch whose name they bear, nothing was moved.
    """
    if not _has(connection, "ecm.moves"):
        return ()
    query = "SELECT id FROM ecm.moves WHERE NOT data ? %s ORDER BY seq"
    return tuple(row[0] for row in connection.execute(query, [REHEARSED]).fetchall())


def moves(connection: Connection, ids: Iterable[UUID] | None = None) -> tuple[CompletedMove, ...]:
    """Return the moves completed in this database, or in the one it was copied from, oldest first; raises as `read`.

    Args:
        connection: a session with the branch.
        ids: of those that are wanted; all of them where it is None.
    """
    if not _has(connection, "ecm.moves"):
        return ()
    rows = select(
        connection,
        "SELECT id, plan, branch, checksum, direction, phases, origin, target, actor, happened_at, data"
        " FROM ecm.moves WHERE (%(ids)s::uuid[] IS NULL OR id = ANY (%(ids)s)) AND NOT data ? %(rehearsed)s"
        " ORDER BY seq",
        {"ids": None if ids is None else list(ids), "rehearsed": REHEARSED},
    )
    return tuple(_move(row) for row in rows)


def _move(row: dict[str, Any]) -> CompletedMove:
    with _known_words(row["plan"]):
        return CompletedMove(
            direction=Direction(row.pop("direction")),
            phases=tuple(Phase(phase) for phase in row.pop("phases")),
            origin=State(row.pop("origin")),
            target=State(row.pop("target")),
            **row,
        )


# ---------------------------------------------------------------- writing


@dataclass(frozen=True, kw_only=True)
class Writer:
    """Writes to the journal under a lease. Each method is to be called inside a transaction."""

    connection: Connection
    lease: Lease
    branch: str

    def begin(
        self,
        move: Move,
        position: Position,
        *,
        checksum: str,
        recorded: dict[str, Any],
        looked_like: dict[str, Any] | None = None,
    ) -> Position:
        """Record that a move is under way; compare-and-set on the position that was judged.

        `looked_like` is kept until the move is complete, whoever completes it, and then goes with it.

        Raises:
            LeaseError: the position is not the one that was judged.
        """
        leases.hold(self.connection, self.lease)
        phase = move.phases[0]
        if position == Position() and move.direction is Direction.FORWARD:
            self.connection.execute(
                "INSERT INTO ecm.plans (plan, branch, checksum, recorded, state, state_since)"
                " VALUES (%s, %s, %s, %s, 'planned', pg_catalog.clock_timestamp())"
                " ON CONFLICT (plan) DO UPDATE SET branch = excluded.branch, checksum = excluded.checksum,"
                " recorded = excluded.recorded, verified_at = NULL"
                " WHERE plans.state = 'planned' AND plans.phase IS NULL",
                [self.lease.plan, self.branch, checksum, Jsonb(recorded)],
            )
        if not move.resumes:
            self.connection.execute(
                "DELETE FROM ecm.steps WHERE plan = %s AND phase = ANY(%s) AND direction = %s",
                [self.lease.plan, [p.value for p in move.phases], move.direction.value],
            )
            if move.direction is Direction.FORWARD:
                self._looked_like(looked_like)
        self._set(
            position,
            "phase = %s, direction = %s, phase_error = NULL,"
            " phase_started_at = CASE WHEN phase IS NULL THEN pg_catalog.clock_timestamp() ELSE phase_started_at END",
            [phase.value, move.direction.value],
        )
        return replace(position, phase=phase, direction=move.direction)

    def call_off(self, begun: Position, before: Position) -> None:
        """Record that a move was refused before it did anything: all is as it was before it began."""
        leases.hold(self.connection, self.lease)
        self._set(
            begun,
            "phase = %s, direction = %s, phase_error = NULL,"
            " phase_started_at = CASE WHEN %s THEN NULL ELSE phase_started_at END",
            [before.phase, before.direction, before.phase is None],
        )
        if begun.direction is not None:
            self.connection.execute(
                "DELETE FROM ecm.steps WHERE plan = %s AND direction = %s", [self.lease.plan, begun.direction.value]
            )

    def intend(self, phase: Phase, direction: Direction, key: str, title: str, statements: list[str]) -> None:
        """Record that a step is about to be run."""
        leases.hold(self.connection, self.lease)
        self.connection.execute(
            "INSERT INTO ecm.steps (plan, phase, direction, key, title, started_at, statements)"
            " VALUES (%s, %s, %s, %s, %s, pg_catalog.clock_timestamp(), %s)"
            " ON CONFLICT (plan, phase, direction, key) DO UPDATE SET started_at = excluded.started_at,"
            " statements = excluded.statements",
            [self.lease.plan, phase.value, direction.value, key, title, statements],
        )

    def begun(self, phase: Phase, direction: Direction, key: str) -> bool:
        """Whether a step has been recorded as about to be run."""
        return self._finished(phase, direction, key) is not None

    def forget(self, phase: Phase, direction: Direction, key: str) -> None:
        """Record that a step was taken back; in the same transaction."""
        leases.hold(self.connection, self.lease)
        self.connection.execute(
            "DELETE FROM ecm.steps WHERE plan = %s AND phase = %s AND direction = %s AND key = %s",
            [self.lease.plan, phase.value, direction.value, key],
        )

    def done(self, phase: Phase, direction: Direction, key: str) -> bool:
        """Whether a step has been recorded as finished."""
        return self._finished(phase, direction, key) is True

    def _finished(self, phase: Phase, direction: Direction, key: str) -> bool | None:
        """Whether a step is finished; None where it was not begun."""
        row = self.connection.execute(
            "SELECT finished_at IS NOT NULL FROM ecm.steps"
            " WHERE plan = %s AND phase = %s AND direction = %s AND key = %s",
            [self.lease.plan, phase.value, direction.value, key],
        ).fetchone()
        return None if row is None else bool(row[0])

    def finish(self, phase: Phase, direction: Direction, key: str, *, lock_wait: float) -> None:
        """Record that a step was done; in the same transaction as the step, where it has one."""
        leases.hold(self.connection, self.lease)
        self.connection.execute(
            "UPDATE ecm.steps SET finished_at = pg_catalog.clock_timestamp(), lock_wait = %s"
            " WHERE plan = %s AND phase = %s AND direction = %s AND key = %s",
            [lock_wait, self.lease.plan, phase.value, direction.value, key],
        )

    def complete(
        self,
        move: Move,
        position: Position,
        *,
        checksum: str,
        actor: str,
        data: dict[str, Any],
        window: timedelta = timedelta(0),
        watch: dict[str, list[str]] | None = None,
    ) -> None:
        """Record that a move is complete: the state, and the move itself for the ledger, with what it ran.

        Args:
            move: what was done.
            position: as it was begun.
            checksum: of the plan's text.
            actor: who did it.
            data: what was measured.
            window: how long the old structure is kept, where the move keeps it.
            watch: the versions of what keeps it true.
        """
        leases.hold(self.connection, self.lease)
        sql = trail.ran(self.connection, self.lease.plan, move)
        self._set(
            position,
            "state = %s, state_since = pg_catalog.clock_timestamp(), phase = NULL, direction = NULL,"
            " phase_started_at = NULL, phase_error = NULL, paused_by = NULL, paused_at = NULL,"
            " undo_until = CASE WHEN %s THEN pg_catalog.clock_timestamp() + %s END, undo_watch = %s",
            [move.target.value, move.keeps, window, Jsonb(watch) if watch is not None else None],
        )
        if move.direction is Direction.BACK:
            undone = [phase.value for phase in move.phases]
            self.connection.execute(
                "DELETE FROM ecm.steps WHERE plan = %s AND phase = ANY(%s)", [self.lease.plan, undone]
            )
        if move.direction is Direction.BACK:
            # What another sweep did, or undid, it will have to do again from the first page on.
            self.connection.execute(
                "DELETE FROM ecm.sweeps WHERE plan = %s AND (%s OR purpose <> 'backfill')",
                [self.lease.plan, Phase.BACKFILL in move.phases],
            )
        self.connection.execute(
            "INSERT INTO ecm.moves"
            " (id, plan, branch, checksum, direction, phases, origin, target, actor, happened_at, data)"
            " SELECT %s, %s, %s, %s, %s, %s, %s, %s, %s, pg_catalog.clock_timestamp(),"
            " %s || CASE WHEN %s AND p.looked_like IS NOT NULL"
            " THEN pg_catalog.jsonb_build_object(%s::text, p.looked_like) ELSE '{}' END"
            " FROM ecm.plans p WHERE p.plan = %s",
            [
                uuid4(),
                self.lease.plan,
                self.branch,
                checksum,
                move.direction.value,
                [phase.value for phase in move.phases],
                move.origin.value,
                move.target.value,
                actor,
                Jsonb({**data, **({SQL: sql} if sql else {})}),
                move.direction is Direction.FORWARD,
                LOOKED_LIKE,
                self.lease.plan,
            ],
        )
        self._looked_like(None)

    def fail(self, message: str) -> None:
        """Keep what went wrong for `status`."""
        leases.hold(self.connection, self.lease)
        self.connection.execute("UPDATE ecm.plans SET phase_error = %s WHERE plan = %s", [message, self.lease.plan])

    def verified(self) -> None:
        """Record that a fresh scan found nothing wrong."""
        self.connection.execute(
            "UPDATE ecm.plans SET verified_at = pg_catalog.clock_timestamp() WHERE plan = %s", [self.lease.plan]
        )

    def adopt(self) -> None:
        """Take over the journal of the branch this database was copied from, under this branch's name.

        What the tables looked like before a phase under way was seen on the other branch, and proves nothing here.
        """
        self.connection.execute("UPDATE ecm.plans SET branch = %s WHERE plan = %s", [self.branch, self.lease.plan])
        self._looked_like(None)

    def _looked_like(self, value: dict[str, Any] | None) -> None:
        self.connection.execute(
            "UPDATE ecm.plans SET looked_like = %s WHERE plan = %s",
            [None if value is None else Jsonb(value), self.lease.plan],
        )

    def _set(self, position: Position, assignments: LiteralString, values: list[Any]) -> None:
        where = (
            " WHERE plan = %s AND state = %s AND phase IS NOT DISTINCT FROM %s AND direction IS NOT DISTINCT FROM %s"
            " AND (undo_until IS NOT NULL) = %s"
        )
        query = "UPDATE ecm.plans SET " + assignments + where  # noqa: S608 - literals of this module
        found = self.connection.execute(
            query, [*values, self.lease.plan, position.state, position.phase, position.direction, position.kept]
        )
        if found.rowcount != 1:
            raise LeaseError(
                f"{self.lease.plan} is not where it was when this command judged it",
                details=["another ecm moved it in between; nothing was changed"],
                hint="ecm status",
            )
