"""Faults on purpose: kills, lost connections, power cuts, and others in the way."""
