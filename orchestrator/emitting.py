"""Writing a plan's parts as migrations of a tool that the project has."""

from collections.abc import Sequence
from datetime import UTC, datetime
from shlex import quote

from orchestrator import instep, reports
from orchestrator.errors import ConfigurationError, UsageError
from orchestrator.plan import editing, scope
from orchestrator.plan.checksum import checksum
from orchestrator.plan.editing import Part
from orchestrator.plan.lifecycle import STATES, State
from orchestrator.records import last_state
from orchestrator.reporting import named
from orchestrator.sql.edits import AddCheck, AddForeignKey, AddUnique, CreateTable, RenameColumn
from orchestrator.stage import Scene, Stage
from orchestrator.toolchains import finding
from orchestrator.toolchains.toolchain import Emission, Toolchain
from orchestrator.words import listed

_LINES = {"drizzle": "drizzle", "alembic": "sqlalchemy"}
"""How `ecm inspect` calls the lines of a tool's schema."""
_NAMING = {"drizzle": "drizzle", "alembic": "SQLAlchemy"}
"""Who makes up names of indexes and constraints, where a tool then looks for them."""


class Emitting:
    """Writes migrations on a stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def emit(self, scene: Scene, tool: str, part: str | None, folder: str | None = None) -> reports.EmitReport:
        """Write the parts of a plan, or one of them; as `Conductor.emit`."""
        plan = scene.plan
        chain = self._tool(tool, folder)
        facts = self._stage.facts_if_named(scene)
        parts = (named(Part, part),) if part else tuple(Part)
        emissions = [found for each in parts if (found := self._emission(scene, each, facts)) is not None]
        if not emissions:
            raise self._nothing(scene, tool, named(Part, part) if part else None, folder)
        wanted = [each for each in emissions if self._is_to_be_written(chain, scene, Part(each.part))]
        written = tuple(self._written(tool, folder, each) for each in wanted)
        chain = self._tool(tool, folder)
        return reports.EmitReport(
            plan=plan.plan,
            branch=scene.branch,
            tool=tool,
            checksum=checksum(plan),
            migrations=written,
            existing=tuple(
                found.path.as_posix()
                for each in emissions
                if each not in wanted and (found := chain.emitted(plan.plan, each.part)) is not None
            ),
            beware=(
                *_between(emissions, plan.plan, tool, alone=part is not None),
                *_renamed(emissions, tool),
                *_to_the_letter(emissions, tool),
                *chain.traps(),
            ),
            schema_edit=self._schema_edit(scene, tool, written),
            next_command=self._stage.next_command(plan.plan, scene.branch, scene.position),
        )

    def _nothing(self, scene: Scene, tool: str, part: Part | None, folder: str | None) -> UsageError:
        """Return that a part has no migration, and what comes before the other part's: as late as can be."""
        plan, where = scene.plan.plan, f" --folder {quote(folder)}" if folder else ""
        command = f"ecm emit {plan} --as {tool}{where} --part"
        said = "what it does in that part is no change of the schema that a migration tool would make"
        if part is None:
            return UsageError(f"{plan} has nothing to emit", details=[said])
        behind = self._behind(scene)
        hint = f"{command} {Part.EXPAND if part is Part.CONTRACT else Part.CONTRACT}"
        details = [said]
        if part is Part.EXPAND and behind is not None:
            details.append(
                f"its migration is that of contract, which comes later: --part contract, or {tool} would stop there"
                " wherever ecm has not contracted"
            )
            hint = f"ecm advance {plan} --to {State.READS_MIGRATED} --branch {behind}"
        return UsageError(f"{plan} has nothing to emit for {part}", details=details, hint=hint)

    def _behind(self, scene: Scene) -> str | None:
        """Return the first branch where the next phase is not contract yet, as far as is known."""
        entries = self._stage.entries_if_any(scene.plan.plan)
        for name in self._stage.project.branches:
            last = last_state(entries, name)
            state = scene.position.state if name == scene.branch else last[0] if last else State.PLANNED
            if STATES.index(state) < STATES.index(State.READS_MIGRATED):
                return name
        return None

    def _schema_edit(self, scene: Scene, tool: str, written: Sequence[reports.EmittedMigration]) -> str | None:
        """Return where the change of the ORM's schema is told that goes with the migrations."""
        if tool == "django":
            files = [name for each in written for name in each.files]
            return f"the change of the models is in the head of {listed(files)}" if files else None
        if tool not in _LINES:
            return None
        first = next(iter(self._stage.project.branches))
        where = "" if scene.branch == first else f" --branch {scene.branch}"
        return f"ecm inspect --{_LINES[tool]} {scene.plan.plan}{where}"

    def _emission(self, scene: Scene, part: Part, facts: scope.Facts) -> Emission | None:
        plan = scene.plan
        edits = editing.edits(plan, part, facts)
        if not edits:
            return None
        return Emission(
            plan=plan.plan,
            part=part.value,
            checksum=checksum(plan),
            # One line whatever a name has in it: what came after any other end of a line would be no comment any more.
            title=" ".join(f"{part.value}: {listed([change.summary for change in plan.changes])}".split()),
            statement=editing.statement(plan, part, edits),
            edits=edits,
        )

    def _is_to_be_written(self, chain: Toolchain, scene: Scene, part: Part) -> bool:
        migration = chain.emitted(scene.plan.plan, part.value)
        if migration is not None and instep.is_stale(self._stage.workspace, scene.plan, migration):
            raise ConfigurationError(
                f"{migration.path} was emitted for another text of {scene.plan.plan}",
                details=["what it writes is not what the plan says now"],
                hint="remove that migration as the tool would, then emit it again",
            )
        return migration is None

    def _tool(self, kind: str, folder: str | None) -> Toolchain:
        workspace = self._stage.workspace
        configured = workspace.project.toolchain
        return finding.named(kind, workspace.root, lambda: datetime.now(UTC), configured, folder=folder)

    def _written(self, tool: str, folder: str | None, emission: Emission) -> reports.EmittedMigration:
        # Each time from the files: the second part follows the first.
        root, chain = self._stage.workspace.root, self._tool(tool, folder)
        files = chain.emit(emission)
        name = self._tool(tool, folder).emitted(emission.plan, emission.part)
        return reports.EmittedMigration(
            part=emission.part,
            name=name.name if name else "",
            files=tuple(path.relative_to(root).as_posix() for path in files),
        )


def _between(emissions: Sequence[Emission], plan: str, tool: str, *, alone: bool) -> tuple[str, ...]:
    """Tell what a contract migration stops, and how to write it later where it was not asked for by itself."""
    if not any(each.part == Part.CONTRACT for each in emissions):
        return ()
    said = (
        f"until ecm has contracted {plan} in a database, {tool} stops there at its contract migration, and at all that"
        " come after it"
    )
    if not alone and any(each.part == Part.EXPAND for each in emissions):
        said += "; --part expand writes the first one alone"
    return (said,)


def _renamed(emissions: Sequence[Emission], tool: str) -> tuple[str, ...]:
    """Tell that an ORM makes up names from those of columns, and a rename keeps the names that things have."""
    names = [edit.to for each in emissions for edit in each.edits if isinstance(edit, RenameColumn)]
    if not names or tool not in _NAMING:
        return ()
    said = (
        f"constraints and indexes keep their names: one that {_NAMING[tool]} makes up from the name of a column has to"
        f" be written out in the schema once the column is {listed(names)}"
    )
    return (said,)


def _to_the_letter(emissions: Sequence[Emission], tool: str) -> tuple[str, ...]:
    """Tell that Drizzle takes a constraint under another name, or a check in other words, for another one."""
    named = (AddUnique, AddCheck, AddForeignKey, CreateTable)
    plan = next((each.plan for each in emissions for edit in each.edits if isinstance(edit, named)), None)
    if plan is None or tool != "drizzle":
        return ()
    said = (
        f"drizzle knows constraints by their names, and a check by its words: ecm inspect --drizzle {plan} prints how"
        " schema.ts has to have them"
    )
    return (said,)
