"""Words for people: the nearest name, a count with its noun."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

NOTHING_TO_COPY = "nothing has two sides, so there is nothing to copy and nothing to compare"
"""What is said of a plan that only changes the catalog."""


def nearest(word: str, known: Iterable[str], *, most: int = 3) -> tuple[str, ...]:
    """Return up to `most` names that `word` may have meant, best first."""
    by_folded = {name.lower(): name for name in known}
    return tuple(by_folded[match] for match in get_close_matches(word.lower(), by_folded, n=most, cutoff=0.5))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `did you mean a, b or c?`, or what there is where nothing is near; empty where there is nothing."""
    names = sorted(known)
    if near := nearest(word, names):
        return f"did you mean {listed(near, 'or')}?"
    if not names:
        return ""
    shown = ", ".join(names[:12])
    return f"there is {shown}" + (" …" if len(names) > 12 else "")  # noqa: PLR2004 - as many as fit on a line


def listed(names: Iterable[str], conjunction: str = "and") -> str:
    """Return `a, b and c`."""
    *first, last = tuple(names)
    return f"{', '.join(first)} {conjunction} {last}" if first else last


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return `1 row`, `12,400 rows`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def a(noun: str) -> str:
    """Return `a year`, `an author_id`."""
    return f"{'an' if noun[:1].lower() in set('aeio') else 'a'} {noun}"


def kebab(name: str) -> str:
    """Return a name in lower case with hyphens, fit for a file: `Published_Year` → `published-year`."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "column"
