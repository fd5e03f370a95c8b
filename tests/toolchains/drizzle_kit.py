"""drizzle-kit of either line, which has migrations generated, renames too."""

import json
import os
import pty
import subprocess
from pathlib import Path

from cli.runs import PATIENCE, Project

HINTS = json.dumps(
    [{"type": "rename", "kind": "column", "from": ["public", "books", "published_year"],
      "to": ["public", "books", "publication_year"]}]
)  # fmt: skip


def generate(project: Project, schema: str, name: str, *, rename: bool = False) -> None:
    """Have drizzle-kit write a migration; with `rename` it is told that a column was renamed, the way each line asks."""
    (project.root / "schema.ts").write_text(schema)
    kit = project.root / "node_modules" / "drizzle-kit"
    old = json.loads((kit / "package.json").read_text())["version"].startswith("0.")
    arguments = ["node", str(kit / "bin.cjs"), "generate", "--name", name]
    environment = {"PATH": os.environ["PATH"], "HOME": str(project.root), "TERM": "xterm"}
    if rename and old:
        _answered(arguments, project.root, environment)
        return
    hints = ["--hints", HINTS] if rename else []
    ran = subprocess.run(
        [*arguments, *hints],
        cwd=project.root,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert "SQL migration" in ran.stdout, ran.stdout + ran.stderr


def _answered(arguments: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Run drizzle-kit on a terminal and choose the second of what it offers: renamed."""
    master, slave = pty.openpty()
    with subprocess.Popen(
        arguments, cwd=folder, env=environment, stdin=slave, stdout=slave, stderr=slave, close_fds=True
    ) as process:
        os.close(slave)
        shown, answered = "", False
        while True:
            try:
                more = os.read(master, 65536)
            except OSError:  # Linux reports the end of a terminal as an error
                break
            shown += more.decode(errors="replace")
            if not answered and "rename column" in shown:
                answered = True
                os.write(master, b"\x1b[B")
                os.write(master, b"\r")
        process.wait(PATIENCE)
    os.close(master)
    assert "SQL migration" in shown, shown
