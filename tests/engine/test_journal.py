"""The journal in each database: made once, moved by compare-and-set, closed to whoever lost the lease."""

import threading
from collections.abc import Generator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from operations.conftest import Roles
from operations.harness import as_role, ask, rows, run
from psycopg import errors
from pydantic import SecretStr

from orchestrator.engine import journal, leases
from orchestrator.engine.connection import Connection, connect
from orchestrator.engine.journal import Record, Writer
from orchestrator.engine.leases import Lease
from orchestrator.errors import ConfigurationError, LeaseError, PrivilegeError
from orchestrator.plan.lifecycle import Direction, Move, Phase, Position, State

TEXT = {"plan": "p", "changes": []}

# The journal's tables as they are to be, whatever versions led there. Another version changes this text.
TABLES = """
alembic_version: version_num character varying(32) not null
leases: acquired_at timestamp with time zone not null
leases: fence bigint not null
leases: heartbeat_at timestamp with time zone not null
leases: holder text not null
leases: plan text not null
moves: actor text not null
moves: branch text not null
moves: checksum text not null
moves: data jsonb not null
moves: direction text not null
moves: happened_at timestamp with time zone not null
moves: id uuid not null
moves: origin text not null
moves: phases text[] not null
moves: plan text not null
moves: seq bigint not null always
moves: target text not null
plans: branch text not null
plans: checksum text not null
plans: direction text
plans: looked_like jsonb
plans: paused_at timestamp with time zone
plans: paused_by text
plans: phase text
plans: phase_error text
plans: phase_started_at timestamp with time zone
plans: plan text not null
plans: recorded jsonb not null
plans: state text not null
plans: state_since timestamp with time zone not null
plans: undo_until timestamp with time zone
plans: undo_watch jsonb
plans: verified_at timestamp with time zone
statements: calls bigint not null
statements: last_seen timestamp with time zone
statements: plan text not null
statements: query text not null
statements: role text not null
statements: since bigint not null
statements: statement text not null
statements: unclear boolean not null
steps: direction text not null
steps: finished_at timestamp with time zone
steps: key text not null
steps: lock_wait double precision
steps: phase text not null
steps: plan text not null
steps: started_at timestamp with time zone not null
steps: statements text[] not null
steps: title text not null
sweeps: eta_at_most double precision
sweeps: eta_seconds double precision
sweeps: filenode oid not null
sweeps: measured jsonb not null
sweeps: next_page bigint not null
sweeps: pages bigint not null
sweeps: plan text not null
sweeps: proven_filenode bigint
sweeps: proven_page bigint not null
sweeps: proven_rows bigint not null
sweeps: proven_under jsonb
sweeps: purpose text not null
sweeps: relation text not null
sweeps: round integer not null
sweeps: rows bigint not null
sweeps: rows_per_second double precision
sweeps: share_in_place double precision
sweeps: signals jsonb not null
sweeps: started_at timestamp with time zone not null
sweeps: throttled_by text
sweeps: updated_at timestamp with time zone not null
sweeps: workers integer not null
watches: evictions bigint
watches: lost_until timestamp with time zone
watches: plan text not null
watches: reset_at timestamp with time zone
watches: sampled_at timestamp with time zone
watches: since timestamp with time zone not null
"""
CONSTRAINTS = """
alembic_version: PRIMARY KEY (version_num)
leases: PRIMARY KEY (plan)
moves: PRIMARY KEY (seq)
moves: UNIQUE (id)
plans: CHECK (((phase IS NULL) = (direction IS NULL)))
plans: PRIMARY KEY (plan)
statements: FOREIGN KEY (plan) REFERENCES ecm.watches(plan) ON DELETE CASCADE
statements: PRIMARY KEY (plan, statement)
steps: PRIMARY KEY (plan, phase, direction, key)
sweeps: PRIMARY KEY (plan, relation, purpose)
watches: PRIMARY KEY (plan)
"""

Sessions = Any


@pytest.fixture
def sessions(database: str) -> Generator[Sessions]:
    """Opens sessions of ecm's with one database."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(connect(SecretStr(database), branch="main"))


@pytest.fixture
def session(sessions: Sessions) -> Connection:
    """A session with a database that has a journal."""
    connection = sessions()
    journal.prepare(connection)
    return connection


def description(db: psycopg.Connection[Any]) -> tuple[str, str]:
    """Return the journal's tables and constraints, as text."""
    columns = rows(
        db,
        "SELECT c.relname || ': ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)"
        " || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END || CASE a.attidentity WHEN 'a' THEN ' always' ELSE '' END"
        " FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid"
        " WHERE c.relnamespace = 'ecm'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 ORDER BY 1",
    )
    constraints = rows(
        db,
        "SELECT c.relname || ': ' || pg_get_constraintdef(k.oid) FROM pg_catalog.pg_constraint k"
        " JOIN pg_catalog.pg_class c ON c.oid = k.conrelid WHERE k.connamespace = 'ecm'::regnamespace"
        " AND k.contype <> 'n' ORDER BY 1",
    )
    return "\n".join(line for (line,) in columns), "\n".join(line for (line,) in constraints)


def _lines(text: str) -> str:
    return "\n".join(sorted(text.split("\n"))).strip("\n")


# ---------------------------------------------------------------- its own schema


def test_head_is_the_newest_version() -> None:
    """The number that is compared without loading Alembic is Alembic's."""
    config = Config()
    config.set_main_option("script_location", "orchestrator:engine/migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [journal.HEAD]


def test_schema_is_the_sum_of_its_versions(session: Connection) -> None:
    """From nothing to the newest version gives exactly what is written down above."""
    columns, constraints = description(session)
    assert sorted(columns.split("\n")) == _lines(TABLES).split("\n")
    assert sorted(constraints.split("\n")) == _lines(CONSTRAINTS).split("\n")
    assert journal.version(session) == journal.HEAD


def test_nothing_is_read_from_nothing(sessions: Sessions) -> None:
    """A database without a journal has no plans, and a look at it makes none."""
    connection = sessions()
    assert journal.version(connection) is None
    assert journal.read_all(connection) == ()
    assert journal.read(connection, "p") is None
    assert journal.moves(connection) == ()
    assert journal.sweeps(connection, "p") == ()
    assert ask(connection, "SELECT pg_catalog.to_regnamespace('ecm')") is None


def test_prepare_twice_is_prepare_once(session: Connection) -> None:
    """The second time changes nothing."""
    before = rows(
        session,
        "SELECT oid, relname, xmin::text FROM pg_catalog.pg_class WHERE relnamespace = 'ecm'::regnamespace ORDER BY 1",
    )
    journal.prepare(session)
    after = rows(
        session,
        "SELECT oid, relname, xmin::text FROM pg_catalog.pg_class WHERE relnamespace = 'ecm'::regnamespace ORDER BY 1",
    )
    assert after == before


def test_an_upgrade_that_fails_leaves_nothing(sessions: Sessions) -> None:
    """It is one transaction: what stands in the way of its last table keeps its first from being there."""
    connection = sessions()
    run(connection, "CREATE SCHEMA ecm; CREATE TABLE ecm.moves (mine integer)")
    with pytest.raises(Exception, match="moves"):
        journal.prepare(connection)
    assert rows(connection, "SELECT relname FROM pg_catalog.pg_class WHERE relnamespace = 'ecm'::regnamespace") == [
        ("moves",)
    ]
    assert journal.version(connection) is None


def test_two_at_once(sessions: Sessions) -> None:
    """Whoever comes second waits for the first, for longer than a lock is waited for elsewhere, and finds it done."""
    first, second, failed = sessions(), sessions(), []

    def prepare() -> None:
        try:
            journal.prepare(second)
        except Exception as error:  # noqa: BLE001 - shown below
            failed.append(error)

    late = threading.Thread(target=prepare)
    patience = timedelta(
        milliseconds=int(ask(first, "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'lock_timeout'"))
    )
    with first.transaction():
        run(first, "SELECT pg_advisory_xact_lock(hashtextextended('ecm.journal', 0))")
        late.start()
        run(first, f"SELECT pg_sleep({patience.total_seconds() * 1.3})")
    late.join()
    assert failed == []
    assert journal.version(second) == journal.HEAD


def test_a_newer_journal_is_left_alone(session: Connection) -> None:
    """An older ecm does not touch what a newer one wrote."""
    run(session, "UPDATE ecm.alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigurationError, match="written by a newer ecm") as refused:
        journal.prepare(session)
    assert refused.value.hint == "upgrade ecm"


def test_without_the_right_to_create_it(database: str, roles: Roles) -> None:
    """The GRANT that is missing is named."""
    role = roles()
    with (
        connect(SecretStr(as_role(database, role)), branch="main") as connection,
        pytest.raises(PrivilegeError) as refused,
    ):
        journal.prepare(connection)
    assert (refused.value.hint or "").startswith("GRANT CREATE ON DATABASE")
    assert (refused.value.hint or "").endswith(f'TO "{role}"')


# ---------------------------------------------------------------- moving


def move(origin: State, target: State, *phases: Phase, back: bool = False, resumes: bool = False) -> Move:
    """Return a move in short."""
    direction = Direction.BACK if back else Direction.FORWARD
    return Move(origin=origin, target=target, direction=direction, phases=phases, resumes=resumes)


EXPAND = move(State.PLANNED, State.EXPANDED, Phase.EXPAND)
BEGUN = Position(phase=Phase.EXPAND, direction=Direction.FORWARD)


def lease(connection: Connection, holder: str = "me") -> Lease:
    """Take the lease."""
    taken = leases.take(connection, "p", holder)
    assert taken is not None
    return taken


def writer(connection: Connection, taken: Lease | None = None) -> Writer:
    """Return a writer under a lease."""
    return Writer(connection=connection, lease=taken or lease(connection), branch="main")


def begin(w: Writer, m: Move = EXPAND, position: Position = Position()) -> Position:  # noqa: B008 - a frozen value
    """Begin a move in a transaction of its own."""
    with w.connection.transaction():
        return w.begin(m, position, checksum="sha256:1", recorded=TEXT)


def complete(w: Writer, m: Move = EXPAND, position: Position = BEGUN) -> None:
    """Complete a move in a transaction of its own."""
    with w.connection.transaction():
        w.complete(m, position, checksum="sha256:1", actor="me", data={"rows": 1})


def test_a_move_is_recorded(session: Connection) -> None:
    """Begun, completed, and kept for the ledger; the text as it was begun comes back as it was."""
    w = writer(session)
    assert begin(w) == BEGUN
    record = journal.read(session, "p")
    assert record
    assert (record.position, record.recorded, record.branch, record.holder) == (BEGUN, TEXT, "main", "me")
    assert record.phase_started_at
    complete(w)
    record = journal.read(session, "p")
    assert record
    assert record.position == Position(state=State.EXPANDED)
    (kept,) = journal.moves(session)
    assert (kept.plan, kept.phases, kept.origin, kept.target) == ("p", (Phase.EXPAND,), State.PLANNED, State.EXPANDED)
    assert (kept.actor, kept.data, kept.checksum) == ("me", {"rows": 1}, "sha256:1")


@pytest.mark.parametrize(
    "judged",
    [
        Position(state=State.EXPANDED),
        Position(state=State.EXPANDED, phase=Phase.BACKFILL, direction=Direction.FORWARD),
        Position(state=State.PLANNED, phase=Phase.EXPAND, direction=Direction.BACK),
    ],
)
def test_a_move_from_elsewhere_is_refused(session: Connection, judged: Position) -> None:
    """Compare-and-set: the position that was judged is not the one in the journal, and nothing is written."""
    w = writer(session)
    begin(w)
    with pytest.raises(LeaseError, match="is not where it was when this command judged it") as refused:
        begin(w, move(judged.state, State.BACKFILLED, Phase.BACKFILL), judged)
    assert refused.value.exit_code == 5
    with pytest.raises(LeaseError):
        complete(w, position=judged)
    record = journal.read(session, "p")
    assert record
    assert record.position == BEGUN
    assert journal.moves(session) == ()


def test_a_plan_is_not_begun_twice(session: Connection) -> None:
    """Who judged it as not begun, while another began it, is refused; the text that was begun stays."""
    w = writer(session)
    begin(w)
    with pytest.raises(LeaseError), session.transaction():
        w.begin(EXPAND, Position(), checksum="sha256:2", recorded={"plan": "other"})
    record = journal.read(session, "p")
    assert record
    assert (record.checksum, record.recorded) == ("sha256:1", TEXT)


def test_a_rollback_takes_its_steps_along(session: Connection) -> None:
    """What was undone is no longer recorded as done; that it was, and was undone, stays for the ledger."""
    w = writer(session)
    begin(w)
    w.intend(Phase.EXPAND, Direction.FORWARD, "expand", "add", ["SELECT 1"])
    with session.transaction():
        w.finish(Phase.EXPAND, Direction.FORWARD, "expand", lock_wait=0.5)
    assert w.done(Phase.EXPAND, Direction.FORWARD, "expand")
    complete(w)
    back = move(State.EXPANDED, State.PLANNED, Phase.EXPAND, back=True)
    position = begin(w, back, Position(state=State.EXPANDED))
    complete(w, back, position)
    assert journal.steps(session, "p") == ()
    assert not w.done(Phase.EXPAND, Direction.FORWARD, "expand")
    assert [kept.direction for kept in journal.moves(session)] == [Direction.FORWARD, Direction.BACK]


# ---------------------------------------------------------------- the lease


def test_one_holder_at_a_time(session: Connection, sessions: Sessions) -> None:
    """A lease is had by one living session; given back, or its session gone, it goes to the next with a higher number."""
    other = sessions()
    first = lease(session)
    assert leases.take(other, "p", "other") is None
    assert leases.take(other, "another plan", "other") is not None
    leases.release(session, first)
    second = lease(other, "other")
    assert second.fence == first.fence + 1
    other.close()
    third = None
    while third is None:  # the server takes a moment to see that the session is gone
        third = leases.take(session, "p", "again")
    assert third.fence == second.fence + 1


def _record(connection: Connection, plan: str = "p") -> Record:
    record = journal.read(connection, plan)
    assert record
    return record


def test_a_lease_is_held_while_its_session_lives(session: Connection, sessions: Sessions) -> None:
    """Whoever reads the journal is told whether the holder lives; its name stays when it is killed."""
    holder = sessions()
    begin(writer(holder))
    lease_of_another = leases.take(sessions(), "another plan", "other")
    assert lease_of_another
    assert _record(session).held
    holder.close()
    while _record(session).held:  # the server takes a moment to see that the session is gone
        pass
    assert _record(session).holder == "me"


@pytest.mark.parametrize("plan", ["p", "a-rather-long-name-0", "ünï", *(f"plan-{number}" for number in range(8))])
def test_every_plan_has_a_lease_of_its_own(session: Connection, plan: str) -> None:
    """Whatever the sign of the lock's number: it is found again, and no other's is taken for it."""
    run(
        session,
        "INSERT INTO ecm.plans (plan, branch, checksum, recorded, state, state_since)"
        f" VALUES ('{plan}', 'main', '', '{{}}', 'planned', now()), ('other', 'main', '', '{{}}', 'planned', now())",
    )
    assert not _record(session, plan).held
    assert leases.take(session, plan, "me")
    assert [record.plan for record in journal.read_all(session) if record.held] == [plan]


def test_words_of_another_version(session: Connection) -> None:
    """What cannot be read is said, and does not stand in the way of another plan."""
    w = writer(session)
    begin(w)
    run(
        session,
        "INSERT INTO ecm.plans SELECT 'newer', branch, checksum, recorded, 'beyond', state_since FROM ecm.plans",
    )
    assert _record(session).position == BEGUN
    with pytest.raises(
        ConfigurationError, match="says of newer cannot be read: 'beyond' is not a valid State"
    ) as refused:
        journal.read_all(session)
    assert refused.value.hint == "upgrade ecm"


def _overtaken(session: Connection, sessions: Sessions) -> Writer:
    """Return the writer of a holder that lost its advisory lock, as with a session, and was replaced."""
    w = writer(session)
    begin(w)
    run(session, "SELECT pg_advisory_unlock_all()")
    lease(sessions(), "the other one")
    return w


@pytest.mark.parametrize("what", ["begin", "finish", "complete", "hold", "renew", "beat"])
def test_whoever_was_replaced_writes_nothing(session: Connection, sessions: Sessions, what: str) -> None:
    """The fencing number is checked in each transaction that would change something."""
    w = _overtaken(session, sessions)
    before = rows(session, "SELECT * FROM ecm.plans") + rows(session, "SELECT * FROM ecm.steps")
    if what == "beat":
        assert not leases.beat(session, w.lease)
        return
    actions = {
        "begin": lambda: w.begin(
            move(State.PLANNED, State.EXPANDED, Phase.EXPAND, resumes=True), BEGUN, checksum="", recorded={}
        ),
        "finish": lambda: w.finish(Phase.EXPAND, Direction.FORWARD, "expand", lock_wait=0),
        "complete": lambda: w.complete(EXPAND, BEGUN, checksum="", actor="", data={}),
        "hold": lambda: leases.hold(session, w.lease),
        "renew": lambda: leases.renew(session, w.lease),
    }
    with pytest.raises(LeaseError) as refused, session.transaction():
        actions[what]()
    assert "the other one" in "\n".join((refused.value.message, *refused.value.details))
    assert refused.value.exit_code == 5
    assert rows(session, "SELECT * FROM ecm.plans") + rows(session, "SELECT * FROM ecm.steps") == before


def test_a_taker_waits_for_what_is_being_committed(session: Connection, sessions: Sessions) -> None:
    """While a transaction of the holder's is open, nobody becomes its successor; after it, they do."""
    w = writer(session)
    other = sessions()
    run(other, "SET lock_timeout = '50ms'")
    with session.transaction():
        leases.hold(session, w.lease)
        run(session, "SELECT pg_advisory_unlock_all()")
        assert leases.beat(sessions(), w.lease), "a heartbeat passes"
        with pytest.raises(errors.LockNotAvailable):
            leases.take(other, "p", "other")
    run(other, "SELECT pg_advisory_unlock_all()")
    assert lease(other, "other").fence == w.lease.fence + 1


def test_what_the_tables_looked_like_goes_with_the_move(session: Connection) -> None:
    """Recorded as the phase begins, kept while others resume it, gone with it: a move back or a copy's has none."""
    w = writer(session)
    with session.transaction():
        w.begin(EXPAND, Position(), checksum="sha256:1", recorded=TEXT, looked_like={"format": 1})
    begin(w, move(State.PLANNED, State.EXPANDED, Phase.EXPAND, resumes=True), BEGUN)
    complete(w)
    back = Move(
        origin=State.EXPANDED, target=State.PLANNED, direction=Direction.BACK, phases=(Phase.EXPAND,), resumes=False
    )
    complete(w, back, begin(w, back, Position(state=State.EXPANDED)))
    with session.transaction():
        w.begin(EXPAND, Position(), checksum="sha256:1", recorded=TEXT, looked_like={"format": 1})
        Writer(connection=session, lease=w.lease, branch="copy").adopt()
    complete(w)
    rowed, found = {"rows": 1}, journal.moves(session)
    assert [each.data for each in found] == [rowed | {"looked_like": {"format": 1}}, rowed, rowed]
    assert journal.known(session) == tuple(each.id for each in found)
    assert journal.moves(session, [found[1].id]) == found[1:2]


def test_a_copy_is_adopted(session: Connection) -> None:
    """A database that was copied from another branch has its journal; under the new name it goes on."""
    w = writer(session)
    begin(w)
    with session.transaction():
        Writer(connection=session, lease=w.lease, branch="copy").adopt()
    record = journal.read(session, "p")
    assert record
    assert (record.branch, record.position) == ("copy", BEGUN)
