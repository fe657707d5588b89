"""Every tool of our own server, as declarations: readable without the MCP and Kubernetes libraries."""

from __future__ import annotations

from mcp_tools.k8s_tools import (
    access,
    api_resources,
    apply,
    bulk,
    container_exec,
    describe,
    events,
    explain,
    following,
    helm_tools,
    lists,
    logs,
    metrics,
    mutations,
    nodes,
    patch,
    reading,
    rollout,
    scale,
    secrets,
)
from mcp_tools.tool_declaration import ToolDeclaration
from mcp_tools.tool_spec import ToolSpec

ALL_TOOLS: tuple[ToolDeclaration, ...] = (
    *reading.TOOLS,
    *describe.TOOLS,
    *api_resources.TOOLS,
    *explain.TOOLS,
    *access.TOOLS,
    *secrets.TOOLS,
    *helm_tools.TOOLS,
    *lists.TOOLS,
    *events.TOOLS,
    *logs.TOOLS,
    *metrics.TOOLS,
    *bulk.TOOLS,
    *following.TOOLS,
    *mutations.TOOLS,
    *apply.TOOLS,
    *patch.TOOLS,
    *scale.TOOLS,
    *rollout.TOOLS,
    *nodes.TOOLS,
    *container_exec.TOOLS,
)


def own_tool_specs(server: str) -> dict[str, ToolSpec]:
    """What a client would learn by connecting; a test compares the two. Without k8s_exec: no server that we start offers it."""
    return {
        declared.name: ToolSpec(
            name=declared.name,
            title=declared.title,
            description=declared.description,
            input_schema=declared.input_schema,
            output_schema=dict(declared.output) if declared.output is not None else None,
            read_only=declared.read_only,
            destructive=declared.destructive,
            idempotent=declared.idempotent,
            bulk=declared.bulk,
            server=server,
        )
        for declared in ALL_TOOLS
        if declared not in container_exec.TOOLS
    }
