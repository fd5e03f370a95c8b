"""Where branches come from: URLs in the environment, databases on a server that ecm runs itself, or Neon."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.branches.provider import (
    Address,
    BranchSettings,
    Found,
    InUseError,
    Making,
    Moment,
    Provider,
    no_parent,
)
from orchestrator.branches.urls import UrlProvider
from orchestrator.errors import ConfigurationError

if TYPE_CHECKING:
    from orchestrator.branches.neon import NeonSettings

__all__ = [
    "Address",
    "BranchSettings",
    "Found",
    "InUseError",
    "Making",
    "Moment",
    "Provider",
    "no_parent",
    "provider_for",
]

EMBEDDED_FOLDER = Path(".ecm") / "embedded"


def provider_for(
    kind: str,
    branches: Mapping[str, BranchSettings],
    folder: Path,
    environment: Mapping[str, str],
    *,
    project: str = "",
    settings: "NeonSettings | None" = None,
    learn: Callable[[str], None] = lambda _: None,
    idle_stop: timedelta | None = None,
) -> Provider:
    """Return the provider that ecm.yaml asks for. Nothing is opened or started yet.

    Args:
        kind: `provider.kind` of ecm.yaml: `url`, `embedded` or `neon`.
        branches: name → settings, in the order of ecm.yaml.
        folder: the project's folder, where ecm.yaml is.
        environment: variable → value, .env merged in.
        project: its name, by which its branches are told from another's on the same server.
        settings: `provider` of ecm.yaml, for the kind that has settings of its own.
        learn: told every URL with a password that does not come from the environment.
        idle_stop: `provider.idle_stop` of ecm.yaml: after how long without a session the embedded server is stopped.

    Raises:
        ConfigurationError: there is no provider of that kind.
    """

    def urls() -> Provider:
        return UrlProvider(branches, environment, project=project)

    def embedded() -> Provider:
        # Imported when asked for: a project with URLs of its own never loads the bundled server.
        from orchestrator.branches.embedded import EmbeddedProvider
        from orchestrator.branches.server import EmbeddedServer

        return EmbeddedProvider(branches, EmbeddedServer(folder / EMBEDDED_FOLDER, idle_stop=idle_stop))

    def neon() -> Provider:
        # Imported when asked for: of all kinds only this one speaks HTTP.
        from orchestrator.branches.neon import NeonProvider, api_of

        return NeonProvider(branches, settings, api=lambda: api_of(settings, environment), learn=learn)

    kinds: Mapping[str, Callable[[], Provider]] = {"url": urls, "embedded": embedded, "neon": neon}
    if kind not in kinds:
        raise ConfigurationError(
            f"there is no provider of kind {kind}",
            details=(f"kinds: {', '.join(kinds)}",),
            hint="set provider.kind in ecm.yaml to one of those",
        )
    return kinds[kind]()
