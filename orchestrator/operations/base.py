"""What every kind of change is: a frozen value that, given a table's facts, says what to do.

An operation holds only what its kind needs to know. What all share (the sync trigger, the
sweep, the proof, the order of things) is added by `orchestrator.plan.compile`.
"""

from abc import ABC, abstractmethod

from pydantic import BaseModel, ConfigDict

from orchestrator.errors import EcmError
from orchestrator.sql.facts import Dependent, Table
from orchestrator.sql.identifiers import TableName
from orchestrator.sql.mapping import Mapping
from orchestrator.sql.steps import Statement
from orchestrator.sql.sync import Ddl


class Operation(BaseModel, ABC):
    """One breaking change."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str

    @property
    @abstractmethod
    def target(self) -> TableName:
        """The table it changes."""

    @property
    @abstractmethod
    def summary(self) -> str:
        """What changes, in a line."""

    @property
    @abstractmethod
    def slug(self) -> str:
        """A name for a plan of this change alone, such as rename-published-year."""

    @abstractmethod
    def claims(self) -> frozenset[tuple[str, str]]:
        """Every (table, column) it changes or makes; two changes under way may not share one."""

    def renames(self) -> tuple[tuple[str, str], ...]:
        """(old, new) columns under whose new name readers will want the old one's indexes, until contract."""
        return ()

    @abstractmethod
    def problems(self, facts: Table) -> tuple[EcmError, ...]:
        """Everything that stands in the way before anything is touched."""

    @abstractmethod
    def unfollowed(self, facts: Table) -> tuple[Dependent, ...]:
        """What ecm cannot bring along, by name: the person takes care of it and acknowledges it."""

    @abstractmethod
    def mappings(self, facts: Table) -> tuple[Mapping, ...]:
        """Which columns follow from which."""

    @abstractmethod
    def expand(self, facts: Table) -> Ddl:
        """The new structure, and how it is taken away. Runs in one transaction with the sync trigger."""

    @abstractmethod
    def standing_on(self, facts: Table) -> tuple[Dependent, ...]:
        """What stands on something contract drops and would go with it; contract waits until it is gone."""

    @abstractmethod
    def contract(self, facts: Table) -> tuple[Statement, ...]:
        """The end: catalog-only statements, after the sync trigger is gone, in the same transaction."""
