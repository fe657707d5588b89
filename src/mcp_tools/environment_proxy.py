"""Which proxy the environment names for an API server, decided as kubectl decides it.

Rules: Go's golang.org/x/net/http/httpproxy (config.go). Read once for a connection. aiohttp would read the environment for
every request, know no address ranges in NO_PROXY, and take credentials from ~/.netrc besides, which kubectl does not: with
a token it then refuses to send anything, without one it sends them to the API server.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from configuration.errors import ConfigurationError

SCHEMES = ("http", "https")
"""Of proxies that can be spoken to."""
_PORTS = {"http": 80, "https": 443}


def proxy_for(server: str, environment: Mapping[str, str]) -> str | None:
    """The proxy's URL for an API server's URL; None: none, as always for this machine itself. Raises ConfigurationError."""
    target = urlsplit(server)
    variable = f"{target.scheme.upper()}_PROXY"
    proxy = _value(environment, variable)
    host, port = (target.hostname or "").rstrip("."), target.port or _PORTS.get(target.scheme, 0)
    if not proxy or _is_direct(host, port, _value(environment, "NO_PROXY")):
        return None
    return checked_proxy(proxy if "://" in proxy else f"http://{proxy}", variable)


def checked_proxy(proxy: str, where: str) -> str:
    """The same URL. Raises ConfigurationError, without the URL, which may hold a password."""
    scheme = proxy.partition("://")[0].lower()
    if scheme not in SCHEMES:
        raise ConfigurationError(f"{where} names a {scheme[:20]!r} proxy: only {' and '.join(SCHEMES)} proxies can be used")
    return proxy


def _value(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name) or environment.get(name.lower()) or ""


def _is_direct(host: str, port: int, no_proxy: str) -> bool:
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(_matches(entry.strip().lower(), host, address, port) for entry in no_proxy.split(",") if entry.strip())


def _matches(entry: str, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, port: int) -> bool:
    """An entry is `*`, a range, an address, `domain` with all below it, or `.domain` without itself; each but the first two
    with or without a port."""
    if entry == "*":
        return True
    if "/" in entry:
        try:
            network = ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
        return address is not None and address in network
    if _address(entry) is None and entry.rpartition(":")[2].isdecimal():
        entry, _, wanted = entry.rpartition(":")
        if int(wanted) != port:
            return False
    if (named := _address(entry)) is not None:
        return address == named
    domain = entry.removeprefix("*")
    return bool(domain.strip(".")) and (host.endswith("." + domain.lstrip(".")) or host == domain)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
