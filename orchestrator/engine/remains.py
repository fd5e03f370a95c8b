"""What ecm left on a branch without a journal that tells of it: triggers and functions of plans that vanished.

A journal that was restored from an older backup, or dropped by hand, no longer knows what fires on the tables.
"""

from psycopg import sql

from orchestrator.engine import journal
from orchestrator.engine.checkup import Observation
from orchestrator.engine.connection import Connection

_SHOWN = 3

# Functions come after the triggers that call them.
_OBJECTS = """
SELECT g.tgname::text AS name, pg_catalog.format('trigger %%s on %%s', g.tgname, g.tgrelid::regclass) AS what,
  pg_catalog.format('DROP TRIGGER %%I ON %%s', g.tgname, g.tgrelid::regclass) AS remedy, 1 AS place
FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = 'ecm' AND NOT g.tgisinternal AND g.tgparentid = 0
UNION ALL
SELECT p.proname::text, pg_catalog.format('function %%s', p.oid::regprocedure),
  pg_catalog.format('DROP FUNCTION %%s', p.oid::regprocedure), 2
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'ecm'
ORDER BY 4, 1
"""


def examine(connection: Connection) -> Observation:
    """Look for triggers and functions of ecm's that no plan under way made, by what its journal says it ran."""
    records = [record for record in journal.read_all(connection) if not record.at_rest]
    ran = "\n".join(
        text
        for record in records
        for (statements,) in connection.execute(
            "SELECT statements FROM ecm.steps WHERE plan = %s", [record.plan]
        ).fetchall()
        for text in statements or ()
    )
    left = [
        (what, remedy)
        for name, what, remedy, _ in connection.execute(sql.SQL(_OBJECTS.replace("%%", "%"))).fetchall()
        if sql.Identifier(name).as_string(None) not in ran and not any(record.plan in name for record in records)
    ]
    if not left:
        return Observation(subject="leftovers", ok=True, message="nothing of ecm's that the journal does not know")
    more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
    return Observation(
        subject="leftovers",
        ok=False,
        message="left by a plan that the journal does not know: " + "; ".join(what for what, _ in left[:_SHOWN]) + more,
        remedy="; ".join(remedy for _, remedy in left),
    )
