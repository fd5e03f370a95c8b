"""What a facade makes of a plan's changes, and which claims overlap: without a database."""

from typing import Any

import pytest
from facts import column, table
from typing_extensions import override

from orchestrator.operations.add_column import AddColumn
from orchestrator.operations.base import WHOLE, Claim, overlaps
from orchestrator.plan import compile as compiler
from orchestrator.plan import facade, obstacles
from orchestrator.plan.lifecycle import Phase
from orchestrator.plan.model import Plan
from orchestrator.plan.phases import Defaults
from orchestrator.plan.schema import Notes, render_plan
from orchestrator.sql.facts import Grant, Table, ViewFacts
from orchestrator.sql.identifiers import TableName
from orchestrator.sql.sync import Ddl

YEAR = {"kind": "rename_column", "table": "books", "column": "year", "to": "published"}
NAME = {"kind": "rename_table", "table": "books", "to": "volumes"}


def plan(*changes: dict[str, Any], **settings: Any) -> Plan:
    """Return a plan of these changes."""
    return Plan.model_validate({"plan": "p", "changes": changes, **settings})


BOOKS: Claim = ("books", WHOLE)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({("books", "a")}, {("books", "b")}, set[Claim]()),
        ({("books", "a")}, {("books", "a"), ("books", "b")}, {("books", "a")}),
        ({BOOKS}, {("books", "a"), ("loans", "a")}, {BOOKS, ("books", "a")}),
        ({BOOKS, ("loans", "b")}, {("loans", "a")}, set[Claim]()),
        ({BOOKS}, {BOOKS}, {BOOKS}),
        ({BOOKS}, {("volumes", WHOLE)}, set[Claim]()),
        (set[Claim](), {BOOKS}, set[Claim]()),
    ],
)
def test_overlaps(one: set[Claim], other: set[Claim], expected: set[Claim]) -> None:
    """A whole table overlaps with anything of it, in either order."""
    assert overlaps(one, other) == overlaps(other, one) == expected


def test_the_changes_of_one_table_are_one() -> None:
    """A facade is the table's; a table's name alone needs none."""
    title = {**YEAR, "column": "title", "to": "heading"}
    authors = {**NAME, "table": "authors", "to": "writers"}
    made = facade.changes(plan(YEAR, NAME, title, authors, expand={"strategy": "facade"}))
    assert [change.kind for change in made] == ["facade", "rename_table"]
    assert made[0].claims() == {BOOKS, ("volumes", WHOLE)}
    assert made[0].touched(TableName("public", "books")) == {"year", "published", "title", "heading"}
    assert facade.changes(plan(YEAR, NAME)) == plan(YEAR, NAME).changes


def test_a_default_strategy_is_for_the_plans_that_can_have_it() -> None:
    """A project may want facades wherever there can be one."""
    defaults = Defaults.model_validate({"strategy": "facade"})
    assert plan(YEAR).with_defaults(defaults).expand.strategy == "facade"
    other = {"kind": "add_column", "table": "books", "column": "x", "type": "integer"}
    assert plan(YEAR, other).with_defaults(defaults).expand.strategy == "copy"


@pytest.mark.parametrize(("size", "expected"), [(facade.PROPOSED_FROM, "facade"), (facade.PROPOSED_FROM - 1, None)])
def test_is_proposed_for_large_tables(size: int, expected: str | None) -> None:
    """From 100 GB on, for renames of columns alone."""
    big = table("books", bytes=size)
    proposed = facade.proposal(plan(YEAR), [big])
    assert (proposed.expand.strategy if proposed else None) == expected
    assert facade.proposal(plan(NAME), [big]) is None


def test_the_drafted_file_says_why() -> None:
    """The comment names the size."""
    big = table("books", bytes=240 * 1024**3)
    proposed = facade.proposal(plan(YEAR), [big])
    assert proposed is not None
    text = render_plan(proposed, notes=Notes(why={"expand": facade.reason([big])}))
    assert "# books is 240 GB, which a copy would write again" in text
    assert "expand:\n  strategy: facade" in text


def statements(views: ViewFacts, *columns: Any, role: str = "me") -> list[str]:
    """Return what expand sends for a facade of books."""
    facts = table("books", *(columns or (column("id"), column("year"))), views=views, role=role)
    (step,) = compiler.steps(plan(YEAR, expand={"strategy": "facade"}), Phase.EXPAND, {facts.name: facts})
    return [statement.as_string(None) for statement in step.statements]


def test_grants_of_the_view() -> None:
    """Those of the table, of its columns under both names, and none that default privileges would add."""
    grants = (
        Grant(grantee="a", privilege="SELECT", grantable=False),
        Grant(grantee="a", privilege="INSERT", grantable=False),
        Grant(grantee=None, privilege="SELECT", grantable=False),
        Grant(grantee="a", privilege="UPDATE", grantable=True),
    )
    year = column("year", grants=(Grant(grantee="b", privilege="UPDATE", grantable=False),))
    sent = statements(ViewFacts(grants=grants, given_by_default=("c", None)), column("id"), year, role="other")
    assert sent[3:] == [
        'ALTER VIEW "public"."books" OWNER TO "me"',
        'REVOKE ALL ON "public"."books" FROM "c"',
        'REVOKE ALL ON "public"."books" FROM PUBLIC',
        'GRANT SELECT ON "public"."books" TO PUBLIC',
        'GRANT INSERT, SELECT ON "public"."books" TO "a"',
        'GRANT UPDATE ON "public"."books" TO "a" WITH GRANT OPTION',
        'GRANT UPDATE ("year") ON "public"."books" TO "b"',
        'GRANT UPDATE ("published") ON "public"."books" TO "b"',
    ]


class Moving(AddColumn):
    """A change that gives names another meaning when readers move."""

    @override
    def switch(self, facts: Table) -> Ddl:
        return Ddl(statements=(), inverse=())


def test_a_view_would_keep_the_old_meaning_of_a_name() -> None:
    """Where one change of a plan moves readers, the view of another is bound to what was; both ways of saying so."""
    moving = Moving(table="books", column="x", type="text")
    name = plan(NAME).changes[0]
    assert "gives names another meaning in migrate reads" in (name.alongside(moving) or "")
    both = plan(NAME).model_copy(update={"changes": (moving, name)})
    facts = table("books")
    (error,) = obstacles.unfit(both, {facts.name: facts})
    assert "two changes of books cannot move together" in error.message
    assert not obstacles.unfit(plan(NAME, YEAR), {facts.name: facts})


@pytest.mark.parametrize("invoker", [True, False])
@pytest.mark.parametrize("partial", [True, False])
def test_whose_rights(invoker: bool, partial: bool) -> None:
    """Its users', unless one of them may read some columns only."""
    grants = (Grant(grantee="b", privilege="SELECT", grantable=False),) if partial else ()
    sent = statements(ViewFacts(with_users_rights=invoker), column("year", grants=grants))
    assert ("security_invoker" in sent[1]) is (invoker and not partial)
