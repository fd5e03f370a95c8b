"""Until when contract can be undone, and by which triggers the old structure is kept true until then."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns; what an older ecm contracted has dropped the old structure."""
    op.execute("ALTER TABLE ecm.plans ADD undo_until timestamptz, ADD undo_watch jsonb")


def downgrade() -> None:
    """Never run by ecm."""
    op.execute("ALTER TABLE ecm.plans DROP undo_until, DROP undo_watch")
