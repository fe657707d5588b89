"""List tools: one for each kind that is asked for most, and a generic one for all kinds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from configuration.errors import InvalidArguments
from kinds.kind import Kind
from kinds.list_query import DEFAULT_LIMIT, MAX_LIMIT, ListQuery
from kinds.registry import KINDS
from mcp_tools.answer_budget import DEFAULT_TOKENS
from mcp_tools.k8s_tools.reading import KIND_WORDS
from mcp_tools.list_answers import ListCall, rows_answer, whole_answer
from mcp_tools.live_lists import read_list
from mcp_tools.missing_namespace import require_namespace
from mcp_tools.object_names import namespace_name
from mcp_tools.output_schemas import list_schema
from mcp_tools.tool_declaration import (
    CONTEXT,
    MAX_TOKENS_WHOLE,
    NAMESPACE_FILTER,
    Schema,
    ToolAnswer,
    ToolContext,
    ToolDeclaration,
    boolean,
    integer,
    text,
    tool,
)

_SELECTOR = text("Label selector as kubectl writes it, e.g. app=web,tier!=db,env in (prod,stage).", max_length=4096, default="")
_LIMIT = integer("How many rows at most.", minimum=1, maximum=MAX_LIMIT)
_CONTINUE = text("The `continue` of the previous answer, for the rows after it.", max_length=16384, default="")
_VIEW = text(
    "auto: all rows when they fit, else a summary (counts, what is not healthy, first rows); with limit: rows.",
    choices=("auto", "summary", "rows"),
    default="auto",
)
_PAGE: dict[str, Schema] = {"view": _VIEW, "limit": _LIMIT, "continue_token": _CONTINUE, "max_tokens": MAX_TOKENS_WHOLE}
_NAMED = ("namespaces", "nodes", "pods", "services")


async def _list(
    tools: ToolContext, kind: Kind, tool_name: str, *, context: str, namespace: str, label_selector: str,
    filters: dict[str, Any], shown_as: Mapping[str, Any], view: str, limit: int | None, continue_token: str, max_tokens: int,
) -> ToolAnswer:  # fmt: skip
    """`shown_as`: the kind and the filters as the arguments of this tool."""
    query = ListQuery(
        kind=kind,
        namespace=namespace_name(namespace) if namespace else None,
        selector=label_selector.strip(),
        filters=filters,
        limit=limit or DEFAULT_LIMIT,
        continue_token=continue_token,
    )
    asked = {"context": context, "namespace": namespace, "label_selector": query.selector, **shown_as}
    call, api, now = ListCall(tool_name, asked, max_tokens), tools.clusters.api(context), tools.clock()
    if view == "rows" or (view == "auto" and (limit or continue_token)):
        found = await read_list(api, tools.redactor, query, now=now)
        if not found.rows:
            await require_namespace(api, query.namespace)
        return rows_answer(call, kind, found, query.limit)
    if continue_token:
        raise InvalidArguments(f"{tool_name}: a summary is of the whole list; leave continue_token out, or ask with view=rows")
    answer = await whole_answer(api, tools.redactor, query, call, now=now, rows_if_they_fit=view == "auto")
    if answer.structured and answer.structured["envelope"]["total"] == 0:
        await require_namespace(api, query.namespace)
    return answer


def _filter_schema(kind: Kind, name: str) -> Schema:
    column = kind.columns_by_name[kind.filters[name]]
    words = f"Only this: {column.doc}"
    if column.type == "boolean":
        return boolean(words)
    if column.type in ("integer", "time"):
        return {"type": "integer", "description": words}
    return text(words)


def _list_tool(kind: Kind) -> ToolDeclaration:
    filters = {name: _filter_schema(kind, name) for name in kind.filters}
    arguments = {"context": CONTEXT, **({"namespace": NAMESPACE_FILTER} if kind.namespaced else {}), "label_selector": _SELECTOR}
    arguments |= filters | _PAGE
    name = f"k8s_list_{kind.name}"

    async def run(tools: ToolContext, **given: Any) -> ToolAnswer:
        wanted = {name: given.pop(name) for name in filters if name in given}
        return await _list(tools, kind, name, filters=wanted, shown_as=wanted, **{"namespace": "", "limit": None, **given})

    run.__doc__ = f"List {kind.name} as kubectl does; of many, a summary."
    return tool(name, title=f"List {kind.name}", arguments=arguments, output=list_schema(kind))(run)


@tool(
    "k8s_list_resources",
    title="List objects of any kind",
    arguments={
        "context": CONTEXT,
        "kind": text(KIND_WORDS, max_length=316),
        "namespace": NAMESPACE_FILTER,
        "label_selector": _SELECTOR,
        "filters": {
            "type": "object",
            "description": 'e.g. {"healthy": false}; a wrong name is answered with those that the kind knows.',
            "additionalProperties": {"type": ["string", "boolean", "integer"], "maxLength": 253},
            "maxProperties": 10,
            "default": {},
        },
        **_PAGE,
    },
    output=list_schema(None),
)
async def list_resources(
    tools: ToolContext, *, kind: str, context: str = "", namespace: str = "", label_selector: str = "",
    filters: dict[str, Any] | None = None, view: str = "auto", limit: int | None = None, continue_token: str = "",
    max_tokens: int = DEFAULT_TOKENS,
) -> ToolAnswer:  # fmt: skip
    """List objects of any kind, custom resources too, as kubectl does; of many, a summary."""
    found = await tools.discovery.kind(tools.clusters.api(context), kind)
    _check_filters(found, filters or {})
    return await _list(
        tools, found, "k8s_list_resources", context=context, namespace=namespace, label_selector=label_selector,
        filters=filters or {}, shown_as={"kind": kind, "filters": filters or {}}, view=view, limit=limit,
        continue_token=continue_token, max_tokens=max_tokens,
    )  # fmt: skip


def _check_filters(kind: Kind, filters: dict[str, Any]) -> None:
    """The schema cannot know the kind: types of the values are checked here. Unknown names: ListQuery."""
    for name, value in filters.items():
        if name not in kind.filters:
            continue
        expected = _filter_schema(kind, name)["type"]
        actual = "boolean" if isinstance(value, bool) else "integer" if isinstance(value, int) else "string"
        if actual != expected:
            raise InvalidArguments(f"filters.{name} of {kind.name} must be a {expected}, not {actual}")


TOOLS: tuple[ToolDeclaration, ...] = (*(_list_tool(KINDS[name]) for name in _NAMED), list_resources)
