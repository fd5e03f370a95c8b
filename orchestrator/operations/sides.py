"""What the two versions of an application see of a change while both run."""

from enum import StrEnum


class Sides(StrEnum):
    """How a row looks to the old version and to the new one from expand until contract.

    In this order: of a plan with several changes, the first that any of them has says most.
    """

    BOTH = "both"
    """A row has an old and a new side, and either version could write both."""
    WRITTEN = "written"
    """The same, and the application itself has to write both: nothing in the database does."""
    EXCHANGED = "exchanged"
    """A row has two sides, of which the application sees one at a time, under the same name."""
    FILLED = "filled"
    """A new column has its value where the old version, which does not know it, gives none."""
    REPAIRED = "repaired"
    """A value that breaks a rule is replaced where it stands."""
    RULE = "rule"
    """Rows are to keep a rule that nothing repairs."""
    NONE = "none"
    """Only the catalog changes; both versions see the same rows."""
