"""Our MCP server over HTTP on loopback: ``http_server(gate, …)`` in this process, with raw requests as a stranger sends them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
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


class ServedProcess:
    """``k8s-mcp --transport streamable-http`` as a process."""

    def __init__(self, folder: Path, kubeconfig: Path | str, *flags: str, token: str | None = TOKEN, **environment: str) -> None:
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
        self.token_file = folder / "http-token"
        if token is not None:
            self.token_file.write_text(token + "\n")
            self.token_file.chmod(0o600)
            flags = ("--token-file", str(self.token_file), *flags)
        self._log = folder / "http-server.log"
        command = [sys.executable, "-m", "mcp_tools", "--transport", "streamable-http", "--port", "0", *flags]
        given = {
            "KUBECONFIG": str(kubeconfig),
            "REDACTION_KEY_FILE": str(folder / "redaction.key"),
            "XDG_STATE_HOME": str(folder),
        }
        with self._log.open("w") as log:
            self.process = subprocess.Popen(command, env=kept | given | environment, stdin=subprocess.DEVNULL, stderr=log)
        self.url = self._address()

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2].partition("/")[0])

    def memory_mb(self) -> float:
        """Resident memory now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(20)

    def _address(self) -> str:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            if found := re.search(r"serving \d+ tools at (http\S+)", self.log):
                return found[1]
            time.sleep(0.02)
        raise AssertionError(self.log)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[..., ServedProcess]]:
    """``served(kubeconfig, *flags)`` starts a server that ends with the test."""
    started: list[ServedProcess] = []

    def start(kubeconfig: Path | str, *flags: str, **options: Any) -> ServedProcess:
        started.append(ServedProcess(tmp_path, kubeconfig, *flags, **options))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


INSPECTOR = Path(__file__).with_name("inspector")
NO_NPM = "no `npm` on PATH: the Inspector's command line cannot be installed"


@pytest.fixture(scope="session")
def inspector() -> Path:
    """The Inspector's command line (test/inspector), installed once for each lock file into the user's cache directory."""
    npm = shutil.which("npm")
    if npm is None:
        if os.environ.get("CI") == "true":
            pytest.fail(NO_NPM)
        pytest.skip(NO_NPM)
    lock = (INSPECTOR / "package-lock.json").read_bytes()
    folder = Path.home() / ".cache/k8s-mcp" / f"inspector-{hashlib.sha256(lock).hexdigest()[:16]}"
    program = folder / "node_modules/.bin/mcp-inspector"
    if not (folder / "installed").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(INSPECTOR / name, folder / name)
        command = [npm, "ci", "--omit=optional", "--loglevel=error"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280, check=False)
        assert done.returncode == 0, done.stderr
        (folder / "installed").touch()
    return program
