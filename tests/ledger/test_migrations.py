"""The tables come from the migrations, and only when they are needed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from vandals import Vandal, event

import orchestrator.ledger.migrations
from orchestrator.errors import ConfigurationError
from orchestrator.ledger import Ledger
from orchestrator.ledger.tables import REVISION, SCHEMA, VERSION_TABLE, tables


def test_the_tables_are_the_sum_of_the_migrations(url: str, ledger: Ledger) -> None:
    """What the code believes the tables to be is what the migrations make."""
    ledger.append([event(1)])
    schema = None if url.startswith("sqlite") else SCHEMA
    engine = create_engine(re.sub("^postgresql:", "postgresql+psycopg:", url))
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": schema is not None,
                "include_name": lambda name, kind, _: kind != "schema" or name == schema,
                "version_table": VERSION_TABLE,
                "version_table_schema": schema,
                "compare_type": True,
                "compare_server_default": True,
            },
        )
        differences = compare_metadata(context, tables(schema).metadata)
    engine.dispose()
    assert differences == []


def test_the_known_revision_is_the_newest() -> None:
    """The revision that spares an up-to-date ledger Alembic's import is the last migration's."""
    folder = str(Path(orchestrator.ledger.migrations.__file__).parent)
    assert ScriptDirectory(folder).get_current_head() == REVISION


def test_a_newer_ledger_is_left_alone(url: str, ledger: Ledger) -> None:
    """A ledger with tables of a later ecm is neither read nor written, and the error says why."""
    ledger.append([event(1)])
    someone = Vandal(url)
    someone.query(f"UPDATE {VERSION_TABLE} SET version_num = 'f00d'")
    with Ledger(url) as older:
        for attempt in (lambda: older.append([event(2)]), older.entries, older.verify, lambda: older.exists):
            with pytest.raises(ConfigurationError, match="newer ecm") as refused:
                attempt()
            assert "f00d" in refused.value.details[0]
    assert someone.query("SELECT seq FROM entries") == [(1,)]
    someone.close()


def test_alembic_is_not_imported_for_a_ledger_that_is_up_to_date(url: str, ledger: Ledger) -> None:
    """Reading and appending stay quick: Alembic is for upgrades."""
    ledger.append([event(1)])
    program = (
        "import sys; from orchestrator.ledger import Ledger\n"
        f"with Ledger({url!r}) as ledger: assert len(ledger.entries()) == 1; ledger._prepare()\n"
        "print('alembic' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    """Signs that mean something in URLs, SQL or settings mean nothing in a path."""
    folder = tmp_path / "100% o'clock & more #1"
    with Ledger(f"sqlite:///{folder}/ledger.db") as ledger:
        ledger.append([event(1)])
        assert len(ledger.entries()) == 1
    assert [found.name for found in folder.iterdir()] == ["ledger.db"]


def test_the_package_may_lie_in_a_folder_of_any_name(tmp_path: Path, sqlite_url: str) -> None:
    """The migrations are found where ecm was installed, even where the path means something to a settings file."""
    package = Path(orchestrator.__file__).parent
    installed = tmp_path / "100%(here)s" / "orchestrator"
    installed.mkdir(parents=True)
    for module in ("__init__.py", "errors.py"):
        shutil.copy(package / module, installed)
    shutil.copytree(package / "ledger", installed / "ledger")
    program = (
        "from orchestrator.ledger import Event, Ledger\n"
        f"Ledger({sqlite_url!r}).append([Event.model_validate_json({event(1).model_dump_json()!r})])"
    )
    subprocess.run([sys.executable, "-c", program], cwd=installed.parent, check=True)
    with Ledger(sqlite_url) as ledger:
        assert len(ledger.entries()) == 1
