"""What a plan means, and a checksum over it.

Two texts with the same meaning run the same statements behind the same gates. Comments, spacing,
the order of keys and the words for people (`description`, `deploy`) are not part of it; nor is
tuning (`lock_timeout`, `batch_time`, `workers`, `throttle`), so that someone may raise a lock timeout half way without
repeating the cycle on development. Whatever equals its default is left out, so that a later
ecm with more settings gives the plans of today the checksum they have today.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from orchestrator.plan.model import Plan
from orchestrator.plan.phases import PHASE_SETTINGS

_TUNING = ("lock_timeout", "batch_time", "workers", "throttle")
_NOT_MEANT: dict[str, Any] = {
    "description": True,
    **{phase: dict.fromkeys(("deploy", *_TUNING), True) for phase in PHASE_SETTINGS},
}
_ABSENT = object()


def checksum(plan: Plan) -> str:
    """Return `sha256:` and the digest of the plan's meaning as canonical JSON."""
    text = json.dumps(meaning(plan), sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def meaning(plan: Plan) -> dict[str, object]:
    """Return what the checksum is over: the plan as JSON values, without what does not change what is run."""
    values = plan.model_dump(mode="json", exclude_defaults=True, exclude=_NOT_MEANT)
    # `kind` is a default of its class, and yet the first thing a change means.
    values["changes"] = [
        {**values, "kind": change.kind} for change, values in zip(plan.changes, values["changes"], strict=True)
    ]
    if acknowledged := plan.expand.acknowledge:
        values["expand"]["acknowledge"] = sorted(set(acknowledged))
    return {key: value for key, value in values.items() if key not in PHASE_SETTINGS or value}


def differences(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[str, ...]:
    """Return how two meanings differ, a line each: `changes[0].to: pub_year → publication_year`."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    changed = [path for path in {**old, **new} if not _same(old.get(path, _ABSENT), new.get(path, _ABSENT))]
    return tuple(f"{path}: {_shown(old, path, new)} → {_shown(new, path, old)}" for path in changed)


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    match value:
        case dict() if value:
            for key, item in cast("dict[str, object]", value).items():
                yield from _leaves(item, f"{path}.{key}" if path else key)
        case list() if value:
            for index, item in enumerate(cast("list[object]", value)):
                yield from _leaves(item, f"{path}[{index}]")
        case _:
            yield path, value


def _same(left: object, right: object) -> bool:
    """Tell whether two leaves are the same JSON; to Python, 1 and true are equal."""
    return type(left) is type(right) and left == right


def _shown(side: Mapping[str, object], path: str, other: Mapping[str, object]) -> str:
    """Return a leaf for a person; text stands without quotes unless that would hide the difference."""
    if path not in side:
        return "not set"
    value = side[path]
    plain = isinstance(value, str) and value.isprintable() and value.strip() == value and value != ""
    return str(value) if plain and str(value) != str(other.get(path)) else json.dumps(value, ensure_ascii=False)
