"""Fixtures shared with the tests of operations."""

from operations.conftest import journeys, roles

__all__ = ["journeys", "roles"]
