"""Sockets whose other end the kernel asks for a sign of life, so that a connection that leads nowhere breaks within a minute."""

from __future__ import annotations

import socket
from typing import Any

IDLE_SECONDS = 30
"""Between two probes of a quiet connection; as client-go's health check of its HTTP/2 connections (ReadIdleTimeout)."""
PROBE_SECONDS = 10
PROBES = 3


def probed_socket(address_info: tuple[Any, ...]) -> socket.socket:
    """For aiohttp's `socket_factory`. Where a system lacks an option, its own intervals hold."""
    family, type_, protocol = address_info[:3]
    made = socket.socket(family, type_, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", IDLE_SECONDS), ("TCP_KEEPINTVL", PROBE_SECONDS), ("TCP_KEEPCNT", PROBES)):
        if (number := getattr(socket, option, None)) is not None:
            made.setsockopt(socket.IPPROTO_TCP, number, value)
    return made
