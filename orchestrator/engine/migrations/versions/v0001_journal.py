"""The journal: plans, leases, steps, sweeps, and the moves not yet in a ledger."""

from alembic import op

revision = "0001"
down_revision = None

STATEMENTS = (
    """
    CREATE TABLE ecm.plans (
      plan text PRIMARY KEY,
      branch text NOT NULL,
      checksum text NOT NULL,
      recorded jsonb NOT NULL,
      state text NOT NULL,
      state_since timestamptz NOT NULL,
      phase text,
      direction text,
      phase_started_at timestamptz,
      phase_error text,
      verified_at timestamptz,
      CHECK ((phase IS NULL) = (direction IS NULL))
    )
    """,
    "COMMENT ON TABLE ecm.plans IS 'Where each plan of ecm is in this database'",
    """
    CREATE TABLE ecm.leases (
      plan text PRIMARY KEY,
      fence bigint NOT NULL,
      holder text NOT NULL,
      acquired_at timestamptz NOT NULL,
      heartbeat_at timestamptz NOT NULL
    )
    """,
    "COMMENT ON COLUMN ecm.leases.fence IS 'Grows with every holder; work under a smaller number is refused'",
    """
    CREATE TABLE ecm.steps (
      plan text NOT NULL,
      phase text NOT NULL,
      direction text NOT NULL,
      key text NOT NULL,
      title text NOT NULL,
      started_at timestamptz NOT NULL,
      finished_at timestamptz,
      lock_wait double precision,
      statements text[] NOT NULL,
      PRIMARY KEY (plan, phase, direction, key)
    )
    """,
    """
    CREATE TABLE ecm.sweeps (
      plan text NOT NULL,
      relation text NOT NULL,
      filenode oid NOT NULL,
      pages bigint NOT NULL,
      next_page bigint NOT NULL,
      rows bigint NOT NULL,
      round integer NOT NULL,
      started_at timestamptz NOT NULL,
      updated_at timestamptz NOT NULL,
      PRIMARY KEY (plan, relation)
    )
    """,
    """
    CREATE TABLE ecm.moves (
      seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      id uuid NOT NULL UNIQUE,
      plan text NOT NULL,
      branch text NOT NULL,
      checksum text NOT NULL,
      direction text NOT NULL,
      phases text[] NOT NULL,
      origin text NOT NULL,
      target text NOT NULL,
      actor text NOT NULL,
      happened_at timestamptz NOT NULL,
      data jsonb NOT NULL
    )
    """,
    "COMMENT ON TABLE ecm.moves IS 'What was completed here; copied to the ledger, which may lag after a crash'",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Never run by ecm."""
    for table in ("moves", "sweeps", "steps", "leases", "plans"):
        op.execute(f"DROP TABLE ecm.{table}")
