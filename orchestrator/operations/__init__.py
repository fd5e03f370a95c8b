"""The kinds of change, one file each. A new file here is found by itself.

`KINDS` maps the YAML key to its class; `AnyOperation` is the union of all, told apart by `kind`.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import Discriminator

from orchestrator.operations.base import Operation


def _discover() -> Mapping[str, type[Operation]]:
    found: dict[str, type[Operation]] = {}
    for module in pkgutil.iter_modules(__path__):
        for _, value in inspect.getmembers(importlib.import_module(f"{__name__}.{module.name}"), inspect.isclass):
            if issubclass(value, Operation) and not inspect.isabstract(value):
                found[module.name] = value
    return found


KINDS = _discover()


def _union(kinds: tuple[type[Operation], ...]) -> Any:
    """Return the type of a change; pydantic takes a discriminator only where there is something to tell apart."""
    (first, *others) = kinds
    return Annotated[Union[kinds], Discriminator("kind")] if others else first  # noqa: UP007 - made at run time


if TYPE_CHECKING:
    AnyOperation = Operation
else:
    AnyOperation = _union(tuple(KINDS.values()))

__all__ = ["KINDS", "AnyOperation", "Operation"]
