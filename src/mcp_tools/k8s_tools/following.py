"""Keeping up, for programs: what changed since a resourceVersion, how many there are, what may be read, what it costs."""

from __future__ import annotations

from typing import Any

import orjson

from configuration.errors import ClusterError, K8sMcpError, NotFound
from kinds.kind import Kind
from mcp_tools.at_most import at_most
from mcp_tools.discovery import not_served
from mcp_tools.error_answers import described
from mcp_tools.held_watch import WatchTarget
from mcp_tools.k8s_api import ClusterApi
from mcp_tools.object_counts import count_objects_at
from mcp_tools.object_names import namespace_name
from mcp_tools.permitted_namespaces import permitted_namespaces
from mcp_tools.plain_text import plain_text
from mcp_tools.tool_declaration import (
    CONTEXT,
    NAMESPACE_FILTER,
    Schema,
    ToolAnswer,
    ToolContext,
    ToolDeclaration,
    boolean,
    integer,
    listing,
    number,
    record,
    text,
    tool,
)  # fmt: skip
from mcp_tools.watch_holder import WatchRequest, WatchResult

MAX_WATCHES = 1000
KIND = text("Kind, e.g. pods.", max_length=253)
CURSOR: Schema = {
    "type": "string",
    "description": "The resource_version of a complete list, afterwards the cursor of the previous answer.",
    "pattern": "^(?!0+$)[A-Za-z0-9._:-]{1,64}$",
}


@tool(
    "k8s_list_changes",
    title="List what changed since",
    arguments={
        "context": CONTEXT,
        "watches": listing(
            record({"kind": KIND, "namespace": NAMESPACE_FILTER, "cursor": CURSOR}, required=("kind", "cursor")),
            "What to follow, and from where.",
            most=MAX_WATCHES,
        ),
        "wait_seconds": number("How long to wait for the first change; 0: what there is now.", maximum=60, default=0),
        "linger_seconds": number("How long to wait for further changes after the first.", maximum=5, default=0.4),
        "hold": boolean("Keep the watches open for the next call; false: read until quiet, then close them.", default=True),
        "max_changes": integer("How many changes at most, over all watches.", minimum=1, maximum=100_000, default=2000),
        "max_bytes": integer(
            "How many bytes of changes at most, over all watches; a single larger change comes alone.",
            minimum=65536,
            maximum=24 * 1024 * 1024,
            default=8 * 1024 * 1024,
        ),
    },
    output=None,
    bulk=True,
)
async def list_changes(
    tools: ToolContext, *, watches: list[dict[str, str]], context: str = "", wait_seconds: float = 0,
    linger_seconds: float = 0.4, hold: bool = True, max_changes: int = 2000, max_bytes: int = 8 * 1024 * 1024,
) -> ToolAnswer:  # fmt: skip
    """For programs, not for models: what happened to objects since a resourceVersion, redacted, as JSON text
    {results: [{kind, namespace, cursor, changes: [{type, object, manager}], heard_at, live, more, error}], redactor_version,
    key_id}. Results come in the order of `watches`. An error ends the wait, as a change does. `manager` is who made the newest
    change, null where that cannot be told; `heard_at` when the API server was last heard, in epoch seconds, null for never;
    `live` false: no request is open now, or nothing was heard on it for long, so that no changes may mean nothing."""
    api = tools.clusters.api(context)
    asked = [await _request(tools, api, one) for one in watches]
    requests = [one for one in asked if isinstance(one, WatchRequest)]
    found = iter(
        await tools.watches.poll(
            requests,
            tools.redactor,
            wait_seconds=wait_seconds if len(requests) == len(asked) else 0,
            linger_seconds=linger_seconds,
            hold=hold,
            max_changes=max_changes,
            max_bytes=max_bytes,
        )
    )
    results = []
    for wanted, one in zip(watches, asked, strict=True):
        head = _named(tools, wanted) | {"cursor": wanted["cursor"]}
        if isinstance(one, WatchRequest):
            results.append(_as_json(head, next(found), tools))
        else:
            results.append(_as_json(head, WatchResult(wanted["cursor"], error=one), tools))
    tail = {"redactor_version": tools.redactor.version, "key_id": tools.redactor.key_id}
    return ToolAnswer((b'{"results":[' + b",".join(results) + b"]," + orjson.dumps(tail)[1:]).decode())


async def _request(tools: ToolContext, api: ClusterApi, wanted: dict[str, str]) -> WatchRequest | K8sMcpError:
    try:
        kind, namespace = await tools.discovery.kind(api, wanted["kind"]), wanted.get("namespace", "")
        scope = namespace_name(namespace) if namespace else None
        return WatchRequest(api, WatchTarget.of(api, kind, scope), wanted["cursor"])
    except K8sMcpError as error:
        return error


def _named(tools: ToolContext, wanted: dict[str, str]) -> dict[str, Any]:
    """What was asked for, as it is said back: arguments that are no names may hold anything."""
    return {key: plain_text(tools.redactor.redact_echo(wanted.get(key, ""))) for key in ("kind", "namespace")}


def _as_json(head: dict[str, Any], result: WatchResult, tools: ToolContext) -> bytes:
    head["cursor"] = result.cursor
    tail = {
        "heard_at": result.heard_at,
        "live": result.live,
        "more": result.more,
        "error": described(result.error, tools.redactor) if result.error else None,
    }
    changes = b",".join(change.body for change in result.changes)
    return orjson.dumps(head)[:-1] + b',"changes":[' + changes + b"]," + orjson.dumps(tail)[1:]


@tool(
    "k8s_count_objects",
    title="Count objects",
    arguments={
        "context": CONTEXT,
        "counts": listing(
            record({"kind": KIND, "namespace": NAMESPACE_FILTER}, required=("kind",)), "What to count.", most=MAX_WATCHES
        ),
    },
    output=None,
    bulk=True,
)
async def count_objects(tools: ToolContext, *, counts: list[dict[str, str]], context: str = "") -> ToolAnswer:
    """For programs, not for models: how many objects there are now, at almost no cost to the API server, as JSON text
    {results: [{kind, namespace, count, resource_version, error}]}. The resource version is the whole server's."""
    api = tools.clusters.api(context)

    async def count(wanted: dict[str, str]) -> dict[str, Any]:
        head = _named(tools, wanted)
        try:
            kind = await tools.discovery.kind(api, wanted["kind"])
            return head | await _count(api, kind, wanted.get("namespace", ""))
        except K8sMcpError as error:
            return head | {"count": None, "resource_version": "", "error": described(error, tools.redactor)}

    return ToolAnswer(orjson.dumps({"results": await at_most(counts, count)}).decode())


async def _count(api: ClusterApi, kind: Kind, namespace: str) -> dict[str, Any]:
    scope = namespace_name(namespace) if namespace else None
    doing = f"count {kind.name}" + (f" in namespace {scope}" if scope else "")
    try:
        found = await count_objects_at(api, kind.api_path(scope), doing=doing)
    except NotFound as error:
        raise not_served(api.context, kind, error) from None
    return {"count": found.count, "resource_version": found.resource_version, "error": None}


@tool("k8s_api_usage", title="What this server has asked of the API servers", arguments={}, output=None, bulk=True)
async def api_usage(tools: ToolContext) -> ToolAnswer:
    """For programs, not for models: requests by Kubernetes verb and bytes received, counted since this server's start, as JSON
    text {started_at, server_id, contexts: {name: {requests, bytes_received, watches_held}}}. Bytes are those of headers and
    bodies as they came, compressed; another server_id means that the counters began anew."""
    contexts = {
        name: {
            "requests": api.usage.requests,
            "bytes_received": api.usage.bytes_received,
            "watches_held": tools.watches.held(name),
        }
        for name, api in sorted(tools.clusters.used().items())
    }
    answer = {"started_at": tools.started_at, "server_id": tools.server_id, "contexts": contexts}
    return ToolAnswer(orjson.dumps(answer).decode())


@tool(
    "k8s_permitted_namespaces",
    title="Find the namespaces where kinds may be listed",
    arguments={
        "context": CONTEXT,
        "kinds": listing(KIND, "Kinds to look for.", most=MAX_WATCHES),
        "namespaces": listing(
            text("Namespace.", max_length=63),
            "Where to look; empty: all namespaces that exist, or the context's own when they may not be listed.",
            most=10_000,
            default=(),
        ),
    },
    output=None,
    bulk=True,
)
async def permitted(
    tools: ToolContext, *, kinds: list[str], context: str = "", namespaces: list[str] | None = None
) -> ToolAnswer:
    """For programs, not for models: where each kind may be listed with these credentials, as JSON text
    {permitted: {kind: [namespace]}, namespaces: [all that were looked at], error}."""
    api = tools.clusters.api(context)
    wanted = {name: await tools.discovery.kind(api, name) for name in kinds}
    looked_at = [namespace_name(namespace) for namespace in namespaces or ()]
    answer: dict[str, Any] = {"permitted": {name: [] for name in kinds}, "namespaces": looked_at, "error": None}
    try:
        found = await permitted_namespaces(api, list(wanted.values()), looked_at, tools.clusters.own_namespace(api.context))
    except ClusterError as error:
        answer["error"] = described(error, tools.redactor)
    else:
        answer["namespaces"] = found.namespaces
        answer["permitted"] = {name: found.kinds.get(kind.name, ()) for name, kind in wanted.items()}
    return ToolAnswer(orjson.dumps(answer).decode())


TOOLS: tuple[ToolDeclaration, ...] = (list_changes, count_objects, api_usage, permitted)
