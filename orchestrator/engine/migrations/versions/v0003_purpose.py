"""Several sweeps of one table: each purpose has a checkpoint of its own."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column; what an older ecm began is a backfill, and goes on from its checkpoint."""
    op.execute("ALTER TABLE ecm.sweeps ADD purpose text NOT NULL DEFAULT 'backfill'")
    op.execute("ALTER TABLE ecm.sweeps DROP CONSTRAINT sweeps_pkey, ADD PRIMARY KEY (plan, relation, purpose)")


def downgrade() -> None:
    """Never run by ecm."""
    op.execute("DELETE FROM ecm.sweeps WHERE purpose <> 'backfill'")
    op.execute("ALTER TABLE ecm.sweeps DROP CONSTRAINT sweeps_pkey, ADD PRIMARY KEY (plan, relation)")
    op.execute("ALTER TABLE ecm.sweeps DROP purpose")
