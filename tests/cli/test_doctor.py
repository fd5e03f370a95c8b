"""`ecm doctor`: what it finds on branches, in plan files and in the ledger, and remedies that can be run."""

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
from cli.runs import PLAN, Project
from pydantic import SecretStr
from servers import FAST, OwnServer

from orchestrator.engine import checkup, transport
from orchestrator.engine.checkup import Observation
from orchestrator.engine.connection import Connection, connect
from orchestrator.sql.identifiers import verbatim


def found(project: Project, subject: str, *arguments: str) -> list[dict[str, Any]]:
    """Return the doctor's findings on a subject."""
    findings = project.ecm("doctor", "--json", *arguments).json["findings"]
    return [finding for finding in findings if finding["subject"] == subject]


def test_a_plan_file_that_cannot_be_read(project: Project) -> None:
    """Every file that is not a plan is a finding; all of them together are one where they are plans."""
    (plans,) = found(project, "plans")
    assert (plans["ok"], plans["message"]) == (True, "1 plan file can be read")

    (project.root / "plans" / "broken.yaml").write_text("plan: broken\nchanges: [{kind: purr}]\n")
    (project.root / "plans" / "short.yml").write_text("plan: short\n")
    short, broken = found(project, "plans")

    assert (broken["ok"], broken["remedy"]) == (False, "ecm plan validate broken")
    assert "plans/broken.yaml" in broken["message"]
    assert (short["ok"], short["remedy"]) == (False, "mv plans/short.yml plans/short.yaml")
    screen = project.ecm("doctor")
    assert screen.code == 1
    assert "\nproject\n" in screen.out


@pytest.mark.parametrize("arguments", [("doctor", "--branch", "nope"), ("rehearse", PLAN, "--from", "nope")])
def test_a_branch_that_is_not_there_is_answered_with_the_list(offline: Project, arguments: tuple[str, ...]) -> None:
    """Next is the command that says which there are."""
    refused = offline.ecm(*arguments)
    assert (refused.code, refused.err.rstrip().endswith("ecm branch list")) == (2, True), refused


def test_a_table_of_another_role(project: Project) -> None:
    """Who does not own a plan's table may not alter it, and is told the statement that changes that."""
    owner, tenant = (f"{name}_{uuid4().hex[:8]}" for name in ("owner", "tenant"))
    url = project.urls["development"]
    parts = urlsplit(url)
    project.sql("development", f"CREATE ROLE {owner}; CREATE ROLE {tenant} LOGIN PASSWORD '{tenant}'")
    project.sql("development", f"GRANT CREATE ON SCHEMA public TO {tenant}")
    project.sql("development", f'GRANT CREATE, TEMPORARY ON DATABASE "{parts.path[1:]}" TO {tenant}')
    (own,) = found(project, "tables", "--branch", "development")
    assert (own["ok"], own["message"]) == (True, "this role may alter the tables of 1 plan")
    as_tenant = urlunsplit(parts._replace(netloc=f"{tenant}:{tenant}@{parts.netloc.rpartition('@')[2]}"))
    with psycopg.connect(url, autocommit=True) as admin:
        project.urls["development"] = as_tenant

        (of_superuser,) = found(project, "tables", "--branch", "development")
        assert of_superuser["remedy"] == f'ALTER TABLE "public"."books" OWNER TO "{tenant}"'
        assert of_superuser["message"].startswith(f"{PLAN}: role {tenant} does not own books")
        admin.execute(f"ALTER TABLE books OWNER TO {owner}")
        (of_role,) = found(project, "tables", "--branch", "development")
        assert (of_role["ok"], of_role["remedy"]) == (False, f'GRANT "{owner}" TO "{tenant}"')
        admin.execute(of_role["remedy"])
        (granted,) = found(project, "tables", "--branch", "development")
        assert granted["ok"]


@pytest.mark.parametrize("to_public", [False, True])
def test_who_may_create_functions_where_expressions_look_names_up(project: Project, *, to_public: bool) -> None:
    """They would be called with the rights of ecm's role: the roles are named, and the REVOKE ends it."""
    app, here = f"app_{uuid4().hex[:8]}", ("--branch", "development")
    project.sql("development", f"CREATE ROLE {app} LOGIN PASSWORD '{app}'")
    project.sql("development", "REVOKE CREATE ON SCHEMA public FROM PUBLIC")  # who has it before PostgreSQL 15
    (fine,) = found(project, "search_path", *here)
    assert fine["ok"]
    project.sql("development", f"GRANT CREATE ON SCHEMA public TO {'PUBLIC' if to_public else app}")

    (finding,) = found(project, "search_path", *here)
    assert not finding["ok"]
    assert app in finding["message"]
    assert finding["message"].endswith("in schema public")
    grantee = "PUBLIC" if to_public else f'"{app}"'
    assert finding["remedy"] == f'REVOKE CREATE ON SCHEMA "public" FROM {grantee}'

    project.sql("development", "ALTER TABLE books ALTER title TYPE varchar")
    project.ecm("plan", "set-not-null", "books", "published_year", "--using", "length(lower(title))", "--name", "year")
    assert project.ecm("advance", "year", *here).code == 0
    project.sql("development", f"GRANT SELECT, INSERT ON books TO {app}")
    parts = urlsplit(project.urls["development"])
    as_app = urlunsplit(parts._replace(netloc=f"{app}:{app}@{parts.netloc.rpartition('@')[2]}"))
    strange = (
        "(varchar) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'as %', current_user; RETURN $1; END $$"
    )
    with psycopg.connect(as_app, autocommit=True) as writer:
        warnings: list[str | None] = []
        writer.add_notice_handler(lambda notice: warnings.append(notice.message_primary))
        writer.execute(f"CREATE FUNCTION public.lower{strange}")
        writer.execute("INSERT INTO books (id, title, published_year) VALUES (1000, 'x', NULL)")
        assert set(warnings) == {"as postgres"}, "this is what the finding is about"
        project.sql("development", finding["remedy"])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            writer.execute(f"CREATE FUNCTION public.upper{strange}")
    assert found(project, "search_path", *here) == [fine]


def test_who_owns_a_schema_where_expressions_look_names_up(project: Project) -> None:
    """A schema's owner may create functions there without a grant, and so may who is a member of it; others not."""
    app, group, here = f"app_{uuid4().hex[:8]}", f"group_{uuid4().hex[:8]}", ("--branch", "development")
    project.sql("development", f"CREATE ROLE {group}; CREATE ROLE {app} LOGIN IN ROLE {group}")
    project.sql("development", "REVOKE CREATE ON SCHEMA public FROM PUBLIC")  # who has it before PostgreSQL 15
    (fine,) = found(project, "search_path", *here)
    for owner in (app, group):
        project.sql("development", f"ALTER SCHEMA public OWNER TO {owner}")
        (finding,) = found(project, "search_path", *here)

        assert not finding["ok"]
        assert finding["message"].endswith(f"this role: {app} as owner of schema public")
        statement, _, otherwise = finding["remedy"].partition(", or ")
        assert (statement, otherwise) == (
            'ALTER SCHEMA "public" OWNER TO "postgres"',
            "take it out of the search_path",
        )
        project.sql("development", statement)
        assert found(project, "search_path", *here) == [fine]


def test_a_schema_that_is_open_to_roles_still_to_come(server_folder: Callable[[], Path]) -> None:
    """Where CREATE is PUBLIC's and nobody else logs in, that is said without alarm."""
    server = OwnServer.chosen(server_folder(), os.environ)
    server.start(FAST)
    try:
        with connect(SecretStr(server.url("postgres")), branch="development") as connection:
            connection.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
            seen = checkup.examine(connection, branch="development", known_plans=())
            (path,) = (each for each in seen if each.subject == "search_path")

            assert (path.ok, path.remedy) == (True, "")
            assert path.message.endswith("any role that is added could, in schema public, where CREATE is PUBLIC's")
            connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
            seen = checkup.examine(connection, branch="development", known_plans=())
            assert "PUBLIC" not in next(each for each in seen if each.subject == "search_path").message
    finally:
        server.embedded.destroy()


def test_a_plan_whose_table_is_not_there_is_no_finding(project: Project) -> None:
    """A plan may be for a table that is still to come, and what is contracted needs no privilege any more."""
    project.sql("production", "DROP TABLE books")
    assert project.ecm("advance", PLAN, "--branch", "development", "--to", "contracted").code == 0

    assert found(project, "tables") == []


def test_a_plan_under_way_without_a_file(project: Project) -> None:
    """The way back is named as a command that can be run as it stands."""
    project.ecm("advance", PLAN, "--branch", "development")
    (project.root / "plans" / f"{PLAN}.yaml").unlink()
    journal, other = found(project, "journal")

    assert (journal["ok"], journal["remedy"]) == (False, f"ecm rollback {PLAN} --branch development")
    assert other["ok"]
    assert project.ecm(*journal["remedy"].split()[1:]).code == 0
    assert all(finding["ok"] for finding in found(project, "journal"))


def test_a_sync_trigger_off_its_post(project: Project) -> None:
    """What is written then reaches one side only; the remedy is that of status, and planned and done are left out."""
    here = ("--branch", "development")
    assert found(project, "sync", *here) == []
    assert project.ecm("advance", PLAN, *here).code == 0
    (fine,) = found(project, "sync", *here)
    assert fine["ok"]

    project.sql("development", "ALTER TABLE books DISABLE TRIGGER ALL")
    (astray,) = found(project, "sync", *here)

    assert not astray["ok"]
    assert astray["message"].endswith("on books is disabled")
    (plan,) = project.ecm("status", "--json").json["plans"]
    (reason,) = (each for each in plan["branches"][0]["blocked_by"] if each["code"] == "sync_trigger")
    assert (astray["message"], astray["remedy"]) == (f"{PLAN}: {reason['message']}", reason["remedy"])
    assert project.ecm(*astray["remedy"].split()[1:]).code == 6
    assert project.ecm("doctor", *here).code == 1


def test_transactions_that_hold_others_up(server_folder: Callable[[], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Prepared transactions hold locks and dead rows back as open ones do; the remedies end both."""
    monkeypatch.setattr(checkup, "LONG", 0)
    server = OwnServer.chosen(server_folder(), os.environ)
    server.start({**FAST, "max_prepared_transactions": "2"})
    try:
        url = server.url("postgres")
        with closing(psycopg.connect(url)) as idle, psycopg.connect(url, autocommit=True) as admin:
            admin.execute("BEGIN; CREATE TABLE t (); PREPARE TRANSACTION 'left '' behind'")
            idle.execute("SELECT")
            with connect(SecretStr(url), branch="development") as connection:
                found = _long(connection)
                assert not found.ok
                assert 'prepared transaction "left \' behind" of user postgres, open for 0 min' in found.message
                assert f"pid {idle.info.backend_pid}, user postgres, open for 0 min" in found.message
                for statement in found.remedy.split("; "):
                    connection.execute(verbatim(statement))
                while not _long(connection).ok:  # a session takes a moment to end
                    pass
            assert admin.execute("SELECT FROM pg_prepared_xacts").fetchall() == []
    finally:
        server.embedded.destroy()


def _long(connection: Connection) -> Observation:
    seen = checkup.examine(connection, branch="development", known_plans=())
    return next(observation for observation in seen if observation.subject == "long transactions")


# --- planted faults ---------------------------------------------------------------------------------


def test_a_pooled_url_is_told_with_the_direct_host(offline: Project) -> None:
    """Without connecting: behind a pooler a lock of one session is another's."""
    offline.urls["development"] = "postgresql://app:secret@ep-cool-1-pooler.eu.example.com/shop?sslmode=require"
    (connection,) = found(offline, "connection", "--branch", "development")
    assert not connection["ok"]
    assert "goes through a connection pooler" in connection["message"]
    assert connection["remedy"] == "use the direct host ep-cool-1.eu.example.com"


@pytest.mark.parametrize(
    ("rest", "ok"),
    [
        ("db.example.com/shop", False),
        ("203.0.114.7/shop?sslmode=allow", False),
        ("10.0.0.1,db.example.com/shop", False),
        ("db.example.com/shop?sslmode=require", True),
        ("127.0.0.1:1/shop", None),
        ("[::1]:1/shop", None),
        ("192.168.3.4:1/shop", None),
        ("db:1/shop", None),
        ("/shop?host=%2Fvar%2Frun", None),
    ],
)
def test_no_tls_to_a_remote_host_is_told_from_the_url_alone(rest: str, ok: bool | None) -> None:
    """A server on this machine or in a private network is let be; any other has to insist on TLS."""
    seen = transport.examine(SecretStr(f"postgresql://app:secret@{rest}"), {}, variable="DATABASE_URL_X")
    assert (seen and seen.ok) is ok
    assert seen is None or "secret" not in seen.message + seen.remedy
    assert seen is None or seen.ok or "DATABASE_URL_X" in seen.remedy


def test_no_tls_is_a_finding_beside_a_server_that_does_not_answer(offline: Project) -> None:
    """The one is told whether or not there is an answer; libpq's own variables count."""
    offline.urls["development"] = "postgresql://app:secret@db.invalid.example.com:1/shop"
    (tls,) = found(offline, "tls", "--branch", "development")
    assert (tls["ok"], "sslmode=prefer" in tls["message"]) == (False, True)
    answer = offline.ecm("doctor", "--json", "--branch", "development", PGSSLMODE="require")
    assert [each["ok"] for each in answer.json["findings"] if each["subject"] == "tls"] == [True]


def test_a_role_that_owns_no_table_is_told_with_the_grant(project: Project) -> None:
    """Whatever it was granted, it may alter none; once it is a member of the owner it may."""
    (owner,) = found(project, "owner", "--branch", "development")
    assert (owner["ok"], owner["message"]) == (True, "this role owns 1 of 1 table")

    role = f"visitor_{uuid4().hex[:8]}"
    parts = urlsplit(project.urls["development"])
    project.sql("development", f"CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT ALL ON books TO {role}")
    try:
        theirs = parts._replace(netloc=f"{role}:x@{parts.hostname}:{parts.port}")
        visited = project.ecm(
            "doctor", "--json", "--branch", "development", DATABASE_URL_DEVELOPMENT=urlunsplit(theirs)
        )
        (owner,) = [each for each in visited.json["findings"] if each["subject"] == "owner"]
        assert not owner["ok"]
        assert f"role {role} owns none of the 1 table here, which belong to postgres" in owner["message"]
        assert owner["remedy"] == f'use the URL of role postgres, or GRANT "postgres" TO "{role}"'
        project.sql("development", f"GRANT CREATE ON SCHEMA public TO {role}; CREATE TABLE theirs ()")
        project.sql("development", f"ALTER TABLE theirs OWNER TO {role}")
        (owner,) = found(project, "owner", "--branch", "development")
        assert (owner["ok"], owner["message"]) == (True, "this role may act as owner of 2 of 2 tables")
    finally:
        project.sql("development", f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_what_a_plan_left_that_the_journal_does_not_know(project: Project) -> None:
    """A journal that was dropped, or is an older one, knows nothing of what fires on the tables; the remedy ends it."""
    assert project.ecm("advance", PLAN, "--branch", "development", "--to", "reads_migrated").code == 0
    assert all(each["ok"] for each in found(project, "leftovers"))

    project.sql("development", "DELETE FROM ecm.steps; DELETE FROM ecm.sweeps; DELETE FROM ecm.plans")
    left, _ = found(project, "leftovers")
    assert not left["ok"]
    assert "trigger !ecm-uses_insert_0_rename-published-year_public.books on public.books" in left["message"]
    for statement in left["remedy"].split("; "):
        project.sql("development", statement)
    assert all(each["ok"] for each in found(project, "leftovers"))
    assert project.sql("development", "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal") == [(0,)]


def test_a_ledger_that_only_one_of_two_machines_has(project: Project) -> None:
    """Plans were moved from another machine, and the ledger is a file on this one; a ledger for all is the remedy."""
    assert project.ecm("advance", PLAN, "--branch", "development").code == 0
    assert all(each["ok"] for each in found(project, "ledger"))

    other = """'"ana on build-7, pid 42"'"""
    project.sql("development", f"UPDATE ecm.moves SET data = jsonb_set(data, '{{holder}}', {other})")
    ledger = [each for each in found(project, "ledger") if not each["ok"]]
    assert [each["remedy"] for each in ledger] == [
        "keep one ledger in a PostgreSQL that all reach: ledger_env: ECM_LEDGER_URL in ecm.yaml"
    ]
    assert "plans were moved from build-7 too" in ledger[0]["message"]
