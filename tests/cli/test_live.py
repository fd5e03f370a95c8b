"""The progress lines of a run without a terminal, by a clock of the test's own."""

from contextlib import suppress
from io import StringIO

from orchestrator.cli.render.live import Live
from orchestrator.cli.render.look import console
from orchestrator.events import Event, PhaseStarted, Progress, StepFinished, StepStarted, Waiting
from orchestrator.redaction import redact

BEGUN = PhaseStarted(plan="p", branch="development", phase="backfill", direction="forward", resumes=True)
STEP = StepStarted(key="sweep books", title="fill y in books")


def progress(done: int) -> Progress:
    return Progress(
        what="books",
        done=done,
        total=100,
        unit="pages",
        rows=done * 1000,
        rows_per_second=20000,
        eta_seconds=100 - done,
    )


def told(*events: tuple[float, Event]) -> list[str]:
    """What is written when the events come at these seconds."""
    now, stream = [0.0], StringIO()
    live = Live(console(stream, {}), lambda text: redact(text, ["tr0mbone"]), clock=lambda: now[0])
    with live:
        for at, event in events:
            now[0] = at
            live(event)
    return stream.getvalue().splitlines()


def test_a_phase_is_told_step_by_step() -> None:
    """The phase, whether it goes on, and each step with its time and its wait for a lock."""
    finished = StepFinished(key="sweep books", title="fill y in books", seconds=1.5, lock_wait=0.014)

    assert told((0, BEGUN), (0, STEP), (2, finished)) == [
        "p on development: backfill, goes on where it stopped",
        "  ● fill y in books: 1.5 s, 14 ms of it for the lock",
    ]


def test_progress_is_a_line_every_five_seconds() -> None:
    """A log is not flooded: however often progress is made, it is told every few seconds."""
    lines = told((0, BEGUN), (0, STEP), *((tenth / 10, progress(tenth)) for tenth in range(100)))

    assert lines[1:] == [
        "  ◐ fill y in books: 0%, 0 rows, 20k rows/s, 2 min left",
        "  ◐ fill y in books: 50%, 50k rows, 20k rows/s, 50 s left",
    ]


def test_waiting_names_what_for_without_secrets() -> None:
    """A lock that was not to be had is told at once; what a driver quoted is redacted."""
    waiting = Waiting(what="books", why="held by postgresql://u:tr0mbone@h, or tr0mbone", attempt=1, seconds=1.25)
    lines = told((0, STEP), (0, waiting), (1, waiting))

    assert lines == ["  ◐ fill y in books: books: held by postgresql://u:***@h, or ***; try 2 in 1.25", "    s"]


def test_what_had_nothing_to_do_says_so() -> None:
    """A sweep that goes on behind its last page, or finds every row written since, filled none; a proof saw none."""
    nothing = Progress(what="backfill books", done=4, total=4, rows=0, rows_per_second=20_000)
    empty = Progress(what="proof books", done=0, total=0, rows=0)
    one = Progress(what="verify books", done=1, total=2, rows=1)

    assert told((0, STEP), (1, nothing), (2, empty), (3, one)) == [
        "  ◐ fill y in books: nothing was left to do, 20k rows/s",
        "  ◐ proof of books: no rows",
        "  ◐ fill y in books: 50%, 1 row",
    ]


def test_the_proof_of_a_sweep_goes_by_its_own_name() -> None:
    """It begins at the first row, so its numbers are not those of the fill; where that goes on, it is called so."""
    fill = Progress(what="backfill books", done=97, total=100, rows=882_000)
    proof = Progress(what="proof books", done=54, total=100, rows=423_000)
    again = Progress(what="backfill books", done=4, total=100, rows=1_399, round=2)
    own = StepStarted(key="proof books", title="find no row that differs")

    assert told((0, STEP), (1, fill), (7, proof), (13, again), (19, own), (20, proof)) == [
        "  ◐ fill y in books: 97%, 882k rows",
        "  ◐ proof of books: 54%, 423k rows",
        "  ◐ fill y in books: 4% of round 2, 1,399 writes",
        "  ◐ find no row that differs: 54%, 423k rows",
    ]


def test_what_is_stopped_says_where() -> None:
    """The last word of a fill is how far it is kept, however lately something was said of it; of a proof, nothing."""
    for last, said in (
        (
            Progress(what="backfill books", done=24, total=100, rows=251_000),
            ["  ◐ fill y in books: stopped at 24%, 251k rows"],
        ),
        (Progress(what="proof books", done=54, total=100, rows=423_000), []),
    ):
        stream = StringIO()
        with suppress(KeyboardInterrupt), Live(console(stream, {}), str, clock=lambda: 0.0) as live:
            live(STEP)
            live(last)
            shown = len(stream.getvalue().splitlines())
            raise KeyboardInterrupt

        assert stream.getvalue().splitlines()[shown:] == said


def test_what_is_taken_back_is_told_as_such() -> None:
    """A rollback runs the steps of a phase backwards, and says so; a proof is a proof either way."""
    back = PhaseStarted(plan="p", branch="b", phase="expand", direction="back", resumes=False)
    undone = StepFinished(key="expand", title="take back: add the column", seconds=1, lock_wait=0)
    proven = StepFinished(key="proof books", title="find no row that differs", seconds=1, lock_wait=0)

    assert told((0, back), (0, undone), (0, proven)) == [
        "p on b: undoing expand",
        "  ● take back: add the column: 1 s",
        "  ● find no row that differs: 1 s",
    ]
