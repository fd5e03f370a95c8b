"""Passwords are taken out of every text, and little else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.redaction import HIDDEN, redact, secrets_in

PASSWORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="@/?#:'\""), min_size=1)


@given(PASSWORDS)
def test_a_url_keeps_everything_but_its_password(password: str) -> None:
    """User, host and database stay readable; what is between : and @ goes."""
    shown = redact(f"cannot reach postgresql://app:{password}@db.example/books at all")

    assert shown == f"cannot reach postgresql://app:{HIDDEN}@db.example/books at all"


@pytest.mark.parametrize(
    "text",
    [
        "host=db password=tr0mbone user=app",
        "password = 'tr0mb one' host=db",
        "?sslmode=require&password=tr0mbone",
        "PGPASSWORD=tr0mbone psql",
    ],
)
def test_a_password_given_as_a_key_goes(text: str) -> None:
    """Connection strings name it; quoted or not, it goes."""
    assert "tr0m" not in redact(text)


@pytest.mark.parametrize(
    ("url", "quoted"),
    [
        ("postgresql://app:tr0mbone@h/db", "tr0mbone"),
        ("postgresql://app:tr%40mbone@h/db", "tr@mbone"),
        ("postgresql://app:tr0m/bone@h/db", 'invalid port number: "tr0m"'),
        ("postgresql://app:first@second@h/db", 'could not translate host name "second@h"'),
        ("postgresql://h/db?user=app&password=tr0mbone", "tr0mbone"),
    ],
)
def test_what_a_url_is_known_to_hold_goes_wherever_it_stands(url: str, quoted: str) -> None:
    """The environment's passwords are found whole, decoded, and in the pieces a parser makes of them."""
    shown = redact(quoted, secrets_in({"DATABASE_URL_PRODUCTION": url}))

    assert not {"tr0mbone", "tr@mbone", "tr0m", "second"} & set(shown.replace('"', " ").replace("@", " ").split())
    assert HIDDEN in shown


def test_the_form_of_a_url_stays() -> None:
    """What ecm's own hints show holds nobody's password; a real one of the same word goes."""
    form = "postgresql://user:password@host:port/database"
    assert redact(form) == form
    assert redact("postgresql://me:password@db/x") == "postgresql://me:***@db/x"
    assert redact(form, ["password"]) == "postgresql://user:***@host:port/database"


def test_other_words_stay() -> None:
    """A password is no reason to tear apart words that contain it, or the name of the user or database."""
    secrets = secrets_in(
        {"URL": "postgresql://postgres:postgres@localhost/books", "OTHER": "postgresql://app:post@h/db"}
    )

    assert redact("role postgres at postgresql://postgres:postgres@localhost/books", secrets) == (
        f"role postgres at postgresql://postgres:{HIDDEN}@localhost/books"
    )


def test_urls_without_a_password_stay() -> None:
    """Nothing is hidden where there is nothing to hide."""
    for text in (
        "postgresql://app@db/books",
        "sqlite:///.ecm/ledger.db",
        "see https://example.org:8080/a and b@c",
        "at 10:02 a@b",
    ):
        assert redact(text) == text
