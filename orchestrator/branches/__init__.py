"""Where branches come from: URLs in the environment, or databases on a server that ecm runs itself."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

from orchestrator.branches.provider import Address, BranchSettings, Found, Making, Moment, Provider, no_parent
from orchestrator.branches.urls import UrlProvider
from orchestrator.errors import ConfigurationError

__all__ = ["Address", "BranchSettings", "Found", "Making", "Moment", "Provider", "no_parent", "provider_for"]

EMBEDDED_FOLDER = Path(".ecm") / "embedded"


def provider_for(
    kind: str,
    branches: Mapping[str, BranchSettings],
    folder: Path,
    environment: Mapping[str, str],
    *,
    idle_stop: timedelta | None = None,
) -> Provider:
    """Return the provider that ecm.yaml asks for. Nothing is opened or started yet.

    Args:
        kind: `provider.kind` of ecm.yaml: `url` or `embedded`.
        branches: name → settings, in the order of ecm.yaml.
        folder: the project's folder, where ecm.yaml is.
        environment: variable → value, .env merged in.
        idle_stop: `provider.idle_stop` of ecm.yaml: after how long without a session the embedded server is stopped.

    Raises:
        ConfigurationError: there is no provider of that kind.
    """

    def urls() -> Provider:
        return UrlProvider(branches, environment)

    def embedded() -> Provider:
        # Imported when asked for: a project with URLs of its own never loads the bundled server.
        from orchestrator.branches.embedded import EmbeddedProvider
        from orchestrator.branches.server import EmbeddedServer

        return EmbeddedProvider(branches, EmbeddedServer(folder / EMBEDDED_FOLDER, idle_stop=idle_stop))

    kinds: Mapping[str, Callable[[], Provider]] = {"url": urls, "embedded": embedded}
    if kind not in kinds:
        raise ConfigurationError(
            f"there is no provider of kind {kind}",
            details=(f"kinds: {', '.join(kinds)}",),
            hint="set provider.kind in ecm.yaml to one of those",
        )
    return kinds[kind]()
