"""An API server with one pod whose `exec` really speaks v5.channel.k8s.io: pods that KWOK plays cannot run anything."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from expiring_proxy import kubeconfig_of
from server_thread import server_thread

PROTOCOL = "v5.channel.k8s.io"
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"namespace": "dev", "name": "web-1", "uid": "5c7e9a3e-0000-4000-8000-00000000000a", "resourceVersion": "7"},
    "spec": {"containers": [{"name": "app"}, {"name": "sidecar"}]},
    "status": {"phase": "Running"},
}
SUCCESS = {"status": "Success"}


def failure(code: int) -> dict[str, object]:
    details = {"causes": [{"reason": "ExitCode", "message": str(code)}]}
    return {"status": "Failure", "reason": "NonZeroExitCode", "message": f"exit code {code}", "details": details}


@dataclass
class ExecServer:
    """`messages` are (channel, bytes) in their order, then `status`; None: it goes on silently until the client leaves."""

    messages: list[tuple[int, bytes]] = field(default_factory=list)
    status: dict[str, object] | None = field(default_factory=lambda: dict(SUCCESS))
    refuse: int = 0
    breaks: bool = False
    url: str = ""
    pod: dict[str, Any] = field(default_factory=lambda: POD)
    commands: list[list[str]] = field(default_factory=list)
    containers: list[str] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)
    """Set when the client has closed the connection."""

    def kubeconfig(self, folder: Path) -> Path:
        return kubeconfig_of(folder / "exec.yaml", "exec", self.url, {"token": "t"})

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        application = web.Application()
        pod = "/api/v1/namespaces/dev/pods/web-1"
        application.router.add_get(pod, self._pod)
        application.router.add_get(f"{pod}/exec", self._exec)
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await stop.wait()
        await runner.cleanup()

    async def _pod(self, _: web.Request) -> web.Response:
        return web.json_response(self.pod)

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        if self.refuse:
            return web.json_response({"kind": "Status", "message": "no"}, status=self.refuse)
        self.commands.append(request.query.getall("command"))
        self.containers.append(request.query["container"])
        self.authorizations.append(request.headers.get("Authorization", ""))
        socket = web.WebSocketResponse(protocols=(PROTOCOL,))
        await socket.prepare(request)
        assert socket.ws_protocol == PROTOCOL
        for channel, data in self.messages:
            if socket.closed:
                break
            await socket.send_bytes(bytes([channel]) + data)
        if self.breaks:
            assert request.transport is not None
            request.transport.abort()
        elif self.status is not None:
            await socket.send_bytes(b"\x03" + json.dumps(self.status).encode())
            await socket.close()
        async for _ in socket:
            pass
        self.left.set()
        return socket


@contextmanager
def exec_server(**options: object) -> Iterator[ExecServer]:
    """Serves in a thread of its own until the block is left."""
    server = ExecServer(**options)  # type: ignore[arg-type]
    with server_thread(server.serve):
        yield server
