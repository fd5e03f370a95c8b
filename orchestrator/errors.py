"""Every way ecm says no: what, where, why, and the next command.

An error is a value that the command line renders and `--json` dumps; nothing below the command
line prints or exits. Exit codes: 1 an error, 2 usage, 4 refused by a gate, the lifecycle or what stands in
the way on the branch, 5 no lock or lease in time, 6 verification, drift or tampering.
"""

from collections.abc import Iterable
from typing import ClassVar


class EcmError(Exception):
    """An error a person can act on.

    Args:
        message: what is wrong and where, in one line without a final stop.
        details: lines that say why, most important first.
        hint: the next command or action, or None where there is none.
    """

    code: ClassVar[str] = "error"
    exit_code: int = 1
    """Of its class; what stands in the way of a move before anything is touched is given that of a refusal."""

    def __init__(self, message: str, *, details: Iterable[str] = (), hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = tuple(details)
        self.hint = hint


class UsageError(EcmError):
    """A name or argument on the command line that means nothing here."""

    code = "usage"
    exit_code = 2


class InvalidFileError(EcmError):
    """A plan or project file that cannot be read as one; details carry file:line:column."""

    code = "invalid_file"


class ConfigurationError(EcmError):
    """The project lacks something ecm needs: a file, a URL, a provider."""

    code = "configuration"


class ConnectionFailedError(EcmError):
    """A branch's database or the ledger could not be reached, or may not be used as given."""

    code = "connection"


class PrivilegeError(EcmError):
    """The role lacks a privilege; the hint holds the GRANT."""

    code = "privilege"


class PreconditionError(EcmError):
    """The database is not as the plan needs it; nothing was touched."""

    code = "precondition"


class StatementFailedError(EcmError):
    """PostgreSQL refused a statement; the step was rolled back."""

    code = "statement"


class RefusedError(EcmError):
    """A gate or the lifecycle does not allow the step."""

    code = "refused"
    exit_code = 4


class DeclinedError(RefusedError):
    """Somebody was asked, and the answer was no."""


class LockTimeoutError(EcmError):
    """A lock could not be had within its budget; the blockers are in the details."""

    code = "lock_timeout"
    exit_code = 5


class LeaseError(EcmError):
    """Another ecm is at work on this plan and branch, or took it over."""

    code = "lease"
    exit_code = 5


class VerificationError(EcmError):
    """Rows, schema or records are not what they must be."""

    code = "verification"
    exit_code = 6


class DriftError(VerificationError):
    """The tables on a branch are not as they were where the plan was proven."""

    code = "drift"


class TamperingError(VerificationError):
    """The ledger is not as it was written."""

    code = "tampering"
