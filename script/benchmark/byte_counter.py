"""A door in front of an API server that counts the bytes which come out of it: as on the wire, encrypted and compressed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

CHUNK = 65_536


class ByteCounter:
    """`received` counts up while it serves."""

    def __init__(self, server: str) -> None:
        self._host, self._port = str(urlsplit(server).hostname), int(urlsplit(server).port or 443)
        self.received = 0
        self.url = ""

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        listening = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        ready.set()
        await stop.wait()
        listening.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(self._host, self._port)
        await asyncio.gather(self._pass_on(reader, to_server, 0), self._pass_on(from_server, writer, 1))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counted: int) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(CHUNK):
                self.received += counted * len(data)
                writer.write(data)
                await writer.drain()
        writer.close()


@contextmanager
def byte_counter(server: str) -> Iterator[ByteCounter]:
    """Serves in a thread of its own until the block is left."""
    counter = ByteCounter(server)
    ready = threading.Event()
    ends: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def main() -> None:
        stop = asyncio.Event()
        ends.append((asyncio.get_running_loop(), stop))
        await counter.serve(ready, stop)

    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield counter
    finally:
        loop, stop = ends[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
