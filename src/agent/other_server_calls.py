"""What a person is asked before a tool of another server is called: nobody but that server knows what it will do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent.approval_request import ApprovalRequest, ObjectRef
from mcp_tools.plain_text import plain_text

if TYPE_CHECKING:
    from mcp_tools.tool_spec import ToolSpec


def call_of(spec: ToolSpec, arguments: Mapping[str, Any]) -> ApprovalRequest:
    """The call as it will be made. It belongs to no cluster: a policy that names one does not match."""
    return ApprovalRequest(
        tool=spec.name,
        arguments=dict(arguments),
        action="call",
        cluster="",
        cluster_uid="",
        target=ObjectRef(kind="tool", name=spec.name),
        changes=tuple(f"{plain_text(name)}: {_shown(value)}" for name, value in sorted(arguments.items())),
        warnings=(f"MCP server {spec.server} is not ours: its effect cannot be shown beforehand",),
        irreversible="unknown: this server does not say",
    )


def _shown(value: Any) -> str:
    """Whole, and on one line, so that no value can look like a line of the question."""
    return plain_text(json.dumps(value, ensure_ascii=False))
