"""An enum type gets other labels: both sides in every state, in every table that has a column of it."""

from typing import Any

import pytest
from operations.conftest import Journeys
from operations.harness import Db, ask, round_trip, rows, run
from psycopg import errors

from orchestrator.errors import EcmError, PreconditionError, VerificationError
from orchestrator.plan.lifecycle import Phase, State

START = """
    CREATE TYPE status AS ENUM ('draft', 'live', 'gone');
    CREATE TABLE posts (id serial PRIMARY KEY, s status NOT NULL DEFAULT 'draft', tags status[], note text,
      CONSTRAINT noted CHECK (s <> 'draft' OR note IS DISTINCT FROM 'ready'));
    CREATE TABLE notes (id serial PRIMARY KEY, s status DEFAULT 'live');
    CREATE INDEX posts_s ON posts (s) WHERE s = 'live';
    CREATE UNIQUE INDEX posts_two ON posts (id, s) WHERE s IN ('draft', 'live');
    CREATE INDEX notes_s ON notes (s);
    INSERT INTO posts (s, tags) VALUES ('draft', '{draft,NULL,gone}'), ('gone', NULL), ('live', '{}'),
      ('live', '[2:3][1:2]={{draft,draft},{live,gone}}');
    INSERT INTO notes (s) VALUES ('draft'), ('gone'), (NULL);
"""
ALL = {
    "kind": "change_enum",
    "type": "status",
    "rename": {"draft": "pending"},
    "remove": {"gone": "live"},
    "add": ["archived"],
}


def directly(change: dict[str, Any], labels: tuple[str, ...], type_name: str = "status") -> str:
    """Return DDL that does a change at once, in two tables that nobody uses meanwhile."""
    renames = {**change.get("rename", {}), **change.get("remove", {})}
    default = renames.get("draft", "draft")
    case = " ".join(f"WHEN '{old}' THEN '{new}'" for old, new in renames.items())
    value = f"(CASE s::text {case} ELSE s::text END)" if case else "s::text"
    array = "tags::text[]"
    for old in renames:
        array = f"array_replace({array}, '{old}', 'was {old}')"
    for old, new in renames.items():
        array = f"array_replace({array}, 'was {old}', '{new}')"
    made = ", ".join(f"'{label}'" for label in labels)
    return f"""
        DROP INDEX posts_s; DROP INDEX posts_two; ALTER TABLE posts DROP CONSTRAINT noted;
        ALTER TABLE posts ALTER s DROP DEFAULT; ALTER TABLE notes ALTER s DROP DEFAULT;
        ALTER TYPE {type_name} RENAME TO former; CREATE TYPE {type_name} AS ENUM ({made});
        ALTER TABLE posts ALTER s TYPE {type_name} USING {value}::{type_name},
          ALTER tags TYPE {type_name}[] USING ({array})::{type_name}[];
        ALTER TABLE notes ALTER s TYPE {type_name} USING {value}::{type_name};
        ALTER TABLE posts ALTER s SET DEFAULT '{default}'; ALTER TABLE notes ALTER s SET DEFAULT 'live';
        ALTER TABLE posts ADD CONSTRAINT noted CHECK (s <> '{default}' OR note IS DISTINCT FROM 'ready');
        CREATE INDEX posts_s ON posts (s) WHERE s = 'live';
        CREATE UNIQUE INDEX posts_two ON posts (id, s) WHERE s IN ('{default}', 'live');
        DROP TYPE former;
    """


CHANGES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "all together": (ALL, ("pending", "live", "archived")),
    "rename": ({"rename": {"draft": 'it\'s "new"'}}, ("it''s \"new\"", "live", "gone")),
    "remove": ({"remove": {"gone": "draft"}}, ("draft", "live")),
    "add": ({"add": ["archived", "lost"]}, ("draft", "live", "gone", "archived", "lost")),
    "exchange": ({"rename": {"draft": "gone", "gone": "draft"}}, ("gone", "live", "draft")),
}


@pytest.mark.parametrize("what", CHANGES)
def test_round_trip(journeys: Journeys, what: str) -> None:
    """Forward and back from every state; at the end it is what the direct DDL gives."""
    change, labels = CHANGES[what]
    quoted = {
        key: {old: new.replace("'", "''") for old, new in value.items()} if isinstance(value, dict) else value
        for key, value in change.items()
    }
    writes = ["UPDATE posts SET s = 'live' WHERE id = 2", "UPDATE posts SET note = coalesce(note, '') || 'x'"]
    journey = journeys(START, {**ALL, "rename": {}, "remove": {}, "add": [], **change})
    round_trip(journey, direct=directly(quoted, labels), writes=writes)
