"""The agent's way to the cluster: the MCP server, started when something goes live for the first time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcp_tools.tool_loader import ToolLoader, ToolResult, ToolSpec


class LiveAccess:
    """Holds the ToolLoader; `make_loader` is called at most once."""

    def __init__(self, make_loader: Callable[[], ToolLoader], *, timeout_seconds: float) -> None:
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

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> ToolResult:
        """Raises what ToolLoader.call raises."""
        loader = await self._ready()
        return await loader.call(tool, arguments, timeout_seconds=self._timeout_seconds)

    async def close(self) -> None:
        loader, self._loader = self._loader, None
        if loader is not None:
            await loader.close()

    async def _ready(self) -> ToolLoader:
        async with self._lock:
            if self._loader is None:
                # importing the MCP library takes a second: off the event loop, so that the screen stays alive
                self._loader = await asyncio.to_thread(self._make_loader)
            return self._loader
