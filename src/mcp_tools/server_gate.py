"""What resources and prompts need of the gate (server.ToolGate): which tools there are, and a call of one."""

from __future__ import annotations

from typing import Any, Protocol

from mcp_types import CallToolResult, InputRequiredResult, Tool


class Gate(Protocol):
    """See server.ToolGate."""

    def listed(self, *, bulk: bool = True) -> list[Tool]:
        """The tools as the protocol describes them."""
        ...

    async def call(self, name: str, arguments: dict[str, Any]) -> CallToolResult | InputRequiredResult:
        """Never raises."""
        ...
