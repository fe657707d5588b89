"""What an object owns, directly and one level further down, with the state of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from configuration.errors import ClusterError, InvalidSelector
from kinds.kind import Kind, row
from kinds.label_selector import parse
from kinds.record import Record
from kinds.registry import KINDS
from kinds.storable_check import StorableCheck
from kinds.tolerant_read import read_tolerantly
from mcp_tools.at_most import at_most
from mcp_tools.discovery import kind_of
from mcp_tools.k8s_api import METADATA_LIST, ClusterApi
from mcp_tools.left_out_namespaces import left_out_note
from mcp_tools.list_pages import decode_object, decode_page
from mcp_tools.live_lists import joined
from mcp_tools.object_reading import read_objects
from mcp_tools.tool_declaration import ToolContext

OWNED_KINDS = {
    "deployments": "replicasets",
    "replicasets": "pods",
    "statefulsets": "pods",
    "daemonsets": "pods",
    "jobs": "pods",
    "cronjobs": "jobs",
}
"""The built-in controllers. What a custom resource owns is looked for; no other declared kind owns anything."""
_MOST_KINDS = 40
_MOST_OBJECTS = 2000
_STATE_COLUMNS = ("status", "status_phase", "ready", "ready_replicas", "replicas", "restarts", "completions", "healthy", "node")


@dataclass(frozen=True, slots=True)
class Child:
    """`state` holds the columns that say how it is; `healthy` None: its kind does not say."""

    kind: str
    namespace: str | None
    name: str
    uid: str
    healthy: bool | None
    state: dict[str, Any]

    def as_row(self) -> dict[str, Any]:
        return {"kind": self.kind, "name": self.name} | self.state


@dataclass(frozen=True, slots=True)
class Children:
    """`note` says what was not looked at."""

    found: list[Child]
    note: str = ""


async def children_of(api: ClusterApi, tools: ToolContext, kind: Kind, manifest: dict[str, Any]) -> Children:
    """Those that are not healthy first. Raises ClusterError when they may not be listed."""
    if kind.name not in OWNED_KINDS:
        return await _searched(api, tools, kind, manifest) if kind.generic else Children([])
    namespace, selector = manifest["metadata"].get("namespace"), selector_of(manifest)
    owners, found, more = {str(manifest["metadata"]["uid"])}, list[Child](), False
    parent = kind.name
    for _ in range(2):
        child_kind = KINDS[OWNED_KINDS[parent]]
        read = await read_children(api, tools, child_kind, owners, namespace, selector)
        found, more = found + read.found, more or bool(read.note)
        owners, parent = {child.uid for child in read.found}, child_kind.name
        if parent not in OWNED_KINDS or not owners:
            break
        selector = selector if kind.name == "deployments" else ""
    return Children(in_order(found), f"only {_MOST_OBJECTS} of each kind were looked through" if more else "")


async def read_children(
    api: ClusterApi, tools: ToolContext, kind: Kind, owners: set[str], namespace: str | None, selector: str = ""
) -> Children:
    """Objects of one kind that one of the owners (uids) owns."""
    check = StorableCheck(kind)

    def take(obj: dict[str, Any]) -> Child | None:
        references = (obj.get("metadata") or {}).get("ownerReferences") or []
        if not owners.intersection(one.get("uid") for one in references if isinstance(one, dict)):
            return None
        return child_of(kind, read_tolerantly(obj, kind, check).record)

    query = (("labelSelector", selector),) if selector else ()
    read = await read_objects(api, tools.redactor, kind, take, namespace=namespace, query=query, most=_MOST_OBJECTS)
    return Children(read.found, "more" if read.more else "")


def child_of(kind: Kind, record: Record | None) -> Child | None:
    """None for an object that could not be read."""
    if record is None:
        return None
    state = row(kind, record, [name for name in _STATE_COLUMNS if name in kind.columns_by_name and name != "healthy"])
    told = {name: value for name, value in state.items() if value is not None}
    return Child(kind.kind, record.namespace, record.name, record.uid, getattr(record, "healthy", None), told)


def in_order(children: Sequence[Child]) -> list[Child]:
    """What is not healthy first; ReplicaSets of the past last."""
    return sorted(children, key=lambda one: (one.state.get("replicas") == 0, one.healthy is not False, one.kind, one.name))


def selector_of(manifest: dict[str, Any]) -> str:
    """`spec.selector.matchLabels` as a selector; owned pods carry them. "" when there are none that can be asked for."""
    selector = (manifest.get("spec") or {}).get("selector")
    labels = selector.get("matchLabels") if isinstance(selector, dict) else None
    text = ",".join(f"{key}={value}" for key, value in labels.items()) if isinstance(labels, dict) else ""
    try:
        parse(text)
    except InvalidSelector:
        return ""
    return text


async def _searched(api: ClusterApi, tools: ToolContext, kind: Kind, manifest: dict[str, Any]) -> Children:
    """Of any other kind: the metadata of what a controller is likely to make, one page of each kind."""
    namespace, uid = manifest["metadata"].get("namespace"), manifest["metadata"].get("uid")
    served = await tools.discovery.served(api)
    related = [
        kind_of(one)
        for one in served.resources
        if "list" in one.verbs and one.group not in ("events.k8s.io", "metrics.k8s.io") and one.name != "events"
        and (one.namespaced or not namespace)
        and (one.group == kind.group or one.full_name in _DECLARED)
    ]  # fmt: skip
    incomplete = len(related) > _MOST_KINDS

    async def look(candidate: Kind) -> tuple[list[Child], bool]:
        try:
            return await _owned(api, tools, candidate, namespace, uid)
        except ClusterError:
            return [], True

    looked_at = await at_most(related[:_MOST_KINDS], look)
    incomplete = incomplete or any(more for _, more in looked_at)
    hidden = dict.fromkeys(left_out_note(api, one, namespace) for one in related if one.namespaced)
    note = joined("not every kind could be looked through" if incomplete else "", *hidden)
    return Children(in_order([child for found, _ in looked_at for child in found]), note)


async def _owned(api: ClusterApi, tools: ToolContext, kind: Kind, namespace: str | None, uid: object) -> tuple[list[Child], bool]:
    doing = f"list {kind.name}"
    answer = await api.get(kind.api_path(namespace), doing=doing, query=[("limit", 500)], accept=METADATA_LIST)
    page = decode_page(answer.body, doing)
    found = []
    for raw in page.items or []:
        metadata = tools.redactor.redact_object(decode_object(raw)).get("metadata") or {}
        references = metadata.get("ownerReferences") or []
        if any(isinstance(one, dict) and one.get("uid") == uid for one in references):
            found.append(
                Child(kind.kind, metadata.get("namespace"), str(metadata.get("name")), str(metadata.get("uid")), None, {})
            )
    return found, bool(page.metadata.continue_token)


_DECLARED = frozenset(f"{kind.resource}.{kind.group}" if kind.group else kind.resource for kind in KINDS.values())
