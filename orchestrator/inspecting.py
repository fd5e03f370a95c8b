"""`ecm inspect`: tables as PostgreSQL has them, and a plan as edits of an ORM's schema."""

from collections.abc import Sequence
from shlex import quote
from typing import Literal

from orchestrator.detection_reports import (
    ColumnReport,
    ConstraintReport,
    IndexReport,
    InspectReport,
    LineReport,
    PhaseLines,
    SchemaEditReport,
    TableReport,
    TriggerReport,
)
from orchestrator.engine import catalog, inspection, survey
from orchestrator.engine.connection import Connection
from orchestrator.errors import PreconditionError, UsageError
from orchestrator.plan import editing, scope
from orchestrator.plan.editing import Part
from orchestrator.plan.lifecycle import PHASES, STATES, Phase, State
from orchestrator.records import last_state
from orchestrator.sql.facts import Trigger
from orchestrator.sql.identifiers import TableName
from orchestrator.stage import Scene, Stage
from orchestrator.toolchains.declaring import Hung, LineEdit, UntoldError, lines


class Inspecting:
    """Looks at tables, on a stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def inspect(self, names: Sequence[str], branch: str) -> InspectReport:
        """Return tables as PostgreSQL has them; as `Conductor.inspect`."""
        with self._stage.open(branch) as connection:
            wanted = [_parsed(name) for name in names or catalog.tables(connection)]
            tables = tuple(_table(connection, name) for name in dict.fromkeys(wanted))
        one = tables[0].table if len(tables) == 1 else None
        onward = f"ecm plan rename-column {quote(one or '')} COLUMN NEW_NAME --branch {branch}"
        own = next((each.table for each in tables if "." not in each.table), tables[0].table if tables else "TABLE")
        overview = f"ecm inspect {quote(own)} --branch {branch}"
        return InspectReport(branch=branch, tables=tables, next_command=onward if one else overview)

    def schema_edit(self, plan: str, branch: str, orm: Literal["drizzle", "sqlalchemy"]) -> SchemaEditReport:
        """Return a plan as edits of an ORM's schema; as `Conductor.schema_edit`."""
        with self._stage.scene(plan, branch) as scene:
            state = scene.position.state
            expand, contract = self._lines(scene, orm)
            by_phase = {Phase.EXPAND: expand, Phase.CONTRACT: contract}
            unread = {Phase(key) for change in scene.plan.changes for key in change.written() if key in [*Part]}
            return SchemaEditReport(
                plan=plan,
                branch=branch,
                orm=orm,
                phases=tuple(
                    PhaseLines(
                        phase=phase,
                        done=STATES.index(phase.leads_to) <= STATES.index(state),
                        tables=tuple(map(_line, by_phase.get(phase, ()))),
                        unread=phase in unread,
                        application=scene.plan.phase(phase).deploy.strip(),
                    )
                    for phase in PHASES
                ),
                next_command=self._stage.next_command(plan, branch, scene.position) or f"ecm plan show {plan}",
            )

    def _lines(self, scene: Scene, orm: str) -> tuple[tuple[LineEdit, ...], tuple[LineEdit, ...]]:
        """Return the edits for expand and for contract, the same wherever the plan is.

        Raises:
            PreconditionError: the branch's tables do not tell what they were like.
        """
        plan, state = scene.plan, scene.position.state
        contracted = state is State.CONTRACTED
        try:
            facts = self._stage.facts_if_named(scene)
            planned = editing.as_planned(plan, facts, state)
            expand, contract = (editing.edits(plan, part, facts) for part in Part)
            if planned is not None:
                return lines(orm, planned, expand, contract, _hung(scene, facts))
        except UntoldError as error:
            if not contracted:
                option = f"ecm inspect --{orm} {plan.plan}"
                raise PreconditionError(
                    f"{error} on {scene.branch}",
                    details=["the lines of a schema are told by the tables as they were before the plan began"],
                    hint=f"correct the plan, or name a branch that has it: {option} --branch BRANCH",
                ) from None
        except PreconditionError:
            if not contracted:
                raise
        raise self._untold(scene, orm)

    def _untold(self, scene: Scene, orm: str) -> PreconditionError:
        plan, command = scene.plan.plan, f"ecm inspect --{orm} {scene.plan.plan} --branch"
        entries = self._stage.entries_if_any(plan)
        behind = [
            name
            for name in self._stage.project.branches
            if name != scene.branch and ((last := last_state(entries, name)) is None or last[0] is not State.CONTRACTED)
        ]
        over = "every branch has contracted it: what went with it is in the history of your schema's own file"
        return PreconditionError(
            f"{plan} is contracted on {scene.branch}, and its tables do not tell any more what they were like",
            details=["the lines of a schema are told by the tables as they were before the plan began"],
            hint=f"name a branch that has not contracted it: {command} {behind[0]}" if behind else over,
        )


def _hung(scene: Scene, facts: scope.Facts) -> dict[TableName, Hung]:
    found: dict[TableName, Hung] = {}
    for name, table in facts.items():
        at, names = table.behind or table.at, scope.names_before(scene.plan, table)
        found[name] = Hung(
            constraints=inspection.constraints(scene.connection, at, of=name, names=names),
            always=frozenset(names.get(each, each) for each in inspection.always(scene.connection, at)),
        )
    return found


def _parsed(name: str) -> TableName:
    try:
        return TableName.parse(name)
    except ValueError as error:
        raise UsageError(str(error), hint="ecm inspect, which lists all tables") from None


def _table(connection: Connection, name: TableName) -> TableReport:
    facts = catalog.read_table(connection, name)
    hanging = inspection.hanging(connection, facts.behind or name)
    return TableReport(
        table=str(name),
        rows=survey.extent(connection, facts).rows,
        bytes=facts.bytes,
        columns=tuple(
            ColumnReport(
                name=each.name,
                type=each.type,
                not_null=each.not_null,
                default=each.default,
                identity=each.identity,
                generated=each.generated,
            )
            for each in facts.columns
        ),
        key=facts.key,
        constraints=tuple(ConstraintReport(**each) for each in hanging.constraints),
        indexes=tuple(
            IndexReport(
                name=each.name,
                definition=each.tail.strip(),
                unique=each.unique,
                primary=each.primary,
                valid=each.valid,
                bytes=each.size,
            )
            for each in facts.indexes
        ),
        triggers=tuple(map(_trigger, facts.triggers)),
        views=tuple(str(TableName(each["schema"], each["name"])) for each in hanging.views),
        pointed_to=tuple(dict.fromkeys(str(TableName(each["schema"], each["table"])) for each in hanging.pointed_to)),
        partitions=tuple(map(str, facts.partitions)),
    )


def _trigger(found: Trigger) -> TriggerReport:
    per = "for each row" if found.per_row else "for each statement"
    return TriggerReport(
        name=found.name,
        fires=f"{found.timing} {' OR '.join(found.events)} {per}",
        function=found.function,
        enabled=found.enabled != "D",
    )


def _line(edit: LineEdit) -> LineReport:
    return LineReport(table=str(edit.table), add=edit.add, remove=edit.remove, keep=edit.keep, notes=edit.notes)
