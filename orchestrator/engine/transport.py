"""Whether what is sent to a branch's server is encrypted, told from its URL alone.

libpq's default, `sslmode=prefer`, goes on in the clear when the server, or anyone between, says that it has no TLS
("SSL Mode Descriptions", manual 34.19). Within a machine or a private network that may be as it should be.
"""

import ipaddress
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import conninfo
from pydantic import SecretStr

from orchestrator.engine.checkup import Observation

_OPEN = frozenset({"disable", "allow", "prefer"})
_LOCAL = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".svc", ".cluster.local")
"""How names end that no public name server knows."""


def examine(url: SecretStr, environment: Mapping[str, str], *, variable: str) -> Observation | None:
    """Return whether sessions with a remote server are encrypted; None where the server is near, or cannot be told.

    Args:
        url: the branch's.
        environment: libpq's own variables count where the URL says nothing.
        variable: the one that holds the URL, for the remedy.
    """
    try:
        parameters: dict[str, Any] = dict(conninfo.conninfo_to_dict(url.get_secret_value()))
    except psycopg.Error:
        return None  # which the connection says in words of its own
    hosts = str(parameters.get("hostaddr") or parameters.get("host") or environment.get("PGHOST") or "").split(",")
    remote = [host for host in hosts if not _is_near(host)]
    if not remote:
        return None
    mode = str(parameters.get("sslmode") or environment.get("PGSSLMODE") or "prefer")
    if mode not in _OPEN:
        return Observation(subject="tls", ok=True, message=f"encrypted on the way to {remote[0]} (sslmode={mode})")
    return Observation(
        subject="tls",
        ok=False,
        message=f"sslmode={mode} does not insist on TLS on the way to {remote[0]}: password and rows may be read there",
        remedy=f"add sslmode=verify-full (or require, which checks no certificate) to the URL in {variable}",
    )


def _is_near(host: str) -> bool:
    """Whether a host is this machine, or in a private network: a socket, a private address, a name without a dot."""
    if not host or host.startswith(("/", "@")):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        name = host.lower().rstrip(".")
        return "." not in name or name.endswith(_LOCAL)
    return address.is_private or address.is_loopback or address.is_link_local
