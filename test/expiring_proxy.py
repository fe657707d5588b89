"""A door in front of a real API server that opens only to tokens which are younger than so many seconds.

The API server itself issues no token for less than ten minutes and remembers good ones for ten seconds: this stands for
the clouds whose credential plugins hand out short ones. Answers, watches too, are passed on as they arrive.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from server_thread import server_thread

HOP_HEADERS = {"host", "authorization", "connection", "transfer-encoding", "content-length", "keep-alive"}


class ExpiringProxy:
    """A token is `NAME.SECONDS`: who it was issued to, and when (epoch). Past `lifetime_seconds` the answer is 401.

    Counters are per NAME: `passed` and `refused` requests, `tokens` the different ones that were accepted.
    """

    def __init__(self, server: str, ca_file: Path, token: str, *, lifetime_seconds: float) -> None:
        self.lifetime_seconds = lifetime_seconds
        self.url = ""
        self.passed: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.tokens: dict[str, set[str]] = {}
        self._server = server
        self._ca_file = ca_file
        self._token = token

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        context = ssl.create_default_context(cafile=str(self._ca_file))
        connector = aiohttp.TCPConnector(ssl=context, limit=0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
            application = web.Application()

            async def handle(request: web.Request) -> web.StreamResponse:
                return await self._pass_on(request, session)

            application.router.add_route("*", "/{path:.*}", handle)
            runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            ready.set()
            await stop.wait()
            await runner.cleanup()

    async def _pass_on(self, request: web.Request, session: aiohttp.ClientSession) -> web.StreamResponse:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ").removeprefix("bearer ").strip()
        name, _, issued = token.rpartition(".")
        if not issued.isdigit() or time.time() > int(issued) + self.lifetime_seconds:
            self.refused[name] += 1
            return web.json_response({"kind": "Status", "status": "Failure", "reason": "Unauthorized", "code": 401}, status=401)
        self.passed[name] += 1
        self.tokens.setdefault(name, set()).add(token)
        headers = {key: value for key, value in request.headers.items() if key.lower() not in HOP_HEADERS}
        headers["Authorization"] = f"Bearer {self._token}"
        timeout = aiohttp.ClientTimeout(total=None)
        url = self._server + request.raw_path
        async with session.request(request.method, url, data=await request.read(), headers=headers, timeout=timeout) as answer:
            kept = {key: value for key, value in answer.headers.items() if key.lower() not in HOP_HEADERS}
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            with suppress(ConnectionError):
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
            return response


@contextmanager
def expiring_proxy(control_plane: Any, *, lifetime_seconds: float) -> Iterator[ExpiringProxy]:
    """Serves in a thread of its own until the block is left."""
    proxy = ExpiringProxy(
        control_plane.server, control_plane.ca_file, control_plane.admin_token, lifetime_seconds=lifetime_seconds
    )
    with server_thread(proxy.serve):
        yield proxy


def kubeconfig_of(path: Path, context: str, server: str, user: dict[str, Any]) -> Path:
    """A kubeconfig of one context, whose names are those of the file, so that several can be merged."""
    name = path.stem
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "clusters": [{"name": name, "cluster": {"server": server}}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": context, "context": {"cluster": name, "user": name}}],
    }
    path.write_text(yaml.safe_dump(document))
    return path
