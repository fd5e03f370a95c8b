"""The bookstore: its tables, its books, and what its schema looks like.

The books are made up from lists of words, the same ones every time.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString, TypeVar

import psycopg

T = TypeVar("T")

OLD, NEW = "published_year", "publication_year"
"""The column before and after."""

RENAME: LiteralString = "ALTER TABLE books RENAME COLUMN published_year TO publication_year"
"""The direct way, for comparison."""

_TABLES = """
CREATE TABLE authors (
    id serial PRIMARY KEY, name text NOT NULL, bio text, created_at timestamp NOT NULL DEFAULT now());
CREATE TABLE books (
    id serial PRIMARY KEY, title text NOT NULL, author_id integer REFERENCES authors (id),
    published_year integer, created_at timestamp NOT NULL DEFAULT now());
CREATE INDEX books_published_year_idx ON books (published_year);
CREATE VIEW books_per_decade AS
    SELECT published_year / 10 * 10 AS decade, count(*) AS books FROM books GROUP BY published_year / 10;
"""

_SCHEMA: LiteralString = """
SELECT format('column %s.%s: %s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
              CASE WHEN a.attnotnull THEN 'not null' END, pg_get_expr(d.adbin, d.adrelid),
              'number ' || row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum))
  FROM pg_attribute a
  JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'v') AND c.relnamespace = 'public'::regnamespace
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attnum > 0 AND NOT a.attisdropped
UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT format('view %s: %s', viewname, definition) FROM pg_views WHERE schemaname = 'public'
UNION ALL SELECT format('constraint %s on %s: %s', conname, conrelid::regclass, pg_get_constraintdef(oid))
  FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT 'trigger ' || pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT format('function %s', oid::regprocedure) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Book:
    """A book as its reader knows it, whatever the year's column is called."""

    title: str
    author: int
    year: int | None


class _Draws:
    """Draws that depend on a text alone."""

    def __init__(self, text: str) -> None:
        self._left = int.from_bytes(hashlib.blake2b(text.encode()).digest())

    def below(self, bound: int) -> int:
        self._left, drawn = divmod(self._left, bound)
        return drawn

    def one(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]


def author_count(books: int) -> int:
    """Return how many authors wrote so many books."""
    return max(10, books // 40)


def book(number: int, authors: int) -> Book:
    """Return the book of that number; half of all are from the last forty-five years, one in a hundred is undated."""
    draws = _Draws(f"book {number}")
    title = draws.one(_TITLES).format(
        noun=draws.one(_NOUNS), other=draws.one(_NOUNS), adjective=draws.one(_ADJECTIVES), place=draws.one(_PLACES)
    )
    age = draws.below(1000) ** 2 * 180 // 1_000_000
    return Book(title=title, author=1 + draws.below(authors), year=None if draws.below(100) == 0 else 2024 - age)


def _authors(count: int) -> Iterator[tuple[str, str]]:
    for number in range(count):
        draws = _Draws(f"author {number}")
        name = f"{draws.one(_FIRST_NAMES)} {draws.one(_LAST_NAMES)}"
        yield name, f"{draws.one(_TRADES)} from {draws.one(_PLACES)}"


def furnish(connection: psycopg.Connection[Any], books: int) -> None:
    """Make the tables in an empty database and fill them with so many books."""
    authors = author_count(books)
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(_TABLES)
        with cursor.copy("COPY authors (name, bio) FROM STDIN") as copy:
            for author in _authors(authors):
                copy.write_row(author)
        with cursor.copy("COPY books (title, author_id, published_year) FROM STDIN") as copy:
            for number in range(books):
                made = book(number, authors)
                copy.write_row((made.title, made.author, made.year))
    connection.execute("ANALYZE")


def schema(connection: psycopg.Connection[Any]) -> frozenset[str]:
    """Return every column, index, view, constraint, trigger and function outside schema ecm, in words."""
    return frozenset(line for (line,) in connection.execute(_SCHEMA))


_TITLES = (
    "The {adjective} {noun}",
    "The {noun} of {place}",
    "The {noun} from {place}",
    "{place} and Other Stories",
    "The {noun} and the {other}",
    "My {adjective} {noun}",
    "The {adjective} History of the {noun}",
    "The {noun}'s {adjective} {other}",
    "Letters to the {noun}",
    "The Last {noun} in {place}",
)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.replace("_", " ") for word in text.split())


_ADJECTIVES = _words("""
    Bitter Borrowed Broken Careful Crooked Distant Early Forgotten Frozen Gentle Golden Hidden Hollow Honest
    Invisible Late Little Lonely Lost Patient Perfect Quiet Restless Second Secret Silent Silver Small Stubborn
    Sudden Tender Unfinished Unlikely Wandering Wild Winter
""")
_NOUNS = _words("""
    Almanac Apprentice Archive Astronomer Atlas Baker Beekeeper Bell Bridge Cartographer Cathedral Clock Clockmaker
    Comet Compass Correspondent Daughter Diary Doctor Ferryman Fire Garden Gardener Glacier Harbour Heir House
    Island Kingdom Lantern Letter Library Lighthouse Listener Map Mathematician Mirror Mountain Navigator Night
    Orchard Painter Piano Pilgrim Printer River Sea Sister Stranger Summer Tailor Translator Voyage Witness
""")
_PLACES = _words("""
    Aleppo Antwerp Bergen Bologna Bombay Buenos_Aires Cairo Cork Cracow Dresden Dublin Edinburgh Fez Genoa Ghent
    Havana Hokkaido Istanbul Kyoto Lagos Leipzig Lima Lisbon Ljubljana Lyon Marseille Montevideo Nairobi Naples
    Odesa Oslo Porto Prague Quito Riga Rotterdam Salamanca Samarkand Shanghai Tbilisi Trieste Valparaíso Zanzibar
""")
_FIRST_NAMES = _words("""
    Ada Aiko Amara Anselm Beatriz Chidi Clara Dmitri Edith Elif Emeka Esther Farid Greta Hana Henrik Ines Ivo Jonas
    Kamala Lena Leonor Malik Marguerite Mateo Mina Nadia Noor Olga Otis Paula Rafael Rosa Samuel Selma Tariq Teresa
    Vera Wanjiru Yusuf
""")
_LAST_NAMES = _words("""
    Abara Adeyemi Almeida Andersen Baranov Bergström Castellanos Chatterjee Delacroix Duarte Eriksen Falk Ferrante
    Gallagher Haddad Hartmann Ito Jansen Kaplan Kimura Kovač Lindqvist Marchetti Mbeki Moreau Nakamura Novak Okafor
    Ortega Petrov Quispe Rahman Salazar Schreiber Sorensen Tanaka Thackeray Vasquez Whitlock Zielinska
""")
_TRADES = ("Novelist", "Poet", "Historian", "Essayist", "Playwright", "Journalist", "Botanist", "Schoolteacher")
