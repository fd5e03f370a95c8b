"""The command line: the only place that prints, asks or exits.

`main` is the entry point, a module each holds a group of commands, and `render` turns reports into
screens. Only typer is imported to begin with; everything else comes when a command needs it, so
that `ecm --help` answers at once.
"""
