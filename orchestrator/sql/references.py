"""What the names in a statement mean: columns, rows and tables of what contract takes away, or others of that name.

Names are resolved as PostgreSQL does it: an alias, a query that WITH named, the innermost query with such a column. It
takes a column that is named alone for one of the table that is written or read there; two tables that both have it
would have been an error, and the statement was run.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, cast

from orchestrator.sql.identifiers import TableName


class Reading(StrEnum):
    """What a statement does with the old side."""

    NAMES = "names"
    """It names an old column, or the table by its old name."""
    WHOLE = "whole"
    """It takes whole rows, the old columns among them, without naming these."""
    UNCLEAR = "unclear"
    """It has the names in its text, and cannot be understood."""


@dataclass(frozen=True, kw_only=True)
class OldSide:
    """What of a table contract takes away.

    Attributes:
        columns: the old columns.
        whole: whether the table's own name goes.
        others: all columns of the table: a name that is one of them is no row.
    """

    table: TableName
    columns: frozenset[str]
    whole: bool = False
    others: frozenset[str] = frozenset()


Holders = Mapping[str, frozenset[str]]
"""By old column: the names of the other tables and views that have a column of that name."""


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Something that a query takes rows from.

    Attributes:
        alias: how the query calls it.
        side: the table, where it is one whose columns go.
        columns: its columns, where they are known.
        table: its own name, where it is another table or view.
        first: the one that an INSERT, UPDATE, DELETE or MERGE writes.
    """

    alias: str
    side: OldSide | None = None
    columns: frozenset[str] | None = None
    table: str | None = None

    def has(self, column: str, holders: Holders) -> bool | None:
        """Whether it has a column of that name; None where nobody knows."""
        if self.side is not None:
            return column in self.side.columns or column in self.side.others
        if self.columns is not None:
            return column in self.columns
        return None if self.table is None else self.table in holders.get(column, frozenset())


_Frame = list[_Source]


@dataclass(frozen=True, kw_only=True)
class _Scope:
    """Where a part of a statement stands: its own sources first, those of the queries around it after them.

    Attributes:
        ctes: by name, the columns of the queries that WITH gave names to; None where they are not known.
    """

    frames: tuple[_Frame, ...] = ()
    ctes: Mapping[str, frozenset[str] | None] = field(default_factory=dict[str, "frozenset[str] | None"])

    def inside(self, frame: _Frame) -> "_Scope":
        return _Scope(frames=(frame, *self.frames), ctes=self.ctes)

    @property
    def outside(self) -> "_Scope":
        return _Scope(frames=self.frames[1:], ctes=self.ctes)

    def knowing(self, ctes: Mapping[str, frozenset[str] | None]) -> "_Scope":
        return _Scope(frames=self.frames, ctes={**self.ctes, **ctes})


def readings(tree: Any, sides: Iterable[OldSide], holders: Holders) -> Iterator[Reading]:
    """Read a statement's tree, as sqlglot gives it: what it does with the old side, once for each place."""
    yield from _Reader({side.table.name: side for side in sides}, holders).of(tree)


class _Reader:
    """Reads a statement's tree.

    Args:
        sides: what goes, by the table's name.
        holders: who else has columns of the same names.
    """

    def __init__(self, sides: Mapping[str, OldSide], holders: Holders) -> None:
        from sqlglot import exp

        self._exp = exp
        self._node = exp.Expr
        self._sides = sides
        self._holders = holders
        self._ways: tuple[tuple[tuple[type[Any], ...], Callable[[Any, _Scope], Iterator[Reading]]], ...] = (
            ((exp.Select, exp.SetOperation, exp.Insert, exp.Update, exp.Delete, exp.Merge), self._statement),
            ((exp.Copy,), self._copy),
            ((exp.Create, exp.Alter, exp.Drop, exp.TruncateTable, exp.Comment), self._catalog),
            ((exp.Column,), self._column),
            ((exp.Star,), self._star),
            ((exp.Dot,), self._field),
            ((exp.Count,), self._count),
            ((exp.Exists,), self._exists),
            ((exp.Table,), self._table),
            ((exp.Join,), self._join),
            ((exp.Subquery,), self._subquery),
            ((self._node,), self._parts),
        )

    def of(self, tree: Any, scope: _Scope | None = None) -> Iterator[Reading]:
        """Read a node and all that is in it."""
        read = next(way for kinds, way in self._ways if isinstance(tree, kinds))
        yield from read(tree, scope or _Scope())

    def _subquery(self, tree: Any, scope: _Scope) -> Iterator[Reading]:
        """What stands in FROM without LATERAL does not see what stands beside it."""
        in_from = isinstance(tree.parent, self._exp.From | self._exp.Join)
        yield from self._parts(tree, scope.outside if in_from and not isinstance(tree.this, self._exp.Table) else scope)

    def _count(self, tree: Any, scope: _Scope) -> Iterator[Reading]:
        if not isinstance(tree.this, self._exp.Star):  # count(*) looks at no column
            yield from self._parts(tree, scope)

    def _parts(self, tree: Any, scope: _Scope, *, without: Iterable[str] = ()) -> Iterator[Reading]:
        left_out = set(without)
        for key, value in tree.args.items():
            if key in left_out:
                continue
            for part in _several(value):
                if isinstance(part, self._node):
                    yield from self.of(part, scope)

    # ------------------------------------------------------------ queries and what writes

    def _statement(self, tree: Any, scope: _Scope) -> Iterator[Reading]:
        with_ = tree.args.get("with_")
        if with_ is not None:
            scope, found = self._with(with_, scope)
            yield from found
        exp = self._exp
        match tree:
            case exp.Select():
                yield from self._select(tree, scope)
            case exp.Insert():
                yield from self._insert(tree, scope)
            case exp.Update():
                inside = scope.inside(self._frame([tree.this, tree.args.get("from_"), *_joins(tree)], scope))
                yield from self._assigned(tree.expressions, tree.this, inside)
                yield from self._parts(tree, inside, without=("with_", "expressions"))
            case exp.Delete():
                using = _several(tree.args.get("using"))
                inside = scope.inside(self._frame([tree.this, *using, *_joins(tree)], scope))
                yield from self._parts(tree, inside, without=("with_",))
            case exp.Merge():
                yield from self._merge(tree, scope)
            case _:
                yield from self._parts(tree, scope, without=("with_",))

    def _with(self, with_: Any, scope: _Scope) -> tuple[_Scope, list[Reading]]:
        found: list[Reading] = []
        recursive = bool(with_.args.get("recursive"))
        for cte in with_.expressions:
            columns = _renamed(cte, self._outputs(cte.this))
            known = scope.knowing({_name(cte.args["alias"].this): columns})
            found += self.of(cte.this, known if recursive else scope)
            scope = known
        return scope, found

    def _select(self, tree: Any, scope: _Scope) -> Iterator[Reading]:
        frame = self._frame([tree.args.get("from_"), *_joins(tree), *(tree.args.get("laterals") or [])], scope)
        inside = scope.inside(frame)
        yield from self._parts(tree, inside, without=("with_", "order"))
        aliases = {_name(each.args["alias"]) for each in tree.expressions if isinstance(each, self._exp.Alias)}
        for ordered in tree.args["order"].expressions if tree.args.get("order") else ():
            by = ordered.this
            # ORDER BY takes a name for an output column's first ("SELECT", ORDER BY Clause).
            if not (isinstance(by, self._exp.Column) and not by.args.get("table") and _name(by.this) in aliases):
                yield from self.of(ordered, inside)

    def _join(self, tree: Any, scope: _Scope) -> Iterator[Reading]:
        named = {
            _name(each.this if isinstance(each, self._exp.Column) else each)
            for each in _several(tree.args.get("using"))
        }
        for source in scope.frames[0] if scope.frames else ():
            if source.side is not None and source.side.columns & named:
                yield Reading.NAMES
            if source.side is not None and source.side.columns and tree.args.get("method") == "NATURAL":
                yield Reading.WHOLE
        yield from self._parts(tree, scope, without=("using",))

    def _insert(self, tree: Any, scope: _Scope) -> Iterator[Reading]:
        exp, target = self._exp, tree.this
        named = list(target.expressions) if isinstance(target, exp.Schema) else None
        table = target.this if isinstance(target, exp.Schema) else target
        yield from self.of(table, scope)
        source = self._source(table, scope)
        if source.side is not None:
            if named is not None:
                yield from self._of_side(source.side, named)
            elif not tree.args.get("default"):
                yield Reading.WHOLE  # values by their position
        excluded = _Source(alias="excluded", side=source.side, columns=source.columns, table=source.table)
        inside = scope.inside([source, excluded])
        if tree.expression is not None:
            yield from self.of(tree.expression, scope)
        conflict = tree.args.get("conflict")
        if conflict is not None:
            keys = _several(conflict.args.get("conflict_keys"))
            if source.side is not None:
                yield from self._of_side(source.side, keys)
            yield from self._assigned(conflict.expressions, table, inside)
            yield from self._parts(conflict, inside, without=("expressions", "conflict_keys"))
        if tree.args.get("returning") is not None:
            yield from self.of(tree.args["returning"], scope.inside([source]))

    def _merge(self, tree: Any, scope: _Scope) -> Iterator[Reading]:
        exp = self._exp
        inside = scope.inside(self._frame([tree.this, tree.args.get("using")], scope))
        side = self._source(tree.this, scope).side
        yield from self._parts(tree, inside, without=("with_", "whens"))
        for when in tree.args["whens"].expressions:
            then = when.args.get("then")
            match then:
                case exp.Update():
                    yield from self._assigned(then.expressions, tree.this, inside)
                case exp.Insert():
                    named = then.this.expressions if isinstance(then.this, exp.Tuple) else []
                    if side is not None and named:
                        yield from self._of_side(side, named)
                    elif side is not None and then.expression is not None:
                        yield Reading.WHOLE
                    if then.expression is not None:
                        yield from self.of(then.expression, inside)
                case _:
                    pass
            yield from self._parts(when, inside, without=("then",))

    def _assigned(self, assignments: Iterable[Any], target: Any, scope: _Scope) -> Iterator[Reading]:
        """What is on the left of SET is a column of the table that is written, whatever else has such a column."""
        exp, side = self._exp, self._source(target, scope).side
        for each in assignments:
            if not isinstance(each, exp.EQ):
                yield from self.of(each, scope)
                continue
            left = each.this.expressions if isinstance(each.this, exp.Tuple | exp.Paren) else [each.this]
            if isinstance(each.this, exp.Paren):
                left = [each.this.this]
            if side is not None:
                # A part of a column, as in SET places[1] = …, is a write of that column.
                yield from self._of_side(side, [part.find(exp.Column) or part for part in left])
            yield from self.of(each.expression, scope)

    def _copy(self, tree: Any, scope: _Scope) -> Iterator[Reading]:
        exp, what = self._exp, tree.this
        if isinstance(what, exp.Subquery):
            yield from self.of(what, scope)
            return
        table = what.this if isinstance(what, exp.Schema) else what
        yield from self.of(table, scope)
        side = self._source(table, scope).side if isinstance(table, exp.Table) else None
        if side is not None and isinstance(what, exp.Schema):
            yield from self._of_side(side, what.expressions)
        elif side is not None and side.columns:
            yield Reading.WHOLE

    def _catalog(self, tree: Any, scope: _Scope) -> Iterator[Reading]:
        """Statements on the catalog: a table and a column's name in one of them belong together often enough."""
        query = tree.args.get("expression")
        if isinstance(query, self._exp.Query):
            yield from self.of(query, scope)
            return
        tables = {_name(table.this) for table in tree.find_all(self._exp.Table)}
        for side in self._sides.values():
            named = {_name(part) for part in tree.find_all(self._exp.Identifier)}
            if side.table.name in tables and (side.whole or side.columns & named):
                yield Reading.NAMES

    # ------------------------------------------------------------ sources

    def _frame(self, parts: Iterable[Any], scope: _Scope) -> _Frame:
        frame: _Frame = []
        for part in parts:
            while part is not None and isinstance(part, self._exp.From | self._exp.Join | self._exp.Paren):
                frame += self._frame(_joins(part), scope)
                part = part.this  # noqa: PLW2901 - what is wrapped
            if part is not None:
                frame.append(self._source(part, scope))
                frame += self._frame(_joins(part), scope)
        return frame

    def _source(self, part: Any, scope: _Scope) -> _Source:
        exp, given = self._exp, part.args.get("alias")
        alias = _name(given.this) if given is not None and given.this is not None else ""
        if isinstance(part, exp.Table) and isinstance(part.this, exp.Identifier):
            return self._relation(part, alias, scope)
        query = part.this if isinstance(part, exp.Subquery) else None
        if isinstance(query, exp.Table):
            return self._source(query, scope)  # a join in parentheses
        if isinstance(part, exp.Lateral) and isinstance(part.this, exp.Subquery):
            query = part.this.this
        return _Source(alias=alias, columns=_renamed(part, None if query is None else self._outputs(query)))

    def _relation(self, part: Any, alias: str, scope: _Scope) -> _Source:
        """Return what a table's name stands for: what WITH called so, a table whose columns go, or another one."""
        name = _name(part.this)
        schema = _name(part.args["db"]) if part.args.get("db") else None
        if schema is None and name in scope.ctes:
            return _Source(alias=alias or name, columns=_renamed(part, scope.ctes[name]))
        side = self._sides.get(name)
        if side is not None and schema in (None, side.table.schema):
            return _Source(alias=alias or name, side=side)
        return _Source(alias=alias or name, table=name)

    def _outputs(self, query: Any) -> frozenset[str] | None:
        """Return the columns that a query gives; None where they are not known, as with *."""
        exp = self._exp
        if isinstance(query, exp.SetOperation):
            return self._outputs(query.this)
        if isinstance(query, exp.Subquery):
            return self._outputs(query.this)
        found = (
            query.args.get("returning")
            if isinstance(query, exp.Insert | exp.Update | exp.Delete | exp.Merge)
            else query
        )
        names: set[str] = set()
        for each in found.expressions if found is not None else ():
            if isinstance(each, exp.Star) or (isinstance(each, exp.Column) and isinstance(each.this, exp.Star)):
                return None
            match each:
                case exp.Alias():
                    names.add(_name(each.args["alias"]))
                case exp.Column():
                    names.add(_name(each.this))
                case _:
                    names.add(each.output_name)
        return frozenset(names)

    # ------------------------------------------------------------ names

    def _of_side(self, side: OldSide, parts: Iterable[Any]) -> Iterator[Reading]:
        for part in parts:
            name = part.this if isinstance(part, self._exp.Column) else part
            while isinstance(name, self._exp.Ordered | self._exp.Column | self._exp.Paren | self._exp.Bracket):
                name = name.this
            if isinstance(name, self._exp.Identifier) and _name(name) in side.columns:
                yield Reading.NAMES

    def _table(self, tree: Any, scope: _Scope) -> Iterator[Reading]:
        side = self._source(tree, scope).side
        if side is not None and side.whole:
            yield Reading.NAMES
        alias = tree.args.get("alias")
        if side is not None and side.columns and alias is not None and alias.args.get("columns"):
            yield Reading.WHOLE  # columns by their position
        yield from self._parts(tree, scope, without=("alias", "this", "db", "catalog"))

    def _column(self, tree: Any, scope: _Scope) -> Iterator[Reading]:
        if isinstance(tree.this, self._exp.Star):
            source = self._called(_name(tree.args["table"]), scope)
            if source is not None and source.side is not None and source.side.columns:
                yield Reading.WHOLE
            return
        name, of = _name(tree.this), tree.args.get("table")
        if of is not None:
            source = self._called(_name(of), scope)
            if source is not None and source.side is not None and name in source.side.columns:
                yield Reading.NAMES
            return
        if (owner := self._owner(name, scope)) is not None:
            if owner.side is not None and name in owner.side.columns:
                yield Reading.NAMES
            return
        source = self._called(name, scope)
        if source is not None and source.side is not None and source.side.columns:
            yield Reading.WHOLE

    def _owner(self, name: str, scope: _Scope) -> _Source | None:
        """Return whose column a name is, that is not given with its table."""
        for frame in scope.frames:
            known = [(source, source.has(name, self._holders)) for source in frame]
            ours = [source for source, has in known if has and source.side is not None]
            if ours:
                return ours[0]
            if has := [source for source, has in known if has]:
                return has[0]
        return None

    def _called(self, alias: str, scope: _Scope) -> _Source | None:
        return next((source for frame in scope.frames for source in frame if source.alias == alias), None)

    def _star(self, _: Any, scope: _Scope) -> Iterator[Reading]:
        frame = scope.frames[0] if scope.frames else []
        if any(source.side is not None and source.side.columns for source in frame):
            yield Reading.WHOLE

    def _field(self, tree: Any, scope: _Scope) -> Iterator[Reading]:
        """One column of a row that is called by its table: (b).title."""
        if not (isinstance(tree.this, self._exp.Paren) and isinstance(tree.this.this, self._exp.Column)):
            yield from self._parts(tree, scope)
            return
        name = tree.this.this
        source = None if name.args.get("table") else self._called(_name(name.this), scope)
        part = tree.expression
        if source is None or source.side is None or not isinstance(part, self._exp.Identifier):
            yield from self._parts(tree, scope)
        elif _name(part) in source.side.columns:
            yield Reading.NAMES

    def _exists(self, tree: Any, scope: _Scope) -> Iterator[Reading]:
        """Nobody looks at what EXISTS selects."""
        query = tree.this
        if isinstance(query, self._exp.Select) and all(
            isinstance(each, self._exp.Star) or (isinstance(each, self._exp.Column) and each.is_star)
            for each in query.expressions
        ):
            query = query.copy()
            query.set("expressions", [])
        yield from self.of(query, scope)


def _several(value: Any) -> list[Any]:
    """Return what is in an argument of a node: a list, one thing, or nothing."""
    if isinstance(value, list):
        return cast("list[Any]", value)
    return [value] if value else []


def _joins(tree: Any) -> list[Any]:
    return _several(tree.args.get("joins"))


def _name(part: Any) -> str:
    """Return a name as PostgreSQL has it: unquoted, it is folded to lower case."""
    text = str(part.this)
    return text if part.args.get("quoted") else text.lower()


def _renamed(part: Any, columns: frozenset[str] | None) -> frozenset[str] | None:
    """Return a source's columns under the names that its alias gives them."""
    alias = part.args.get("alias")
    named = alias.args.get("columns") if alias is not None else None
    if not named:
        return columns
    given = frozenset(_name(each.this if hasattr(each.this, "args") else each) for each in named)
    # A list of names may be shorter than that of the columns.
    return given | columns if columns is not None else given
