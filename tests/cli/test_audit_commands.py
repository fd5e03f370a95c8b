"""`ecm audit export`, `audit verify --file`, and what the history holds of each move."""

import json
from pathlib import Path

import pytest
from cli.runs import PLAN, Project, said
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.actor import actor
from orchestrator.engine import trail

HERE = ("--branch", "development")


def test_an_export_is_written_once_and_checked_anywhere(project: Project, nowhere: Project) -> None:
    """To stdout or whole to a file, never over another; the file needs no project to be checked."""
    assert project.ecm("advance", PLAN, *HERE, "--to", "backfilled").code == 0
    file = project.root / "ledger.jsonl"

    wrote = project.ecm("audit", "export", "--output", "ledger.jsonl", "--json")
    assert wrote.code == 0
    assert (wrote.json["entries"], wrote.json["output"], wrote.json["lines"]) == (2, "ledger.jsonl", [])
    lines = file.read_text().splitlines()
    assert project.ecm("audit", "export").out.splitlines()[1:] == lines[1:]
    header = json.loads(lines[0])
    assert (header["format_version"], header["ledger"], header["entries"]) == (1, ".ecm/ledger.db", 2)
    assert header["head"]["hash"] == wrote.json["head"] == project.ecm("audit", "verify", "--json").json["head"]

    again = project.ecm("audit", "export", "-o", "ledger.jsonl")
    assert (again.code, "exists already" in again.err, file.read_text().splitlines()) == (1, True, lines)
    assert project.ecm("audit", "export", "-o", "ledger.jsonl", "--plan", "other", "--force").code == 0
    assert len(file.read_text().splitlines()) == 1
    assert sorted(path.name for path in project.root.iterdir() if "ledger" in path.name) == ["ledger.jsonl"]

    missing = project.ecm("audit", "verify", "--file", "nothere.jsonl")
    assert (missing.code, missing.err) == (1, "error: nothere.jsonl cannot be read: No such file or directory\n")
    of_none = project.ecm("history", "nothere")
    assert (of_none.code, "there is no plan nothere" in of_none.err) == (2, True)
    (project.root / "plans" / f"{PLAN}.yaml").rename(project.root / "kept")
    assert project.ecm("history", PLAN).code == 0
    (project.root / "kept").rename(project.root / "plans" / f"{PLAN}.yaml")

    elsewhere = nowhere.root / "sent.jsonl"
    elsewhere.write_text("\n".join(lines) + "\n")
    sound = nowhere.ecm("audit", "verify", "--file", "sent.jsonl")
    assert (sound.code, "2 entries, the chain of hashes holds" in said(sound.out)) == (0, True), sound.err
    elsewhere.write_text("\n".join(lines[:2]) + "\n")
    cut = nowhere.ecm("audit", "verify", "--file", "sent.jsonl", "--json")
    assert (cut.code, [(p["seq"], p["kind"]) for p in cut.json["problems"]]) == (6, [(2, "truncated")])
    elsewhere.write_text("hello\n")
    assert nowhere.ecm("audit", "verify", "--file", "sent.jsonl").code == 1
    assert nowhere.ecm("audit", "verify", "--file", "not-there.jsonl").code == 1


def test_history_holds_what_was_run(project: Project) -> None:
    """Each move's statements as they were sent, of a rollback too, by whom and with which ecm."""
    assert project.ecm("advance", PLAN, *HERE).code == 0
    assert project.ecm("rollback", PLAN, *HERE).code == 0

    forth, back = project.ecm("history", PLAN, "--json").json["entries"]

    run = "\n".join(text for step in forth["data"]["sql"] for text in step["statements"])
    assert 'ALTER TABLE "public"."books" ADD COLUMN "publication_year"' in run
    assert "CREATE TRIGGER" in run
    undone = "\n".join(text for step in back["data"]["sql"] for text in step["statements"])
    assert 'DROP COLUMN IF EXISTS "publication_year"' in undone or 'DROP COLUMN "publication_year"' in undone
    assert "sql" not in forth["data"]["measured"]
    assert {"id", "actor", "ecm_version", "recorded_at", "happened_at", "previous_hash", "hash"} <= forth.keys()
    assert back["previous_hash"] == forth["hash"]

    plain, told = project.ecm("history", PLAN).out, project.ecm("history", PLAN, "--sql").out
    assert "CREATE TRIGGER" not in plain
    assert "CREATE TRIGGER" in told


def test_a_password_in_raw_sql_stays_out_of_the_ledger(project: Project) -> None:
    """What leaves the branch is without it, whatever a person's own statements set."""
    (project.root / "plans" / "role.yaml").write_text(
        "plan: role\nchanges:\n  - kind: sql\n"
        "    expand: |\n      CREATE ROLE hook_reader_1 PASSWORD 'tr0mb''one' NOLOGIN;\n      DROP ROLE hook_reader_1;\n"
        "    contract: 'SELECT 1'\n    rollback: {expand: 'SELECT 1', contract: 'SELECT 1'}\n"
    )
    done = project.ecm("advance", "role", *HERE)
    assert done.code == 0, done.err

    history = project.ecm("history", "role", "--json").out

    assert "CREATE ROLE hook_reader_1 PASSWORD ***" in history
    assert "tr0mb" not in history


@given(st.lists(st.lists(st.text("abc;é", max_size=40), max_size=4), max_size=6))
def test_what_is_kept_of_sql_is_bounded(steps: list[list[str]]) -> None:
    """Up to a limit all of it, in order; beyond that its number, length and hash."""
    before, trail.LONGEST = trail.LONGEST, 60
    try:
        kept = trail.bounded({"phase": "expand", "title": str(n), "statements": texts} for n, texts in enumerate(steps))
    finally:
        trail.LONGEST = before
    every = [text for texts in steps for text in texts]
    written = [text for step in kept for text in step["statements"] if step["phase"]]
    assert every[: len(written)] == written
    assert sum(map(len, written)) <= 60
    if len(written) < len(every):
        left = every[len(written) :]
        (note,) = kept[-1]["statements"]
        assert f"{len(left)} more, {len(';'.join(left)) + len(left) - 1} characters in all, sha256:" in note
        assert sum(map(len, written)) + len(left[0]) > 60


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"ECM_ACTOR": "me", "GITHUB_ACTOR": "ada"}, "me"),
        ({"GITHUB_ACTOR": "ada", "GITHUB_TRIGGERING_ACTOR": "grace"}, "grace (github)"),
        ({"CI": "true", "BUILD_USER_ID": "ada"}, "ada (jenkins)"),
        ({"TF_BUILD": "True", "BUILD_REQUESTEDFOR": "Ada Lovelace"}, "Ada Lovelace (azure)"),
        ({"BITBUCKET_STEP_TRIGGERER_UUID": "{1-2}"}, "{1-2} (bitbucket)"),
        ({"CI": "true"}, "ada@example.org"),
    ],
)
def test_who_did_it(environment: dict[str, str], expected: str, tmp_path: Path) -> None:
    """The name given, else whoever set the CI job off, else git's identity, which a bare CI=true falls to."""
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (tmp_path / ".git" / "objects").mkdir()
    (tmp_path / ".git" / "refs").mkdir()
    (tmp_path / ".git" / "config").write_text("[user]\n\temail = ada@example.org\n")
    assert actor(environment, tmp_path) == expected
