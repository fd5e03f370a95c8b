"""Views over a table: what gives it a second name, or its columns one, without a copy.

A view of one table is updatable as it is: INSERT, UPDATE, DELETE, RETURNING, ON CONFLICT and FOR UPDATE go through to
the table ("CREATE VIEW", Updatable Views), with its defaults, triggers and constraints.

With security_invoker (PostgreSQL 15) the table's own grants and policies count for who uses the view. But PostgreSQL
then asks for SELECT on every column the view shows, whichever of them a statement reads. So where roles may read some
columns only, and before PostgreSQL 15, the view acts with its owner's rights and has the table's grants, which comes to
the same as long as there is no policy (`of_its_users`).
"""

from collections.abc import Iterable
from itertools import chain, groupby

from psycopg import sql

from orchestrator.errors import EcmError, PreconditionError, PrivilegeError
from orchestrator.sql.facts import Dependent, Grant, Table, View
from orchestrator.sql.identifiers import TableName, verbatim
from orchestrator.sql.steps import Statement
from orchestrator.words import listed

MARK = "made by ecm, and taken away at contract"
"""The comment by which ecm knows its own views."""

Aliases = tuple[tuple[str, str], ...]
"""(old, new) columns: the view shows the old one under the new name too."""


def over(facts: Table, table: TableName, view: TableName, aliases: Aliases = ()) -> tuple[Statement, ...]:
    """Return what makes a view over a table, with the grants of that.

    Args:
        facts: of the table.
        table: its name at that moment.
        view: the view's.
        aliases: columns that have a second name in it.
    """
    shown = sql.SQL(", ").join(
        (sql.SQL("*"), *(sql.SQL("{} AS {}").format(sql.Identifier(old), sql.Identifier(new)) for old, new in aliases))
    )
    statements: list[Statement] = [
        sql.SQL("CREATE VIEW {} {}AS SELECT {} FROM {}").format(
            view.identifier,
            sql.SQL("WITH (security_invoker = true) " if of_its_users(facts) else ""),
            shown,
            table.identifier,
        ),
        sql.SQL("COMMENT ON VIEW {} IS {}").format(view.identifier, sql.Literal(MARK)),
    ]
    if facts.role != facts.owner:
        statements.append(sql.SQL("ALTER VIEW {} OWNER TO {}").format(view.identifier, sql.Identifier(facts.owner)))
    return (*statements, *_grants(facts, view, aliases))


def _read_in_part(facts: Table) -> tuple[str, ...]:
    """Roles that may read some of the columns only."""
    whole = {grant.grantee for grant in facts.views.grants if grant.privilege == "SELECT"}
    if None in whole:
        return ()
    some = {grant.grantee for column in facts.columns for grant in column.grants if grant.privilege == "SELECT"}
    return tuple(sorted(role or "PUBLIC" for role in some - whole))


def of_its_users(facts: Table) -> bool:
    """Whether a view over a table acts with the rights of who uses it."""
    return facts.views.with_users_rights and not _read_in_part(facts)


def _grants(facts: Table, view: TableName, aliases: Aliases) -> Iterable[Statement]:
    taken = [*facts.views.given_by_default, *([facts.owner] if facts.views.owner_grants is not None else [])]
    for role in taken:
        yield sql.SQL("REVOKE ALL ON {} FROM {}").format(view.identifier, _role(role))
    for grant in _together((*(facts.views.owner_grants or ()), *facts.views.grants)):
        yield _granted(view, *grant)
    names = {column.name: column.name for column in facts.columns}
    for shown, name in (*names.items(), *((new, old) for old, new in aliases)):
        column = facts.column(name)
        for grant in _together(column.grants if column else ()):
            yield _granted(view, *grant, column=shown)


def _together(grants: Iterable[Grant]) -> Iterable[tuple[str | None, bool, list[str]]]:
    """Grants to one role, grantable or not, as one."""

    def of(grant: Grant) -> tuple[str, bool, bool]:
        return (grant.grantee or "", grant.grantee is None, grant.grantable)

    for (role, everyone, grantable), group in groupby(sorted(grants, key=of), of):
        yield None if everyone else role, grantable, sorted(grant.privilege for grant in group)


def _granted(
    view: TableName, role: str | None, grantable: bool, privileges: list[str], *, column: str | None = None
) -> Statement:
    on = sql.SQL(" ({})").format(sql.Identifier(column)) if column is not None else sql.SQL("")
    return sql.SQL("GRANT {} ON {} TO {}{}").format(
        sql.SQL(", ").join(verbatim(privilege) + on for privilege in privileges),
        view.identifier,
        _role(role),
        sql.SQL(" WITH GRANT OPTION" if grantable else ""),
    )


def _role(role: str | None) -> sql.Composable:
    return sql.SQL("PUBLIC") if role is None else sql.Identifier(role)


def dropped(view: TableName, *, if_there: bool = False) -> Statement:
    """Return what takes a view away."""
    return sql.SQL("DROP VIEW {}{}").format(sql.SQL("IF EXISTS " if if_there else ""), view.identifier)


def problems(facts: Table) -> tuple[EcmError, ...]:
    """Return why no view can be made over a table, or not under its name."""
    found: list[EcmError] = [
        PreconditionError(
            f"there is a {each.kind} {each.name} already",
            details=["the name must be free: until contract it is needed beside the one that the application knows"],
            hint="choose another name, or rename that one first",
        )
        for each in facts.views.occupied
    ]
    if not of_its_users(facts):
        why = (
            f"{listed(_read_in_part(facts))} may read some columns only, and a view with its users' rights asks for all"
            if facts.views.with_users_rights
            else "before PostgreSQL 15 a view acts with its owner's rights, whoever uses it"
        )
        if facts.views.policed:
            found.append(
                PreconditionError(
                    f"{facts.name} has row-level security, and a view would pass it by",
                    details=[why],
                    hint="rename it directly, in a maintenance window",
                )
            )
        if facts.views.owner_grants is not None:
            found.append(
                PreconditionError(
                    f"{facts.owner} owns {facts.name} and has not every right on it, and a view would have no more",
                    details=[why],
                    hint=f"GRANT ALL ON {facts.name.identifier.as_string(None)}"
                    f" TO {sql.Identifier(facts.owner).as_string(None)}",
                )
            )
    if not facts.views.owner_may_create and facts.owner != facts.role:
        schema, owner = (sql.Identifier(name).as_string(None) for name in (facts.name.schema, facts.owner))
        found.append(
            PrivilegeError(
                f"role {facts.owner} owns {facts.name}, and may not own a view in schema {facts.name.schema}",
                hint=f"GRANT CREATE ON SCHEMA {schema} TO {owner}",
            )
        )
    return tuple(found)


def added(facts: Table, name: TableName, aliases: Aliases = ()) -> tuple[Dependent, ...]:
    """Return what was made on a view of ecm's that the table itself does not have, and would go with the view."""
    view = facts.views.view(name)
    if view is None:
        return ()
    same_as = {new: old for old, new in aliases}
    columns = {column.name: column.grants for column in facts.columns}
    return (
        *view.additions,
        *_strange(view, view.grants, facts.views.grants, facts),
        *chain.from_iterable(
            _strange(view, grants, columns.get(same_as.get(shown, shown), ()), facts, column=shown)
            for shown, grants in view.column_grants.items()
        ),
    )


def _strange(
    view: View, found: Iterable[Grant], known: Iterable[Grant], facts: Table, *, column: str = ""
) -> Iterable[Dependent]:
    for grant in found:
        if grant in known or grant.grantee == facts.owner:
            continue
        on = f"{grant.privilege} ({column})" if column else grant.privilege
        target = (facts.behind or facts.name).identifier.as_string(None)
        yield Dependent(
            kind="grant",
            name=f"{on} to {grant.grantee or 'PUBLIC'}, on {view.name},",
            why="",
            remedy=f"give it on the table, {target}, too, or revoke it",
        )


def warnings(facts: Table, name: str) -> tuple[str, ...]:
    """Return what does not go through a view, a line each, with who was seen to do it.

    Args:
        facts: of the table.
        name: by which the application reaches the view.
    """
    merge = "" if facts.views.merges else ", MERGE"
    what = f"COPY, TRUNCATE{merge}, TABLESAMPLE, system columns (ctid, xmin) and ON CONFLICT ON CONSTRAINT"
    lookups = f"what looks in the catalog for the primary key or the sequences of {name}"
    lines = [
        f"until contract {name} is a view: {what} do not go through it, and no tool may alter it",
        f"{lookups} finds none until contract, and its row type is not that of the table",
        f"until contract GROUP BY has to name all columns of {name}, not its key alone; WHERE CURRENT OF fails on it",
    ]
    if not of_its_users(facts):
        lines.append(f"until contract what is taken from a role on {facts.name} has to be taken on both names")
    may = [grant.grantee or "PUBLIC" for grant in facts.views.grants if grant.privilege == "TRUNCATE"]
    if may:
        lines.append(f"may TRUNCATE {facts.name}, and would fail on the view: {listed(dict.fromkeys(may))}")
    return tuple(lines)


def seen(facts: Table) -> tuple[str, ...]:
    """Return the statements on a table that would fail on a view in its place, a line each, or that nobody knows."""
    if facts.views.statements is None:
        return (f"pg_stat_statements cannot be read here: nobody looked for statements that need {facts.name} itself",)
    return tuple(f"would fail on the view: {line}" for line in facts.views.statements)
