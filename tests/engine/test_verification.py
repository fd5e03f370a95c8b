"""The proof sees every row of every page, and shows those that are wrong by their key."""

import time

import pytest
from operations.conftest import Journeys
from operations.harness import Journey, ask, run
from pydantic import SecretStr

from orchestrator.engine import catalog, verification
from orchestrator.engine.connection import Link, connect
from orchestrator.engine.verification import REGION, SAMPLES, Proven, Verdict, unproven, verify
from orchestrator.plan import compile as compiler

RENAME = {"kind": "rename_column", "table": "books", "column": "year", "to": "published"}


def scan(journey: Journey, seen: list[tuple[int, int, int]] | None = None) -> Verdict:
    """Run the proof of the plan's table."""
    (proof,) = compiler.proofs(journey.plan, journey.facts(), "a scan")
    with Link(lambda: connect(SecretStr(journey.url), branch="main"), patience=5, sleep=time.sleep) as link:
        return verify(link, proof, progress=lambda *told: seen.append(told) if seen is not None else None)


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("PRIMARY KEY (id)", {"id": "3"}),
        ("PRIMARY KEY (part, id)", {"id": "3", "part": "a"}),
        ("UNIQUE (id)", {"ctid": "(0,3)"}),
        ("PRIMARY KEY (year)", {"year": "3"}),
    ],
)
def test_rows_are_shown_by_their_key(journeys: Journeys, key: str, shown: dict[str, str]) -> None:
    """The primary key, or the place of a row that has none."""
    start = f"CREATE TABLE books (id integer, part text DEFAULT 'a', year integer, published integer, {key})"
    journey = journeys(start, RENAME)
    run(journey.db, "INSERT INTO books (id, year, published) SELECT g, g, nullif(g, 3) FROM generate_series(1, 5) g")
    verdict = scan(journey)
    assert (verdict.rows, verdict.mismatches, verdict.not_invertible) == (5, 1, 0)
    (sample,) = verdict.samples
    assert sample.key == shown
    assert (sample.old, sample.new) == ({"year": "3"}, {"published": None})
    assert unproven(verdict).details == (sample.line, "each row should have published = year")
    assert sample.line.endswith("year=3  published=NULL")


def test_a_table_of_several_regions(journeys: Journeys) -> None:
    """Every page is read once, the last one too, and the samples come from all of them."""
    start = """
        CREATE TABLE books (id integer, year integer, published integer, pad text DEFAULT repeat('x', 7500))
          WITH (autovacuum_enabled = off);
        ALTER TABLE books ALTER pad SET STORAGE PLAIN;
    """
    journey = journeys(start, RENAME)
    count = REGION + 10
    run(journey.db, f"INSERT INTO books (id, year, published) SELECT g, g, g FROM generate_series(1, {count}) g")
    run(journey.db, f"UPDATE books SET published = 0 WHERE id IN (1, {REGION}, {REGION + 1}, {count})")
    pages = ask(journey.db, "SELECT pg_relation_size('books') / current_setting('block_size')::int")
    seen: list[tuple[int, int, int]] = []
    verdict = scan(journey, seen)
    assert (verdict.rows, verdict.mismatches) == (count, 4)
    assert sorted(sample.old["year"] or "" for sample in verdict.samples) == sorted(
        str(number) for number in (1, REGION, REGION + 1, count)
    )
    assert seen[-1] == (pages, pages, count)
    assert len(seen) == 2


def test_a_table_that_is_rewritten_while_it_is_read(journeys: Journeys, monkeypatch: pytest.MonkeyPatch) -> None:
    """CLUSTER brings rows onto pages that were read already; they are read again."""
    monkeypatch.setattr(verification, "REGION", 4)
    start = "CREATE TABLE books (id integer PRIMARY KEY, year integer, published integer, pad text DEFAULT repeat('x', 700))"
    journey = journeys(start, RENAME)
    run(journey.db, "INSERT INTO books (id, year, published) SELECT g, g, g FROM generate_series(1, 500) g")
    run(journey.db, "UPDATE books SET published = 0 WHERE id = 500; CREATE INDEX backwards ON books ((-id))")
    clustered = list[bool]()

    def cluster(*_: int) -> None:
        if not clustered:
            clustered.append(True)
            run(journey.db, "CLUSTER books USING backwards")

    (proof,) = compiler.proofs(journey.plan, journey.facts(), "a scan")
    with Link(lambda: connect(SecretStr(journey.url), branch="main"), patience=5, sleep=time.sleep) as link:
        verdict = verify(link, proof, workers=1, progress=cluster)
    assert (verdict.rows, verdict.mismatches) == (500, 1)


def test_a_proof_goes_on_only_in_the_same_file(journeys: Journeys) -> None:
    """What was proven of a heap that was rewritten since is proven anew."""
    journey = journeys("CREATE TABLE books (id integer PRIMARY KEY, year integer, published integer)", RENAME)
    run(journey.db, "INSERT INTO books SELECT g, g, g FROM generate_series(1, 2000) g")
    run(journey.db, "UPDATE books SET published = 0 WHERE id = 1")
    (proof,) = compiler.proofs(journey.plan, journey.facts(), "a scan")
    with Link(lambda: connect(SecretStr(journey.url), branch="main"), patience=5, sleep=time.sleep) as link:
        before = catalog.filenode(link.connection, proof.table)
        begun = Proven(page=3, rows=300, filenode=before)
        assert verify(link, proof, begun=lambda _: begun).rows < 2000, "it began at its page"
        run(journey.db, "VACUUM FULL books")
        assert verify(link, proof, begun=lambda _: begun).mismatches == 1


def test_as_many_samples_as_fit(journeys: Journeys) -> None:
    """All are counted, a few are shown."""
    journey = journeys("CREATE TABLE books (id integer, year integer, published integer)", RENAME)
    run(journey.db, "INSERT INTO books SELECT g, g, -g FROM generate_series(1, 2000) g")
    verdict = scan(journey)
    assert (verdict.mismatches, len(verdict.samples)) == (2000, SAMPLES)
    assert unproven(verdict).message == "the two sides differ in 2,000 of 2,000 rows of books"


def test_an_empty_table_is_proven(journeys: Journeys) -> None:
    """Nothing to find."""
    verdict = scan(journeys("CREATE TABLE books (id integer, year integer, published integer)", RENAME))
    assert (verdict.rows, verdict.mismatches, verdict.samples) == (0, 0, ())
