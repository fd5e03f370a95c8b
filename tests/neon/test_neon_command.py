"""The real command in a project at Neon: what it says, and what it does not show."""

import json

import psycopg
from cli.runs import said
from neon.conftest import NeonCommand, OpenNeon
from neon.fake import KEY, Fake
from psycopg.conninfo import conninfo_to_dict

from orchestrator.branches import Making

PLAN = "rename-published-year"


def test_a_branch_that_neon_does_not_have_is_told_beside_those_that_it_has(neon: Fake, bookstore: NeonCommand) -> None:
    """Status answers for the rest, and says how to get the one that is missing."""
    with psycopg.connect(neon.project.url("production"), autocommit=True) as connection:
        connection.execute("CREATE TABLE books (id int PRIMARY KEY, published_year int)")
    answer = bookstore.ecm("status", PLAN, "--json")
    (development, production) = answer.json["plans"][0]["branches"]
    assert "there is no branch development in the Neon project" in development["error"]
    assert (production["state"], production["error"]) == ("planned", None)
    assert "there is no branch development" in said(bookstore.ecm("doctor").out)


def test_neither_the_key_nor_a_fetched_password_is_shown(
    neon: Fake, open_neon: OpenNeon, bookstore: NeonCommand
) -> None:
    """Not where Neon quotes the key, nor where PostgreSQL quotes the password in an error of a plan's own query."""
    opened = open_neon()
    opened.provider.create("development", Making())
    opened.provider.address("development")
    password = str(conninfo_to_dict(opened.learned[0])["password"])
    with psycopg.connect(neon.project.url("development"), autocommit=True) as connection:
        connection.execute("CREATE TABLE books (id int PRIMARY KEY, published_year int)")
    plan = bookstore.root / "plans" / f"{PLAN}.yaml"
    check = {"name": "leak", "sql": f"SELECT '{KEY} and {password}'::int", "expect": 1}
    plan.write_text(plan.read_text() + f"expand: {{checks: [{json.dumps(check)}]}}\n")
    answer = bookstore.ecm("advance", PLAN, "--branch", "development")
    assert answer.code != 0
    assert '"*** and ***"' in said(answer.out + answer.err)
    assert not any(secret in answer.out + answer.err for secret in (password, KEY))

    refused = bookstore.ecm("doctor", "--branch", "production", NEON_API_KEY=f"{KEY}-of-yesterday")
    assert "credentials do not pass" in said(refused.out)
    assert KEY not in refused.out + refused.err
    assert not any(
        secret in path.read_text(errors="replace")
        for path in bookstore.root.rglob("*")
        if path.is_file() and path != plan
        for secret in (password, KEY)
    )
