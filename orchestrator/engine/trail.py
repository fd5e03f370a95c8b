"""The statements that a move ran, as they go with it into the record."""

import hashlib
from collections.abc import Iterable
from typing import Any

from orchestrator.engine.connection import Connection
from orchestrator.plan.lifecycle import Move

LONGEST = 64 * 1024
"""Characters of SQL that are kept of a move; of what goes beyond, its length and its hash."""


def ran(connection: Connection, plan: str, move: Move) -> list[dict[str, Any]]:
    """Return the steps of a move that were finished, each with its title and its statements, in their order.

    To be asked before the move is completed, for a rollback forgets what it has undone.
    """
    rows = connection.execute(
        "SELECT phase, title, statements FROM ecm.steps WHERE plan = %s AND phase = ANY(%s) AND direction = %s"
        " AND finished_at IS NOT NULL ORDER BY started_at, key",
        [plan, [phase.value for phase in move.phases], move.direction.value],
    ).fetchall()
    return bounded({"phase": phase, "title": title, "statements": statements} for phase, title, statements in rows)


def bounded(steps: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return steps with no more SQL than is kept; what is left out stands there as its length and SHA-256.

    The steps that come after the first one that was cut stand there together, as one.
    """
    kept: list[dict[str, Any]] = []
    left, rest = LONGEST, list[str]()
    for step in steps:
        whole, texts = list[str](), list[str](step["statements"])
        while texts and not rest and len(texts[0]) <= left:
            whole.append(texts.pop(0))
            left -= len(whole[-1])
        rest += texts
        if whole:
            kept.append({**step, "statements": whole})
    if rest:
        text = ";\n".join(rest)
        digest = hashlib.sha256(text.encode()).hexdigest()
        said = f"-- {len(rest)} more, {len(text)} characters in all, sha256:{digest}"
        kept.append({"phase": None, "title": "what is too long to be kept", "statements": [said]})
    return kept
