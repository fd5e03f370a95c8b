"""Labels of an enum type that change on empty tables, as an edit of a schema. Pure.

A label gets another name and another one comes in place ("ALTER TYPE", RENAME VALUE and ADD VALUE), and all that
mentions the type follows. PostgreSQL takes none away, so for that the type is made anew: what prints the type's name
with a value of it (defaults, checks, indexes over some of the rows) is dropped before its columns change, and made
again as it read, views too. ecm's own cycle refuses what mentions a label that goes, so every text can be read again. A
function of the type has PostgreSQL refuse it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from psycopg import sql

from orchestrator.sql import edits_views
from orchestrator.sql.identifiers import TableName
from orchestrator.sql.steps import Statement

_TEXT = re.compile(r"'((?:[^']|'')*)'(.*)", re.DOTALL)
_ELEMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|([^{},"]+)')


def _is_quoted(label: str) -> bool:
    return not label or label.upper() == "NULL" or re.search(r'[\s"\\{},]', label) is not None


@dataclass(frozen=True, kw_only=True)
class ChangeLabels:
    """An enum type gets other labels.

    Attributes:
        type: the type.
        before: the labels that it has.
        rename: labels that get another name.
        remove: labels that go, each with the one in its place.
        add: labels that come, after the others.
        tables: those with a column of it.
    """

    type: TableName
    before: tuple[str, ...]
    rename: Mapping[str, str]
    remove: Mapping[str, str]
    add: tuple[str, ...]
    tables: tuple[TableName, ...]

    @property
    def table(self) -> TableName:
        """One of its tables, by which a tool finds where its migration belongs."""
        return self.tables[0]

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the end, in their order."""
        stay = (self.rename.get(label, label) for label in self.before if label not in self.remove)
        return (*stay, *self.add)

    def relabeled(self, label: str) -> str:
        """Return what a value is called in the end."""
        return self.rename.get(label) or self.remove.get(label) or label

    def default(self, text: str, *, quotes: Callable[[str], bool] | None = None) -> str:
        """Return a default, of one value or of an array of them, with the labels of the end; an expression as it is.

        Args:
            text: the default.
            quotes: whether a label is put in quotes in an array; as PostgreSQL does otherwise ("Array Output", 8.15.6).
        """
        found = _TEXT.fullmatch(text)
        if found is None:
            return text
        value, rest, wanted = found[1].replace("''", "'"), found[2], quotes or _is_quoted
        if value.startswith("{") and value.endswith("}"):
            value = _ELEMENT.sub(lambda each: self._element(each, wanted), value)
        else:
            value = self.relabeled(value)
        return "'" + value.replace("'", "''") + f"'{rest}"

    def _element(self, found: "re.Match[str]", quotes: Callable[[str], bool]) -> str:
        quoted = found[1] is not None
        label = re.sub(r"\\(.)", r"\1", found[1]) if quoted else found[2]
        if (now := self.relabeled(label)) == label:
            return found[0]
        return '"' + re.sub(r'(["\\])', r"\\\1", now) + '"' if quotes(now) else now

    @property
    def statements(self) -> tuple[Statement, ...]:
        """What changes it."""
        anew = edits_views.around(_TYPED.format(type=self._name), (self._anew(),)) if self.remove else ()
        return (*self._in_place(), *anew)

    @property
    def _name(self) -> sql.Literal:
        return sql.Literal(self.type.identifier.as_string(None))

    def _in_place(self) -> Iterator[Statement]:
        rename = sql.SQL("ALTER TYPE {} RENAME VALUE {} TO {}")
        names, coming = dict(self.rename), {*self.rename.values(), *self.add}
        # One that goes makes room for another of its name, and is gone once the type is made anew.
        names |= {label: f"~gone {n}" for n, label in enumerate(self.remove) if label in coming}
        for old, new in _one_by_one(names):
            yield rename.format(self.type.identifier, sql.Literal(old), sql.Literal(new))
        if not self.remove:
            for label in self.add:
                yield sql.SQL("ALTER TYPE {} ADD VALUE {}").format(self.type.identifier, sql.Literal(label))

    def _anew(self) -> Statement:
        former = TableName(self.type.schema, "ecm's former type")
        made = sql.SQL("CREATE TYPE {} AS ENUM ({})").format(
            self.type.identifier, sql.SQL(", ").join(map(sql.Literal, self.labels))
        )
        renamed = sql.SQL("ALTER TYPE {} RENAME TO {}").format(self.type.identifier, sql.Identifier(former.name))
        body = _ANEW.format(
            type=self._name,
            renamed=renamed,
            made=made,
            dropped=sql.SQL("DROP TYPE {}").format(former.identifier),
        )
        return sql.SQL("DO {}").format(sql.Literal(body.as_string(None)))


def _one_by_one(names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Give renames that can be done one after the other: each label is out of the way before another takes its name."""
    if not names.keys() & set(names.values()):
        yield from names.items()
        return
    between = {old: f"~{n}" for n, old in enumerate(names)}
    yield from between.items()
    yield from ((between[old], new) for old, new in names.items())


_TYPED = sql.SQL(
    "SELECT a.attrelid, a.attnum FROM pg_type t JOIN pg_attribute a ON a.atttypid IN (t.oid, t.typarray)"
    " JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p') WHERE t.oid = {type}::regtype"
)
_ANEW = sql.SQL(
    """
DECLARE
  own oid := {type}::regtype;
  going text[];
  coming text[];
  columns text[];
  rights text[];
  statement text;
BEGIN
  WITH typed AS (
    SELECT a.attrelid, a.attnum, a.attrelid::regclass AS place, a.attname, pg_get_expr(d.adbin, d.adrelid) AS value,
      {type} || CASE WHEN a.atttypid = t.oid THEN '' ELSE '[]' END AS type,
      CASE WHEN a.atttypid = t.oid THEN 'text' ELSE 'text[]' END AS written
    FROM pg_type t
    JOIN pg_attribute a ON a.atttypid IN (t.oid, t.typarray) AND a.attinhcount = 0 AND NOT a.attisdropped
    JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p')
    LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
    WHERE t.oid = own
  ), held AS (
    SELECT 1 AS n, format('ALTER TABLE %s ALTER COLUMN %I DROP DEFAULT', place, attname) AS off,
      format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT %s', place, attname, value) AS again, NULL AS said
    FROM typed WHERE value IS NOT NULL
    UNION ALL
    SELECT 2, format('DROP INDEX %s', i.indexrelid::regclass), pg_get_indexdef(i.indexrelid),
      format('COMMENT ON INDEX %s IS %L', i.indexrelid::regclass, obj_description(i.indexrelid, 'pg_class'))
    FROM pg_index i
    WHERE (i.indpred IS NOT NULL OR i.indexprs IS NOT NULL)
      AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid)
      AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = i.indexrelid)
      AND EXISTS (
        SELECT FROM pg_depend d JOIN typed ON (d.refobjid, d.refobjsubid) = (attrelid, attnum)
        WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid AND d.refclassid = 'pg_class'::regclass
      )
    UNION ALL
    SELECT CASE c.contype WHEN 'f' THEN 4 ELSE 3 END,
      format('ALTER TABLE %s DROP CONSTRAINT %I', c.conrelid::regclass, c.conname),
      format('ALTER TABLE %s ADD CONSTRAINT %I %s', c.conrelid::regclass, c.conname, pg_get_constraintdef(c.oid)),
      format('COMMENT ON CONSTRAINT %I ON %s IS %L',
        c.conname, c.conrelid::regclass, obj_description(c.oid, 'pg_constraint'))
    FROM pg_constraint c
    WHERE c.contype IN ('c', 'f', 'x') AND c.coninhcount = 0 AND c.conparentid = 0
      AND EXISTS (
        SELECT FROM typed
        WHERE (attrelid = c.conrelid AND attnum = ANY (c.conkey))
          OR (attrelid = c.confrelid AND attnum = ANY (c.confkey))
      )
  )
  SELECT (SELECT array_agg(off ORDER BY n DESC) FROM held),
    (SELECT array_agg(again ORDER BY n) FROM held)
      || (SELECT array_agg(said) FROM held WHERE said IS NOT NULL AND said NOT LIKE '% IS NULL'),
    (SELECT array_agg(
       format('ALTER TABLE %1$s ALTER COLUMN %2$I TYPE %3$s USING %2$I::%4$s::%3$s', place, attname, type, written)
     ) FROM typed)
  INTO going, coming, columns;
  SELECT array_agg(format('GRANT USAGE ON TYPE %s TO %s%s', {type},
      CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
      CASE WHEN a.is_grantable AND a.grantee <> t.typowner THEN ' WITH GRANT OPTION' END))
    FROM pg_type t, aclexplode(t.typacl) a WHERE t.oid = own INTO rights;
  IF rights IS NOT NULL THEN
    rights := format('REVOKE ALL ON TYPE %s FROM PUBLIC', {type}) || rights;
  END IF;
  IF obj_description(own, 'pg_type') IS NOT NULL THEN
    rights := rights || format('COMMENT ON TYPE %s IS %L', {type}, obj_description(own, 'pg_type'));
  END IF;
  FOREACH statement IN ARRAY coalesce(going, '{{}}') LOOP
    EXECUTE statement;
  END LOOP;
  {renamed};
  {made};
  FOREACH statement IN ARRAY coalesce(columns, '{{}}') || coalesce(coming, '{{}}') || coalesce(rights, '{{}}') LOOP
    EXECUTE statement;
  END LOOP;
  {dropped};
END
"""
)
"""The type made anew, with every column of it, and what is said of them with a value of the type."""
