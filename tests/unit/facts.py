"""Facts of tables that no database has, in short."""

from typing import Any

from orchestrator.sql.facts import Column, Index, Table, Trigger
from orchestrator.sql.identifiers import TableName


def column(name: str, **settings: Any) -> Column:
    """Return an integer column without anything special."""
    plain: dict[str, Any] = {
        "type": "integer",
        "plain_type": "integer",
        "collation": None,
        "not_null": False,
        "default": None,
        "default_is_constant": False,
        "identity": False,
        "generated": False,
        "partition_key": False,
        "grants": (),
    }
    return Column(name=name, **{**plain, **settings})


def index(name: str, *columns: str, **settings: Any) -> Index:
    """Return a plain, valid index."""
    plain: dict[str, Any] = {
        "unique": False,
        "valid": True,
        "tail": f" USING btree ({', '.join(columns)})",
        "size": 8192,
    }
    return Index(name=name, columns=frozenset(columns), **{**plain, **settings})


def trigger(name: str, **settings: Any) -> Trigger:
    """Return a BEFORE UPDATE row trigger."""
    plain: dict[str, Any] = {
        "function": "f",
        "timing": "BEFORE",
        "per_row": True,
        "constraint": False,
        "events": ("UPDATE",),
        "update_of": (),
        "tail": " ON public.books FOR EACH ROW EXECUTE FUNCTION public.f()",
        "enabled": "O",
        "arguments": (),
        "comment": None,
    }
    return Trigger(name=name, **{**plain, **settings})


def table(name: str = "books", *columns: Column, **settings: Any) -> Table:
    """Return an ordinary table that the connected role owns."""
    plain: dict[str, Any] = {
        "oid": 1,
        "kind": "r",
        "owner": "me",
        "role": "me",
        "owner_is_superuser": False,
        "rows": 0,
        "bytes": 0,
        "inherits": False,
        "of_type": False,
        "is_partition": False,
        "row_security": False,
        "columns": columns or (column("id"), column("year"), column("title")),
        "indexes": (),
        "triggers": (),
        "publications": (),
        "may_alter": True,
        "may_create_in_schema": True,
    }
    return Table(name=TableName.parse(name), **{**plain, **settings})
