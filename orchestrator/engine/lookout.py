"""What has happened to a plan's tables since a proof: the proof stands for the moment of its scan, and no longer."""

from typing import Any

from orchestrator.engine import catalog, sentry
from orchestrator.engine.connection import Connection
from orchestrator.errors import VerificationError
from orchestrator.sql.identifiers import TableName
from orchestrator.sql.steps import Proof, Strays, Sweep, Transaction

Files = tuple[tuple[TableName, int], ...]
"""The heaps of a table, each with the file that its pages are in."""


class StrayedError(Exception):
    """Rows came since the proof that it would not let pass, or that no trigger has seen.

    Args:
        table: where.
    """

    def __init__(self, table: TableName) -> None:
        super().__init__(table)
        self.table = table

    def for_good(self, rounds: int) -> VerificationError:
        """Return the error for when it happened after so many proofs."""
        return VerificationError(
            f"rows come to {self.table} faster than they can be proven, of which one side may not hold all",
            details=[f"{rounds} proofs found every row right, and each time more came before the table was locked"],
            hint="have the application stop writing such rows, then run the same command again",
        )


class Lookout:
    """Remembers how things were at each proof of a move, and sees under the locks whether they still are."""

    def __init__(self) -> None:
        self._watch: sentry.Watch = {}
        self._strays: dict[TableName, int] = {}
        self._files: dict[TableName, Files] = {}
        self._heaps: dict[TableName, tuple[TableName, ...]] = {}

    def trust(self, watch: sentry.Watch) -> None:
        """Take an earlier watch for one of a proof: what was found then is as good as proven."""
        self._watch = {**watch}

    def count(self, connection: Connection, step: Transaction) -> None:
        """Note where a count of strays begins; its lock has waited for whoever wrote before.

        Raises:
            VerificationError: what counts is not on its post.
        """
        for each in step.counting:
            self._watch |= sentry.on_post(connection, each.triggers)
            self._strays[each.table] = _strayed(connection, each)
            self._files[each.table] = _files(connection, each.table)

    def sweep(self, connection: Connection, step: Sweep) -> None:
        """Note that the sync is on its post before a sweep; an earlier proof's watch goes on.

        Raises:
            VerificationError: it is not.
        """
        self._watch = sentry.on_post(connection, step.kept_by) | self._watch

    def prove(self, connection: Connection, step: Proof) -> None:
        """Note how things are before a proof looks at the rows; raises as `sweep`."""
        self._watch |= sentry.on_post(connection, step.kept_by)
        self._heaps[step.table] = catalog.heaps(connection, step.table)

    def all_is_well(self, connection: Connection, step: Transaction) -> None:
        """Make sure that all is as it was proven; nobody writes any more.

        Raises:
            VerificationError: the sync, or a count, was touched since.
            StrayedError: there has to be another proof.
        """
        sentry.on_post(connection, step.kept_by, since=self._watch)
        # With a partition that was attached come rows that no trigger has seen.
        for table in dict.fromkeys(trigger.table for trigger in step.kept_by):
            if self._heaps.get(table, heaps := catalog.heaps(connection, table)) != heaps:
                raise StrayedError(table)
        for each in step.counted:
            sentry.on_post(connection, each.triggers, since=self._watch)
            # TRUNCATE fires no row's trigger, and gives the table another file.
            then: tuple[Any, ...] = (self._strays[each.table], self._files[each.table])
            if (_strayed(connection, each), _files(connection, each.table)) != then:
                raise StrayedError(each.table)


def _strayed(connection: Connection, strays: Strays) -> int:
    row = connection.execute(strays.count).fetchone()
    return int(row[0]) if row else 0


def _files(connection: Connection, table: TableName) -> Files:
    return tuple((heap, catalog.filenode(connection, heap)) for heap in catalog.heaps(connection, table))
