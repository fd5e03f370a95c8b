"""SQL as values: names, facts, steps and trigger bodies. Pure; nothing here opens a connection."""
