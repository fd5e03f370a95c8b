"""The wave's books: every page gets all its passes, in order, whoever is refused, lost or slow."""

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.engine.wave import LARGEST, MOST_ROWS, Turn, Wave


@dataclass
class Clock:
    """A clock that goes on when told to."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Books:
    """What was committed, page by page: the number of passes, and whether it is finished."""

    passes: dict[int, int] = field(default_factory=dict)
    finished: set[int] = field(default_factory=set)

    def commit(self, turn: Turn) -> None:
        for page in range(turn.first, turn.end):
            assert page not in self.finished, f"page {page} was written after it was finished"
            assert self.passes.get(page, 0) == turn.number, "a pass was left out or done twice"
            self.passes[page] = turn.number + 1
            if turn.last:
                self.finished.add(page)


@given(
    pages=st.integers(0, 80),
    first=st.integers(0, 50),
    passes=st.integers(1, 9),
    workers=st.integers(1, 4),
    seed=st.integers(0, 2**32),
    in_place=st.sampled_from([0.0, 0.3, 0.9]),
)
def test_every_page_is_finished_once(*, pages, first, passes, workers, seed, in_place):
    """In any interleaving of commits, refusals and losses; and the checkpoint never tells too much."""
    clock, books, dice = Clock(), Books(), random.Random(seed)
    wave = Wave(first=first, end=first + pages, passes=passes, batch_time=0.2, window=1024, clock=clock)
    flying: list[Turn] = []
    kept = first
    for _ in range(100_000):
        while len(flying) < workers and not (flying and dice.random() < 0.3):
            clock.now += 3  # beyond any pause after a refusal
            turn = wave.begin(wait=False)
            if turn is None:
                break
            flying.append(turn)
        if not flying:
            break
        turn = flying.pop(dice.randrange(len(flying)))
        fate = dice.random()
        if fate < 0.1:
            wave.refuse(turn, out_of_time=fate < 0.05)
            if turn.pages == 1 and fate < 0.05 and turn.passes < MOST_ROWS:
                books.passes.pop(turn.first, None)  # it begins anew, in smaller parts
        elif fate < 0.15:
            wave.give_back(turn)
        else:
            mark = wave.checkpoint(turn)
            books.commit(turn)
            assert mark >= kept
            assert set(range(first, mark)) <= books.finished, "the checkpoint passes by a page that is not finished"
            kept = mark
            wave.finish(turn, rows=10, in_place=round(10 * in_place), seconds=dice.random() * 0.5 / turn.passes)
    assert wave.over
    assert books.finished == set(range(first, first + pages))
    assert kept == first + pages if pages else True
    assert wave.done == pytest.approx(first + pages)
    assert wave.begin() is None


def test_a_region_waits_until_its_dead_rows_can_be_pruned():
    """The next pass begins when no transaction is left that began before the last pass was committed."""
    wave = Wave(first=0, end=LARGEST * 4, passes=2, batch_time=10, window=10_000)
    long = wave.begin()
    short = wave.begin()
    assert long
    assert short
    wave.finish(short, rows=10, in_place=0, seconds=0.01)
    others = [wave.begin() for _ in range(2)]
    assert all(turn and turn.first != short.first for turn in others), "the first transaction still sees the old rows"
    for turn in (long, *others):
        assert turn
        wave.finish(turn, rows=10, in_place=0, seconds=0.01)
    again = wave.begin()
    assert again
    assert (again.first, again.number) == (short.first, 1)


def test_passes_that_gain_nothing_are_given_up_and_taken_up_again():
    """A pinned horizon collapses the wave to one pass; once later passes stay in place, it goes back."""
    wave = Wave(first=0, end=10**6, passes=8, batch_time=10, window=64)

    def step(in_place: float) -> Turn:
        turn = wave.begin()
        assert turn
        wave.finish(turn, rows=100, in_place=round(100 * in_place) if turn.number else 0, seconds=0.1)
        return turn

    pinned = [step(0.0) for _ in range(400)]
    assert sum(turn.last for turn in pinned[-100:]) > 70, "it went on with passes that gain nothing"
    assert any(not turn.last for turn in pinned[-100:]), "it never looked whether it may go back"
    free = [step(1.0) for _ in range(400)]
    assert sum(turn.number > 0 for turn in free[-100:]) > 70, "it stayed with one pass when there was no need"


def test_the_time_of_a_batch():
    """Shrinks at once, grows gently; a page that takes too long is written in parts."""
    wave = Wave(first=0, end=10**6, passes=1, batch_time=0.2, window=64)
    first = wave.begin()
    assert first
    wave.finish(first, rows=1, in_place=0, seconds=2.0)
    second = wave.begin()
    assert second
    assert second.pages <= first.pages / 10
    wave.finish(second, rows=1, in_place=0, seconds=0.01)
    third = wave.begin()
    assert third
    assert second.pages < third.pages <= second.pages * 1.25 + 2
    while third.pages > 1:
        wave.refuse(third, out_of_time=True)
        third = next(turn for turn in iter(wave.begin, None) if turn.refused)
    parts = [third.passes]
    while not third.unhurried:
        wave.refuse(third, out_of_time=True)
        page = third.first
        third = next(turn for turn in iter(wave.begin, None) if turn.first == page)
        parts.append(third.passes)
    assert parts == [1, 4, 16, 64, 256, MOST_ROWS, MOST_ROWS], "only a single row may take as long as it takes"
    assert parts[-1] == MOST_ROWS


def test_pages_that_take_too_long_are_written_in_parts_until_they_do_not():
    """Slow triggers: what one page has shown holds for the next ones, and is unlearned when it is over."""
    clock = Clock()
    wave = Wave(first=0, end=10**6, passes=8, batch_time=0.2, window=64, clock=clock)

    def step(seconds: float) -> Turn:
        clock.now += 5
        turn = wave.begin()
        assert turn
        if seconds / turn.passes > 0.5 and turn.pages * seconds / turn.passes > 0.5:
            wave.refuse(turn, out_of_time=True, seconds=0.5)
        else:
            wave.finish(turn, rows=10, in_place=5, seconds=turn.pages * seconds / turn.passes)
        return turn

    slow = [step(20.0) for _ in range(600)]
    refused = [turn for turn in slow[200:] if 20.0 / turn.passes > 0.5]
    assert not refused, "it forgot from one page to the next that a page takes too long"
    assert {turn.pages for turn in slow[200:]} == {1}
    quick = [step(0.001) for _ in range(600)]
    assert not any(turn.divided for turn in quick[-100:]), "it stayed with parts of pages when there was no need"


@pytest.mark.parametrize("out_of_time", [True, False])
def test_only_rows_that_were_locked_make_it_stuck(out_of_time: bool):
    """A batch that took too long, on a busy machine or for slow triggers, says nothing of other sessions."""
    wave = Wave(first=0, end=1, passes=1, batch_time=0.2, window=64, clock=Clock())
    turn = wave.begin()
    assert turn
    assert not wave.stuck
    wave.refuse(turn, out_of_time=out_of_time)
    assert wave.stuck is not out_of_time
