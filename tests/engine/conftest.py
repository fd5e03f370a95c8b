"""Fixtures shared with the tests of operations."""

from functools import partial

import pytest
from operations.conftest import Journeys, roles
from operations.conftest import journeys as journeys_of_operations

__all__ = ["journeys_of_operations", "roles"]


@pytest.fixture
def journeys(journeys_of_operations: Journeys) -> Journeys:
    """Makes journeys on databases without a journal, which tests of the engine make themselves where they need one."""
    return partial(journeys_of_operations, fresh=True)
