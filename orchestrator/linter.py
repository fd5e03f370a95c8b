"""What squawk, a linter for migrations, has to say of SQL that a plan's author wrote.

An optional tool of its own: `pip install expand-contract[lint]`, or any `squawk` on the PATH. Where there is none, that
is said, once.
"""

import json
import shutil
import subprocess
import sys
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.errors import EcmError
from orchestrator.plan.model import Plan

ABSENT = "squawk is not installed, so the plan's own SQL was not linted: pip install expand-contract[lint]"

_TIMEOUT = 20.0
"""Seconds; it takes hundredths of one."""

_NOT_OURS = frozenset(
    {
        # ecm sets lock_timeout before each step, and what could take long holds nobody up.
        "require-lock-timeout",
        "require-statement-timeout",
        # Statements and their record are one transaction: they are never run again by halves.
        "prefer-robust-stmts",
        "transaction-nesting",
        # ecm takes these out of the transaction.
        "ban-concurrent-index-creation-in-transaction",
    }
)
_CONTRACTS = frozenset({"ban-drop-column", "ban-drop-table", "ban-drop-not-null", "renaming-column", "renaming-table"})
"""What contract is for, and a way back."""


def lint(plan: Plan, *, server_version: int | None = None) -> tuple[str, ...]:
    """Return what is found in the SQL of a plan's author, a line each; nothing where it has none.

    Args:
        plan: the plan.
        server_version: PostgreSQL's, as 160004, where it is known.
    """
    texts = [(index, key, text) for index, change in enumerate(plan.changes) for key, text in change.written().items()]
    if not texts:
        return ()
    squawk = _squawk()
    if squawk is None:
        return (ABSENT,)
    several = len({index for index, _, _ in texts}) > 1
    return tuple(
        f"changes[{index}].{line}" if several else line
        for index, key, text in texts
        for line in _found(squawk, key, text, server_version)
    )


def _squawk() -> str | None:
    beside = Path(sys.executable).with_name("squawk")
    return str(beside) if beside.is_file() else shutil.which("squawk")


def _found(squawk: str, key: str, text: str, server_version: int | None) -> Iterator[str]:
    version = [f"--pg-version={server_version // 10000}"] if server_version else []
    command = [squawk, "--reporter=json", "--assume-in-transaction", *version]
    try:
        answer = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=_TIMEOUT)
        findings: list[Mapping[str, Any]] = json.loads(answer.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        yield f"{key}: squawk could not lint it ({type(error).__name__})"
        return
    for finding in findings:
        rule = finding["rule_name"]
        if rule not in _NOT_OURS and (key == "expand" or rule not in _CONTRACTS):
            # Its lines begin at 0.
            advice = f" {finding['help']}" if finding.get("help") else ""
            yield f"{key}, line {finding['line'] + 1}: {finding['message']}{advice} (squawk: {rule})"


def spoken(
    statements: Sequence[str], *, transactional: bool, server_version: int | None = None
) -> tuple[tuple[int, str, str], ...] | None:
    """Return (number of the statement, rule, message) of what squawk finds in a migration; None where there is none.

    Args:
        statements: without their semicolons.
        transactional: whether they run in one transaction.
        server_version: PostgreSQL's, as 160004, where it is known.

    Raises:
        EcmError: it could not say anything.
    """
    squawk = _squawk()
    if squawk is None:
        return None
    starts, text = [0], ""
    for statement in statements:
        text += f"{statement}\n;\n"
        starts.append(text.count("\n"))
    version = [f"--pg-version={server_version // 10000}"] if server_version else []
    command = [squawk, "--reporter=json", *(["--assume-in-transaction"] if transactional else []), *version]
    try:
        answer = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=_TIMEOUT)
        found: list[Mapping[str, Any]] = json.loads(answer.stdout or "[]")
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        raise EcmError(f"squawk could not be asked ({type(error).__name__})") from None
    return tuple((max(bisect_right(starts, each["line"]) - 1, 0), each["rule_name"], each["message"]) for each in found)
