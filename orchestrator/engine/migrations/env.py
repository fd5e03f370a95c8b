"""Alembic's entry point: runs the versions on the connection that the journal hands it."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], version_table_schema="ecm")
with context.begin_transaction():
    context.run_migrations()
