"""The pages of docs/ about other migration tools: what they tell a person to do, done beside the real tools.

A page is gone through from its first line to its last. YAML is written at the end of ecm.yaml, a diff is made to the
schema, a command is run and has to end as the page says (`# exit code 4`, or well), and what is shown below it is said.
"""

import os
import re
import shlex
import string
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cli.conftest import MakeProject
from cli.runs import Project
from toolchains.drizzle_kit import generate

DOCS = Path(__file__).parents[2] / "docs"
PLAN = "rename-published-year"
BRANCHES = ("development", "production")
ROWS = "INSERT INTO books (id, title, published_year) SELECT n, 'book ' || n, 1900 + n FROM generate_series(1, 20) n"


@dataclass
class Reader:
    """Somebody who does in a project what a page says.

    Attributes:
        schema: the file that diffs are made to.
        instead: what runs a command in the reader's place, by what the command begins with.
    """

    project: Project
    schema: str = ""
    instead: dict[str, Callable[[str], str]] = field(default_factory=dict)

    def follow(self, page: str) -> None:
        """Go through a page."""
        text = (DOCS / page).read_text()
        for language, block in re.findall(r"^```(\w+)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
            match language:
                case "yaml":
                    with (self.project.root / "ecm.yaml").open("a") as file:
                        file.write(block)
                case "diff":
                    self._edit(block)
                case "console":
                    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                        command, _, shown = part.partition("\n")
                        self.do(command, shown)

    def _edit(self, diff: str) -> None:
        path = self.project.root / self.schema
        lines = diff.splitlines()
        before = "\n".join(line[1:] for line in lines if line[0] != "+")
        after = "\n".join(line[1:] for line in lines if line[0] != "-")
        assert path.read_text().count(before) == 1, f"{before} is in {self.schema} once"
        path.write_text(path.read_text().replace(before, after))

    def do(self, command: str, shown: str = "") -> None:
        """Run a command of a page, which ends and says what the page tells."""
        expected = re.search(r"# exit code (\d+)", command)
        code, wrote = self._run(command)
        assert code == int(expected[1] if expected else 0), f"{command}: {wrote}"
        for line in filter(None, map(str.strip, shown.splitlines())):
            assert " ".join(line.split()) in " ".join(wrote.split()), f"{command}: {wrote}"

    def _run(self, command: str) -> tuple[int, str]:
        for beginning, does in self.instead.items():
            if command.startswith(beginning):
                return 0, does(command)
        names = {f"DATABASE_URL_{branch.upper()}": url for branch, url in self.project.urls.items()}
        names["DATABASE_URL"] = self.project.urls["development"]
        names["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        words = shlex.split(string.Template(command).safe_substitute(names), comments=True)
        while re.match(r"[A-Z_]+=", words[0]):
            name, _, value = words.pop(0).partition("=")
            names[name] = value
        if words[0] == "ecm":
            done = self.project.ecm(*words[1:], **names)
            return done.code, done.out + done.err
        if words[0] == "npx":  # npm's own way to what lies here, which takes a second each time
            words[:2] = [f"{self.project.root}/node_modules/.bin/{words[1]}"]
        done = subprocess.run(
            words,
            cwd=self.project.root,
            env={"HOME": str(self.project.root), "PYTHONDONTWRITEBYTECODE": "1", "TERM": "xterm", **names},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done.returncode, done.stdout + done.stderr


def remember(project: Project) -> None:
    """Have git know the project as it is."""
    (project.root / ".gitignore").write_text(".ecm/\nnode_modules\n__pycache__/\n")
    git = ["git", "-c", "user.name=ana", "-c", "user.email=ana@example.org"]
    for words in (["init", "--quiet", "--initial-branch", "main"], ["add", "."], ["commit", "--quiet", "-m", "Begin"]):
        subprocess.run([*git, *words], cwd=project.root, check=True)


def columns(project: Project, branch: str) -> list[str]:
    query = "SELECT attname FROM pg_attribute WHERE attrelid = 'books'::regclass AND attnum > 0 AND NOT attisdropped"
    return sorted(name for (name,) in project.sql(branch, query))


@pytest.fixture
def project(make_project: MakeProject, databases: Callable[..., dict[str, str]]) -> Project:
    return make_project(databases(*BRANCHES, "fresh"), plan=False)


CONFIG = """\
export default {
  dialect: "postgresql",
  schema: "./schema.ts",
  out: "./drizzle",
  schemaFilter: ["public"],
  dbCredentials: { url: process.env.DATABASE_URL },
};
"""
SCHEMA = """\
import { integer, pgTable, text } from "drizzle-orm/pg-core";
export const books = pgTable("books", {
  id: integer("id").primaryKey(),
  title: text("title"),
  publishedYear: integer("published_year"),
});
"""


@pytest.mark.parametrize("drizzle", ["0.31"], indirect=True)
def test_drizzle(project: Project, drizzle: str) -> None:
    """From schema.ts to schema.ts, and drizzle-kit has nothing to do on any branch."""
    (project.root / "node_modules").symlink_to(drizzle)
    (project.root / "drizzle.config.ts").write_text(CONFIG)
    generate(project, SCHEMA, "init")

    def answered(_: str) -> str:
        generate(project, (project.root / "schema.ts").read_text(), "year", rename=True)
        return ""

    reader = Reader(project, schema="schema.ts", instead={"npx drizzle-kit generate --name year": answered})
    for branch in BRANCHES:
        reader.do(f"DATABASE_URL={project.urls[branch]} npx drizzle-kit migrate")
        project.sql(branch, ROWS)
    remember(project)
    reader.follow("drizzle.md")
    assert [columns(project, branch) for branch in project.urls] == [["id", "publication_year", "title"]] * 3
    applied = "SELECT count(*) FROM drizzle.__drizzle_migrations"
    assert [project.sql(branch, applied) for branch in project.urls] == [[(3,)]] * 3
