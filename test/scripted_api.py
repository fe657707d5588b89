"""A Kubernetes API server that says whatever a test wants, for what no real one can be made to say."""

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

CLUSTER_UID = "5c7e9a3e-0000-4000-8000-000000000001"


@dataclass
class ScriptedApi:
    """`items` maps a collection's path to its objects: anything that JSON can say, or bytes that are sent as they are.

    A list is one page, in one `resourceVersion` (`version`). A watch gets the lines of `events`, `first_event_seconds` after
    its headers, and then nothing more.
    Every other collection is empty; `objects` maps the path of a single object to it. `requests` records method, path and query.
    """

    items: dict[str, list[Any]] = field(default_factory=dict)
    events: dict[str, list[Any]] = field(default_factory=dict)
    objects: dict[str, Any] = field(default_factory=dict)
    refused: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)
    """Path -> the status and the headers that all its requests are answered with."""
    version: int = 100
    first_event_seconds: float = 0.0
    url: str = ""
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def kubeconfig(self, folder: Path, context: str = "scripted") -> Path:
        return kubeconfig_of(folder / f"{context}.yaml", context, self.url, {"token": "t"})

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await stop.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path, dict(request.query)))
        if request.path == "/version":
            return web.json_response({"gitVersion": "v1.36.3"})
        if request.path == "/api/v1/namespaces/kube-system":
            return web.json_response({"metadata": {"name": "kube-system", "uid": CLUSTER_UID}})
        if request.path in ("/api", "/apis"):
            return web.json_response({"kind": "APIGroupDiscoveryList", "items": []})
        if request.path in self.refused:
            status, headers = self.refused[request.path]
            return web.Response(status=status, headers=headers, text="Too many requests, please try again later.")
        if request.path in self.objects:
            return web.json_response(self.objects[request.path])
        if request.query.get("watch"):
            return await self._watch(request)
        return web.Response(body=self._list(request), content_type="application/json")

    def _list(self, request: web.Request) -> bytes:
        items = self.items.get(request.path, [])
        limit = int(request.query.get("limit") or 0) or len(items)
        start = int(request.query.get("continue") or 0)
        metadata: dict[str, Any] = {"resourceVersion": str(self.version)}
        if start + limit < len(items):
            metadata |= {"continue": str(start + limit), "remainingItemCount": len(items) - start - limit}
        texts = [item if isinstance(item, bytes) else json.dumps(item).encode() for item in items[start : start + limit]]
        head = json.dumps({"kind": "List", "apiVersion": "v1", "metadata": metadata}).encode()
        return head[:-1] + b', "items": [' + b",".join(texts) + b"]}"

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await asyncio.sleep(self.first_event_seconds)
        for event in self.events.get(request.path, []):
            await response.write((event if isinstance(event, bytes) else json.dumps(event).encode()) + b"\n")
        await asyncio.sleep(float(request.query.get("timeoutSeconds") or 300))
        return response


@contextmanager
def scripted_api(**collections: Any) -> Iterator[ScriptedApi]:
    """Serves in a thread of its own until the block is left."""
    api = ScriptedApi(**collections)
    with server_thread(api.serve):
        yield api
