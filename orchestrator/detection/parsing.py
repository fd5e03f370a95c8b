"""Statements of a migration, as the deeds that they are ("ALTER TABLE", "CREATE TABLE", "CREATE INDEX", manual VI).

What is not known here does nothing that ecm has a word for; squawk reads the statement too.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from orchestrator.detection.deeds import (
    AddColumn,
    AddConstraint,
    AddValue,
    AlterColumn,
    ChangeType,
    ColumnText,
    Constraint,
    ConstraintKind,
    Create,
    CreateEnum,
    CreateIndex,
    CreateTable,
    Deed,
    Drop,
    DropColumn,
    Hidden,
    Hold,
    Pointed,
    RenameColumn,
    RenameTable,
    RenameType,
    RenameValue,
    Shed,
    Withdraw,
)
from orchestrator.detection.phrase import Phrase, unquoted
from orchestrator.sql.identifiers import TableName
from orchestrator.sql.lexer import UnreadableSqlError

_AFTER_TYPE = (
    "constraint", "not null", "null", "default", "check", "unique", "primary key", "references", "generated",
    "collate", "deferrable", "not deferrable", "initially", "storage", "compression",
)  # fmt: skip
_TABLE_CONSTRAINT = ("constraint", "not null", "check", "unique", "primary key", "foreign key", "exclude")
_KINDS: tuple[ConstraintKind, ...] = ("check", "unique", "primary key", "foreign key", "exclude")
_ACTIONS = ("cascade", "restrict", "no action", "set null", "set default")
_SERIALS = ("serial", "bigserial", "smallserial", "serial2", "serial4", "serial8")
_THINGS = (
    "table", "foreign table", "view", "materialized view", "type", "domain", "function", "procedure", "aggregate",
    "routine", "schema", "sequence",
)  # fmt: skip
_RENAMED = (
    "view", "materialized view", "schema", "sequence", "domain", "function", "procedure", "aggregate", "routine",
)  # fmt: skip


_OFF = ("false", "off", "0")


def read(text: str) -> tuple[Deed, ...]:
    """Return what a statement does, in order; nothing where it cannot be read."""
    try:
        return tuple(deed for phrase in Phrase.several(text) for deed in _read(phrase))
    except UnreadableSqlError:
        return (Hidden(),)


def _read(phrase: Phrase) -> Iterator[Deed]:
    if phrase.mark("\\"):
        yield Hidden()  # psql's own command, which runs another file or what a query returns
    for head, how in _HEADS:
        if phrase.take(head):
            yield from how(phrase)
            return


# ---------------------------------------------------------------- tables


def _alter_table(phrase: Phrase) -> Iterator[Deed]:
    phrase.take("if exists")
    phrase.take("only")
    table = phrase.table()
    phrase.mark("*")
    if table is None:
        yield Hidden()
        return
    for action in phrase.parts():
        yield from _action(table, action)


def _action(table: TableName, action: Phrase) -> Iterator[Deed]:  # noqa: C901, PLR0912 - one line for each form
    if action.take("rename constraint"):
        return
    if action.take("rename to"):
        to = action.name()
        yield from (RenameTable(table=table, to=TableName(table.schema, name)) for name in [to] if name)
    elif action.take("rename column", "rename"):
        column, _, to = action.name(), action.take("to"), action.name()
        if column and to:
            yield RenameColumn(table=table, column=column, to=to)
    elif action.take("add"):
        yield from _added(table, action)
    elif action.take("drop constraint"):
        yield Shed()
    elif action.take("drop column", "drop"):
        action.take("if exists")
        yield from (DropColumn(table=table, column=name) for name in [action.name()] if name)
    elif action.take("alter column", "alter"):
        if (column := action.name()) is not None:
            yield from _altered(table, column, action)
    elif action.take("set schema"):
        yield Withdraw(what="table", name=table, how=f"moves to schema {action.name()}")
    elif action.take("enable row level security", "force row level security"):
        yield Withdraw(what="table", name=table, how="shows a role no more rows than its policies allow")
    elif action.take("detach partition"):
        yield Withdraw(what="table", name=table, how=f"no longer has the rows of partition {action.table()}")
    elif action.begins("set logged", "set unlogged", "set tablespace", "set access method"):
        how = " ".join(token.text for token in action.rest[: 3 if action.begins("set access") else 2]).upper()
        yield Hold(tables=(table,), how=f"{how} writes the table anew")


def _added(table: TableName, action: Phrase) -> Iterator[Deed]:
    if action.begins(*_TABLE_CONSTRAINT):
        name = action.name() if action.take("constraint") else None
        if action.take("not null"):
            yield from _never_null(table, name, action)
        elif (constraint := _constraint(name, action)) is not None:
            yield AddConstraint(table=table, constraint=constraint)
        return
    action.take("column")
    if_missing = action.take("if not exists") is not None
    if (column := _column(action)) is not None:
        yield AddColumn(table=table, column=column, if_missing=if_missing)


def _never_null(table: TableName, name: str | None, action: Phrase) -> Iterator[Deed]:
    """Read the rest of a NOT NULL that is a constraint of the table, as PostgreSQL 18 has it."""
    column = action.name()
    if column is not None and action.has("not", "valid"):
        said = Constraint(kind="check", name=name, columns=(column,), not_valid=True)
        yield AddConstraint(table=table, constraint=said)
    elif column is not None:
        yield AlterColumn(table=table, column=column, how="set not null")


def _altered(table: TableName, column: str, action: Phrase) -> Iterator[Deed]:
    if action.take("set data type", "type"):
        kind = action.until("collate", "using")
        collation = action.until("using").text if action.take("collate") else None
        using = action.text if action.take("using") else None
        yield ChangeType(table=table, column=column, type=kind.text, using=using, collation=collation)
    elif action.take("set not null"):
        yield AlterColumn(table=table, column=column, how="set not null")
    elif action.take("drop not null"):
        yield AlterColumn(table=table, column=column, how="drop not null")
    elif action.take("set default"):
        yield AlterColumn(table=table, column=column, how="set default", default=action.text)
    elif action.take("drop default"):
        yield AlterColumn(table=table, column=column, how="drop default")
    elif action.take("drop identity"):
        yield Withdraw(what="table", name=table, how=f"no longer draws a value for {column}")
    elif action.take("set expression"):
        yield Hold(tables=(table,), how=f"SET EXPRESSION computes {column} anew in every row")


def _column(phrase: Phrase) -> ColumnText | None:
    name = phrase.name()
    if name is None or phrase.next is None:
        return None
    kind = phrase.until(*_AFTER_TYPE).text
    column = ColumnText(name=name, type=kind, drawn=kind.lower() in _SERIALS)
    while phrase.rest:
        column = _with(column, phrase)
    return column


def _with(column: ColumnText, phrase: Phrase) -> ColumnText:  # noqa: PLR0911 - one line for each form
    """Read one constraint of a column, or go past what is none."""
    if phrase.take("constraint"):
        phrase.name()
        return column
    match phrase.take("not null", "default", "check", "unique", "primary key", "references", "generated"):
        case "not null":
            return replace(column, not_null=True)
        case "default":
            return replace(column, default=phrase.until(*_AFTER_TYPE).text or None)
        case "check":
            condition = phrase.within()
            return replace(column, check=condition.text if condition else None)
        case "unique":
            return replace(column, unique=True)
        case "primary key":
            return replace(column, primary=True, not_null=True)
        case "references":
            return replace(column, references=_pointed(phrase))
        case "generated":
            # One that is VIRTUAL is computed when it is read, so no row is written ("Generated Columns", 18).
            return replace(column, drawn=not phrase.has("virtual"))
        case _:
            phrase.skip()
            return column


def _pointed(phrase: Phrase) -> Pointed | None:
    if (table := phrase.table()) is None:
        return None
    listed = phrase.within()
    found = Pointed(table=table, columns=(listed.names() if listed else None) or ())
    while (event := phrase.take("on delete", "on update", "match full", "match partial", "match simple")) is not None:
        if event.startswith("on"):
            action = phrase.take(*_ACTIONS)
            found = replace(found, **{event.replace(" ", "_"): action})
            phrase.within()
    return found


def _constraint(name: str | None, phrase: Phrase) -> Constraint | None:
    kind: ConstraintKind | None = next((each for each in _KINDS if phrase.take(each)), None)
    if kind is None:
        return None
    special = kind in ("unique", "primary key") and phrase.take("nulls not distinct") is not None
    if kind != "exclude" and phrase.take("using index"):
        return Constraint(kind=kind, name=name, using_index=True)
    inner = phrase.within() if kind != "exclude" else None
    pointed = _pointed(phrase) if kind == "foreign key" and phrase.take("references") else None
    deferrable = phrase.has("deferrable") and not phrase.has("not", "deferrable")
    return Constraint(
        kind=kind,
        name=name,
        columns=(inner.names() or ()) if inner and kind != "check" else (),
        check=inner.text if inner and kind == "check" else "",
        references=pointed,
        not_valid=phrase.has("not", "valid"),
        plain=not (special or deferrable or phrase.has("no", "inherit")),
    )


def _create_table(phrase: Phrase) -> Iterator[Deed]:
    if_missing = phrase.take("if not exists") is not None
    table = phrase.table()
    if table is None:
        return
    inner = phrase.within()
    parts = tuple(inner.parts()) if inner else ()
    elements = [part for part in parts if not part.begins(*_TABLE_CONSTRAINT, "like")]
    columns = tuple(column for part in elements if (column := _column(part)) is not None)
    yield CreateTable(table=table, columns=columns, if_missing=if_missing)


# ---------------------------------------------------------------- indexes, types, the rest


def _create_index(phrase: Phrase, *, unique: bool) -> Iterator[Deed]:
    concurrently = phrase.take("concurrently") is not None
    phrase.take("if not exists")
    name = None if phrase.begins("on") else phrase.name()
    if not phrase.take("on"):
        return
    phrase.take("only")
    table = phrase.table()
    if table is None:
        yield Hidden()
        return
    tail = phrase.text
    btree = not phrase.take("using") or phrase.name() == "btree"
    keys = phrase.within()
    plain = btree and not (phrase.has("where") or phrase.has("nulls", "not") or phrase.has("include"))
    columns = _key_columns(keys) if keys and plain else None
    yield CreateIndex(table=table, name=name, unique=unique, concurrently=concurrently, columns=columns, tail=tail)


def _key_columns(keys: Phrase) -> tuple[str, ...] | None:
    found: list[str] = []
    for key in keys.parts():
        name = key.name()
        key.take("asc")
        key.take("nulls last")
        if name is None or key.rest:
            return None
        found.append(name)
    return tuple(found)


def _create_type(phrase: Phrase) -> Iterator[Deed]:
    name = phrase.table()
    if name is not None and phrase.take("as enum") and (labels := phrase.within()) is not None:
        strings = tuple(unquoted(token.text) for token in labels.rest if token.kind == "string")
        yield CreateEnum(type=name, labels=strings)
    elif name is not None:
        yield Create(what="type", names=(name,))


def _alter_type(phrase: Phrase) -> Iterator[Deed]:
    name = phrase.table()
    if name is None:
        return
    if phrase.take("rename value"):
        labels = [unquoted(token.text) for token in phrase.rest if token.kind == "string"]
        if len(labels) == 2:  # noqa: PLR2004 - before TO, and after it
            yield RenameValue(type=name, old=labels[0], new=labels[1])
    elif phrase.take("add value"):
        labels = [unquoted(token.text) for token in phrase.rest if token.kind == "string"]
        yield from (AddValue(type=name, label=label) for label in labels[:1])
    elif phrase.take("rename to"):
        yield from (RenameType(type=name, to=TableName(name.schema, to)) for to in [phrase.name()] if to)
    elif phrase.take("set schema"):
        yield Withdraw(what="type", name=name, how=f"moves to schema {phrase.name()}")
    else:
        for action in phrase.parts():
            if action.take("drop attribute", "rename attribute", "alter attribute") is not None:
                action.take("if exists")
                yield Withdraw(what="type", name=name, how=f"no longer has {action.name()} as it was")


def _alter_named(what: str) -> Callable[[Phrase], Iterator[Deed]]:
    """Return what reads how a thing gets another name, or goes to another schema."""

    def how(phrase: Phrase) -> Iterator[Deed]:
        phrase.take("if exists")
        name = phrase.table()
        phrase.within()  # the arguments of a function
        if name is None or phrase.take("rename constraint"):
            return
        if phrase.take("rename to"):
            yield Withdraw(what=what, name=name, how=f"becomes {phrase.name()}")
        elif phrase.take("rename column", "rename"):
            yield Withdraw(what=what, name=name, how="has a column under another name")
        elif phrase.take("set schema"):
            yield Withdraw(what=what, name=name, how=f"moves to schema {phrase.name()}")
        elif what == "domain" and phrase.begins("add", "set not null") and not phrase.has("not", "valid"):
            yield Withdraw(what=what, name=name, how="refuses values that it took, and every table with it is held")

    return how


def _revoke(phrase: Phrase) -> Iterator[Deed]:
    """Read which rights go; that to grant them is nobody's who only reads and writes."""
    if phrase.take("grant option for", "admin option for"):
        return
    if not phrase.has("on"):
        yield from (Withdraw(what="role", name=name, how="has fewer members") for name in phrase.tables())
        return
    phrase.seek("on")
    what = "schema" if phrase.begins("all") and phrase.seek("schema") else phrase.take(*_THINGS) or "table"
    yield from (Withdraw(what=what, name=name, how="is no longer allowed to roles") for name in phrase.tables())


def _policy(how: str) -> Callable[[Phrase], Iterator[Deed]]:
    """Return what reads a policy that has rows out of sight; `how` is told with its name."""

    def read_on(phrase: Phrase) -> Iterator[Deed]:
        phrase.take("if exists")
        name, _, table = phrase.name(), phrase.take("on"), phrase.table()
        if name and table and not phrase.begins("rename"):
            yield Withdraw(what="table", name=table, how=how.format(name))

    return read_on


def _create(phrase: Phrase) -> Iterator[Deed]:
    if phrase.take("policy"):
        # One that is permissive, as all are if nothing else is said, only adds rows ("CREATE POLICY").
        if phrase.has("as", "restrictive"):
            yield from _policy("no longer shows what policy {} refuses")(phrase)
        return
    phrase.take("or replace")
    phrase.take("temporary", "temp", "unlogged", "global temporary", "local temporary")
    phrase.take("recursive")
    if phrase.take("table"):
        yield from _create_table(phrase)
    elif phrase.take("unique index"):
        yield from _create_index(phrase, unique=True)
    elif phrase.take("index"):
        yield from _create_index(phrase, unique=False)
    elif phrase.take("type"):
        yield from _create_type(phrase)
    elif (what := phrase.take(*_THINGS)) is not None:
        phrase.take("if not exists")
        yield from (Create(what=what, names=(name,)) for name in [phrase.table()] if name)


def _drop(phrase: Phrase) -> Iterator[Deed]:
    if phrase.take("index"):
        yield Shed()
    if phrase.take("owned by"):
        how = "loses its rights here, and all that it owns is gone with its rows"
        yield from (Withdraw(what="role", name=name, how=how) for name in phrase.tables())
        return
    if (what := phrase.take(*_THINGS, "extension")) is None:
        return
    phrase.take("if exists")
    names: list[TableName] = []
    while (name := phrase.table()) is not None:
        names.append(name)
        phrase.within()  # the arguments of a function
        if not phrase.mark(","):
            break
    yield Drop(what=what, names=tuple(names)) if names else Hidden()


def _truncate(phrase: Phrase) -> Iterator[Deed]:
    phrase.take("table")
    yield Hold(tables=phrase.tables(), how="TRUNCATE takes every row away", loses=True)


def _cluster(phrase: Phrase) -> Iterator[Deed]:
    phrase.take("verbose")
    yield Hold(tables=phrase.tables()[:1], how="CLUSTER writes the table anew")


def _vacuum(phrase: Phrase) -> Iterator[Deed]:
    options = phrase.within()
    said = list(options.parts()) if options else []
    full = phrase.take("full") is not None or any(each.take("full") and each.text.lower() not in _OFF for each in said)
    phrase.take("verbose")
    if full:
        yield Hold(tables=phrase.tables(), how="VACUUM FULL writes the table anew", instead="plain VACUUM")


def _refresh(phrase: Phrase) -> Iterator[Deed]:
    if phrase.take("concurrently") is None:
        yield Hold(
            tables=phrase.tables(), how="the view is computed anew", instead="REFRESH MATERIALIZED VIEW CONCURRENTLY"
        )


def _reindex(phrase: Phrase) -> Iterator[Deed]:
    if not phrase.has("concurrently"):
        yield Hold(tables=(), how="REINDEX builds indexes anew", instead="REINDEX … CONCURRENTLY")


def _lock(phrase: Phrase) -> Iterator[Deed]:
    phrase.take("table")
    yield Hold(tables=phrase.tables(), how="LOCK holds the table to the end of the transaction")


def _update(phrase: Phrase) -> Iterator[Deed]:
    phrase.take("only")
    if (table := phrase.table()) is not None and not phrase.has("where"):
        yield Hold(
            tables=(table,),
            how="every row is written in one transaction",
            instead="a plan of kind sql, whose backfill writes in batches",
        )


def _delete(phrase: Phrase) -> Iterator[Deed]:
    phrase.take("only")
    if (table := phrase.table()) is not None and not phrase.has("where"):
        yield Hold(tables=(table,), how="DELETE takes every row away", loses=True)


def _do(phrase: Phrase) -> Iterator[Deed]:
    """Read the statements within a DO block: PL/pgSQL has the same lexical rules ("Structure of PL/pgSQL", 41.2)."""
    body = next((token.text for token in phrase.rest if token.kind == "string"), "")
    if body.startswith("$"):
        body = body[body.index("$", 1) + 1 : body.rindex("$", 0, len(body) - 1)]
    else:
        body = unquoted(body) if body else ""
    for part in Phrase.several(body):
        while _enters(part):
            pass
        if part.begins("execute"):
            yield Hidden()
        else:
            yield from _read(part)


def _enters(part: Phrase) -> bool:
    """Go past what opens a block, a branch or a loop before a statement of PL/pgSQL; whether there was any."""
    if part.mark("<"):  # a label: <<name>>
        part.mark("<")
        part.name()
        return part.mark(">") and part.mark(">")
    if part.take("begin", "declare", "then", "else", "loop"):
        return True
    if part.begins("exception", "if", "case", "when", "elsif", "elseif"):
        return part.seek("then")
    return part.begins("for", "foreach", "while") and part.seek("loop")


_HEADS: tuple[tuple[str, Callable[[Phrase], Iterator[Deed]]], ...] = (
    ("alter table", _alter_table),
    ("alter foreign table", _alter_table),
    ("alter type", _alter_type),
    *((f"alter {what}", _alter_named(what)) for what in _RENAMED),
    ("alter policy", _policy("shows other rows: policy {} is another")),
    ("create", _create),
    ("drop policy", _policy("no longer shows rows by policy {}")),
    ("drop", _drop),
    ("truncate", _truncate),
    ("cluster", _cluster),
    ("vacuum", _vacuum),
    ("refresh materialized view", _refresh),
    ("reindex", _reindex),
    ("lock", _lock),
    ("update", _update),
    ("delete from", _delete),
    ("do", _do),
    ("revoke", _revoke),
)
"""How a statement begins, and what reads the rest."""
