"""The undo window on the command line: what is said of it, what is refused, and how it ends."""

import pytest
from cli.runs import PLAN, Project, said

DEVELOPMENT, PRODUCTION = ("--branch", "development"), ("--branch", "production")


@pytest.fixture
def contracted(project: Project) -> Project:
    """A project whose plan is contracted on development, in a way that can be undone for a day."""
    path = project.root / "plans" / f"{PLAN}.yaml"
    path.write_text(path.read_text() + "contract: {undo_window: 24h}\n")
    done = project.ecm("advance", PLAN, *DEVELOPMENT, "--to", "contracted")
    assert done.code == 0, done.err
    assert "at once and without loss, until" in said(done.out)
    return project


def _over(project: Project, branch: str) -> None:
    """Let the time pass in which contract can be undone."""
    project.sql(branch, "UPDATE ecm.plans SET undo_until = now() - interval '1 min'")


def test_while_it_can_be_undone(contracted: Project) -> None:
    """Status says until when, gate and advance refuse with one voice, verify compares, and finalize wants --now."""
    (plan,) = contracted.ecm("status", "--json").json["plans"]
    development, _ = plan["branches"]
    assert development["state"] == "contracted"
    assert development["undo_until"] > development["as_of"]
    assert development["next_command"] == f"ecm advance {PLAN} --branch production"
    assert "undo until" in contracted.ecm("status").out
    closer = contracted.ecm("status", PLAN, *DEVELOPMENT).out
    assert f"back      ecm rollback {PLAN} --branch development" in closer

    now = f"ecm finalize {PLAN} --branch development --now"
    gate = contracted.ecm("gate", PLAN, *DEVELOPMENT, "--json")
    assert gate.code == 4
    (reason,) = gate.json["reasons"]
    assert (reason["code"], reason["remedy"]) == ("undo_window", f"wait; or give the way back up: {now}")
    assert gate.json["next_command"] == "ecm status", "the way back is not given up by whoever follows what is next"
    for command in ("advance", "finalize"):
        refused = contracted.ecm(command, PLAN, *DEVELOPMENT)
        assert refused.code == 4
        assert reason["message"][:50] in said(refused.err)
        assert now in said(refused.err)
    already = contracted.ecm("advance", PLAN, *DEVELOPMENT, "--to", "contracted")
    assert already.code == 0
    assert "already; nothing to do" in already.out
    assert contracted.ecm("verify", PLAN, *DEVELOPMENT, "--json").json["rows"] == 100


def test_undone_and_finalized(contracted: Project) -> None:
    """Rollback tells what it does and does it; finalize --now drops the column, after which nothing comes back."""
    dry = contracted.ecm("rollback", PLAN, *DEVELOPMENT, "--dry-run")
    assert "bring the old structure back" in dry.out
    assert "SELECT count" not in dry.out
    contracted.sql("development", "INSERT INTO books (id, publication_year) VALUES (200, 1999)")
    undone = contracted.ecm("rollback", PLAN, *DEVELOPMENT)
    assert undone.code == 0
    assert "contracted → reads migrated" in said(undone.out)
    assert contracted.sql("development", "SELECT published_year FROM books WHERE id = 200") == [(1999,)]

    assert contracted.ecm("advance", PLAN, *DEVELOPMENT).code == 0
    dry = contracted.ecm("finalize", PLAN, *DEVELOPMENT, "--now", "--dry-run")
    assert 'DROP COLUMN "publication_year_ecm_hidden"' in said(dry.out)
    assert f"next      ecm finalize {PLAN} --branch development --now" in dry.out
    done = contracted.ecm("finalize", PLAN, *DEVELOPMENT, "--now", "--json")
    assert done.code == 0
    assert (done.json["state"], done.json["undo_until"]) == ("contracted", None)
    assert contracted.ecm("rollback", PLAN, *DEVELOPMENT).code == 4
    assert contracted.ecm("finalize", PLAN, *DEVELOPMENT, "--now").code == 4
    assert "finalized on development" in contracted.ecm("history").out


def test_once_the_time_is_over(contracted: Project) -> None:
    """Until somebody finalizes it can still be undone; --exit-code asks for that, and a protected branch for consent."""
    assert contracted.ecm("advance", PLAN, *PRODUCTION, "--to", "contracted", "--yes").code == 2
    assert contracted.ecm("advance", PLAN, *PRODUCTION, "--to", "contracted", "--confirm", PLAN).code == 0
    assert contracted.ecm("status", "--exit-code").code == 0
    _over(contracted, "production")
    pending = contracted.ecm("status", "--exit-code")
    assert pending.code == 3
    assert f"ecm finalize {PLAN} --branch production" in pending.out
    assert contracted.ecm("rollback", PLAN, *PRODUCTION, "--dry-run").code == 0
    wanted = contracted.ecm("finalize", PLAN, *PRODUCTION, "--yes")
    assert wanted.code == 2
    assert f"--confirm {PLAN}" in wanted.err
    assert contracted.ecm("gate", PLAN, *PRODUCTION).code == 0
    assert contracted.ecm("advance", PLAN, *PRODUCTION, "--confirm", PLAN).code == 0
    columns = "SELECT attname FROM pg_attribute WHERE attrelid = 'books'::regclass AND attnum > 0 AND NOT attisdropped"
    assert contracted.sql("production", columns) == [("id",), ("title",), ("publication_year",)]


def test_the_triggers_stay_on_their_post(contracted: Project) -> None:
    """One that was away for a moment costs undo a look at the rows; a row that differs is named, and nothing done."""
    (trigger,) = contracted.sql("development", "SELECT tgname FROM pg_trigger WHERE tgname LIKE '~ecm%'")
    off = f'ALTER TABLE books DISABLE TRIGGER "{trigger[0]}"'
    contracted.sql("development", off)
    assert "is disabled" in said(contracted.ecm("status").out)
    refused = contracted.ecm("rollback", PLAN, *DEVELOPMENT)
    assert refused.code == 6
    assert "is disabled" in said(refused.err)
    contracted.sql("development", "UPDATE books SET publication_year = 1 WHERE id = 7")
    contracted.sql("development", off.replace("DISABLE", "ENABLE ALWAYS"))
    refused = contracted.ecm("rollback", PLAN, *DEVELOPMENT)
    assert refused.code == 6
    assert "id=7" in refused.err
    assert "roll back again; or drop the old side: ecm finalize" in said(refused.err)
    assert contracted.ecm("status", "--json").json["plans"][0]["branches"][0]["in_progress"] is None
    contracted.sql("development", "UPDATE books SET publication_year = 1 WHERE id = 7")
    assert contracted.ecm("rollback", PLAN, *DEVELOPMENT).code == 0
    assert contracted.sql("development", "SELECT published_year FROM books WHERE id = 7") == [(1,)]
