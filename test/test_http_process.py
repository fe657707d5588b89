"""`k8s-mcp --transport streamable-http` as a process: what it refuses to start as, which settings count, how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
import pytest
from aiohttp import web
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from expiring_proxy import kubeconfig_of
from http_fixtures import ACCEPT, LIST_TOOLS, OLD, TOKEN, ServedProcess, calling

Serve = Callable[..., ServedProcess]
OTHER = "fedcba9876543210" * 4


async def asked(url: str, message: Any = LIST_TOOLS, token: str | None = TOKEN) -> tuple[int, dict[str, Any]]:
    headers = ACCEPT | OLD | ({"Authorization": f"Bearer {token}"} if token else {})
    async with aiohttp.ClientSession() as session, session.post(url, json=message, headers=headers, ssl=False) as answer:
        return answer.status, await answer.json()


def started(*flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    command = [sys.executable, "-m", "mcp_tools", *flags]
    return subprocess.run(command, env=kept | environment, capture_output=True, text=True, timeout=60, check=False, input="")


HTTP = ("--transport", "streamable-http")


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (HTTP, "no token"),
        ((*HTTP, "--no-token", "--host", "0.0.0.0"), "loopback only"),
        ((*HTTP, "--no-token", "--allow-writes"), "reads? only"),
        ((*HTTP, "--approval", "client"), "--approval client"),
        ((*HTTP, "--allow", "tool=k8s_delete_resource"), "--allow-writes"),
        ((*HTTP, "--enable-exec"), "--allow-writes"),
        ((*HTTP, "--read-only", "--allow-writes"), "contradicts"),
        (("--host", "127.0.0.1"), "for HTTP only"),
        (("--allow-writes",), "for HTTP only"),
        ((*HTTP, "--token", TOKEN), "No such option"),
        ((*HTTP, "--alow-writes"), "No such option"),
    ],
    ids=lambda value: " ".join(value[2:] if value[:2] == HTTP else value) if isinstance(value, tuple) else "",
)
def test_what_would_be_unsafe_or_useless_is_refused_at_the_start(flags: tuple[str, ...], why: str) -> None:
    done = started(*flags, MCP_DENY="")
    assert done.returncode == 2
    assert re.search(why, done.stderr), done.stderr
    assert "Traceback" not in done.stderr


async def test_the_settings_say_which_tokens_are_accepted(nowhere_kubeconfig: Path, served: Serve, tmp_path: Path) -> None:
    file = tmp_path / "accepted"
    file.write_text(OTHER)
    file.chmod(0o600)
    for environment in ({"MCP_TOKEN": TOKEN}, {"MCP_TOKEN_FILE": str(file)}, {"MCP_TOKEN_FILE": str(file), "MCP_TOKEN": TOKEN}):
        server = served(nowhere_kubeconfig, token=None, **environment)
        accepted = [token for token in (TOKEN, OTHER) if (await asked(server.url, token=token))[0] == 200]
        assert accepted == ([OTHER] if "MCP_TOKEN_FILE" in environment else [TOKEN])
        assert server.end() == 0
        assert TOKEN not in server.log
        assert OTHER not in server.log


async def test_only_reads_are_offered_unless_writes_are_allowed(nowhere_kubeconfig: Path, served: Serve) -> None:
    for flags in ((), ("--allow-writes",)):
        server = served(nowhere_kubeconfig, *flags)
        tools = (await asked(server.url))[1]["result"]["tools"]
        names = {tool["name"] for tool in tools}
        assert ("k8s_delete_resource" in names) == bool(flags)
        assert all(tool["annotations"]["readOnlyHint"] for tool in tools) == (not flags)
        _, refused = await asked(server.url, calling("k8s_delete_resource", kind="pods", name="x", namespace="y"))
        assert refused["result"]["isError"]
        server.end()


def test_the_token_is_on_no_command_line(nowhere_kubeconfig: Path, served: Serve) -> None:
    server = served(nowhere_kubeconfig)
    assert TOKEN.encode() not in Path(f"/proc/{server.process.pid}/cmdline").read_bytes()


def test_plugins_of_the_kubeconfig_are_not_given_the_token(served: Serve, tmp_path: Path) -> None:
    told = tmp_path / "told"
    plugin = tmp_path / "plugin"
    plugin.write_text(f"#!/bin/sh\nenv > {told}\nexit 1\n")
    plugin.chmod(0o700)
    exec_ = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin), "interactiveMode": "Never"}
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"exec": exec_}}],
    }
    (tmp_path / "config").write_text(json.dumps(config))
    server = served(tmp_path / "config", token=None, MCP_TOKEN=TOKEN, SEEN_BY_PLUGINS="yes")
    _, answer = asyncio.run(asked(server.url, calling("k8s_get_cluster_info")))
    assert answer["result"]["isError"]
    assert "SEEN_BY_PLUGINS=yes" in told.read_text()
    assert TOKEN not in told.read_text()


# --- how it ends


@dataclass
class HeldApi:
    """An API server that answers once it is told to; `entered` when it was asked, `gone` when the caller hung up first."""

    port: int = 0
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    leave: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    def kubeconfig(self, folder: Path) -> Path:
        return kubeconfig_of(folder / "held.yaml", "held", f"http://127.0.0.1:{self.port}", {"token": "t"})

    async def answer(self, _: web.Request) -> web.Response:
        self.entered.set()
        try:
            await self.leave.wait()
        except asyncio.CancelledError:
            self.gone.set()
            raise
        return web.json_response({"gitVersion": "v1.36.3"})


@pytest.fixture
async def held_api() -> AsyncIterator[HeldApi]:
    api = HeldApi()
    application = web.Application()
    application.router.add_route("*", "/version", api.answer)
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    api.port = runner.addresses[0][1]
    yield api
    await runner.cleanup()


async def test_a_call_in_progress_ends_by_itself_when_the_server_is_stopped(
    held_api: HeldApi, served: Serve, tmp_path: Path
) -> None:
    server = served(held_api.kubeconfig(tmp_path))
    call = asyncio.create_task(asked(server.url, calling("k8s_get_cluster_info", count=False)))
    await asyncio.wait_for(held_api.entered.wait(), 20)
    server.process.send_signal(signal.SIGTERM)
    await refuses_connections(server.port)
    held_api.leave.set()
    status, answer = await asyncio.wait_for(call, 10)
    assert status == 200
    assert "v1.36.3" in answer["result"]["content"][0]["text"]
    assert await asyncio.to_thread(server.process.wait, 10) == 0
    assert "Traceback" not in server.log


async def test_a_call_that_takes_too_long_is_cancelled_when_the_server_is_stopped(
    held_api: HeldApi, served: Serve, tmp_path: Path
) -> None:
    server = served(held_api.kubeconfig(tmp_path))
    call = asyncio.create_task(asked(server.url, calling("k8s_get_cluster_info", count=False)))
    await asyncio.wait_for(held_api.entered.wait(), 20)
    started_at = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(server.process.wait, 30) == 0
    assert 4 < time.monotonic() - started_at < 15
    with pytest.raises(aiohttp.ClientError):
        await call
    assert "Traceback" not in server.log
    await asyncio.wait_for(held_api.gone.wait(), 5)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_caller_that_hangs_up_ends_its_call(held_api: HeldApi, served: Serve, tmp_path: Path, mode: Any) -> None:
    server = served(held_api.kubeconfig(tmp_path))
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}) as web_client:
        async with Client(streamable_http_client(server.url, http_client=web_client), mode=mode) as client:
            call = asyncio.create_task(client.call_tool("k8s_get_cluster_info", {"count": False}))
            await asyncio.wait_for(held_api.entered.wait(), 20)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
    await asyncio.wait_for(held_api.gone.wait(), 10)
    assert (await asked(server.url))[0] == 200


async def test_callers_that_only_idle_do_not_hold_up_the_end(nowhere_kubeconfig: Path, served: Serve) -> None:
    server = served(nowhere_kubeconfig)
    connections = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(5)]
    connections[0][1].write(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\n")
    started_at = time.monotonic()
    assert await asyncio.to_thread(server.end) == 0
    assert time.monotonic() - started_at < 4
    for _, writer in connections:
        writer.close()


async def refuses_connections(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
            except OSError:
                return
            await asyncio.sleep(0.02)
