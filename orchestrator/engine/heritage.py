"""Read what hangs on columns that have heirs, in PostgreSQL's own words, as it would read over those.

Definitions are never edited. Those of indexes, checks and statistics are made on an empty temporary copy of the
table, whose columns are then renamed and printed again; a foreign key is put together from the catalog.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import psycopg
from psycopg import errors, sql

from orchestrator.engine import enums
from orchestrator.engine import heritage_queries as queries
from orchestrator.engine.connection import Connection, select
from orchestrator.engine.texts import Texts
from orchestrator.sql.facts import Table
from orchestrator.sql.heritage import (
    Attributes,
    Heir,
    HeldConstraint,
    HeldIndex,
    HeldSequence,
    HeldStatistics,
    Heritage,
    Part,
    Trial,
    Words,
    former_name,
)
from orchestrator.sql.identifiers import JOURNAL_SCHEMA, TableName, verbatim

Names = Mapping[TableName, Mapping[str, str]]
"""By table: the successors of its columns."""

Renamed = Callable[[list[str]], list[str]]


def successors(heirs: Mapping[TableName, Iterable[Heir]]) -> dict[TableName, dict[str, str]]:
    """Return who succeeds whom, by table."""
    return {table: {heir.column: heir.successor for heir in own} for table, own in heirs.items()}


def read(connection: Connection, table: Table, heirs: tuple[Heir, ...], names: Names) -> Heritage:
    """Return what hangs on columns of a table.

    Args:
        connection: a session with the branch, in autocommit.
        table: its facts so far.
        heirs: the columns and who takes over from them.
        names: the successors in every table of the plan, for foreign keys between them.
    """
    heirs = tuple(heir for heir in heirs if table.column(heir.column) is not None)
    if not heirs or not table.may_alter:
        return Heritage(heirs=heirs)
    values: dict[str, Any] = {"oid": table.oid, "columns": [heir.column for heir in heirs]}
    indexes = select(connection, queries.INDEXES, values)
    checks = select(connection, queries.CHECKS, values)
    statistics = select(connection, queries.STATISTICS, values)
    texts = Texts(connection, table, heirs)
    tails = texts.indexes([row["tail"] for row in indexes])
    conditions = texts.checks([row["definition"] for row in checks])
    kinds = texts.statistics([row["definition"] for row in statistics])
    defaults = _defaults(connection, table, heirs)
    return Heritage(
        heirs=heirs,
        indexes=tuple(_index(row, tail, heirs) for row, tail in zip(indexes, tails, strict=True)),
        constraints=(
            *(_check(table, row, condition, heirs) for row, condition in zip(checks, conditions, strict=True)),
            *(_key(table, row, names.get(table.name, {}), heirs) for row in select(connection, queries.KEYS, values)),
            *_foreign_keys(connection, values, table.name, names, heirs),
        ),
        statistics=tuple(
            HeldStatistics(
                name=TableName(row["schema"], row["name"]),
                definition=definition,
                of=_of(row, heirs),
                comment=row["comment"],
            )
            for row, definition in zip(statistics, kinds, strict=True)
        ),
        attributes={
            row["name"]: _attributes(connection, row, defaults)
            for row in select(connection, queries.attributes(connection.info.server_version), values)
        },
        words=_words(connection, table, heirs),
        trials={heir.column: _trial(connection, table, heir) for heir in heirs if heir.type is not None},
        functions=tuple(TableName(row["schema"], row["name"]) for row in select(connection, queries.FUNCTIONS, values)),
        former=_former(connection, table.name, heirs),
        defaults=_defaults_then(connection, table, heirs),
    )


def _former(connection: Connection, table: TableName, heirs: tuple[Heir, ...]) -> dict[str, str]:
    kept = {
        heir.column: select(
            connection, queries.FORMER, {"name": former_name(table, heir.column), "schema": JOURNAL_SCHEMA}
        )
        for heir in heirs
    }
    return {column: rows[0]["type"] for column, rows in kept.items() if rows}


def _parts(found: list[dict[str, Any]]) -> tuple[Part, ...]:
    return tuple(Part(table=TableName(each.pop("schema"), each.pop("table")), **each) for each in found)


def _of(row: dict[str, Any], heirs: tuple[Heir, ...]) -> str:
    """Return the first of the columns with heirs that an object is on."""
    touched = row.pop("touched")
    return next(heir.column for heir in heirs if heir.column in touched)


def _index(row: dict[str, Any], tail: str, heirs: tuple[Heir, ...]) -> HeldIndex:
    row["tail"], row["parts"] = tail, _parts(row["parts"])
    return HeldIndex(of=_of(row, heirs), **row)


def _check(table: Table, row: dict[str, Any], condition: str, heirs: tuple[Heir, ...]) -> HeldConstraint:
    row["definition"] = condition
    return HeldConstraint(table=table.name, of=_of(row, heirs), **row)


def _key(table: Table, row: dict[str, Any], own: Mapping[str, str], heirs: tuple[Heir, ...]) -> HeldConstraint:
    head = sql.SQL("{} ({})").format(
        verbatim("PRIMARY KEY" if row["kind"] == "p" else row.pop("unique")), _listed(row.pop("columns"), own)
    )
    included = row.pop("included")
    more = sql.SQL(" INCLUDE ({})").format(_listed(included, own)) if included else sql.SQL("")
    row.pop("unique", None)
    return HeldConstraint(table=table.name, of=_of(row, heirs), whole=(head + more).as_string(None), **row)


def _defaults(connection: Connection, table: Table, heirs: tuple[Heir, ...]) -> dict[str, str]:
    """Return, by column, the defaults that read otherwise over the successor."""
    found: dict[str, str] = {}
    for heir in heirs:
        if heir.restated is None:
            continue
        with connection.transaction(force_rollback=True):
            enums.restate(connection, heir.restated, named=False)
            found |= _printed_defaults(connection, table, [heir.column])
    return found


def _defaults_then(connection: Connection, table: Table, heirs: tuple[Heir, ...]) -> dict[str, str]:
    """Return the defaults of columns and heirs as they read once their types have exchanged their names."""
    found: dict[str, str] = {}
    for restated in {heir.restated: None for heir in heirs if heir.restated is not None}:
        columns = [name for heir in heirs if heir.restated == restated for name in (heir.column, heir.successor)]
        with connection.transaction(force_rollback=True):
            enums.exchange(connection, restated)
            found |= _printed_defaults(connection, table, columns)
    return found


def _printed_defaults(connection: Connection, table: Table, columns: Iterable[str]) -> dict[str, str]:
    return {
        column: row["default"]
        for column in columns
        for row in select(connection, queries.DEFAULT, {"oid": table.oid, "column": column})
    }


def _attributes(connection: Connection, row: dict[str, Any], defaults: Mapping[str, str]) -> Attributes:
    sequence = row.pop("sequence")
    row["options"] = tuple(tuple(option.split("=", 1)) for option in row["options"])
    row["used"] = tuple(row["used"])
    row["default"] = defaults.get(row.pop("name"))
    return Attributes(**row, sequence=_sequence(connection, sequence) if sequence is not None else None)


def _words(connection: Connection, table: Table, heirs: tuple[Heir, ...]) -> dict[TableName, dict[str, Words]]:
    columns = [name for heir in heirs for name in (heir.column, heir.successor)]
    found: dict[TableName, dict[str, Words]] = {}
    for row in select(connection, queries.WORDS, {"oid": table.oid, "columns": columns}):
        found.setdefault(TableName(row["schema"], row["table"]), {})[row["column"]] = Words(
            comment=row["comment"],
            statistics=row["statistics"],
            options=tuple(tuple(option.split("=", 1)) for option in row["options"]),
            grants=tuple((each["grantee"], each["privilege"], each["grantable"]) for each in row["grants"]),
        )
    return found


def _sequence(connection: Connection, oid: int) -> HeldSequence:
    (row,) = select(connection, queries.SEQUENCE, {"oid": oid})
    name = TableName(row.pop("schema"), row.pop("name"))
    grants = tuple((each["grantee"], each["privilege"], each["grantable"]) for each in row.pop("grants"))
    return HeldSequence(name=name, grants=grants, **row)


# ---------------------------------------------------------------- foreign keys


def _foreign_keys(
    connection: Connection, values: dict[str, Any], table: TableName, names: Names, heirs: tuple[Heir, ...]
) -> Iterable[HeldConstraint]:
    for row in select(connection, queries.foreign_keys(connection.info.server_version), values):
        owner = TableName(row["schema"], row["table"])
        other = TableName(row["other_schema"], row["other_table"])
        own: list[str] = row["columns"] if owner == table else []
        pointed_to: list[str] = row["other_columns"] if other == table else []
        # One between two columns that both have heirs belongs to the table that points.
        if owner != table and names.get(owner, {}).keys() & set(row["columns"]):
            continue
        yield HeldConstraint(
            name=row["name"],
            kind="f",
            of=_of({"touched": [*own, *pointed_to]}, heirs),
            owner=row["owner"],
            table=owner,
            references=other,
            definition=_pointing(row, names.get(owner, {}), other, names.get(other, {})),
            valid=row["valid"],
            enforced=row["enforced"],
            comment=row["comment"],
            parts=_parts(row["parts"]),
        )


def _pointing(row: dict[str, Any], own: Mapping[str, str], other: TableName, theirs: Mapping[str, str]) -> str:
    emptied = sql.SQL(" ({})").format(_listed(row["emptied"], own)) if row["emptied"] else sql.SQL("")
    return (
        sql.SQL("FOREIGN KEY ({}) REFERENCES {} ({}){}{}{}")
        .format(
            _listed(row["columns"], own),
            other.identifier,
            _listed(row["other_columns"], theirs),
            verbatim(row["actions"]),
            emptied,
            verbatim(row["deferrable"]),
        )
        .as_string(None)
    )


def _listed(columns: Iterable[str], successors: Mapping[str, str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(successors.get(column, column)) for column in columns)


def _trial(connection: Connection, table: Table, heir: Heir) -> Trial:
    """Let PostgreSQL change the type on an empty copy: what it refuses, and whether it writes anything anew."""
    with connection.transaction(force_rollback=True):
        like = sql.SQL("CREATE TEMPORARY TABLE ecm_copy (LIKE {} INCLUDING ALL)")
        connection.execute("SET LOCAL search_path TO DEFAULT")
        connection.execute("SET LOCAL client_min_messages TO error")
        connection.execute(like.format(table.name.identifier))
        before = select(connection, queries.FILES, {})
        column, kind = sql.Identifier(heir.column), verbatim(heir.type or "")
        alter = sql.SQL("ALTER TABLE pg_temp.ecm_copy ALTER COLUMN {} TYPE {}")
        plain = _accepted(connection, alter.format(column, kind))
        if plain is not None:
            # Where there is no cast that PostgreSQL makes by itself, the plan's expression stands in.
            using = sql.SQL("{} USING NULL::{}").format(alter.format(column, kind), kind)
            trial = Trial(refusal=_accepted(connection, using))
        else:
            trial = Trial(rewrites=before != select(connection, queries.FILES, {}))
    return trial


def _accepted(connection: Connection, statement: sql.Composed) -> str | None:
    """Return what PostgreSQL has against a statement, or None."""
    try:
        with connection.transaction():
            connection.execute(statement)
    except (errors.InsufficientPrivilege, psycopg.OperationalError):
        raise
    except psycopg.Error as error:
        return error.diag.message_primary or str(error)
    return None
