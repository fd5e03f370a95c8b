"""Screens: reports are values, so every screen can be looked at without a database."""

import importlib
import shlex
from datetime import UTC, datetime, timedelta
from io import StringIO
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import branch_reports, detection_reports, rehearsal_reports, reports
from orchestrator.cli import render
from orchestrator.cli.render import screen
from orchestrator.cli.render.failure import failure
from orchestrator.cli.render.look import Code, Command, console, indented, onward, rendered, stacked
from orchestrator.plan.lifecycle import STATES
from orchestrator.reports import (
    AdvanceReport,
    AuditProblem,
    AuditReport,
    BranchStatus,
    BuiltIndex,
    DependentReport,
    DoctorReport,
    Finding,
    ForecastReport,
    GateReport,
    HangingReport,
    HistoryEntry,
    HistoryReport,
    InProgress,
    MoveReport,
    PhasePreview,
    PlanListReport,
    PlanStatus,
    PlanSummary,
    PreviewReport,
    Range,
    ReasonReport,
    Report,
    SampleReport,
    SessionReport,
    StatusReport,
    StepDone,
    StepPreview,
    SweepProgress,
    TableFacts,
    VerifyReport,
)

NOW = datetime(2025, 11, 19, 10, 2, tzinfo=UTC)
PLAN = "rename-published-year"
BACKFILL = SweepProgress(done=610, total=1000, unit="pages", rows=7_600_000, rows_per_second=84_200, eta_seconds=190)

names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)
branches = st.from_regex(r"[a-z][a-z0-9_/-]{0,30}", fullmatch=True)
prose = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "Zs"]), max_size=200)


def shown(report: Report, width: int = 80, *, detailed: bool = False) -> str:
    return rendered(console(StringIO(), {"COLUMNS": str(width)}), screen(report, detailed=detailed))


def on(branch: str, state: str | None = "planned", **more: object) -> BranchStatus:
    given = {
        "branch": branch,
        "state": state,
        "source": "journal",
        "state_since": NOW - timedelta(days=2),
        "as_of": NOW,
    }
    return BranchStatus.model_validate(given | more)


def under_way(phase: str = "backfill", **more: object) -> InProgress:
    given = {
        "phase": phase,
        "direction": "forward",
        "started_at": NOW,
        "holder": "ci",
        "heartbeat_at": NOW,
        "error": None,
    }
    return InProgress.model_validate(given | more)


def project(*plans: PlanStatus) -> StatusReport:
    several = dict.fromkeys(each.branch for plan in plans for each in plan.branches)
    return StatusReport(project="bookstore", ledger=".ecm/ledger.db", branches=tuple(several), plans=plans)


def plan(*several: BranchStatus, name: str = PLAN, error: str | None = None) -> PlanStatus:
    return PlanStatus(plan=name, checksum="sha256:1", description="", branches=several, error=error)


THREE = plan(
    on("development", "contracted"),
    on("staging", "expanded", in_progress=under_way(), progress=BACKFILL),
    on(
        "production",
        requires=("development", "staging"),
        blocked_by=(ReasonReport(code="requires", message="staging has completed 1 of 4 phases of the plan"),),
    ),
)


def test_status_has_plans_down_and_branches_across() -> None:
    """The overview fits 80 columns, with an icon and a word each, progress, and what is waited for."""
    assert shown(project(THREE)).splitlines() == [
        "bookstore                                                  ledger .ecm/ledger.db",
        "",
        "  plan                   development       staging             production",
        "  rename-published-year  ● contracted      ◐ backfill 61%      ○ planned",
        "                         2 days ago        ━━━━━━━━━───────    waits for staging",
        "                                           84.2k rows/s, 3",
        "                                           min left",
        "",
        "next      ecm status --watch",
    ]


def test_status_becomes_a_list_where_the_branches_do_not_fit() -> None:
    """Many branches, or a long name, are listed under their plan; nothing is cut."""
    several = [on(f"tenant-{number}", STATES[number % 5]) for number in range(7)]
    lines = shown(project(plan(*several))).splitlines()

    assert "  rename-published-year" in lines
    assert "    tenant-1  ◐ expanded        2 days ago" in lines


@pytest.mark.parametrize(
    ("branch", "words"),
    [
        (on("b", "expanded", in_progress=under_way(holder=None), progress=BACKFILL), ["◐ backfill 61%", "interrupted"]),
        (on("b", "expanded", in_progress=under_way(error="no space left")), ["✗ backfill", "no space left"]),
        (on("b", "expanded", in_progress=under_way("expand", direction="back")), ["◐ undoing expand"]),
        (
            on("b", None, source="none", error="b did not answer"),
            ["✗ unknown", "no answer", "b did not answer", "ecm doctor"],
        ),
        (on("b", "backfilled", source="ledger", error="b did not answer"), ["backfilled", "from the ledger"]),
        (
            on("b", "reads_migrated", blocked_by=(ReasonReport(code="soak", message="40 min left"),)),
            ["soaking", "40 min"],
        ),
        (
            on("b", "planned", next_command="ecm advance p --branch b"),
            ["○ planned", "next      ecm advance p --branch b"],
        ),
        (on("b", "contracted"), ["● contracted", "2 days ago"]),
    ],
)
def test_status_says_what_matters_most(branch: BranchStatus, words: list[str]) -> None:
    """Each situation a plan can be in on a branch is told in words, not by colour or place."""
    text = shown(project(plan(branch)))

    assert [word for word in words if word not in text] == []


def test_a_plan_that_cannot_be_read_does_not_hide_the_others() -> None:
    """A broken file has its place and its reason; the rest is as ever."""
    text = shown(project(plan(on("b"), name="broken", error="plans/broken.yaml is not a plan"), plan(on("b"))))

    assert "✗ not readable" in text
    assert "✗ plans/broken.yaml is not a plan" in text
    assert "○ planned" in text


def test_a_plan_without_a_file_leaves_the_choice() -> None:
    """Both ways out are told, and no command that needs the file is proposed."""
    back = f"ecm rollback {PLAN} --branch b"
    reason = ReasonReport(code="no_file", message="there is no file", remedy=f"bring it back, or {back}")
    stopped = on("b", "expanded", in_progress=under_way(holder=None), blocked_by=(reason,), next_command=back)
    text, closer = shown(project(plan(stopped))), shown(project(plan(stopped)), detailed=True)

    assert f"bring it back, or {back}" in " ".join(text.split())
    assert "there is no file" in closer
    assert " ".join(closer.split()).count(back) == 2, "in the reason and once as a command"
    unreadable = stopped.model_copy(update={"next_command": None})
    assert "ecm gate" not in shown(project(plan(unreadable).model_copy(update={"has_file": False})))


def test_a_file_that_cannot_be_read_has_a_next_command() -> None:
    """In the closer view as in the overview."""
    broken = project(plan(on("b", next_command="ecm plan validate p"), name="p", error="plans/p.yaml is not a plan"))

    assert shown(broken).endswith("next      ecm plan validate p")
    assert shown(broken, detailed=True).endswith("next      ecm plan validate p")


def test_many_finished_plans_share_a_line() -> None:
    """What is over does not push aside what is under way."""
    finished = [plan(on("b", "contracted"), name=f"old-{number}") for number in range(9)]
    lines = shown(project(*finished, plan(on("b", "expanded")))).splitlines()

    assert len(lines) < 10
    assert any(line.startswith("  ● contracted on every branch: old-0, old-1") for line in lines)


def test_a_branch_that_is_done_proposes_nothing() -> None:
    """Where every branch is contracted, the next command does not point at one of them."""
    done = [
        on(name, "contracted", next_command=f"ecm advance {PLAN} --branch production") for name in ("a", "production")
    ]

    assert shown(project(plan(*done))).endswith("next      ecm history")


def test_what_stopped_comes_first_and_what_has_not_begun_last() -> None:
    """Of many next commands only some are shown: those that someone waits for."""
    unbegun = [
        plan(on("b", next_command=f"ecm advance a{number} --branch b"), name=f"a{number}") for number in range(9)
    ]
    begun = plan(on("b", "expanded", next_command="ecm advance x --branch b"), name="x")
    failed = under_way(holder=None, error="the two sides differ")
    stopped = plan(on("b", "backfilled", in_progress=failed, next_command="ecm advance y --branch b"), name="y")
    _, _, following = shown(project(*unbegun, begun, stopped)).partition("next ")

    assert following.split("\n")[0].strip() == "ecm advance y --branch b"
    assert following.split("\n")[1].strip() == "ecm advance x --branch b"


def test_one_plan_shows_its_phases() -> None:
    """Per phase: when, how long, the longest wait for a lock; then what blocks, the next command and the way back."""
    steps = [
        StepDone(phase="expand", key="expand", title="", started_at=NOW, seconds=1.2, lock_wait=0.014),
        StepDone(phase="backfill", key="sweep books", title="", started_at=NOW, seconds=240, lock_wait=None),
    ]
    branch = on(
        "production",
        "backfilled",
        steps=steps,
        verified_at=NOW,
        requires=("development",),
        blocked_by=(ReasonReport(code="requires", message="development is behind", remedy="ecm advance p -b dev"),),
    )
    lines = [" ".join(line.split()) for line in shown(project(plan(branch)), detailed=True).splitlines()]
    when = f"{NOW.astimezone():%-d %b %H:%M}"

    assert f"{PLAN} on production requires development" in lines
    assert f"● expand {when} 1.2 s, longest lock wait 14 ms" in lines
    assert f"● backfill {when} 4 min, verified {when}" in lines
    assert "○ migrate reads ✗ development is behind" in lines
    assert "next ecm advance p -b dev" in lines
    assert f"back ecm rollback {PLAN} --branch production" in lines


@pytest.mark.parametrize("state", ["expanded", "backfilled", "reads_migrated", "contracted"])
def test_a_move_ends_with_what_the_application_may_do(state: str) -> None:
    """The closing lines: what was done, what the plan and ecm say of the application, undo, and the next command."""
    origin = STATES[STATES.index(state) - 1]  # pyright: ignore[reportArgumentType]
    move = MoveReport(
        direction="forward",
        origin=origin,
        target=state,
        phases=("backfill",),
        resumes=False,
        seconds=4.0,
        deploy="deploy version 2",
        measured={"sweep books": {"table": "books", "rows": 1204, "mismatches": 0}},
    )
    report = AdvanceReport(plan=PLAN, branch="b", dry_run=False, moves=(move,), state=state, next_command="ecm next")
    text = shown(report)

    assert f"{origin.words} → {state.replace('_', ' ')}" in text
    assert "4 s, 1,204 rows of books verified, 0 differ" in text
    assert "your application  deploy version 2" in text
    assert ("there is no way back" in text) == (state == "contracted")
    assert text.endswith("next      ecm next")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "700,000 rows filled in 3.58 s at 125k rows/s"),
        ({"written": 447_500}, "700,000 rows filled, 447,500 of them since it went on, in 3.58 s at 125k rows/s"),
        ({"filled": 1_399, "written": 1_399, "rows": 1_000}, "1,399 writes in 3.58 s at 125k rows/s"),
    ],
)
def test_what_a_fill_took_is_of_one_run(more: dict[str, int], said: str) -> None:
    """Seconds and pace are of the last run, and the rows beside them too; there are no more rows than the table has."""
    took = {"table": "books", "rows": 700_000, "mismatches": 0, "filled": 700_000, "seconds": 3.58} | more
    took |= {"held": 0, "rows_per_second": 125_000, "wal": 0}
    move = MoveReport(
        direction="forward",
        origin="expanded",
        target="backfilled",
        phases=("backfill",),
        resumes=True,
        seconds=4.0,
        measured={"sweep books": took},
    )
    report = AdvanceReport(plan=PLAN, branch="b", dry_run=False, moves=(move,), state="backfilled", next_command=None)

    assert said in " ".join(shown(report, 160).split())


def test_a_fill_that_goes_over_the_table_again_counts_writes() -> None:
    """In a second round rows are written that were written before: there may be more writes than rows."""
    again = BACKFILL.model_copy(update={"done": 1000, "rows": 1_399, "round": 2})
    text = shown(project(plan(on("b", "expanded", in_progress=under_way(), progress=again))), detailed=True)

    assert "100% of round 2, 1,399 writes" in text


def test_the_way_back_stays_a_command() -> None:
    """Where it does not fit, it is broken as a shell can read it."""
    name = "add-order-items-quantity-check-once-more"
    move = MoveReport(
        direction="forward", origin="planned", target="expanded", phases=("expand",), resumes=False, seconds=1
    )
    report = AdvanceReport(
        plan=name, branch="production", dry_run=False, moves=(move,), state="expanded", next_command=None
    )

    assert f"ecm rollback {name} \\\n" in shown(report)


def test_a_rollback_says_that_nothing_is_lost() -> None:
    """Undone phases are named, and no rollback of a rollback is offered."""
    move = MoveReport(
        direction="back", origin="backfilled", target="planned", phases=("backfill", "expand"), resumes=False, seconds=1
    )
    text = shown(AdvanceReport(plan=PLAN, branch="b", dry_run=False, moves=(move,), state="planned", next_command=None))

    assert "undid backfill and expand" in text
    assert "lost" in text
    assert "ecm rollback" not in text


@given(name=names, first=branches, second=branches, words=prose, width=st.integers(80, 160))
def test_no_line_is_wider_than_the_terminal(name: str, first: str, second: str, words: str, width: int) -> None:
    """Whatever names and texts there are, a screen keeps to its width."""
    reason = ReasonReport(code="check", message=words, remedy=f"ecm advance {name} --branch {first}")
    command = f"ecm advance {name} --branch {second}"
    status = project(
        plan(
            on(first, "expanded", in_progress=under_way(error=words or None), progress=BACKFILL, next_command=command),
            on(second, blocked_by=(reason,), requires=(first,), next_command=command),
            name=name,
        )
    )
    step = StepPreview(
        key="k",
        title=words,
        sql=words,
        lock="ACCESS EXCLUSIVE",
        waits="",
        transactional=True,
        reversible=True,
        note=words,
    )
    preview = PreviewReport(
        plan=name,
        branch=first,
        checksum="",
        description=words,
        state="planned",
        changes=(words,),
        tables=(TableFacts(table=name, rows=12_400_000, bytes=2 << 30, indexes=4),),
        phases=(PhasePreview(phase="expand", deploy=words, steps=(step,)),),
        beware=(words,),
        obstacles=(reason,),
        next_command=command,
    )
    sample = SampleReport(table=name, key={"id": words}, old={name: words}, new={name: None})
    verify = VerifyReport(
        plan=name, branch=first, rows=9, mismatches=1, samples=(sample,), not_invertible=1, next_command=command
    )
    gate = GateReport(
        plan=name, branch=first, state="planned", to="expanded", allowed=False, reasons=(reason,), next_command=None
    )
    files = PlanListReport(
        plans=(PlanSummary(plan=name, path=f"plans/{name}.yaml", description=words, changes=(words,), checksum=None),)
    )

    for report in (status, preview, verify, gate, files):
        for detailed in (False, True):
            assert max(map(len, shown(report, width, detailed=detailed).splitlines())) <= width
    error = rendered(console(StringIO(), {"COLUMNS": str(width)}), failure(words, [words], command))
    assert max(map(len, error.splitlines())) <= width


@given(name=names, branch=branches, width=st.integers(100, 140))
def test_names_are_shown_whole(name: str, branch: str, width: int) -> None:
    """A plan's name is never cut in the overview: a script's author copies it from there."""
    assert name in shown(project(plan(on(branch), name=name)), width)


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "Zs"]), min_size=200), st.integers(40, 120))
def test_no_character_of_a_statement_is_lost(sql: str, width: int) -> None:
    """Statements are wrapped, never shortened."""
    text = rendered(console(StringIO(), {"COLUMNS": str(width)}), indented(Code(sql)))

    assert "".join(text.split()) == "".join(sql.split())


def test_a_command_that_does_not_fit_stays_a_command() -> None:
    """A shell reads a broken command line as one."""
    command = f"ecm advance {PLAN} --branch production --to reads_migrated --confirm {PLAN}"
    text = rendered(console(StringIO(), {"COLUMNS": "60"}), Command(command))

    assert all(line.endswith(" \\") for line in text.splitlines()[:-1])
    assert " ".join(text.replace("\\\n", " ").split()) == command


FORECAST = ForecastReport(
    writes=True,
    seconds=Range(least=150, most=225),
    rows_per_second=Range(least=84_000, most=84_000),
    as_on="development",
    share_in_place=0.78,
    new_columns=Range(least=49_600_000, most=49_600_000),
    heap_growth=Range(least=300 << 20, most=1500 << 20),
    index_growth=Range(least=60 << 20, most=600 << 20),
    indexes_built=(BuiltIndex(name="t", like="books_year", bytes=Range(least=100 << 20, most=200 << 20)),),
    disk=Range(least=460 << 20, most=2300 << 20),
    wal=Range(least=3 << 30, most=5 << 30),
)
BOOKS = TableFacts(
    table="books",
    rows=12_400_000,
    bytes=2 << 30,
    indexes=4,
    heap_bytes=1400 << 20,
    index_bytes=600 << 20,
    toast_bytes=48 << 20,
    forecast=FORECAST,
    hanging=(
        HangingReport(
            fate="follow by themselves",
            dependents=(
                DependentReport(kind="index", name="public.books_year"),
                DependentReport(kind="policy", name="p on public.books"),
                DependentReport(kind="constraint", name="loans_year_fkey on public.loans"),
            ),
        ),
    ),
    unfollowed=(DependentReport(kind="function", name="public.since", why="its plpgsql body names published_year"),),
)
EXPAND = PhasePreview(
    phase="expand",
    deploy="nothing yet",
    lock_timeout=1.0,
    steps=(
        StepPreview(
            key="expand",
            title="add publication_year, and the trigger that keeps both sides in step",
            sql='ALTER TABLE "public"."books" ADD COLUMN "publication_year" integer',
            lock="ACCESS EXCLUSIVE",
            waits="waits for every reader and writer under way",
            transactional=True,
            reversible=True,
            note="catalog only",
            tables=("books",),
        ),
    ),
)
PREVIEW = PreviewReport(
    plan=PLAN,
    branch="production",
    checksum="",
    description="",
    state="planned",
    changes=("books.published_year becomes publication_year",),
    tables=(BOOKS,),
    phases=(EXPAND,),
    beware=(),
    obstacles=(),
    next_command=f"ecm advance {PLAN} --branch production",
    sessions=(SessionReport(pid=4711, seconds=720, message="pid 4711, user web, idle, holds a lock on books"),),
)


def test_a_plan_is_told_with_what_it_takes() -> None:
    """Before anything runs: size, time and how it is known, disk, WAL, what hangs on it, who is in the way; 80 columns."""
    assert shown(PREVIEW).splitlines() == [
        "rename-published-year on production                                      planned",
        "  books.published_year becomes publication_year",
        "",
        "  books: about 12.4M rows, 4 indexes",
        "    size           heap 1.37 GB, indexes 600 MB, TOAST 48 MB",
        "    backfill       2 min to 4 min, as development did: 84k rows/s, 78% in place",
        "    disk           460 MB to 2.2 GB more at the peak; the most where a long",
        "                   transaction is open throughout; of it 100 MB to 200 MB for a",
        "                   twin of books_year",
        "    WAL            3 GB to 5 GB written by the backfill",
        "    hanging on it  follow by themselves: 1 index (books_year), 1 policy (p), 1",
        "                   constraint (loans_year_fkey on loans)",
        "    cannot follow  function since: its plpgsql body names published_year (not",
        "                   acknowledged yet)",
        "",
        "right now      pid 4711, user web, idle, holds a lock on books (transaction open",
        "               for 12 min)",
        "",
        "expand",
        "  1  add publication_year, and the trigger that keeps both sides in step",
        "     ACCESS EXCLUSIVE: waits for every reader and writer under way, up to 1 s,",
        "     then gives way and tries again",
        '       ALTER TABLE "public"."books" ADD COLUMN "publication_year" integer',
        "     catalog only",
        "  your application  nothing yet",
        "  undo              ecm rollback takes it back; nothing that was written is lost",
        "",
        "next      ecm advance rename-published-year --branch production",
    ]


GUESS = FORECAST.model_copy(
    update={"as_on": None, "share_in_place": None, "rows_per_second": Range(least=20_000, most=200_000)}
)


@pytest.mark.parametrize(
    ("forecast", "said", "unsaid"),
    [
        (GUESS, "2 min to 4 min: a guess, at 20k to 200k rows/s; it was not measured on any branch yet", "in place"),
        (GUESS.model_copy(update={"rows_per_second": None}), "a guess from its size alone; ANALYZE", "rows/s"),
        (GUESS.model_copy(update={"seconds": Range(least=0.1, most=0.9)}), "backfill a second or less disk", "guess"),
        (FORECAST.model_copy(update={"new_columns": None}), "what the new values take, which nobody can tell", "NaN"),
        (FORECAST.model_copy(update={"writes": False}), "nothing to fill, every row is read once", "rows/s"),
        (
            FORECAST.model_copy(update={"indexes_built": (BuiltIndex(name="u", like=None, bytes=None),)}),
            "without index u, whose size nobody can tell yet",
            "twin",
        ),
    ],
)
def test_what_nobody_can_know_is_said_in_words(forecast: ForecastReport, said: str, unsaid: str) -> None:
    """A guess is called one; what is not known has no number."""
    books = BOOKS.model_copy(update={"forecast": forecast})
    text = " ".join(shown(PREVIEW.model_copy(update={"tables": (books,)})).split())
    assert said in text
    assert unsaid not in text


def test_rows_that_were_never_counted_are_unknown() -> None:
    """Never analyzed is not empty."""
    for rows, analyzed, said in (
        (0, False, "rows unknown: never analyzed"),
        (0, True, "no rows"),
        (9, True, "about 9 rows"),
    ):
        books = BOOKS.model_copy(update={"rows": rows, "analyzed": analyzed})
        assert f"books: {said}, 4 indexes" in shown(PREVIEW.model_copy(update={"tables": (books,)}))


def test_a_plan_that_cannot_begin_proposes_what_would_let_it() -> None:
    """The remedy is the next command, where it is one; else the one that tells whether what a person does is done."""
    overlap = ReasonReport(code="overlap", message="other is under way", remedy="ecm advance other --branch production")
    assert shown(PREVIEW.model_copy(update={"obstacles": (overlap,)})).endswith(f"next      {overlap.remedy}")
    plain = ReasonReport(code="precondition", message="it is a view", remedy="change a table")
    told = shown(PREVIEW.model_copy(update={"obstacles": (plain,)}))
    assert told.endswith(f"next      ecm gate {PREVIEW.plan} --branch {PREVIEW.branch}")


def test_a_command_is_never_broken_within_quotes() -> None:
    """An option stays with its value, so that what is copied is what was meant."""
    command = (
        """ecm plan split-column users full_name --into "first_name text = split_part(full_name, ' ', 1)" --one-way"""
    )
    text = rendered(console(StringIO(), {"COLUMNS": "70"}), Command(command))
    assert text.splitlines() == [
        "ecm plan split-column users full_name \\",
        """    --into "first_name text = split_part(full_name, ' ', 1)" \\""",
        "    --one-way",
    ]


def entry(
    seq: int, origin: str, target: str, *phases: str, actor: str = "ci", direction: str = "forward"
) -> HistoryEntry:
    return HistoryEntry(
        seq=seq,
        kind="move",
        plan=PLAN,
        branch="development",
        checksum="sha256:1",
        actor=actor,
        happened_at=NOW,
        recorded_at=NOW,
        data={"direction": direction, "phases": list(phases), "origin": origin, "target": target},
        hash="",
        id=UUID(int=1),
        ecm_version="0.1.0",
        previous_hash="",
    )


def test_history_tells_moves_apart() -> None:
    """A phase done, one that was given up half way, and phases rolled back, each in its own words."""
    entries = (
        entry(1, "planned", "expanded", "expand"),
        entry(2, "expanded", "expanded", "backfill", direction="back"),
        entry(3, "expanded", "planned", "expand", direction="back"),
    )
    said = [line.split("  ")[-1] for line in shown(HistoryReport(plan=PLAN, entries=entries)).splitlines()]

    assert said[0] == "planned → expanded on development"
    assert said[2] == "backfill given up on development, which is expanded as before"
    assert said[4] == "expanded → planned on development, rolled back"


@given(actor=st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=300))
def test_no_actor_breaks_the_history(actor: str) -> None:
    """A CI's identity may be long; it is wrapped beside the other columns, and no character of it is lost."""
    lines = shown(
        HistoryReport(plan=PLAN, entries=(entry(1, "planned", "expanded", "expand", actor=actor),))
    ).splitlines()

    assert max(map(len, lines)) <= 80
    assert lines[0].endswith("planned → expanded on development")
    assert "".join("".join(lines[1:-2]).split()) == f"by{actor}"


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (AuditReport(ledger="l", entries=1, problems=()), "l: 1 entry, the chain of hashes holds"),
        (
            AuditReport(ledger="l", entries=2, problems=(AuditProblem(seq=1, kind="changed", message="m"),)),
            "l: 2 entries, 1 problem entry 1: m",
        ),
        (
            AuditReport(ledger="l", entries=0, problems=(AuditProblem(seq=None, kind="emptied", message="gone"),)),
            "l: 0 entries, 1 problem gone",
        ),
    ],
)
def test_audit_counts_in_words(report: AuditReport, words: str) -> None:
    """One is not many; a problem that is no entry's has no number."""
    assert " ".join(shown(report).split()).startswith(f"{'✗' if report.problems else '✓'} {words}")


def test_the_doctors_psql_can_be_copied_from_a_screen() -> None:
    """It says where to connect to: where the line does not fit, a shell can read it as it is broken."""
    command = "psql -h /home/somebody/projects/bookstore/.ecm/embedded/server/run -p 5432 -U postgres -d development"
    finding = Finding(branch="development", subject="psql", ok=True, message=command, remedy="")

    text = shown(DoctorReport(findings=(finding,)))

    # The subject, then the command to the end of its last option.
    shell = text[text.rindex("psql") : text.index("-d development") + len("-d development")]
    assert shlex.split(shell.replace("\\\n", "")) == command.split()


def test_no_character_of_a_finding_is_lost() -> None:
    """What is longer than a line is folded; half of a name is of no use."""
    finding = Finding(branch="development", subject="owner", ok=True, message="n" * 200, remedy="")

    assert "n" * 200 in "".join(shown(DoctorReport(findings=(finding,))).split())


def test_a_hint_is_not_said_twice() -> None:
    """Where a reason's remedy is the next command, it stands once."""
    text = rendered(console(StringIO(), {}), failure("no", ["because", "  ecm go"], "ecm go"))

    assert text.splitlines() == ["error: no", "  because", "  next    ecm go"]


def test_words_that_are_next_are_not_broken_as_a_command_is() -> None:
    """What no shell can run has no line that is continued with a backslash."""
    words = (
        "rewrite them yourself in reads migrated, before contract, and say so in the plan: expand: {acknowledge: [f]}"
    )

    text = rendered(console(StringIO(), {}), stacked(*onward([words, f"ecm branch delete {'b' * 55} --yes"])))

    assert text.count("\\") == 1
    assert words in " ".join(text.split())


def test_every_screen_is_of_a_report_and_is_there() -> None:
    """They are imported by name, when they are shown: each name is a report's, and leads to something that lays it out."""
    modules = (reports, branch_reports, detection_reports, rehearsal_reports)
    for name, where in (*render._SCREENS.items(), *render._CLOSER.items()):
        assert any(hasattr(module, name) for module in modules), name
        module, function = where.split(".")
        assert callable(getattr(importlib.import_module(f"orchestrator.cli.render.{module}"), function)), where
