"""What squawk says of a statement beyond what ecm says itself: nothing is told twice, nor what is a matter of taste."""

from orchestrator.detection.finding import Finding, Level, Place

TASTE = frozenset(
    {
        # Types and names to prefer: no version of an application fails by them, and nobody waits.
        "prefer-big-int", "prefer-bigint-over-int", "prefer-bigint-over-smallint", "prefer-identity",
        "prefer-text-field", "prefer-timestamptz", "prefer-timestamp-tz", "prefer-robust-stmts", "ban-char-field",
        "identifier-too-long", "require-table-schema", "prefer-repack", "require-enum-value-ordering",
        # The tool's own session, which is not the migration's to set.
        "require-timeout-settings", "require-lock-timeout", "require-statement-timeout", "transaction-nesting",
        "ban-uncommitted-transaction",
    }
)  # fmt: skip
"""Rules that say nothing of who fails or waits."""

TOLD = frozenset(
    {
        "adding-field-with-default", "adding-foreign-key-constraint", "adding-not-nullable-field",
        "adding-primary-key-constraint", "adding-required-field", "adding-serial-primary-key-field",
        "ban-drop-column", "ban-drop-not-null", "ban-drop-table", "ban-truncate-cascade", "changing-column-type",
        "constraint-missing-not-valid", "disallowed-unique-constraint", "renaming-column", "renaming-table",
        "require-concurrent-index-creation", "require-concurrent-reindex",
        "require-concurrent-refresh-materialized-view",
        # A thing that goes or has another name, which is no finding where it is made anew.
        "ban-drop-type", "ban-drop-view", "ban-drop-materialized-view", "ban-drop-function", "ban-drop-procedure",
        "ban-drop-aggregate", "ban-drop-routine", "ban-drop-schema", "ban-drop-sequence", "ban-drop-domain",
        "ban-drop-default", "ban-set-schema", "renaming-object",
    }
)  # fmt: skip
"""Rules for what ecm tells of itself, or knows to be nothing: what it found wins."""

_HARMLESS = "require-concurrent-index-deletion"
_FAILS = "ban-concurrent-index-creation-in-transaction"
_UNREAD = frozenset({"ban-drop-column", "ban-drop-table", "changing-column-type", "renaming-column", "renaming-table"})
"""Rules that ecm leaves to squawk where it knows no word of the statement."""
_BREAKING = frozenset({"ban-drop-database"}) | _UNREAD


def wanted(rule: str, *, transactional: bool, read: bool = True) -> bool:
    """Whether a rule of squawk's adds something to what ecm says.

    Args:
        rule: its name.
        transactional: whether the migration runs in one transaction.
        read: whether ecm knows what the statement does.
    """
    if not read and rule in _UNREAD:
        return True
    if rule == _FAILS:
        return transactional
    return rule not in TASTE and rule not in TOLD


def finding(place: Place, rule: str, message: str) -> Finding:
    """Return what squawk says of a statement as a finding."""
    if rule == _FAILS:
        message = "PostgreSQL does not run this in a transaction, and the tool runs its migrations in one: it fails"
    elif rule == _HARMLESS:
        message = "the table is locked for a moment, behind whoever uses it"
    level = Level.BREAKING if rule in _BREAKING else Level.NOTE
    return Finding(rule=rule, level=level, place=place, subject="", message=message.rstrip("."))
