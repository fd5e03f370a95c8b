"""Columns, constraints, enums and tables as lines of SQLAlchemy models, in the declarative form.

"ORM Mapped Class Configuration" and "Defining Constraints and Indexes".
"""

import keyword
import re
from collections.abc import Iterable

from orchestrator.sql.edits import AddCheck, AddForeignKey, AddIndex, AddUnique
from orchestrator.sql.identifiers import TableName
from orchestrator.toolchains.declaring.described import Described, Own, apart, cut, own_type

_TYPES = {
    "smallint": ("SmallInteger", "int"), "integer": ("Integer", "int"), "bigint": ("BigInteger", "int"),
    "text": ("Text", "str"), "boolean": ("Boolean", "bool"), "real": ("REAL", "float"),
    "double precision": ("Double", "float"), "json": ("JSON", "dict"), "jsonb": ("JSONB", "dict"),
    "uuid": ("Uuid", "UUID"), "date": ("Date", "date"), "time": ("Time", "time"), "interval": ("Interval", "timedelta"),
    "timestamp": ("DateTime", "datetime"), "bytea": ("LargeBinary", "bytes"), "inet": ("INET", "str"),
    "cidr": ("CIDR", "str"), "macaddr": ("MACADDR", "str"), "macaddr8": ("MACADDR8", "str"), "money": ("MONEY", "str"),
    "tsvector": ("TSVECTOR", "str"), "tsquery": ("TSQUERY", "str"), "citext": ("CITEXT", "str"), "oid": ("OID", "int"),
    "hstore": ("HSTORE", "dict"), "int4range": ("INT4RANGE", "Range[int]"), "int8range": ("INT8RANGE", "Range[int]"),
    "numrange": ("NUMRANGE", "Range[Decimal]"), "daterange": ("DATERANGE", "Range[date]"),
    "tsrange": ("TSRANGE", "Range[datetime]"), "tstzrange": ("TSTZRANGE", "Range[datetime]"),
}  # fmt: skip
_SIZED = {"character varying": "String", "character": "CHAR", "bit": "BIT"}


def line(column: Described) -> str:
    """Return the line of a column; where SQLAlchemy has no like of its type, it says so."""
    name, sizes, dimensions = apart(column.type)
    kind, python, remark = _type(name, sizes)
    for _ in range(dimensions):
        kind, python = f"ARRAY({kind})", f"list[{python}]"
    optional = "" if column.not_null or column.primary else " | None"
    plain = column.name.isidentifier() and not keyword.iskeyword(column.name)
    attribute = (
        column.name if plain else re.sub(r"\W|^(?=\d)", "_", column.name) + ("_" if column.name.isidentifier() else "")
    )
    keys = [_reference(each) for each in column.own if isinstance(each, AddForeignKey)]
    unique = ["unique=True" for each in column.own if isinstance(each, AddUnique)]
    arguments = [*([] if plain else [repr(column.name)]), kind, *keys, *_more(column), *unique]
    return f"{attribute}: Mapped[{python}{optional}] = mapped_column({', '.join(arguments)}){remark}"


def on_column(constraint: Own) -> bool:
    """Whether a constraint stands in a column's line: a unique one only by the name that PostgreSQL gives it."""
    made = cut("_".join((constraint.table.name, *constraint.columns, "key")))
    return len(constraint.columns) == 1 and (isinstance(constraint, AddForeignKey) or constraint.name == made)


def _reference(key: AddForeignKey) -> str:
    named = key.name != cut("_".join((key.table.name, *key.columns, "fkey")))
    words = (("name", key.name if named else None), *_actions(key))
    said = "".join(f", {word}={text!r}" for word, text in words if text)
    return f"ForeignKey({f'{_plain(key.to)}.{key.to_columns[0]}'!r}{said})"


def _actions(key: AddForeignKey) -> tuple[tuple[str, str | None], ...]:
    given = (("ondelete", key.on_delete), ("onupdate", key.on_update))
    return tuple((word, action and action.upper()) for word, action in given)


def beside(edit: AddUnique | AddCheck | AddForeignKey | AddIndex) -> str:
    """Return the line of a constraint or index, in __table_args__."""
    match edit:
        case AddUnique():
            return f"UniqueConstraint({_listed(edit.columns)}, name={edit.name!r}),"
        case AddCheck():
            # text() takes `:name` for a parameter.
            condition = re.sub(r"(?<!:):(?=\w)", r"\\:", edit.condition)
            return f"CheckConstraint({condition!r}, name={edit.name!r}),"
        case AddIndex():
            return f"Index({edit.name!r}, {edit.column!r}),"
        case AddForeignKey():
            there = _listed(f"{_plain(edit.to)}.{each}" for each in edit.to_columns)
            said = "".join(f", {word}={action!r}" for word, action in _actions(edit) if action)
            return f"ForeignKeyConstraint([{_listed(edit.columns)}], [{there}], name={edit.name!r}{said}),"


def labels(name: TableName, given: Iterable[str]) -> str:
    """Return the type of an enum."""
    schema = "" if name.schema == "public" else f", schema={name.schema!r}"
    return f"Enum({_listed(given)}, name={name.name!r}{schema})"


def table(name: TableName, columns: Iterable[str], constraint: str) -> list[str]:
    """Return the lines of a table's model with one constraint."""
    words = "".join(part[:1].upper() + part[1:] for part in re.split(r"\W|_", name.name))
    schema = "" if name.schema == "public" else f", {{'schema': {name.schema!r}}}"
    body = [f"__tablename__ = {name.name!r}", *columns, f"__table_args__ = ({constraint.removesuffix(',')},{schema})"]
    return [f"class {words}(Base):", *(f"    {each}" for each in body)]


def _plain(name: TableName) -> str:
    return name.name if name.schema == "public" else f"{name.schema}.{name.name}"


def _listed(values: Iterable[str]) -> str:
    return ", ".join(map(repr, values))


def _type(name: str, sizes: tuple[str, ...]) -> tuple[str, str, str]:
    """Return a type, what it is in Python, and a remark to stand after the line."""
    if name in _SIZED:
        return f"{_SIZED[name]}({sizes[0]})" if sizes else _SIZED[name], "str", ""
    if name == "numeric":
        return f"Numeric({', '.join(sizes)})" if sizes else "Numeric", "Decimal", ""
    zoned = name.endswith(" with time zone")
    plain = name.removesuffix(" with time zone").removesuffix(" without time zone")
    if plain in _TYPES:
        kind, python = _TYPES[plain]
        if plain in ("time", "timestamp") and (zoned or sizes):
            kind = f"{plain.upper()}(" + ", ".join(
                [*(["timezone=True"] if zoned else []), *([f"precision={sizes[0]}"] if sizes else [])]
            ) + ")" if sizes else f"{kind}(timezone=True)"  # fmt: skip
        return kind, python, ""
    own = "".join(part[:1].upper() + part[1:] for part in re.split(r"\W|_", own_type(name)))
    return own, "str", f"  # {own}: your Enum or UserDefinedType for {name}"


def _more(column: Described) -> list[str]:
    key = ["primary_key=True"] if column.primary else []
    if column.generated:
        return [f"Computed({column.default!r}, persisted=True)", *key] if column.default else key
    if column.identity:
        return ["Identity(always=True)" if column.always else "Identity()", *key]
    if column.default is not None and not (column.counts and column.primary):
        return [*key, f"server_default=text({column.default!r})"]
    return key
