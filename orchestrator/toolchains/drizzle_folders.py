"""Drizzle 1.0: a folder for each migration, `20250102030405_nice_name/{migration.sql,snapshot.json}`.

Its `migrate` runs every folder whose name its table does not have, in one transaction, in the order of the names.
"""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from psycopg import sql

from orchestrator.errors import ConfigurationError
from orchestrator.sql.bookkeeping import Row
from orchestrator.toolchains import header, traps
from orchestrator.toolchains.drizzle_deltas import State
from orchestrator.toolchains.toolchain import Emission, Migration
from orchestrator.toolchains.writing import Written
from orchestrator.workspace import read_text, replace_file

_SNAPSHOT, _TIME, _SECONDS = "snapshot.json", "%Y%m%d%H%M%S", 14
"""Where a migration's delta is, and how its folder's name begins."""


class DrizzleFolders(Written):
    """The migrations of drizzle-kit 1.0."""

    def emit(self, emission: Emission) -> tuple[Path, ...]:
        """Write the next migration: its snapshot, and last its SQL, by which Drizzle knows of it."""
        snapshots = self._snapshots()
        state = State.after(list(snapshots.values()))
        state.edit(emission.edits)
        last = list(snapshots)[-1]
        folder = self.folder / f"{self._time(last):{_TIME}}_{emission.slug}"
        snapshot = {
            "type": "diff",
            "version": "9",
            "dialect": "postgres",
            "id": str(uuid4()),
            "prevIds": [snapshots[last]["id"]],
            "footprints": state.footprints,
            "deltas": state.deltas,
        }
        return (
            replace_file(folder / _SNAPSHOT, json.dumps(snapshot, indent=2, ensure_ascii=False)),
            replace_file(folder / "migration.sql", header.sql_text(emission)),
        )

    def _time(self, last: str) -> datetime:
        """Return a time after that of the last migration: they run in the order of their names."""
        then = datetime.strptime(last[:_SECONDS], _TIME).replace(tzinfo=UTC)
        return max(self.now(), then + timedelta(seconds=1))

    def _snapshots(self) -> dict[str, dict[str, Any]]:
        """Return the snapshots by folder, each following the one before it.

        Raises:
            ConfigurationError: there is none, they are of another version, or two of them follow the same one.
        """
        files = sorted(self.folder.glob(f"*/{_SNAPSHOT}"))
        found = {path.parent.name: json.loads(read_text(path, shown=str(path))) for path in files}
        if not found or any(each.get("version") != "9" or "type" not in each for each in found.values()):
            raise ConfigurationError(
                f"the snapshots in {self.settings.folder} are not those of drizzle-kit 1.0 that ecm knows (version 9)",
                hint="drizzle-kit up",
            )
        order: dict[str, dict[str, Any]] = {}
        before = None
        for name, each in found.items():
            if before is not None and each["prevIds"] != [before]:
                raise ConfigurationError(
                    f"{name} in {self.settings.folder} does not follow the migration before it alone",
                    details=["where branches of migrations have met, ecm cannot tell which schema they come to"],
                    hint="drizzle-kit check",
                )
            order[name], before = each, each["id"]
        return order

    def row(self, migration: Migration) -> Row:
        """Return the row with the folder's name, which is what Drizzle looks for."""
        table, name = self.records.identifier, sql.Literal(migration.name)
        time = datetime.strptime(migration.name[:_SECONDS], _TIME).replace(tzinfo=UTC)
        return Row(
            tool=self.name,
            migration=migration.name,
            table=self.records,
            ready=(
                sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(self.records.schema)),
                sql.SQL(
                    "CREATE TABLE IF NOT EXISTS {} (id serial PRIMARY KEY, hash text NOT NULL, created_at bigint,"
                    " name text, applied_at timestamp with time zone DEFAULT now())"
                ).format(table),
            ),
            insert=sql.SQL(
                "INSERT INTO {table} (hash, created_at, name) SELECT {digest}, {when}, {name}"
                " WHERE NOT EXISTS (SELECT FROM {table} WHERE name = {name})"
            ).format(
                table=table,
                name=name,
                digest=sql.Literal(hashlib.sha256((self.root / migration.path).read_bytes()).hexdigest()),
                when=sql.Literal(int(time.timestamp()) * 1000),
            ),
            delete=sql.SQL("DELETE FROM {} WHERE name = {}").format(table, name),
            # migrate goes by name, so a row hides no other; but it gives names to a table that 0.31 made when it first
            # meets one, and writes them there for what the table has.
            missing=sql.SQL(
                "SELECT {} WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_attribute"
                " WHERE attrelid = {}::regclass AND attname = 'name' AND NOT attisdropped)"
            ).format(
                sql.Literal(f"{self.records} is as drizzle-kit 0.31 made it, and its rows have no names yet"),
                sql.Literal(table.as_string(None)),
            ),
            before=(),
            catch_up=f"drizzle-kit migrate where {migration.name} is not in the folder yet",
        )

    def traps(self) -> tuple[str, ...]:
        """Tell of schemas that Drizzle takes for its own, and of what cannot run in its transaction."""
        return tuple(traps.of_drizzle(self.root, self.migrations()))
