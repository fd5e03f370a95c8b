"""`ecm detect`: what the migrations of another tool would break, and the plans that do the same safely."""

import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator import instep, linter
from orchestrator.detection import squawk
from orchestrator.detection.classify import findings
from orchestrator.detection.commands import command_for, name_for
from orchestrator.detection.covering import covering
from orchestrator.detection.deeds import CreateIndex
from orchestrator.detection.finding import Finding, Level, Place
from orchestrator.detection.parsing import read
from orchestrator.detection_reports import ChangeReport, DetectedReport, DetectReport, MigrationReport
from orchestrator.engine import applied
from orchestrator.errors import ConfigurationError, EcmError, UsageError
from orchestrator.operations import Operation
from orchestrator.plan.facade import changes
from orchestrator.plan.model import Plan
from orchestrator.plan.project import ToolchainSettings
from orchestrator.plan.schema import Notes, render_plan
from orchestrator.previews import new_plan
from orchestrator.repository import changed_since
from orchestrator.stage import Stage
from orchestrator.toolchains import header, reading
from orchestrator.toolchains.reading import files as of_files
from orchestrator.toolchains.reading import sql as plain
from orchestrator.toolchains.toolchain import Migration

_LONGEST = 200
"""Characters of a statement that are told."""
_DEAR = ("alembic", "django")
"""Tools that write a migration's SQL when they are asked, one command after the other."""


@dataclass(frozen=True, kw_only=True)
class _Selected:
    """Migrations to look at.

    Attributes:
        said: which they are, in words.
        migrations: with their statements.
        before: those that are there already, as far as their statements are at hand.
        together: whether all of them reach a database in one go.
    """

    said: str
    migrations: tuple[Migration, ...]
    before: tuple[Migration, ...] = ()
    together: bool = True


class Detecting:
    """Looks at migrations of another tool, on a stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._root = stage.workspace.root

    def detect(
        self,
        files: Sequence[Path],
        *,
        base: str | None,
        everything: bool,
        write: bool,
        renames: bool,
        tool: str | None = None,
    ) -> DetectReport:
        """Return what is found; as `Conductor.detect`."""
        given = [name for name, said in (("FILES", files), ("--base", base), ("--all", everything)) if said]
        if len(given) > 1:
            raise UsageError(f"{given[0]} and {given[1]} both say which migrations to read", hint="give one of them")
        settings = reading.find(self._root, self._stage.project.toolchain, tool=tool)
        selected = self._selected(settings, files, base, everything=everything)
        remarks: list[str] = []
        own = {each.name: self._emitted_for(each) for each in selected.migrations}
        found = self._found(selected, frozenset(name for name, plan in own.items() if plan), remarks)
        remarks += self._traps(settings)
        written: tuple[str, ...] = ()
        if write:
            written = self._write(found, renames=renames, remarks=remarks)
        plans = self._stage.workspace.plans()
        remarks += [f"{error.message}: it was not read, and covers nothing" for error in plans.errors]
        reported = tuple(_report(_awaiting(each, found, plans.plans), covering(each, plans.plans)) for each in found)
        again = " ".join(["ecm detect", *(["--all"] if everything else ["--base", shlex.quote(base)] if base else [])])
        again = shlex.join(["ecm", "detect", *map(str, files)]) if files else again
        again += f" --as {tool}" if tool else ""
        return DetectReport(
            toolchain=settings.kind if settings else None,
            selection=selected.said,
            migrations=tuple(
                MigrationReport(
                    name=each.name,
                    path=each.path.as_posix(),
                    statements=len(each.statements),
                    emitted_for=own[each.name],
                )
                for each in selected.migrations
            ),
            findings=reported,
            breaking=len(_uncovered(reported, "breaking")),
            lock_hungry=len(_uncovered(reported, "lock-hungry")),
            written=written,
            remarks=tuple(dict.fromkeys(remarks)),
            next_command=_next(reported, f"{again} --write"),
        )

    def _emitted_for(self, migration: Migration) -> str | None:
        """Return the plan that ecm wrote a migration for, as its header says; None where somebody else wrote it."""
        said = header.of(self._root, migration)
        return said.plan if said else None

    def _traps(self, settings: ToolchainSettings | None) -> list[str]:
        """Return what would have the tool pass over a migration, or do harm, in silence."""
        found: list[str] = []
        with suppress(EcmError):  # who only reads migrations is not stopped by what would keep ecm from writing one
            for tool in instep.tools(self._stage.workspace):
                found += tool.traps() if settings is not None and tool.name == settings.kind else ()
        return found

    # ---------------------------------------------------------------- which migrations

    def _selected(
        self, settings: ToolchainSettings | None, files: Sequence[Path], base: str | None, *, everything: bool
    ) -> _Selected:
        if files:
            return self._named(settings, files)
        if settings is None:
            raise ConfigurationError(
                f"no migration tool was found in {self._root}",
                details=[
                    "ecm looks for drizzle.config.ts, alembic.ini, manage.py, prisma/migrations and migrations/*.sql"
                ],
                hint="say which in ecm.yaml: toolchain: {kind: sql, folder: db/migrations}; or ecm detect FILE.sql",
            )
        self._expect(settings)
        tool = reading.reading(settings)
        if everything:
            return _Selected(said="all migrations", migrations=tool.read(self._root, settings), together=False)
        if base is not None:
            changed = changed_since(self._root, base)
            return self._those(settings, lambda each: each.path in changed, f"migrations changed since {base}")
        branch = next(iter(self._stage.project.branches))
        names = self._pending(settings, branch)
        return self._those(settings, lambda each: each.name in names, f"migrations that {branch} does not have")

    def _expect(self, settings: ToolchainSettings) -> None:
        """Refuse a folder that is not there, in which nothing would ever be found.

        A tool that was found by its other files may not have written a migration yet; Alembic has its folder at once.
        """
        said = self._stage.project.toolchain
        named = settings.kind == "alembic" or (said is not None and said.folder is not None)
        if named and settings.folder and not (self._root / settings.folder).is_dir():
            raise ConfigurationError(
                f"there is no folder {settings.folder} in {self._root}, where migrations of {settings.kind} would be",
                hint=f"say where they are in ecm.yaml: toolchain: {{kind: {settings.kind}, folder: …}}",
            )

    def _those(self, settings: ToolchainSettings, chosen: Callable[[Migration], bool], said: str) -> _Selected:
        tool = reading.reading(settings)
        if settings.kind in _DEAR:
            return _Selected(said=said, migrations=tool.read(self._root, settings, only=chosen))
        migrations = tool.read(self._root, settings)
        first = next((n for n, each in enumerate(migrations) if chosen(each)), len(migrations))
        rest = migrations[first:]
        return _Selected(said=said, migrations=tuple(each for each in rest if chosen(each)), before=migrations[:first])

    def _pending(self, settings: ToolchainSettings, branch: str) -> frozenset[str]:
        """Return what a branch does not have, by the tool's own table there."""
        tool = reading.reading(settings)
        otherwise = "ecm detect --base main, or ecm detect --all, looks at the files alone"
        table = tool.table(self._root, settings)
        if table is None:
            raise ConfigurationError(
                "files of plain SQL do not tell which of them a branch has",
                details=["ecm.yaml may name the table that keeps it: toolchain: {kind: sql, table: schema_migrations}"],
                hint=otherwise,
            )
        try:
            with self._stage.open(branch) as connection:
                rows = applied.rows(connection, table)
        except EcmError as error:
            error.hint = otherwise
            raise
        return tool.pending(self._root, settings, rows)

    def _named(self, settings: ToolchainSettings | None, files: Sequence[Path]) -> _Selected:
        """Return the migrations of files that a person named: the tool's where it knows them, plain SQL otherwise."""
        paths = [Path(os.path.relpath(path.absolute(), self._root)) for path in files]
        if missing := [path for path in paths if not (self._root / path).exists()]:
            raise UsageError(f"there is no file {missing[0].as_posix()}", hint="ecm detect --all")
        listed = reading.reading(settings).listed(self._root, settings) if settings else ()
        known = {each.path for each in listed if any(each.path == path or path in each.path.parents for path in paths)}
        loose = [path for path in paths if not any(path == one or path in one.parents for one in known)]
        if strange := [path for path in loose if path.suffix != ".sql"]:
            kind = f"a migration of {settings.kind}" if settings else "one of a tool that was found here"
            raise UsageError(f"{strange[0].as_posix()} is no file of SQL, and not {kind}", hint="ecm detect --all")
        chosen = self._those(settings, lambda each: each.path in known, "") if settings and known else None
        read = tuple(plain.one(self._root, self._root / path) for path in loose)
        migrations = (*(chosen.migrations if chosen else ()), *read)
        before = chosen.before if chosen else ()
        return _Selected(said=" ".join(path.as_posix() for path in paths), migrations=migrations, before=before)

    # ---------------------------------------------------------------- what is in them

    def _found(self, selected: _Selected, emitted: frozenset[str], remarks: list[str]) -> tuple[Finding, ...]:
        migrations = [each for each in selected.migrations if each.name not in emitted]
        places = [_places(each) for each in migrations]
        before = [each.text for migration in selected.before for each in migration.statements]
        own = findings(places, before=before, together=selected.together)
        more = self._linted(migrations, places, own, remarks)
        order = {place: number for number, place in enumerate(each for several in places for each in several)}
        return tuple(sorted((*own, *more), key=lambda each: order[each.place]))

    def _linted(
        self,
        migrations: Sequence[Migration],
        places: Sequence[Sequence[Place]],
        own: Iterable[Finding],
        remarks: list[str],
    ) -> Iterator[Finding]:
        """Give what squawk says beyond that; once that there is none, where it would have been asked."""
        told = {each.place for each in own}
        for migration, several in zip(migrations, places, strict=True):
            try:
                said = linter.spoken([each.text for each in several], transactional=migration.transactional)
            except EcmError as error:
                remarks.append(error.message)
                return
            if said is None:
                remarks.append("squawk is not installed, so only ecm looked: pip install expand-contract[lint]")
                return
            for number, rule, message in dict.fromkeys(said):
                place = several[min(number, len(several) - 1)]
                known = bool(read(place.text))
                if place not in told and squawk.wanted(rule, transactional=migration.transactional, read=known):
                    yield squawk.finding(place, rule, message)

    # ---------------------------------------------------------------- plans

    def _write(self, found: Sequence[Finding], *, renames: bool, remarks: list[str]) -> tuple[str, ...]:
        """Write a plan for each finding that none covers; what may be a rename waits for somebody to say so."""
        written: list[str] = []
        plans = list(self._stage.workspace.plans().plans)
        for each in found:
            change = each.likely if renames and each.likely else each.change
            if each.level is Level.NOTE or covering(each, plans) is not None or (each.likely and not renames):
                continue
            if change is None:
                continue
            name = name_for(each, change, self._stage.workspace.plan_names())
            try:
                plan = new_plan(change, name)
                text = _plan_text(plan, _awaiting(each, found, plans), self._stage.workspace.schema_reference)
                path = self._stage.workspace.write_plan(text, name)
            except EcmError as error:
                remarks.append(f"{each.place.path}: no plan was written: {error.message}")
                continue
            plans.append(plan)
            written.append(of_files.shown(self._root, path))
        return tuple(written)


def _awaiting(found: Finding, several: Sequence[Finding], plans: Sequence[Plan]) -> Finding:
    """Return a finding with what has to be done before its plan can begin: the columns that it needs have to come."""
    said: list[str] = []
    for column in found.needs:
        makers = [each for each in several if each.change is not None and _makes(each.change, found, column)]
        plan = next((name for each in makers if (name := covering(each, plans)) is not None), None)
        what = f"{found.deed.table}.{column}" if isinstance(found.deed, CreateIndex) else column
        if plan is not None:
            said.append(f"plan {plan} makes {what}, and has to expand first")
        elif makers:
            said.append(f"the plan that makes {what} has to expand first")
        else:
            said.append(f"{what} comes with the migrations, and has to be there first")
    return replace(found, left=(*found.left, *said)) if said else found


def _makes(change: Operation, found: Finding, column: str) -> bool:
    return isinstance(found.deed, CreateIndex) and change.target == found.deed.table and column in change.made()


def _uncovered(found: Iterable[DetectedReport], level: str) -> list[DetectedReport]:
    return [each for each in found if each.covered_by is None and each.level == level]


def _next(found: Sequence[DetectedReport], write: str) -> str | None:
    """Return the next command: one that writes plans, then for what only a person can say, then onward."""
    left = [*_uncovered(found, "breaking"), *_uncovered(found, "lock-hungry")]
    if any(each.change and not each.likely for each in left):
        return write
    unsaid = next((each.likely.command for each in left if each.likely), None)
    if unsaid is not None:
        return unsaid
    plan = next((each.covered_by for each in found if each.covered_by), None)
    return f"ecm plan show {plan}" if plan else None


def _places(migration: Migration) -> list[Place]:
    return [
        Place(migration=migration.name, path=migration.path.as_posix(), line=each.line, number=number, text=each.text)
        for number, each in enumerate(migration.statements)
    ]


def _plan_text(plan: Plan, found: Finding, schema: str) -> str:
    """Return the text of a plan with a word at its head: where it comes from, and what is left to say."""
    text = render_plan(plan, schema=schema, notes=Notes.of(changes(plan)[0]))
    line = f", line {found.place.line}" if found.place.line else ""
    head = [f"From {found.place.path}{line}, where it would be done at once.", *map(_sentence, found.left)]
    first, _, rest = text.partition("\n")
    return "\n".join([first, *(f"# {each}" for each in head), rest])


def _sentence(text: str) -> str:
    return f"Left to say: {text}."


def _report(found: Finding, plan: str | None) -> DetectedReport:
    return DetectedReport(
        rule=found.rule,
        level=found.level.word,
        lock_hungry=found.locks,
        migration=found.place.migration,
        path=found.place.path,
        line=found.place.line,
        statement=_in_short(found.place.text),
        deferred=found.change is not None and found.change.written().get("contract") == found.place.text,
        subject=found.subject,
        message=found.message,
        change=_change(found.change),
        likely=_change(found.likely),
        left=found.left if plan is None else (),
        covered_by=plan,
    )


def _in_short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _change(change: Operation | None) -> ChangeReport | None:
    if change is None:
        return None
    fields = change.model_dump(mode="json", exclude_defaults=True)
    return ChangeReport(kind=change.kind, summary=change.summary, fields=fields, command=command_for(change))
