"""The agent's way to the cluster: the MCP server, started when something goes live for the first time.

The servers of MCP_SERVERS_FILE stand beside it: each is started when the tools are looked at, or one of its own is called.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mcp_tools.qualified_names import is_qualified

if TYPE_CHECKING:
    from mcp_tools.other_servers import OtherServers, ServerState
    from mcp_tools.tool_loader import ToolLoader, ToolResult, ToolSpec


class LiveAccess:
    """Holds the ToolLoader; `make_loader` is called at most once."""

    def __init__(
        self, make_loader: Callable[[], ToolLoader], *, timeout_seconds: float, others: OtherServers | None = None
    ) -> None:
        self._others = others
        self._make_loader = make_loader
        self._timeout_seconds = timeout_seconds
        self._loader: ToolLoader | None = None
        self._lock = asyncio.Lock()

    @property
    def started(self) -> bool:
        return self._loader is not None

    @property
    def server_pid(self) -> int | None:
        return self._loader.server_pid if self._loader else None

    async def specs(self) -> Mapping[str, ToolSpec]:
        loader = await self._ready()
        return await loader.connect()

    async def other_specs(self) -> Mapping[str, ToolSpec]:
        """Tools of the servers of MCP_SERVERS_FILE that answer."""
        return await self._others.specs() if self._others is not None else {}

    async def others_settled(self, timeout_seconds: float) -> tuple[ServerState, ...]:
        """How the servers of MCP_SERVERS_FILE do, once each has started or failed, or the time is over."""
        return await self._others.settled(timeout_seconds) if self._others is not None else ()

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> ToolResult:
        """Raises what ToolLoader.call raises."""
        if self._others is not None and is_qualified(tool):
            return await self._others.call(tool, arguments, timeout_seconds=self._timeout_seconds)
        loader = await self._ready()
        return await loader.call(tool, arguments, timeout_seconds=self._timeout_seconds)

    async def close(self) -> None:
        loader, self._loader = self._loader, None
        others, self._others = self._others, None
        await asyncio.gather(*(one.close() for one in (loader, others) if one is not None))

    async def _ready(self) -> ToolLoader:
        async with self._lock:
            if self._loader is None:
                # importing the MCP library takes a second: off the event loop, so that the screen stays alive
                self._loader = await asyncio.to_thread(self._make_loader)
            return self._loader
