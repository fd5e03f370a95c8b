"""A branch of a project, for tests of providers."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A branch's entry in ecm.yaml, as far as providers read it."""

    url_env: str = "UNUSED"
    parent: str | None = None
