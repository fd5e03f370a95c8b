"""The plan: what changes, and what each phase is told.

A plan is a value. It is read from a file by `plan.document`, and survives a round trip through
JSON (`plan.model_dump(mode="json")`, `Plan.model_validate`), which is how the journal keeps the
text a branch is on.
"""

from collections.abc import Mapping
from itertools import combinations
from typing import Annotated, Self, cast

from pydantic import BeforeValidator, Field, field_validator, model_validator

from orchestrator.operations import KINDS, AnyOperation
from orchestrator.operations.base import WHOLE, overlaps
from orchestrator.plan.claims import Claim
from orchestrator.plan.phases import (
    PHASE_SETTINGS,
    Backfill,
    Contract,
    EmptyAsNothingSaid,
    Expand,
    KebabName,
    MigrateReads,
    PhaseSettings,
    Requirements,
    Settings,
    misplaced,
)
from orchestrator.words import listed


def _says_its_kind(change: object) -> object:
    if isinstance(change, Mapping) and "kind" not in change:
        raise ValueError(f"key 'kind' is missing; the kinds are {listed(KINDS)}")
    return cast("object", change)


class Plan(Settings):
    """One or more breaking changes that move through expand, backfill, migrate reads and contract together."""

    plan: KebabName
    """The plan's name, which is also its file's."""
    description: str = ""
    """What it is for, in a line."""
    changes: Annotated[tuple[Annotated[AnyOperation, BeforeValidator(_says_its_kind)], ...], Field(min_length=1)]
    """What changes; all of them move through the phases together."""
    expand: Annotated[Expand, EmptyAsNothingSaid] = Expand()
    """The new structure appears beside the old one; both are written from here on."""
    backfill: Annotated[Backfill, EmptyAsNothingSaid] = Backfill()
    """Rows written before expand are brought to the new structure, and every row is verified."""
    migrate_reads: Annotated[MigrateReads, EmptyAsNothingSaid] = MigrateReads()
    """Readers move to the new structure; the old one is still written."""
    contract: Annotated[Contract, EmptyAsNothingSaid] = Contract()
    """The old structure goes."""

    @field_validator("changes")
    @classmethod
    def _each_column_once(cls, changes: tuple[AnyOperation, ...]) -> tuple[AnyOperation, ...]:
        apart = "put one of them in a plan of its own, for afterwards"
        problems: list[tuple[tuple[str | int, ...], str]] = []
        for (owner, first), (index, second) in combinations(enumerate(changes), 2):
            both = f"changes[{index}] and changes[{owner}]"
            shared = [
                f"{both} both change or make {f'column {table}.{column}' if column != WHOLE else table}"
                for table, column in sorted(first.claims() & second.claims())
            ]
            if not shared and overlaps(first.claims(), second.claims()):
                holder, other = (first, second) if _holds_whole(first) else (second, first)
                why = holder.alongside(other)
                shared = [f"{both} cannot move together: {why}"] if why else []
            problems += [((index,), f"{message}; {apart}") for message in shared]
        if problems:
            raise misplaced(problems)
        return changes

    @model_validator(mode="after")
    def _a_facade_for_renames(self) -> Self:
        others = () if self.expand.strategy != "facade" else _no_renames(self.changes)
        if others:
            raise misplaced(
                (("changes", index), f"strategy: facade shows a column under two names, and {kind} makes another value")
                for index, kind in others
            )
        return self

    @model_validator(mode="after")
    def _an_application_for_two_columns(self) -> Self:
        if self.expand.dual_write == "trigger":
            return self
        if self.expand.strategy == "facade":
            raise misplaced([(("expand", "strategy"), "behind a facade both names are one column: nobody writes both")])
        if self.contract.undo_window:
            why = "dual_write: application has no trigger, and nothing would keep the old structure true after contract"
            raise misplaced([(("contract", "undo_window"), why)])
        others = [(n, each.kind) for n, each in enumerate(self.changes) if not each.writable]
        if others:
            raise misplaced(
                (
                    ("changes", n),
                    f"dual_write: application is for changes with two columns side by side; {kind} is none",
                )
                for n, kind in others
            )
        return self

    @model_validator(mode="after")
    def _a_way_back_from_contract(self) -> Self:
        final = _final(self.changes) if self.contract.undo_window else ()
        message = (
            "contract.undo_window keeps a way back from contract, and rollback.contract does not say what takes these"
            " statements back: give it, or leave undo_window out"
        )
        if final:
            raise misplaced((("changes", index), message) for index in final)
        return self

    @model_validator(mode="after")
    def _asked_for_where_it_can_be_met(self) -> Self:
        problems: list[tuple[tuple[str | int, ...], str]] = []
        if self.expand.require.attestations:
            where = ("expand", "require", "attestations")
            problems.append((where, "nothing can be attested of a plan before it is expanded; ask for it later"))
        for name in ("expand", "backfill", "migrate_reads"):
            if self.phase(name).require.no_readers is not None:
                why = "no_readers is for contract: in the phases before it the old side may be used"
                problems.append(((name, "require", "no_readers"), why))
        if problems:
            raise misplaced(problems)
        return self

    def phase(self, name: str) -> PhaseSettings:
        """Return a phase's settings by its key (`expand`, `backfill`, `migrate_reads`, `contract`, or `finalize`).

        Raises:
            KeyError: there is no such phase.
        """
        return {
            "expand": self.expand,
            "backfill": self.backfill,
            "migrate_reads": self.migrate_reads,
            "contract": self.contract,
            "finalize": self.contract,
        }[name]

    def requirements(self, name: str) -> Requirements:
        """Return what a phase asks for, by its key: as the plan says, and what follows from the rest of it.

        Where the application writes both sides, rows from before are filled only once it does: a row that is written
        on one side alone after its page was visited would be found wrong, and be for a person to set right.
        """
        asked = self.phase(name).require
        if name != "backfill" or self.expand.dual_write == "trigger" or Claim.WRITES_BOTH in asked.attestations:
            return asked
        return asked.model_copy(update={"attestations": (Claim.WRITES_BOTH, *asked.attestations)})

    def with_defaults(self, defaults: Settings) -> Self:
        """Return the plan with the project's defaults wherever the file said nothing.

        Args:
            defaults: `Project.defaults`; each key that was given goes to every phase that has it.
        """
        given = {name: cast("object", getattr(defaults, name)) for name in defaults.model_fields_set}
        if _no_renames(self.changes):
            given.pop("strategy", None)  # a facade is for plans that only rename
        if self.expand.strategy == "facade" or not all(each.writable for each in self.changes):
            given.pop("dual_write", None)  # there are no two columns that an application could write
        if self.contract.undo_window:
            given.pop("dual_write", None)  # without a trigger nothing would keep the old structure true
        own = "dual_write" in self.expand.model_fields_set
        if (self.expand.dual_write if own else given.get("dual_write")) == "application":
            given.pop("undo_window", None)
        if _final(self.changes):
            given.pop("undo_window", None)  # there is nothing that would take their statements back
        filled = {name: _filled(self.phase(name), _asked(given, name)) for name in PHASE_SETTINGS}
        return self.model_copy(update=filled)


def _no_renames(changes: tuple[AnyOperation, ...]) -> tuple[tuple[int, str], ...]:
    """Return (index, kind) of the changes that a view cannot show."""
    return tuple((n, each.kind) for n, each in enumerate(changes) if each.kind not in ("rename_column", "rename_table"))


def _final(changes: tuple[AnyOperation, ...]) -> tuple[int, ...]:
    """Return which changes nobody could take back once contract is over."""
    return tuple(place for place, change in enumerate(changes) if change.final)


def _holds_whole(change: AnyOperation) -> bool:
    return any(column == WHOLE for _, column in change.claims())


def _asked(given: Mapping[str, object], phase: str) -> Mapping[str, object]:
    """Return a project's defaults as a phase has them: it asks for nothing that could not be so by then."""
    asked = given.get("require")
    if not isinstance(asked, Requirements):
        return given
    claims = tuple(claim for claim in asked.attestations if claim.is_asked_before(phase))
    quiet = asked.no_readers if phase == "contract" else None
    return {**given, "require": asked.model_copy(update={"attestations": claims, "no_readers": quiet})}


def _filled(settings: PhaseSettings, given: Mapping[str, object]) -> PhaseSettings:
    missing = type(settings).model_fields.keys() - settings.model_fields_set
    return settings.model_copy(update={name: value for name, value in given.items() if name in missing})
