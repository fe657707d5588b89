"""Which kinds a cluster serves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kinds.counted import counted
from mcp_tools.answer_budget import DEFAULT_TOKENS, fitting
from mcp_tools.discovery import ApiResource
from mcp_tools.output_schemas import obj
from mcp_tools.plain_text import plain_text
from mcp_tools.text_tables import call_text
from mcp_tools.tool_declaration import CONTEXT, MAX_TOKENS_WHOLE, OFFSET, ToolAnswer, ToolContext, ToolDeclaration, text, tool

_MOST_UNKNOWN = 50
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
        "offset": OFFSET,
        "max_tokens": MAX_TOKENS_WHOLE,
    },
    output=obj(
        {
            "cluster": _TEXT,
            "total": {"type": "integer"},
            "rows": {"type": "array", "items": _ROW},
            "unknown_groups": {"type": "array", "items": _TEXT, "description": "Groups whose server did not answer"},
        }
    ),
)
async def list_api_resources(
    tools: ToolContext, *, context: str = "", group: str = "", name: str = "", offset: int = 0, max_tokens: int = DEFAULT_TOKENS
) -> ToolAnswer:
    """The kinds that a cluster serves, custom resources too; at most 5 minutes old."""
    api = tools.clusters.api(context)
    served = await tools.discovery.served(api)
    wanted_group, wanted = ("" if group == "core" else group), name.strip().lower()
    found = [
        one for one in served.resources if (not group or one.group == wanted_group) and (not wanted or one.is_called(wanted))
    ]
    asked = {"context": context, "group": group, "name": name}
    unknown = list(served.unknown_groups[:_MOST_UNKNOWN])

    def render(shown: Sequence[ApiResource]) -> ToolAnswer:
        structured = {
            "cluster": api.context,
            "total": len(found),
            "rows": [_row(one) for one in shown],
            "unknown_groups": unknown,
        }
        reached = offset + len(shown)
        rest = call_text("k8s_list_api_resources", asked | {"offset": reached}) if reached < len(found) else ""
        return ToolAnswer(_as_text(api.context, shown, len(found), unknown, rest), structured)

    return fitting(found[offset:], render, max_tokens)


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


def _as_text(context: str, shown: Sequence[ApiResource], total: int, unknown: Sequence[str], rest: str) -> str:
    many = f"{len(shown)} of {total} kinds shown" if len(shown) < total else counted(total, "kind")
    lines = [f"{many} in {context}, live", "name\tkind\tversion\tnamespaced\tshort names"]
    for one in shown:
        cells = (one.full_name, one.kind, one.version, str(one.namespaced).lower(), ",".join(one.short_names) or "-")
        lines.append("\t".join(cells))
    if unknown:
        lines.append(f"these groups did not answer: {', '.join(unknown)}")
    if rest:
        lines.append(f"more: {rest}")
    return plain_text("\n".join(lines))


TOOLS: tuple[ToolDeclaration, ...] = (list_api_resources,)
