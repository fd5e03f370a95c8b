"""What the documents tell a person to do, done: every command of the README, every file in plans/."""

import io
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from orchestrator.branches import EMBEDDED_FOLDER
from orchestrator.branches.server import EmbeddedServer
from orchestrator.cli.main import main
from orchestrator.ledger import Ledger
from orchestrator.likeness import looks
from orchestrator.plan.checksum import checksum
from orchestrator.plan.drift import differences
from orchestrator.plan.lifecycle import PHASES
from orchestrator.workspace import Workspace

ROOT = Path(__file__).parents[2]
BOOKSTORE = """
    CREATE TABLE authors (id serial PRIMARY KEY, name text NOT NULL, bio text,
      created_at timestamp NOT NULL DEFAULT now());
    CREATE TABLE books (id serial PRIMARY KEY, title text NOT NULL, author_id integer REFERENCES authors (id),
      published_year integer, created_at timestamp NOT NULL DEFAULT now());
    CREATE INDEX books_published_year_idx ON books (published_year);
    INSERT INTO authors (name) SELECT 'Author ' || g FROM generate_series(1, 20) g;
    INSERT INTO books (title, author_id, published_year)
      SELECT 'Book ' || g, 1 + g % 20, 1900 + g % 120 FROM generate_series(1, 2000) g;
    UPDATE authors SET bio = 'Born in ' || 1900 + id;
    CREATE TABLE profiles (id serial PRIMARY KEY, author_id integer NOT NULL UNIQUE REFERENCES authors (id));
    INSERT INTO profiles (author_id) SELECT id FROM authors;
    INSERT INTO books (title, author_id) VALUES ('Nobody''s', NULL), ('Undated', 1);
    CREATE TABLE orders (id serial PRIMARY KEY, book_id integer, quantity integer, email text,
      amount integer NOT NULL DEFAULT 0);
    INSERT INTO orders (book_id, quantity, email, amount)
      SELECT g % 2100, g % 10 - 1, 'reader' || g % 450 || '@example.org', g FROM generate_series(1, 500) g;
    CREATE TYPE article_status AS ENUM ('draft', 'live', 'gone');
    CREATE TABLE articles (id serial PRIMARY KEY, status article_status NOT NULL DEFAULT 'draft', past article_status[]);
    CREATE INDEX articles_live_idx ON articles (id) WHERE status = 'live';
    CREATE VIEW drafts AS SELECT id FROM articles WHERE status = 'draft';
    INSERT INTO articles (status, past) SELECT (enum_range(NULL::article_status))[1 + g % 3], '{draft,NULL}'
      FROM generate_series(1, 500) g;
    CREATE TABLE magazines (id serial PRIMARY KEY, title text NOT NULL, publisher text, city text);
    INSERT INTO magazines (title, publisher, city)
      SELECT 'Magazine ' || g, 'Publisher ' || g % 7, 'City ' || g % 3 FROM generate_series(1, 500) g;
    CREATE TABLE users (id serial PRIMARY KEY, full_name text NOT NULL);
    INSERT INTO users (full_name) SELECT 'First' || g || ' Last' || g FROM generate_series(1, 500) g;
    CREATE TABLE addresses (id serial PRIMARY KEY, street text NOT NULL, number text);
    INSERT INTO addresses (street, number) SELECT 'Long Street', g FROM generate_series(1, 500) g;
"""
ECM = Path(sys.executable).with_name("ecm")


@pytest.fixture
def environment(databases, connect) -> dict[str, str]:
    """Two branches with the bookstore's tables, as a person's environment names them."""
    urls = databases("development", "production")
    for url in urls.values():
        connect(url).execute(BOOKSTORE)
    path = f"{ECM.parent}{os.pathsep}{os.environ['PATH']}"
    names = {f"DATABASE_URL_{branch.upper()}": url for branch, url in urls.items()}
    return {**os.environ, **names, "PATH": path, "COLUMNS": "80", "NO_COLOR": "1"}


def blocks(document: str, language: str) -> Iterator[str]:
    """Give the fenced blocks of a language in a document."""
    text = (ROOT / document).read_text()
    yield from re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def run(command: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run one command line of a document, without a shell."""
    return subprocess.run(
        shlex.split(command, comments=True),
        cwd=folder,
        env=environment,
        text=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )


@pytest.fixture
def folder(tmp_path) -> Path:
    """The folder that commands are run in, and its name is the project's."""
    made = tmp_path / "bookstore"
    made.mkdir()
    return made


@pytest.fixture
def do(environment, folder, monkeypatch, capsys) -> Iterator[Callable[[str], str]]:
    """Run a command line of a document, which has to succeed, and return what it wrote.

    It may begin with variables. `ecm` is run in this process, which imports it once.
    """
    monkeypatch.chdir(folder)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def perform(command: str) -> str:
        words = shlex.split(command, comments=True)
        with monkeypatch.context() as patched:
            while re.match(r"[A-Z_]+=", words[0]):
                name, _, value = words.pop(0).partition("=")
                patched.setenv(name, value)
            if words[0] != "ecm":
                done = run(shlex.join(words), folder, environment)
                assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
                return done.stdout
            code = main(words[1:])
        wrote = capsys.readouterr()
        assert code == 0, f"{command}: {wrote}"
        return wrote.out

    yield perform
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_the_readme_tells_a_story_that_happens(do):
    """Every `$` line of the README runs, in order, and `ecm status` prints what is shown."""
    for block in blocks("README.md", "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            wrote = do(command)
            if shown.strip():
                assert wrote.strip() == shown.strip(), command


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_every_make_target_that_is_named_exists(document):
    """`make -n` knows each target that a document tells people to run."""
    targets = set(re.findall(r"\bmake ([a-z-]+)", (ROOT / document).read_text()))
    assert targets
    for target in targets:
        assert run(f"make --dry-run {target}", ROOT, dict(os.environ)).returncode == 0, target


def test_every_setting_that_the_readme_shows_is_one(do, folder):
    """The YAML of the README is part of a plan that `ecm plan validate` accepts."""
    do("ecm init")
    plan = (ROOT / "plans" / "rename-published-year.yaml").read_text()
    shown = list(blocks("README.md", "yaml"))
    assert shown
    for settings in shown:
        phase = settings.partition(":")[0]
        without = re.sub(rf"^{phase}:.*\n(?:[ #].*\n|\n)*", "", plan, flags=re.MULTILINE)
        (folder / "plans" / "rename-published-year.yaml").write_text(without + settings)
        do("ecm plan validate rename-published-year")


def test_what_has_to_be_true_before_production_contracts(do, folder, monkeypatch):
    """The page's plan and branches are as shown, and each of its commands succeeds, in order."""
    page = "docs/before-production-contracts.md"
    settings, branches = blocks(page, "yaml")
    settings = settings.replace("soak: 24h", "soak: 1s").replace("no_readers: 10m", "no_readers: 1s")
    monkeypatch.setenv("ECM_ACTOR", "ana")
    do("ecm init")
    (folder / "ecm.yaml").write_text(f"project: bookstore\n{branches}")
    change = "changes: [{kind: rename_column, table: books, column: published_year, to: publication_year}]\n"
    (folder / "plans/rename-published-year.yaml").write_text(f"plan: rename-published-year\n{change}{settings}")
    for block in blocks(page, "console"):
        for command in re.findall(r"^\$ (.*)$", block, flags=re.MULTILINE):
            do(command)


@pytest.fixture
def embedded(folder) -> Iterator[EmbeddedServer]:
    """The embedded server of the project in the folder, whoever starts it."""
    server = EmbeddedServer(folder / EMBEDDED_FOLDER)
    yield server
    server.destroy()


def test_the_quick_starts(do, folder, embedded):
    """Those of the embedded server and of URLs run as they stand; that of Neon does in tests/neon."""
    first, second, _ = blocks("README.md", "sh")
    for block in (first, second):
        for command in block.splitlines():
            do(command)
        (folder / "ecm.yaml").unlink()


def test_branches_rehearsals_and_pull_requests(do, folder, embedded):
    """The page's commands run in order, on the embedded server, in a repository."""
    page = "docs/branches.md"
    (settings,) = blocks(page, "yaml")
    (folder / "plans").mkdir()
    (folder / "ecm.yaml").write_text(settings)
    do("ecm status")
    for branch in ("development", "production"):
        with psycopg.connect(embedded.url(branch), autocommit=True) as connection:
            connection.execute(BOOKSTORE)
    (folder / ".gitignore").write_text(".ecm/\n")
    do("git init --quiet --initial-branch main")
    do("git add .")
    do("git -c user.name=ana -c user.email=ana@example.org commit --quiet --message Begin")
    for block in blocks(page, "console"):
        for command in re.findall(r"^\$ (.*)$", block, flags=re.MULTILINE):
            do(command)
    assert "passed" in (folder / "rehearsal.md").read_text()
    assert "rename-published-year" in (folder / "summary.md").read_text()


@pytest.mark.parametrize("plan", sorted((ROOT / "plans").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_example_plan_runs(plan, folder, do):
    """Each goes through the full cycle, on development with a rollback on the way; no two branches ever differ."""
    do("ecm init")
    (folder / "plans" / plan.name).write_text(plan.read_text())
    do(f"ecm plan validate {plan.stem}")
    do(f"ecm advance {plan.stem} --branch development --to reads_migrated")
    do(f"ecm rollback {plan.stem} --branch development --to planned")
    do(f"ecm advance {plan.stem} --branch development --to contracted")
    do(f"ecm advance {plan.stem} --branch production --to contracted --confirm {plan.stem}")
    workspace = Workspace.find(folder, None, {})
    with Ledger(workspace.ledger_url) as ledger:
        entries, text = ledger.entries(plan=plan.stem), checksum(workspace.plan(plan.stem))
    proven, found = (looks(entries, branch=branch, checksum=text) for branch in ("development", "production"))
    assert list(proven) == list(found) == list(PHASES)
    assert {phase: differences(proven[phase], found[phase]) for phase in PHASES} == dict.fromkeys(PHASES, ())


def test_every_link_in_the_documents_leads_somewhere():
    """Relative links point to files that are there."""
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_python_page_does_what_it_says(tmp_path, environment):
    """Its script runs as it stands, in a project of two branches, and prints what is shown."""
    assert run("ecm init", tmp_path, environment).returncode == 0
    (script,), (shown,) = blocks("docs/python.md", "python"), blocks("docs/python.md", "text")
    (tmp_path / "script.py").write_text(script)

    done = run(f"{sys.executable} script.py", tmp_path, environment)

    assert done.returncode == 0, done.stderr
    assert done.stdout == shown


def test_every_method_that_the_python_page_names_is_one():
    """And every method of a Conductor is named there."""
    from orchestrator import Conductor

    page = (ROOT / "docs" / "python.md").read_text()
    table = page[page.index("| command |") :]
    named = set(re.findall(r"`(?:Conductor\.)?([a-z_]+)\(", table))
    methods = {name for name in vars(Conductor) if not name.startswith("_") and callable(getattr(Conductor, name))}
    assert named == methods - {"open"}


def test_importing_the_package_imports_nothing():
    """What is named in it comes when it is asked for, and all of it is there."""
    program = (
        "import orchestrator, sys; print(*(m for m in sys.modules if m.startswith('orchestrator.')));"
        "print([n for n in orchestrator.__all__ if not isinstance(getattr(orchestrator, n), type)]);"
        "from orchestrator import *; print(Conductor.open.__name__, set(orchestrator.__all__) <= {*dir(orchestrator)})"
    )
    done = run(shlex.join([sys.executable, "-c", program]), ROOT, dict(os.environ))
    assert done.stdout == "\n[]\nopen True\n", done.stderr


def test_every_error_that_can_be_raised_can_be_imported():
    """The package names each class of orchestrator.errors."""
    import orchestrator
    from orchestrator import errors

    raised = {
        name for name, each in vars(errors).items() if isinstance(each, type) and each.__module__ == errors.__name__
    }
    assert raised <= set(orchestrator.__all__)
