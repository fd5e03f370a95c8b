"""What a plan may say about each phase, and the defaults a project may give for all of its plans."""

import re
import shlex
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, create_model
from pydantic_core import PydanticCustomError

from orchestrator.plan.claims import Claim
from orchestrator.plan.durations import Duration, between
from orchestrator.plan.sizes import Size

_MILLISECOND = timedelta(milliseconds=1)
"""PostgreSQL counts its timeouts in milliseconds, and takes 0 as none at all."""

Scalar = bool | int | Annotated[float, Field(allow_inf_nan=False)] | str | None
"""A single value, as a query's first column may return it."""


class Settings(BaseModel):
    """Values from a file: frozen, and a key that means nothing is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


EmptyAsNothingSaid = BeforeValidator(lambda value: {} if value is None else value)
"""In YAML a section whose lines are all commented out reads as null: it means that nothing is said."""


def misplaced(problems: Iterable[tuple[tuple[str | int, ...], str]]) -> PydanticCustomError:
    """Return an error for a validator to raise that says where below its own value each problem stands.

    Args:
        problems: (path from the validated value, message) pairs; `plan.document` turns the paths into
            lines and columns.
    """
    found = tuple(problems)
    return PydanticCustomError("misplaced", "{text}", {"text": "; ".join(text for _, text in found), "problems": found})


def is_plan_name(name: str) -> bool:
    """Whether a name may be a plan's."""
    return len(name) <= NAME_LENGTH and re.fullmatch(NAME_PATTERN, name) is not None


def _kebab(name: str) -> str:
    if not re.fullmatch(NAME_PATTERN, name):
        raise ValueError(
            f"expected lower-case letters, digits and hyphens, such as rename-published-year, found {name!r}"
        )
    return name


NAME_PATTERN = "[a-z0-9][a-z0-9-]*"
NAME_LENGTH = 63

KebabName = Annotated[
    str,
    Field(max_length=NAME_LENGTH, json_schema_extra={"pattern": f"^{NAME_PATTERN}$"}),
    AfterValidator(_kebab),
]
"""A name that is the same in a file name, a command line and a database."""


class Check(Settings):
    """A query whose answer decides whether a phase may be entered."""

    name: Annotated[str, Field(min_length=1)]
    """What it is called in messages."""
    sql: Annotated[str, Field(min_length=1)]
    """A query that returns one value."""
    expect: Scalar
    """The value it must return."""


def _argv(value: object) -> object:
    # A quote without its partner is a ValueError, which says so.
    return tuple(shlex.split(value)) if isinstance(value, str) else value


class Hook(Settings):
    """A command of yours that ecm runs, without a shell."""

    run: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...],
        BeforeValidator(_argv, json_schema_input_type=str | tuple[str, ...]),
        Field(min_length=1),
    ]
    """The program and its arguments: a list, or a line that is taken apart at spaces and quotes as a shell would."""
    timeout: Annotated[Duration, between(_MILLISECOND, timedelta(hours=24))] = timedelta(minutes=1)
    """How long it may take before it is stopped and counts as failed."""


class Hooks(Settings):
    """Commands around a phase."""

    before: tuple[Hook, ...] = ()
    """Run before anything is touched; one that fails keeps the phase from beginning."""
    after: tuple[Hook, ...] = ()
    """Run when the phase is complete; one that fails is told of, and changes nothing."""


class Requirements(Settings):
    """What has to be true before a phase is entered, besides what always has to be."""

    attestations: tuple[Claim, ...] = ()
    """What has to have been attested of the deployed application (`ecm attest`)."""
    verified: Annotated[Duration, between(_MILLISECOND, timedelta(days=3650))] | None = None
    """How long ago, at most, every row was proven on the branch (`ecm verify`)."""
    rehearsal: Annotated[Duration, between(_MILLISECOND, timedelta(days=3650))] | None = None
    """How long ago, at most, the plan went through its whole cycle on a copy of the branch (`ecm rehearse`)."""
    no_readers: Annotated[Duration, between(_MILLISECOND, timedelta(days=3650))] | None = None
    """For contract: how long nobody has been seen to read or write the old side (`ecm readers`)."""


class PhaseSettings(Settings):
    """What every phase may say."""

    deploy: str = ""
    """What the application does in this phase; shown as a person gets there."""
    checks: tuple[Check, ...] = ()
    """Queries that must return what they expect before the phase is entered."""
    require: Annotated[Requirements, EmptyAsNothingSaid] = Requirements()
    """What else has to be true before the phase is entered."""
    hooks: Annotated[Hooks, EmptyAsNothingSaid] = Hooks()
    """Commands of yours that are run before and after the phase."""
    lock_timeout: Annotated[Duration, between(_MILLISECOND, timedelta(hours=1))] = timedelta(seconds=1)
    """How long a statement may wait for a lock before it gives way and tries again."""


class Expand(PhaseSettings):
    """The new structure appears beside the old one; both are written from here on."""

    strategy: Literal["copy", "facade"] = "copy"
    """How both versions are kept: a second column that holds a copy, or (renames only) a view in the table's place."""
    dual_write: Literal["trigger", "application"] = "trigger"
    """Who writes both sides: a trigger in the database, or (for columns that it can write itself) the application."""
    acknowledge: tuple[str, ...] = ()
    """Objects (schema.object) that ecm cannot rewrite and that you take care of."""


class CustomSignal(Settings):
    """A signal of your own."""

    sql: Annotated[str, Field(min_length=1)]
    """A query that returns one number."""
    max: float
    """The backfill holds back while the number is larger."""
    name: Annotated[str, Field(min_length=1)] = "custom"
    """What it is called in messages."""


class Throttle(Settings):
    """What the backfill holds back for. A signal that is written here and cannot be read holds it back too."""

    replica_lag: Annotated[Duration, between(_MILLISECOND, timedelta(days=1))] | None = timedelta(seconds=5)
    """The longest time by which a standby's replay may be behind."""
    wal_rate: Annotated[Size, Field(gt=0)] | None = None
    """WAL that the whole server may write, a second."""
    archive_backlog: Annotated[int, Field(ge=0)] | None = None
    """WAL files that may be waiting for the archiver."""
    slot_retention: Annotated[Size, Field(gt=0)] | None = None
    """WAL that a replication slot may keep."""
    active_per_core: Annotated[float, Field(gt=0)] | None = None
    """Sessions that may be at work, for each core of the server."""
    cores: Annotated[int, Field(gt=0)] | None = None
    """Cores of the server, where it does not tell."""
    lock_waiters: Annotated[int, Field(ge=0)] | None = None
    """Sessions that may be waiting for a lock."""
    xmin_age: Annotated[int, Field(gt=0)] | None = None
    """Transactions that the oldest snapshot may be behind."""
    free_disk: Size | None = None
    """Space that has to stay free."""
    disk: Annotated[Size, Field(gt=0)] | None = None
    """Size of the server's disk, where it does not tell."""
    custom: CustomSignal | None = None
    """A signal of your own."""


class Backfill(PhaseSettings):
    """Rows written before expand are brought to the new structure, and every row is verified."""

    batch_time: Annotated[Duration, between(_MILLISECOND, timedelta(minutes=1))] = timedelta(milliseconds=200)
    """How long one batch should take; the number of rows follows from it."""
    workers: Annotated[int, Field(ge=1, le=32)] = 2
    """Sessions that write at the same time."""
    throttle: Annotated[Throttle, EmptyAsNothingSaid] = Throttle()
    """What the backfill holds back for."""
    user_triggers: Literal["fire", "suppress"] = "fire"
    """Whether the table's own triggers fire on the rows that the backfill writes."""


class MigrateReads(PhaseSettings):
    """Readers move to the new structure; the old one is still written."""

    soak: Annotated[Duration, between(timedelta(0), timedelta(days=3650))] = timedelta(0)
    """How long to stay here at least before contract."""


class Contract(PhaseSettings):
    """The old structure goes."""

    undo_window: Annotated[Duration, between(timedelta(0), timedelta(days=365))] = timedelta(0)
    """How long the old structure is kept out of sight, and in step, so that contract can be undone."""


PHASE_SETTINGS: dict[str, type[PhaseSettings]] = {
    "expand": Expand,
    "backfill": Backfill,
    "migrate_reads": MigrateReads,
    "contract": Contract,
}
"""The class of each phase's settings, by its key in a plan."""


def _defaults_model() -> type[Settings]:
    """Return a model with every key that any phase has, none of them required."""
    fields: dict[str, Any] = {
        name: (field.rebuild_annotation(), Field(field.default, description=field.description))
        for settings in PHASE_SETTINGS.values()
        for name, field in settings.model_fields.items()
    }
    return create_model(
        "Defaults", __base__=Settings, __doc__="What a project's plans say unless they say otherwise.", **fields
    )


if TYPE_CHECKING:
    Defaults = Settings
else:
    Defaults = _defaults_model()
"""Settings for every phase that has the key; only those that were given count (`model_fields_set`)."""
