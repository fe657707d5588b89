"""List tools: one for each kind that is asked for most, and a generic one for all kinds."""

from __future__ import annotations

from typing import Any

from kinds.kind import Kind
from kinds.list_query import DEFAULT_LIMIT, MAX_LIMIT, ListQuery
from kinds.registry import KINDS
from mcp_tools.k8s_tools.reading import KIND_WORDS
from mcp_tools.live_lists import read_list
from mcp_tools.object_names import namespace_name
from mcp_tools.output_schemas import list_schema
from mcp_tools.text_tables import rows_as_text
from mcp_tools.tool_declaration import (
    CONTEXT,
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
_LIMIT = integer("How many rows at most.", minimum=1, maximum=MAX_LIMIT, default=DEFAULT_LIMIT)
_CONTINUE = text("The `continue` of the previous answer, for the rows after it.", max_length=16384, default="")
_NAMED = ("namespaces", "nodes", "pods", "services")


async def _list(
    tools: ToolContext, kind: Kind, *, context: str, namespace: str, label_selector: str, filters: dict[str, Any], **page: Any
) -> ToolAnswer:
    query = ListQuery(
        kind=kind,
        namespace=namespace_name(namespace) if namespace else None,
        selector=label_selector.strip(),
        filters=filters,
        limit=page["limit"],
        continue_token=page["continue_token"],
    )
    found = await read_list(tools.clusters.api(context), tools.redactor, query, now=tools.clock())
    return ToolAnswer(
        text=rows_as_text(kind.list_columns, found.rows, found.envelope, found.continue_token),
        structured={"rows": found.rows, "envelope": found.envelope.as_json(), "continue": found.continue_token},
    )


def _filter_schema(kind: Kind, name: str) -> Schema:
    column = kind.columns_by_name[kind.filters[name]]
    words = f"Only where this equals: {column.doc}"
    if column.type == "boolean":
        return boolean(words)
    if column.type in ("integer", "time"):
        return {"type": "integer", "description": words}
    return text(words)


def _list_tool(kind: Kind) -> ToolDeclaration:
    filters = {name: _filter_schema(kind, name) for name in kind.filters}
    arguments = {"context": CONTEXT, **({"namespace": NAMESPACE_FILTER} if kind.namespaced else {}), "label_selector": _SELECTOR}
    arguments |= filters | {"limit": _LIMIT, "continue_token": _CONTINUE}

    async def run(tools: ToolContext, **given: Any) -> ToolAnswer:
        wanted = {name: given.pop(name) for name in filters if name in given}
        return await _list(tools, kind, filters=wanted, **{"namespace": "", **given})

    run.__doc__ = f"List {kind.name} with the columns of `kubectl get -o wide`, in name order, filtered and paged by the server."
    title = f"List {kind.name}"
    return tool(f"k8s_list_{kind.name}", title=title, arguments=arguments, output=list_schema(kind))(run)


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
            "description": 'Equality filters of that kind, e.g. {"healthy": false}: '
            + "; ".join(f"{kind.name}: {', '.join(kind.filters)}" for kind in KINDS.values() if kind.filters),
            "additionalProperties": {"type": ["string", "boolean", "integer"]},
            "maxProperties": 10,
            "default": {},
        },
        "limit": _LIMIT,
        "continue_token": _CONTINUE,
    },
    output=list_schema(None),
)
async def list_resources(
    tools: ToolContext, *, kind: str, context: str = "", namespace: str = "", label_selector: str = "",
    filters: dict[str, Any] | None = None, limit: int = DEFAULT_LIMIT, continue_token: str = "",
) -> ToolAnswer:  # fmt: skip
    """List objects of one kind with the columns of `kubectl get -o wide`, in name order, filtered and paged by the server."""
    found = await tools.discovery.kind(tools.clusters.api(context), kind)
    _check_filters(found, filters or {})
    return await _list(
        tools, found, context=context, namespace=namespace, label_selector=label_selector, filters=filters or {},
        limit=limit, continue_token=continue_token,
    )  # fmt: skip


def _check_filters(kind: Kind, filters: dict[str, Any]) -> None:
    """The schema cannot know the kind: types of the values are checked here. Unknown names: ListQuery."""
    from configuration.errors import InvalidArguments

    for name, value in filters.items():
        if name not in kind.filters:
            continue
        expected = _filter_schema(kind, name)["type"]
        actual = "boolean" if isinstance(value, bool) else "integer" if isinstance(value, int) else "string"
        if actual != expected:
            raise InvalidArguments(f"filters.{name} of {kind.name} must be a {expected}, not {actual}")


TOOLS: tuple[ToolDeclaration, ...] = (*(_list_tool(KINDS[name]) for name in _NAMED), list_resources)
