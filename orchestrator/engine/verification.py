"""The proof: a fresh scan for rows whose two sides do not follow from one another.

Read in ranges of pages, each in a statement of its own: no snapshot is held for long, so VACUUM
and pruning go on. A row that moves between two ranges while this runs was written under the sync
trigger, and what is written under the trigger is right.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from orchestrator.engine.connection import Connection
from orchestrator.errors import VerificationError
from orchestrator.sql.identifiers import TableName
from orchestrator.sql.steps import Proof, region
from orchestrator.words import counted

REGION = 4096
"""Pages a statement reads (32 MB)."""
SAMPLES = 5


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A row whose two sides differ."""

    key: dict[str, str | None]
    """Its primary key, or its ctid where the table has none."""
    old: dict[str, str | None]
    new: dict[str, str | None]

    @property
    def line(self) -> str:
        """The row for a person."""
        return "  ".join(
            f"{name}={'NULL' if value is None else value}"
            for side in (self.key, self.old, self.new)
            for name, value in side.items()
        )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a scan found."""

    table: TableName
    rows: int
    mismatches: int
    samples: tuple[Sample, ...]
    not_invertible: int
    """Rows that are right, but whose old side would not come back from the new one. None, for a copy."""


def pages(connection: Connection, table: TableName) -> int:
    """Return the number of pages in the table's heap now."""
    row = connection.execute(
        sql.SQL(
            "SELECT pg_catalog.pg_relation_size({}::pg_catalog.regclass)"
            " / pg_catalog.current_setting('block_size')::pg_catalog.int8"
        ).format(sql.Literal(table.identifier.as_string(None)))
    ).fetchone()
    return int(row[0]) if row else 0


def verify(
    connection: Connection,
    proof: Proof,
    *,
    progress: Callable[[int, int, int], None] = lambda _done, _total, _rows: None,
) -> Verdict:
    """Scan a table.

    Args:
        connection: a session in autocommit.
        proof: the table, and what must hold in each of its rows.
        progress: called with pages done, pages in all, rows seen.
    """
    total, rows, mismatches = pages(connection, proof.table), 0, 0
    samples: list[Sample] = []
    for first in range(0, total + 1, REGION):
        where = region(first, None if first + REGION > total else first + REGION)
        row = connection.execute(proof.count(where)).fetchone()
        rows, mismatches = rows + (row[0] if row else 0), mismatches + (row[1] if row else 0)
        if row and row[1] and len(samples) < SAMPLES:
            samples += _samples(connection, proof, where, SAMPLES - len(samples))
        progress(min(first + REGION, total), total, rows)
    return Verdict(table=proof.table, rows=rows, mismatches=mismatches, samples=tuple(samples), not_invertible=0)


def unproven(verdict: Verdict) -> VerificationError:
    """Return the error for a table with rows whose two sides differ."""
    return VerificationError(
        f"the two sides differ in {verdict.mismatches:,} of {counted(verdict.rows, 'row')} of {verdict.table}",
        details=[sample.line for sample in verdict.samples],
        hint="something writes past the sync trigger (a disabled trigger, a trigger of your own): set these rows right,"
        " then run the same command again",
    )


def _samples(connection: Connection, proof: Proof, where: sql.Composable, most: int) -> list[Sample]:
    keys = _key(connection, proof.table)
    old, new = [mapping.old for mapping in proof.mappings], [mapping.new for mapping in proof.mappings]
    shown = [*keys, *old, *new]
    columns = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in shown)
    found = connection.execute(
        sql.SQL("SELECT {} FROM ONLY {} WHERE {} AND ({}) LIMIT {}").format(
            columns, proof.table.identifier, where, proof.mismatch, sql.Literal(most)
        )
    ).fetchall()

    def part(row: tuple[Any, ...], start: int, names: list[str]) -> dict[str, str | None]:
        return dict(zip(names, row[start : start + len(names)], strict=True))

    return [
        Sample(key=part(row, 0, keys), old=part(row, len(keys), old), new=part(row, len(keys) + len(old), new))
        for row in found
    ]


def _key(connection: Connection, table: TableName) -> list[str]:
    rows = connection.execute(
        sql.SQL(
            "SELECT a.attname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a"
            " ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::pg_catalog.int2[])"
            " WHERE i.indrelid = {}::pg_catalog.regclass AND i.indisprimary ORDER BY a.attnum"
        ).format(sql.Literal(table.identifier.as_string(None)))
    ).fetchall()
    return [row[0] for row in rows] or ["ctid"]
