"""`ecm status --stalled`: what a nightly job asks, and tells."""

from cli.runs import PLAN, Project, said
from cli.test_notices import Hearer, listening

ADVANCE = f"ecm advance {PLAN} --branch"


def test_what_stands_still_is_shown_and_told(project: Project) -> None:
    """Half way on development; then contracted there and not begun on production; and where nothing answers."""
    config = project.root / "ecm.yaml"
    config.write_text(config.read_text() + "notices: {webhook_env: ECM_WEBHOOK_URL}\n")
    assert project.ecm("status", "--stalled", "1ms", "--exit-code").code == 0

    assert project.ecm("advance", PLAN, "--branch", "development", "--to", "reads_migrated").code == 0
    calm = project.ecm("status", "--stalled", "30d", "--exit-code")
    assert (calm.code, calm.out) == (0, "✓ no plan has stood still for 30 days or longer\n\nnext      ecm status\n")

    with listening(Hearer()) as webhook:
        half_way = project.ecm("status", "--stalled", "1ms", "--exit-code", "--json", ECM_WEBHOOK_URL=webhook.url)
    assert half_way.code == 3
    (plan,) = half_way.json["plans"]
    (branch,) = plan["branches"]
    assert (branch["branch"], branch["stalled_for"] > 0) == ("development", True)
    assert branch["stalled_remedy"] == f"{ADVANCE} development, or ecm rollback {PLAN} --branch development"
    (notice,) = webhook.heard
    assert (notice["event"], notice["branch"], notice["state"]) == ("stalled", "development", "reads_migrated")
    assert notice["stalled_for"] == branch["stalled_for"]
    assert f"{PLAN} on development is stalled: reads migrated for" in notice["text"]

    # The same, when the branches do not answer: the ledger's last word counts, and that is said.
    gone = {f"DATABASE_URL_{name.upper()}": "postgresql://me@127.0.0.1:1/x" for name in project.urls}
    silent = project.ecm("status", "--stalled", "1ms", "--exit-code", **gone)
    assert silent.code == 3
    assert "development and production did not answer; judged by the ledger's last word" in said(silent.out)
    assert project.ecm("status", "--stalled", "30d", "--exit-code", **gone).code == 1

    assert project.ecm("advance", PLAN, "--branch", "development").code == 0
    debt = project.ecm("status", "--stalled", "1ms")
    assert debt.code == 0
    assert f"{PLAN} on production: not begun though contracted on development for" in said(debt.out)
    assert f"{ADVANCE} production" in debt.out
    assert f"{PLAN} on development" not in debt.out


def test_what_it_does_not_take(project: Project) -> None:
    """A number without its unit, and --watch, are misuse."""
    assert project.ecm("status", "--stalled", "30").code == 2
    assert project.ecm("status", "--stalled", "30d", "--watch").code == 2
