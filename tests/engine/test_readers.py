"""What reads a column is made to read another, with all that stands on it, and comes back to the letter."""

from collections.abc import Iterable
from contextlib import closing
from typing import Any

import psycopg
import pytest
from fingerprint import fingerprint
from operations.conftest import Roles
from operations.harness import as_role, ask, rows, run
from psycopg import sql
from pydantic import SecretStr

from orchestrator.engine import catalog, readers
from orchestrator.engine.connection import connect as open_session
from orchestrator.sql import moving
from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import TableName
from orchestrator.sql.readers import Move
from orchestrator.sql.steps import Statement, Transaction
from orchestrator.sql.sync import Ddl

IN_PLACE = Move(old="Amount", new="Amount new", left="Amount old")
OTHER = Move(old="Amount", new="Amount new", left="Amount")
MOVES = pytest.mark.parametrize("move", [IN_PLACE, OTHER], ids=["in place", "under another name"])

TABLE = """
    CREATE SCHEMA ecm; CREATE SCHEMA "my shop";
    CREATE TABLE "my shop"."Sales" (id integer PRIMARY KEY, "Amount" integer, day date DEFAULT '2024-01-01');
    INSERT INTO "my shop"."Sales" VALUES (1, 5), (2, 50);
"""
SALES = TableName("my shop", "Sales")
NEW = """
    ALTER TABLE "my shop"."Sales" ADD "Amount new" bigint; UPDATE "my shop"."Sales" SET "Amount new" = "Amount" * 1000;
"""
"""The new column tells by its values who reads it."""


def _rename(*names: str) -> tuple[Statement, ...]:
    return tuple(
        sql.SQL("ALTER TABLE {} RENAME COLUMN {} TO {}").format(SALES.identifier, sql.Identifier(a), sql.Identifier(b))
        for a, b in zip(names[::2], names[1::2], strict=True)
    )


SWAP = Ddl(
    statements=_rename("Amount", "Amount old", "Amount new", "Amount"),
    inverse=_rename("Amount", "Amount new", "Amount old", "Amount"),
)


class Shop:
    """A table with an old and a new column, and what reads the old one."""

    def __init__(self, db: psycopg.Connection[Any], url: str, start: str, move: Move) -> None:
        self.db, self.url, self.move = db, url, move
        run(db, f"{TABLE}{start};{NEW}")
        self.swap = SWAP if move.in_place else Ddl(statements=(), inverse=())

    def facts(self) -> Table:
        """The table's facts now, read by ecm's own session."""
        with closing(open_session(SecretStr(self.url), branch="main")) as session:
            table = catalog.read_table(session, SALES, columns=self.move.columns)
            return readers.with_readers(session, table, [self.move])

    def apply(self, statements: Iterable[Statement]) -> None:
        """Run a transaction's statements as ecm does."""
        with closing(open_session(SecretStr(self.url), branch="main")) as session, session.transaction():
            session.execute("SET LOCAL search_path TO DEFAULT")
            for statement in statements:
                session.execute(statement)

    def there(self) -> None:
        """Go through migrate_reads."""
        facts = self.facts()
        assert facts.unmovable[self.move.old] == ()
        for step in moving.beside(facts, self.move):
            assert isinstance(step, Transaction)
            self.apply(step.statements)
        self.apply(moving.follow(facts, self.move, self.swap).statements)

    def back(self) -> None:
        """Roll it back, compiled from what the catalog says after it."""
        facts = self.facts()
        for step in reversed(moving.refreshed(facts, self.move)):
            self.apply(step.inverse)
        self.apply(moving.follow(facts, self.move, self.swap).inverse)
        for step in reversed(moving.beside(self.facts(), self.move)):
            self.apply(step.inverse)

    def contract(self) -> None:
        """Drop what stands aside, and the old column."""
        facts = self.facts()
        assert moving.strangers(facts, self.move) == ()
        drop = sql.SQL("ALTER TABLE {} DROP COLUMN {}").format(SALES.identifier, sql.Identifier(self.move.left))
        self.apply((*moving.forget(facts, self.move), drop))


def _ecm(db: psycopg.Connection[Any]) -> list[Any]:
    return rows(
        db,
        "SELECT relname FROM pg_class WHERE relnamespace = 'ecm'::regnamespace"
        " UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'ecm'::regnamespace"
        " UNION ALL SELECT polname FROM pg_policy WHERE polname LIKE 'ecm%'"
        " UNION ALL SELECT rulename FROM pg_rewrite WHERE rulename LIKE 'ecm%'",
    )


VIEW = """CREATE VIEW public.big AS SELECT id, "Amount" FROM "my shop"."Sales" WHERE "Amount" > 7;"""
SHAPES = {
    "view": VIEW,
    "view of everything": 'CREATE VIEW big AS SELECT * FROM "my shop"."Sales"',
    "renamed column": 'CREATE VIEW big AS SELECT "Amount" AS much, "Amount" + 1 AS more FROM "my shop"."Sales"',
    "cast": 'CREATE VIEW big AS SELECT "Amount"::bigint AS "Amount", "Amount"::text AS t FROM "my shop"."Sales"',
    "options": """
        CREATE VIEW big WITH (security_barrier = true) AS SELECT id, "Amount" FROM "my shop"."Sales" WHERE "Amount" > 7
        WITH LOCAL CHECK OPTION;""",
    "said of it": VIEW
    + """
        COMMENT ON VIEW big IS 'it''s big'; COMMENT ON COLUMN big."Amount" IS 'much %s';
        ALTER VIEW big ALTER COLUMN "Amount" SET DEFAULT 8;
        GRANT SELECT ON big TO pg_monitor WITH GRANT OPTION; GRANT UPDATE ("Amount") ON big TO PUBLIC;
        SET ROLE pg_monitor; GRANT SELECT ON big TO pg_read_all_stats; RESET ROLE;
        REVOKE DELETE ON big FROM CURRENT_USER;""",
    "trigger": VIEW
    + """
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER "In" INSTEAD OF INSERT OR UPDATE ON big FOR EACH ROW EXECUTE FUNCTION f('a');
        COMMENT ON TRIGGER "In" ON big IS 'instead';""",
    "rule of a view": VIEW
    + """
        CREATE RULE put AS ON INSERT TO big DO INSTEAD INSERT INTO "my shop"."Sales" (id, "Amount") VALUES (NEW.id, NEW."Amount");
        COMMENT ON RULE put ON big IS 'put';""",
    "rule of the table": """
        CREATE TABLE log (amount bigint);
        CREATE RULE noted AS ON UPDATE TO "my shop"."Sales" DO ALSO INSERT INTO log VALUES (NEW."Amount");
        ALTER TABLE "my shop"."Sales" ENABLE ALWAYS RULE noted; COMMENT ON RULE noted ON "my shop"."Sales" IS 'noted';""",
    "policies": """
        ALTER TABLE "my shop"."Sales" ENABLE ROW LEVEL SECURITY; CREATE TABLE other (id integer);
        CREATE POLICY "few" ON "my shop"."Sales" AS RESTRICTIVE FOR UPDATE TO pg_monitor, pg_read_all_stats
          USING ("Amount" < 100) WITH CHECK ("Amount" < 200);
        CREATE POLICY seen ON other FOR SELECT USING (id IN (SELECT "Amount" FROM "my shop"."Sales"));
        COMMENT ON POLICY few ON "my shop"."Sales" IS 'few';""",
    "function": """
        CREATE FUNCTION most(lowest integer DEFAULT 3) RETURNS bigint STABLE PARALLEL SAFE COST 7 SET work_mem = '1MB'
          BEGIN ATOMIC SELECT max("Amount") FROM "my shop"."Sales" WHERE "Amount" > lowest; END;
        COMMENT ON FUNCTION most IS 'most'; REVOKE EXECUTE ON FUNCTION most FROM PUBLIC; GRANT EXECUTE ON FUNCTION most TO pg_monitor;
        CREATE FUNCTION most(text) RETURNS bigint BEGIN ATOMIC SELECT sum("Amount") FROM "my shop"."Sales"; END;
        CREATE VIEW top AS SELECT most(1), most('x') AS other;""",
    "materialized view": """
        CREATE MATERIALIZED VIEW mine WITH (fillfactor = 70) AS SELECT id, "Amount", id::text AS t FROM "my shop"."Sales";
        CREATE UNIQUE INDEX "by Id" ON mine (id); CREATE INDEX odd ON mine (lower(t), ("Amount" + 1)) WHERE "Amount" > 3;
        ALTER INDEX odd ALTER COLUMN 2 SET STATISTICS 77; COMMENT ON INDEX odd IS 'odd'; ALTER TABLE mine CLUSTER ON "by Id";
        ALTER MATERIALIZED VIEW mine ALTER COLUMN t SET STATISTICS 99; ALTER MATERIALIZED VIEW mine ALTER COLUMN t SET STORAGE external;
        ALTER MATERIALIZED VIEW mine ALTER COLUMN id SET (n_distinct = 5); GRANT SELECT ON mine TO PUBLIC;
        COMMENT ON MATERIALIZED VIEW mine IS 'mine'; COMMENT ON COLUMN mine.t IS 'text';
        CREATE MATERIALIZED VIEW empty AS SELECT "Amount" FROM "my shop"."Sales" WITH NO DATA;""",
    "chain": VIEW
    + """
        CREATE VIEW "my shop".big AS SELECT b."Amount", s."Amount" AS s FROM public.big b JOIN "my shop"."Sales" s ON s.id = b.id;
        CREATE FUNCTION total() RETURNS SETOF public.big BEGIN ATOMIC SELECT id, "Amount" FROM public.big; END;
        CREATE FUNCTION told() RETURNS SETOF public.big LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT * FROM public.big; END';
        CREATE MATERIALIZED VIEW held AS SELECT sum(t."Amount") AS n, count(*) AS c FROM total() t, "my shop".big;
        CREATE UNIQUE INDEX ON held (n);
        CREATE VIEW over AS SELECT n, big.* FROM held, big;
        CREATE RULE away AS ON DELETE TO big DO INSTEAD DELETE FROM over;""",
    "recursive": """
        CREATE RECURSIVE VIEW down (id, n) AS SELECT id, "Amount" FROM "my shop"."Sales" UNION ALL SELECT id, n - 1 FROM down WHERE n > 40;""",
    "grouped by a key": """
        CREATE VIEW big AS SELECT id, "Amount", count(*) OVER w AS c FROM "my shop"."Sales" GROUP BY id WINDOW w AS (ORDER BY "Amount");""",
}


@pytest.fixture
def shop(databases: Any, connect: Any) -> Any:
    """Makes the shop: `shop(start, move)`."""

    def make(start: str, move: Move) -> Shop:
        (url,) = databases(1)
        return Shop(connect(url), url, start, move)

    return make


@MOVES
@pytest.mark.parametrize("shape", SHAPES)
def test_every_reader_comes_back_to_the_letter(shop: Any, shape: str, move: Move) -> None:
    """After the way there and back nothing has changed, and nothing of it is left in ecm's schema."""
    made: Shop = shop(SHAPES[shape], move)
    before = fingerprint(made.db)
    made.there()
    made.back()
    assert fingerprint(made.db) == before
    assert _ecm(made.db) == []


@pytest.mark.parametrize("shape", SHAPES)
def test_the_end_is_that_of_the_direct_ddl(shop: Any, databases: Any, connect: Any, shape: str) -> None:
    """With the old column gone, all is as if it had been made over a column of the new type."""
    made: Shop = shop(SHAPES[shape], IN_PLACE)
    made.there()
    made.contract()
    other = connect(databases(1)[0])
    run(other, TABLE.replace('"Amount" integer', '"Amount" bigint') + SHAPES[shape])
    assert fingerprint(made.db) == fingerprint(other)
    assert _ecm(made.db) == []


@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_reads_the_old_column_after_the_switch(shop: Any, shape: str) -> None:
    """Under another name too: the old column can be dropped without CASCADE, and what a view is has not changed."""
    made: Shop = shop(SHAPES[shape], OTHER)
    columns = "SELECT attrelid::regclass::text, attnum, attname FROM pg_attribute WHERE attrelid IN (SELECT oid FROM pg_class WHERE relkind IN ('v', 'm') AND oid > 16384) ORDER BY 1, 2"
    before = rows(made.db, columns)
    made.there()
    made.contract()
    assert rows(made.db, columns) == before
    assert _ecm(made.db) == []


READERS = """
    CREATE VIEW big AS SELECT id, "Amount" FROM "my shop"."Sales" WHERE "Amount" > 7;
    CREATE MATERIALIZED VIEW held AS SELECT id, "Amount" FROM big; CREATE UNIQUE INDEX ON held (id);
    CREATE VIEW over AS SELECT sum("Amount") AS n FROM held;
    CREATE FUNCTION most() RETURNS bigint BEGIN ATOMIC SELECT max("Amount") FROM "my shop"."Sales"; END;
"""


@MOVES
def test_readers_read_the_new_column(shop: Any, move: Move) -> None:
    """Views, materialized ones and functions show the new side after the switch, and the old one after the way back."""
    made: Shop = shop(READERS, move)
    made.there()
    assert rows(made.db, "TABLE big") == [(1, 5000), (2, 50000)]
    assert (ask(made.db, "TABLE over"), ask(made.db, "SELECT most()")) == (55000, 50000)
    run(made.db, "REFRESH MATERIALIZED VIEW CONCURRENTLY held")
    made.back()
    assert rows(made.db, "TABLE big") == [(2, 50)]
    assert (ask(made.db, "TABLE over"), ask(made.db, "SELECT most()")) == (50, 50)
    run(made.db, "REFRESH MATERIALIZED VIEW CONCURRENTLY held")


@MOVES
def test_a_policy_judges_by_the_new_column(shop: Any, roles: Roles, move: Move) -> None:
    """What stands aside has no say any more: by the old column this role would see a row."""
    role = roles()
    made: Shop = shop(
        f"""ALTER TABLE "my shop"."Sales" ENABLE ROW LEVEL SECURITY; GRANT USAGE ON SCHEMA "my shop" TO {role};
        GRANT SELECT ON "my shop"."Sales" TO {role}; CREATE POLICY p ON "my shop"."Sales" USING ("Amount" < 100);""",
        move,
    )
    seen = f'SET LOCAL ROLE {role}; SELECT count(*) FROM "my shop"."Sales"'
    for move_it, expected in ((lambda: None, 2), (made.there, 0), (made.back, 2)):
        move_it()
        with made.db.transaction():
            made.db.execute(f"SET LOCAL ROLE {role}")
            assert ask(made.db, 'SELECT count(*) FROM "my shop"."Sales"') == expected, seen


@MOVES
def test_a_materialized_view_comes_back_as_fresh_as_it_was(shop: Any, move: Move) -> None:
    """What the application refreshed since the switch is not lost on the way back."""
    made: Shop = shop(READERS, move)
    made.there()
    column = move.left
    run(made.db, f'INSERT INTO "my shop"."Sales" (id, "{column}") VALUES (3, 500); REFRESH MATERIALIZED VIEW held')
    made.back()
    assert ask(made.db, "TABLE over") == 550


@MOVES
def test_what_was_made_after_the_switch_comes_along(shop: Any, move: Move) -> None:
    """A view made over a reader while both versions run is made again over the one that comes back."""
    made: Shop = shop(READERS, move)
    made.there()
    run(made.db, 'CREATE VIEW late AS SELECT max("Amount") AS n FROM big; GRANT SELECT ON late TO PUBLIC')
    made.back()
    assert ask(made.db, "TABLE late") == 50
    assert ask(made.db, "SELECT has_table_privilege('pg_monitor', 'late', 'SELECT')")
    assert _ecm(made.db) == []


@MOVES
def test_what_was_dropped_after_the_switch_stays_away(shop: Any, move: Move) -> None:
    """A reader that someone dropped while both versions ran does not come back, and nothing of it is left."""
    made: Shop = shop(READERS, move)
    made.there()
    run(made.db, "DROP VIEW big CASCADE; DROP FUNCTION most()")
    made.back()
    assert rows(made.db, "SELECT relname FROM pg_class WHERE relname IN ('big', 'held', 'over')") == []
    assert _ecm(made.db) == []


@MOVES
def test_default_privileges_do_not_add_to_what_is_made(shop: Any, move: Move) -> None:
    """Rights that every new object gets are not given to what was there before they were."""
    made: Shop = shop(
        VIEW
        + """GRANT SELECT ON big TO pg_monitor; CREATE FUNCTION most() RETURNS bigint
        BEGIN ATOMIC SELECT max("Amount") FROM "my shop"."Sales"; END; GRANT EXECUTE ON FUNCTION most TO pg_monitor;
        ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC; ALTER DEFAULT PRIVILEGES GRANT ALL ON ROUTINES TO pg_read_all_stats;""",
        move,
    )
    before = {name: text for name, text in fingerprint(made.db).items() if "big" in name or "most" in name}
    made.there()
    after = fingerprint(made.db)
    grants = {name: text.split("grants=")[1].split("\n")[0] for name, text in before.items() if "grants=" in text}
    assert {name: after[name].split("grants=")[1].split("\n")[0] for name in grants} == grants


def test_an_ordinary_role_moves_what_its_groups_own(shop: Any, roles: Roles) -> None:
    """No superuser is needed, and the owner stays who he was."""
    role, group = roles(), roles()
    made: Shop = shop(
        READERS
        + f"""GRANT {group} TO {role}; GRANT ALL ON SCHEMA public, "my shop" TO {group}; GRANT ALL ON SCHEMA ecm TO {role};
        ALTER TABLE "my shop"."Sales" OWNER TO {group}; ALTER VIEW big OWNER TO {group}; ALTER VIEW over OWNER TO {group};
        ALTER MATERIALIZED VIEW held OWNER TO {group}; ALTER FUNCTION most OWNER TO {group};
        CREATE POLICY p ON "my shop"."Sales" USING ("Amount" < 100);""",
        IN_PLACE,
    )
    before = fingerprint(made.db)
    made.url = as_role(made.url, role)
    made.there()
    there = fingerprint(made.db)
    owned = [name for name, text in there.items() if name.startswith(("relation", "function")) and group in text]
    assert {"relation big", "relation held", "relation over", "function most()"} <= {
        name.replace("public.", "") for name in owned
    }
    made.back()
    assert fingerprint(made.db) == before
    made.there()
    made.contract()
    assert fingerprint(made.db).keys() == there.keys() - {'column "my shop"."Sales"."Amount old"'} - {
        name for name in there if "ecm_was" in name
    }
    assert _ecm(made.db) == []


UNMOVABLE = {
    "column default": (
        """CREATE FUNCTION most() RETURNS bigint BEGIN ATOMIC SELECT max("Amount") FROM "my shop"."Sales"; END;
        CREATE TABLE u (m bigint DEFAULT most());""",
        "default value",
    ),
    "row type": (VIEW + "CREATE TABLE u (b big)", "table"),
    "aggregate": (
        VIEW + "CREATE AGGREGATE a (big) (SFUNC = f, STYPE = integer)",
        "function",
    ),
    "positions": ('CREATE VIEW v AS SELECT x.b FROM "my shop"."Sales" x (a, b)', "view"),
    "positions in a policy": (
        """CREATE TABLE u (id integer);
        CREATE POLICY p ON u USING (id IN (SELECT x.b FROM "my shop"."Sales" x (a, b)))""",
        "policy",
    ),
    "statistics": (
        """CREATE MATERIALIZED VIEW v AS SELECT id, "Amount" FROM "my shop"."Sales"; CREATE STATISTICS s ON id, "Amount" FROM v""",
        "materialized view",
    ),
}


@pytest.mark.parametrize("name", UNMOVABLE)
def test_what_cannot_be_moved_is_named(shop: Any, name: str) -> None:
    """It is reported before anything is touched."""
    start, kind = UNMOVABLE[name]
    function = "CREATE FUNCTION f(integer, big) RETURNS integer LANGUAGE sql AS 'SELECT 1';"
    made: Shop = shop(start.replace("CREATE AGGREGATE", function + "CREATE AGGREGATE"), IN_PLACE)
    assert kind in {each.kind for each in made.facts().unmovable["Amount"]}


def test_a_view_of_another_owner_is_named(shop: Any, roles: Roles) -> None:
    """A role that is no member of the owner could not make it again."""
    role, other = roles(), roles()
    made: Shop = shop(
        VIEW
        + f"""ALTER TABLE "my shop"."Sales" OWNER TO {role}; GRANT ALL ON SCHEMA public, "my shop", ecm TO {role};
        ALTER VIEW big OWNER TO {other};""",
        IN_PLACE,
    )
    made.url = as_role(made.url, role)
    (found,) = made.facts().unmovable["Amount"]
    why = f"it cannot be made again: role {role} is no member of its owner, {other}"
    assert (found.name, found.why) == ("public.big", why)


def test_what_comes_to_stand_on_what_stands_aside_keeps_contract_waiting(shop: Any) -> None:
    """Nothing of the person's is dropped with what ecm set aside."""
    made: Shop = shop(VIEW, IN_PLACE)
    made.there()
    run(made.db, "CREATE TABLE mine (b ecm.was_public_big)")
    assert "public.mine" in {each.name for each in moving.strangers(made.facts(), IN_PLACE)}


def test_a_temporary_view_is_named(shop: Any) -> None:
    """It belongs to a session at work, and would keep the old column from going."""
    made: Shop = shop("""CREATE TEMPORARY VIEW v AS SELECT "Amount" FROM "my shop"."Sales" """, IN_PLACE)
    (found,) = made.facts().unmovable["Amount"]
    assert "temporary" in found.why


JOINED = """
    CREATE TABLE prices ("Amount" integer, label text);
    CREATE {} v AS SELECT label, "Amount" FROM "my shop"."Sales" JOIN prices USING ("Amount");
"""


def test_a_join_by_name_is_moved_where_the_name_stays(shop: Any) -> None:
    """The same text reads the new column; under another name there is nothing to be merged, and it is named."""
    made: Shop = shop(JOINED.format("VIEW"), IN_PLACE)
    made.there()
    made.contract()
    other: Shop = shop(JOINED.format("VIEW"), OTHER)
    assert [each.name for each in other.facts().unmovable["Amount"]] == ["public.v"]
    early: Shop = shop(JOINED.format("MATERIALIZED VIEW"), IN_PLACE)
    assert [each.name for each in early.facts().unmovable["Amount"]] == ["public.v"]


def test_the_table_is_locked_only_where_a_text_is_needed(shop: Any, connect: Any) -> None:
    """In place, views need no other text; a materialized view does, and its reading ends within the budget."""
    made: Shop = shop(VIEW, IN_PLACE)
    other = connect(made.url, autocommit=False)
    other.execute('SELECT FROM "my shop"."Sales"')
    assert made.facts().readers["Amount"]
    run(made.db, "CREATE MATERIALIZED VIEW held AS TABLE big")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        made.facts()
    other.rollback()
    assert [reader.early for reader in made.facts().readers["Amount"]] == [True, True]


def test_reading_leaves_the_readers_where_they_are(shop: Any) -> None:
    """The marker and the places beside are gone with their transaction."""
    made: Shop = shop(READERS, OTHER)
    before = fingerprint(made.db)
    made.facts()
    assert fingerprint(made.db) == before
    assert _ecm(made.db) == []
