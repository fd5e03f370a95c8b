"""Pure: what statements of a migration do to those who use the database meanwhile, and which plan does it safely."""
