"""Which labels a function's text has as literals."""

import pytest

from orchestrator.sql.literals import mentioned


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x = 'paid'", True),
        ("x = 'unpaid' or y = 'paid '", False),
        ("x = paid -- 'paid'", False),
        ("x = \"paid\" /* 'paid' */", False),
        ("EXECUTE 'x = ''paid'' and'", True),
        ("EXECUTE 'EXECUTE ''x = ''''paid'''''''", True),
        ("EXECUTE 'x = ''' || y || ''' and z = ''paid'''", True),
        ("EXECUTE $a$ x = $b$paid$b$ $a$", True),
        (r"x = E'pa\id'", True),
        ("x = ANY ('{new, \"paid\"}')", True),
        ("x = '{paidup}'", False),
        ("x = 'paid", False),
        ("x = 'paid' and y = 'not closed", True),
    ],
)
def test_a_label_is_a_literal(text: str, found: bool) -> None:
    """Not a part of a word, a name or a comment; in statements and arrays that are strings, too."""
    assert mentioned(text, ["paid"], language="plpgsql") == (("paid",) if found else ())


def test_a_label_with_quotes() -> None:
    """It is doubled as often as it takes."""
    for text in ("x = 'it''s'", "EXECUTE 'x = ''it''''s'''", "EXECUTE 'x = ''' || y || '''it''''s'''"):
        assert mentioned(text, ["it's", "its"], language="sql") == ("it's",)


def test_a_language_that_is_read_by_other_rules() -> None:
    """Quotes of any kind count."""
    assert mentioned('if state == "paid": it\'s', ["paid", "it"], language="plpython3u") == ("paid",)
