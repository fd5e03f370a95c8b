"""What somebody may attest of the application that is deployed beside a branch."""

from enum import StrEnum


class Claim(StrEnum):
    """What the application does, in every instance that is deployed."""

    WRITES_BOTH = "writes-both"
    READS_NEW = "reads-new"
    STOPS_WRITING_OLD = "stops-writing-old"

    @property
    def words(self) -> str:
        """The claim as the rest of a sentence about the application."""
        return _WORDS[self]

    def is_asked_before(self, phase: str) -> bool:
        """Whether a project's defaults ask for it before a phase, by its key: it cannot be true, or said, before."""
        return phase == "contract" or (self is Claim.WRITES_BOTH and phase != "expand")


_WORDS = {
    Claim.WRITES_BOTH: "writes both sides",
    Claim.READS_NEW: "reads the new side only",
    Claim.STOPS_WRITING_OLD: "writes the old side no more",
}
