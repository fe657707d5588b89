"""Which kinds a cluster serves."""

from __future__ import annotations

from typing import Any

from mcp_tools.discovery import ApiResource
from mcp_tools.output_schemas import obj
from mcp_tools.plain_text import plain_text
from mcp_tools.tool_declaration import CONTEXT, ToolAnswer, ToolContext, ToolDeclaration, text, tool

_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_ROW = obj(
    {
        "name": {"type": "string", "description": "Plural; other tools take `name.group`, of the core group `name`"},
        "kind": _TEXT,
        "group": {"type": "string", "description": "Empty for the core group"},
        "version": {"type": "string", "description": "The one that the API server prefers"},
        "namespaced": {"type": "boolean"},
        "verbs": _TEXTS,
        "short_names": _TEXTS,
    }
)


@tool(
    "k8s_list_api_resources",
    title="List the kinds that a cluster serves",
    arguments={
        "context": CONTEXT,
        "group": text("Only this API group, e.g. apps; `core` for the group of pods; empty: all.", default=""),
        "name": text(
            "Only what is called so: plural, kind, short name, or plural.group; empty: all.", max_length=316, default=""
        ),
    },
    output=obj(
        {
            "cluster": _TEXT,
            "rows": {"type": "array", "items": _ROW},
            "unknown_groups": {"type": "array", "items": _TEXT, "description": "Groups whose server did not answer"},
        }
    ),
)
async def list_api_resources(tools: ToolContext, *, context: str = "", group: str = "", name: str = "") -> ToolAnswer:
    """The kinds that a cluster serves, custom resources too, as `kubectl api-resources` lists them; at most 5 minutes old."""
    api = tools.clusters.api(context)
    served = await tools.discovery.served(api)
    wanted_group, wanted = ("" if group == "core" else group), name.strip().lower()
    found = [
        one for one in served.resources if (not group or one.group == wanted_group) and (not wanted or one.is_called(wanted))
    ]
    structured = {"cluster": api.context, "rows": [_row(one) for one in found], "unknown_groups": list(served.unknown_groups)}
    return ToolAnswer(_as_text(api.context, found, served.unknown_groups), structured)


def _row(one: ApiResource) -> dict[str, Any]:
    return {
        "name": one.name,
        "kind": one.kind,
        "group": one.group,
        "version": one.version,
        "namespaced": one.namespaced,
        "verbs": list(one.verbs),
        "short_names": list(one.short_names),
    }


def _as_text(context: str, found: list[ApiResource], unknown: tuple[str, ...]) -> str:
    lines = [f"{len(found)} kinds in {context}, live", "name\tkind\tversion\tnamespaced\tshort names"]
    for one in found:
        cells = (one.full_name, one.kind, one.version, str(one.namespaced).lower(), ",".join(one.short_names) or "-")
        lines.append("\t".join(cells))
    if unknown:
        lines.append(f"these groups did not answer: {', '.join(unknown)}")
    return plain_text("\n".join(lines))


TOOLS: tuple[ToolDeclaration, ...] = (list_api_resources,)
