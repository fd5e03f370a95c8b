"""The project file: which branches there are, which of them go first, and where plans and the ledger are.

Pure: environment variables are named here, and read in `orchestrator.workspace`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from orchestrator.errors import UsageError
from orchestrator.plan.durations import Duration, between
from orchestrator.plan.phases import Defaults, EmptyAsNothingSaid, Settings, misplaced
from orchestrator.words import did_you_mean

DEFAULT_LEDGER = "sqlite:///.ecm/ledger.db"

SCHEMA_FILE = ".ecm/plan.schema.json"
"""Where the schema of plan files is kept for editors, from the project's folder."""

_FIRST, _LAST = "development", "production"
"""With branches of these names and no `requires` anywhere, the last requires the first."""

Problems = Iterator[tuple[tuple[str | int, ...], str]]

_VARIABLE = "[A-Za-z_][A-Za-z0-9_]*"


def _variable(name: str) -> str:
    # The value is not shown: what stands here by mistake is most often the URL itself.
    if not re.fullmatch(_VARIABLE, name):
        raise ValueError("expected the name of an environment variable, such as DATABASE_URL_PRODUCTION")
    return name


VariableName = Annotated[str, AfterValidator(_variable), Field(json_schema_extra={"pattern": f"^{_VARIABLE}$"})]
"""The name of an environment variable."""


def _neon_project(known_as: str) -> str:
    if not re.fullmatch("[a-z0-9-]{1,60}", known_as):
        raise ValueError(f"expected the id of a Neon project, such as quiet-moon-12345678, found {known_as!r}")
    return known_as


_NEVER = BeforeValidator(lambda value: timedelta(0) if value == "never" else value)


class Provider(Settings):
    """Where branches come from."""

    kind: Literal["url", "embedded", "neon"] = "url"
    """`url`: databases that exist; `embedded`: on a server that ecm starts itself; `neon`: of a Neon project."""
    project_id: Annotated[str, AfterValidator(_neon_project)] | None = None
    """The Neon project; the key comes from NEON_API_KEY, in the environment or in .env."""
    database: Annotated[str, Field(min_length=1)] | None = None
    """The database of each Neon branch, where it has several."""
    role: Annotated[str, Field(min_length=1)] | None = None
    """The role that ecm connects as at Neon; the database's owner unless given."""
    idle_stop: Annotated[Duration, _NEVER, between(timedelta(0), timedelta(days=365))] = timedelta(minutes=30)
    """`embedded`: after how long without a session that server is stopped; `never`, or 0s, leaves it running."""

    @model_validator(mode="after")
    def _of_its_kind(self) -> Self:
        given = {"project_id", "database", "role"} & self.model_fields_set
        if self.kind != "neon" and given:
            raise misplaced(
                [((key,), f"{key} is for provider.kind neon; this is {self.kind}") for key in sorted(given)]
            )
        if self.kind == "neon" and self.project_id is None:
            raise misplaced([(("kind",), "the provider neon needs a project_id; Neon's console has it under Settings")])
        if self.kind != "embedded" and "idle_stop" in self.model_fields_set:
            raise misplaced([(("idle_stop",), f"ecm runs no server for provider {self.kind}, and stops none")])
        return self


class Branch(Settings):
    """A database that plans are taken through."""

    url_env: VariableName = ""
    """The environment variable that holds its URL; DATABASE_URL_<BRANCH> unless given."""
    requires: tuple[str, ...] = ()
    """Branches that must be ahead of this one in every phase."""
    protected: bool = False
    """Whether ecm asks before it acts on this branch."""
    parent: str | None = None
    """The branch it is created and reset from, where the provider can."""
    approvals: Annotated[int, Field(ge=0, le=10)] = 0
    """How many others have to approve (`ecm approve`) before a plan is contracted there."""
    approvals_expire: Annotated[Duration, between(timedelta(minutes=1), timedelta(days=365))] = timedelta(hours=72)
    """How long an approval counts."""


class Notices(Settings):
    """Whom ecm tells of what happens; what cannot be delivered never holds a phase up."""

    webhook_env: VariableName
    """The environment variable that holds the URL to which notices are sent, as JSON that Slack understands too."""
    timeout: Annotated[Duration, between(timedelta(milliseconds=100), timedelta(minutes=1))] = timedelta(seconds=5)
    """How long the delivery of one may take."""


ToolchainKind = Literal["drizzle", "alembic", "django", "prisma", "sql"]


class ToolchainSettings(Settings):
    """The migration tool that the project has beside ecm; found by its files where nothing is said of it."""

    kind: ToolchainKind
    """`drizzle`, `alembic`, `django`, `prisma`, or `sql` for a folder of .sql files."""
    folder: Annotated[str, Field(min_length=1)] | None = None
    """Where its migrations are, from the project's folder; its own place otherwise."""
    command: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)] | None = None
    """How its command is run, word by word and without a shell: `[uv, run, alembic]`, `[python, manage.py]`."""
    timeout: Annotated[Duration, between(timedelta(seconds=1), timedelta(minutes=30))] = timedelta(minutes=1)
    """How long one run of its command may take."""
    table: Annotated[str, Field(min_length=1)] | None = None
    """The table in which it keeps what was applied, as table or schema.table; its usual one otherwise."""


class Project(Settings):
    """What `ecm.yaml` says. After validation every branch has its `url_env` and its `requires`."""

    project: Annotated[str, Field(min_length=1)]
    """The project's name."""
    plans: Annotated[str, Field(min_length=1)] = "plans"
    """The folder that holds the plans."""
    ledger: Annotated[str, Field(min_length=1, repr=False)] = DEFAULT_LEDGER
    """The ledger's URL."""
    ledger_env: VariableName | None = None
    """The environment variable that holds the ledger's URL, instead of `ledger`."""
    provider: Annotated[Provider, EmptyAsNothingSaid] = Provider()
    """Where branches come from."""
    branches: Annotated[dict[str, Annotated[Branch, EmptyAsNothingSaid]], Field(min_length=1)]
    """The branches by name."""
    notices: Notices | None = None
    """Whom to tell of transitions, refusals and stalled plans."""
    toolchain: ToolchainSettings | None = None
    """The migration tool beside ecm."""
    defaults: Annotated[Defaults, EmptyAsNothingSaid] = Defaults()
    """Settings for every phase of every plan that has the key and does not say otherwise."""

    @field_validator("branches")
    @classmethod
    def _branches_fit_together(cls, branches: dict[str, Branch]) -> dict[str, Branch]:
        if problems := [*_misnamed(branches), *_unknown(branches)]:
            raise misplaced(problems)
        if problems := [*_cyclic(branches, "requires"), *_cyclic(branches, "parent")]:
            raise misplaced(problems)
        return dict(_completed(branches))

    @model_validator(mode="after")
    def _one_ledger(self) -> Self:
        if {"ledger", "ledger_env"} <= self.model_fields_set:
            raise misplaced([(("ledger_env",), "ledger and ledger_env are both given; keep one of them")])
        return self

    @model_validator(mode="after")
    def _one_url_a_branch(self) -> Self:
        """Two branches on one database would let production's own progress pass for development's."""
        owners: dict[str, str] = {}
        problems: list[tuple[tuple[str | int, ...], str]] = []
        for name, branch in self.branches.items():
            owner = owners.setdefault(branch.url_env, name)
            if owner != name:
                message = f"branches {owner} and {name} would both take their URL from {branch.url_env}"
                problems.append((("branches", name), f"{message}; give one of them another url_env"))
        if problems and self.provider.kind == "url":
            raise misplaced(problems)
        return self

    def branch(self, name: str) -> Branch:
        """Return a branch by its name.

        Raises:
            UsageError: there is no such branch.
        """
        if name not in self.branches:
            raise UsageError(
                f"there is no branch {name}", details=[did_you_mean(name, self.branches)], hint="ecm branch list"
            )
        return self.branches[name]

    def required_by(self, name: str) -> tuple[str, ...]:
        """Return every branch that must be ahead of this one, directly or through others.

        They come in the order in which a plan has to be taken through them: the first requires
        none of the rest, the last is nearest to `name`.

        Raises:
            UsageError: there is no such branch.
        """
        order: dict[str, None] = {}
        for required in self.branch(name).requires:
            order.update(dict.fromkeys((*self.required_by(required), required)))
        return tuple(order)


def variable_for(branch: str) -> str:
    """Return the environment variable that holds a branch's URL unless the project names another."""
    return "DATABASE_URL_" + re.sub(r"[^A-Z0-9]", "_", branch.upper())


def _completed(branches: Mapping[str, Branch]) -> Iterator[tuple[str, Branch]]:
    ordered = any("requires" in branch.model_fields_set for branch in branches.values())
    for name, branch in branches.items():
        implied = (_FIRST,) if name == _LAST and _FIRST in branches and not ordered else branch.requires
        yield name, branch.model_copy(update={"url_env": branch.url_env or variable_for(name), "requires": implied})


def _misnamed(branches: Mapping[str, Branch]) -> Problems:
    for name in branches:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}", name):
            yield (name,), f"{name!r} cannot be a branch's name; use letters, digits and - _ . /"


def _unknown(branches: Mapping[str, Branch]) -> Problems:
    for name, branch in branches.items():
        for index, required in enumerate(branch.requires):
            if required == name:
                yield (name, "requires", index), f"branch {name} cannot require itself"
            elif required not in branches:
                yield (name, "requires", index), _no_branch(required, branches.keys() - {name})
        if branch.parent == name:
            yield (name, "parent"), f"branch {name} cannot be its own parent"
        elif branch.parent is not None and branch.parent not in branches:
            yield (name, "parent"), _no_branch(branch.parent, branches.keys() - {name})


def _no_branch(name: str, others: Iterable[str]) -> str:
    return f"there is no branch {name}; {did_you_mean(name, others)}".removesuffix("; ")


def _cyclic(branches: Mapping[str, Branch], key: Literal["requires", "parent"]) -> Problems:
    """Name each ring of branches once, from the one that comes first in the file."""
    leads_to = {
        name: branch.requires if key == "requires" else tuple(filter(None, [branch.parent]))
        for name, branch in branches.items()
    }
    seen: set[frozenset[str]] = set()
    for name in branches:
        ring = _way_back(name, leads_to)
        if ring and frozenset(ring) not in seen:
            seen.add(frozenset(ring))
            words = " requires " if key == "requires" else " has the parent "
            yield (name, key), f"branches go round in a ring: {words.join((*ring, name))}"


def _way_back(start: str, leads_to: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return a shortest path from a branch to itself, without its end; empty where there is none."""
    reached: dict[str, tuple[str, ...]] = {start: (start,)}
    frontier = [start]
    for current in frontier:
        for following in leads_to[current]:
            if following == start:
                return reached[current]
            if following not in reached:
                reached[following] = (*reached[current], following)
                frontier.append(following)
    return ()
