"""The chain of entries, the note of its last one, and the triggers that keep both append-only.

Nothing is imported from the package: a migration must stay what it was when the tables move on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "ecm_ledger"

# Triggers for whole statements, so that an UPDATE that meets no row is refused too; but how far the
# head moves can only be seen row by row.
POSTGRESQL = (
    """
    CREATE FUNCTION ecm_ledger.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      RAISE EXCEPTION 'the ledger is append-only: % on %.% is refused', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
    END $$
    """,
    """
    CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ecm_ledger.entries
      FOR EACH STATEMENT EXECUTE FUNCTION ecm_ledger.refuse()
    """,
    """
    CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON ecm_ledger.head
      FOR EACH STATEMENT EXECUTE FUNCTION ecm_ledger.refuse()
    """,
    """
    CREATE TRIGGER only_forward BEFORE UPDATE ON ecm_ledger.head
      FOR EACH ROW WHEN (new.seq <= old.seq) EXECUTE FUNCTION ecm_ledger.refuse()
    """,
)

# INSERT OR REPLACE removes the row in its way without firing a DELETE trigger (unless
# recursive_triggers is on), so inserting over a row is refused before it comes to that.
SQLITE = (
    """
    CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: UPDATE on entries is refused'); END
    """,
    """
    CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: DELETE on entries is refused'); END
    """,
    """
    CREATE TRIGGER entries_no_replace BEFORE INSERT ON entries
    WHEN EXISTS (SELECT 1 FROM entries WHERE seq = new.seq OR id = new.id)
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: REPLACE on entries is refused'); END
    """,
    """
    CREATE TRIGGER head_only_forward BEFORE UPDATE ON head WHEN new.seq <= old.seq
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: the head only moves forward'); END
    """,
    """
    CREATE TRIGGER head_no_delete BEFORE DELETE ON head
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: DELETE on head is refused'); END
    """,
    """
    CREATE TRIGGER head_no_replace BEFORE INSERT ON head WHEN EXISTS (SELECT 1 FROM head)
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: REPLACE on head is refused'); END
    """,
)


def upgrade() -> None:
    """Make the tables, the head of an empty chain, and the triggers."""
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    schema = SCHEMA if on_postgresql else None
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "entries",
        sa.Column("seq", number, primary_key=True, autoincrement=False),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("plan", sa.Text),
        sa.Column("branch", sa.Text),
        sa.Column("checksum", sa.Text),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("happened_at", sa.Text, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("ecm_version", sa.Text, nullable=False),
        sa.Column("recorded_at", sa.Text, nullable=False),
        sa.Column("previous_hash", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        schema=schema,
    )
    op.create_index("entries_plan_branch", "entries", ["plan", "branch"], schema=schema)
    head = op.create_table(
        "head",
        sa.Column(
            "id", sa.Integer, sa.CheckConstraint("id = 1", name="head_one_row"), primary_key=True, autoincrement=False
        ),
        sa.Column("seq", number, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        schema=schema,
    )
    op.bulk_insert(head, [{"id": 1, "seq": 0, "hash": "0" * 64}])
    for statement in POSTGRESQL if on_postgresql else SQLITE:
        op.execute(sa.text(statement))


def downgrade() -> None:
    """Refuse: what was recorded is not taken back."""
    msg = "the ledger is append-only; there is no way back from its first migration"
    raise NotImplementedError(msg)
