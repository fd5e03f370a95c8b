"""Expressions that give a value of one enum type for that of another, by a table of labels.

They read nothing but the row and call nothing but PostgreSQL's own, so a trigger, a sweep, a proof and a check can
all have them. Values go through text: between two enum types there is no other cast. Labels come in an order that
does not depend on how the plan was kept: the journal's JSON has one of its own.
"""

from collections.abc import Iterable, Mapping

from psycopg import sql

_TEXT = sql.SQL("::pg_catalog.text")


def of_value(column: str, labels: Mapping[str, str], type_name: str, *, unknown: Iterable[str] = ()) -> str:
    """Return the expression for one value.

    Args:
        column: of the other type.
        labels: those that are not the same in both, by the one in the other type.
        type_name: as in a statement.
        unknown: labels of the other type that this one has nothing for: the value is NULL then.
    """
    text = sql.SQL("{}{}").format(sql.Identifier(column), _TEXT)
    cases = [
        *(sql.SQL("WHEN {} THEN {}").format(*map(sql.Literal, pair)) for pair in sorted(labels.items())),
        *(sql.SQL("WHEN {} THEN NULL").format(sql.Literal(label)) for label in unknown),
    ]
    if cases:
        text = sql.SQL("(CASE {} {} ELSE {} END)").format(text, sql.SQL(" ").join(cases), text)
    return text.as_string(None) + f"::{type_name}"


def of_array(column: str, labels: Mapping[str, str], type_name: str, *, unknown: Iterable[str] = ()) -> str:
    """Return the same for each element of an array; one with an element that is unknown is NULL as a whole.

    array_replace keeps order, NULLs, and dimensions with their bounds ("Array Functions", manual 9.19).
    """
    texts = sql.SQL("{}::pg_catalog.text[]").format(sql.Identifier(column))
    value: sql.Composable = texts
    for old, new in one_by_one(labels):
        value = sql.SQL("pg_catalog.array_replace({}, {}, {})").format(value, _literal(old), _literal(new))
    if unheld := tuple(unknown):
        elements = sql.SQL(", ").join(map(sql.Literal, unheld))
        value = sql.SQL(
            "(CASE WHEN {} OPERATOR(pg_catalog.&&) ARRAY[{}]::pg_catalog.text[] THEN NULL ELSE {} END)"
        ).format(texts, elements, value)
    return f"{value.as_string(None)}::{type_name}"


def _literal(label: str) -> sql.Composed:
    return sql.SQL("{}{}").format(sql.Literal(label), _TEXT)


def one_by_one(labels: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """Return replacements that can be done one after the other: what one has put there, no later one finds."""
    if not labels.keys() & set(labels.values()):
        return sorted(labels.items())
    # No label is as long as these (NAMEDATALEN).
    between = {old: f"{old}{'.' * 64}" for old in sorted(labels)}
    return (*between.items(), *((between[old], labels[old]) for old in between))
