"""Hooks run around a phase: before it nothing is touched yet, after it everything is recorded."""

import signal
import sys
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest
from cli.runs import PATIENCE, PLAN, Project, said

HERE = ("--branch", "development")
TELL = "import os; open('told', 'a').write(' '.join(os.environ.get(n, '-') for n in {names!r}.split()) + '\\n')"


def script(project: Project, name: str, text: str) -> None:
    """Write a program of Python into the project's folder."""
    (project.root / name).write_text(f"#!{sys.executable}\nimport os, sys, time\n{text}\n")
    (project.root / name).chmod(0o755)


def hooks(project: Project, phases: str = "", *, defaults: str = "") -> None:
    """Give the project's plan hooks."""
    plan = project.root / "plans" / f"{PLAN}.yaml"
    plan.write_text(plan.read_text().split("expand:")[0] + phases)
    if defaults:
        config = project.root / "ecm.yaml"
        config.write_text(config.read_text() + defaults)


def told(project: Project) -> list[str]:
    file = project.root / "told"
    return file.read_text().splitlines() if file.exists() else []


def columns(project: Project) -> list[str]:
    found = project.sql(
        "development", "SELECT attname FROM pg_attribute WHERE attrelid = 'books'::regclass AND attnum > 0"
    )
    return [name for (name,) in found]


def test_hooks_run_around_each_phase_and_are_recorded(project: Project) -> None:
    """Those of a phase, and those of the defaults where it has none, are told what is done; a rollback runs none."""
    names = "ECM_PROJECT ECM_PLAN ECM_BRANCH ECM_PHASE ECM_DIRECTION ECM_STATE ECM_TARGET ECM_ACTOR ECM_HOOK ECM_RESULT"
    script(project, "tell", TELL.format(names=names))
    script(project, "own", "print('own hook, postgresql://app:tr0mbone@db/x')")
    hooks(
        project,
        "backfill: {hooks: {before: [{run: ./own --as postgresql://app:tr0mbone@db/x}]}}\n",
        defaults="defaults: {hooks: {before: [{run: ./tell}], after: [{run: [./tell], timeout: 30s}]}}\n",
    )

    dry = project.ecm("advance", PLAN, *HERE, "--dry-run")
    shown = project.ecm("plan", "show", PLAN, *HERE)
    assert "hook before ./tell, for 1 min at most hook after ./tell, for 30 s at most" in said(dry.out)
    assert "hook before ./own --as 'postgresql://app:***@db/x', for 1 min at most" in said(shown.out)
    assert told(project) == []

    done = project.ecm("advance", PLAN, *HERE, "--to", "backfilled")
    assert done.code == 0, done.err
    assert "before expand, ./tell" in done.err
    assert "tr0mbone" not in done.err + shown.out + project.ecm("plan", "show", PLAN, *HERE, "--json").out
    first = f"bookstore {PLAN} development expand forward planned expanded tester"
    assert told(project) == [f"{first} before -", f"{first} after done"]

    history = project.ecm("history", PLAN, "--json").json["entries"]
    assert [(e["kind"], e["data"].get("when"), e["data"].get("argv")) for e in history] == [
        ("hook", "before", ["./tell"]),
        ("move", None, None),
        ("hook", "after", ["./tell"]),
        ("hook", "before", ["./own", "--as", "postgresql://app:***@db/x"]),
        ("move", None, None),
    ]
    assert history[3]["data"]["stdout"] == "own hook, postgresql://app:***@db/x\n"
    assert history[3]["checksum"] == history[4]["checksum"]
    assert "hook before expand on development: ./tell by tester" in said(project.ecm("history", PLAN).out)

    assert project.ecm("rollback", PLAN, *HERE, "--to", "planned").code == 0
    assert len(told(project)) == 2


@pytest.mark.parametrize(
    ("text", "outcome", "last"),
    [
        ("print('not today'); sys.exit(7)", "exit code 7", "not today"),
        ("print('on'); sys.stderr.write('and off\\n'); sys.stderr.flush(); time.sleep(60)", "time was over", "and off"),
        (None, "was not found", ""),
    ],
    ids=["fails", "takes too long", "is not there"],
)
def test_a_hook_that_fails_keeps_the_phase_from_beginning(
    project: Project, text: str | None, outcome: str, last: str
) -> None:
    """Exit code 4, with what it said; nothing is touched or under way, and the same command goes on once it is right."""
    hooks(project, "expand: {hooks: {before: [{run: ./hook, timeout: 1s}]}}\n")
    if text is not None:
        script(project, "hook", text)
    before = columns(project)

    refused = project.ecm("advance", PLAN, *HERE, "--json")
    assert refused.code == 4
    error = refused.json["error"]
    assert f"{PLAN} may not enter expand on development: a hook before it failed" in error["message"]
    assert outcome in error["details"][0]
    assert last in error["details"][1]
    assert error["hint"] == f"ecm advance {PLAN} --branch development"

    branch = project.ecm("status", PLAN, *HERE, "--json").json["plans"][0]["branches"][0]
    assert (branch["state"], branch["in_progress"]) == ("planned", None)
    assert columns(project) == before
    entries = project.ecm("history", "--json").json["entries"]
    (entry,) = (each for each in entries if each["kind"] == "hook")
    assert (entry["kind"], entry["data"]["ok"]) == ("hook", False)
    assert "a hook before expand failed: ./hook" in said(project.ecm("status").out)
    closer = said(project.ecm("status", PLAN, *HERE).out)
    assert "the last try to enter expand was stopped by a hook before it: ./hook " in closer
    assert outcome in closer

    script(project, "hook", "")
    assert project.ecm("advance", PLAN, *HERE).code == 0
    assert "hook" not in project.ecm("status", PLAN, *HERE).out


def test_what_a_hook_changed_is_judged_again(project: Project) -> None:
    """Between the judgement and the phase a hook may do anything; the gate looks once more after it."""
    connect = f"import psycopg; psycopg.connect({project.urls['development']!r}, autocommit=True).execute"
    script(project, "hook", f"{connect}('INSERT INTO books (id) VALUES (0)')")
    hooks(
        project,
        "expand:\n  hooks: {before: [{run: ./hook}]}\n"
        "  checks: [{name: 'count', sql: 'SELECT count(*) FROM books', expect: 100}]\n",
    )

    refused = project.ecm("advance", PLAN, *HERE)

    assert refused.code == 4
    assert "check 'count' found 101, not 100" in said(refused.err)
    assert "publication_year" not in columns(project)


def test_a_hook_after_a_phase_is_a_warning_at_most(project: Project) -> None:
    """The phase is complete; what failed after it is told, and the next phase goes on."""
    script(project, "hook", "sys.exit('cannot tell anybody')")
    hooks(project, "expand: {hooks: {after: [{run: ./hook}]}}\n")

    done = project.ecm("advance", PLAN, *HERE, "--to", "backfilled")

    assert done.code == 0
    assert "hook after expand: ./hook ended with exit code 1: cannot tell anybody" in said(done.out)
    assert project.ecm("status", PLAN, *HERE, "--json").json["plans"][0]["branches"][0]["state"] == "backfilled"


def test_ctrl_c_ends_a_hook_and_leaves_nothing_under_way(project: Project) -> None:
    """The hook is gone and its end recorded, the lease is given back, and the same command begins anew."""
    script(
        project,
        "hook",
        "open('pid', 'w').write(str(os.getpid())) if not os.path.exists('pid') else sys.exit()\ntime.sleep(60)",
    )
    hooks(project, "expand: {hooks: {before: [{run: ./hook}]}}\n")

    with project.start("advance", PLAN, *HERE) as process:
        _wait_for(project.root / "pid")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130

    assert not psutil.pid_exists(int((project.root / "pid").read_text()))
    branch = project.ecm("status", PLAN, *HERE, "--json").json["plans"][0]["branches"][0]
    assert (branch["state"], branch["in_progress"]) == ("planned", None)
    (entry,) = project.ecm("history", PLAN, "--json").json["entries"]
    assert (entry["kind"], entry["data"]["ok"], entry["data"]["problem"]) == ("hook", False, "ended by an interrupt")
    assert project.ecm("advance", PLAN, *HERE).code == 0


def _wait_for(file: Path) -> None:
    until = monotonic() + PATIENCE
    while not file.exists() or not file.read_text():
        assert monotonic() < until, f"{file.name} never came"
        sleep(0.05)
