"""Statements about one reader: make it, dress it, drop it, set it aside and put it back.

To make it is to give it its query and, of a materialized view, its rows and indexes, under whatever
name. To dress it is everything else a person may have said of it, once it is in its place.
"""

from collections.abc import Iterable
from itertools import groupby

from psycopg import sql

from orchestrator.sql.identifiers import JOURNAL_SCHEMA, TableName, bounded, verbatim
from orchestrator.sql.readers import ASIDE, BESIDE, KEPT, Privilege, Reader, ReaderColumn, ReaderTrigger
from orchestrator.sql.steps import Statement

_NOUN = {
    "view": sql.SQL("VIEW"),
    "materialized view": sql.SQL("MATERIALIZED VIEW"),
    "function": sql.SQL("ROUTINE"),
    "policy": sql.SQL("POLICY"),
    "rule": sql.SQL("RULE"),
}
_ENABLED = {
    "O": sql.SQL("ENABLE"),
    "D": sql.SQL("DISABLE"),
    "R": sql.SQL("ENABLE REPLICA"),
    "A": sql.SQL("ENABLE ALWAYS"),
}


def aside(reader: Reader) -> TableName:
    """Return where a reader stands aside. A policy or rule stays on its table, and gets another name there."""
    if reader.on is not None:
        return TableName(reader.name.schema, bounded(KEPT, reader.name.name))
    return TableName(JOURNAL_SCHEMA, _own(ASIDE, reader))


def beside(reader: Reader) -> TableName:
    """Return where a reader is built before the switch."""
    return TableName(JOURNAL_SCHEMA, _own(BESIDE, reader))


def _own(word: str, reader: Reader, index: str | None = None) -> str:
    """A name in ecm's schema that no other reader or index has; functions differ by their arguments as well."""
    name = reader.name.name if index is None else index
    return bounded(word, reader.name.schema, name, *((reader.signature,) if reader.kind == "function" else ()))


def drop(reader: Reader) -> tuple[Statement, ...]:
    """Return what drops a reader where it is.

    A rule of a view goes before the view: what it does may stand on something that goes in between.
    """
    if reader.on is not None:
        name = sql.Identifier(reader.name.name)
        return (sql.SQL("DROP {} {} ON {}").format(_NOUN[reader.kind], name, reader.on.identifier),)
    return (sql.SQL("DROP {} {}").format(_NOUN[reader.kind], _called(reader)),)


def drop_beside(reader: Reader) -> Statement:
    """Return what drops what was built before the switch, if it is still there."""
    return sql.SQL("DROP {} IF EXISTS {}").format(_NOUN[reader.kind], beside(reader).identifier)


def set_aside(reader: Reader) -> tuple[Statement, ...]:
    """Return what takes a reader out of the way, without changing what it reads."""
    if reader.carried:
        return ()
    there = aside(reader)
    if reader.on is not None:
        renamed = sql.SQL("ALTER {} {} ON {} RENAME TO {}").format(
            _NOUN[reader.kind], sql.Identifier(reader.name.name), reader.on.identifier, sql.Identifier(there.name)
        )
        return (renamed, _silenced(reader, there.name))
    at_home = TableName(reader.name.schema, there.name)
    return (
        *(_renamed_index(reader.name.schema, index.name, _own(ASIDE, reader, index.name)) for index in reader.indexes),
        _renamed(reader, _called(reader), there.name),
        _taken_to(reader, at_home, JOURNAL_SCHEMA),
    )


def take_beside(reader: Reader) -> tuple[Statement, ...]:
    """Return what takes a reader to where it will be built beside, so that PostgreSQL prints that name."""
    there = beside(reader)
    at_home = TableName(reader.name.schema, there.name)
    return _renamed(reader, _called(reader), there.name), _taken_to(reader, at_home, JOURNAL_SCHEMA)


def put_back(reader: Reader) -> tuple[Statement, ...]:
    """Return what gives a reader that stands aside its name and place again."""
    if reader.carried:
        return ()
    there = aside(reader)
    if reader.on is not None:
        renamed = sql.SQL("ALTER {} {} ON {} RENAME TO {}").format(
            _NOUN[reader.kind], sql.Identifier(there.name), reader.on.identifier, sql.Identifier(reader.name.name)
        )
        return (_heard(reader, there.name), renamed)
    return _placed(reader, there, ASIDE)


def put_in_place(reader: Reader) -> tuple[Statement, ...]:
    """Return what gives a reader that was built beside its name and place."""
    return _placed(reader, beside(reader), BESIDE)


def make(reader: Reader, name: TableName, text: str, *, word: str | None = None) -> tuple[Statement, ...]:
    """Return what makes a reader.

    Args:
        reader: what it is.
        name: what it will be called.
        text: what it reads, as in `Reader.definition`; what is not a view has its name in it.
        word: how the names of its indexes begin while it is not in its place.
    """
    match reader.kind:
        case "view":
            return (sql.SQL("CREATE VIEW {}{} AS {}").format(name.identifier, _with(reader), verbatim(text)),)
        case "materialized view":
            return (
                sql.SQL("CREATE MATERIALIZED VIEW {}{}{}{} AS {} WITH {}DATA").format(
                    name.identifier,
                    _optional(" USING {}", reader.access_method),
                    _with(reader),
                    _optional(" TABLESPACE {}", reader.tablespace),
                    verbatim(text),
                    sql.SQL("" if reader.populated else "NO "),
                ),
                *(statement for column in reader.columns for statement in _stored(name, column)),
                *_indexes(reader, name, word),
                *((sql.SQL("ANALYZE {}").format(name.identifier),) if reader.populated else ()),
            )
        case "function" | "policy" | "rule":
            return (verbatim(text),)


def dress(reader: Reader) -> tuple[Statement, ...]:
    """Return what gives a reader, made and in its place, all that was said of it: owner, rights, comments, triggers."""
    if reader.kind == "policy":
        return _comment(reader, _on(reader), reader.comment)
    if reader.kind == "rule":
        state = () if reader.enabled == "O" else (_heard(reader, reader.name.name),)
        return (*state, *_comment(reader, _on(reader), reader.comment))
    return (
        sql.SQL("ALTER {} {} OWNER TO {}").format(_NOUN[reader.kind], _called(reader), sql.Identifier(reader.owner)),
        *_rights(reader),
        *_comment(reader, _called(reader), reader.comment),
        *(statement for column in reader.columns for statement in _said(reader, column)),
        *(
            sql.SQL("COMMENT ON INDEX {} IS {}").format(
                sql.Identifier(reader.name.schema, index.name), sql.Literal(index.comment)
            )
            for index in reader.indexes
            if index.comment is not None
        ),
        *(statement for trigger in reader.triggers for statement in _trigger(reader, trigger)),
    )


# ---------------------------------------------------------------- names and places


def _called(reader: Reader) -> sql.Composable:
    """A reader as a statement names it: a function with its arguments."""
    if reader.kind != "function":
        return reader.name.identifier
    return sql.SQL("{}({})").format(reader.name.identifier, verbatim(reader.signature))


def _on(reader: Reader) -> sql.Composable:
    table = reader.on or reader.name
    return sql.SQL("{} ON {}").format(sql.Identifier(reader.name.name), table.identifier)


def _renamed(reader: Reader, called: sql.Composable, name: str) -> Statement:
    return sql.SQL("ALTER {} {} RENAME TO {}").format(_NOUN[reader.kind], called, sql.Identifier(name))


def _taken_to(reader: Reader, name: TableName, schema: str) -> Statement:
    # A function of one of ecm's names is alone with it, and needs no arguments.
    return sql.SQL("ALTER {} {} SET SCHEMA {}").format(_NOUN[reader.kind], name.identifier, sql.Identifier(schema))


def _renamed_index(schema: str, name: str, to: str) -> Statement:
    return sql.SQL("ALTER INDEX {} RENAME TO {}").format(sql.Identifier(schema, name), sql.Identifier(to))


def _placed(reader: Reader, there: TableName, word: str) -> tuple[Statement, ...]:
    """From ecm's schema to its own; its indexes come along, under the names they had there."""
    schema = reader.name.schema
    return (
        _taken_to(reader, there, schema),
        _renamed(reader, TableName(schema, there.name).identifier, reader.name.name),
        *(_renamed_index(schema, _own(word, reader, index.name), index.name) for index in reader.indexes),
    )


def _silenced(reader: Reader, name: str) -> Statement:
    """What keeps a policy or rule that stands aside from having a say.

    Nothing disables a policy; so it is left to the owner alone, to whom policies do not apply. Where they are
    forced on him it says what the new one says, for both sides of every row agree.
    """
    table = reader.on or reader.name
    if reader.kind == "policy":
        owner = sql.Identifier(reader.table_owner)
        return sql.SQL("ALTER POLICY {} ON {} TO {}").format(sql.Identifier(name), table.identifier, owner)
    return sql.SQL("ALTER TABLE {} DISABLE RULE {}").format(table.identifier, sql.Identifier(name))


def _heard(reader: Reader, name: str) -> Statement:
    table = reader.on or reader.name
    if reader.kind == "policy":
        roles = sql.SQL(", ").join(_role(role) for role in reader.roles)
        return sql.SQL("ALTER POLICY {} ON {} TO {}").format(sql.Identifier(name), table.identifier, roles)
    return sql.SQL("ALTER TABLE {} {} RULE {}").format(table.identifier, _ENABLED[reader.enabled], sql.Identifier(name))


# ---------------------------------------------------------------- what is said of it


def _role(role: str | None) -> sql.Composable:
    return sql.SQL("PUBLIC") if role is None else sql.Identifier(role)


def _optional(template: str, name: str | None) -> sql.Composable:
    return sql.SQL("") if name is None else verbatim(template).format(sql.Identifier(name))


def _settings(options: Iterable[tuple[str, str]]) -> sql.Composed:
    # toast.autovacuum_enabled is two names with a dot between.
    return sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(*name.split(".")), sql.Literal(value)) for name, value in options
    )


def _with(reader: Reader) -> sql.Composable:
    return sql.SQL(" WITH ({})").format(_settings(reader.options)) if reader.options else sql.SQL("")


def _comment(reader: Reader, called: sql.Composable, comment: str | None) -> tuple[Statement, ...]:
    if comment is None:
        return ()
    return (sql.SQL("COMMENT ON {} {} IS {}").format(_NOUN[reader.kind], called, sql.Literal(comment)),)


def _said(reader: Reader, column: ReaderColumn) -> Iterable[Statement]:
    name = sql.Identifier(column.name)
    if column.default is not None:
        yield sql.SQL("ALTER VIEW {} ALTER COLUMN {} SET DEFAULT {}").format(
            reader.name.identifier, name, verbatim(column.default)
        )
    if column.comment is not None:
        yield sql.SQL("COMMENT ON COLUMN {}.{} IS {}").format(reader.name.identifier, name, sql.Literal(column.comment))


def _stored(name: TableName, column: ReaderColumn) -> Iterable[Statement]:
    """How a materialized view keeps a column, and how well it is known to the planner."""
    head = sql.SQL("ALTER MATERIALIZED VIEW {} ALTER COLUMN {}").format(name.identifier, sql.Identifier(column.name))
    if column.statistics is not None:
        yield head + sql.SQL(" SET STATISTICS {}").format(sql.Literal(column.statistics))
    if column.storage is not None:
        yield head + sql.SQL(" SET STORAGE {}").format(verbatim(column.storage))
    if column.compression is not None:
        yield head + sql.SQL(" SET COMPRESSION {}").format(verbatim(column.compression))
    if column.options:
        yield head + sql.SQL(" SET ({})").format(_settings(column.options))


def _indexes(reader: Reader, name: TableName, word: str | None) -> Iterable[Statement]:
    for index in reader.indexes:
        called = index.name if word is None else _own(word, reader, index.name)
        whole = sql.Identifier(name.schema, called)
        yield sql.SQL("CREATE {}INDEX {} ON {}{}").format(
            sql.SQL("UNIQUE " if index.unique else ""), sql.Identifier(called), name.identifier, verbatim(index.tail)
        )
        if index.tablespace is not None:
            yield sql.SQL("ALTER INDEX {} SET TABLESPACE {}").format(whole, sql.Identifier(index.tablespace))
        for number, target in index.statistics:
            yield sql.SQL("ALTER INDEX {} ALTER COLUMN {} SET STATISTICS {}").format(
                whole, sql.Literal(number), sql.Literal(target)
            )
        if index.clustered:
            yield sql.SQL("ALTER MATERIALIZED VIEW {} CLUSTER ON {}").format(name.identifier, sql.Identifier(called))


def _trigger(reader: Reader, trigger: ReaderTrigger) -> Iterable[Statement]:
    yield verbatim(trigger.definition)
    if trigger.comment is not None:
        yield sql.SQL("COMMENT ON TRIGGER {} ON {} IS {}").format(
            sql.Identifier(trigger.name), reader.name.identifier, sql.Literal(trigger.comment)
        )


def _rights(reader: Reader) -> Iterable[Statement]:
    """First nobody has any, then each has those that are recorded: of the owner's own hand, then of others'."""
    noun = sql.SQL("ROUTINE" if reader.kind == "function" else "TABLE")
    held = reader.privileges
    nobody = [*map(_role, reader.uninvited)]
    if held is not None and (not held or any(privilege.column is None for privilege in held)):
        nobody = [sql.SQL("PUBLIC"), sql.Identifier(reader.owner), *nobody]
    if nobody:
        yield sql.SQL("REVOKE ALL ON {} {} FROM {}").format(noun, _called(reader), sql.SQL(", ").join(nobody))
    for (grantor, grantee, grantable, column), group in groupby(held or (), _hand):
        if grantor != reader.owner:
            yield sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(grantor))
        yield sql.SQL("GRANT {} ON {} {} TO {}{}").format(
            sql.SQL(", ").join(_right(privilege, column) for privilege in group),
            noun,
            _called(reader),
            _role(grantee),
            sql.SQL(" WITH GRANT OPTION" if grantable else ""),
        )
        if grantor != reader.owner:
            yield sql.SQL("RESET ROLE")


def _hand(privilege: Privilege) -> tuple[str, str | None, bool, str | None]:
    return privilege.grantor, privilege.grantee, privilege.grantable, privilege.column


def _right(privilege: Privilege, column: str | None) -> sql.Composable:
    name = verbatim(privilege.privilege)
    return name if column is None else sql.SQL("{} ({})").format(name, sql.Identifier(column))
