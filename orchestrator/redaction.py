"""Keep passwords out of what people read.

Pure. Two nets: whatever stands where a URL or a connection string has its password, and every
password that the environment's URLs are known to hold, wherever it turns up (psycopg quotes pieces
of a malformed URL in its errors).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import unquote

HIDDEN = "***"

_IN_URL = re.compile(r"(?P<before>\b[a-z][a-z0-9+.-]*://[^\s:/?#@'\"]*:)(?P<password>[^\s'\"]*)(?=@)", re.IGNORECASE)
_AS_KEY = re.compile(
    # As a setting (password=…), and as SQL has it (PASSWORD '…', OPTIONS (password '…')).
    r"(?P<before>\b(?:pg)?pass(?:word|file)?(?:\s*=\s*|\s+(?=[eE]?')))(?P<password>[eE]?'(?:[^'\\]|\\.|'')*'|[^\s&'\";]+)",
    re.IGNORECASE,
)
_DELIMITERS = re.compile(r"[/?#@:\[\]%]")
_PASSWORD_VARIABLES = frozenset({"PGPASSWORD", "NEON_API_KEY"})

_SHORTEST_PIECE = 4
"""Pieces of a password shorter than this say nothing, and would be struck from every other word."""


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return the text with every password replaced by `***`.

    Args:
        text: what is about to be shown.
        secrets: strings that must not be shown wherever they stand as a word (`secrets_in`).
    """
    text = _IN_URL.sub(lambda found: found[0] if _is_example(found) else found["before"] + HIDDEN, text)
    text = _AS_KEY.sub(rf"\g<before>{HIDDEN}", text)
    known = sorted((secret for secret in secrets if secret), key=len, reverse=True)
    if not known:
        return text
    # Whole words only: the password `post` must not tear `postgresql` apart.
    return re.sub(rf"(?<!\w)(?:{'|'.join(map(re.escape, known))})(?!\w)", HIDDEN, text)


def _is_example(found: re.Match[str]) -> bool:
    """Whether it is the form of a URL, as ecm's own hints and `.env.example` show it, and nobody's."""
    return (found["before"], found["password"]) == ("postgresql://user:", "password")


def secrets_in(environment: Mapping[str, str]) -> frozenset[str]:
    """Return every password that an environment's URLs hold: whole, decoded, and in the pieces a parser makes of it."""
    found: set[str] = set()
    for name, value in environment.items():
        if name in _PASSWORD_VARIABLES:
            found.add(value)
        elif "://" in value:
            found |= _of_url(value)
    return frozenset(found - {""})


class Secrets:
    """What must not be shown anywhere, and grows: whoever holds it strikes out what was learned since, too.

    Args:
        known: what is known from the beginning.
    """

    def __init__(self, known: Iterable[str]) -> None:
        self._known = frozenset(known)

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __repr__(self) -> str:
        return f"Secrets({len(self._known)})"

    def learn(self, url: str) -> None:
        """Add the password of a URL that came from elsewhere than the environment."""
        self._known |= secrets_in({"": url})


def webhook_secrets(url: str) -> frozenset[str]:
    """Return what of a webhook's URL must not be shown: all of it, and its path and query, which are the key to it."""
    found = re.match(r"\s*[a-z][a-z0-9+.-]*://[^/?#]*(?P<key>[/?#].*)", url, re.IGNORECASE)
    pieces = re.split(r"[/?#&=]", found["key"]) if found else []
    # Words of the path that every such URL has (`services`, `hooks`) are nobody's key.
    return frozenset({url, url.strip(), *(piece for piece in pieces if len(piece) >= _SHORTEST_KEY)} - {""})


_SHORTEST_KEY = 9
"""Pieces of a webhook's path from this length on count as keys."""


def _of_url(url: str) -> set[str]:
    """Return the password of one URL in all its forms; nothing where it is the user's or database's name too."""
    # Greedy to the last @: a password that holds / ? # or @ unescaped is where drivers get it wrong.
    match = re.search(r"://(?P<user>[^:@\s]*):(?P<password>\S*)@(?P<rest>\S*)", url)
    passwords = {match["password"]} if match else set[str]()
    passwords |= set(re.findall(r"[?&]password=([^&\s]+)", url, re.IGNORECASE))
    public = {unquote(match["user"]), *re.split(r"[/?:&=]", match["rest"])} if match else set[str]()
    whole = {form for password in passwords for form in (password, unquote(password))}
    pieces = {piece for password in whole for piece in _DELIMITERS.split(password) if len(piece) >= _SHORTEST_PIECE}
    return (whole | pieces) - public
