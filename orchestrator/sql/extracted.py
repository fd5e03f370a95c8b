"""Columns whose values move to a lookup table, one row for each combination of them.

A row keeps its columns in step with the row of the lookup table that it refers to. What is locked
there is what the foreign key will lock in the end: FOR KEY SHARE, which waits for nobody but who
changes these very values. The lookup table's own trigger writes the rows that refer to what was
changed, and where it cannot wait for one of them it owes, as in `orchestrator.sql.across`.
"""

import hashlib
from dataclasses import dataclass, replace

from psycopg import sql
from typing_extensions import override

from orchestrator.sql import plpgsql
from orchestrator.sql.across import LEAVE, LONGEST_NAP, somebody_waits
from orchestrator.sql.identifiers import JOURNAL_SCHEMA, TableName, bounded, verbatim
from orchestrator.sql.mapping import Hiding, Mapping, Reliance, Truth, giving, new_wins
from orchestrator.sql.plpgsql import is_not_null, is_null
from orchestrator.sql.steps import Statement, SyncTrigger
from orchestrator.sql.value import Value, any_given

_BUCKETS = 64
"""Locks that sessions share which bring values that are not there yet; a transaction may hold all of them."""
_PATIENCE = "1 s"
"""How long a session waits for another that brings new values. After that the row refers to nothing for now."""


@dataclass(frozen=True, kw_only=True)
class Extracted(Mapping):
    """Columns, and the reference that takes their place.

    Attributes:
        table: with both of them.
        old: the old ones, with their defaults.
        reference: the new one.
        lookup: the lookup table, with columns of the same names.
        key: what is referred to.
        not_null: whether the reference may not be NULL once contract is over.
        known_as: the table and its old columns as the plan has them, where contract has put these out of sight; the
            application sees the reference only, and the old columns follow.
    """

    table: TableName
    old: tuple[Value, ...]
    reference: str
    lookup: TableName
    key: str
    not_null: bool = False
    known_as: tuple[TableName, tuple[str, ...]] | None = None

    @override
    def hidden(self, how: Hiding) -> "Extracted":
        return replace(
            self,
            table=how.tables.get(self.table, self.table),
            old=tuple(value.hidden(how) for value in self.old),
            known_as=(self.table, self.columns),
        )

    @property
    @override
    def keepers(self) -> tuple[SyncTrigger, ...]:
        return (self.spreading,)

    @property
    def _named(self) -> str:
        """The table as the plan has it, by which what is ecm's own is called."""
        return (self.known_as[0] if self.known_as else self.table).qualified

    @property
    def _theirs(self) -> tuple[str, ...]:
        """The lookup table's columns."""
        return self.known_as[1] if self.known_as else self.columns

    @property
    def columns(self) -> tuple[str, ...]:
        """The old columns."""
        return tuple(value.column for value in self.old)

    @property
    def owed(self) -> sql.Identifier:
        """Keys whose values were changed and are not yet in every row that refers to them; NULL: rows without one."""
        return sql.Identifier(JOURNAL_SCHEMA, bounded("owed", self._named, self.reference))

    @property
    def spread(self) -> str:
        """The name of the lookup table's trigger, and of its function."""
        return bounded("~ecm_spread", self._named, self.reference)

    @property
    def _reference(self) -> sql.Identifier:
        return sql.Identifier(self.reference)

    @property
    @override
    def olds(self) -> tuple[str, ...]:
        return self.columns

    @property
    @override
    def news(self) -> tuple[str, ...]:
        return (self.reference,)

    @property
    @override
    def says(self) -> tuple[str, ...]:
        required = (f"{self.reference} is not NULL",) if self.not_null else ()
        return (f"{', '.join(self.columns)} = those of {self.lookup} where {self.key} = {self.reference}", *required)

    @property
    @override
    def reaches_out(self) -> bool:
        return True

    @property
    @override
    def may_stray(self) -> bool:
        return True

    @property
    @override
    def by_trigger(self) -> bool:
        return True

    # ------------------------------------------------------------ conditions over the row

    @property
    def _given(self) -> sql.Composed:
        return sql.SQL("({})").format(
            sql.SQL(" OR ").join(is_not_null(sql.Identifier(column)) for column in self.columns)
        )

    @property
    def _is_owed(self) -> sql.Composed:
        return sql.SQL('EXISTS (SELECT FROM {} AS o WHERE o."~key" = {})').format(self.owed, self._reference)

    @property
    def _differs(self) -> sql.Composed:
        """It refers to something else than what is in its columns; PostgreSQL says what is equal, as for DISTINCT."""
        inside = sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(sql.Identifier(column), _theirs(place))
            for place, column in enumerate(self._theirs)
        )
        same = sql.SQL(" AND ").join(
            sql.SQL("{} IS NOT DISTINCT FROM {}").format(_theirs(place), sql.Identifier(column))
            for place, column in enumerate(self.columns)
        )
        return sql.SQL(
            '{} IS NOT NULL AND NOT EXISTS (SELECT FROM (SELECT {} AS "~key", {} FROM {}) AS "~l"'
            ' WHERE "~key" = {} AND {}) AND NOT {}'
        ).format(
            self._reference,
            sql.Identifier(self.key),
            inside,
            self.lookup.identifier,
            self._reference,
            same,
            self._is_owed,
        )

    @property
    @override
    def mismatch(self) -> sql.Composed:
        return sql.SQL("({} IS NULL AND {} OR {})").format(self._reference, self._given, self._differs)

    @property
    @override
    def unfilled(self) -> sql.Composed:
        return sql.SQL("({} IS NULL AND {} OR {})").format(self._reference, self._given, self._is_owed)

    @property
    @override
    def only_new(self) -> sql.Composed:
        return self._differs

    @property
    @override
    def unfit(self) -> sql.Composed | None:
        return sql.SQL("{} IS NULL").format(self._reference) if self.not_null else None

    @property
    @override
    def evening(self) -> tuple[Statement, ...]:
        """Nothing is read where nothing is owed: the condition on it is looked at once."""
        touched = sql.SQL("UPDATE {} SET {reference} = {reference} WHERE EXISTS (SELECT FROM {}) AND {}").format(
            self.table.identifier, self.owed, self.unfilled, reference=self._reference
        )
        # What came to be owed since then stays owed.
        reference = sql.SQL("t.{}").format(self._reference)
        behind = sql.SQL(
            'SELECT FROM {} AS t JOIN {} AS l ON l.{} = {reference} WHERE {reference} = o."~key" AND {}'
        ).format(
            self.table.identifier,
            self.lookup.identifier,
            sql.Identifier(self.key),
            _differ(self._pairs, "t", "l"),
            reference=reference,
        )
        none = sql.SQL("SELECT FROM {} WHERE {} IS NULL AND {}").format(
            self.table.identifier, self._reference, self._given
        )
        paid = sql.SQL(
            'DELETE FROM {} AS o WHERE CASE WHEN o."~key" IS NULL THEN NOT EXISTS ({}) ELSE NOT EXISTS ({}) END'
        )
        return (touched, paid.format(self.owed, none, behind))

    @override
    def assignments(self, *, alone: bool) -> sql.Composed:
        return sql.SQL("{reference} = {reference}").format(reference=self._reference)

    # ------------------------------------------------------------ the table's trigger

    @override
    def on_insert(self, truth: Truth) -> sql.Composed:
        to_old = self._to_old()
        if self.known_as is not None:
            return to_old
        if truth is Truth.OLD:
            both_differ = sql.SQL("({}) AND NOT {}").format(any_given(self.old), self._agrees)
            to_old = plpgsql.when(both_differ, self._to_new(), to_old)
        return sql.SQL("IF NEW.{} IS NOT NULL THEN\n{}\nELSE\n{}\nEND IF;").format(
            self._reference, to_old, self._to_new()
        )

    @override
    def on_update(self, truth: Truth) -> sql.Composed:
        new_changed, old_changed = plpgsql.changed((self.reference,)), plpgsql.changed(self.columns)
        if self.known_as is not None:
            owed = sql.SQL('EXISTS (SELECT FROM {} AS o WHERE o."~key" = NEW.{})').format(self.owed, self._reference)
            return plpgsql.when(sql.SQL("{} OR {}").format(new_changed, owed), self._to_old())
        return sql.SQL(
            "IF {new_wins} THEN\n{to_old}\nELSIF {old_changed} OR NEW.{reference} IS NULL THEN\n{to_new}\n"
            'ELSIF EXISTS (SELECT FROM {owed} AS o WHERE o."~key" = NEW.{reference}) THEN\n{to_old}\nEND IF;'
        ).format(
            new_wins=new_wins(truth, new_changed, old_changed),
            to_old=self._to_old(),
            old_changed=old_changed,
            reference=self._reference,
            to_new=self._to_new(),
            owed=self.owed,
        )

    @override
    def settle(self) -> sql.Composed:
        """The table's own triggers know the old columns, and have the last word."""
        wins = self._to_new() if self.known_as is None else self._to_old()
        return sql.SQL("IF NOT {} THEN\n{}\nEND IF;").format(self._agrees, wins)

    @property
    def _agrees(self) -> sql.Composed:
        """A condition in the trigger: what is referred to has the values of the row."""
        return sql.SQL("EXISTS (SELECT {} AND NOT {})").format(self._referred, self._differ_from_new)

    @property
    @override
    def reliance(self) -> Reliance:
        """What ecm itself writes here for a writer of the lookup table is what that has already."""
        given = sql.SQL("({}) AND {}").format(any_given(self.old), is_null(plpgsql.new(self.reference)))
        return replace(giving(self.columns, inserted=given), judged_update=sql.SQL("NOT {}").format(self._agrees))

    @property
    def _pairs(self) -> tuple[tuple[str, str], ...]:
        """The old columns, each with that of the lookup table."""
        return tuple(zip(self.columns, self._theirs, strict=True))

    @property
    def _differ_from_new(self) -> sql.Composed:
        return _differ(tuple((theirs, own) for own, theirs in self._pairs), "t", "NEW")

    def _to_old(self) -> sql.Composed:
        """Take the values of what is referred to, which nobody changes before this is committed."""
        taken = (
            sql.SQL("NEW.{} := (SELECT t.{} {});").format(
                sql.Identifier(column), sql.Identifier(theirs), self._referred
            )
            for column, theirs in self._pairs
        )
        return sql.SQL("PERFORM {} FOR KEY SHARE;\n{}").format(self._referred, sql.SQL("\n").join(taken))

    @property
    def _referred(self) -> sql.Composed:
        return sql.SQL("FROM {} AS t WHERE t.{} = NEW.{}").format(
            self.lookup.identifier, sql.Identifier(self.key), self._reference
        )

    def _to_new(self) -> sql.Composed:
        """Refer to the row with these values; make it where there is none.

        Sessions that make rows hold a lock on a bucket of values, so that none waits in the unique index for another,
        and values with a NULL among them, which that index takes for different ones, come once as well.
        """
        nothing = sql.SQL(" AND ").join(is_null(sql.SQL("NEW.{}").format(sql.Identifier(c))) for c in self.columns)
        whole = sql.SQL(" AND ").join(is_not_null(sql.SQL("NEW.{}").format(sql.Identifier(c))) for c in self.columns)
        find = sql.SQL("IF {whole} THEN\n{by_index}\nELSE\n{by_reading}\nEND IF;").format(
            whole=whole, by_index=self._find("="), by_reading=self._find("IS NOT DISTINCT FROM")
        )
        columns = sql.SQL(", ").join(map(sql.Identifier, self._theirs))
        values = sql.SQL(", ").join(sql.SQL("NEW.{}").format(sql.Identifier(column)) for column in self.columns)
        number = int.from_bytes(hashlib.sha256(f"{self._named}.{self.reference}".encode()).digest()[:3])
        return sql.SQL(
            '<<"~ecm">>\nDECLARE "~until" pg_catalog.timestamptz;\nBEGIN\n'
            "IF {nothing} THEN\nNEW.{reference} := NULL;\n{leave}\nEND IF;\n{find}\n"
            "IF NEW.{reference} IS NOT NULL THEN\n{leave}\nEND IF;\n"
            '"~until" := pg_catalog.clock_timestamp() + {patience}::pg_catalog.interval;\n'
            "WHILE NOT pg_catalog.pg_try_advisory_xact_lock({number},"
            " pg_catalog.hashtext(ROW({values})::pg_catalog.text) % {buckets}) LOOP\n"
            'IF {waits} OR pg_catalog.clock_timestamp() > "~until" THEN\n'
            "INSERT INTO {owed} VALUES (NULL);\n{leave}\nEND IF;\n"
            "PERFORM pg_catalog.pg_sleep({nap});\n{find}\n"
            "IF NEW.{reference} IS NOT NULL THEN\n{leave}\nEND IF;\nEND LOOP;\n{find}\n"
            "WHILE NEW.{reference} IS NULL LOOP\n"
            "INSERT INTO {lookup} AS t ({columns}) VALUES ({values}) ON CONFLICT DO NOTHING"
            " RETURNING t.{key} INTO NEW.{reference};\n"
            "IF NEW.{reference} IS NULL THEN\n{find}\nEND IF;\nEND LOOP;\n"
            'END "~ecm";'
        ).format(
            nothing=nothing,
            reference=self._reference,
            leave=LEAVE,
            find=find,
            patience=sql.Literal(_PATIENCE),
            number=sql.Literal(number),
            values=values,
            buckets=sql.Literal(_BUCKETS),
            waits=somebody_waits(),
            owed=self.owed,
            nap=sql.Literal(LONGEST_NAP),
            lookup=self.lookup.identifier,
            columns=columns,
            key=sql.Identifier(self.key),
        )

    def _find(self, operator: str) -> sql.Composed:
        same = sql.SQL(" AND ").join(
            sql.SQL("t.{} {} NEW.{}").format(
                sql.Identifier(theirs),
                sql.SQL("=" if operator == "=" else "IS NOT DISTINCT FROM"),
                sql.Identifier(column),
            )
            for column, theirs in self._pairs
        )
        return sql.SQL(
            "NEW.{} := (SELECT t.{key} FROM {} AS t WHERE {} ORDER BY t.{key} LIMIT 1 FOR KEY SHARE);"
        ).format(self._reference, self.lookup.identifier, same, key=sql.Identifier(self.key))

    # ------------------------------------------------------------ the lookup table's trigger

    @property
    def spreading(self) -> SyncTrigger:
        """What has a change of a lookup row show in every row that refers to it."""
        function, lookup = sql.Identifier(JOURNAL_SCHEMA, self.spread), self.lookup.identifier
        return SyncTrigger(
            table=self.lookup,
            name=self.spread,
            function=self.spread,
            timing="AFTER",
            events=("UPDATE",),
            bodies=(self._spread_body,),
            create_function=sql.SQL(
                "CREATE OR REPLACE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
                " SET search_path = pg_catalog, pg_temp AS {}"
            ).format(function, sql.Literal(self._spread_body)),
            create=sql.SQL("CREATE TRIGGER {} AFTER UPDATE ON {} FOR EACH ROW EXECUTE FUNCTION {}()").format(
                sql.Identifier(self.spread), lookup, function
            ),
            enable=sql.SQL("ALTER TABLE {} ENABLE ALWAYS TRIGGER {}").format(lookup, sql.Identifier(self.spread)),
        )

    @property
    def without_spreading(self) -> tuple[Statement, ...]:
        """What takes it away; both may be gone."""
        name = sql.Identifier(self.spread)
        return (
            sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(name, self.lookup.identifier),
            sql.SQL("DROP FUNCTION IF EXISTS {}()").format(sql.Identifier(JOURNAL_SCHEMA, self.spread)),
        )

    @property
    def _spread_body(self) -> str:
        columns = sql.SQL(", ").join(map(sql.Identifier, self.columns))
        new = sql.SQL(", ").join(sql.SQL("NEW.{}").format(sql.Identifier(column)) for column in self._theirs)
        theirs = sql.SQL(", ").join(sql.SQL("t.{}").format(sql.Identifier(column)) for column in self.columns)
        behind = sql.SQL("t.{} = NEW.{} AND pg_catalog.record_image_ne(ROW({}), ROW({}))").format(
            self._reference, sql.Identifier(self.key), theirs, new
        )
        work = sql.SQL(
            '<<"~ecm">>\nBEGIN\nIF NOT {changed} THEN\n{leave}\nEND IF;\n'
            "WHILE (SELECT pg_catalog.count(*) {rows}) >"
            " (SELECT pg_catalog.count(*) FROM (SELECT {rows} FOR NO KEY UPDATE SKIP LOCKED) AS q) LOOP\n"
            "IF {waits} THEN\nINSERT INTO {owed} VALUES (NEW.{key});\n{leave}\nEND IF;\n"
            "PERFORM pg_catalog.pg_sleep({nap});\nEND LOOP;\n"
            "UPDATE {table} AS t SET ({columns}) = ROW({new}) WHERE {behind};\n"
            'END "~ecm";\n'
        ).format(
            changed=plpgsql.changed(self._theirs),
            leave=LEAVE,
            rows=sql.SQL("FROM {} AS t WHERE {}").format(self.table.identifier, behind),
            waits=somebody_waits(),
            owed=self.owed,
            key=sql.Identifier(self.key),
            nap=sql.Literal(LONGEST_NAP),
            table=self.table.identifier,
            columns=columns,
            new=new,
            behind=behind,
        )
        return sql.SQL("BEGIN\n{}RETURN NULL;\nEND").format(work).as_string(None)

    def paid(self) -> Statement:
        """Return what gives the rows all that is owed to them: when the reference goes, and nobody writes."""
        values = sql.SQL(", ").join(sql.SQL("l.{}").format(sql.Identifier(column)) for column in self._theirs)
        return sql.SQL(
            "UPDATE {} AS t SET ({}) = ROW({}) FROM {} AS l WHERE t.{} = l.{key}"
            ' AND EXISTS (SELECT FROM {} AS o WHERE o."~key" = l.{key})'
        ).format(
            self.table.identifier,
            sql.SQL(", ").join(map(sql.Identifier, self.columns)),
            values,
            self.lookup.identifier,
            self._reference,
            self.owed,
            key=sql.Identifier(self.key),
        )


def _theirs(place: int) -> sql.Identifier:
    return sql.Identifier(f"~value {place + 1}")


def _differ(columns: tuple[tuple[str, str], ...], left: str, right: str) -> sql.Composed:
    """Return a condition: two rows, by the names they have, are not equal in one of these pairs of columns."""
    return sql.SQL("({})").format(
        sql.SQL(" OR ").join(
            sql.SQL("{}.{} IS DISTINCT FROM {}.{}").format(
                verbatim(left), sql.Identifier(one), verbatim(right), sql.Identifier(other)
            )
            for one, other in columns
        )
    )
