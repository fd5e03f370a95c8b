"""Every condition of the gate: the only one that is not met, named by `ecm gate`, and met.

`advance` agrees with `gate` each time: refused with the same code while it is not met, and let through once it is.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from cli.conftest import MakeProject
from cli.runs import PLAN, Answer, Project, said

from orchestrator.sql.uses import ROLES

DEVELOPMENT, PRODUCTION = "development", "production"
OTHER = "recount-years"

TABLE = """
CREATE TABLE books (id int PRIMARY KEY, title text, published_year int DEFAULT 2000);
INSERT INTO books SELECT n, 'book ' || n, 1900 + n FROM generate_series(1, 10) n;
"""

Step = Callable[[Project], Any]


def done(answer: Answer) -> Answer:
    """Return what a command gave that had to succeed."""
    assert answer.code == 0, answer
    return answer


def advanced(branch: str, to: str) -> Step:
    """Take the plan as far as a state on a branch."""
    return lambda project: done(project.ecm("advance", PLAN, "--branch", branch, "--to", to, "--confirm", PLAN))


def ecm(*arguments: str, **environment: str) -> Step:
    """Run a command that has to succeed."""
    return lambda project: done(project.ecm(*arguments, **environment))


def sql(branch: str, statement: str) -> Step:
    """Run a statement on a branch."""
    return lambda project: project.sql(branch, statement)


def plan(text: str, to: str = "publication_year", name: str = PLAN) -> Step:
    """Write the plan's file, or another's, with more settings."""
    body = f"changes:\n  - {{kind: rename_column, table: books, column: published_year, to: {to}}}\n"
    return lambda project: (project.root / "plans" / f"{name}.yaml").write_text(f"plan: {name}\n{body}{text}")


def branches(settings: str) -> Step:
    """Write the project's file with settings for production."""
    text = f"project: bookstore\nbranches:\n  development: {{}}\n  production: {{{settings}}}\n"
    return lambda project: (project.root / "ecm.yaml").write_text(text)


def aged(column: str) -> Step:
    """Let something have happened two hours earlier on development."""
    return sql(DEVELOPMENT, f"UPDATE ecm.plans SET {column} = {column} - interval '2 hours'")


def noticed_earlier(project: Project) -> None:
    """Let writes of the old side have been noticed two hours earlier on development."""
    found = project.sql(
        DEVELOPMENT,
        "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'ecm' AND sequencename LIKE 'last%'",
    )
    assert found
    for name, value in found:
        project.sql(DEVELOPMENT, f"SELECT setval('ecm.\"{name}\"', {value - 2 * 3600 * ROLES})")


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A condition that is not met after `unmet`, and is after `met`.

    Attributes:
        to: the state that is asked for.
        says: what is said of it, in part.
        yields: whether it can be overridden.
    """

    code: str
    unmet: tuple[Step, ...]
    met: tuple[Step, ...]
    to: str
    says: str
    branch: str = DEVELOPMENT
    yields: bool = False


ATTEST = ("attest", PLAN, "--branch", DEVELOPMENT, "--version", "4f2c9e1", "--as")
CONDITIONS = {
    "a branch behind": Condition(
        code="requires",
        branch=PRODUCTION,
        unmet=(advanced(DEVELOPMENT, "expanded"), advanced(PRODUCTION, "expanded")),
        met=(advanced(DEVELOPMENT, "backfilled"),),
        to="backfilled",
        says="development has completed 1 of 4 phases of the plan: backfill is missing",
    ),
    "a branch on another text": Condition(
        code="requires",
        branch=PRODUCTION,
        unmet=(plan("", to="pub_year"), advanced(DEVELOPMENT, "expanded"), plan("")),
        met=(ecm("rollback", PLAN, "--branch", DEVELOPMENT), advanced(DEVELOPMENT, "expanded")),
        to="expanded",
        says="changes[0].to: pub_year → publication_year",
    ),
    "an edited plan": Condition(
        code="plan_changed",
        unmet=(advanced(DEVELOPMENT, "expanded"), plan("migrate_reads: {soak: 1h}\n")),
        met=(plan(""),),
        to="backfilled",
        says="migrate_reads.soak: not set → 1h",
    ),
    "another plan on the column": Condition(
        code="overlap",
        unmet=(
            plan("", to="year", name=OTHER),
            ecm("advance", OTHER, "--branch", DEVELOPMENT),
        ),
        met=(ecm("rollback", OTHER, "--branch", DEVELOPMENT),),
        to="expanded",
        says=f"{OTHER} is under way on development",
    ),
    "a backfill that was paused": Condition(
        code="paused",
        unmet=(
            advanced(DEVELOPMENT, "expanded"),
            # As a backfill leaves it that was paused, and whose process was ended then.
            sql(
                DEVELOPMENT,
                "UPDATE ecm.plans SET phase = 'backfill', direction = 'forward', paused_by = 'ben',"
                " phase_started_at = now(), paused_at = now()",
            ),
        ),
        met=(ecm("resume", PLAN, "--branch", DEVELOPMENT),),
        to="backfilled",
        says="the backfill was paused by ben",
    ),
    "a soak": Condition(
        code="soak",
        unmet=(plan("migrate_reads: {soak: 1h}\n"), advanced(DEVELOPMENT, "reads_migrated")),
        met=(aged("state_since"),),
        to="contracted",
        says="left",
        yields=True,
    ),
    "rows not verified lately": Condition(
        code="verified",
        unmet=(
            plan("contract: {require: {verified: 1h}}\n"),
            advanced(DEVELOPMENT, "reads_migrated"),
            aged("verified_at"),
        ),
        met=(ecm("verify", PLAN, "--branch", DEVELOPMENT),),
        to="contracted",
        says="every row has to be proven within 1 h before contract; it was 2 h",
        yields=True,
    ),
    "a plan that was not rehearsed": Condition(
        code="rehearsal",
        unmet=(plan("contract: {require: {rehearsal: 7d}}\n"), advanced(DEVELOPMENT, "reads_migrated")),
        met=(ecm("rehearse", PLAN, "--from", DEVELOPMENT),),
        to="contracted",
        says="the plan has to be rehearsed from development within 7 days before contract; it was not",
        yields=True,
    ),
    "nobody's word": Condition(
        code="attestation",
        unmet=(plan("contract: {require: {attestations: [reads-new]}}\n"), advanced(DEVELOPMENT, "reads_migrated")),
        met=(ecm(*ATTEST, "reads-new"),),
        to="contracted",
        says="nobody has attested that the application beside development reads the new side only (reads-new)",
        yields=True,
    ),
    "a word taken back": Condition(
        code="attestation",
        unmet=(
            plan("contract: {require: {attestations: [stops-writing-old]}}\n"),
            advanced(DEVELOPMENT, "reads_migrated"),
            ecm(*ATTEST, "stops-writing-old"),
            ecm(*ATTEST, "stops-writing-old", "--withdraw"),
        ),
        met=(ecm(*ATTEST, "stops-writing-old"),),
        to="contracted",
        says="writes the old side no more",
        yields=True,
    ),
    "a check that fails": Condition(
        code="check",
        unmet=(
            plan("backfill: {checks: [{name: few books, sql: select count(*) from books, expect: 11}]}\n"),
            advanced(DEVELOPMENT, "expanded"),
        ),
        met=(sql(DEVELOPMENT, "INSERT INTO books VALUES (11, 'one more', 1911)"),),
        to="backfilled",
        says="check 'few books' found 10, not 11",
        yields=True,
    ),
    "tables that differ": Condition(
        code="drift",
        branch=PRODUCTION,
        unmet=(
            sql(
                PRODUCTION,
                "CREATE INDEX books_title_idx ON books (title); ALTER TABLE books ALTER title TYPE varchar(99)",
            ),
            advanced(DEVELOPMENT, "expanded"),
        ),
        met=(sql(PRODUCTION, "DROP INDEX books_title_idx; ALTER TABLE books ALTER title TYPE text"),),
        to="expanded",
        says="index books_title_idx is only on production",
        yields=True,
    ),
    "somebody who still writes the old name": Condition(
        code="readers",
        unmet=(
            plan("contract: {require: {no_readers: 1h}}\n"),
            advanced(DEVELOPMENT, "reads_migrated"),
            aged("state_since"),
            sql(DEVELOPMENT, "UPDATE ecm.watches SET since = since - interval '2 hours'"),
            sql(DEVELOPMENT, "UPDATE books SET published_year = 1815 WHERE id = 1"),
        ),
        met=(noticed_earlier,),
        to="contracted",
        says="nobody may have used the old side for 1 h",
        yields=True,
    ),
    "no second pair of eyes": Condition(
        code="approval",
        branch=PRODUCTION,
        unmet=(
            branches("approvals: 1"),
            advanced(DEVELOPMENT, "contracted"),
            advanced(PRODUCTION, "reads_migrated"),
            ecm("approve", PLAN, "--branch", PRODUCTION, "--to", "contracted"),
        ),
        met=(ecm("approve", PLAN, "--branch", PRODUCTION, "--to", "contracted", ECM_ACTOR="ben"),),
        to="contracted",
        says="0 of 1 approval by others than tester",
    ),
}


@pytest.fixture
def bookstore(make_project: MakeProject, databases: Any) -> Project:
    """A project of two branches with a table of ten books each."""
    made = make_project(databases(DEVELOPMENT, PRODUCTION))
    for branch in made.urls:
        made.sql(branch, TABLE)
    return made


@pytest.mark.parametrize("condition", CONDITIONS.values(), ids=CONDITIONS)
def test_a_condition(bookstore: Project, condition: Condition) -> None:
    """It is the only one that is not met; gate and advance name it; once it is met, both let the plan pass."""
    where = (PLAN, "--branch", condition.branch, "--to", condition.to)
    for step in condition.unmet:
        step(bookstore)

    asked, told = bookstore.ecm("gate", *where, "--json"), bookstore.ecm("gate", *where)
    assert [reason["code"] for reason in asked.json["reasons"]] == [condition.code]
    assert asked.code == told.code == (6 if condition.code == "drift" else 4)
    assert condition.says in said(told.out)

    before = bookstore.sql(condition.branch, "SELECT state FROM ecm.plans") if condition.to != "expanded" else []
    refused = bookstore.ecm("advance", *where, "--confirm", PLAN)
    assert refused.code == asked.code
    assert condition.says in said(refused.err)
    if before:
        assert bookstore.sql(condition.branch, "SELECT state FROM ecm.plans") == before
    unyielding = bookstore.ecm("advance", *where, "--override", condition.code, "--reason", "now", "--dry-run")
    assert unyielding.code == (0 if condition.yields else 2), unyielding

    for step in condition.met:
        step(bookstore)
    assert bookstore.ecm("gate", *where).code == 0
    assert bookstore.ecm("advance", *where, "--confirm", PLAN).code == 0


def test_an_override_is_kept(bookstore: Project) -> None:
    """What was let pass is said before and after, and stands with its reason in the ledger and in status."""
    plan("migrate_reads: {soak: 1h}\n")(bookstore)
    advanced(DEVELOPMENT, "reads_migrated")(bookstore)
    where = (PLAN, "--branch", DEVELOPMENT)

    without = bookstore.ecm("advance", *where, "--override", "soak")
    answer = done(bookstore.ecm("advance", *where, "--override", "soak", "--reason", "the fair begins at nine"))
    status = done(bookstore.ecm("status", *where))
    entries = bookstore.ecm("history", PLAN, "--json").json["entries"]

    assert without.code == 2
    assert "--override needs --reason" in without.err
    assert "soak was overridden" in answer.out
    assert "soak by tester" in said(status.out)
    assert "the fair begins at nine" in said(status.out)
    assert "the fair begins at nine" in said(bookstore.ecm("status").out)
    (kept,) = (entry["data"] for entry in entries if entry["kind"] == "override")
    assert (kept["code"], kept["phase"], kept["reason"]) == ("soak", "contract", "the fair begins at nine")


def test_all_that_is_unmet_is_told_at_once(bookstore: Project) -> None:
    """Several conditions are several reasons, in the gate, in the refusal and in the ledger."""
    plan(
        "migrate_reads: {soak: 1h, checks: []}\n"
        "contract:\n  require: {attestations: [reads-new]}\n"
        "  checks: [{name: no books, sql: select count(*) from books, expect: 0}]\n"
    )(bookstore)
    advanced(DEVELOPMENT, "reads_migrated")(bookstore)
    where = (PLAN, "--branch", DEVELOPMENT)

    reasons = bookstore.ecm("gate", *where, "--json").json["reasons"]
    refused = bookstore.ecm("advance", *where, "--override", "soak", "--reason", "now")
    entries = bookstore.ecm("history", PLAN, "--json").json["entries"]

    assert {reason["code"] for reason in reasons} == {"soak", "attestation", "check"}
    assert refused.code == 4
    assert "soak" not in refused.err
    (kept,) = (entry["data"] for entry in entries if entry["kind"] == "refused")
    assert (kept["command"], kept["state"]) == ("advance", "reads_migrated")
    assert "nobody has attested" in " ".join(kept["details"])
    assert not any(entry["kind"] == "override" for entry in entries)


def test_an_edited_plan_is_to_be_set_right_first(bookstore: Project) -> None:
    """Whatever else is unmet, its command would be in vain: the next one is the way back, and it works."""
    plan("contract: {require: {attestations: [reads-new]}}\n")(bookstore)
    advanced(DEVELOPMENT, "reads_migrated")(bookstore)
    plan("contract: {require: {attestations: [reads-new, stops-writing-old]}}\n")(bookstore)
    where = (PLAN, "--branch", DEVELOPMENT)
    back = f"ecm rollback {PLAN} --branch {DEVELOPMENT}"

    asked, told = bookstore.ecm("gate", *where, "--json"), bookstore.ecm("gate", *where)
    refused = bookstore.ecm("advance", *where)

    assert {reason["code"] for reason in asked.json["reasons"]} == {"plan_changed", "attestation"}
    assert asked.json["next_command"] == back
    assert told.out.endswith(f"next      {back}\n")
    assert refused.err.endswith(f"next    {back}\n")
    done(bookstore.ecm("rollback", *where))


def test_an_approval_says_for_whom_it_is(bookstore: Project) -> None:
    """Whoever approves learns that it is not for contracting oneself, and that what is said later undoes it."""
    branches("requires: [], approvals: 1")(bookstore)
    advanced(PRODUCTION, "reads_migrated")(bookstore)
    told = said(done(bookstore.ecm("approve", PLAN, "--branch", PRODUCTION, "--to", "contracted")).out)
    assert "approved by tester, for somebody else to contract, until" in told
    assert "or until a line above changes or is added; 1 approval, 1 needed" in told


def test_what_nobody_can_attest_or_approve(bookstore: Project) -> None:
    """Before anything has begun there is nothing to attest; a branch that asks for no approvals takes none."""
    early = bookstore.ecm(*ATTEST, "reads-new")
    unknown = bookstore.ecm(*ATTEST, "reads-old")
    unasked = bookstore.ecm("approve", PLAN, "--branch", PRODUCTION)

    assert (early.code, unknown.code, unasked.code) == (4, 2, 4)
    assert "there is nothing to attest" in early.err
    assert "did you mean reads-new" in unknown.err
    assert "production asks for no approvals" in unasked.err


def test_what_stopped_on_its_way_is_judged_again(bookstore: Project) -> None:
    """An override was for one command: a contract that could not get its lock has taken nothing away, nor has it."""
    plan("contract: {require: {no_readers: 1h}}\n")(bookstore)
    advanced(DEVELOPMENT, "reads_migrated")(bookstore)
    where = (PLAN, "--branch", DEVELOPMENT)
    sql(DEVELOPMENT, "UPDATE books SET published_year = 1815 WHERE id = 1")(bookstore)

    with psycopg.connect(bookstore.urls[DEVELOPMENT]) as session:
        session.execute("SELECT count(*) FROM books")
        locked = bookstore.ecm("advance", *where, "--override", "readers", "--reason", "now", attempts=1)
    asked, refused = bookstore.ecm("gate", *where, "--json"), bookstore.ecm("advance", *where)
    overridden = bookstore.ecm("advance", *where, "--override", "readers", "--reason", "still")

    assert (locked.code, asked.code, refused.code, overridden.code) == (5, 4, 4, 0), (locked, refused, overridden)
    assert [reason["code"] for reason in asked.json["reasons"]] == ["readers"]


def test_an_approval_bears_an_interruption(bookstore: Project) -> None:
    """A contract that stopped is carried on with it, and may be approved of; also where tables differ."""
    branches("requires: [development], approvals: 1")(bookstore)
    sql(PRODUCTION, "CREATE INDEX books_title_idx ON books (title)")(bookstore)
    advanced(DEVELOPMENT, "contracted")(bookstore)
    where = (PLAN, "--branch", PRODUCTION)
    done(bookstore.ecm("advance", *where, "--to", "reads_migrated", "--override", "drift", "--reason", "one more"))
    done(bookstore.ecm("approve", *where, ECM_ACTOR="ben"))

    with psycopg.connect(bookstore.urls[PRODUCTION]) as session:
        session.execute("SELECT count(*) FROM books")
        locked = bookstore.ecm("advance", *where, attempts=1)
    asked = bookstore.ecm("gate", *where)
    again = bookstore.ecm("approve", *where, ECM_ACTOR="eve")
    carried_on = bookstore.ecm("advance", *where)

    assert (locked.code, asked.code, again.code, carried_on.code) == (5, 0, 0, 0), (locked, asked, again, carried_on)


def test_no_password_is_kept_for_good(bookstore: Project) -> None:
    """Neither from what a person writes, nor from what the tables looked like; that it is another is told."""
    link, other = (f"postgresql://mirror:{password}@away/books" for password in ("tr0mbone", "tr0mpet"))
    for branch, url in ((DEVELOPMENT, link), (PRODUCTION, other)):
        sql(
            branch,
            f"ALTER TABLE books ADD link text DEFAULT '{url}';"
            " CREATE FUNCTION mirror() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';"
            f" CREATE TRIGGER mirror AFTER INSERT ON books FOR EACH ROW EXECUTE FUNCTION mirror('{url}')",
        )(bookstore)
    plan("migrate_reads: {soak: 1h}\n")(bookstore)
    where = (PLAN, "--branch", DEVELOPMENT)
    advanced(DEVELOPMENT, "reads_migrated")(bookstore)

    attested = done(bookstore.ecm("attest", *where, "--as", "reads-new", "--version", f"see {link}"))
    done(bookstore.ecm("advance", *where, "--override", "soak", "--reason", f"see {link}"))
    drift = bookstore.ecm("gate", PLAN, "--branch", PRODUCTION)
    ledger = (bookstore.root / ".ecm" / "ledger.db").read_bytes().decode(errors="replace")

    assert "postgresql://mirror:***@away/books" in ledger
    assert "tr0m" not in ledger + attested.out + drift.out
    assert drift.code == 6
    assert "2 differences" in said(drift.out)


def test_a_check_leaves_no_setting_behind(bookstore: Project) -> None:
    """The phase after it runs in the same session, and as it would without it."""
    plan(
        "backfill:\n  checks:\n"
        "    - {name: one, sql: \"select set_config('ecm.left', 'here', false)\", expect: here}\n"
        "    - {name: two, sql: \"select coalesce(current_setting('ecm.left', true), '')\", expect: ''}\n"
    )(bookstore)
    advanced(DEVELOPMENT, "backfilled")(bookstore)


def test_a_branch_does_not_prove_itself(bookstore: Project) -> None:
    """Two branches that are one database are told from each other by no name of its server."""
    branches("requires: [development]")(bookstore)
    bookstore.urls[DEVELOPMENT] = bookstore.urls[PRODUCTION].replace("127.0.0.1", "localhost")
    where = (PLAN, "--branch", PRODUCTION)

    asked, refused = bookstore.ecm("gate", *where), bookstore.ecm("advance", *where)

    assert (asked.code, refused.code) == (1, 1)
    assert "development and production are the same database" in said(refused.err)


def test_what_a_hook_adds_to_an_override_is_kept_too(bookstore: Project) -> None:
    """The ledger holds every difference that was let pass, also one that came after the first look."""
    branches("requires: [development]")(bookstore)
    sql(PRODUCTION, "CREATE INDEX books_title_idx ON books (title)")(bookstore)
    (bookstore.root / "hook.py").write_text(
        "import os, psycopg\n"
        "if os.environ['ECM_BRANCH'] == 'production':\n"
        "    with psycopg.connect(os.environ['DATABASE_URL_PRODUCTION'], autocommit=True) as session:\n"
        "        session.execute('CREATE INDEX books_both_idx ON books (id, title)')\n"
    )
    plan(f"expand: {{hooks: {{before: [{{run: [{sys.executable}, hook.py]}}]}}}}\n")(bookstore)
    advanced(DEVELOPMENT, "expanded")(bookstore)

    done(bookstore.ecm("advance", PLAN, "--branch", PRODUCTION, "--override", "drift", "--reason", "more indexes"))
    entries = bookstore.ecm("history", PLAN, "--json").json["entries"]

    kept = [line for entry in entries if entry["kind"] == "override" for line in entry["data"]["details"]]
    assert set(kept) == {"index books_title_idx is only on production", "index books_both_idx is only on production"}


def test_one_person_is_not_two(bookstore: Project) -> None:
    """A blank more or less makes nobody another, nor does what a terminal obeys get into the record."""
    branches("requires: [development], approvals: 2")(bookstore)
    advanced(DEVELOPMENT, "contracted")(bookstore)
    advanced(PRODUCTION, "reads_migrated")(bookstore)
    where = (PLAN, "--branch", PRODUCTION)
    for name in ("ben", " ben\n", "tester ", "eve\x1b[8m"):
        done(bookstore.ecm("approve", *where, ECM_ACTOR=name))
        asked = bookstore.ecm("gate", *where)
        assert asked.code == (0 if "eve" in name else 4), name

    assert "\x1b" not in bookstore.ecm("history", PLAN).out


def test_what_was_accepted_is_what_was_there(bookstore: Project) -> None:
    """A trigger whose function was changed once more reads the same, and is another difference; a view is not."""
    branches("requires: [development]")(bookstore)
    sql(PRODUCTION, "CREATE VIEW years AS SELECT published_year FROM books")(bookstore)

    def body(said: str) -> str:
        return f"CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN {said} RETURN new; END'"

    for branch in (DEVELOPMENT, PRODUCTION):
        sql(branch, body(f"/* {branch} */"))(bookstore)
        trigger = "CREATE TRIGGER touch BEFORE INSERT ON books FOR EACH ROW EXECUTE FUNCTION touch()"
        sql(branch, trigger)(bookstore)
    advanced(DEVELOPMENT, "contracted")(bookstore)
    where = (PLAN, "--branch", PRODUCTION)
    done(bookstore.ecm("advance", *where, "--override", "drift", "--reason", "it differs"))

    before = bookstore.ecm("gate", *where)
    sql(PRODUCTION, body("PERFORM 1;"))(bookstore)
    after = bookstore.ecm("gate", *where, "--json")
    done(bookstore.ecm("advance", *where, "--override", "drift", "--reason", "still", "--to", "reads_migrated"))

    assert (before.code, after.code, bookstore.ecm("gate", *where).code) == (0, 6, 0)
    assert len(after.json["reasons"][0]["details"]) == 1


def test_plan_show_tells_what_a_phase_asks_for(bookstore: Project) -> None:
    """What somebody has to wait for, say, prove or check is told before anything begins."""
    plan(
        "backfill: {checks: [{name: few books, sql: select count(*) from books, expect: 11}]}\n"
        "migrate_reads: {soak: 24h}\n"
        "contract: {require: {attestations: [reads-new], verified: 1h, no_readers: 10m}}\n"
    )(bookstore)
    shown = bookstore.ecm("plan", "show", PLAN, "--branch", DEVELOPMENT, "--json").json["phases"]
    assert {each["phase"]: each["requires"] for each in shown if each["requires"]} == {
        "backfill": ["check 'few books' gives 11"],
        "contract": [
            "1 day in reads migrated",
            "reads-new attested: the application reads the new side only",
            "every row proven within 1 h",
            "nobody has used the old side for 10 min",
        ],
    }
    assert (
        "requires 1 day in reads migrated reads-new attested: the application reads the new side only every row"
        in said(bookstore.ecm("plan", "show", PLAN).out)
    )


def test_what_is_not_attested_cannot_be_withdrawn(bookstore: Project) -> None:
    """A word that nobody gave, or that was withdrawn, is refused, and leaves nothing in the ledger."""
    advanced(DEVELOPMENT, "reads_migrated")(bookstore)
    refused = bookstore.ecm(*ATTEST, "reads-new", "--withdraw")
    assert refused.code == 4
    assert "there is nothing to withdraw: reads-new is not attested of" in said(refused.err)
    assert "attestation" not in {each["kind"] for each in bookstore.ecm("history", "--json").json["entries"]}


def test_a_refusal_is_recorded_without_passwords(bookstore: Project) -> None:
    """What PostgreSQL says of a row may hold a password: the ledger, which keeps all for good, does not."""
    plan("backfill: {checks: [{name: ids, sql: select title::int from books where id = 1, expect: 11}]}\n")(bookstore)
    secret = "tr0mbone-in-a-row"
    bookstore.sql(DEVELOPMENT, f"UPDATE books SET title = 'postgresql://app:{secret}@host/db' WHERE id = 1")
    advanced(DEVELOPMENT, "expanded")(bookstore)
    refused = bookstore.ecm("advance", PLAN, "--branch", DEVELOPMENT)
    assert refused.code == 4
    entries = bookstore.ecm("history", "--json").json["entries"]
    (entry,) = (each for each in entries if each["kind"] == "refused")
    assert "postgresql://app:***@host/db" in str(entry["data"])
    assert secret not in bookstore.ecm("audit", "export").out
