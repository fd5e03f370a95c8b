"""Alembic: one file a revision, each naming the one before; a database has the name of the last one alone.

The file is made by `alembic revision`, so that its name and template are the project's; ecm fills it in.
"""

import ast
import re
import secrets
from pathlib import Path

from psycopg import sql

from orchestrator.errors import ConfigurationError
from orchestrator.sql.bookkeeping import Row
from orchestrator.toolchains import header
from orchestrator.toolchains.reading import alembic as reading
from orchestrator.toolchains.reading.files import output
from orchestrator.toolchains.toolchain import Emission, Migration
from orchestrator.toolchains.writing import Written, literal
from orchestrator.words import listed
from orchestrator.workspace import replace_file


class Alembic(Written):
    """Alembic's revisions in a project."""

    def emit(self, emission: Emission) -> tuple[Path, ...]:
        """Write a revision that follows the only head.

        Raises:
            ConfigurationError: there are several heads, or the command fails.
        """
        heads = self._heads()
        if len(heads) > 1:
            raise ConfigurationError(
                f"alembic has several heads: {listed(heads)}",
                details=["a revision of ecm's follows one, and the row of a database names it"],
                hint="alembic merge heads",
            )
        name = secrets.token_hex(6)
        arguments = ["revision", "--rev-id", name, "-m", emission.slug.replace("_", " ")]
        output(self.root, self.settings, reading.command(self.root), arguments)
        made = next((each for each in self.migrations() if each.name == name), None)
        if made is None:
            raise ConfigurationError(f"alembic made no revision {name} in {self.settings.folder}", hint="alembic heads")
        return (replace_file(self.root / made.path, _filled(self.text(made.path), emission)),)

    def _heads(self) -> tuple[str, ...]:
        followed = reading.followed(self.root, self.settings)
        below = {name for down in followed.values() for name in down}
        return tuple(name for name in followed if name not in below)

    def row(self, migration: Migration) -> Row:
        """Return the step from the revision before to this one: Alembic has a row for each last one, which moves."""
        down = reading.followed(self.root, self.settings)[migration.name]
        followed = reading.stands_on(self.root, self.settings)
        later = _later(followed, migration.name)
        table, own = self.records.identifier, sql.Literal(migration.name)
        # Where the one before is counted within another that follows it too, Alembic has a row for each of the two.
        beside = [each for each in _later(followed, down[0]) if each not in (migration.name, *later)] if down else []
        counted = sql.SQL("EXISTS (SELECT FROM {} WHERE version_num = ANY ({}::text[]))")
        within, past = counted.format(table, sql.Literal(beside)), counted.format(table, sql.Literal(list(later)))
        there = sql.Literal([migration.name, *later, *down, *beside])
        if down:
            names = {"table": table, "own": own, "before": sql.Literal(down[0]), "within": within, "past": past}
            insert = sql.SQL(
                "WITH moved AS (UPDATE {table} SET version_num = {own} WHERE version_num = {before} RETURNING 1)"
                " INSERT INTO {table} SELECT {own} WHERE NOT EXISTS (SELECT FROM moved) AND {within} AND NOT {past}"
                " AND NOT EXISTS (SELECT FROM {table} WHERE version_num = {own})"
            ).format(**names)
            delete = sql.SQL(
                "WITH gone AS (DELETE FROM {table} WHERE version_num = {own} AND {within} RETURNING 1)"
                " UPDATE {table} SET version_num = {before} WHERE version_num = {own} AND NOT EXISTS (SELECT FROM gone)"
            ).format(**names)
        else:
            insert = sql.SQL("INSERT INTO {table} SELECT {own} WHERE NOT EXISTS (SELECT FROM {table})").format(
                table=table, own=own
            )
            delete = sql.SQL("DELETE FROM {} WHERE version_num = {}").format(table, own)
        follows = f", and {migration.name} follows {down[0]}" if down else f", and {migration.name} is the first one"
        return Row(
            tool=self.name,
            migration=migration.name,
            table=self.records,
            ready=(
                sql.SQL(
                    "CREATE TABLE IF NOT EXISTS {} (version_num varchar(32) NOT NULL,"
                    " CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
                ).format(table),
            ),
            insert=insert,
            delete=delete,
            missing=sql.SQL(
                "SELECT 'it is at ' || COALESCE(pg_catalog.string_agg(version_num, ', '), 'no revision') || {}"
                " FROM {} HAVING NOT COALESCE(pg_catalog.bool_or(version_num = ANY ({}::text[])), {})"
            ).format(sql.Literal(follows), table, there, sql.Literal(not down)),
            before=tuple(f"{name} is not applied" for name in down),
            catch_up=f"alembic upgrade {down[0]}" if down else "alembic upgrade head",
            held=sql.SQL(
                "SELECT 'it is at ' || version_num || ', which comes after it' FROM {} WHERE version_num = ANY"
                " ({}::text[])"
            ).format(table, sql.Literal(list(later))),
        )


def _later(followed: dict[str, tuple[str, ...]], name: str) -> tuple[str, ...]:
    """Return every revision that stands on one."""
    found: dict[str, None] = {name: None}
    for _ in followed:
        found.update(dict.fromkeys(each for each, down in followed.items() if found.keys() & set(down)))
    return tuple(each for each in found if each != name)


def _filled(text: str, emission: Emission) -> str:
    """Return a revision's file with its header and with what it does."""
    lines, tree = text.splitlines(), ast.parse(text)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    bodies = {
        "downgrade": f'    raise NotImplementedError("ecm rollback {emission.plan} takes it back")',
        "upgrade": f"    op.execute({literal(_unbound(emission.statement))})",
    }
    # From the end of the file, so that the places before stay what they are.
    for name in sorted(bodies.keys() & functions.keys(), key=lambda name: -functions[name].lineno):
        first, last = functions[name].body[0], functions[name].body[-1]
        lines[first.lineno - 1 : last.end_lineno] = [bodies[name]]
    if not re.search(r"^from alembic import .*\bop\b", text, re.MULTILINE):
        begins = next(node.lineno for node in tree.body if not isinstance(node, ast.Expr))
        lines.insert(begins - 1, "from alembic import op")
    return "\n".join([*(f"# {line}" for line in header.lines(emission)), *lines]) + "\n"


def _unbound(statement: str) -> str:
    """Return a statement as SQLAlchemy's text() takes it, which reads `:name` as a parameter."""
    return statement.replace(":", "\\:")
