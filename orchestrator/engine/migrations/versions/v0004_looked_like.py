"""What a plan's tables looked like before the phase that is under way began."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column; of what an older ecm began, nothing is known."""
    op.execute("ALTER TABLE ecm.plans ADD looked_like jsonb")


def downgrade() -> None:
    """Never run by ecm."""
    op.execute("ALTER TABLE ecm.plans DROP looked_like")
