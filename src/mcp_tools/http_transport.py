"""A streamable HTTP MCP server as a transport, with every answer bounded. Imported only where one is used.

The SDK bounds the events of a stream, but reads a plain JSON answer however long it is, and unpacks it.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx2
from mcp.client.streamable_http import streamable_http_client

from mcp_tools.http_names import is_loopback_host
from mcp_tools.http_tokens import TokenOfServer
from mcp_tools.server_address import ServerAddress, without_credentials

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

CONNECT_SECONDS = 10.0
READ_SECONDS = 300.0
"""How long a stream may be silent; a call has a time limit of its own."""
_EVENTS = "text/event-stream"


@asynccontextmanager
async def http_streams(address: ServerAddress) -> AsyncIterator[TransportStreams]:
    """Connections to `address.url`, as the SDK's transport. It follows no redirect to another origin."""
    where, most = without_credentials(address.url), address.max_message_bytes

    async def bound(response: httpx2.Response) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise httpx2.ReadError(f"{where} packs its answers although it was asked not to")
        body = response.stream
        events = response.headers.get("content-type", "").startswith(_EVENTS)  # which the SDK bounds one by one
        if isinstance(body, httpx2.AsyncByteStream) and not events:
            response.stream = _Bounded(body, most, where)

    client = httpx2.AsyncClient(
        headers={**address.headers, "Accept-Encoding": "identity"},  # a bound on packed bytes would bound nothing
        timeout=httpx2.Timeout(CONNECT_SECONDS, read=READ_SECONDS),
        event_hooks={"response": [bound]},
        auth=_BearerToken(address.token) if address.token else None,
        verify=ssl.create_default_context(cafile=address.ca_file) if address.ca_file else True,
        trust_env=not is_loopback_host(urlsplit(address.url).hostname or ""),  # no proxy is told what stays on this machine
    )
    async with client, streamable_http_client(address.url, http_client=client, max_sse_event_size=most) as streams:
        yield streams


class _BearerToken(httpx2.Auth):
    """Asked for at every request: a token file may change while the server is used."""

    def __init__(self, token: TokenOfServer) -> None:
        self._token = token

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Only for the server itself: it is not asked about anything else."""
        request.headers["Authorization"] = f"Bearer {self._token()}"
        yield request


class _Bounded(httpx2.AsyncByteStream):
    """A body that ends in an error once it is longer than it may be."""

    def __init__(self, stream: httpx2.AsyncByteStream, most: int, where: str) -> None:
        self._stream = stream
        self._most = most
        self._where = where

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > self._most:
                raise httpx2.ReadError(f"{self._where} sent an answer of more than {self._most} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
