"""Names exactly as PostgreSQL has them."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from psycopg import sql

from orchestrator.sql.identifiers import NAME_BYTES, TableName, bounded, spelled, verbatim, words

NAMES = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1)


@pytest.mark.parametrize(
    ("text", "schema", "name"),
    [
        ("books", "public", "books"),
        ("shop.books", "shop", "books"),
        ("Books", "public", "Books"),
        ('"Books"', "public", "Books"),
        ('"a.b"."c.d"', "a.b", "c.d"),
        ('"with ""quotes"""', "public", 'with "quotes"'),
        ('shop."%s"', "shop", "%s"),
        ('"$$"."select"', "$$", "select"),
        ("bücher", "public", "bücher"),
        ("a b.c d", "a b", "c d"),
    ],
)
def test_parse(text: str, schema: str, name: str) -> None:
    """One name or two; quotes only where a dot or a quote is part of a name; nothing is folded."""
    assert TableName.parse(text) == TableName(schema, name)


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a.b.c", '"a', '"a"b', 'a."b', '""', 'a.""', '"a"."b"."c"'])
def test_not_a_table_name(text: str) -> None:
    """What is not one or two names is refused, in the words of the text."""
    with pytest.raises(ValueError, match="is not a table name"):
        TableName.parse(text)


@given(NAMES, NAMES)
def test_any_name_reads_back(schema: str, name: str) -> None:
    """Any two names, quoted, are read as they were meant."""
    quoted = ".".join(f'"{part.replace(chr(34), chr(34) * 2)}"' for part in (schema, name))
    assert TableName.parse(quoted) == TableName(schema, name)
    assert TableName(schema, name).identifier.as_string(None) == quoted


@given(NAMES, NAMES)
def test_two_texts_two_tables(one: str, other: str) -> None:
    """No two tables are shown to a person under one name without quotes, dots or spaces in them."""
    assume(not set('". ') & set(one + other) and one != other)
    assert str(TableName("public", one)) != str(TableName("public", other))
    assert str(TableName(one, "t")) != str(TableName(other, "t")) or "public" in (one, other)


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (("books",), "books"),
        (("shop", "books"), "shop.books"),
        (("public", "Order Log"), '"Order Log"'),
        (("Shop", "order"), '"Shop"."order"'),
        (("public", 'a"b'), '"a""b"'),
        (("public", "2nd"), '"2nd"'),
        (("public", "bücher"), '"bücher"'),
    ],
)
def test_spelled_as_sql_has_to_have_it(parts: tuple[str, ...], text: str) -> None:
    """Quoted where PostgreSQL would fold it, take it for a key word or not read it at all; and nowhere else."""
    assert spelled(*parts).removeprefix("public.") == text
    if len(parts) > 1:
        assert TableName(*parts).spelled == text


def test_shown_with_its_schema_where_it_is_not_public() -> None:
    """The name for a person is the shortest that a plan could hold."""
    assert (str(TableName("public", "books")), str(TableName("shop", "books"))) == ("books", "shop.books")


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_bounded_fits(parts: list[str]) -> None:
    """However long its parts, the name is one that PostgreSQL would not cut, and is valid text."""
    name = bounded(*parts)
    assert len(name.encode()) <= NAME_BYTES
    if len("_".join(parts).encode()) <= NAME_BYTES:
        assert name == "_".join(parts)


def test_bounded_names_stay_apart() -> None:
    """Long names that differ at their ends only are told apart by the digest, also in the middle of a letter."""
    names = {bounded("é" * 40, str(number)) for number in range(100)}
    assert len(names) == 100
    assert all(name.startswith("é" * 20) for name in names)


@given(st.text())
def test_verbatim(text: str) -> None:
    """SQL text comes through as it is, whatever percent signs and braces it holds."""
    assert verbatim(text).as_string(None) == text
    assert sql.SQL("({})").format(verbatim(text)).as_string(None) == f"({text})"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("split_part(name, ' ', 1)", {"split_part", "name"}),
        ("Year + 1", {"year"}),
        ('"Year" + "a ""b"""', {"Year", 'a "b"'}),
        ("'year' || 'it''s year'", set()),
        ("(t.doc)->>'year'", {"t", "doc"}),
        ("año2 * 2.5", {"año2"}),
    ],
)
def test_words(text: str, found: set[str]) -> None:
    """What may be a column's name, folded as PostgreSQL folds it; what is quoted as text is none."""
    assert words(text) == found


@given(NAMES, NAMES)
def test_words_of_quoted_names(one: str, other: str) -> None:
    """A quoted name is found whatever it is."""
    text = sql.SQL("{} || {}").format(sql.Identifier(one), sql.Identifier(other)).as_string(None)
    assert {one, other} <= words(text)
