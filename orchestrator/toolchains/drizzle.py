"""Drizzle: migrations in the folder `out` of drizzle.config, in the way of drizzle-kit 0.31.

Its `migrate` runs every entry of `meta/_journal.json` whose `when` is greater than the greatest `created_at` of its
table, in one transaction; hashes are never compared, and an older `when` is passed over in silence. `generate` compares
the schema with the last snapshot, and never looks at a database.
"""

import hashlib
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from psycopg import sql

from orchestrator.errors import ConfigurationError
from orchestrator.sql.bookkeeping import Row
from orchestrator.toolchains import header, traps
from orchestrator.toolchains.drizzle_snapshot import edited
from orchestrator.toolchains.toolchain import Emission, Migration
from orchestrator.toolchains.writing import Written
from orchestrator.workspace import read_text, replace_file

_JOURNAL = "meta/_journal.json"
_PREFIXES = ((re.compile(r"\d{14}_"), "timestamp"), (re.compile(r"\d{10}_"), "unix"), (re.compile(r"\d{4}_"), "index"))


class Drizzle(Written):
    """The migrations of drizzle-kit 0.31."""

    @property
    def _journal(self) -> dict[str, Any]:
        found = _json(self.folder / _JOURNAL)
        if found.get("version") != "7":
            raise ConfigurationError(
                f"{self.settings.folder}/{_JOURNAL} is of version {found.get('version')}, and ecm knows version 7",
                hint="drizzle-kit up, which brings it to the version of drizzle-kit 0.31",
            )
        return found

    @property
    def _entries(self) -> list[dict[str, Any]]:
        return self._journal["entries"]

    def _file(self, entry: dict[str, Any]) -> Path:
        return self.folder / f"{entry['tag']}.sql"

    # ---------------------------------------------------------------- writing

    def emit(self, emission: Emission) -> tuple[Path, ...]:
        """Write the next migration: its SQL, its snapshot, and last its entry, by which Drizzle knows of it."""
        last = self._entries[-1] if self._entries else None
        if last is None:
            raise ConfigurationError(
                f"there is no migration in {self.settings.folder} that a snapshot could follow",
                hint="drizzle-kit generate",
            )
        before = _json(self._snapshot_of(last["tag"]))
        # A greater `when` than all others: Drizzle passes over one that is not.
        when = max(int(self.now().timestamp() * 1000), 1 + max(entry["when"] for entry in self._entries))
        index = last["idx"] + 1
        taken = {self._snapshot_of(each["tag"]) for each in self._entries}
        while self._snapshot_of(tag := self._prefix(last["tag"], index, when) + emission.slug) in taken:
            when += 1000  # names may be by the second, and a snapshot has that part of a migration's name alone
        entry = {"idx": index, "version": "7", "when": when, "tag": tag, "breakpoints": last["breakpoints"]}
        after = {"id": str(uuid4()), "prevId": before["id"]}
        snapshot = {**before, **after, **_without_ids(edited(before, emission.edits))}
        return (
            replace_file(self._file(entry), header.sql_text(emission)),
            replace_file(self._snapshot_of(tag), _written(snapshot)),
            replace_file(
                self.folder / _JOURNAL,
                _written({**self._journal, "entries": [*self._entries, entry]}),
            ),
        )

    def _snapshot_of(self, tag: str) -> Path:
        return self.folder / "meta" / f"{tag.partition('_')[0]}_snapshot.json"

    @staticmethod
    def _prefix(last: str, index: int, when: int) -> str:
        """Return what a file's name begins with, as that of the last migration does (`migrations.prefix`)."""
        kind = next((kind for pattern, kind in _PREFIXES if pattern.match(last)), "index")
        if kind == "index":
            return f"{index:04}_"
        seconds = when // 1000
        return f"{seconds}_" if kind == "unix" else f"{datetime.fromtimestamp(seconds, UTC):%Y%m%d%H%M%S}_"

    # ---------------------------------------------------------------- the row

    def row(self, migration: Migration) -> Row:
        """Return the row with the file's hash and the journal's time, which is all that Drizzle compares."""
        place = next(n for n, entry in enumerate(self._entries) if entry["tag"] == migration.name)
        entry, earlier = self._entries[place], self._entries[:place]
        table, when = self.records.identifier, sql.Literal(entry["when"])
        digest = sql.Literal(hashlib.sha256(self._file(entry).read_bytes()).hexdigest())
        return Row(
            tool=self.name,
            migration=migration.name,
            table=self.records,
            ready=(
                sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(self.records.schema)),
                sql.SQL(
                    "CREATE TABLE IF NOT EXISTS {} (id serial PRIMARY KEY, hash text NOT NULL, created_at bigint)"
                ).format(table),
            ),
            insert=sql.SQL(
                "INSERT INTO {table} (hash, created_at) SELECT {digest}, {when}"
                " WHERE NOT EXISTS (SELECT FROM {table} WHERE created_at = {when})"
            ).format(table=table, digest=digest, when=when),
            # By the time alone, as Drizzle does: another checkout's lines may end otherwise, and have another hash.
            delete=sql.SQL("DELETE FROM {} WHERE created_at = {}").format(table, when),
            missing=sql.SQL(
                "SELECT m.tag || ' is not applied' FROM ({}) AS m (idx, tag, at)"
                " WHERE m.at > COALESCE((SELECT max(created_at) FROM {}), 0) ORDER BY m.idx"
            ).format(_rows(earlier), table),
            before=tuple(f"{each['tag']} is not applied" for each in earlier),
            catch_up=f"drizzle-kit migrate where {migration.name} is not in the folder yet",
            held=sql.SQL("SELECT 'it has a later one' FROM {} HAVING max(created_at) > {}").format(table, when),
        )

    # ---------------------------------------------------------------- traps

    def traps(self) -> tuple[str, ...]:
        """Tell of entries that Drizzle passes over, and of schemas that it takes for its own."""
        found = list(traps.of_drizzle(self.root, self.migrations()))
        greatest, tag = 0, ""
        for entry in self._entries:
            if entry["when"] <= greatest:
                found.append(
                    f"drizzle: {entry['tag']} has an older `when` than {tag}, before it; where that was applied first,"
                    " drizzle-kit migrate passes over it in silence: drop it and generate it again"
                )
            else:
                greatest, tag = entry["when"], entry["tag"]
        return tuple(found)


def _rows(entries: list[dict[str, Any]]) -> sql.Composed:
    """Return entries as a query of (idx, tag, when), which may give none."""
    values = [
        sql.SQL("SELECT {}::int, {}::text, {}::bigint").format(
            sql.Literal(each["idx"]), sql.Literal(each["tag"]), sql.Literal(each["when"])
        )
        for each in entries
    ]
    none = sql.SQL("SELECT NULL::int, NULL::text, NULL::bigint WHERE false")
    return sql.SQL(" UNION ALL ").join([none, *values])


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_text(path, shown=str(path)))
    except ValueError as error:
        raise ConfigurationError(f"{path} is not JSON: {error}", hint="drizzle-kit check") from None
    if not isinstance(found, dict):
        raise ConfigurationError(f"{path} is not what drizzle-kit writes", hint="drizzle-kit check")
    return cast("dict[str, Any]", found)


def _written(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _without_ids(snapshot: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in snapshot.items() if key not in ("id", "prevId")}
