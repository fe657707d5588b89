"""WebSocket connections of the Kubernetes API, over the same credentials, TLS and proxy as every request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import aiohttp

    from mcp_tools.api_connection import Connection


class WebSocketRefused(Exception):
    """The API server answered with an HTTP error instead."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class WebSocketBroken(Exception):
    """No answer, or the connection broke. `was_open`: what was asked for may have been done."""

    def __init__(self, cause: Exception, *, was_open: bool) -> None:
        super().__init__(type(cause).__name__)
        self.cause = cause
        self.was_open = was_open


@asynccontextmanager
async def open_websocket(
    connection: Connection, path: str, query: Sequence[tuple[str, str | int]], protocols: tuple[str, ...], open_seconds: float
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Open until the block is left. Raises WebSocketRefused or WebSocketBroken, also for what breaks inside the block."""
    import aiohttp

    socket: aiohttp.ClientWebSocketResponse | None = None
    try:
        with connection.used() as client:
            _, url, headers, *_ = await client.param_serialize(
                "GET", path, query_params=list(query), header_params={}, auth_settings=["BearerToken"]
            )
            async with asyncio.timeout(open_seconds):
                socket = await _session(client).ws_connect(
                    url, protocols=protocols, headers=headers, autoping=True, **_how(client.configuration)
                )
            async with socket:
                yield socket
    except aiohttp.WSServerHandshakeError as error:
        raise WebSocketRefused(error.status) from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise WebSocketBroken(error, was_open=socket is not None) from error


def _session(client: Any) -> aiohttp.ClientSession:
    """The pool that requests use: it is made at the first of them."""
    rest: Any = client.rest_client
    if rest.pool_manager is None:
        rest.pool_manager = rest._create_pool_manager()
    session: aiohttp.ClientSession = rest.pool_manager
    return session


def _how(configuration: Any) -> dict[str, Any]:
    options = {
        "server_hostname": configuration.tls_server_name,
        "proxy": configuration.proxy,
        "proxy_headers": configuration.proxy_headers,
    }
    return {name: value for name, value in options.items() if value}
