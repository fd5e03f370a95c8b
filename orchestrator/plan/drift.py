"""What a plan's tables looked like on a branch, and how two branches differ in it.

Pure. A phase that was proven on one branch is proven for tables as they were there; where another branch has an
index, a trigger, a constraint, a type, a policy or a dependent more, fewer or otherwise, it was proven for something
else. What differs rightly between branches is no part of a `Snapshot` (decision 39).
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import Any, Literal, cast

from orchestrator.plan.facade import changes
from orchestrator.plan.model import Plan
from orchestrator.sql.identifiers import TableName, aside

FORMAT = 1
"""Of a snapshot as it is kept. Another number where what is looked at changes, so that no two are compared that are not
of the same things."""

QUERY, FUNCTION = "query", "function"
"""Traits that are digests of texts as PostgreSQL prints them."""
_OWN_TEXTS = frozenset({"definition", "default", "generated"})
"""Traits that a line may show a part of, and that are the same before each phase: ecm does not rewrite them between."""
UNREAD = "unread"
"""A query that could not be read, because somebody had the view locked: it is like any other."""
PARTITION, PARTITION_COLUMN = "partition", "column of partition"
"""Kinds of what is told only where it is otherwise than its table: which partitions there are is no difference."""

_IMPLIED = frozenset({PARTITION, PARTITION_COLUMN})
_SHOWN = 60
"""Characters of a value that a line shows."""


@dataclass(frozen=True, kw_only=True)
class Subjects:
    """What to look at for a plan.

    Attributes:
        tables: tables and views, whether they are there or not.
        types: types; tables with a column of one are looked at too.
    """

    tables: tuple[TableName, ...]
    types: tuple[TableName, ...] = ()


def subjects(plan: Plan) -> Subjects:
    """Return every table that a plan's text names, in some phase or other."""
    made = changes(plan)
    named = tuple(chain.from_iterable(change.named() for change in made))
    types = (change.type_changed() for change in made)
    return Subjects(
        tables=tuple(dict.fromkeys((*named, *map(aside, named)))),
        types=tuple(dict.fromkeys(name for name in types if name is not None)),
    )


@dataclass(frozen=True, kw_only=True)
class Thing:
    """A table, or something on it.

    Attributes:
        kind: in words.
        name: one that no other of its kind has.
        of: the table that it goes with; empty where it stands for itself.
        has: its traits, without those that are as they usually are.
    """

    kind: str
    name: str
    of: str = ""
    has: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What a plan's tables looked like at one moment: every thing once, in an order of its own.

    Attributes:
        server: PostgreSQL's major version, which is no difference in itself, but may print queries otherwise.
    """

    things: tuple[Thing, ...]
    server: int = field(compare=False)

    @classmethod
    def of(cls, things: Iterable[Thing], *, server: int) -> "Snapshot":
        """Return a snapshot of things in any order."""
        by_name = {(thing.kind, thing.name): thing for thing in things}
        return cls(things=tuple(by_name[key] for key in sorted(by_name)), server=server)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON has it; `from_json` reads it back."""
        things = [
            {"kind": each.kind, "name": each.name, "of": each.of, "has": dict(sorted(each.has.items()))}
            for each in self.things
        ]
        return {"format": FORMAT, "server": self.server, "things": things}


def from_json(value: object) -> Snapshot | None:
    """Return a snapshot as it was kept; None where there is none, or another ecm made it of other things."""
    if not isinstance(value, Mapping):
        return None
    kept = cast("Mapping[str, Any]", value)
    if kept.get("format") != FORMAT:
        return None
    return Snapshot.of((Thing(**thing) for thing in kept["things"]), server=kept["server"])


# ---------------------------------------------------------------- differences


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing, or one trait of a thing, that two branches do not have alike.

    Attributes:
        where: for a thing that only one of them has, which; `both` for a trait.
        trait: what differs; empty for a thing as a whole.
        proven, found: the trait on the branch where the phase was proven, and on the one that is to enter it; None
            where it is as usual.
    """

    kind: str
    name: str
    where: Literal["proven", "found", "both"]
    trait: str = ""
    proven: str | None = None
    found: str | None = None
    runs: str = field(default="", compare=False)
    """For a thing that only one of them has, the digest of the function that it calls."""

    @property
    def mark(self) -> str:
        """What tells it from another that reads the same; empty where its line says all, or ecm itself rewrites it."""
        values = (self.proven or "", self.found or "")
        unsaid = self.trait == FUNCTION or (self.trait in _OWN_TEXTS and max(map(len, values)) > _SHOWN)
        told = values if unsaid else (self.runs,)
        return hashlib.sha256("\0".join(told).encode()).hexdigest()[:8] if any(told) else ""

    def line(self, proven_on: str, found_on: str) -> str:
        """Return it for a person.

        Args:
            proven_on: the branch where the phase was proven.
            found_on: the one that is to enter it.
        """
        what = f"{self.kind} {self.name}"
        if self.where != "both":
            return f"{what} is only on {proven_on if self.where == 'proven' else found_on}"
        if self.trait == FUNCTION and self.kind in _PROGRAMS:
            return f"{what}: its text is another on {proven_on} than on {found_on}"
        if self.trait in _DIGESTS:
            return f"{what}: {_DIGESTS[self.trait]} on {proven_on} than on {found_on}"
        proven, found = _apart(_said(self.trait, self.proven), _said(self.trait, self.found))
        return f"{what}: {proven} on {proven_on}, {found} on {found_on}"


def differences(proven: Snapshot, found: Snapshot) -> tuple[Difference, ...]:
    """Return how what was found differs from what was proven; nothing where it does not.

    What goes with a table that only one of them has is not told besides. Queries are not compared between servers of
    different major versions, which spell them differently.
    """
    before, after = _by_name(proven), _by_name(found)
    alone = {key for key in before.keys() ^ after.keys() if key[0] not in _IMPLIED}
    gone = {name for kind, name in alone if kind in _TABLES}
    blind = frozenset({QUERY}) if proven.server != found.server else frozenset[str]()
    told: list[Difference] = []
    for key in sorted(before.keys() | after.keys()):
        one, other = before.get(key), after.get(key)
        there = cast("Thing", one or other)
        if there.of in gone:
            continue
        if key in alone:
            where = "proven" if one else "found"
            told.append(Difference(kind=key[0], name=key[1], where=where, runs=there.has.get(FUNCTION, "")))
        else:
            told += _traits(key, one.has if one else {}, other.has if other else {}, blind)
    return tuple(told)


def _traits(
    key: tuple[str, str], proven: Mapping[str, str], found: Mapping[str, str], blind: frozenset[str]
) -> Iterable[Difference]:
    for trait in sorted((proven.keys() | found.keys()) - blind):
        if proven.get(trait) != found.get(trait) and UNREAD not in (proven.get(trait), found.get(trait)):
            yield Difference(
                kind=key[0],
                name=key[1],
                where="both",
                trait=trait,
                proven=proven.get(trait),
                found=found.get(trait),
            )


def _by_name(snapshot: Snapshot) -> dict[tuple[str, str], Thing]:
    return {(thing.kind, thing.name): thing for thing in snapshot.things}


_TABLES = frozenset({"table", "view", "materialized view", "foreign table"})
_PROGRAMS = frozenset({"function", "procedure"})
_DIGESTS = {QUERY: "its query is another", FUNCTION: "the text of its function is another"}

_WORDS: dict[str, tuple[str | dict[str, str], str]] = {
    "type": ("{}", "no type"),
    "collation": ("COLLATE {}", "its type's own collation"),
    "not_null": ({"yes": "NOT NULL", "unproven": "NOT NULL, but not validated"}, "may be NULL"),
    "default": ("default {}", "no default"),
    "identity": ({"a": "GENERATED ALWAYS AS IDENTITY", "d": "GENERATED BY DEFAULT AS IDENTITY"}, "no identity"),
    "generated": ("generated as {}", "not generated"),
    "unique": ("unique", "not unique"),
    "invalid": ("not valid", "valid"),
    "unproven": ("not validated", "validated"),
    "definition": ("{}", "nothing"),
    "fires": ("it fires {}", "it does not fire"),
    "runs": ("{}", "nothing"),
    "enabled": ({"D": "disabled", "A": "enabled always", "R": "enabled for replicas only"}, "enabled"),
    "row_security": ("row-level security on", "row-level security off"),
    "forced": ("row-level security forced", "row-level security not forced"),
    "partitioned": ("partitioned by {}", "not partitioned"),
    "persistence": ({"u": "unlogged", "t": "temporary"}, "logged"),
    "replica_identity": (
        {"f": "REPLICA IDENTITY FULL", "n": "REPLICA IDENTITY NOTHING", "i": "REPLICA IDENTITY USING INDEX"},
        "the usual REPLICA IDENTITY",
    ),
    "identifies": ("is the REPLICA IDENTITY", "is not the REPLICA IDENTITY"),
    "inherits": ("inherits {}", "inherits nothing"),
    "options": ("with {}", "without options"),
    "foreign": ("a foreign table", "an ordinary table"),
    "command": ({"r": "for SELECT", "a": "for INSERT", "w": "for UPDATE", "d": "for DELETE"}, "for ALL"),
    "restrictive": ("restrictive", "permissive"),
    "everyone": ("for everyone", "for certain roles"),
    "using": ("USING {}", "no USING"),
    "check": ("WITH CHECK {}", "no WITH CHECK"),
    "columns": ("sends {}", "sends every column"),
    "rows": ("sends rows where {}", "sends every row"),
    "labels": ("labels {}", "no labels"),
    "base": ("is {}", "is no domain"),
    "rules": ("{}", "no rules"),
    "attributes": ("has {}", "has no attributes"),
    "cycle": ("it begins anew at its end", "it ends at its end"),
}
"""How each trait is said: with its value, or in words of its own for each; and where it is as usual."""


def _said(trait: str, value: str | None) -> str:
    there, usual = _WORDS.get(trait, (trait.replace("_", " ") + " {}", "no " + trait.replace("_", " ")))
    if value is None:
        return usual
    return there.get(value, value) if isinstance(there, dict) else there.replace("{}", value)


def _apart(one: str, other: str) -> tuple[str, str]:
    """Return two texts short enough for a line, from a little before the place where they part."""
    if max(len(one), len(other)) <= _SHOWN:
        return one, other
    parts = (place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1])
    shared = next(parts, min(len(one), len(other)))
    start = one.rfind(" ", 0, max(0, shared - _SHOWN // 3)) + 1
    return _cut(one, start), _cut(other, start)


def _cut(text: str, start: int) -> str:
    shown = text[start : start + _SHOWN]
    return ("…" if start else "") + shown + ("…" if len(text) > start + _SHOWN else "")


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How a branch that is to enter a phase differs from one that has been through it.

    Attributes:
        branch: the one that has.
        known: whether it is known what that one looked like; an older ecm recorded nothing.
        lines: what differs, for a person.
        marks: of each line, what tells it from another difference that reads the same.
    """

    branch: str
    known: bool
    lines: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()

    @property
    def told(self) -> tuple[tuple[str, str], ...]:
        """Each line with its mark."""
        return tuple(zip_longest(self.lines, self.marks, fillvalue=""))


def drift(proven: Snapshot | None, found: Snapshot, *, proven_on: str, found_on: str) -> Drift:
    """Return how what was found on a branch differs from what a phase was proven for on another; None is not known."""
    if proven is None:
        return Drift(branch=proven_on, known=False)
    found_out = differences(proven, found)
    lines = tuple(each.line(proven_on, found_on) for each in found_out)
    return Drift(branch=proven_on, known=True, lines=lines, marks=tuple(each.mark for each in found_out))
