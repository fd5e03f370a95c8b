"""Migration tools that a project may have beside ecm: one file each."""
