"""SQL text is taken apart as PostgreSQL would, and each statement's lock is the manual's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.sql.lexer import UnreadableSqlError, statements
from orchestrator.sql.script import concurrent_index, locks, read


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 'a;''b;\\'",
        r"SELECT E'it\'s;', e'\\'",
        'SELECT U&\'\\0041;\', U&"a;b", "x"";y"',
        "SELECT $$;$$, $a$ ; $b$ $$ ; $a$",
        "SELECT a$1 FROM t$x WHERE b = $1",
        "DO $x$ BEGIN PERFORM 1; END; $x$",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END; SELECT 2; END",
        "create or replace procedure p() begin atomic select 1; end",
        "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)",
        "SELECT 1 /* a; /* b; */ ; */ + 1 -- c; d\n + 1",
        "SELECT tüte FROM straße",
        "SELECT B'01', X'1F', 1.5e3, a->>'b;', -1",
        "SELECT begin, atomic FROM t",
    ],
)
def test_a_statement_is_one(statement: str) -> None:
    """No semicolon inside of it ends it, and it comes out to the letter, whatever is around it."""
    before, found, after = statements(f"SELECT 1; /* ; */\n{statement} -- ;\n; SELECT 2;;", key="expand")
    assert (before.text, found.text, after.text) == ("SELECT 1", statement, "SELECT 2")
    assert (found.number, found.line) == (2, 2)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("SELECT 1;\nSELECT 'x", "expand, line 2: a quote is not closed"),
        (r"SELECT E'x\'", "line 1: a quote is not closed"),
        ('SELECT "x', "line 1: a quote is not closed"),
        ("\n/* /* */", "expand, line 2: a comment is not closed"),
        ("SELECT $a$ $$", "line 1: $a$ is not closed"),
        ("SELECT (1; SELECT 2", "line 1: a parenthesis is not closed"),
        ("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1;", "line 1: BEGIN ATOMIC is not closed"),
    ],
)
def test_what_is_not_closed(text: str, why: str) -> None:
    """It is refused with its line, instead of being sent in part."""
    with pytest.raises(UnreadableSqlError) as refused:
        statements(text, key="expand")
    assert why in str(refused.value)


@given(st.lists(st.text(st.characters(exclude_characters="\x00", codec="utf-8")), max_size=4))
def test_quoted_text_of_any_kind_stays_whole(texts: list[str]) -> None:
    """Whatever a literal holds, there are as many statements as were put together."""
    written = ["SELECT '" + text.replace("'", "''") + "'" for text in texts]
    assert [each.text for each in statements(" ;\n".join(written), key="expand")] == written


@pytest.mark.parametrize(
    ("statement", "lock", "tables"),
    [
        ("ALTER TABLE a ADD b int, ALTER c SET STATISTICS 3", "ACCESS EXCLUSIVE", "a"),
        ('ALTER TABLE ONLY s."A" ALTER COLUMN c SET STATISTICS 3', "SHARE UPDATE EXCLUSIVE", "s.A"),
        ("ALTER TABLE a VALIDATE CONSTRAINT c", "SHARE UPDATE EXCLUSIVE", "a"),
        ("ALTER TABLE a SET (fillfactor = 50), RESET (autovacuum_enabled)", "SHARE UPDATE EXCLUSIVE", "a"),
        ("ALTER TABLE a SET SCHEMA b", "ACCESS EXCLUSIVE", "a"),
        ("ALTER TABLE a ADD FOREIGN KEY (b, c) REFERENCES d (e, f)", "SHARE ROW EXCLUSIVE", "a d"),
        ("ALTER TABLE a ADD CONSTRAINT x FOREIGN KEY (b) REFERENCES d", "SHARE ROW EXCLUSIVE", "a d"),
        ("ALTER TABLE a ADD b int REFERENCES d", "ACCESS EXCLUSIVE", "a d"),
        ("ALTER TABLE a ATTACH PARTITION b FOR VALUES IN (1)", "SHARE UPDATE EXCLUSIVE", "a b"),
        ("ALTER TABLE IF EXISTS a ADD b int", "ACCESS EXCLUSIVE", ""),
        ("ALTER TABLE a DISABLE TRIGGER t", "SHARE ROW EXCLUSIVE", "a"),
        ("CREATE INDEX ON ONLY a USING gin (b)", "SHARE", "a"),
        ("CREATE UNIQUE INDEX i ON a (b) WHERE c", "SHARE", "a"),
        ("CREATE TRIGGER t BEFORE UPDATE ON a EXECUTE FUNCTION f()", "SHARE ROW EXCLUSIVE", "a"),
        ("CREATE TABLE a (b int REFERENCES c, d int REFERENCES a)", "SHARE ROW EXCLUSIVE", "c"),
        ("CREATE TABLE a PARTITION OF b FOR VALUES IN (1)", "ACCESS EXCLUSIVE", "b"),
        ("CREATE TABLE a (b int)", None, ""),
        ("CREATE TYPE mood AS ENUM ('a')", None, ""),
        ("DROP TABLE a, b.c CASCADE", "ACCESS EXCLUSIVE", "a b.c"),
        ("DROP TABLE IF EXISTS a", "ACCESS EXCLUSIVE", ""),
        ("DROP TRIGGER t ON a", "ACCESS EXCLUSIVE", "a"),
        ("DROP INDEX i", "ACCESS EXCLUSIVE", ""),
        ("UPDATE ONLY a SET b = 1", "ROW EXCLUSIVE", "a"),
        ("INSERT INTO A.B SELECT 1", "ROW EXCLUSIVE", "a.b"),
        ("DELETE FROM a USING b", "ROW EXCLUSIVE", "a"),
        ("TRUNCATE TABLE a, b", "ACCESS EXCLUSIVE", "a b"),
        ("LOCK TABLE a IN SHARE MODE NOWAIT", "SHARE", "a"),
        ("LOCK a", "ACCESS EXCLUSIVE", "a"),
        ("SELECT 1", "ACCESS SHARE", ""),
        ("COMMENT ON COLUMN a.b IS 'x'", None, ""),
    ],
)
def test_locks(statement: str, lock: str | None, tables: str) -> None:
    """By the page of each statement; a table that may be missing is not asked for first."""
    (written,) = statements(statement, key="expand")
    found = read(written)
    assert (found.lock and found.lock.value, " ".join(map(str, found.tables))) == (lock, tables)
    assert not found.assumed


def test_what_is_not_known_is_assumed() -> None:
    """The strongest lock, and a person is told."""
    (written,) = statements("SECURITY LABEL ON TABLE a IS 'x'", key="expand")
    assert read(written).assumed
    assert "assumed" in locks((written,)).lines[0]


def test_what_a_script_makes_is_not_locked_before() -> None:
    """It is not there yet."""
    text = "CREATE TABLE a (id int); ALTER TABLE a ADD b int; ALTER TABLE c VALIDATE CONSTRAINT d"
    found = locks(statements(text, key="expand"), statements("DROP TABLE a", key="rollback.expand"))
    assert (str(found.mode), [str(table) for table in found.tables]) == ("ACCESS EXCLUSIVE", ["c"])


@pytest.mark.parametrize(
    ("statement", "tail"),
    [
        ("CREATE INDEX CONCURRENTLY i ON a (b)", " (b)"),
        (
            "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON s.a USING gin (b) WITH (x) WHERE c",
            " USING gin (b) WITH (x) WHERE c",
        ),
        ("CREATE INDEX CONCURRENTLY ON a (b)", None),
        ("CREATE INDEX CONCURRENTLY i ON ONLY a (b)", None),
        ("CREATE INDEX i ON a (b)", None),
    ],
)
def test_concurrent_indexes(statement: str, tail: str | None) -> None:
    """What ecm can build, and judge by the catalog, is told from what it cannot."""
    (written,) = statements(f"/* one */ {statement};", key="expand")
    found = concurrent_index(written)
    assert (found and found.tail) == tail
