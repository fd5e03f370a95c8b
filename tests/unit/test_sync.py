"""The sync trigger's statements; what they do to rows is in `tests/operations/test_both_sides.py`."""

import pytest
from facts import column, table, trigger
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.sql import sync
from orchestrator.sql.identifiers import NAME_BYTES, TableName
from orchestrator.sql.mapping import Copy, Truth
from orchestrator.sql.sync import Ddl

YEAR = Copy(old="year", new="published", type="integer", default=None)
NAMES = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=30)


def texts(ddl: Ddl, *, back: bool = False) -> list[str]:
    """Return the statements, or those that take them back."""
    return [statement.as_string(None) for statement in (ddl.inverse if back else ddl.statements)]


def triggers_of(statements: list[str]) -> list[str]:
    """Return the names of the triggers that are created."""
    return [text.split('"')[1] for text in statements if text.startswith("CREATE TRIGGER")]


def test_one_trigger_where_the_table_has_none() -> None:
    """It fires last of all, always, and not for the sweep of its own plan."""
    statements = texts(sync.install("p", table(), (YEAR,)))
    assert triggers_of(statements) == ["~ecm_p_public.books"]
    assert "current_setting('ecm.backfill', true) IS DISTINCT FROM '~ecm_p_public.books'" in statements[1]
    assert statements[2] == 'ALTER TABLE "public"."books" ENABLE ALWAYS TRIGGER "~ecm_p_public.books"'


def test_two_triggers_around_those_of_the_table() -> None:
    """The first brings new writes to the old side, the last hands on what the table's own made of it."""
    statements = texts(sync.install("p", table(triggers=(trigger("theirs"),)), (YEAR,)))
    assert triggers_of(statements) == ["!ecm_p_public.books", "~ecm_p_public.books"]
    assert all(
        "IS DISTINCT FROM '~ecm_p_public.books'" in text for text in statements if text.startswith("CREATE TRIGGER")
    )
    back = texts(sync.install("p", table(triggers=(trigger("theirs"),)), (YEAR,)), back=True)
    assert sum("DROP TRIGGER" in text for text in back) == sum("DROP FUNCTION" in text for text in back) == 2


@given(st.lists(NAMES, min_size=3, max_size=3), st.text("abc-9", min_size=1, max_size=63))
def test_names_fit_and_enclose(names: list[str], plan: str) -> None:
    """Whatever the plan and table are called, the names are PostgreSQL's and sort around ordinary ones."""
    schema, name, _ = names
    last = sync.trigger_name(plan, TableName(schema, name))
    assert len(last.encode()) <= NAME_BYTES
    assert last.encode() > b"zzz"
    (first,) = (
        created
        for created in triggers_of(texts(sync.install(plan, table(triggers=(trigger("t"),)), (YEAR,))))
        if created.startswith(sync.FIRST)
    )
    assert first.encode() < b"0"


def test_tables_of_one_plan_have_functions_of_their_own() -> None:
    """Long names that begin alike are not one name."""
    names = {
        sync.trigger_name("p" * 63, TableName("public", f"a_rather_long_table_name_{number}")) for number in range(9)
    }
    assert len(names) == 9


@given(NAMES, NAMES, st.sampled_from(Truth))
def test_any_name_is_quoted_in_the_body(old: str, new: str, truth: Truth) -> None:
    """Names with quotes, dollars or percent signs stand in the body as quoted identifiers, the body as one literal."""
    mapping = Copy(old=old, new=new, type="integer", default="'%s $$ '''")
    statement = sync.sync_function("p", table(name="t"), (mapping,), truth).as_string(None)
    head, _, literal = statement.partition(" AS ")
    assert head.startswith('CREATE OR REPLACE FUNCTION "ecm"."sync_p_public.t"()')
    assert "SET search_path = pg_catalog, pg_temp" in head
    body = literal.strip().removeprefix("E").strip("'")
    escaped = "\\" in old + new
    for name in (old, new):
        quoted = '"' + name.replace('"', '""') + '"'
        expected = quoted.replace("'", "''").replace("\\", "\\\\" if escaped else "\\")
        assert f"NEW.{expected}" in body


def test_truth_decides_only_where_both_changed() -> None:
    """The two versions of the function differ in one condition of an INSERT and one of an UPDATE."""
    old, new = (sync.sync_function("p", table(name="t"), (YEAR,), truth).as_string(None) for truth in Truth)
    differing = [(a, b) for a, b in zip(old.split("\n"), new.split("\n"), strict=True) if a != b]
    assert len(differing) == 2
    for before, after in differing:
        assert before.startswith(after.removesuffix(" THEN"))
        assert " AND NOT " in before


REBUILDS = [
    (trigger("t", update_of=("year",)), ["DROP", 'CREATE TRIGGER "t" BEFORE UPDATE OF "year", "published" ON']),
    (
        trigger("t", update_of=("title", "year"), events=("INSERT", "UPDATE"), timing="AFTER"),
        ["DROP", 'CREATE TRIGGER "t" AFTER INSERT OR UPDATE OF "title", "year", "published" ON'],
    ),
    (
        trigger("t", update_of=("year",), constraint=True, timing="AFTER", enabled="A"),
        ["DROP", 'CREATE CONSTRAINT TRIGGER "t" AFTER UPDATE OF', "ALTER TABLE {} ENABLE ALWAYS TRIGGER"],
    ),
    (
        trigger("t", update_of=("year",), enabled="D", comment="it's"),
        ["DROP", "CREATE", "ALTER TABLE {} DISABLE TRIGGER", "COMMENT ON TRIGGER \"t\" ON {} IS 'it''s'"],
    ),
    (
        trigger("t", update_of=("year",), enabled="R"),
        ["DROP", "CREATE", "ALTER TABLE {} ENABLE REPLICA TRIGGER"],
    ),
    (trigger("t", update_of=("title",)), []),
    (trigger("t"), []),
]


@pytest.mark.parametrize(("theirs", "beginnings"), REBUILDS)
def test_update_of_triggers_are_widened(theirs, beginnings: list[str]) -> None:
    """A trigger on the old column is made again for both, with its state and comment; others are left alone."""
    statements = texts(sync.install("p", table(triggers=(theirs,)), (YEAR,)))
    rebuilt = [text for text in statements if '"t"' in text.split(" ON ")[0] or '"t"' in text.split("TRIGGER ")[-1]]
    assert len(rebuilt) == len(beginnings)
    for text, beginning in zip(rebuilt, beginnings, strict=True):
        assert text.startswith(beginning.replace("{}", '"public"."books"'))


@pytest.mark.parametrize("update_of", [("year",), ("year", "published"), ("published", "year")])
def test_narrowed_to_what_they_were(update_of: tuple[str, ...]) -> None:
    """The way back is the same before and after the trigger was widened."""
    facts = table(
        "books", column("year"), column("published"), triggers=(trigger("t", update_of=update_of, timing="AFTER"),)
    )
    (created,) = (text for text in texts(sync.install("p", facts, (YEAR,)), back=True) if text.startswith("CREATE"))
    assert created.startswith('CREATE TRIGGER "t" AFTER UPDATE OF "year" ON')
