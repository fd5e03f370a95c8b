"""What a sweep with several workers has to tell, and who asked it to pause."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns; what an older ecm began goes on from its checkpoint."""
    op.execute(
        "ALTER TABLE ecm.sweeps ADD workers integer NOT NULL DEFAULT 0, ADD share_in_place double precision,"
        " ADD rows_per_second double precision, ADD eta_seconds double precision, ADD eta_at_most double precision,"
        " ADD throttled_by text, ADD signals jsonb NOT NULL DEFAULT '[]', ADD measured jsonb NOT NULL DEFAULT '{}',"
        " ADD proven_page bigint NOT NULL DEFAULT 0, ADD proven_rows bigint NOT NULL DEFAULT 0,"
        " ADD proven_filenode bigint, ADD proven_under jsonb"
    )
    op.execute("ALTER TABLE ecm.plans ADD paused_by text, ADD paused_at timestamptz")


def downgrade() -> None:
    """Never run by ecm."""
    op.execute(
        "ALTER TABLE ecm.sweeps DROP workers, DROP share_in_place, DROP rows_per_second, DROP eta_seconds,"
        " DROP eta_at_most, DROP throttled_by, DROP signals, DROP measured, DROP proven_page, DROP proven_rows,"
        " DROP proven_filenode, DROP proven_under"
    )
    op.execute("ALTER TABLE ecm.plans DROP paused_by, DROP paused_at")
