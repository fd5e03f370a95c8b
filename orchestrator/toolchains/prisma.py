"""Prisma: a folder for each migration, `20250102030405_name/migration.sql`.

It keeps no snapshot: what the migrations come to, it learns from an empty database that it runs them in, where the
guard lets them do all they say.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from psycopg import sql

from orchestrator.sql.bookkeeping import Row
from orchestrator.toolchains import header
from orchestrator.toolchains.toolchain import Emission, Migration
from orchestrator.toolchains.writing import Written
from orchestrator.workspace import replace_file

_TIME, _SECONDS = "%Y%m%d%H%M%S", 14


class Prisma(Written):
    """Prisma's migrations in a project."""

    def emit(self, emission: Emission) -> tuple[Path, ...]:
        """Write the next migration; folders are run in the order of their names."""
        folder = self.folder / f"{self._time():{_TIME}}_{emission.slug}"
        return (replace_file(folder / "migration.sql", header.sql_text(emission)),)

    def _time(self) -> datetime:
        names = [each.name[:_SECONDS] for each in self.migrations()]
        times = [datetime.strptime(name, _TIME).replace(tzinfo=UTC) for name in names if name.isdigit()]
        return max([self.now(), *(time + timedelta(seconds=1) for time in times)])

    def row(self, migration: Migration) -> Row:
        """Return the row of a run that ended well, with the file's checksum."""
        names = [each.name for each in self.migrations()]
        earlier = names[: names.index(migration.name)]
        table, name = self.records.identifier, sql.Literal(migration.name)
        applied = sql.SQL("finished_at IS NOT NULL AND rolled_back_at IS NULL")
        return Row(
            tool=self.name,
            migration=migration.name,
            table=self.records,
            ready=(
                sql.SQL(
                    "CREATE TABLE IF NOT EXISTS {} (id varchar(36) PRIMARY KEY, checksum varchar(64) NOT NULL,"
                    " finished_at timestamptz, migration_name varchar(255) NOT NULL, logs text,"
                    " rolled_back_at timestamptz, started_at timestamptz NOT NULL DEFAULT now(),"
                    " applied_steps_count integer NOT NULL DEFAULT 0)"
                ).format(table),
            ),
            insert=sql.SQL(
                # One that the guard stopped is on record as failed, and Prisma runs nothing until that is settled.
                "WITH stopped AS (UPDATE {table} SET rolled_back_at = pg_catalog.now()"
                " WHERE migration_name = {name} AND finished_at IS NULL AND rolled_back_at IS NULL)"
                " INSERT INTO {table} (id, checksum, finished_at, migration_name, applied_steps_count)"
                " SELECT pg_catalog.gen_random_uuid()::text, {digest}, pg_catalog.now(), {name}, 1"
                " WHERE NOT EXISTS (SELECT FROM {table} WHERE migration_name = {name} AND {applied})"
            ).format(
                table=table,
                name=name,
                applied=applied,
                digest=sql.Literal(hashlib.sha256((self.root / migration.path).read_bytes()).hexdigest()),
            ),
            delete=sql.SQL("DELETE FROM {} WHERE migration_name = {} AND {}").format(table, name, applied),
            missing=sql.SQL(
                "SELECT m.name || ' is not applied' FROM pg_catalog.unnest({}::text[]) WITH ORDINALITY AS m (name, n)"
                " WHERE NOT EXISTS (SELECT FROM {} WHERE migration_name = m.name AND {}) ORDER BY m.n"
            ).format(sql.Literal(earlier), table, applied),
            before=tuple(f"{each} is not applied" for each in earlier),
            catch_up="prisma migrate deploy",
        )
