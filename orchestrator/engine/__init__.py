"""Effects on a branch's database. Nothing else in ecm executes SQL there."""
