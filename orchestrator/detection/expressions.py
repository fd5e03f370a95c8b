"""Default expressions: whether one gives the same value for every row of a statement."""

from itertools import pairwise

from orchestrator.detection.phrase import Phrase
from orchestrator.sql.lexer import UnreadableSqlError

_STABLE = frozenset(
    {
        # Stable or immutable ("Date/Time Functions", manual 9.9; pg_proc.provolatile): computed once for a statement.
        "now", "current_timestamp", "transaction_timestamp", "statement_timestamp", "localtimestamp", "localtime",
        "current_date", "current_time", "timezone", "date_trunc", "to_timestamp", "to_char", "make_interval", "age",
        "extract", "date_part", "lower", "upper", "concat", "coalesce", "array", "row", "cast", "nullif", "greatest",
        "least", "jsonb_build_object", "jsonb_build_array", "json_build_object", "json_build_array", "to_jsonb", "md5",
        "numeric", "varchar", "char", "decimal", "timestamp", "timestamptz", "time", "interval", "bit", "character",
        "varying", "current_setting", "current_schema", "length", "format", "abs", "round",
    }
)  # fmt: skip


def is_constant(expression: str) -> bool:
    """Whether a default is computed once for all rows; an unknown function is taken for volatile."""
    try:
        phrases = Phrase.several(expression)
    except UnreadableSqlError:
        return False
    for phrase in phrases:
        tokens = phrase.rest
        for token, following in pairwise(tokens):
            called = following.kind == "mark" and following.text == "("
            if called and token.kind == "name":
                return False
            if called and token.kind == "word" and token.text not in _STABLE:
                return False
    return True
