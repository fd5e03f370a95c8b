"""A column as a line of a SQLAlchemy model, in the declarative form ("ORM Mapped Class Configuration")."""

import keyword
import re

from orchestrator.toolchains.declaring.described import Described, apart, own_type

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
    arguments = [*([] if plain else [repr(column.name)]), kind, *_more(column)]
    return f"{attribute}: Mapped[{python}{optional}] = mapped_column({', '.join(arguments)}){remark}"


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
    found = ["primary_key=True"] if column.primary else []
    if column.generated:
        return [*found, f"Computed({column.default!r}, persisted=True)"] if column.default else found
    if column.identity:
        return [*found, "Identity()"]
    if column.default is not None and not (column.counts and column.primary):
        found.append(f"server_default=text({column.default!r})")
    return found
