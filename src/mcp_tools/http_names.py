"""Which addresses are loopback, and by which names and from which pages a server over HTTP may be addressed.

A browser page may make a name of its own lead to 127.0.0.1 (DNS rebinding); its requests then carry that name as Host, and
the page's address as Origin.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass

from configuration.errors import ConfigurationError

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]{2,45})\]|(?P<name>[A-Za-z0-9._-]{1,253}))(?::[0-9]{1,5})?\Z")


@dataclass(frozen=True, slots=True)
class BindAddress:
    """Where to listen: a resolved address."""

    family: socket.AddressFamily
    address: str
    port: int

    @property
    def is_loopback(self) -> bool:
        return ipaddress.ip_address(self.address).is_loopback

    @property
    def is_wildcard(self) -> bool:
        return ipaddress.ip_address(self.address).is_unspecified

    @property
    def shown(self) -> str:
        return f"[{self.address}]" if self.family is socket.AF_INET6 else self.address


def bind_address(host: str, port: int) -> BindAddress:
    """The address of --host; of several the IPv4 one. Raises ConfigurationError."""
    try:
        found = socket.getaddrinfo(host or "?", port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise ConfigurationError(f"--host {host[:100]!r} is no address of this machine; try 127.0.0.1") from None
    family, _, _, _, address = min(found, key=lambda one: one[0] is not socket.AF_INET)
    return BindAddress(socket.AddressFamily(family), str(address[0]).partition("%")[0], port)


@dataclass(frozen=True, slots=True)
class NamePolicy:
    """`names`: further host names, lower-case. `addresses`: whether any IP address will do (a rebinding page has a name)."""

    names: frozenset[str]
    origins: frozenset[str]
    addresses: bool

    def host_allowed(self, header: str) -> bool:
        """Whether a Host header names this server; its port does not matter, a forwarded port is another one."""
        match = _HOST.match(header)
        if match is None:
            return False
        name = (match["six"] or match["name"]).lower().rstrip(".")
        return name in _LOOPBACK_NAMES or name in self.names or (self.addresses and _is_address(name))

    def origin_allowed(self, header: str | None) -> bool:
        """Browsers send Origin, other clients do not."""
        return header is None or header.lower() in self.origins


def name_policy(bind: BindAddress, hosts: tuple[str, ...], origins: tuple[str, ...]) -> NamePolicy:
    """Raises ConfigurationError for what can be no host name or origin."""
    for host in hosts:
        if _HOST.match(host) is None or ":" in host:
            raise ConfigurationError(f"allowed host {host[:100]!r} is no host name; write it without scheme and port")
    for origin in origins:
        if "://" not in origin or origin.count("/") > 2 or not origin.isprintable():
            raise ConfigurationError(f"allowed origin {origin[:100]!r} is no origin; write scheme://host[:port], without a path")
    return NamePolicy(
        frozenset(host.lower() for host in hosts), frozenset(origin.lower() for origin in origins), not bind.is_loopback
    )


def is_loopback_host(host: str) -> bool:
    """Whether a host in an address that we call is this machine, told without asking for its address."""
    if host.lower() == "localhost":
        return True
    return _is_address(host) and ipaddress.ip_address(host).is_loopback


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
