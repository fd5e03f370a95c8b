"""Measurements of ecm against what it replaces."""
