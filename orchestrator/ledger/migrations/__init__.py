"""Alembic's home: how the ledger's tables came to be, step by step."""
