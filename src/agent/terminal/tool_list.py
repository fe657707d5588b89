"""The tools as a person and as a script see them, with what their descriptions cost a model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from agent.terminal.grid import Grid, cell

if TYPE_CHECKING:
    from mcp_tools.tool_spec import ToolSpec


def mark(spec: ToolSpec) -> str:
    """`reads`, or `changes`, which asks first."""
    return "reads" if spec.read_only else "changes"


def tool_grid(tools: Mapping[str, ToolSpec]) -> Grid:
    """One line a tool: reads first, then by name."""
    ordered = sorted(tools.values(), key=lambda spec: (not spec.read_only, spec.name))
    return Grid(("TOOL", "DOES", "DESCRIPTION"), tuple((s.name, mark(s), cell(_first_sentence(s.description))) for s in ordered))


def tool_json(tools: Mapping[str, ToolSpec]) -> list[dict[str, Any]]:
    return [
        {
            "name": spec.name, "title": spec.title, "description": spec.description, "server": spec.server,
            "read_only": spec.read_only, "destructive": spec.destructive, "idempotent": spec.idempotent,
            "input_schema": spec.input_schema,
        }
        for spec in tools.values()
    ]  # fmt: skip


def as_model_sees(tools: Mapping[str, ToolSpec], schema_of: Callable[[ToolSpec], dict[str, Any]]) -> str:
    """The tool list as it is sent to a model, for counting its tokens. `schema_of` gives the arguments as a model sees them."""
    sent = [
        {"type": "function", "function": {"name": s.name, "description": s.description, "parameters": schema_of(s)}}
        for s in tools.values()
    ]
    return json.dumps(sent, ensure_ascii=False)


def _first_sentence(text: str) -> str:
    line = text.strip().split("\n")[0]
    return line.split(". ")[0].rstrip(".")
