"""ecm.yaml: which branches go first, and every way the file can contradict itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import InvalidFileError, UsageError
from orchestrator.plan.document import parse
from orchestrator.plan.project import Project


def project(branches, more=""):
    return parse(f"project: bookstore\nbranches: {branches}\n{more}", file="ecm.yaml", model=Project)


def faults(branches, more=""):
    with pytest.raises(InvalidFileError) as caught:
        project(branches, more)
    return [detail.removeprefix("ecm.yaml:") for detail in caught.value.details]


def test_the_least_project():
    """Two branches by their usual names need nothing else."""
    least = project("{development: {}, production: null}")
    assert least.branches["production"].requires == ("development",)
    assert least.branches["development"].requires == ()
    assert least.branches["production"].url_env == "DATABASE_URL_PRODUCTION"
    assert (least.plans, least.ledger, least.provider.kind) == ("plans", "sqlite:///.ecm/ledger.db", "url")
    assert not least.branches["production"].protected


def test_requires_somewhere_is_requires_everywhere():
    """Whoever writes one `requires`, an empty one too, has said what the order is."""
    assert project("{development: , staging: {requires: [development]}, production: }").required_by("production") == ()
    assert project("{development: , production: {requires: []}}").required_by("production") == ()


def test_branches_keep_the_order_of_the_file():
    """Status shows branches as the file lists them."""
    assert list(project("{z: , a: , m: }").branches) == ["z", "a", "m"]


def test_requires_reaches_through():
    """What must be ahead comes in the order to go through it, nearest last, each once."""
    diamond = project("{prod: {requires: [b, c]}, b: {requires: [a]}, c: {requires: [a]}, a: }")
    assert diamond.required_by("prod") == ("a", "b", "c")
    assert diamond.required_by("a") == ()


@given(st.permutations(range(6)), st.data())
def test_every_branch_comes_after_what_it_requires(order, data):
    """Whatever the graph, the order given can be followed."""
    requires = {
        n: data.draw(st.lists(st.sampled_from(order[:at]), unique=True)) if at else [] for at, n in enumerate(order)
    }
    graph = Project.model_validate(
        {"project": "p", "branches": {f"b{n}": {"requires": [f"b{r}" for r in requires[n]]} for n in range(6)}}
    )
    for name in graph.branches:
        ahead = graph.required_by(name)
        assert name not in ahead
        for at, required in enumerate(ahead):
            assert set(graph.branches[required].requires) <= set(ahead[:at])


@pytest.mark.parametrize(
    ("branches", "expected"),
    [
        ("{a: {requires: [a]}}", "2:27: branch a cannot require itself"),
        ("{stage: , b: {requires: [stag]}}", "2:36: there is no branch stag; did you mean stage?"),
        ("{stage: , b: {parent: stag}}", "2:33: there is no branch stag; did you mean stage?"),
        ("{a: {parent: a}}", "2:24: branch a cannot be its own parent"),
        (
            "{a: {requires: [b]}, b: {requires: [c]}, c: {requires: [a]}}",
            "2:16: branches go round in a ring: a requires b requires c requires a",
        ),
        ("{a: {parent: b}, b: {parent: a}}", "2:24: branches go round in a ring: a has the parent b has the parent a"),
        ("{'a b': }", "2:12: 'a b' cannot be a branch's name; use letters, digits and - _ . /"),
        ("{a: {requires: b}}", "2:26: branches.a.requires: expected a list, such as [b], found 'b'"),
        ("{}", "2:11: branches: expected at least 1 entry, found no keys"),
        (
            "{a-: , a_: }",
            "2:18: branches a- and a_ would both take their URL from DATABASE_URL_A_; give one of them another url_env",
        ),
    ],
)
def test_contradictions_are_told_where_they_stand(branches, expected):
    """Each is one fault, at the name concerned."""
    assert faults(branches) == [expected]


def test_embedded_branches_need_no_variables_of_their_own():
    """The embedded server makes its databases by branch name."""
    assert len(project("{a-b: , a_b: }", "provider: {kind: embedded}").branches) == 2


def test_other_faults_have_their_place_too():
    """Defaults, provider and ledger are checked like the rest."""
    more = "ledger: x\nledger_env: A\n"
    assert faults("{a: }", more) == ["4:13: ledger and ledger_env are both given; keep one of them"]
    more = (
        "defaults: {lock_timeot: 1s, soak: 5, batch_time: 0s}\nprovider: {kind: embeded}\nledger_env: postgres://u:p@h"
    )
    assert faults("{a: }", more) == [
        "3:12: unknown key 'lock_timeot' in defaults; did you mean 'lock_timeout'?",
        "3:35: defaults.soak: expected a duration with its unit, such as 200ms, 1s, 10m, 24h or 7d, found 5",
        "3:50: defaults.batch_time: expected a duration between 1ms and 1m, found 0s",
        "4:18: unknown kind 'embeded' in provider; did you mean 'embedded'?",
        "5:13: ledger_env: expected the name of an environment variable, such as DATABASE_URL_PRODUCTION",
    ]


def test_only_defaults_that_were_given_count():
    """An absent key leaves every plan alone."""
    assert project("{a: }", "defaults: {soak: 1h}").defaults.model_fields_set == {"soak"}


def test_the_ledger_is_not_in_the_repr():
    """A ledger URL may hold a password."""
    assert "secret" not in repr(project("{a: }", "ledger: postgresql://me:secret@h/d"))


def test_an_unknown_branch_is_told_with_the_nearest():
    """A slip of the hand gets the name that was meant."""
    with pytest.raises(UsageError) as caught:
        project("{development: , production: }").branch("prodution")
    assert caught.value.details == ("did you mean production?",)


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        (
            "{kind: neon}",
            "3:18: the provider neon needs a project_id; Neon's console has it under Settings",
        ),
        (
            "{kind: url, project_id: a-1}",
            "3:35: project_id is for provider.kind neon; this is url",
        ),
        (
            "{kind: neon, project_id: 'https://console.neon.tech/app'}",
            "3:36: provider.project_id: expected the id of a Neon project",
        ),
    ],
)
def test_neon_has_settings_of_its_own(provider, expected):
    """What Neon needs is asked for, and what is not for the chosen kind is not passed over."""
    (fault,) = faults("{development: }", f"provider: {provider}")
    assert fault.startswith(expected)
    neon = project("{development: }", "provider: {kind: neon, project_id: a-1, database: shop, role: app}").provider
    assert (neon.project_id, neon.database, neon.role) == ("a-1", "shop", "app")
