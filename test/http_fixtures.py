"""Our MCP server over HTTP on loopback: ``http_server(gate, …)`` in this process, with raw requests as a stranger sends them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from mcp_tools.http_service import HttpOptions, listening_socket, prepared, serve_on
from mcp_tools.server import ToolGate
from server_fixtures import ToolClient

TOKEN = "0123456789abcdef" * 4
"""Of tests; nothing else accepts it."""
LIST_TOOLS = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
OLD = {"MCP-Protocol-Version": "2025-06-18"}


def calling(tool: str, /, **arguments: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}


@dataclass
class Reply:
    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def result(self) -> dict[str, Any]:
        return dict(json.loads(self.body)["result"])


@dataclass
class HttpServer:
    """A server that listens."""

    port: int
    stop: asyncio.Event
    serving: asyncio.Task[None]
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/mcp"

    async def send(
        self, message: object = LIST_TOOLS, *, token: str | None = TOKEN, method: str = "POST", path: str = "/mcp",
        session: aiohttp.ClientSession | None = None, data: bytes | None = None, **headers: str,
    ) -> Reply:  # fmt: skip
        """One request as a client of the older protocol sends it; headers by name, `_` for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        given = ACCEPT | OLD | ({"Authorization": f"Bearer {token}"} if token is not None else {}) | named
        own = session or aiohttp.ClientSession()
        try:
            body = json.dumps(message).encode() if data is None else data
            url = f"{self.scheme}://127.0.0.1:{self.port}{path}"
            async with own.request(method, url, data=body if method == "POST" else None, headers=given, ssl=False) as answer:
                return Reply(answer.status, answer.headers, await answer.text())
        finally:
            if session is None:
                await own.close()


@asynccontextmanager
async def http_server(gate: ToolGate, **options: Any) -> AsyncIterator[HttpServer]:
    """Listens on a free port, with TOKEN unless the options say otherwise; ends with the block."""
    tokens: dict[str, Any] = {} if {"token", "token_file", "no_token"} & set(options) else {"token": TOKEN}
    service = prepared(HttpOptions(**({"port": 0} | tokens | options)))
    listening = listening_socket(service.bind)
    stop = asyncio.Event()
    serving = asyncio.create_task(serve_on(gate, service, listening, stop))
    server = HttpServer(listening.getsockname()[1], stop, serving, "https" if service.tls else "http")
    try:
        await _listens(server)
        yield server
    finally:
        stop.set()
        await asyncio.wait_for(asyncio.gather(serving, return_exceptions=True), 20)


async def _listens(server: HttpServer) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                if (await server.send(method="GET", path="/healthz", token=None)).status == 200:
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.02)


@pytest.fixture
def nowhere_kubeconfig(tmp_path: Path) -> Path:
    """A kubeconfig whose only context leads to a port where nobody listens."""
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(
        json.dumps(
            {
                "current-context": "nowhere",
                "contexts": [{"name": "nowhere", "context": {"cluster": "c"}}],
                "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
            }
        )
    )
    return kubeconfig


@pytest.fixture
def nowhere_gate(nowhere_kubeconfig: Path, tool_client: Callable[..., ToolClient]) -> Callable[[], ToolGate]:
    """Makes the gate of a server that reaches no cluster."""
    return tool_client(nowhere_kubeconfig, read_only=True).gate
