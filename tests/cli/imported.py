"""What ecm loads when it is needed, loaded once for all the processes that are forked (see cli.forked)."""

import importlib
import pkgutil

import alembic.command
import alembic.config
import django.core.management.commands.makemigrations
import django.core.management.commands.migrate
import django.db.backends.postgresql.base
import rich.console
import rich.table
import ruamel.yaml
import sqlalchemy.dialects.postgresql
import sqlalchemy.dialects.sqlite
import transitions

import orchestrator

_ = alembic.command, alembic.config, django, rich.console, rich.table, ruamel.yaml, sqlalchemy, transitions
for _module in pkgutil.walk_packages(orchestrator.__path__, "orchestrator."):
    if ".migrations" not in _module.name and not _module.name.endswith("__main__"):
        importlib.import_module(_module.name)
