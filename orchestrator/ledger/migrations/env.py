"""Alembic's entry: run the migrations on the connection that `upgrade` handed over, in its transaction."""

from alembic import context
from sqlalchemy import Connection

from orchestrator.ledger.tables import SCHEMA, VERSION_TABLE, tables


def migrate(connection: Connection) -> None:
    """Bring the ledger behind a connection to the newest revision; the caller commits."""
    schema = SCHEMA if connection.dialect.name == "postgresql" else None
    context.configure(
        connection=connection,
        target_metadata=tables(schema).metadata,
        version_table=VERSION_TABLE,
        version_table_schema=schema,
        transactional_ddl=True,  # SQLite's DDL is transactional too, once the driver leaves BEGIN to us
    )
    with context.begin_transaction():
        context.run_migrations()


migrate(context.config.attributes["connection"])
