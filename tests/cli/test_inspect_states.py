"""The lines of an ORM's schema are the same from wherever a plan is, as long as the tables tell them."""

import re
from typing import Any

from cli.runs import Project, said

_TABLES = """
CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, old_name text NOT NULL DEFAULT 'x',
  total int NOT NULL DEFAULT 7, code varchar(5) DEFAULT 'a', amount int NOT NULL DEFAULT 3);
CREATE TABLE counted (id serial PRIMARY KEY);
CREATE TABLE drawn (no int GENERATED ALWAYS AS IDENTITY PRIMARY KEY);
CREATE TABLE volumes (id int PRIMARY KEY, title text);
CREATE TABLE authors (id int PRIMARY KEY, bio text NOT NULL DEFAULT 'none', motto text NOT NULL, email text,
  phone text NOT NULL);
CREATE TABLE users (id int PRIMARY KEY, full_name text NOT NULL, street text NOT NULL DEFAULT '', number text);
CREATE TABLE shops (id int PRIMARY KEY, city text, country text DEFAULT 'NL');
ALTER TABLE orders
  ADD author int CONSTRAINT orders_author_authors_id_fk REFERENCES authors ON DELETE CASCADE,
  ADD editor int REFERENCES authors, ADD badge int CONSTRAINT orders_badge_unique UNIQUE, ADD UNIQUE (author, badge),
  ADD parent int CONSTRAINT orders_parent_orders_id_fk REFERENCES orders;
CREATE TYPE state AS ENUM ('draft', 'live', 'gone');
CREATE TABLE articles (id int PRIMARY KEY, state state NOT NULL DEFAULT 'draft', states state[]);
"""

_PLAN = """\
plan: many
changes:
  - {kind: rename_column, table: orders, column: old_name, to: new_name}
  - {kind: change_type, table: orders, column: total, type: bigint, to: sum}
  - {kind: change_type, table: orders, column: code, type: varchar(20)}
  - {kind: change_type, table: orders, column: amount, type: bigint}
  - {kind: change_type, table: orders, column: author, type: bigint}
  - {kind: change_type, table: orders, column: editor, type: bigint}
  - {kind: change_type, table: orders, column: badge, type: bigint}
  - {kind: rename_column, table: orders, column: parent, to: origin}
  - {kind: change_type, table: counted, column: id, type: bigint}
  - {kind: change_type, table: drawn, column: no, type: bigint}
  - {kind: rename_table, table: volumes, to: library}
  - {kind: drop_column, table: authors, column: bio, reverse: "'unknown'"}
  - {kind: drop_column, table: authors, column: motto, reverse: "'unknown'"}
  - {kind: set_not_null, table: authors, column: email, using: "'none'"}
  - {kind: drop_not_null, table: authors, column: phone}
  - {kind: add_column, table: authors, column: slug, type: text, using: lower(email), not_null: true, unique: true}
  - kind: split_column
    table: users
    column: full_name
    into:
      - {column: first_name, type: text, using: "split_part(full_name, ' ', 1)", not_null: true}
      - {column: last_name, type: text, using: "substr(full_name, length(split_part(full_name, ' ', 1)) + 2)"}
    reverse: concat_ws(' ', first_name, nullif(last_name, ''))
  - kind: merge_columns
    table: users
    columns: [street, number]
    into: {column: line, type: text, using: "concat_ws(' ', street, number)"}
    reverse: {street: "regexp_replace(line, ' [^ ]*$', '')", number: "substring(line from ' ([^ ]*)$')"}
  - kind: extract_table
    table: shops
    columns: [city, country]
    into: {table: cities, key: id}
    reference: city_id
    index: true
  - {kind: change_enum, type: state, rename: {draft: pending}, remove: {gone: live}, add: [archived]}
"""


def _lines(project: Project, orm: str = "drizzle", plan: str = "many") -> dict[str, Any]:
    answer = project.ecm("inspect", f"--{orm}", plan, "--json")
    assert answer.code == 0, answer.out
    return {each["phase"]: each["tables"] for each in answer.json["phases"]}


def _written(project: Project, text: str, plan: str = "many") -> None:
    (project.root / "plans" / f"{plan}.yaml").write_text(text)


def _advanced(project: Project, state: str, plan: str = "many") -> None:
    answer = project.ecm("advance", plan, "--branch", "development", "--to", state, "--yes")
    assert answer.code == 0, answer.err


def test_the_lines_are_the_same_from_planned_to_reads_migrated(project: Project) -> None:
    """Whatever has become of the tables; what is over is ticked. Once contract took them, another branch is named."""
    project.sql("development", _TABLES)
    _written(project, _PLAN)
    first = {orm: _lines(project, orm) for orm in ("drizzle", "sqlalchemy")}

    for state in ("expanded", "backfilled", "reads_migrated"):
        _advanced(project, state)
        assert {orm: _lines(project, orm) for orm in first} == first, state
    shown = project.ecm("inspect", "--drizzle", "many").out
    assert [line for line in shown.splitlines() if line.startswith("✓")] == [
        "✓ expand, done", "✓ backfill, done", "✓ migrate reads, done"
    ]  # fmt: skip
    assert 'amount: integer("amount").notNull().default(3),' in shown
    assert "\ncontract\n" in shown

    _advanced(project, "contracted")
    refused = project.ecm("inspect", "--drizzle", "many")
    assert refused.code == 1
    assert "its tables do not tell any more what they were like" in said(refused.err)
    assert "ecm inspect --drizzle many --branch production" in said(refused.err)
    (project.root / "ecm.yaml").write_text("project: bookstore\nbranches: {development: {}}\n")
    assert "every branch has contracted it" in said(project.ecm("inspect", "--drizzle", "many").err)


def test_the_lines_while_contract_can_be_undone(project: Project) -> None:
    """What contract keeps out of sight still tells them."""
    project.sql("development", _TABLES)
    _written(project, _PLAN.replace(", to: sum}", "}") + "contract: {undo_window: 24h}\n")
    first = _lines(project)
    _advanced(project, "contracted")

    assert _lines(project) == first
    assert project.ecm("inspect", "--drizzle", "many").out.count("✓ contract, done") == 1


def _alone(name: str, *changes: str) -> str:
    return f"plan: {name}\nchanges:\n" + "".join(f"  - {{{change}}}\n" for change in changes)


def test_what_contract_leaves_to_tell(project: Project) -> None:
    """A name, NOT NULL and a new column are told by the plan and the table; never is the live column to be removed."""
    project.sql("development", _TABLES)
    told = _alone(
        "told",
        "kind: set_not_null, table: authors, column: email, using: \"'none'\"",
        "kind: drop_not_null, table: authors, column: phone",
        "kind: add_column, table: authors, column: slug, type: text, using: lower(email), not_null: true, unique: true",
    )
    named = _alone("named", "kind: rename_table, table: volumes, to: library")
    for plan, text in {"told": told, "named": named}.items():
        _written(project, text, plan)
        first = _lines(project, plan=plan)
        _advanced(project, "contracted", plan)
        assert _lines(project, plan=plan) == first

    for plan, change in {
        "renamed": "kind: rename_column, table: orders, column: old_name, to: new_name",
        "longer": "kind: change_type, table: orders, column: code, type: varchar(20)",
    }.items():
        _written(project, _alone(plan, change), plan)
        _advanced(project, "contracted", plan)
        refused = project.ecm("inspect", "--drizzle", plan)
        assert refused.code == 1, refused.out
        assert "do not tell any more" in said(refused.err)


def test_a_column_that_is_not_there(project: Project) -> None:
    """Before the plan begins nothing was taken: it is the plan's mistake."""
    _written(project, _alone("wrong", "kind: drop_column, table: books, column: titel"), "wrong")
    refused = project.ecm("inspect", "--drizzle", "wrong")

    assert refused.code == 1
    assert "books has no column titel on development" in said(refused.err)


def test_a_line_keeps_what_hangs_on_its_column(project: Project) -> None:
    """Keys, uniqueness and how an identity counts; what an ORM has apart from the column is said to stay, or renamed.

    A constraint that has not the name which Drizzle makes up would be dropped and made again, so it is written out.
    """
    project.sql("development", _TABLES)
    _written(project, _PLAN)
    told = {orm: _lines(project, orm)["contract"] for orm in ("drizzle", "sqlalchemy")}
    orders = {orm: next(each for each in tables if each["table"] == "orders") for orm, tables in told.items()}

    drizzle, models = orders["drizzle"], orders["sqlalchemy"]
    for line in (
        'author: bigint("author", { mode: "number" }).references(() => authors.id, { onDelete: "cascade" }),',
        'badge: bigint("badge", { mode: "number" }).unique(),',
        'editor: bigint("editor", { mode: "number" }),',
        'foreignKey({ name: "orders_parent_orders_id_fk", columns: [table.origin], foreignColumns: [orders.id] }),',
    ):
        assert line in drizzle["add"], drizzle
    assert 'parent: integer("parent").references((): AnyPgColumn => orders.id),' in drizzle["remove"]
    assert drizzle["keep"] == [
        'unique("orders_author_badge_key").on(table.author, table.badge),',
        'foreignKey({ name: "orders_editor_fkey", columns: [table.editor], foreignColumns: [authors.id] }),',
    ]
    assert (
        "author: Mapped[int | None] = mapped_column("
        "BigInteger, ForeignKey('authors.id', name='orders_author_authors_id_fk', ondelete='CASCADE'))"
    ) in models["add"]
    assert "editor: Mapped[int | None] = mapped_column(BigInteger, ForeignKey('authors.id'))" in models["add"]
    assert "UniqueConstraint('badge', name='orders_badge_unique')," in models["keep"]
    drawn = next(each for each in told["drizzle"] if each["table"] == "drawn")
    assert drawn["add"] == ['no: bigint("no", { mode: "number" }).primaryKey().generatedAlwaysAsIdentity(),']


def test_a_line_of_a_schema_is_never_broken(project: Project) -> None:
    """Neither in a pipe nor on a terminal, however long it is; all else fits the screen."""
    project.sql("development", _TABLES)
    _written(project, _PLAN)
    for command in (("--drizzle", "many"), ("--sqlalchemy", "many")):
        told = project.ecm("inspect", *command, "--json").json
        tables = [table for phase in told["phases"] for table in phase["tables"]]
        signed = {"+": "add", "-": "remove", "=": "keep"}
        lines = [f"  {sign} {line}" for each in tables for sign, name in signed.items() for line in each[name]]
        assert max(map(len, lines)) > 80
        terminal = project.terminal("inspect", *command, COLUMNS="60")
        terminal.end()
        plain = re.sub(r"\x1b\[[0-9;]*m", "", terminal.shown).split("\r\n")
        for shown, width in ((project.ecm("inspect", *command).out.splitlines(), 80), (plain, 60)):
            assert [line for line in lines if line not in shown] == []
            assert [line for line in shown if len(line) > width and line not in lines] == []
