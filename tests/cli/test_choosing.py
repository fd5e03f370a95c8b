"""Without PLAN, a command takes the only plan that it could act on, and names no other where there are several."""

from typing import Any

import pytest
from cli.runs import Project, said
from cli.test_status import held_up

HERE = ("--branch", "development")


@pytest.fixture
def plans(project: Project) -> Project:
    """Plans in every state: two that have begun, one that is planned and one that is contracted."""
    for name in ("begun", "filled", "over"):
        project.ecm("plan", "add-column", "books", name, "int", "--using", "id", "--name", name)
    for name, state in (("begun", "expanded"), ("filled", "backfilled"), ("over", "contracted")):
        assert project.ecm("advance", name, *HERE, "--to", state).code == 0
    return project


def test_it_names_those_that_it_could_act_on(plans: Project) -> None:
    """What is planned has nothing to take back; what is contracted moves no more; only what is backfilled is proven."""
    planned = "rename-published-year"
    forward = plans.ecm("advance", *HERE)
    back = plans.ecm("rollback", *HERE)
    verified = plans.ecm("verify", *HERE)
    paused = plans.ecm("pause", *HERE)

    assert [each.code for each in (forward, back, verified, paused)] == [2, 2, 0, 2]
    assert f"several plans are active on development: begun, filled, {planned}" in said(forward.err)
    assert "several plans have begun on development: begun, filled name" in said(back.err)
    assert said(forward.err).endswith("next ecm advance filled --branch development"), "it was moved last"
    assert said(back.err).endswith("next ecm rollback filled --branch development")
    assert "filled on development" in said(verified.out)
    assert "no backfill is under way on development next ecm status" in said(paused.err)

    plans.ecm("rollback", "filled", *HERE)
    assert "no plan is backfilled on development next ecm status" in said(plans.ecm("verify", *HERE).err)
    assert "begun on development: expanded → planned" in plans.ecm("rollback", *HERE).out
    assert "no plan has begun on development next ecm status" in said(plans.ecm("rollback", *HERE).err)


def test_what_is_on_its_way_back_does_not_go_forward(plans: Project) -> None:
    """A rollback that stopped has to end before its plan can move forward."""
    plans.sql("development", "UPDATE ecm.plans SET phase = 'expand', direction = 'back' WHERE plan = 'begun'")
    forward, back = plans.ecm("advance", *HERE), plans.ecm("rollback", *HERE)

    assert "several plans are active on development: filled, rename-published-year" in said(forward.err)
    assert "several plans have begun on development: begun, filled" in said(back.err)
    assert said(back.err).endswith("next ecm rollback begun --branch development"), "it stopped"


def test_the_only_backfill_is_the_one_that_is_paused(project: Project) -> None:
    """Another plan that has begun has no backfill to hold back."""
    project.ecm("plan", "add-column", "books", "other", "int", "--name", "other")
    project.ecm("advance", "other", *HERE)
    with held_up(project) as running:
        answers: list[Any] = [project.ecm(command, *HERE) for command in ("pause", "resume")]
        running.kill()

    assert [answer.code for answer in answers] == [0, 0]
    assert "the backfill of rename-published-year on development is paused" in said(answers[0].out)
