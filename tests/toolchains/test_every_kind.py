"""Every kind of change ends the same, whether ecm went through its cycle or a tool ran what was emitted."""

from typing import Any

import psycopg
import pytest
from cli.conftest import MakeProject
from fingerprint import Fingerprint, fingerprint

from orchestrator.operations import KINDS

_SCHEMA = """\
CREATE TABLE authors (id int PRIMARY KEY, name text);
CREATE TABLE covers (book int PRIMARY KEY);
CREATE TYPE state AS ENUM ('new', 'old', 'lost');
CREATE TABLE books (
  id int PRIMARY KEY, title text, published_year int DEFAULT 2000, first text, last text NOT NULL DEFAULT 'x',
  author_id int, image text, publisher text, city varchar(9), pages int NOT NULL DEFAULT 3,
  state state NOT NULL DEFAULT 'new'
);
COMMENT ON TABLE books IS 'the books';
COMMENT ON COLUMN books.title IS 'its title';
COMMENT ON COLUMN books.first IS 'its first';
COMMENT ON COLUMN books.published_year IS 'its year';
COMMENT ON COLUMN books.pages IS 'its pages';
COMMENT ON COLUMN books.state IS 'its state';
COMMENT ON COLUMN books.publisher IS 'its publisher';
ALTER TABLE books ALTER pages SET STATISTICS 77, ALTER published_year SET STATISTICS 55, ALTER state SET STATISTICS 33,
  ADD CONSTRAINT books_old CHECK (state <> 'old' OR published_year > 0), ADD CONSTRAINT books_read CHECK (pages > 0);
COMMENT ON CONSTRAINT books_old ON books IS 'old ones have a year';
COMMENT ON CONSTRAINT books_read ON books IS 'nobody reads none';
CREATE INDEX books_new ON books (published_year) WHERE state = 'new';
CREATE INDEX books_pages ON books (pages DESC NULLS LAST) INCLUDE (id);
CREATE UNIQUE INDEX books_years ON books (published_year, id);
COMMENT ON INDEX books_new IS 'new ones; not IS NULL';
COMMENT ON INDEX books_pages IS 'long ones';
CREATE STATISTICS books_both ON pages, published_year FROM books;
GRANT SELECT (pages, title, published_year, first, publisher), UPDATE (pages) ON books TO PUBLIC;
"""
_ROWS = """\
INSERT INTO authors VALUES (1);
INSERT INTO covers VALUES (1);
INSERT INTO books (id, title, first, author_id) VALUES (1, 'a b', 'f', 1)
"""
_CHANGES = {
    "rename_column": "column: published_year, to: publication_year",
    "rename_column facade": "column: published_year, to: publication_year",
    "rename_table": "to: volumes",
    "change_type": "column: pages, type: bigint",
    "split_column": "column: title, reverse: \"a || ' ' || b\", into: [{column: a, type: text, not_null: true,"
    " using: \"split_part(title, ' ', 1)\"}, {column: b, type: text, using: \"split_part(title, ' ', 2)\"}]",
    "merge_columns": "columns: [first, last], into: {column: name, type: text, not_null: true,"
    " using: \"coalesce(first, '') || ' ' || last\"}, reverse: {first: \"split_part(name, ' ', 1)\","
    " last: \"split_part(name, ' ', 2)\"}",
    "set_not_null": "column: title, using: \"'x'\"",
    "drop_not_null": "column: pages",
    "add_column": "column: agent, type: int, default: '1', not_null: true, check: 'agent > 0',"
    ' references: {table: authors}, comment: "the author\'s"',
    "add_column unique": "column: isbn, type: varchar(20), using: 'id::text', not_null: true, unique: true",
    "drop_column": "column: pages",
    "add_check": "name: books_long, check: published_year > 0 AND pages > 0",
    "add_unique": "name: books_key, columns: [id, pages]",
    "add_foreign_key": "name: books_author, columns: [author_id], references: {table: authors, columns: [id]},"
    " on_delete: cascade, on_update: set null",
    "move_column": "column: image, to: {table: covers, column: picture}, on: {id: book}",
    "extract_table": "columns: [publisher, city], into: {table: publishers, key: id}, reference: publisher_id",
    "change_enum": "type: state, rename: {new: fresh}, add: [gone]",
    "change_enum anew": "type: state, rename: {new: fresh}, remove: {lost: old}, add: [gone]",
    "sql": "expand: CREATE INDEX CONCURRENTLY by_title ON books (title), rollback: {expand: DROP INDEX by_title}",
}


def test_none_is_left_out() -> None:
    """A kind that comes has to be here."""
    assert {each.partition(" ")[0] for each in _CHANGES} == set(KINDS)


@pytest.mark.parametrize("change", _CHANGES)
def test_the_same_end(make_project: MakeProject, databases: Any, change: str) -> None:
    """Down to comments, grants, statistics targets, and names of constraints and indexes."""
    project = make_project(databases("development", "fresh"), plan=False)
    (project.root / "ecm.yaml").write_text("project: bookstore\nbranches:\n  development: {}\n")
    kind, _, strategy = change.partition(" ")
    table = "" if kind in ("change_enum", "sql") else "table: books, "
    facade = "expand: {strategy: facade}\n" if strategy == "facade" else ""
    (project.root / "plans" / "it.yaml").write_text(
        f"plan: it\nchanges: [{{kind: {kind}, {table}{_CHANGES[change]}}}]\n{facade}"
    )
    (project.root / "migrations").mkdir()
    (project.root / "migrations" / "1_books.sql").write_text(_SCHEMA)
    for branch in project.urls:
        project.sql(branch, _SCHEMA)
    project.sql("development", _ROWS)
    emitted = project.ecm("emit", "it", "--as", "sql")
    assert emitted.code == 0, emitted.err
    for file in sorted((project.root / "migrations").glob("*_it_*.sql")):
        project.sql("fresh", file.read_text())
    advanced = project.ecm("advance", "it", "--branch", "development", "--to", "contracted")
    assert advanced.code == 0, advanced.err
    assert _described(project.urls["fresh"]) == _described(project.urls["development"])


def _described(url: str) -> Fingerprint:
    with psycopg.connect(url, autocommit=True) as connection:
        return fingerprint(connection)
