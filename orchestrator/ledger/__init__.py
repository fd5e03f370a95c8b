"""The ledger: an append-only, hash-chained list of what happened, by whom, when, with what evidence.

It lives apart from every branch, so that resetting a branch does not erase the proof of what it has
been through. `events` holds the values, `chain` the recipe of the hashes, `audit` the check of the
chain, `export` the file for an archive, `store` the ledger itself. SQLAlchemy is imported by this package only.
"""

from orchestrator.ledger.audit import ChainProblem, ChainReport
from orchestrator.ledger.chain import entry_hash
from orchestrator.ledger.events import Entry, Event
from orchestrator.ledger.location import THIS_DATABASE
from orchestrator.ledger.store import Ledger

__all__ = ["THIS_DATABASE", "ChainProblem", "ChainReport", "Entry", "Event", "Ledger", "entry_hash"]
