"""`ecm demo`, the real thing: what it shows, that its checks can fail, and that nothing stays behind."""

import os
import re
import signal
import subprocess
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psutil
import psycopg
import pytest
from cli.runs import ECM

from orchestrator.branches.server import EmbeddedServer
from orchestrator.cli.demo.applications import Crew
from orchestrator.cli.demo.bookstore import book, furnish
from orchestrator.cli.demo.closing import Findings, failures

PATIENCE = 240.0


class Demo:
    """A run of `ecm demo` with few books, in a process group of its own as a terminal would have it."""

    def __init__(self, temp: Path, *options: str) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        root = str(Path(__file__).parents[2])
        # What a person may have set for PostgreSQL's clients must not lead the demo elsewhere.
        elsewhere = {"PGHOST": "nowhere.invalid", "PGOPTIONS": "-c statement_timeout=1", "PGUSER": "nobody"}
        self.process = subprocess.Popen(
            [*ECM, "demo", "--rows", "400", *options],
            cwd=temp,
            env={**kept, **elsewhere, "TMPDIR": str(temp), "PYTHONPATH": root, "PYTHONUTF8": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,
        )
        self.shown = ""

    def wait_for(self, text: str) -> None:
        """Read until a line has the text."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.shown += line
            if text in line:
                return
        raise AssertionError(f"{text!r} was never shown; what was: {self.shown}")

    def end(self) -> tuple[int, str, str]:
        """Return the exit code, and all of stdout and stderr."""
        rest, said = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, self.shown + rest, said


@pytest.fixture
def temp(scratch: Path) -> Generator[Path]:
    """A temp folder of this test's own; it is empty, and no process is at work in it, when the test begins."""
    # A short name, so that the path of the server's socket is short enough to be in the project.
    folder = scratch / str(sum(1 for each in scratch.iterdir() if each.name.isdigit()))
    folder.mkdir()
    yield folder
    for lock in list(folder.rglob("server.lock")):
        EmbeddedServer(lock.parent).destroy()


@pytest.fixture
def demo(temp: Path) -> Generator[Callable[..., Demo]]:
    """Starts `ecm demo` with these options."""
    started: list[Demo] = []

    def start(*options: str) -> Demo:
        started.append(Demo(temp, *options))
        return started[-1]

    yield start
    for each in started:
        with suppress(ProcessLookupError):
            os.killpg(each.process.pid, signal.SIGKILL)
        each.process.communicate()


def at_work_in(folder: Path) -> list[str]:
    """Command lines of the processes that know of something in a folder, or are in it."""
    found: list[str] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if str(folder) in " ".join([process.cwd(), *process.cmdline()]):
                found.append(" ".join(process.cmdline()))
    return found


def files_of(folder: Path) -> list[str]:
    """What is on disk below a folder, or elsewhere for a server that belongs to it."""
    elsewhere = [
        str(owner.parent) for owner in Path("/var/lib/ecm-embedded").glob("*/owner") if str(folder) in owner.read_text()
    ]
    return [*(str(path) for path in folder.iterdir()), *elsewhere]


def test_two_demos_at_once(demo: Callable[..., Demo], temp: Path) -> None:
    """One tells the whole story and leaves what it was to keep; the other shows what went wrong, and leaves nothing."""
    spoilt = demo()
    spoilt.wait_for("PostgreSQL 18 runs")
    (folder,) = temp.glob("ecm-demo-*/bookstore/.ecm/embedded")
    sound = demo("--keep")
    spoilt.wait_for("4  Backfill")
    with psycopg.connect(EmbeddedServer(folder).url("development"), autocommit=True) as connection:
        connection.execute("INSERT INTO books (title, author_id) VALUES ('smuggled in', 1)")
        connection.execute("CREATE VIEW smuggled_in AS SELECT 1 AS one")
    spoilt_code, spoilt_out, _ = spoilt.end()
    code, out, err = sound.end()

    assert code == 0, out + err
    assert err == ""
    assert "\x1b" not in out
    assert str(temp) not in out[: out.index("kept")]
    assert [line for line in out[: out.index("kept")].splitlines() if len(line) > 80] == []
    assert "✗" not in out
    assert_story(out)
    assert_table(out)
    project = re.search(r"^kept +cd (\S+) && ecm status$", out, re.MULTILINE)
    assert project is not None
    assert (Path(project[1]) / "plans" / "rename-published-year.yaml").is_file()

    assert spoilt_code == 1
    assert re.search(r"rows that differ +✗ [1-9]\d* +✓ 0", spoilt_out)
    assert re.search(r"schema against a direct rename +✗ differs +✓ equal", spoilt_out)
    assert "✗ development: the schema is not that of a direct rename: has view" in " ".join(spoilt_out.split())
    assert "not a write was lost" not in spoilt_out
    assert [each.name for each in temp.iterdir()] == [Path(project[1]).parent.name]
    assert at_work_in(temp) == []


def assert_story(out: str) -> None:
    """The commands are shown in their order, and what they print with them."""
    told = (
        "$ ecm init --provider embedded",
        "$ ecm plan rename-column books published_year publication_year",
        "$ ecm plan show rename-published-year --phase expand",
        'ALTER TABLE "public"."books" ADD COLUMN "publication_year" integer',
        "$ ecm advance --branch development",
        "on development: planned → expanded",
        "on development: expanded → backfilled",
        "on development: backfilled → reads migrated",
        "$ ecm status",
        "$ ecm advance --branch production --to contracted --yes",
        "error: rename-published-year may not enter contract on production",
        "(exit code 4)",
        "development=> INSERT INTO books (title, author_id, publication_year)",
        "$ ecm rollback --branch development",
        "on development: reads migrated → backfilled",
        "development=> SELECT published_year FROM books WHERE id = ",
        "published_year  1789",
        "on development: backfilled → reads migrated",
        "on development: reads migrated → contracted",
        "on production: planned → expanded",
        "on production: expanded → backfilled",
        "on production: backfilled → reads migrated",
        "on production: reads migrated → contracted",
        "$ ecm history",
        "$ ecm audit verify",
        "Did it hold?",
    )
    place = 0
    for each in told:
        place = out.find(each, place)
        assert place >= 0, f"{each!r} was not told, or not in its place:\n{out}"


def assert_table(out: str) -> None:
    """The closing table says that everything was checked on both branches and held."""
    closing = out[out.index("Did it hold?") :]

    def row(label: str) -> list[str]:
        (line,) = [line.strip() for line in closing.splitlines() if line.strip().startswith(label)]
        return re.split(r" {2,}", line)[1:]

    for counted in ("rows compared", "writes by the old", "writes by the new", "rows read back"):
        assert all(int(number.replace(",", "")) > 0 for number in row(counted)), counted
        assert len(row(counted)) == 2
    assert row("rows that differ") == row("errors in either") == ["✓ 0", "✓ 0"]
    assert row("schema against a direct rename") == ["✓ equal", "✓ equal"]
    assert row("the ledger's chain of hashes") == ["✓ holds", "✓ holds"]
    for scene in ("expand", "backfill", "migrate reads", "contract"):
        assert all(re.fullmatch(r"[\d.]+ m?s", wait) for wait in row(scene)), scene
    assert row("roll back")[1] == "\u2013"


@pytest.mark.parametrize(
    ("moment", "everyone", "number"),
    [
        ("1  A project", True, signal.SIGINT),
        ("PostgreSQL 18 runs", True, signal.SIGINT),
        ("on development: backfill", True, signal.SIGINT),
        ("on development: backfill", False, signal.SIGTERM),
        ("on development: backfill", False, signal.SIGHUP),
    ],
)
def test_an_interrupt_leaves_nothing(
    demo: Callable[..., Demo], temp: Path, moment: str, everyone: bool, number: int
) -> None:
    """Ctrl-C, which reaches all processes, and a signal to the demo alone end it; server and folder are gone."""
    running = demo()
    running.wait_for(moment)
    assert files_of(temp) != []
    (os.killpg if everyone else os.kill)(running.process.pid, number)
    code, out, err = running.end()

    assert code == 128 + number
    assert err.strip() == "interrupted; the server is stopped, and the project is removed"
    assert "Did it hold?" not in out
    assert files_of(temp) == []
    assert at_work_in(temp) == []


def test_an_interrupt_while_the_server_starts_leaves_nothing(demo: Callable[..., Demo], temp: Path) -> None:
    """Ctrl-C, and impatiently a second one, in the moment the server comes up: it is stopped all the same."""
    running = demo()
    until = monotonic() + PATIENCE
    while not list(temp.glob("ecm-demo-*/bookstore/.ecm/embedded/server.lock")):
        assert monotonic() < until
        sleep(0.01)
    os.killpg(running.process.pid, signal.SIGINT)
    with suppress(ProcessLookupError):
        os.killpg(running.process.pid, signal.SIGINT)

    assert running.end()[0] == 130
    assert files_of(temp) == []
    assert at_work_in(temp) == []


def test_a_reader_who_leaves_ends_it(demo: Callable[..., Demo], temp: Path) -> None:
    """With nobody to read any more (`ecm demo | head`), the demo ends and cleans up."""
    running = demo()
    running.wait_for("2  A plan")
    assert running.process.stdout is not None
    running.process.stdout.close()
    assert running.process.stderr is not None
    said = running.process.stderr.read()

    assert running.process.wait(PATIENCE) == 0, said
    assert files_of(temp) == []
    assert at_work_in(temp) == []


def test_a_command_that_fails_ends_it(demo: Callable[..., Demo], temp: Path) -> None:
    """When a command does not end as it should, the demo says which one, exits 1 and cleans up."""
    running = demo()
    running.wait_for("PostgreSQL 18 runs")
    (plans,) = temp.glob("ecm-demo-*/bookstore/plans")
    plans.joinpath("another.yaml").write_text("plan: another\n")
    code, _, err = running.end()

    assert code == 1
    assert re.search(r"error: ecm .+ ended with exit code [12]", err)
    assert files_of(temp) == []
    assert at_work_in(temp) == []


def _lose(connection: psycopg.Connection[Any], what: str) -> None:
    connection.execute("CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN %s END $$" % what)  # pyright: ignore[reportArgumentType, reportCallIssue]  # noqa: UP031
    connection.execute("CREATE TRIGGER lose BEFORE UPDATE ON books FOR EACH ROW EXECUTE FUNCTION lose()")


@pytest.mark.parametrize(
    ("what", "seen"),
    [
        ("NEW.published_year := OLD.published_year; RETURN NEW;", "where"),
        ("RETURN NULL;", "an update: [] where"),
        ("RAISE EXCEPTION 'no, thank you';", "no, thank you"),
    ],
)
def test_an_application_notices(databases: Any, what: str, seen: str) -> None:
    """A write that is lost in silence, one that touches no row and one that is refused are each seen."""
    (url,) = databases(1)
    with psycopg.connect(url, autocommit=True) as connection:
        furnish(connection, 50)
        _lose(connection, what)
    with Crew(url) as crew:
        crew.old.start()
        until = monotonic() + PATIENCE
        while not any(seen in error for error in tuple(crew.old.errors)):
            assert monotonic() < until, crew.old.errors
            sleep(0.01)


def test_a_comparison_finds_what_differs(databases: Any) -> None:
    """Rows that were changed, added and taken away behind the applications' backs are counted."""
    (url,) = databases(1)
    with psycopg.connect(url, autocommit=True) as connection:
        furnish(connection, 50)
        with Crew(url) as crew:
            crew.compare("published_year")
            assert (crew.compared, crew.differing) == (50, 0)
            connection.execute("UPDATE books SET published_year = 1 WHERE id = 7")
            connection.execute("DELETE FROM books WHERE id = 8")
            connection.execute("INSERT INTO books (title) VALUES ('smuggled in')")
            crew.compare("published_year")

    assert (crew.compared, crew.differing) == (101, 3)


def test_every_finding_counts() -> None:
    """Each thing that must not be is a failure by itself, and a clean branch is none."""
    clean: dict[str, Any] = {
        "branch": "development",
        "compared": 10,
        "differing": 0,
        "written": (1, 1),
        "read_back": 1,
        "errors": (),
        "longest": {},
        "schema_differences": (),
    }
    assert failures([Findings(**clean)], chain_holds=True) == ()
    assert len(failures([Findings(**clean)], chain_holds=False)) == 1
    for wrong in (
        {"compared": 0},
        {"differing": 1},
        {"written": (0, 1)},
        {"written": (1, 0)},
        {"read_back": 0},
        {"errors": ("no such column",)},
        {"schema_differences": ("lacks a view",)},
    ):
        assert len(failures([Findings(**(clean | wrong))], chain_holds=True)) == 1, wrong


def test_the_books_are_the_same_every_time() -> None:
    """The same number is the same book, and different numbers are different enough to be real."""
    titles = {book(number, 10).title for number in range(1000)}
    assert len(titles) > 800
    assert [book(number, 10) for number in range(100)] == [book(number, 10) for number in range(100)]
    assert not any("{" in title for title in titles)
