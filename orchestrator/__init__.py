"""ecm: breaking PostgreSQL schema changes through expand and contract, branch by branch.

For scripts: `from orchestrator import Conductor`, and the errors it raises (docs/python.md). What is named here is
imported when it is asked for, so that `import orchestrator` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.conductor import Conductor
    from orchestrator.errors import (
        ConfigurationError,
        ConnectionFailedError,
        DeclinedError,
        DriftError,
        EcmError,
        InvalidFileError,
        LeaseError,
        LockTimeoutError,
        PreconditionError,
        PrivilegeError,
        RefusedError,
        StatementFailedError,
        TamperingError,
        UsageError,
        VerificationError,
    )
    from orchestrator.workspace import Workspace

__all__ = [
    "Conductor",
    "ConfigurationError",
    "ConnectionFailedError",
    "DeclinedError",
    "DriftError",
    "EcmError",
    "InvalidFileError",
    "LeaseError",
    "LockTimeoutError",
    "PreconditionError",
    "PrivilegeError",
    "RefusedError",
    "StatementFailedError",
    "TamperingError",
    "UsageError",
    "VerificationError",
    "Workspace",
]

_HOMES = {"Conductor": "conductor", "Workspace": "workspace"}


def __getattr__(name: str) -> object:
    """Import what is asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
