"""Types of PostgreSQL as an ORM's schema has them."""

from typing import Any

import pytest

from orchestrator.toolchains.declaring import drizzle, sqlalchemy
from orchestrator.toolchains.declaring.described import Described
from orchestrator.toolchains.drizzle_types import type_name

LINES: list[tuple[str, dict[str, Any], str, str]] = [
    ("integer", {}, 'someColumn: integer("some_column"),', "Mapped[int | None] = mapped_column(Integer)"),
    ("bigint", {}, 'someColumn: bigint("some_column", { mode: "number" }),', "Mapped[int | None] = mapped_column(BigInteger)"),
    ("character varying(20)", {"not_null": True}, 'someColumn: varchar("some_column", { length: 20 }).notNull(),', "Mapped[str] = mapped_column(String(20))"),
    ("varchar(20)", {}, 'someColumn: varchar("some_column", { length: 20 }),', "Mapped[str | None] = mapped_column(String(20))"),
    ("NUMERIC(10, 2)", {}, 'someColumn: numeric("some_column", { precision: 10, scale: 2 }),', "Mapped[Decimal | None] = mapped_column(Numeric(10, 2))"),
    ('"Mood"', {}, 'someColumn: mood("some_column"), // mood: your pgEnum or customType for "Mood"', 'Mapped[str | None] = mapped_column(Mood)  # Mood: your Enum or UserDefinedType for "Mood"'),
    ("numeric(10,2)", {}, 'someColumn: numeric("some_column", { precision: 10, scale: 2 }),', "Mapped[Decimal | None] = mapped_column(Numeric(10, 2))"),
    ("timestamp with time zone", {"default": "now()"}, 'someColumn: timestamp("some_column", { withTimezone: true }).defaultNow(),', "Mapped[datetime | None] = mapped_column(DateTime(timezone=True), server_default=text('now()'))"),
    ("timestamp(3) without time zone", {}, 'someColumn: timestamp("some_column", { precision: 3 }),', "Mapped[datetime | None] = mapped_column(TIMESTAMP(precision=3))"),
    ("text[]", {}, 'someColumn: text("some_column").array(),', "Mapped[list[str] | None] = mapped_column(ARRAY(Text))"),
    ("text", {"default": "'it''s'::text"}, 'someColumn: text("some_column").default("it\'s"),', "Mapped[str | None] = mapped_column(Text, server_default=text(\"'it''s'::text\"))"),
    ("uuid", {"primary": True, "not_null": True, "default": "gen_random_uuid()"}, 'someColumn: uuid("some_column").primaryKey().defaultRandom(),', "Mapped[UUID] = mapped_column(Uuid, primary_key=True, server_default=text('gen_random_uuid()'))"),
    ("integer", {"primary": True, "not_null": True, "default": "nextval('s'::regclass)"}, 'someColumn: serial("some_column").primaryKey(),', "Mapped[int] = mapped_column(Integer, primary_key=True)"),
    ("boolean", {"default": "false"}, 'someColumn: boolean("some_column").default(false),', "Mapped[bool | None] = mapped_column(Boolean, server_default=text('false'))"),
    ("jsonb", {"default": "'{}'::jsonb"}, "someColumn: jsonb(\"some_column\").default(sql`'{}'::jsonb`),", "Mapped[dict | None] = mapped_column(JSONB, server_default=text(\"'{}'::jsonb\"))"),
    ("bytea", {}, 'someColumn: bytea("some_column"), // pg-core has no bytea: declare bytea with customType', "Mapped[bytes | None] = mapped_column(LargeBinary)"),
    ("app.order_status", {}, 'someColumn: orderStatus("some_column"), // orderStatus: your pgEnum or customType for app.order_status', "Mapped[str | None] = mapped_column(OrderStatus)  # OrderStatus: your Enum or UserDefinedType for app.order_status"),
]  # fmt: skip


@pytest.mark.parametrize(("type_name", "more", "in_drizzle", "in_sqlalchemy"), LINES, ids=[each[0] for each in LINES])
def test_a_column_as_a_line(type_name: str, more: dict[str, Any], in_drizzle: str, in_sqlalchemy: str) -> None:
    """Each type has its like, or it is said that there is none."""
    column = Described(name="some_column", type=type_name, **more)

    assert drizzle.line(column) == in_drizzle
    assert sqlalchemy.line(column) == f"some_column: {in_sqlalchemy}"


@pytest.mark.parametrize(
    ("given", "in_snapshot"),
    [("NUMERIC(12, 4)", "numeric(12, 4)"), ("VARCHAR(20)[]", "varchar(20)[]"), ('"Mood"', '"Mood"')],
)
def test_a_type_in_a_snapshot(given: str, in_snapshot: str) -> None:
    """A type that was written in capitals, as Alembic does, is drizzle-kit's own; a quoted one keeps them."""
    assert type_name(given) == in_snapshot
