"""Which tool calls the cache can answer, and what it has to be asked. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from configuration.errors import UnknownKind
from kinds.kind import Kind
from kinds.list_query import DEFAULT_LIMIT, ListQuery
from kinds.registry import KINDS, find_kind
from mcp_tools.tool_spec import WHOLE_ANSWER

LIST_TOOLS: Mapping[str, str] = {
    "k8s_list_namespaces": "namespaces", "k8s_list_nodes": "nodes", "k8s_list_pods": "pods", "k8s_list_services": "services",
}  # fmt: skip
GENERIC_LIST = "k8s_list_resources"
GET = "k8s_get_resource"
CACHEABLE_TOOLS = frozenset({*LIST_TOOLS, GENERIC_LIST, GET})


@dataclass(frozen=True, slots=True)
class CachedList:
    """A list that the cache can answer; its continue token is set by the gateway."""

    kind: Kind
    query: ListQuery

    @property
    def namespace(self) -> str | None:
        return self.query.namespace

    @property
    def what(self) -> str:
        return self.kind.name


@dataclass(frozen=True, slots=True)
class CachedGet:
    """One object with its manifest."""

    kind: Kind
    namespace: str | None
    name: str

    @property
    def what(self) -> str:
        return f"{self.kind.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind.kind} {self.name}"


CachedRead = CachedList | CachedGet


def cached_read(tool: str, arguments: Mapping[str, Any]) -> CachedRead | None:
    """None for tools that the cache has nothing for (logs, cluster info, changes) and for kinds it does not know.

    `arguments` fit the tool's schema. Raises InvalidSelector or ConfigurationError for a selector or filter that the
    live tool would refuse too.
    """
    if tool not in CACHEABLE_TOOLS or arguments.get("view") == "summary" or arguments.get("path"):
        return None  # counted, or cut, by the server
    kind = _kind(tool, arguments)
    if kind is None:
        return None
    namespace = (arguments.get("namespace") or None) if kind.namespaced else None
    if tool == GET:
        if kind.namespaced and namespace is None:
            return None  # the server knows which namespace is meant
        return CachedGet(kind, namespace, str(arguments["name"]))
    given = arguments.get("filters") or {} if tool == GENERIC_LIST else arguments
    filters = {name: value for name, value in given.items() if tool == GENERIC_LIST or name in kind.filters}
    if not all(_fits(kind, name, value) for name, value in filters.items()):
        return None  # the server has the words for what is wrong with it
    query = ListQuery(
        kind=kind,
        namespace=namespace,
        selector=str(arguments.get("label_selector") or "").strip(),
        filters=filters,
        limit=int(arguments.get("limit") or DEFAULT_LIMIT),
    )
    _ = query.requirements  # a wrong selector is refused here as it is live
    return CachedList(kind, query)


def live_arguments(tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with which our server answers a read as the cache would: rows, and all of them; who shows it to a model
    cuts it then."""
    if tool not in CACHEABLE_TOOLS:
        return dict(arguments)
    rows = {} if tool == GET else {"view": "rows"}
    return {"max_tokens": WHOLE_ANSWER} | rows | dict(arguments)


def _fits(kind: Kind, name: str, value: Any) -> bool:
    """Whether a filter's value has the type of its column; a name that the kind does not know is ListQuery's business."""
    if name not in kind.filters:
        return True
    expected = {"boolean": bool, "integer": int, "time": int}.get(kind.columns_by_name[kind.filters[name]].type, str)
    return type(value) is expected


def _kind(tool: str, arguments: Mapping[str, Any]) -> Kind | None:
    if tool in LIST_TOOLS:
        return KINDS[LIST_TOOLS[tool]]
    try:
        return find_kind(str(arguments.get("kind", "")))
    except UnknownKind:
        return None
