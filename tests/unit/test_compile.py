"""From a plan and facts to steps: what all kinds of change share, without a database."""

from dataclasses import replace
from typing import Any

import pytest
from facts import column, index, table, trigger

from orchestrator.errors import PreconditionError, PrivilegeError
from orchestrator.plan import compile as compiler
from orchestrator.plan import obstacles, scope
from orchestrator.plan.lifecycle import PHASES, Phase
from orchestrator.plan.model import Plan
from orchestrator.sql.facts import Dependent, Table
from orchestrator.sql.identifiers import TableName
from orchestrator.sql.steps import ConcurrentIndex, Proof, Step, Sweep, Transaction

BOOKS, AUTHORS = TableName("public", "books"), TableName("public", "authors")


def rename(name: str = "books", old: str = "year", new: str = "published") -> dict[str, Any]:
    """Return a change as it stands in a file."""
    return {"kind": "rename_column", "table": name, "column": old, "to": new}


def plan(*changes: dict[str, Any], **settings: Any) -> Plan:
    """Return a plan of these changes."""
    return Plan.model_validate({"plan": "p", "changes": changes or [rename()], **settings})


def of(*tables: Table) -> dict[TableName, Table]:
    """Return facts by table."""
    return {each.name: each for each in tables}


def kinds(steps: tuple[Step, ...]) -> list[tuple[str, str]]:
    """Return each step's kind and key."""
    return [(type(step).__name__, step.key) for step in steps]


def texts(step: Step, *, back: bool = False) -> str:
    """Return a step's statements as one text."""
    return ";\n".join(s.as_string(None) for s in (step.inverse if back else step.statements))


TWO = plan(rename(), rename("authors", "name", "full_name"), rename(old="title", new="heading"))
TWO_FACTS = of(
    table("books", indexes=(index("i", "year"),), twins={"i": " USING btree (published)"}),
    table("authors", column("id"), column("name", type="text", plain_type="text")),
)


def test_tables_once_in_the_plans_order() -> None:
    """However many changes a table has, it is one table."""
    assert scope.tables(TWO) == (BOOKS, AUTHORS)
    assert [(m.old, m.new) for m in scope.mappings(TWO, TWO_FACTS[BOOKS])] == [
        ("year", "published"),
        ("title", "heading"),
    ]


def test_the_shape_of_every_phase() -> None:
    """Catalog changes are one transaction for all tables; sweeps and proofs are a table's."""
    assert {phase: kinds(compiler.steps(TWO, phase, TWO_FACTS)) for phase in PHASES} == {
        Phase.EXPAND: [("Transaction", "expand")],
        Phase.BACKFILL: [("Sweep", "sweep books"), ("Sweep", "sweep authors")],
        Phase.MIGRATE_READS: [
            ("ConcurrentIndex", "index i"),
            ("Transaction", "analyze books"),
            ("Transaction", "analyze authors"),
            ("Transaction", "watch"),
            ("Proof", "proof books"),
            ("Proof", "proof authors"),
            ("Transaction", "switch"),
        ],
        Phase.CONTRACT: [("Proof", "proof books"), ("Proof", "proof authors"), ("Transaction", "contract")],
    }


@pytest.mark.parametrize("phase", PHASES)
def test_same_in_same_out(phase: Phase) -> None:
    """A step is a value: equal facts give equal steps, and no key is given twice in a phase."""
    first, again = (compiler.steps(TWO, phase, dict(TWO_FACTS)) for _ in range(2))
    assert first == again
    assert len({step.key for step in first}) == len(first)
    assert all(step.title for step in first)


def test_expand_takes_back_in_reverse() -> None:
    """The way back drops the triggers of a table before its columns, and the last table's first."""
    (step,) = compiler.steps(TWO, Phase.EXPAND, TWO_FACTS)
    back = [line.split(" ON ")[0] for line in texts(step, back=True).split(";\n")]
    assert back == [
        'DROP TRIGGER IF EXISTS "~ecm_p_public.authors"',
        'DROP FUNCTION IF EXISTS "ecm"."sync_p_public.authors"()',
        'ALTER TABLE "public"."authors" DROP COLUMN IF EXISTS "full_name"',
        'DROP TRIGGER IF EXISTS "~ecm_p_public.books"',
        'DROP FUNCTION IF EXISTS "ecm"."sync_p_public.books"()',
        'ALTER TABLE "public"."books" DROP COLUMN IF EXISTS "heading"',
        'ALTER TABLE "public"."books" DROP COLUMN IF EXISTS "published"',
    ]


@pytest.mark.parametrize(
    ("phase", "filled", "expected"),
    [
        (Phase.EXPAND, False, [("Proof", "proof books"), ("Transaction", "expand")]),
        (Phase.EXPAND, True, [("Proof", "proof books"), ("Transaction", "expand")]),
        (Phase.BACKFILL, True, []),
        (
            Phase.MIGRATE_READS,
            True,
            [("Transaction", "switch"), ("Transaction", "watch no more"), ("ConcurrentIndex", "index i")],
        ),
        (Phase.CONTRACT, True, []),
    ],
)
def test_undo(phase: Phase, filled: bool, expected: list[tuple[str, str]]) -> None:
    """What has an inverse is taken back, last first; a column goes only after a proof, where it is still there."""
    facts = dict(TWO_FACTS)
    books = TableName("public", "books")
    facts[books] = replace(facts[books], columns=(*facts[books].columns, column("published"), column("heading")))
    steps = compiler.undo(TWO, phase, facts, filled=filled)
    assert kinds(steps) == expected
    assert [step.unfilled_too for step in steps if isinstance(step, Proof)] == [
        not filled for key in expected if key[0] == "Proof"
    ]


def test_the_same_inverse_before_and_after() -> None:
    """An interrupted expand is undone by the facts of then or of now alike."""
    before = table("books", triggers=(trigger("t", update_of=("year",)),))
    after = replace(
        before,
        columns=(*before.columns, column("published")),
        triggers=(
            trigger("t", update_of=("year", "published")),
            trigger("!ecm_p_public.books", events=("INSERT", "UPDATE")),
            trigger("~ecm_p_public.books", events=("INSERT", "UPDATE")),
        ),
    )
    inverses = [compiler.undo(plan(), Phase.EXPAND, of(facts), filled=False)[-1].inverse for facts in (before, after)]
    assert inverses[0] == inverses[1]


def test_a_trigger_made_since_does_not_change_the_way_back() -> None:
    """Someone's BEFORE trigger that came after expand does not make ecm look for triggers it never made."""
    alone = (trigger("~ecm_p_public.books", events=("INSERT", "UPDATE")),)
    facts = table("books", *table().columns, column("published"), triggers=alone)
    since = replace(facts, triggers=(*alone, trigger("theirs")))
    assert compiler.undo(plan(), Phase.EXPAND, of(since), filled=True) == compiler.undo(
        plan(), Phase.EXPAND, of(facts), filled=True
    )


@pytest.mark.parametrize(
    ("triggers", "spared", "touch"),
    [
        ((), True, None),
        ((trigger("t", timing="AFTER"),), True, None),
        ((trigger("t", per_row=False),), True, None),
        ((trigger("t", enabled="D"),), True, None),
        ((trigger("t"),), False, None),
        ((trigger("t", enabled="R"),), False, None),
        ((trigger("~ecm_other_public.books", events=("INSERT", "UPDATE")),), True, None),
        ((trigger("t", timing="AFTER", update_of=("year",)),), False, "id"),
        ((trigger("t", timing="AFTER", update_of=("id", "year")),), False, "title"),
        ((trigger("t", timing="AFTER", update_of=("id", "year", "title")),), True, None),
        ((trigger("t", timing="AFTER", update_of=("title",)),), True, None),
    ],
)
def test_how_the_sweep_writes(triggers: tuple[Any, ...], spared: bool, touch: str | None) -> None:
    """It spares itself the sync trigger only where no other can change what it writes, and wakes no audit of the column."""
    (sweep,) = compiler.steps(plan(), Phase.BACKFILL, of(table(triggers=triggers)))
    assert isinstance(sweep, Sweep)
    assert (sweep.spared == "~ecm_p_public.books", sweep.touch) == (spared, touch)
    assert sweep.spared in (None, "~ecm_p_public.books")


def test_an_invalid_index_has_no_twin() -> None:
    """What a broken build left behind serves nobody."""
    indexes = (index("whole", "year"), index("broken", "year", valid=False), index("other", "title"))
    facts = table(indexes=indexes, twins={"whole": " USING btree (published)", "broken": " USING btree (published)"})
    steps = compiler.steps(plan(), Phase.MIGRATE_READS, of(facts))
    assert [step.name for step in steps if isinstance(step, ConcurrentIndex)] == ["whole_published_ecm"]


def test_one_proof_for_all_columns_of_a_table() -> None:
    """A row is right when every mapping of it holds."""
    proof = next(s for s in compiler.proofs(TWO, TWO_FACTS, "t") if isinstance(s, Proof))
    assert texts(proof).count("record_image_ne") == 2
    assert " OR " in texts(proof)


# ---------------------------------------------------------------- what stands in the way


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"kind": "v"}, PreconditionError, "books is a view"),
        ({"kind": "m"}, PreconditionError, "books is a materialized view"),
        ({"kind": "f"}, PreconditionError, "books is a foreign table"),
        ({"unlike_partitions": ("partition d is foreign",)}, PreconditionError, "as one table: partition d is foreign"),
        ({"is_partition": True}, PreconditionError, "books is a partition"),
        ({"inherits": True}, PreconditionError, "part of an inheritance tree"),
        ({"of_type": True}, PreconditionError, "books is a typed table"),
        ({"triggers": (trigger("~zzz"),)}, PreconditionError, "trigger ~zzz on books would fire after ecm's own"),
        ({"triggers": (trigger(" first"),)}, PreconditionError, "trigger  first on books would fire before ecm's own"),
        ({"may_alter": False, "owner": 'o"o'}, PrivilegeError, "does not own books"),
        ({"may_create_in_schema": False}, PrivilegeError, "may not create indexes in schema public"),
        ({"row_security": True}, PrivilegeError, "row-level security of books applies"),
    ],
)
def test_obstacles_to_expand(settings: dict[str, Any], error: type[Exception], words: str) -> None:
    """Each by its own error, with what to do; and before expand only."""
    facts = of(table(**settings))
    (problem,) = obstacles.problems(plan(), Phase.EXPAND, facts)
    assert type(problem) is error
    assert words in problem.message
    assert problem.hint
    assert obstacles.problems(plan(), Phase.BACKFILL, facts) == ()
    assert obstacles.problems(plan(), Phase.MIGRATE_READS, facts) == ()


@pytest.mark.parametrize(
    "harmless",
    [
        trigger("~zzz", timing="AFTER"),
        trigger("~zzz", per_row=False),
        trigger("~zzz", enabled="D"),
        trigger("~zzz", events=("DELETE",)),
        trigger("zzz"),
        trigger("~ecm_other_public.books"),
        trigger("!ecm_other_public.books"),
    ],
)
def test_triggers_that_are_not_in_the_way(harmless: Any) -> None:
    """Only a trigger that sees the row outside of ecm's own could part the two sides."""
    assert obstacles.problems(plan(), Phase.EXPAND, of(table(triggers=(harmless,)))) == ()


def test_all_obstacles_at_once() -> None:
    """Of every table, and of every kind."""
    facts = of(table("books", kind="f", may_alter=False, row_security=True), table("authors", column("id")))
    found = obstacles.problems(plan(rename(), rename("authors", "name", "n")), Phase.EXPAND, facts)
    assert [problem.message.split(" ")[0] for problem in found] == ["books", "column", "role", "row-level"]


F = Dependent(kind="function", name="public.f", why="its plpgsql body names year")
G = Dependent(kind="trigger", name="public.g", why="its arguments name year")


@pytest.mark.parametrize(
    ("acknowledged", "left"),
    [
        ([], ["public.f", "public.g"]),
        (["public.f"], ["public.g"]),
        (["public.f(integer, text)"], ["public.g"]),
        (["f"], ["public.f", "public.g"]),
        (["public.g", "public.f"], []),
    ],
)
def test_acknowledged(acknowledged: list[str], left: list[str]) -> None:
    """What cannot follow stops the plan unless it is named, with its schema; a signature may stand behind."""
    facts = of(table(untracked={"year": (F, G, F)}))
    found = obstacles.problems(plan(expand={"acknowledge": acknowledged}), Phase.EXPAND, facts)
    assert len(found) == bool(left), "one error names them all, with one line for the plan"
    for problem in found:
        told = "\n".join((problem.message, *problem.details))
        assert [each.name for each in (F, G) if f"{each.name} cannot follow" in told] == left
        assert f"acknowledge: [{', '.join((*acknowledged, *left))}]" in (problem.hint or "")


def test_left_behind() -> None:
    """At contract, what was acknowledged is told of, and what came since stops it, if it needs the old name."""
    minds = Dependent(kind="function", name="public.h", why="its body uses NEW.*", names_it=False)
    facts = of(table(untracked={"year": (F, G, minds)}))
    acknowledging = plan(expand={"acknowledge": ["public.f", "public.h"]})
    (problem,) = obstacles.problems(acknowledging, Phase.CONTRACT, facts)
    assert "public.g" in problem.message
    (line,) = obstacles.left_behind(acknowledging, facts)
    assert "public.f" in line
    assert line in obstacles.beware(acknowledging, facts)


def test_acknowledged_in_vain() -> None:
    """A name that nothing has is most likely mistyped; once the plan is on its way, what it meant may be gone."""
    mistyped = plan(expand={"acknowledge": ["public.f", "public.ff"]})
    before, after = (
        table("books", *columns, untracked={"year": (F,)})
        for columns in ((column("year"),), (column("year"), column("published")))
    )
    assert any("public.ff" in line for line in obstacles.beware(mistyped, of(before)))
    assert not any("public.ff" in line for line in obstacles.beware(mistyped, of(after)))


def test_an_index_that_is_not_ecms() -> None:
    """Of the name of a twin, but another one: it is not taken for ecm's, nor dropped in its place."""
    of_year = index("i", "year")
    twin = index("i_published_ecm", "published")
    facts = table(indexes=(of_year, twin), twins={"i": " USING btree (published)"})
    assert obstacles.problems(plan(), Phase.MIGRATE_READS, of(facts)) == ()
    theirs = replace(facts, indexes=(of_year, replace(twin, tail=" USING hash (published)")))
    (problem,) = obstacles.problems(plan(), Phase.MIGRATE_READS, of(theirs))
    assert "i_published_ecm" in problem.message
    assert "RENAME TO" in (problem.hint or "")


def test_what_stands_on_the_scaffolding() -> None:
    """Anything but ecm's own twin index would go with the column, and is named before contract."""
    standing = (
        Dependent(kind="index", name='public."of_Year_published_ecm"', why=""),
        Dependent(kind="index", name="other.of_year_published_ecm", why=""),
        Dependent(kind="view", name="public.fresh", why=""),
    )
    facts = table(
        indexes=(index("of_Year", "year"),), twins={"of_Year": ""}, tracked={"published": standing, "year": (F,)}
    )
    found = obstacles.problems(plan(), Phase.CONTRACT, of(facts))
    assert [problem.message.split(" was ")[0] for problem in found] == [
        "index other.of_year_published_ecm",
        "view public.fresh",
    ]


def test_beware() -> None:
    """What fires on every row, who sends whole rows, and who sees one more column."""
    triggers = (
        trigger("touch"),
        trigger("audit", timing="AFTER"),
        trigger("asleep", enabled="D"),
        trigger("of_year", update_of=("year",)),
        trigger("inserted", events=("INSERT",)),
        trigger("~ecm_other_public.books"),
    )
    lines = obstacles.beware(plan(), of(table(triggers=triggers, publications=("all_of_it",))))
    assert [line.split(" ")[:2] for line in lines] == [
        ["trigger", "touch"],
        ["trigger", "audit"],
        ["publication", "all_of_it"],
        ["COPY", "books"],
    ]


def test_titles_say_what_is_done() -> None:
    """What expand adds and contract does is told by name, one column or several, on one table or on two."""

    def titles(plan: Plan, facts: dict[TableName, Table]) -> list[str]:
        return [
            step.title
            for phase in PHASES
            for step in compiler.steps(plan, phase, facts)
            if step.key in ("expand", "contract") or step.key.startswith("analyze")
        ]

    assert titles(plan(), of(table())) == [
        "add published, and the trigger that keeps both sides in step",
        "statistics on published, for the planner",
        "take the trigger away, and rename year to published",
    ]
    assert titles(TWO, TWO_FACTS) == [
        "add published, full_name and heading, and the triggers that keep both sides in step",
        "statistics on published and heading, for the planner",
        "statistics on full_name, for the planner",
        "take the triggers away, and rename year to published, rename name to full_name and rename title to heading",
    ]


def test_what_hangs_on_a_column() -> None:
    """What PostgreSQL tracks is told with its fate; what a person takes care of is not among it."""
    view, index_, body = (Dependent(kind=kind, name=f"public.{kind}", why="") for kind in ("view", "index", "function"))
    split = {
        "kind": "split_column",
        "table": "books",
        "column": "title",
        "into": [{"column": "a", "type": "text", "using": "title"}],
        "reverse": "a",
    }
    facts = table(
        tracked={"year": (view, index_), "title": (view, index_), "published": (body,)}, untracked={"year": (body,)}
    )
    assert obstacles.hanging(plan(), facts) == (("follow by themselves", (view, index_)),)
    assert obstacles.unfollowed(plan(expand={"acknowledge": ["public.function"]}), facts) == ((body, True),)
    assert obstacles.hanging(plan(split), facts) == (("go with the old column", (index_,)),)
    assert [(each.name, said) for each, said in obstacles.unfollowed(plan(split), facts)] == [("public.view", False)]


def test_every_step_says_what_it_waits_for() -> None:
    """In words, also where no lock on a table is asked for first."""
    steps = [step for phase in PHASES for step in compiler.steps(TWO, phase, TWO_FACTS)]
    assert all(step.waits for step in steps)
    (built,) = (step for step in steps if isinstance(step, ConcurrentIndex))
    assert "waits for every transaction" in built.waits
    assert built.like == "i"
    assert {step.waits for step in steps if step.lock is None} == {"reads and writes go on"}


def test_steps_that_cannot_be_taken_back_say_so() -> None:
    """Contract's transaction alone."""
    final = [step.key for phase in PHASES for step in compiler.steps(TWO, phase, TWO_FACTS) if not step.reversible]
    assert final == ["contract"]
    (contract,) = (s for s in compiler.steps(TWO, Phase.CONTRACT, TWO_FACTS) if isinstance(s, Transaction))
    assert contract.inverse == ()
