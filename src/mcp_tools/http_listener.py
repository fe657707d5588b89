"""The listening side: connections that are slow or too many end, whoever they are from.

uvicorn bounds how long a connection may idle between two requests, but neither how long a request's head or body may take,
nor how long a caller may leave an answer unread, nor a TLS handshake.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

log = logging.getLogger(__name__)

_TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\nconnection: close\r\n"
    b"content-type: text/plain; charset=utf-8\r\ncontent-length: 21\r\n\r\ntoo many connections\n"
)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Seconds from the first byte that is waited for to the last; `unread_seconds` without anything being read."""

    connections: int = 256
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    unread_seconds: float = 30.0
    idle_seconds: int = 75
    handshake_seconds: float = 10.0
    head_bytes: int = 16 * 1024


class BoundedConnection(H11Protocol):
    """uvicorn's protocol with a clock on every part of a request that the other side is to send or to read."""

    def __init__(self, *, limits: ConnectionLimits, **uvicorn_gives: Any) -> None:
        super().__init__(**uvicorn_gives)
        self._limits = limits
        self._waiting_for: object = None
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse one too many before it can send anything."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            transport.write(_TOO_MANY)
            transport.close()
        else:
            self._clock()

    def data_received(self, data: bytes) -> None:
        """A byte now and then does not help: the clock runs from the first that was waited for."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        self._clock()

    def on_response_complete(self) -> None:
        """Between two requests uvicorn's own clock runs; what is still to come of this one has its time."""
        super().on_response_complete()
        if self.conn.their_state is h11.IDLE:
            self._stop_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all clocks."""
        self._stop_clock()
        self._stop_unread()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The answer is not being read."""
        super().pause_writing()
        if self._unread is None:
            self._watch_reading()

    def resume_writing(self) -> None:
        """It is read again."""
        super().resume_writing()
        self._stop_unread()

    def _watch_reading(self, left_before: int | None = None) -> None:
        left = self.transport.get_write_buffer_size()
        if left_before is not None and left >= left_before:
            log.info("closing a connection that does not read its answer")
            self.transport.abort()
        else:
            self._unread = self.loop.call_later(self._limits.unread_seconds, self._watch_reading, left)

    def _clock(self) -> None:
        state = self.conn.their_state
        if state is self._waiting_for:
            return
        self._stop_clock()
        seconds = {h11.IDLE: self._limits.head_seconds, h11.SEND_BODY: self._limits.body_seconds}.get(state)
        if seconds is not None:
            self._waiting_for = state
            self._deadline = self.loop.call_later(seconds, self._too_slow)

    def _too_slow(self) -> None:
        log.info("closing a connection that sends its request too slowly")
        self.transport.abort()

    def _stop_clock(self) -> None:
        self._waiting_for = None
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _stop_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


class Listener(uvicorn.Server):
    """uvicorn's server on a socket of ours. Signals are its caller's: set `should_exit`."""

    def __init__(self, config: uvicorn.Config, bound: socket.socket, limits: ConnectionLimits) -> None:
        super().__init__(config)
        self._bound = bound
        self._limits = limits

    async def startup(self, sockets: Any = None) -> None:  # noqa: ARG002 (uvicorn's; ours is bound already)
        """As uvicorn does it for one socket, with a bound on TLS handshakes."""
        config = self.config

        def connection() -> asyncio.Protocol:
            return BoundedConnection(limits=self._limits, config=config, server_state=self.server_state, app_state={})

        server = await asyncio.get_running_loop().create_server(
            connection, sock=self._bound, ssl=config.ssl, backlog=config.backlog,
            ssl_handshake_timeout=self._limits.handshake_seconds if config.ssl else None,
        )  # fmt: skip
        self.servers = [server]
        self.started = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None."""
        yield
