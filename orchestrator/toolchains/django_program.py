"""Run within the project's own Django (`manage.py shell`): writes a migration for what ecm does to a schema.

Only Django knows what its migrations come to so far, and how its fields are written. What is asked comes as JSON in the
variable ECM_EMIT; what is answered is one line of JSON after a mark. Nothing here imports ecm.
"""
# ruff: noqa: T201 - its answer is what it prints
# pyright: basic

import inspect
import json
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import apps
from django.db import connection, models
from django.db.migrations import Migration, operations
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.optimizer import MigrationOptimizer
from django.db.migrations.writer import MigrationWriter
from django.db.models.expressions import RawSQL

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
    owner = owning(state, about(asked["edits"][0]))
    leaves = loader.graph.leaf_nodes(owner.app_label)
    if len(leaves) != 1:
        raise RefusedError(f"{owner.app_label} has several last migrations: manage.py makemigrations --merge")
    made, said, others = [], [], set()
    for edit in asked["edits"]:
        if edit["kind"] == "AddForeignKey":
            # What it points to has to be there first, where another application makes it.
            others |= {owning(state, edit["to"]).app_label} - {owner.app_label}
        model = owning(state, about(edit))
        if model.app_label != owner.app_label:
            raise RefusedError(f"{model.label} and {owner.label} are of two applications, and a migration is of one")
        for operation in EDITS[edit["kind"]](model, edit):
            operation.state_forwards(owner.app_label, state)
            made.append(operation)
    if any(edit["kind"] == "CreateTable" for edit in asked["edits"]):
        # A column that comes and points somewhere is one field.
        made = MigrationOptimizer().optimize(made, owner.app_label)
    said += [line for operation in made for line in shown(operation)]
    said += [
        f"choices that list labels of {edit['type']}: {', '.join(labels(edit))}"
        for edit in asked["edits"]
        if edit["kind"] == "ChangeLabels"
    ]
    number = (MigrationAutodetector.parse_number(leaves[0][1]) or 0) + 1
    migration = type("Migration", (Migration,), {
        "operations": [operations.RunSQL(STATEMENT, state_operations=made)],
        "dependencies": [*leaves, *(leaf for app in sorted(others) for leaf in loader.graph.leaf_nodes(app))],
    })(f"{number:04}_{asked['slug']}", owner.app_label)  # fmt: skip
    writer = MigrationWriter(migration, include_header=False)
    return {
        "path": writer.path,
        "name": f"{owner.app_label}.{migration.name}",
        "text": writer.as_string(),
        "fields": said,
    }


def about(edit: Json) -> str:
    """Return the table whose model tells where an edit belongs."""
    return edit["like"] if edit["kind"] == "CreateTable" else edit["table"]


def owning(state: Any, table: str) -> Any:
    """Return the model whose table this is."""
    return owning_in(state.apps, table)


def owning_in(there: Any, table: str) -> Any:
    """Return the model whose table this is, among those of a registry."""
    found = [model for model in there.get_models() if named(model._meta.db_table) == table]  # noqa: SLF001
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
    """Give what removes a field, after what stands on it."""
    name = field_of(model, edit["column"]).name
    for constraint in constraints_on(model, name):
        yield operations.RemoveConstraint(model.model_name, constraint.name)
    for each in indexes_on(model, name):
        yield operations.RemoveIndex(model.model_name, each.name)
    yield operations.RemoveField(model.model_name, name)


def constraints_on(model: Any, name: str) -> list[Any]:
    """Return the constraints that name a field."""
    return [each for each in model.constraints if name in getattr(each, "fields", ())]


def indexes_on(model: Any, name: str) -> list[Any]:
    """Return the indexes that name a field."""
    return [each for each in model.indexes if name in {field.lstrip("-") for field in each.fields}]


def renamed(model: Any, old: str, new: str) -> Iterator[Any]:
    """Give what renames a field with what names it: RenameField leaves Meta.constraints and indexes as they are."""

    def under(each: Any) -> Any:
        _, expressions, keywords = each.deconstruct()
        names = [
            ("-" if field.startswith("-") else "") + new if field.lstrip("-") == old else field
            for field in keywords["fields"]
        ]
        return type(each)(*expressions, **{**keywords, "fields": names})

    constraints, indexes = constraints_on(model, old), indexes_on(model, old)
    yield from (operations.RemoveConstraint(model.model_name, each.name) for each in constraints)
    yield from (operations.RemoveIndex(model.model_name, each.name) for each in indexes)
    yield operations.RenameField(model.model_name, old, new)
    yield from (operations.AddConstraint(model.model_name, under(each)) for each in constraints)
    yield from (operations.AddIndex(model.model_name, under(each)) for each in indexes)


def rename(model: Any, edit: Json) -> Iterator[Any]:
    """Give what renames a field, or has another column stand behind it."""
    field = field_of(model, edit["column"])
    if field.db_column:
        yield operations.AlterField(model.model_name, field.name, changed(field, db_column=edit["to"]))
    else:
        yield from renamed(model, field.name, name_for(edit["to"], field))


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


def unique(model: Any, edit: Json) -> Iterator[Any]:
    """Give what has values be there once, under the name that the constraint has in the database."""
    names = [field_of(model, column).name for column in edit["columns"]]
    yield operations.AddConstraint(model.model_name, models.UniqueConstraint(fields=names, name=edit["name"]))


def check(model: Any, edit: Json) -> Iterator[Any]:
    """Give what has a condition hold, which Django takes as it is written; it was called `check` before Django 5.1."""
    condition = RawSQL(edit["condition"].replace("%", "%%"), [], models.BooleanField())  # noqa: S611 - the plan's own
    word = "condition" if "condition" in inspect.signature(models.CheckConstraint.__init__).parameters else "check"
    constraint = models.CheckConstraint(name=edit["name"], **{word: condition})
    yield operations.AddConstraint(model.model_name, constraint)


def point(model: Any, edit: Json) -> Iterator[Any]:
    """Give what makes a field a foreign key, or has one that is none to the database be one there too."""
    if len(edit["columns"]) != 1:
        raise RefusedError(f"{edit['name']} points by several columns, and a ForeignKey of Django's has one")
    field, to = field_of(model, edit["columns"][0]), owning_in(model.apps, edit["to"])
    pointed = field_of(to, edit["to_columns"][0]) if edit["to_columns"] else to.pk
    if field.is_relation:
        if field.target_field.model._meta.label != to.label:  # noqa: SLF001
            raise RefusedError(f"{model.label}.{field.name} does not point to {to.label}, whose table is {edit['to']}")
        if not field.db_constraint:
            yield operations.AlterField(model.model_name, field.name, changed(field, drop=("db_constraint",)))
        return
    if field.db_type(connection) != pointed.rel_db_type(connection):
        raise RefusedError(
            f"{model.label}.{field.name} is {field.db_type(connection)}, and a ForeignKey to {to.label} would be"
            f" {pointed.rel_db_type(connection)}: change its type first"
        )
    name = pointing_name(model, field)
    if name != field.name:
        yield from renamed(model, field.name, name)
    kept = {"null": field.null, "blank": field.blank, "db_index": field.db_index}
    kept |= {} if field.column == f"{name}_id" else {"db_column": field.column}
    kept |= {} if pointed.primary_key else {"to_field": pointed.name}
    if any(each.is_relation and each.related_model._meta.label == to.label for each in model.local_fields):  # noqa: SLF001
        kept["related_name"] = "+"
    # What happens to rows that point to one that goes is for the database to do.
    yield operations.AlterField(
        model.model_name, name, models.ForeignKey(to.label_lower, on_delete=models.DO_NOTHING, **kept)
    )


def pointing_name(model: Any, field: Any) -> str:
    """Return what a field is called once it points: author for author_id; author_ref while there is an author too."""
    if not field.name.endswith("_id"):
        return field.name
    taken, name = {each.name for each in model.get_fields()}, field.name.removesuffix("_id")
    for each in (name, f"{name}_ref"):
        if each not in taken:
            return each
    raise RefusedError(f"{model.label} has fields {name} and {name}_ref already, and {field.column} needs such a name")


def index(model: Any, edit: Json) -> Iterator[Any]:
    """Give what has an index find rows by a field; Django knows it by its column, whatever its name."""
    field = field_of(model, edit["column"])
    kept = ("db_index",) if field.is_relation else ()
    given = {} if field.is_relation else {"db_index": True}
    yield operations.AlterField(model.model_name, field.name, changed(field, drop=kept, **given))


def create(model: Any, edit: Json) -> Iterator[Any]:
    """Give what makes a model for a table that comes, named like the table."""
    if "." in edit["table"]:
        raise RefusedError(f"{edit['table']} is in a schema of its own, and Django knows no schemas")
    auto = edit["key"] == "id" and apps.get_app_config(model.app_label).default_auto_field.endswith(".BigAutoField")
    counts = {"auto_created": True, "verbose_name": "ID"} if auto else {}
    made = [(edit["key"], models.BigAutoField(primary_key=True, serialize=False, **counts))]
    for column in edit["columns"]:
        like = field_of(model, column["column"])
        if like.is_relation:
            raise RefusedError(f"{model.label}.{like.name} is a relation, and would be one of the new model's")
        own = ("unique", "primary_key", "db_index", "default", "db_default")
        made.append((like.name, changed(like, drop=own, null=True)))
    names = [name for name, _ in made[1:]]
    words = edit["table"].removeprefix(f"{model.app_label}_").split("_")
    constraint = models.UniqueConstraint(fields=names, name=edit["unique"])
    yield operations.CreateModel(
        "".join(word.capitalize() for word in words),
        made,
        options={"db_table": edit["table"], "constraints": [constraint]},
    )


def labels(edit: Json) -> list[str]:
    """Return the labels of the end."""
    stay = [edit["rename"].get(label, label) for label in edit["before"] if label not in edit["remove"]]
    return [*stay, *edit["add"]]


EDITS = {
    "AddColumn": add,
    "DropColumn": drop,
    "RenameColumn": rename,
    "ChangeType": retype,
    "SetNullable": nullable,
    "RenameTable": rename_table,
    "AddUnique": unique,
    "AddCheck": check,
    "AddForeignKey": point,
    "AddIndex": index,
    "CreateTable": create,
    # Django knows no type of an enum's, and its migrations do not tell of one.
    "ChangeLabels": lambda _model, _edit: (),
}


def source(field: Any) -> str:
    """Return a field as it is written."""
    text: Any = MigrationWriter.serialize(field)
    return text[0]


SAID = {
    operations.RemoveField: lambda it: f"{it.model_name}: without {it.name}",
    operations.RenameField: lambda it: f"{it.model_name}: {it.new_name}, as {it.old_name} was",
    operations.AlterModelTable: lambda it: f'{it.name}: class Meta: db_table = "{it.table}"',
    operations.AddConstraint: lambda it: f"{it.model_name}: class Meta: constraints has {source(it.constraint)}",
    operations.RemoveConstraint: lambda it: f"{it.model_name}: class Meta: constraints without {it.name}",
    operations.AddIndex: lambda it: f"{it.model_name}: class Meta: indexes has {source(it.index)}",
    operations.RemoveIndex: lambda it: f"{it.model_name}: class Meta: indexes without {it.name}",
}
"""What models.py has to say once an operation is there; of any other one, its field."""


def shown(operation: Any) -> list[str]:
    """Return what models.py has to say once a migration is there, in lines."""
    if isinstance(operation, operations.CreateModel):
        fields = [f"    {name} = {source(field)}" for name, field in operation.fields if not field.auto_created]
        meta = [f"        db_table = {operation.options['db_table']!r}"]
        meta += [f"        constraints = [{source(each)}]" for each in operation.options["constraints"]]
        return [f"class {operation.name}(models.Model):", *fields, "    class Meta:", *meta]
    said: Any = SAID.get(type(operation), lambda it: f"{it.model_name}: {it.name} = {source(it.field)}")
    return [said(operation)]


if __name__ == "__main__":
    main()
