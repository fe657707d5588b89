"""What this scanner costs each API server, from the MCP server's counters into the cache."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from cache.cache_manager import CacheManager
from configuration.errors import ToolError
from mcp_tools.tool_loader import ToolLoader

API_USAGE = "k8s_api_usage"
ALL_VERBS = ""
"""Bytes are told of all verbs together: they stand under this one, beside no request."""

OnUsage = Callable[[str, Mapping[str, tuple[int, int]], int], None]
"""Called with cluster, verb -> (requests, bytes) since the last time, and the watches that are held now."""


class _Context(msgspec.Struct):
    """Counters of one context since the server's start; but `watches_held`, which is of now."""

    requests: dict[str, int] = {}
    bytes_received: int = 0
    watches_held: int = 0


class _Usage(msgspec.Struct):
    server_id: str
    contexts: dict[str, _Context]


@dataclass(slots=True)
class UsageRecorder:
    """Remembers the counters that were recorded last. Epoch `clock`."""

    loader: ToolLoader
    cache: CacheManager
    clock: Callable[[], float] = time.time
    on_usage: OnUsage | None = None
    _server_id: str = ""
    _counters: dict[str, _Context] = field(default_factory=dict)

    async def record(self, clusters: Sequence[str]) -> None:
        """Add what was asked of these clusters since the last time; a server that was started anew counts from 0."""
        if API_USAGE not in await self.loader.connect():
            return
        result = await self.loader.call(API_USAGE, {})
        try:
            usage = msgspec.json.decode(result.text, type=_Usage)
        except msgspec.MsgspecError as error:
            raise ToolError(f"{API_USAGE} answered with something that cannot be read: {error}") from error
        if usage.server_id != self._server_id:
            self._server_id, self._counters = usage.server_id, {}
        at = self.clock()
        for cluster in clusters:
            if cluster in usage.contexts:
                await self._record(cluster, at, usage.contexts[cluster])

    async def _record(self, cluster: str, at: float, now: _Context) -> None:
        before = self._counters.get(cluster, _Context())
        grown = {verb: (count - before.requests.get(verb, 0), 0) for verb, count in now.requests.items()}
        usage = {verb: figures for verb, figures in grown.items() if figures[0] > 0}
        if (size := now.bytes_received - before.bytes_received) > 0:
            usage[ALL_VERBS] = (0, size)
        await asyncio.to_thread(self.cache.record_usage, cluster, at, usage, now.watches_held)
        self._counters[cluster] = now
        if self.on_usage is not None:
            self.on_usage(cluster, usage, now.watches_held)
