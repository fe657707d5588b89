"""A streamable HTTP MCP server as a transport, with every answer bounded. Imported only where one is used.

The SDK bounds the events of a stream, but reads a plain JSON answer however long it is, and unpacks it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx2
from mcp.client.streamable_http import streamable_http_client

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
    )
    async with client, streamable_http_client(address.url, http_client=client, max_sse_event_size=most) as streams:
        yield streams


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
