"""Indexes without holding writers back, on ordinary tables and on partitioned ones."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from psycopg import sql

from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import TableName, verbatim
from orchestrator.sql.steps import ConcurrentIndex, LockMode, Step, Transaction


def built(facts: Table, index: ConcurrentIndex, part: Callable[[TableName], str]) -> Iterable[Step]:
    """Return the steps that build an index.

    PostgreSQL builds none concurrently on a partitioned table: so one on each partition, and one that holds them
    together in the end ("CREATE INDEX", on ONLY; "ALTER INDEX", ATTACH PARTITION).

    Args:
        facts: of its table.
        index: as it would be on an ordinary table.
        part: the name of the index on a partition.
    """
    if facts.kind != "p":
        yield index
        return
    parts = on_partitions(facts, index, part)
    yield from parts
    whole = sql.Identifier(facts.name.schema, index.name)
    yield Transaction(
        key=index.key,
        title=f"hold the indexes of the partitions together in {index.name}",
        tables=facts.lockable,
        lock=LockMode.ACCESS_EXCLUSIVE,
        statements=(
            sql.SQL("CREATE {unique}INDEX {name} ON ONLY {table}{tail}").format(
                unique=sql.SQL("UNIQUE " if index.unique else ""),
                name=sql.Identifier(index.name),
                table=facts.name.identifier,
                tail=verbatim(index.tail),
            ),
            *(
                sql.SQL("ALTER INDEX {} ATTACH PARTITION {}").format(
                    whole, sql.Identifier(each.table.schema, each.name)
                )
                for each in parts
            ),
        ),
        inverse=(sql.SQL("DROP INDEX IF EXISTS {}").format(whole),),
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
