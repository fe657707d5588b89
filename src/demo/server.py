"""The running server: TLS socket, kubeconfig, the movement's loop, and a clean end."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import os
import secrets
import signal
import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from aiohttp import web

from demo import tls
from demo.simulated_cluster import SimulatedCluster
from demo.timestamps import wall_clock

logger = logging.getLogger(__name__)

ADDRESS = "127.0.0.1"
CONTEXT = "demo"


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """`speed` is ticks per second (0: frozen, with a clock that stands still); `port` 0 takes a free one."""

    port: int
    seed: int
    kubeconfig: Path
    extra_pods: int
    speed: float
    watch_stdin: bool


def kubeconfig_document(server: str, authority_pem: bytes, token: str) -> str:
    """A kubeconfig as JSON, which every YAML reader takes."""
    cluster = {"server": server, "certificate-authority-data": base64.b64encode(authority_pem).decode()}
    context = {"cluster": CONTEXT, "user": CONTEXT, "namespace": "shop"}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": CONTEXT,
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": CONTEXT, "user": {"token": token}}],
        "contexts": [{"name": CONTEXT, "context": context}],
    }
    return json.dumps(document, indent=2) + "\n"


def write_private(path: Path, text: str) -> None:
    """Replace `path` with a file that only its owner can read (0600 from its first byte on)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)


def _watch_stdin(stop: asyncio.Event) -> None:
    """Set `stop` when stdin closes: the parent has gone or let go. A thread, as stdin may be anything."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=read, name="stdin", daemon=True).start()


async def _move(cluster: SimulatedCluster, speed: float) -> None:
    """One tick after the other; a tick that fails is logged, and the next one comes all the same."""
    while True:
        await asyncio.sleep(1.0 / speed)
        try:
            cluster.movement.tick()
        except Exception:  # the loop's top-level handler: the API goes on whatever the story does
            logger.exception("a tick of the simulated cluster failed")


async def serve(options: ServerOptions) -> None:
    """Run until SIGTERM, SIGINT or the end of stdin. Prints one JSON line once it listens."""
    token = secrets.token_urlsafe(24)
    started: datetime = wall_clock()
    clock = wall_clock if options.speed else lambda: started
    cluster = SimulatedCluster(options.seed, clock=clock, token=token, extra_pods=options.extra_pods, moving=options.speed > 0)
    context, authority = tls.loopback_context(ADDRESS, started)
    runner = web.AppRunner(cluster.http.application(), access_log=None, handle_signals=False)
    await runner.setup()
    site = web.TCPSite(runner, ADDRESS, options.port, ssl_context=context, shutdown_timeout=1.0)
    await site.start()
    port = runner.addresses[0][1]
    url = f"https://{ADDRESS}:{port}"
    write_private(options.kubeconfig, kubeconfig_document(url, authority, token))
    print(json.dumps({"server": url, "kubeconfig": str(options.kubeconfig)}), flush=True)
    await _until_stopped(cluster, options)
    cluster.hub.close()
    await runner.cleanup()


async def _until_stopped(cluster: SimulatedCluster, options: ServerOptions) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    tasks = [asyncio.create_task(_move(cluster, options.speed))] if options.speed else []
    if options.watch_stdin:
        _watch_stdin(stop)
    await stop.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
