"""How a run can end early: Ctrl-C, SIGTERM, a reader that goes away, an error nobody thought of."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from cli.runs import PATIENCE, PLAN, Project


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_backfill_goes_on_with_the_same_command(project: Project, sent: int, code: int) -> None:
    """Ctrl-C and SIGTERM keep the state, say so, and the same command carries on."""
    project.ecm("advance", PLAN, "--branch", "development")
    arguments = ("advance", PLAN, "--branch", "development")
    with psycopg.connect(project.urls["development"]) as other:
        other.execute("SELECT FROM books FOR UPDATE")
        running = project.start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert running.stderr is not None
        told = ""
        while "rows are locked" not in told:
            line = running.stderr.readline()
            assert line, told
            told += line
        running.send_signal(sent)
        out, err = running.communicate(timeout=PATIENCE)

    assert (running.returncode, out) == (code, "")
    assert "interrupted; state kept, the same command goes on from here" in err
    assert "Traceback" not in err
    (plan,) = project.ecm("status", PLAN, "-b", "development", "--json").json["plans"]
    assert plan["branches"][0]["in_progress"]["phase"] == "backfill"
    again = project.ecm(*arguments)
    assert again.code == 0
    assert "goes on where it was interrupted" in again.err


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
