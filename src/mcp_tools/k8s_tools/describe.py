"""One object with what one needs to know around it, in one answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from configuration.errors import ClusterError
from kinds.envelope import live
from kinds.events import EventRecord
from kinds.kind import Kind, row
from kinds.record import Record
from kinds.registry import KINDS
from kinds.storable_check import StorableCheck
from kinds.tolerant_read import read_tolerantly
from mcp_tools.description import Call, Description, Section
from mcp_tools.event_folding import event_row, fold, ordered
from mcp_tools.k8s_api import ClusterApi
from mcp_tools.k8s_tools.events import read_events
from mcp_tools.k8s_tools.reading import read_object, scope_of
from mcp_tools.left_out_namespaces import left_out_note
from mcp_tools.live_lists import joined
from mcp_tools.object_children import OWNED_KINDS, Children, children_of, selector_of
from mcp_tools.object_names import object_name
from mcp_tools.object_owners import owners_of
from mcp_tools.object_reading import Objects
from mcp_tools.object_surroundings import surroundings
from mcp_tools.output_schemas import ENVELOPE, obj
from mcp_tools.plain_text import plain_text
from mcp_tools.tool_declaration import CONTEXT, MAX_TOKENS, ToolAnswer, ToolContext, ToolDeclaration, text, tool

_TEXT = {"type": "string"}
_COUNT = {"type": "integer"}
_NOT_FACTS = frozenset(
    {
        "namespace",
        "name",
        "uid",
        "resource_version",
        "created_at",
        "labels",
        "annotations",
        "owner_uid",
        "owner_kind",
        "owner_name",
    }
    | {"spec", "status_json", "capacity_json", "manifest", "list_columns"}
)
_SHOWN_ELSEWHERE = {
    "pods": frozenset({"images", "ready_containers", "total_containers", "pod_ips", "tolerations"}),
    "services": frozenset({"port_list", "selector_map", "cluster_ips"}),
}
_LISTED = OWNED_KINDS | {"deployments": "pods"}
"""What to list for the children that are left out: those at the end of the chain."""
_CONDITIONS_FIRST = ("Ready", "Available")
_BAD_CONDITION = re.compile(
    "(Pressure|Unavailable|Fail(ed|ure)?|Error|Stalled|Degraded|Problem|Deadlock|Lost|DisruptionTarget|Suspended)$"
    "|Unhealthy|NotReady|^(Frequent|Readonly|Corrupt)"
)
"""Types that are trouble when they are True."""
_LONGEST_ANNOTATION = 120
_MOST_MANIFEST_LINES = 2000


@tool(
    "k8s_describe",
    title="Describe an object",
    arguments={
        "context": CONTEXT,
        "kind": text("Any kind.", max_length=316),
        "name": text("Object."),
        "namespace": text("Empty: the context's own.", max_length=63, default=""),
        "max_tokens": MAX_TOKENS,
    },
    output=obj(
        {
            "object": obj({"kind": _TEXT, "api_version": _TEXT, "namespace": _TEXT, "name": _TEXT, "uid": _TEXT,
                           "resource_version": _TEXT, "created_at": {"type": ["string", "null"]}}),
            "facts": {"type": "object", "description": "Its columns, labels and annotations; what is empty is left out"},
            "sections": {
                "type": "array",
                "items": obj(
                    {"name": _TEXT, "total": _COUNT, "rows": {"type": "array", "items": {"type": "object"}}, "note": _TEXT},
                    optional=("note",),
                ),
            },
            "left_out": {
                "type": "array",
                "items": obj({"what": _TEXT, "shown": _COUNT, "total": _COUNT, "call": _TEXT}),
            },
            "envelope": ENVELOPE,
            "text_lines": {"type": "integer", "description": "Lines at the end of the text that are nowhere else: the manifest"},
        },
        optional=("text_lines",),
    ),
)  # fmt: skip
async def describe(
    tools: ToolContext, *, kind: str, name: str, context: str = "", namespace: str = "", max_tokens: int = 4000
) -> ToolAnswer:
    """One object with its events, owners, children and what belongs to it (containers, endpoints, volumes)."""
    api = tools.clusters.api(context)
    found = await tools.discovery.kind(api, kind)
    manifest = await read_object(tools, api, found, object_name(name), scope_of(tools, api, found, namespace))
    reading = read_tolerantly(manifest, found, StorableCheck(found))
    sections = await _sections(api, tools, found, manifest, reading.record)
    identity = _identity(found, manifest)
    rest = Call("k8s_get_resource", {"kind": found.name, "name": identity["name"], "namespace": identity["namespace"]})
    description = Description(
        head=_head(identity, manifest), identity=identity, facts=_facts(found, manifest, reading.record), sections=sections,
        rest=rest, manifest=list(_manifest_lines(manifest)) if found.generic or reading.record is None else (),
        context=context,
    )  # fmt: skip
    envelope = live(api.context, found.name, now=tools.clock(), shown=1, total=1, more=False, note=plain_text(reading.trouble))
    return description.answer(envelope, max_tokens)


async def _sections(
    api: ClusterApi, tools: ToolContext, kind: Kind, manifest: dict[str, Any], record: Record | None
) -> list[Section]:
    """Conditions, surroundings, owners, children, events. What may not be read costs its own section only."""
    metadata = manifest.get("metadata") or {}
    namespace, name = metadata.get("namespace"), str(metadata.get("name"))
    nearby, owners, children, own_events = await asyncio.gather(
        _or_note(tools, "surroundings", surroundings(api, tools, kind.name, manifest, record)),
        _or_note(tools, "owners", _owners(api, tools, manifest)),
        _or_note(tools, "children", _children(api, tools, kind, manifest)),
        _or_note(tools, "events", _events(api, tools, kind, namespace, name)),
    )
    sections = [*_conditions(kind, manifest), *nearby, *owners, *children, *own_events]
    return [one for one in sections if one.rows or one.note]


async def _or_note(tools: ToolContext, name: str, asked: Awaitable[list[Section]]) -> list[Section]:
    try:
        return await asked
    except ClusterError as error:
        return [Section(name, [], None, note=f"cannot be read: {tools.redactor.redact_echo(str(error))[:300]}")]


def _conditions(kind: Kind, manifest: dict[str, Any]) -> list[Section]:
    """Those that say why, what is wrong first; which of them hold is a fact already."""
    status = manifest.get("status")
    listed = status.get("conditions") if isinstance(status, dict) else None
    rows = [
        {name: str(one[name]) for name in ("type", "status", "reason", "message") if one.get(name)}
        for one in (listed if isinstance(listed, list) else ())
        if isinstance(one, dict) and one.get("message")
    ]
    rows.sort(key=lambda one: (not _is_trouble(one), one.get("type") not in _CONDITIONS_FIRST))
    metadata = manifest.get("metadata") or {}
    about = {"kind": kind.name, "name": metadata.get("name"), "namespace": metadata.get("namespace")}
    return [Section("conditions", rows, Call("k8s_get_resource", about))]


def _is_trouble(condition: Mapping[str, str]) -> bool:
    """Whether it does not hold, or holds and is one that should not (of a kind that nobody knows its name has to say that)."""
    bad = _BAD_CONDITION.search(condition.get("type", "")) is not None
    return condition.get("status") != ("False" if bad else "True")


async def _owners(api: ClusterApi, tools: ToolContext, manifest: dict[str, Any]) -> list[Section]:
    rows = [owner.as_row() for owner in await owners_of(api, tools, manifest)]
    metadata = manifest.get("metadata") or {}
    last = {"kind": rows[-1]["kind"], "name": rows[-1]["name"], "namespace": metadata.get("namespace")} if rows else {}
    return [Section("owners", rows, Call("k8s_describe", last))]


async def _children(api: ClusterApi, tools: ToolContext, kind: Kind, manifest: dict[str, Any]) -> list[Section]:
    children = await children_of(api, tools, kind, manifest)
    namespace = (manifest.get("metadata") or {}).get("namespace")
    listed = {"kind": _LISTED.get(kind.name, "pods"), "namespace": namespace, "label_selector": selector_of(manifest)}
    rest = Call("k8s_list_resources", listed)
    sections = [Section("children", [child.as_row() for child in children.found], rest, note=children.note)]
    if kind.name in OWNED_KINDS and children.found:
        sections += await _or_note(tools, "events of children", _events_of_children(api, tools, namespace, children))
    return sections


async def _events(api: ClusterApi, tools: ToolContext, kind: Kind, namespace: str | None, name: str) -> list[Section]:
    read = await read_events(api, tools, namespace=namespace, kind=kind, name=name)
    rows = [_event(event_row(event), with_object=False) for event in ordered(fold(read.found), "newest")]
    rest = Call("k8s_list_events", {"namespace": namespace, "kind": kind.name, "name": name})
    return [Section("events", rows, rest, note=_unread_events(api, read, namespace))]


async def _events_of_children(api: ClusterApi, tools: ToolContext, namespace: str | None, children: Children) -> list[Section]:
    """Warnings only: of a Deployment they say what is wrong with its pods."""
    read = await read_events(api, tools, namespace=namespace, type_="Warning")
    known = {(child.kind, child.name) for child in children.found}
    about = [event for event in read.found if (event.object_kind, event.object_name) in known]
    rows = [_event(event_row(event), with_object=True) for event in ordered(fold(about), "newest")]
    rest = Call("k8s_list_events", {"namespace": namespace, "type": "Warning"})
    return [Section("warnings of children", rows, rest, note=_unread_events(api, read, namespace))]


def _unread_events(api: ClusterApi, read: Objects[EventRecord], namespace: str | None) -> str:
    """Where events are missing: none shown does not say then that there is none."""
    bound = f"only {read.looked_at} events were read" if read.more else ""
    return joined(bound, left_out_note(api, KINDS["events"], namespace))


def _event(event: dict[str, Any], *, with_object: bool) -> dict[str, Any]:
    names = ("last_seen", "type", *(("object",) if with_object else ()), "reason", "count", "message", "messages")
    return {name: event[name] for name in names if name in event}


def _identity(kind: Kind, manifest: dict[str, Any]) -> dict[str, Any]:
    metadata = manifest.get("metadata") or {}
    said = {
        "kind": kind.kind,
        "api_version": kind.api_version,
        "namespace": str(metadata.get("namespace") or ""),
        "name": str(metadata.get("name") or ""),
        "uid": str(metadata.get("uid") or ""),
        "resource_version": str(metadata.get("resourceVersion") or ""),
        "created_at": str(metadata.get("creationTimestamp") or "") or None,
    }
    return {name: value and plain_text(value) for name, value in said.items()}


def _head(identity: Mapping[str, Any], manifest: dict[str, Any]) -> str:
    where = f"{identity['namespace']}/{identity['name']}" if identity["namespace"] else identity["name"]
    deleting = (manifest.get("metadata") or {}).get("deletionTimestamp")
    words = f"{identity['kind']} {where} ({identity['api_version']}), created {identity['created_at']}"
    return plain_text(words + (f", being deleted since {deleting}" if deleting else ""))


def _facts(kind: Kind, manifest: dict[str, Any], record: Record | None) -> dict[str, Any]:
    """Labels and columns that say something, annotations last."""
    metadata = manifest.get("metadata") or {}
    facts: dict[str, Any] = {"labels": metadata.get("labels") or {}}
    if record is not None:
        hidden = _NOT_FACTS | _SHOWN_ELSEWHERE.get(kind.name, frozenset())
        names = [name for name in kind.columns_by_name if name not in hidden and not (kind.generic and name == "status")]
        facts |= row(kind, record, names)
    annotations = metadata.get("annotations")
    facts["finalizers"] = metadata.get("finalizers")
    facts["annotations"] = {
        key: value if len(value) <= _LONGEST_ANNOTATION else f"{value[:_LONGEST_ANNOTATION]}…"
        for key, value in (annotations.items() if isinstance(annotations, dict) else ())
        if isinstance(value, str)
    }
    return {name: value for name, value in facts.items() if _says_something(name, value)}


def _says_something(name: str, value: object) -> bool:
    """Most columns are empty or false for most objects; that something is not healthy is never left out."""
    if value is False:
        return name in ("healthy", "ready", "schedulable")
    return value is not None and value not in ("", [], {})


def _manifest_lines(manifest: dict[str, Any]) -> Iterator[str]:
    """Everything but metadata and conditions, indented, one value a line."""
    status = manifest.get("status")
    shown = {key: value for key, value in manifest.items() if key not in ("apiVersion", "kind", "metadata", "status")}
    if isinstance(status, dict):
        shown["status"] = {key: value for key, value in status.items() if key != "conditions"}
    elif status is not None:
        shown["status"] = status
    shown = {key: value for key, value in shown.items() if value not in ({}, [], None)}
    for number, line in enumerate(_indented(shown, 0)):
        if number >= _MOST_MANIFEST_LINES:
            return
        yield plain_text(line.replace("\n", "\\n"))


def _indented(value: object, depth: int) -> Iterator[str]:
    pairs: Sequence[tuple[str, object]] = (
        [(f"{key}:", item) for key, item in value.items()] if isinstance(value, dict) else
        [("-", item) for item in value] if isinstance(value, list) else []
    )  # fmt: skip
    for head, item in pairs:
        indent = "  " * depth
        if isinstance(item, (dict, list)) and item:
            yield f"{indent}{head}"
            yield from _indented(item, depth + 1)
        else:
            words = item if isinstance(item, str) else orjson.dumps(item).decode()
            yield f"{indent}{head} {words if len(words) <= 200 else words[:200] + '…'}"


TOOLS: tuple[ToolDeclaration, ...] = (describe,)
