"""Columns, constraints, enums and tables as lines of Drizzle's schema.

"PostgreSQL column types", "Indexes & Constraints" and "Schemas", drizzle-orm/pg-core.
"""

import json
from collections.abc import Iterable

from orchestrator.sql.edits import AddCheck, AddForeignKey, AddIndex, AddUnique
from orchestrator.sql.identifiers import TableName
from orchestrator.toolchains.declaring.described import Described, Own, apart, camel, cut, own_type

_PLAIN = {
    "smallint": "smallint", "integer": "integer", "text": "text", "boolean": "boolean", "real": "real",
    "double precision": "doublePrecision", "json": "json", "jsonb": "jsonb", "uuid": "uuid", "date": "date",
    "interval": "interval", "inet": "inet", "cidr": "cidr", "macaddr": "macaddr", "macaddr8": "macaddr8",
    "point": "point", "line": "line",
}  # fmt: skip
_SERIAL = {"smallint": "smallserial", "integer": "serial"}
_NONE = frozenset({"bytea", "money", "xml", "tsvector", "tsquery", "bit varying", "box", "path", "polygon", "circle",
                   "int4range", "int8range", "numrange", "tsrange", "tstzrange", "daterange", "oid", "citext", "hstore",
                   "ltree", "name"})  # fmt: skip


def line(column: Described) -> str:
    """Return the line of a column; where pg-core has no like of its type, it says so."""
    name, sizes, dimensions = apart(column.type)
    called, remark = _called(column, name, sizes)
    parts = [called, ".array()" * dimensions, ".primaryKey()" if column.primary else ""]
    parts.append(".notNull()" if column.not_null and not column.primary else "")
    parts.append(_default(column, name))
    parts += map(_on, column.own)
    return f"{camel(column.name)}: {''.join(parts)},{remark}"


def on_column(constraint: Own) -> bool:
    """Whether a constraint stands in a column's line: it has the name that Drizzle makes up for one there.

    Any other is made anew by drizzle-kit unless its name is written out.
    """
    of = constraint.table.name, *constraint.columns
    if len(constraint.columns) != 1:
        return False
    if isinstance(constraint, AddUnique):
        return constraint.name == cut("_".join((*of, "unique")))
    made = "_".join((*of, constraint.to.name, *constraint.to_columns))
    return constraint.name in (cut(f"{made}_fk"), cut(f"{made}_fkey"))  # 0.31, 1.0


def _on(constraint: Own) -> str:
    if isinstance(constraint, AddUnique):
        return ".unique()"
    # TypeScript infers no type of a table from itself ("Indexes & Constraints", self reference).
    to = "(): AnyPgColumn" if constraint.to == constraint.table else "()"
    actions = (("onDelete", constraint.on_delete), ("onUpdate", constraint.on_update))
    said = ", ".join(f'{word}: "{action}"' for word, action in actions if action)
    there = f"{camel(constraint.to.name)}.{camel(constraint.to_columns[0])}"
    return f".references({to} => {there}{f', {{ {said} }}' if said else ''})"


def beside(edit: AddUnique | AddCheck | AddForeignKey | AddIndex) -> str:
    """Return the line of a constraint or index, in the list that pgTable takes last: (table) => […]."""
    name = json.dumps(edit.name, ensure_ascii=False)
    match edit:
        case AddUnique():
            return f"unique({name}).on({_of('table', edit.columns)}),"
        case AddCheck():
            return f"check({name}, {_sql(edit.condition)}),"
        case AddIndex():
            return f"index({name}).on({_of('table', (edit.column,))}),"
        case AddForeignKey():
            columns, there = _of("table", edit.columns), _of(camel(edit.to.name), edit.to_columns)
            actions = ((".onDelete", edit.on_delete), (".onUpdate", edit.on_update))
            said = "".join(f'{call}("{action}")' for call, action in actions if action)
            return f"foreignKey({{ name: {name}, columns: [{columns}], foreignColumns: [{there}] }}){said},"


def labels(name: TableName, given: Iterable[str]) -> str:
    """Return the line of an enum."""
    values = json.dumps([*given], ensure_ascii=False)
    return f"export const {camel(name.name)} = {_made('pgEnum', name)}, {values});"


def table(name: TableName, columns: Iterable[str], constraint: str) -> list[str]:
    """Return the lines of a table with one constraint."""
    begins = f"export const {camel(name.name)} = {_made('pgTable', name)}, {{"
    return [begins, *(f"  {each}" for each in columns), f"}}, (table) => [{constraint.removesuffix(',')}]);"]


def _made(call: str, name: TableName) -> str:
    """Return how a call begins: a schema of its own has calls of its own ("Schemas", drizzle-orm/pg-core)."""
    own = call if name.schema == "public" else f"{camel(name.schema)}.{call.removeprefix('pg').lower()}"
    return f"{own}({json.dumps(name.name, ensure_ascii=False)}"


def _of(variable: str, columns: Iterable[str]) -> str:
    return ", ".join(f"{variable}.{camel(each)}" for each in columns)


def _sql(text: str) -> str:
    written = text.replace("\\", "\\\\").replace("`", "\\`").replace("${", "\\${")
    return f"sql`{written}`"


def _called(column: Described, name: str, sizes: tuple[str, ...]) -> tuple[str, str]:  # noqa: PLR0911 - a table
    """Return the call that makes a column, and a remark to stand after it."""
    quoted = json.dumps(column.name, ensure_ascii=False)
    if column.counts and name in _SERIAL:
        return f"{_SERIAL[name]}({quoted})", ""
    if name == "bigint":
        return f'{"bigserial" if column.counts else "bigint"}({quoted}, {{ mode: "number" }})', ""
    if name in _PLAIN:
        return f"{_PLAIN[name]}({quoted})", ""
    if name in ("character varying", "character"):
        short = "varchar" if name == "character varying" else "char"
        return f"{short}({quoted}{f', {{ length: {sizes[0]} }}' if sizes else ''})", ""
    if name == "numeric":
        said = ", ".join(f"{key}: {size}" for key, size in zip(("precision", "scale"), sizes, strict=False))
        return f"numeric({quoted}{f', {{ {said} }}' if said else ''})", ""
    if name.startswith(("timestamp", "time")):
        short = "timestamp" if name.startswith("timestamp") else "time"
        said = [f"precision: {sizes[0]}"] if sizes else []
        said += ["withTimezone: true"] if name.endswith("with time zone") else []
        options = ", ".join(said)
        return f"{short}({quoted}{f', {{ {options} }}' if said else ''})", ""
    if name in ("bit", "vector"):
        return f"{name}({quoted}{f', {{ dimensions: {sizes[0]} }}' if sizes else ''})", ""
    own = camel(own_type(name))
    if name in _NONE:
        return f"{own}({quoted})", f" // pg-core has no {name}: declare {own} with customType"
    return f"{own}({quoted})", f" // {own}: your pgEnum or customType for {name}"


def _default(column: Described, name: str) -> str:  # noqa: PLR0911 - a table
    if column.generated:
        return f".generatedAlwaysAs(sql`{column.default}`)" if column.default else ""
    if column.identity:
        return ".generatedAlwaysAsIdentity()" if column.always else ".generatedByDefaultAsIdentity()"
    if column.default is None or column.counts:
        return ""
    if column.default == "now()" and name.startswith("timestamp"):
        return ".defaultNow()"
    if column.default == "gen_random_uuid()" and name == "uuid":
        return ".defaultRandom()"
    if column.default in ("true", "false"):
        return f".default({column.default})"
    if column.number is not None and name in ("smallint", "integer", "bigint", "real", "double precision"):
        return f".default({column.number})"
    if column.literal is not None and name not in ("json", "jsonb") and not column.type.endswith("]"):
        return f".default({json.dumps(column.literal, ensure_ascii=False)})"
    return f".default({_sql(column.default)})"
