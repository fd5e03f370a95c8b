"""Run within the project's own Django (`manage.py shell`): writes a migration for what ecm does to a schema.

Only Django knows what its migrations come to so far, and how its fields are written. What is asked comes as JSON in the
variable ECM_EMIT; what is answered is one line of JSON after a mark. Nothing here imports ecm.
"""
# ruff: noqa: T201 - its answer is what it prints
# pyright: basic

import json
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from django.db import models
from django.db.migrations import Migration, operations
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.writer import MigrationWriter

Json = dict[str, Any]

MARK = "ecm answers: "
STATEMENT = "ecm's statement"

FIELDS = {
    "bigint": models.BigIntegerField,
    "boolean": models.BooleanField,
    "bytea": models.BinaryField,
    "date": models.DateField,
    "double precision": models.FloatField,
    "inet": models.GenericIPAddressField,
    "integer": models.IntegerField,
    "interval": models.DurationField,
    "jsonb": models.JSONField,
    "smallint": models.SmallIntegerField,
    "text": models.TextField,
    "time": models.TimeField,
    "time without time zone": models.TimeField,
    "timestamp with time zone": models.DateTimeField,
    "timestamptz": models.DateTimeField,
    "uuid": models.UUIDField,
    "int": models.IntegerField,
    "bool": models.BooleanField,
}
KEPT = ("null", "blank", "default", "db_default", "db_column", "db_index", "unique", "verbose_name", "help_text")
"""What a field keeps that gets another type."""


class RefusedError(Exception):
    """What cannot be written, for a person."""


def main() -> None:
    """Answer what is asked."""
    try:
        answer = written(json.loads(os.environ["ECM_EMIT"]))
    except RefusedError as refused:
        answer = {"refused": str(refused)}
    print(MARK + json.dumps(answer))


def written(asked: Json) -> Json:
    """Return a migration's file, and the fields as models.py has to have them."""
    loader = MigrationLoader(None)
    state = loader.project_state()
    owner = owning(state, asked["edits"][0]["table"])
    leaves = loader.graph.leaf_nodes(owner.app_label)
    if len(leaves) != 1:
        raise RefusedError(f"{owner.app_label} has several last migrations: manage.py makemigrations --merge")
    made, said = [], []
    for edit in asked["edits"]:
        model = owning(state, edit["table"])
        if model.app_label != owner.app_label:
            raise RefusedError(f"{model.label} and {owner.label} are of two applications, and a migration is of one")
        for operation in EDITS[edit["kind"]](model, edit):
            operation.state_forwards(owner.app_label, state)
            made.append(operation)
            said += shown(operation)
    number = (MigrationAutodetector.parse_number(leaves[0][1]) or 0) + 1
    migration = type("Migration", (Migration,), {
        "operations": [operations.RunSQL(STATEMENT, state_operations=made)],
        "dependencies": leaves,
    })(f"{number:04}_{asked['slug']}", owner.app_label)  # fmt: skip
    writer = MigrationWriter(migration, include_header=False)
    return {
        "path": writer.path,
        "name": f"{owner.app_label}.{migration.name}",
        "text": writer.as_string(),
        "fields": said,
    }


def owning(state: Any, table: str) -> Any:
    """Return the model whose table this is."""
    found = [model for model in state.apps.get_models() if named(model._meta.db_table) == table]  # noqa: SLF001
    found = [model for model in found if not model._meta.proxy and model._meta.managed]  # noqa: SLF001
    if len(found) != 1:
        several = ", ".join(model._meta.label for model in found)  # noqa: SLF001
        raise RefusedError(f"no model has the table {table}" if not found else f"{several} have the table {table}")
    return found[0]._meta  # noqa: SLF001


def named(table: str) -> str:
    """Return a table's name without quotes, as ecm has it: the schema only where it is not public."""
    return table.replace('"', "").removeprefix("public.")


def field_of(model: Any, column: str) -> Any:
    """Return a model's field by its column."""
    found = next((field for field in model.local_fields if field.column == column), None)
    if found is None:
        raise RefusedError(f"{model.label} has no field whose column is {column}")
    return found


def name_for(column: str, like: Any) -> str:
    """Return the name of a field for a column: that of a foreign key lacks the end."""
    return column.removesuffix("_id") if like is not None and like.is_relation else column


def changed(field: Any, cls: Any = None, *, drop: Sequence[str] = (), **given: Any) -> Any:
    """Return a field like another."""
    _, _, arguments, keywords = field.deconstruct()
    keywords = {key: value for key, value in keywords.items() if key not in drop}
    if cls is not None:
        arguments = []
        keywords = {key: value for key, value in keywords.items() if key in KEPT}
    return (cls or type(field))(*arguments, **{**keywords, **given})


def of_type(type_name: str) -> tuple[Any, Json]:
    """Return the class of field for a type, and its arguments."""
    plain = " ".join(type_name.lower().split())
    if plain in FIELDS:
        return FIELDS[plain], {}
    if (found := re.fullmatch(r"(?:varchar|character varying)\s*\((\d+)\)", plain)) is not None:
        return models.CharField, {"max_length": int(found[1])}
    if (found := re.fullmatch(r"(?:numeric|decimal)\s*\((\d+)\s*(?:,\s*(\d+))?\)", plain)) is not None:
        return models.DecimalField, {"max_digits": int(found[1]), "decimal_places": int(found[2] or 0)}
    raise RefusedError(f"Django has no field of its own for the type {type_name}")


def add(model: Any, edit: Json) -> Iterator[Any]:
    """Give what adds a field, which may be NULL until contract."""
    like = field_of(model, edit["like"]) if edit["like"] else None
    name = name_for(edit["column"], like)
    if like is not None:
        drop = ("db_column", "unique", "primary_key", "db_index", *(() if edit["default"] else ("db_default",)))
        related = {"related_name": "+"} if like.is_relation else {}
        cls: Any = {"AutoField": models.IntegerField, "BigAutoField": models.BigIntegerField}.get(
            like.get_internal_type()
        )
        if isinstance(like, models.OneToOneField):
            cls, related = (
                models.ForeignKey,
                {**related, "to": getattr(like.remote_field, "model", None), "on_delete": models.DO_NOTHING},
            )
        field = changed(like, cls, drop=drop, null=True, **related)
    else:
        cls, arguments = of_type(edit["type"])
        field = cls(null=True, **arguments)
    yield operations.AddField(model.model_name, name, field)


def drop(model: Any, edit: Json) -> Iterator[Any]:
    """Give what removes a field."""
    yield operations.RemoveField(model.model_name, field_of(model, edit["column"]).name)


def rename(model: Any, edit: Json) -> Iterator[Any]:
    """Give what renames a field, or has another column stand behind it."""
    field = field_of(model, edit["column"])
    if field.db_column:
        yield operations.AlterField(model.model_name, field.name, changed(field, db_column=edit["to"]))
    else:
        yield operations.RenameField(model.model_name, field.name, name_for(edit["to"], field))


def retype(model: Any, edit: Json) -> Iterator[Any]:
    """Give what changes a field's type."""
    field = field_of(model, edit["column"])
    cls, arguments = of_type(edit["type"])
    if field.primary_key:
        cls = models.BigAutoField if cls is models.BigIntegerField else cls
        arguments = {**arguments, "primary_key": True}
    yield operations.AlterField(model.model_name, field.name, changed(field, cls, **arguments))


def nullable(model: Any, edit: Json) -> Iterator[Any]:
    """Give what has a field be NULL, or not any more."""
    field = field_of(model, edit["column"])
    yield operations.AlterField(model.model_name, field.name, changed(field, drop=("null",), null=edit["nullable"]))


def rename_table(model: Any, edit: Json) -> Iterator[Any]:
    """Give what has another table stand behind a model."""
    yield operations.AlterModelTable(model.model_name, edit["to"])


EDITS = {
    "AddColumn": add,
    "DropColumn": drop,
    "RenameColumn": rename,
    "ChangeType": retype,
    "SetNullable": nullable,
    "RenameTable": rename_table,
}


def source(field: Any) -> str:
    """Return a field as it is written."""
    text: Any = MigrationWriter.serialize(field)
    return text[0]


def shown(operation: Any) -> Iterator[str]:
    """Give what models.py has to say once a migration is there, a line each."""
    if isinstance(operation, operations.RemoveField):
        yield f"{operation.model_name}: without {operation.name}"
    elif isinstance(operation, operations.RenameField):
        yield f"{operation.model_name}: {operation.new_name}, as {operation.old_name} was"
    elif isinstance(operation, operations.AlterModelTable):
        yield f'{operation.name}: class Meta: db_table = "{operation.table}"'
    else:
        yield f"{operation.model_name}: {operation.name} = {source(operation.field)}"


if __name__ == "__main__":
    main()
