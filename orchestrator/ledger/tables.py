"""The ledger's tables, as the newest migration leaves them.

On PostgreSQL they live in a schema of their own, so that a team can keep the ledger beside other
things; SQLite has no schemas. Every column but `seq` is text: it holds exactly what is hashed (see
`chain`), so that no driver's or server's conversion stands between the evidence and its proof.
"""

from dataclasses import dataclass
from functools import cache

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, MetaData, Table, Text

SCHEMA = "ecm_ledger"
VERSION_TABLE = "schema_version"
REVISION = "0001"
"""The newest migration. It stands here too, so that a ledger that is up to date is opened without Alembic."""

# SQLite makes the number of a row its key only if the type reads INTEGER.
_NUMBER = BigInteger().with_variant(Integer(), "sqlite")


@dataclass(frozen=True, kw_only=True)
class Tables:
    """`entries`, the chain; `head`, one row with the place and hash of its last entry; `version`, Alembic's."""

    metadata: MetaData
    entries: Table
    head: Table
    version: Table


@cache
def tables(schema: str | None) -> Tables:
    """Describe the tables in a schema (PostgreSQL), or without one (SQLite)."""
    metadata = MetaData(schema=schema)
    entries = Table(
        "entries",
        metadata,
        Column("seq", _NUMBER, primary_key=True, autoincrement=False),
        Column("id", Text, nullable=False, unique=True),
        Column("kind", Text, nullable=False),
        Column("plan", Text),
        Column("branch", Text),
        Column("checksum", Text),
        Column("actor", Text, nullable=False),
        Column("happened_at", Text, nullable=False),
        Column("data", Text, nullable=False),
        Column("ecm_version", Text, nullable=False),
        Column("recorded_at", Text, nullable=False),
        Column("previous_hash", Text, nullable=False),
        Column("hash", Text, nullable=False),
        Index("entries_plan_branch", "plan", "branch"),
    )
    head = Table(
        "head",
        metadata,
        Column("id", Integer, CheckConstraint("id = 1", name="head_one_row"), primary_key=True, autoincrement=False),
        Column("seq", _NUMBER, nullable=False),
        Column("hash", Text, nullable=False),
    )
    # Alembic owns this table and must not find it among those it compares.
    version = Table(VERSION_TABLE, MetaData(schema=schema), Column("version_num", Text, primary_key=True))
    return Tables(metadata=metadata, entries=entries, head=head, version=version)
