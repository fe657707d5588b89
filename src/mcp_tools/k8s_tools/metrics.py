"""What pods and nodes use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from configuration.errors import NotPermitted
from kinds.counted import counted
from kinds.envelope import live
from kinds.label_selector import parse
from kinds.nodes import NodeRecord
from kinds.registry import KINDS
from kinds.storable_check import StorableCheck
from kinds.tolerant_read import read_tolerantly
from mcp_tools import usage_metrics
from mcp_tools.answer_budget import fitting
from mcp_tools.k8s_api import ClusterApi
from mcp_tools.left_out_namespaces import left_out_note
from mcp_tools.object_names import namespace_name
from mcp_tools.object_reading import read_objects
from mcp_tools.output_schemas import ENVELOPE, obj
from mcp_tools.text_tables import rows_as_text
from mcp_tools.tool_declaration import (
    CONTEXT,
    MAX_TOKENS,
    NAMESPACE_FILTER,
    ToolAnswer,
    ToolContext,
    ToolDeclaration,
    integer,
    text,
    tool,
)
from mcp_tools.usage_metrics import Usage, read_usage

_NODES = KINDS["nodes"]
_COUNT = {"type": "integer"}
_COUNT_OR_NULL = {"type": ["integer", "null"]}
_ROW = obj(
    {
        "namespace": {"type": "string"},
        "name": {"type": "string"},
        "cpu_millicores": _COUNT,
        "cpu_percent": {"type": ["integer", "null"], "description": "Of the node's allocatable; nodes only"},
        "memory_bytes": _COUNT,
        "memory_percent": _COUNT_OR_NULL,
    },
    optional=("namespace", "cpu_percent", "memory_percent"),
)
_COLUMNS = {
    "pods": ("namespace", "name", "cpu_millicores", "memory_bytes"),
    "nodes": ("name", "cpu_millicores", "cpu_percent", "memory_bytes", "memory_percent"),
}
_SORTED_BY = {"cpu": "cpu_millicores", "memory": "memory_bytes"}


@tool(
    "k8s_top",
    title="CPU and memory in use",
    arguments={
        "context": CONTEXT,
        "kind": text("What.", choices=("pods", "nodes"), default="pods"),
        "namespace": NAMESPACE_FILTER,
        "label_selector": text("As kubectl writes it.", max_length=4096, default=""),
        "sort_by": text("Highest first.", choices=("cpu", "memory"), default="cpu"),
        "skip": integer("Rows already seen.", minimum=0, maximum=1_000_000, default=0),
        "max_tokens": MAX_TOKENS,
    },
    output=obj({"rows": {"type": "array", "items": _ROW}, "envelope": ENVELOPE}),
)
async def top(
    tools: ToolContext, *, context: str = "", kind: str = "pods", namespace: str = "", label_selector: str = "",
    sort_by: str = "cpu", skip: int = 0, max_tokens: int = 4000,
) -> ToolAnswer:  # fmt: skip
    """CPU and memory that pods or nodes use now (metrics.k8s.io)."""
    api = tools.clusters.api(context)
    selector = label_selector.strip()
    parse(selector)
    scope = namespace_name(namespace) if namespace and kind == "pods" else None
    measured = usage_metrics.PODS if kind == "pods" else usage_metrics.NODES
    usage = await read_usage(api, tools.redactor, measured, namespace=scope, selector=selector)
    allocatable = await _allocatable(api, tools) if kind == "nodes" else {}
    rows = [_row(one, kind, allocatable) for one in usage.found]
    rows.sort(key=lambda row: (-row[_SORTED_BY[sort_by]], row.get("namespace", ""), row["name"]))
    total = (sum(one.cpu_millicores for one in usage.found), sum(one.memory_bytes for one in usage.found))

    def render(shown: Sequence[dict[str, Any]]) -> ToolAnswer:
        left = len(rows) - skip - len(shown)
        notes = [f"all together {total[0]}m CPU, {total[1] // 2**20} MiB; highest {sort_by} first"]
        notes += [f"{counted(left, 'row')} left out: repeat with skip={skip + len(shown)}"] if left > 0 else []
        notes += [hidden] if (hidden := left_out_note(api, KINDS[kind], namespace)) else []
        notes += ["percentages are missing: nodes may not be listed"] if kind == "nodes" and not allocatable else []
        notes += [f"only {usage.looked_at} were read: narrow with namespace or label_selector"] if usage.more else []
        envelope = live(
            api.context, kind, now=tools.clock(), shown=len(shown), total=None if usage.more else len(rows), more=left > 0,
            complete=not usage.more, note="; ".join(notes),
        )  # fmt: skip
        structured = {"rows": list(shown), "envelope": envelope.as_json()}
        return ToolAnswer(rows_as_text(_COLUMNS[kind], shown, envelope, ""), structured)

    return fitting(rows[skip:], render, max_tokens)


async def _allocatable(api: ClusterApi, tools: ToolContext) -> dict[str, tuple[int | None, int | None]]:
    """Node -> millicores and bytes that pods may have; {} when nodes may not be listed."""
    check = StorableCheck(_NODES)

    def take(node: dict[str, Any]) -> tuple[str, int | None, int | None] | None:
        record = read_tolerantly(node, _NODES, check).record
        return (
            (record.name, record.cpu_allocatable_millicores, record.memory_allocatable_bytes)
            if isinstance(record, NodeRecord)
            else None
        )

    try:
        read = await read_objects(api, tools.redactor, _NODES, take)
    except NotPermitted:
        return {}
    return {name: (cpu, memory) for name, cpu, memory in read.found}


def _row(usage: Usage, kind: str, allocatable: Mapping[str, tuple[int | None, int | None]]) -> dict[str, Any]:
    row = {"name": usage.name, "cpu_millicores": usage.cpu_millicores, "memory_bytes": usage.memory_bytes}
    if kind == "pods":
        return {"namespace": usage.namespace} | row
    cpu, memory = allocatable.get(usage.name, (None, None))
    return row | {
        "cpu_percent": _percent(usage.cpu_millicores, cpu),
        "memory_percent": _percent(usage.memory_bytes, memory),
    }


def _percent(used: int, of: int | None) -> int | None:
    return round(100 * used / of) if of else None


TOOLS: tuple[ToolDeclaration, ...] = (top,)
