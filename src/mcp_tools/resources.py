"""What other clients can attach to a conversation: an overview, single objects, kinds and their columns, what the tools do.

What is of a cluster is read by the tools, through the gate: policy, redaction and budgets are theirs.

    k8s://tools                                     what each tool does
    k8s://kinds, k8s://kinds/{kind}                 the kinds; the columns of one
    k8s://{context}/overview                        a cluster at a glance
    k8s://{context}/{kind}/{namespace}/{name}       one object; "-" is the current context, and no namespace
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import unquote

from mcp import MCPError
from mcp_types import INVALID_PARAMS, CallToolResult, ReadResourceResult, Resource, ResourceTemplate, TextResourceContents

from kinds.registry import KINDS, declared_kind
from mcp_tools.plain_text import plain_text
from mcp_tools.server_gate import Gate

SCHEME = "k8s://"
NOTHING = "-"
_TEXT = "text/plain"
MAX_URI = 2000
OVERVIEW: tuple[tuple[str, dict[str, Any], int], ...] = (
    ("k8s_get_cluster_info", {}, 0),
    ("k8s_list_nodes", {"healthy": False}, 1000),
    ("k8s_list_pods", {"healthy": False}, 1500),
    ("k8s_list_events", {"type": "Warning", "since_seconds": 3600}, 1000),
)
"""Tool, arguments, tokens: together within what one answer may have."""
_NODES_OTHERWISE = ("k8s_list_resources", {"kind": "nodes", "filters": {"healthy": False}}, 1000)
"""Where the tools' profile has no list of nodes of its own."""
_TITLES = {
    "k8s_list_resources": "Nodes that are not healthy",
    "k8s_get_cluster_info": "Cluster",
    "k8s_list_nodes": "Nodes that are not healthy",
    "k8s_list_pods": "Pods that are not healthy",
    "k8s_list_events": "Warnings of the last hour",
}

RESOURCES = (
    Resource(uri="k8s://-/overview", name="cluster-overview", title="The current cluster at a glance", mime_type=_TEXT),
    Resource(uri="k8s://kinds", name="kinds", title="Kinds that can be listed, with their filters", mime_type=_TEXT),
    Resource(uri="k8s://tools", name="tools", title="What each tool does", mime_type=_TEXT),
)
TEMPLATES = (
    ResourceTemplate(
        uri_template="k8s://{context}/overview", name="overview-of-a-cluster", title="A cluster at a glance", mime_type=_TEXT,
        description='"-" is the current context; other names are percent-encoded.',
    ),
    ResourceTemplate(
        uri_template="k8s://{context}/{kind}/{namespace}/{name}", name="object", title="One object, redacted", mime_type=_TEXT,
        description='Its manifest within 4,000 tokens. "-" as context is the current one, as namespace none.',
    ),
    ResourceTemplate(uri_template="k8s://kinds/{kind}", name="columns-of-a-kind", title="Columns of a kind", mime_type=_TEXT),
)  # fmt: skip


async def read_resource(gate: Gate, uri: str) -> ReadResourceResult:
    """Raises MCPError for what is no resource here, and for what the tool behind it refuses."""
    parts = _parts(uri)
    match parts:
        case ["tools"]:
            text = tools_reference(gate)
        case ["kinds"]:
            text = _kinds()
        case ["kinds", kind]:
            text = _columns(kind)
        case [context, "overview"]:
            text = await _overview(gate, _given(context))
        case [context, kind, namespace, name]:
            text = await _object(gate, _given(context), kind, _given(namespace), name)
        case _:
            raise MCPError(INVALID_PARAMS, "no such resource; there are " + ", ".join(one.uri_template for one in TEMPLATES))
    return ReadResourceResult(contents=[TextResourceContents(uri=uri, mime_type=_TEXT, text=text)])


def _parts(uri: str) -> list[str]:
    """Each part decoded by itself: a context may have slashes in its name. What is in them the tools check."""
    if not uri.startswith(SCHEME) or len(uri) > MAX_URI or not uri.isprintable():
        raise MCPError(INVALID_PARAMS, f"a resource of this server begins with {SCHEME}, e.g. k8s://-/overview")
    return [unquote(part) for part in uri.removeprefix(SCHEME).split("/")]


def _given(part: str) -> str:
    return "" if part == NOTHING else part


def tools_reference(gate: Gate) -> str:
    """Name, title and description of the tools that this server offers to models."""
    lines = []
    for tool in gate.listed(bulk=False):
        kind = "reads" if tool.annotations and tool.annotations.read_only_hint else "changes"
        arguments = ", ".join(tool.input_schema.get("properties", {}))
        lines.append(f"{tool.name} ({kind}): {tool.description} Arguments: {arguments or 'none'}.")
    return "\n\n".join(lines)


def _kinds() -> str:
    lines = ["kind\tapiVersion\tnamespaced\tfilters of its list"]
    for kind in KINDS.values():
        filters = ", ".join(column for column in kind.filters)
        lines.append(f"{kind.name}\t{kind.api_version}\t{'yes' if kind.namespaced else 'no'}\t{filters}")
    return "\n".join(lines)


def _columns(name: str) -> str:
    kind = declared_kind(name)
    if kind is None:
        raise MCPError(INVALID_PARAMS, f"there is no kind {plain_text(name)[:60]!r} here; k8s://kinds names them")
    rows = [f"{column.name}\t{column.type}{' or null' if column.nullable else ''}\t{column.doc}" for column in kind.columns]
    return "\n".join([f"{kind.name} ({kind.api_version})", "column\ttype\tmeaning", *rows])


async def _overview(gate: Gate, context: str) -> str:
    """What a tool refuses is said in its place; the rest is there all the same."""
    offered = {tool.name for tool in gate.listed()}
    steps = [_NODES_OTHERWISE if step[0] == "k8s_list_nodes" and step[0] not in offered else step for step in OVERVIEW]
    asked = [(name, arguments, tokens) for name, arguments, tokens in steps if name in offered]
    given = {"context": context} if context else {}
    answers = await asyncio.gather(
        *(gate.call(name, arguments | given | ({"max_tokens": tokens} if tokens else {})) for name, arguments, tokens in asked)
    )
    return "\n\n".join(f"{_TITLES[name]}:\n{_text(answer)}" for (name, _, _), answer in zip(asked, answers, strict=True))


async def _object(gate: Gate, context: str, kind: str, namespace: str, name: str) -> str:
    answer = await gate.call("k8s_get_resource", {"context": context, "kind": kind, "namespace": namespace, "name": name})
    if not isinstance(answer, CallToolResult) or answer.is_error:
        raise MCPError(INVALID_PARAMS, _text(answer))
    return _text(answer)


def _text(answer: object) -> str:
    if not isinstance(answer, CallToolResult):
        return "not answered"
    return "\n".join(block.text for block in answer.content if block.type == "text")
