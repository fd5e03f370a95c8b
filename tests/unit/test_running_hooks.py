"""A hook is run without a shell, listened to, and ended with all that it started."""

import os
import sys
from datetime import timedelta
from pathlib import Path
from time import sleep

import psutil
import pytest

from orchestrator import hooks
from orchestrator.hooks import KEPT, HookResult
from orchestrator.plan.phases import Hook


def script(folder: Path, text: str, *, name: str = "hook", mode: int = 0o755) -> None:
    """Write a program of Python into a folder."""
    (folder / name).write_text(f"#!{sys.executable}\nimport os, signal, subprocess, sys, time\n{text}")
    (folder / name).chmod(mode)


def run(folder: Path, *argv: str, timeout: float = 60, secrets: tuple[str, ...] = ()) -> HookResult:
    hook = Hook(run=argv or ("./hook",), timeout=timedelta(seconds=timeout))
    return hooks.run(hook, folder=folder, environment={"PATH": os.environ["PATH"], "WHO": "me"}, secrets=secrets)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_no_shell_stands_in_between(tmp_path: Path) -> None:
    """Arguments arrive as they are written, in the project's folder, with the environment and nothing to read."""
    script(tmp_path, "print(sys.argv[1:], os.getcwd(), os.environ['WHO'], repr(sys.stdin.read()))")

    result = run(tmp_path, "./hook", "$HOME; ls", "a b")

    assert result.ok
    assert result.stdout == f"['$HOME; ls', 'a b'] {tmp_path} me ''\n"


@pytest.mark.parametrize(
    ("argv", "outcome"),
    [
        (("./nothing",), "was not found"),
        (("no-such-program-anywhere",), "was not found"),
        (("./plain",), "may not be executed (chmod +x makes it so)"),
        (("./garbage",), "could not be started: Exec format error"),
        (("./hook", "\0"), "could not be started: embedded null byte"),
        (("./hook", "3"), "ended with exit code 3"),
        (("./hook", "-9"), "was ended by signal 9"),
    ],
)
def test_what_failed_is_said(tmp_path: Path, argv: tuple[str, ...], outcome: str) -> None:
    """A program that is not there, one that is none, an exit code and a signal are told apart."""
    script(tmp_path, "", name="plain", mode=0o644)
    (tmp_path / "garbage").write_bytes(b"\x01\x02")
    (tmp_path / "garbage").chmod(0o755)
    script(tmp_path, "n = int(sys.argv[1])\nsys.exit(n) if n > 0 else os.kill(os.getpid(), -n)")

    result = run(tmp_path, *argv)

    assert (result.ok, result.outcome) == (False, outcome)


def test_its_time_is_limited_and_so_is_that_of_what_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook and its child that will not hear SIGTERM are killed when the time and the grace are over."""
    monkeypatch.setattr(hooks, "GRACE", 0.3)
    script(
        tmp_path,
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal, time;"
        " signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)'])\n"
        "print(os.getpid(), child.pid, flush=True)\ntime.sleep(600)",
    )

    result = run(tmp_path, timeout=1.5)

    assert result.timed_out
    assert not result.ok
    assert "when its time was over" in result.outcome
    own, child = map(int, result.stdout.split())
    assert not is_alive(own)
    # Only its parent can wait for it to be dead; it is on its way, or it would sleep until this test is given up.
    while is_alive(child):
        sleep(0.01)


def test_what_it_leaves_behind_holds_nothing_up(tmp_path: Path) -> None:
    """A hook that ends well and leaves a process behind, with its output open, is over."""
    script(
        tmp_path,
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(20)'])\nprint(child.pid, flush=True)",
    )

    result = run(tmp_path)

    pid = int(result.stdout)
    assert result.ok
    assert is_alive(pid)
    os.kill(pid, 9)


def test_its_output_is_bounded_and_keeps_no_secret(tmp_path: Path) -> None:
    """The last 4 KiB are kept, without passwords, also where a cut goes through one, and without escapes."""
    script(
        tmp_path,
        "print('x ' * 9000)\nprint('\\x1b[31mred\\x1b[0m postgresql://app:tr0mbone@db/books')\n"
        "sys.stderr.write('correct-horse ' * 3000)",
    )

    result = run(tmp_path, secrets=("correct-horse",))

    assert len(result.stdout) == KEPT
    assert result.stdout.endswith("x \nred postgresql://app:***@db/books\n")
    assert len(result.stderr) <= KEPT
    assert set(result.stderr.split()) == {"***"}


def test_an_interrupt_ends_it(tmp_path: Path) -> None:
    """Ctrl-C while a hook runs ends the hook before it goes on its way."""
    script(tmp_path, "open('pid', 'w').write(str(os.getpid()))\nos.kill(os.getppid(), signal.SIGINT)\ntime.sleep(60)")

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    assert not is_alive(int((tmp_path / "pid").read_text()))
