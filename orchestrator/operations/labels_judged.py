"""A change of an enum type's labels: what stands in its way, and what a person should know before."""

from collections.abc import Iterable

from psycopg import sql
from typing_extensions import override

from orchestrator.errors import EcmError, PreconditionError, PrivilegeError
from orchestrator.operations.base import unusable
from orchestrator.operations.labels import Labels, Pair
from orchestrator.sql import literals, moving
from orchestrator.sql.enums import Body, Enum, User, second
from orchestrator.sql.facts import Dependent, Table
from orchestrator.words import listed

_GOES_ALONG = frozenset({"index", "constraint", "statistics", "trigger"})
"""What hangs on a column and is handed over, or was refused before anything was touched."""
_BY_POSITION = "INSERT and COPY without a list of columns give their values by position"


class JudgedLabels(Labels):
    """What refuses the change, and what it cannot bring along."""

    @override
    def problems(self, facts: Table) -> tuple[EcmError, ...]:
        enum = self._enum(facts)
        own = (self._wrong_labels, self._unsuitable, self._immovable) if self._is_first(facts) else ()
        return (
            *(error for asked in own for error in asked(enum)),
            *(error for pair in self._pairs(facts) for error in self._unfit(facts, pair)),
            *self._mentioned(facts),
        )

    @override
    def succeeded(self, facts: Table) -> tuple[str, ...]:
        return tuple(pair.column for pair in self._pairs(facts) if not pair.switched)

    def _unsuitable(self, enum: Enum) -> Iterable[EcmError]:
        if not enum.may_alter:
            yield PrivilegeError(
                f"the connected role does not own type {self.target}, and only the owner may change it",
                details=[f"it belongs to {enum.owner}"],
                hint=f"GRANT {sql.Identifier(enum.owner).as_string(None)} TO the role",
            )
        if not enum.may_create_in_schema:
            yield PrivilegeError(
                f"the connected role may not create a type in schema {self.target.schema}",
                hint=f"GRANT CREATE ON SCHEMA {sql.Identifier(self.target.schema).as_string(None)} TO the role",
            )
        if enum.extension is not None:
            yield PreconditionError(
                f"type {self.target} belongs to extension {enum.extension}",
                hint="let the extension change it: ALTER EXTENSION … UPDATE",
            )
        if enum.occupied is not None:
            yield PreconditionError(
                f"there is a type {enum.occupied} already, and one of the two types needs that name until contract",
                hint="give it another name first: ALTER TYPE … RENAME TO …",
            )

    def _immovable(self, enum: Enum) -> Iterable[EcmError]:
        reading = {f"{reader.name.schema}.{reader.name.name}" for reader in enum.readers if reader.kind == "function"}
        for user in enum.users:
            if not user.by_signature or user.name in reading:
                yield PreconditionError(
                    f"{user.kind} {user.name} is of type {self.target}, and cannot follow",
                    details=["only columns of tables get a successor, and what stands on these"],
                    hint="drop it first, and make it again after contract",
                )
        for reader in enum.readers:
            parts = (
                *((f"the default of column {each.name}", each.default or "") for each in reader.columns),
                *((f"index {index.name}", index.tail) for index in reader.indexes),
                *((f"trigger {trigger.name}", trigger.definition) for trigger in reader.triggers),
            )
            for what, text in parts:
                if f"::{enum.spelling.plain}" in text:
                    yield PreconditionError(
                        f"{what} of {reader.kind} {reader.name} mentions a value of type {self.target}",
                        details=["what reads a column is made again with what was said of it, to the letter"],
                        hint="drop it first, and make it again after contract",
                    )
        for name in enum.unmovable:
            yield PreconditionError(
                f"{name} reads several columns of type {self.target}, and is, or serves, a materialized view",
                details=["it is built before the switch, when no two of them have their new names yet"],
                hint="drop it first, and make it again after contract",
            )

    def _unfit(self, facts: Table, pair: Pair) -> Iterable[EcmError]:
        column, where = facts.column(pair.column), f"{facts.name}.{pair.column}"
        if column is None:
            return
        yield from unusable(facts, pair.column)
        if facts.column(pair.heir) is not None and not self.begun(facts):
            yield PreconditionError(
                f"{facts.name} already has a column {pair.heir}",
                details=["the name must be free: it is that of the new column until readers move"],
                hint="give that column another name first",
            )
        if column.default is not None and not column.default_is_constant:
            yield PreconditionError(
                f"the default of {where} is an expression, {column.default}",
                details=["what label it gives is known only when it is evaluated"],
                hint="make it a constant first, or drop it",
            )
        said = facts.heritage.attributes.get(pair.column)
        for use in said.used if said is not None else ():
            yield PreconditionError(
                f"{where} cannot be changed: {use}",
                details=["nothing can take over there while reads and writes go on"],
                hint="take it away first, and make it again after contract",
            )
        for each in facts.tracked.get(pair.column, ()):
            if each.kind == "generated column":
                yield PreconditionError(
                    f"{where} cannot be changed: {each.why} is generated from it",
                    hint="take it away first, and make it again after contract",
                )

    def _mentioned(self, facts: Table) -> Iterable[EcmError]:
        """What mentions a label that goes: whether the one in its place means the same there, nobody can tell."""
        restated = self._restated(facts, back=self._is_switched(facts))
        if restated is None:
            return
        for what, text in self._texts(facts):
            for label in restated.gone(text):
                yield PreconditionError(
                    f"{what} mentions the label {label!r}, which goes",
                    details=[f"whether {self.remove.get(label)!r} means the same there, only you can tell"],
                    hint="change it first so that it does without that label",
                )

    def _texts(self, facts: Table) -> tuple[tuple[str, str], ...]:
        """Return what hangs on a table's columns, each once, with its text as it reads over the second type."""
        held, columns = facts.heritage, [pair.column for pair in self._pairs(facts)]
        defaults = ((name, held.attributes[name].default) for name in columns if name in held.attributes)
        # A view may read columns of several tables.
        readers = self._enum(facts).readers if self._is_first(facts) else ()
        return (
            *((f"the default of {facts.name}.{name}", default) for name, default in defaults if default is not None),
            *((f"index {index.name}", index.tail) for index in held.indexes),
            *((f"constraint {each.name}", each.definition) for each in held.constraints),
            *((f"statistics {each.name}", each.definition) for each in held.statistics),
            *((f"{each.kind} {each.name}", each.again or "") for each in readers),
        )

    @override
    def warnings(self, facts: Table) -> tuple[str, ...]:
        enum = self._enum(facts)
        columns = [pair.column for pair in self._pairs(facts)]
        told = {body.name for body, _ in self._telling(enum)}
        bodies = (
            f"{each.kind} {each.name}: {each.why}, whose labels change"
            for column in columns
            for each in facts.untracked.get(column, ())
            if each.name not in told
        )
        place = "is the last column" if len(columns) == 1 else "are the last columns"
        last = f"{listed(columns)} {place} of {facts.name} in the end: {_BY_POSITION}"
        asked = self._asked(enum) if self._is_first(facts) else ()
        return (*bodies, *self._as_text(facts), last, *asked)

    def _as_text(self, facts: Table) -> Iterable[str]:
        """What compares a label as text: to PostgreSQL that is a string like any other."""
        for what, text in self._texts(facts):
            for label in (*self.rename, *self.remove):
                if sql.SQL("{}::text").format(sql.Literal(label)).as_string(None) in text:
                    yield f"{what} has {label!r} as text, which stays as it is: change it in reads migrated"

    def _asked(self, enum: Enum) -> Iterable[str]:
        gone = [*self.rename, *self.remove]
        if gone:
            either = listed(gone, "or")
            yield (
                f"the application reads and writes {listed(gone)} until readers move, and {listed(self._instead)} from"
                " then on: before migrate reads it has to know both"
            )
            yield (
                f"once readers have moved, PostgreSQL refuses a statement that names {either} when it parses it,"
                " and no trigger can help: by then no version that writes that may be running"
            )
        if self.add:
            yield f"{listed(self.add)} can be written once readers have moved, and not before"
            yield f"a rollback is refused while a row has {listed(self.add)}, which the old type cannot hold"
        yield (
            f"the types exchange their names when readers move, so a statement that casts to it by name"
            f" ('…'::{self.target}) goes on; a driver that has looked the type up by name has to connect again"
        )
        yield (
            f"a session that prepared a statement with a value of type {self.target} is told, when readers move and"
            " when they are moved back, that its cached plan must not change result type, or that there is no such"
            " operator or cast; it has to prepare it again"
        )
        yield from dict.fromkeys(
            f"function {each.name}: its text names {self.target if by_name else each.names}, whose labels change"
            + ("" if each.routine else "; a session that has run it may have to connect again once readers move")
            for each in enum.naming
            # Of one that names a column, and a table of it, that is said already.
            if ((by_name := each.names == self.target.name) or each.routine is None)
            and each.name not in {body.name for body, _ in self._telling(enum)}
        )

    @property
    def _instead(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.rename.values(), *self.remove.values())))

    @override
    def unfollowed(self, facts: Table) -> tuple[Dependent, ...]:
        obstacles = (each for pair in self._pairs(facts) for each in facts.unmovable.get(pair.column, ()))
        if not self._is_first(facts):
            return tuple(obstacles)
        of_the_type = {user.name: self._of(user) for user in self._signatures(facts)}
        texts = (
            self._naming_labels(body, labels)
            for body, labels in self._telling(self._enum(facts))
            if body.name not in of_the_type
        )
        return (*of_the_type.values(), *texts, *obstacles)

    def _telling(self, enum: Enum) -> Iterable[tuple[Body, tuple[str, ...]]]:
        """Give the functions whose text has a label that changes, which fails once readers have moved."""
        changed = (*self.rename, *self.remove)
        for body in enum.bodies:
            if labels := literals.mentioned(body.text, changed, language=body.language):
                yield body, labels

    def _naming_labels(self, body: Body, labels: tuple[str, ...]) -> Dependent:
        return Dependent(
            kind=body.kind,
            name=body.name,
            why=f"its text has {listed(map(repr, labels))}, which {self.target} does not have once readers have moved",
            names_it=False,
            ready=self._ready(labels),
        )

    def _ready(self, labels: tuple[str, ...]) -> str:
        """Return what a function has to be like that works before readers move and after."""
        both = "before expand, deploy a function that works with both types"
        instead = {**self.rename, **self.remove}
        if ambiguous := [label for label in labels if instead[label] in (*self.rename, *self.remove)]:
            return f"{both}: without {listed(map(repr, ambiguous), 'or')}, for the new type has another such label"
        compared = (
            sql.SQL("…::text IN ({}, {})").format(sql.Literal(label), sql.Literal(self.rename[label]))
            if label in self.rename
            else sql.SQL("…::text = {}").format(sql.Literal(label))
            for label in labels
        )
        return (
            f"{both}: compared as text, {listed(each.as_string(None) for each in compared)} works in every state; a"
            f" label to write is chosen by what enum_range(NULL::{self.target}) has"
        )

    def _signatures(self, facts: Table) -> Iterable[User]:
        return (user for user in self._enum(facts).users if user.by_signature)

    def _of(self, user: User) -> Dependent:
        new = second(self.target)
        remedy = f"drop it, and make it again: {self.target} is the new type by now"
        ready = None
        if user.takes:
            remedy = f"make it once more for {self.target}, which is the new type by now, and drop this one"
            ready = (
                f"in backfilled, make it once more, beside it, for {new}, with a body that compares as text and does"
                f" not name that type: it takes {self.target} once readers move, and contract drops the other; while"
                f" there are two, a bare literal needs a cast ('…'::{self.target})"
            )
        elif user.by_signature:
            ready = f"before expand, have it give text, and cast that where it is used (…::{self.target})"
        return Dependent(
            kind=user.kind,
            name=user.name,
            why=f"it is of type {self.target}, and goes on to take and give the old labels",
            names_it=False,
            remedy=remedy,
            ready=ready,
        )

    @override
    def standing_on(self, facts: Table) -> tuple[Dependent, ...]:
        users = self._enum(facts).users if self._is_first(facts) else ()
        own = (self._of(user) for user in users if not user.succeeded)
        came = (
            Dependent(kind="column", name=f"{facts.name}.{name}", why="it came while both types were there")
            for name in self._came(facts)
        )
        strangers = (
            each
            for move in self._moves(facts)
            for each in moving.strangers(facts, move)
            if each.kind not in _GOES_ALONG
        )
        return (*own, *came, *strangers)

    def _came(self, facts: Table) -> tuple[str, ...]:
        """Return the columns of the old type that have no successor."""
        known = {name for pair in self._pairs(facts) for name in (pair.column, pair.heir)}
        spelling = self._enum(facts).spelling
        types = (spelling.plain, spelling.array)
        return tuple(column.name for column in facts.columns if column.type in types and column.name not in known)

    @override
    def came_since(self, facts: Table) -> tuple[EcmError, ...]:
        return tuple(
            PreconditionError(
                f"column {facts.name}.{name} is of type {self.target}, and came after expand",
                details=[
                    f"it is of the type with the old labels, and nothing that casts to {self.target} fits it then"
                ],
                hint="take this plan back to planned and begin it again, with that column; or drop it, and make it"
                " again once readers have moved",
            )
            for name in self._came(facts)
        )
