"""How a run can end early: Ctrl-C, SIGTERM, a reader that goes away, an error nobody thought of."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from cli.runs import PATIENCE, PLAN, Project


@contextmanager
def hangup(then: signal.Handlers) -> Generator[None]:
    """What a process that is started in the block does at SIGHUP, wherever the tests run (under nohup, say)."""
    before = signal.signal(signal.SIGHUP, then)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


ARGUMENTS = ("advance", PLAN, "--branch", "development")


@contextmanager
def held_up(project: Project, *, then: signal.Handlers = signal.SIG_DFL) -> Generator["subprocess.Popen[str]"]:
    """A backfill that waits for rows which someone else has locked, until the block ends."""
    project.ecm("advance", PLAN, "--branch", "development")
    with psycopg.connect(project.urls["development"]) as other:
        other.execute("SELECT FROM books FOR UPDATE")
        with hangup(then):
            running = project.start(*ARGUMENTS, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert running.stderr is not None
        told = ""
        while "rows are locked" not in told:
            line = running.stderr.readline()
            assert line, told
            told += line
        yield running


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_interrupted_backfill_goes_on_with_the_same_command(project: Project, sent: int, code: int) -> None:
    """Ctrl-C, SIGTERM and a closed terminal keep the state, say so, and the same command carries on."""
    with held_up(project) as running:
        running.send_signal(sent)
        out, err = running.communicate(timeout=PATIENCE)

    assert (running.returncode, out) == (code, "")
    assert "interrupted; state kept, the same command goes on from here" in err
    assert "Traceback" not in err
    (plan,) = project.ecm("status", PLAN, "-b", "development", "--json").json["plans"]
    assert plan["branches"][0]["in_progress"]["phase"] == "backfill"
    assert plan["branches"][0]["in_progress"]["holder"] is None
    again = project.ecm(*ARGUMENTS)
    assert again.code == 0
    assert "goes on where it stopped" in again.err


def test_what_is_interrupted_before_it_begins_keeps_no_state(offline: Project) -> None:
    """A rehearsal never goes on from anywhere; at the very start no command has anything to go on from."""
    program = (
        "import sys, typer.main; from orchestrator.cli import main\n"
        "def interrupted(_): raise KeyboardInterrupt\n"
        "typer.main.get_command = interrupted\n"
        "sys.exit(main.main(sys.argv[1:]))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, "rehearse", PLAN, "--from", "production"],
        cwd=offline.root,
        env=offline.environment(),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (ended.returncode, ended.stderr.strip()) == (130, "interrupted before anything was done")


def test_one_signal_is_enough(project: Project) -> None:
    """A closed terminal says so twice, and a supervisor may add its own; the first counts, in peace."""
    with held_up(project) as running:
        for sent in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM, signal.SIGHUP, signal.SIGTERM):
            running.send_signal(sent)
            time.sleep(0.02)
        _, err = running.communicate(timeout=PATIENCE)

    assert running.returncode in (129, 143)
    assert err.count("interrupted; state kept") == 1
    assert "Traceback" not in err


def test_nohup_is_respected(project: Project) -> None:
    """Who starts a backfill with nohup means it to outlive the terminal."""
    with held_up(project, then=signal.SIG_IGN) as running:
        running.send_signal(signal.SIGHUP)
    out, _ = running.communicate(timeout=PATIENCE)

    assert running.returncode == 0
    assert "expanded → backfilled" in out


def test_a_closed_terminal_keeps_the_state(project: Project) -> None:
    """The signal comes together with a terminal that takes no words any more; the lease is given back all the same."""
    project.ecm("advance", PLAN, "--branch", "development")
    with psycopg.connect(project.urls["development"]) as other:
        other.execute("SELECT FROM books FOR UPDATE")
        with hangup(signal.SIG_DFL):
            running = project.terminal(*ARGUMENTS)
        running.wait_for("rows are locked")
        code = running.hang_up()

    assert code == 129
    (plan,) = project.ecm("status", PLAN, "-b", "development", "--json").json["plans"]
    assert plan["branches"][0]["in_progress"]["error"] is None
    assert project.ecm(*ARGUMENTS).code == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("status",), 0),
        (("plan", "show", PLAN), 0),
        (("history", "--json"), 0),
        (("--help",), 0),
        (("gate", PLAN, "--branch", "production"), 4),
    ],
)
def test_a_reader_that_goes_away_is_no_error(project: Project, arguments: tuple[str, ...], code: int) -> None:
    """`ecm status | head -1`: no complaint, and the exit code of the command itself."""
    reading, writing = os.pipe()
    os.close(reading)
    running = project.start(*arguments, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    _, err = running.communicate(timeout=PATIENCE)

    assert (running.returncode, err) == (code, "")


def test_a_phase_ends_though_nobody_reads_its_progress(project: Project) -> None:
    """Progress that cannot be shown does not stop what it is about."""
    reading, writing = os.pipe()
    os.close(reading)
    running = project.start("advance", PLAN, "-b", "development", stdout=subprocess.PIPE, stderr=writing)
    os.close(writing)
    out, _ = running.communicate(timeout=PATIENCE)

    assert running.returncode == 0
    assert "planned → expanded" in out


@pytest.mark.parametrize("debug", ["", "1"])
def test_an_unforeseen_error_is_a_line_without_secrets(debug: str) -> None:
    """What nobody foresaw is one line; the traceback is to be had, and neither holds a password."""
    program = """if True:
        from orchestrator.cli import main
        from orchestrator.cli.commands import command

        @command(main.app, "boom", examples=[])
        def boom(desk):
            raise ValueError("no luck with postgresql://app:hunter-22@host/db, nor with s3cr3t-piece")

        raise SystemExit(main.main(["boom"]))
    """
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": os.environ["PATH"], "ECM_DEBUG": debug, "SOME_URL": "postgresql://app:s3cr3t-piece@host/db"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert "error: unexpected ValueError: no luck with" in done.stderr
    assert ("Traceback" in done.stderr) == bool(debug)
    assert "ECM_DEBUG=1" in done.stderr
    assert "hunter" not in done.stderr
    assert "s3cr3t" not in done.stderr


@pytest.mark.parametrize("arguments", [("status",), ("doctor",), ("plan", "show"), ("advance", "-b", "development")])
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_no_output_holds_a_password(offline: Project, arguments: tuple[str, ...], form: tuple[str, ...]) -> None:
    """The password of a branch that does not answer is in no report and no error."""
    answer = offline.ecm(*arguments, *form)

    assert answer.out + answer.err
    assert "battery" not in answer.out + answer.err


@pytest.mark.parametrize("password", ["pa/ss#wo%rd@x", "with space", "[brackets]"])
def test_a_malformed_url_does_not_leak_its_password(offline: Project, password: str) -> None:
    """Drivers quote pieces of a URL they cannot parse; ecm does not pass them on."""
    url = f"postgresql://app:{password}@127.0.0.1:1/db"
    answer = offline.ecm("doctor", DATABASE_URL_DEVELOPMENT=url)

    assert answer.code == 1
    shown = answer.out + answer.err
    assert password not in shown
    assert "wo%rd" not in shown
    assert "brackets" not in shown
