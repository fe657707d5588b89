"""Kinds that a user names and that are not declared here, as a client of the MCP server finds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from configuration.errors import ToolError
from kinds.generic import ChosenKinds, choose_kinds
from mcp_tools.tool_spec import WHOLE_ANSWER

TOOL = "k8s_list_api_resources"


class Result(Protocol):
    """What a tool answers."""

    @property
    def structured(self) -> dict[str, Any] | None: ...


class Tools(Protocol):
    """What calls tools: a ToolLoader."""

    async def call(self, name: str, arguments: Mapping[str, Any], *, timeout_seconds: float = 30) -> Result: ...


async def resolve_extra_kinds(tools: Tools, context: str, wanted: Sequence[str], *, timeout_seconds: float = 30) -> ChosenKinds:
    """`["widgets.example.com", "wd"]` -> the kinds that this cluster serves under these names, and what became of the others.

    Asks once for all of them; nothing when none are wanted. Raises K8sMcpError when the cluster cannot be asked.
    """
    if not wanted:
        return ChosenKinds(())
    answer = await tools.call(TOOL, {"context": context, "max_tokens": WHOLE_ANSWER}, timeout_seconds=timeout_seconds)
    rows = (answer.structured or {}).get("rows")
    if not isinstance(rows, list):
        raise ToolError(f"{TOOL} answered without rows: the MCP server is another one, or older than this program")
    return choose_kinds(wanted, rows)
