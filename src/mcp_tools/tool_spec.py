"""What a connected server says about a tool, and what a call of it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcp_types import Tool

BULK_MARK = "k8s-mcp/bulk"
"""Key in a tool's `_meta`: true for tools that move data between programs, which no model should be shown. A client that
wants them listed sends the same key in the `_meta` of its tools/list."""
WHOLE_ANSWER = 4_000_000
"""Tokens. No object and no page takes as many: the `max_tokens` of programs that want all there is."""
MORE_IN_A_LARGER_ANSWER = "a larger max_tokens shows more"
"""In the note of a dry run of which something was left out."""
SMALLEST_BUDGET = 1000
"""Tokens: the least `max_tokens`. Less would not hold what an answer needs in any case: where from, how to get the rest."""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """One tool. The hints are the server's own words: for a server that is not ours they are hints, no guarantee."""

    name: str
    title: str
    description: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None
    read_only: bool
    destructive: bool
    idempotent: bool
    bulk: bool
    """Kept out of what models see."""
    server: str
    """Name of the server that offers it (MCP_SERVER_NAME)."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """`text` is all text blocks of the answer, joined; `structured` the structured content when there is one."""

    text: str
    structured: dict[str, Any] | None
    duration_seconds: float


def spec_of(tool: Tool, server: str) -> ToolSpec:
    """Read a listed tool. A missing hint takes the protocol's default, which is the cautious one."""
    hints = tool.annotations
    read_only = bool(hints and hints.read_only_hint)
    destructive = not read_only and (hints is None or hints.destructive_hint is not False)
    meta: Mapping[str, Any] = tool.meta or {}
    return ToolSpec(
        name=tool.name,
        title=tool.title or (hints.title if hints and hints.title else tool.name),
        description=tool.description or "",
        input_schema=tool.input_schema,
        output_schema=tool.output_schema,
        read_only=read_only,
        destructive=destructive,
        idempotent=read_only or bool(hints and hints.idempotent_hint),
        bulk=bool(meta.get(BULK_MARK)),
        server=server,
    )
