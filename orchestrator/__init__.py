"""ecm: breaking PostgreSQL schema changes through expand and contract, branch by branch."""
