"""Neon's own command line, from npm, on the fake: what a real client expects of Neon, the fake gives."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest
from neon import published
from neon.fake import KEY, Fake
from neon.objects import ID


@pytest.fixture(scope="session")
def command_line() -> tuple[str, ...]:
    """The words that run Neon's command line; without npm there is none, and this test is skipped."""
    try:
        return published.command_line()
    except published.UnpublishedError as why:
        pytest.skip(str(why))


def test_neons_own_command_line_works_on_the_fake(neon: Fake, command_line: tuple[str, ...], tmp_path: Path) -> None:
    """It lists, makes, resets and deletes a branch, and ecm's messages are held to the same description as its own."""

    def cli(*words: str) -> Any:
        options = ("--api-host", neon.host, "--api-key", KEY, "--project-id", ID, "--output", "json", "--no-analytics")
        kept = {name: os.environ[name] for name in ("PATH",)}
        done = subprocess.run(
            [*command_line, *words, *options],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**kept, "HOME": str(tmp_path), "CI": "1"},
            timeout=60,
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr, neon.requests)
        return json.loads(done.stdout or "null")

    with psycopg.connect(neon.project.url("production"), autocommit=True) as connection:
        connection.execute("CREATE TABLE books AS SELECT n AS id FROM generate_series(1, 10) n")
    assert [each["name"] for each in cli("branches", "list")] == ["production"]
    made = cli("branches", "create", "--name", "development", "--parent", "production")
    assert made["branch"]["name"] == "development"
    with psycopg.connect(neon.project.url("development"), autocommit=True) as connection:
        connection.execute("DROP TABLE books")
    cli("branches", "reset", "development", "--parent")
    with psycopg.connect(neon.project.url("development"), autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM books").fetchone() == (10,)
    cli("branches", "delete", "development")
    assert [each["name"] for each in cli("branches", "list")] == ["production"]
