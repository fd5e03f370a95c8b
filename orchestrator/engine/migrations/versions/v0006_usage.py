"""Who still reads or writes the old side: pg_stat_statements keeps no times, so samples of it are kept here."""

from alembic import op

revision = "0006"
down_revision = "0005"

STATEMENTS = (
    """
    CREATE TABLE ecm.watches (
      plan text PRIMARY KEY,
      since timestamptz NOT NULL,
      sampled_at timestamptz,
      reset_at timestamptz,
      lost_until timestamptz,
      evictions bigint
    )
    """,
    "COMMENT ON TABLE ecm.watches IS 'Since when ecm looks for who still uses the old side of a plan'",
    """
    CREATE TABLE ecm.statements (
      plan text NOT NULL REFERENCES ecm.watches ON DELETE CASCADE,
      statement text NOT NULL,
      role text NOT NULL,
      query text NOT NULL,
      unclear boolean NOT NULL,
      calls bigint NOT NULL,
      since bigint NOT NULL,
      last_seen timestamptz,
      PRIMARY KEY (plan, statement)
    )
    """,
    "COMMENT ON COLUMN ecm.statements.since IS 'How often it was run since the watch began'",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Never run by ecm."""
    op.execute("DROP TABLE ecm.statements, ecm.watches")
