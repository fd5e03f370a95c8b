"""Indexes without holding writers back, on ordinary tables and on partitioned ones."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from psycopg import sql

from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import TableName, verbatim
from orchestrator.sql.steps import ConcurrentIndex, LockMode, Step, Transaction


def built(facts: Table, index: ConcurrentIndex, part: Callable[[TableName], str]) -> Iterable[Step]:
    """Return the steps that build an index.

    PostgreSQL builds none concurrently on a partitioned table: so one on each partition that holds rows, and those
    that hold them together in the end ("CREATE INDEX", on ONLY; "ALTER INDEX", ATTACH PARTITION).

    Args:
        facts: of its table.
        index: as it would be on an ordinary table.
        part: the name of the index on a partition, which may be partitioned again.
    """
    if facts.kind != "p":
        yield index
        return

    def name(table: TableName) -> TableName:
        return TableName(table.schema, index.name if table == facts.name else part(table))

    yield from on_partitions(facts, index, part)
    yield Transaction(
        key=index.key,
        title=f"hold the indexes of the partitions together in {index.name}",
        tables=facts.lockable,
        lock=LockMode.ACCESS_EXCLUSIVE,
        statements=(
            *(
                sql.SQL("CREATE {unique}INDEX {name} ON ONLY {table}{tail}").format(
                    unique=sql.SQL("UNIQUE " if index.unique else ""),
                    name=sql.Identifier(name(table).name),
                    table=table.identifier,
                    tail=verbatim(index.tail),
                )
                for table in (facts.name, *facts.partitioned_again)
            ),
            # From the leaves up: an index is valid once those beneath it are.
            *(
                sql.SQL("ALTER INDEX {} ATTACH PARTITION {}").format(
                    name(parent).identifier, name(partition).identifier
                )
                for partition, parent in reversed(facts.tree)
            ),
        ),
        inverse=(sql.SQL("DROP INDEX IF EXISTS {}").format(name(facts.name).identifier),),
        note="catalog only; " + index.note,
        on_return=index.on_return,
    )


def on_partitions(
    facts: Table, index: ConcurrentIndex, part: Callable[[TableName], str]
) -> tuple[ConcurrentIndex, ...]:
    """Return the steps that build an index on each partition alone."""
    return tuple(
        replace(
            index,
            key=f"{index.key} on {partition}",
            title=f"{index.title}, on {partition}",
            table=partition,
            name=part(partition),
        )
        for partition in facts.partitions
    )
