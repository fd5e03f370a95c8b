"""Plans: the model, its text, its lifecycle, its gates. Pure; files and databases are elsewhere."""
