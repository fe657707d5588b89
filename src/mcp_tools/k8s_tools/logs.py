"""Logs of a pod's containers."""

from __future__ import annotations

from typing import Any

import orjson

from configuration.errors import InvalidArguments, NotPermitted
from kinds.registry import KINDS
from mcp_tools.k8s_api import AnswerTooLarge, ClusterApi
from mcp_tools.k8s_tools.reading import scope_of
from mcp_tools.log_lines import LogLines, prepare
from mcp_tools.object_names import container_name, object_name
from mcp_tools.output_schemas import obj
from mcp_tools.tool_declaration import CONTEXT, ToolAnswer, ToolContext, ToolDeclaration, boolean, integer, text, tool

TAIL_LINES = 200
TAIL_LINES_GREP = 5000
_READ_BYTES = 8 * 1024 * 1024
_LAST_LINE_BYTES = 256 * 1024
_PODS = KINDS["pods"]


@tool(
    "k8s_get_pod_logs",
    title="Get logs of a pod",
    arguments={
        "context": CONTEXT,
        "name": text("Name of the pod."),
        "namespace": text("Its namespace; empty: the context's own.", max_length=63, default=""),
        "container": text("Container; needed when the pod has several.", max_length=63, default=""),
        "previous": boolean("The run before the last restart: what a crashed container said.", default=False),
        "tail_lines": integer(
            f"How many of the last lines to read (default {TAIL_LINES}, with grep {TAIL_LINES_GREP}).", minimum=1, maximum=5000
        ),
        "since_seconds": integer("Only lines younger than this.", minimum=1, maximum=31_536_000),
        "timestamps": boolean("Begin each line with its time (RFC 3339, UTC).", default=False),
        "grep": text(
            "Regular expression; only lines that match are shown. Searched after redaction.", max_length=500, default=""
        ),
    },
    output=obj(
        {
            "cluster": {"type": "string"},
            "namespace": {"type": "string"},
            "pod": {"type": "string"},
            "container": {"type": "string"},
            "previous": {"type": "boolean"},
            "lines": {"type": "array", "items": {"type": "string"}},
            "shown": {"type": "integer"},
            "read": {"type": "integer", "description": "Lines that the API server sent"},
            "matched": {"type": ["integer", "null"], "description": "Lines that fit grep; null without grep"},
            "truncated": {"type": "boolean", "description": "Whether something that was asked for is left out"},
            "note": {"type": "string"},
        }
    ),
)
async def get_pod_logs(
    tools: ToolContext, *, name: str, context: str = "", namespace: str = "", container: str = "", previous: bool = False,
    tail_lines: int | None = None, since_seconds: int | None = None, timestamps: bool = False, grep: str = "",
) -> ToolAnswer:  # fmt: skip
    """The last log lines of a container, newest last, secrets redacted (best effort in free text), searched with grep."""
    api = tools.clusters.api(context)
    pod, scope = object_name(name), str(scope_of(tools, api, _PODS, namespace))
    container = await _choose_container(api, scope, pod, container_name(container) if container else "")
    tail = tail_lines or (TAIL_LINES_GREP if grep else TAIL_LINES)
    query: list[tuple[str, str | int]] = [("container", container)] if container else []
    query += [("previous", "true")] if previous else []
    query += [("timestamps", "true")] if timestamps else []
    query += [("sinceSeconds", since_seconds)] if since_seconds else []
    body, used = await _read(api, scope, pod, query, tail)
    found = await prepare(body, tools.redactor, grep)
    note = _note(found, used, tail)
    structured = {
        "cluster": api.context, "namespace": scope, "pod": pod, "container": container, "previous": previous,
        "lines": found.lines, "shown": len(found.lines), "read": found.read, "matched": found.matched,
        "truncated": bool(found.left_out) or used < tail, "note": note,
    }  # fmt: skip
    return ToolAnswer("\n".join([f"[{note}]", *found.lines]), structured)


async def _choose_container(api: ClusterApi, namespace: str, pod: str, wanted: str) -> str:
    """The container that was named, or the only one. Without permission to read the pod the API server decides."""
    try:
        answer = await api.get(_PODS.api_path(namespace, pod), doing=f"get Pod {namespace}/{pod}")
    except NotPermitted:
        return wanted
    spec: dict[str, Any] = orjson.loads(answer.body).get("spec") or {}
    groups = {
        field: [str(item["name"]) for item in spec.get(field) or []]
        for field in ("containers", "initContainers", "ephemeralContainers")
    }
    known = [name for names in groups.values() for name in names]
    if wanted in known:
        return wanted
    if not wanted and len(groups["containers"]) == 1:
        return groups["containers"][0]
    complaint = f"has no container {wanted!r}" if wanted else "has several containers: name one in `container`"
    others = [f"{name} (init)" for name in groups["initContainers"]] + [
        f"{name} (ephemeral)" for name in groups["ephemeralContainers"]
    ]
    raise InvalidArguments(f"Pod {namespace}/{pod} {complaint}; it has: {', '.join(groups['containers'] + others)}")


async def _read(api: ClusterApi, namespace: str, pod: str, query: list[tuple[str, str | int]], tail: int) -> tuple[bytes, int]:
    """The last `tail` lines, or fewer when they are too long. `limitBytes` would cut off the newest ones."""
    doing = f"read the logs of Pod {namespace}/{pod}"
    path = f"{_PODS.api_path(namespace, pod)}/log"
    while tail > 1:
        try:
            return (await api.get(path, doing=doing, query=[*query, ("tailLines", tail)], max_bytes=_READ_BYTES)).body, tail
        except AnswerTooLarge:
            tail //= 4
    last = [*query, ("tailLines", 1), ("limitBytes", _LAST_LINE_BYTES)]
    return (await api.get(path, doing=doing, query=last)).body, 1


def _note(found: LogLines, used: int, wanted: int) -> str:
    parts = [
        f"{len(found.lines)} of {found.read} lines shown"
        if found.matched is None
        else f"{found.matched} of the last {found.read} lines match"
    ]
    if used < wanted:
        parts.append(f"only the last {used} lines were read, they are long")
    elif found.read >= used:
        parts.append(
            "older lines exist or may exist: raise tail_lines or narrow with since_seconds"
            if used < 5000
            else "older lines may exist"
        )
    if found.left_out:
        parts.append(f"{found.left_out} older lines left out to keep the answer short: narrow with grep or since_seconds")
    return "; ".join(parts)


TOOLS: tuple[ToolDeclaration, ...] = (get_pod_logs,)
