"""A plan's whole cycle on a throwaway copy of a branch: what it takes, what stands in its way, who would feel it."""
