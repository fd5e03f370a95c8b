"""Bring a ledger's tables to what this ecm knows, by the migrations beside this file.

Imported only when a ledger is found not to be up to date, because Alembic takes its time to import.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, inspect, text
from sqlalchemy.schema import CreateSchema

from orchestrator.ledger.tables import SCHEMA

# Any number will do, as long as every ecm uses the same one ("ecmledgr" in ASCII).
_UPGRADE_LOCK = 0x65636D6C65646772


def knows(revision: str) -> bool:
    """Tell whether this ecm has the migration that a ledger says it is at."""
    try:
        ScriptDirectory.from_config(_config()).get_revision(revision)
    except CommandError:
        return False
    return True


def upgrade(connection: Connection) -> None:
    """Run the migrations that are missing, in the caller's transaction; none if another ecm was faster.

    On SQLite the caller's BEGIN IMMEDIATE keeps others out, on PostgreSQL an advisory lock that is
    held to the end of the transaction, because there is no row to lock yet.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
        # Even with IF NOT EXISTS, CREATE SCHEMA asks for the right to create one.
        if not inspect(connection).has_schema(SCHEMA):
            connection.execute(CreateSchema(SCHEMA))
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    # The file parser behind Config takes % for an interpolation.
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
