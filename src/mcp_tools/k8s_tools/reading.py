"""Clusters and single objects."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson

from configuration.errors import ClusterError, NotFound, NotPermitted
from kinds.envelope import live
from kinds.kind import Kind, row
from kinds.registry import KINDS, counted_kind
from kinds.storable_check import StorableCheck
from kinds.tolerant_read import read_tolerantly
from mcp_tools.answer_budget import DEFAULT_TOKENS, answer_tokens, fits, fitting
from mcp_tools.json_repair import LEVELS, depth_of, repaired
from mcp_tools.k8s_api import ClusterApi
from mcp_tools.left_out_namespaces import uncounted_note
from mcp_tools.managed_fields import take_manager
from mcp_tools.object_counts import count_objects_at
from mcp_tools.object_cutting import LeftOut, cut_text, short_row, shortened
from mcp_tools.object_forms import form_of
from mcp_tools.object_names import namespace_name, object_name
from mcp_tools.object_parts import Steps, parse_path, part_at
from mcp_tools.output_schemas import ENVELOPE, LEFT_OUT, obj
from mcp_tools.plain_text import plain_text
from mcp_tools.text_tables import call_text
from mcp_tools.tool_declaration import (
    CONTEXT,
    MAX_TOKENS_WHOLE,
    OFFSET,
    ToolAnswer,
    ToolContext,
    ToolDeclaration,
    boolean,
    text,
    tool,
)

KIND_WORDS = (
    "Kind: plural or singular name or kubectl's short name; plural.group where that is ambiguous or for a custom resource, e.g. "
    "widgets.example.com (k8s_list_api_resources names them)."
)
_COUNTED = ("namespaces", "nodes", "pods")
_TEXT = {"type": "string"}
_SHARE_OF_ROW = 5
"""The part of the budget that the columns of an object may take when all of it does not fit."""


@tool(
    "k8s_get_cluster_info",
    title="Cluster identity and size",
    arguments={
        "context": CONTEXT,
        "count": boolean("Also count namespaces, nodes and pods; false: no list is asked for.", default=True),
        "check_permissions": boolean("Also ask the API server which kinds these credentials may list.", default=False),
    },
    output=obj(
        {
            "cluster": _TEXT,
            "cluster_uid": {"type": ["string", "null"], "description": "uid of namespace kube-system: names the cluster itself"},
            "server_version": _TEXT,
            "api_server": _TEXT,
            "counts": {"type": "object", "description": "Objects per kind; null when it may not be listed"},
            "may_list": {"type": ["object", "null"], "description": "Kind -> whether it may be listed; null when not asked for"},
            "note": {"type": "string", "description": "What the counts leave out"},
        },
        optional=("note",),
    ),
)
async def get_cluster_info(
    tools: ToolContext, *, context: str = "", count: bool = True, check_permissions: bool = False
) -> ToolAnswer:
    """Name, uid, version and address of a cluster, how many namespaces, nodes and pods it has, and what may be listed."""
    api = tools.clusters.api(context)
    version = orjson.loads((await api.get("/version", doing="read the version of the API server")).body)
    counted = _COUNTED if count else ()
    uid, *counts = await asyncio.gather(_cluster_uid(api), *(_count(api, KINDS[name]) for name in counted))
    may_list = None
    if check_permissions:
        answers = await asyncio.gather(*(_may_list(api, kind) for kind in KINDS.values()))
        may_list = dict(zip(KINDS, answers, strict=True))
    facts = {
        "cluster": api.context,
        "cluster_uid": uid,
        "server_version": str(version.get("gitVersion", "")),
        "api_server": tools.redactor.redact_text(api.server),
        "counts": dict(zip(counted, counts, strict=True)),
        "may_list": may_list,
    }
    facts |= {"note": hidden} if (hidden := uncounted_note(api, [KINDS[name] for name in counted])) else {}
    return ToolAnswer(_facts_as_text(facts), facts)


async def _cluster_uid(api: ClusterApi) -> str | None:
    path = KINDS["namespaces"].api_path(name="kube-system")
    try:
        answer = await api.get(path, doing="read namespace kube-system")
    except (NotPermitted, NotFound):
        return None
    return str(orjson.loads(answer.body)["metadata"]["uid"])


async def _count(api: ClusterApi, kind: Kind) -> int | None:
    """None when they may not be listed."""
    try:
        return (await count_objects_at(api, kind.api_path(), doing=f"count {kind.name}")).count
    except NotPermitted:
        return None


async def _may_list(api: ClusterApi, kind: Kind) -> bool | None:
    """A SelfSubjectAccessReview: stores nothing. None when even that may not be asked."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "list", "group": kind.group, "resource": kind.resource}},
    }
    try:
        answer = await api.send(
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            review,
            doing=f"ask whether {kind.name} may be listed",
        )
    except ClusterError:
        return None
    return bool(orjson.loads(answer.body)["status"]["allowed"])


def _facts_as_text(facts: dict[str, Any]) -> str:
    counts = (
        ", ".join(f"? {name}" if count is None else counted_kind(count, name) for name, count in facts["counts"].items())
        or "not counted"
    )
    lines = [
        f"{facts['cluster']}: Kubernetes {facts['server_version']} at {facts['api_server']}",
        f"uid {facts['cluster_uid'] or 'unknown'}; {counts}",
    ]
    lines += [facts["note"]] if "note" in facts else []
    if facts["may_list"] is not None:
        denied = [name for name, allowed in facts["may_list"].items() if not allowed]
        lines.append("may list every kind" if not denied else f"may not list cluster-wide: {', '.join(denied)}")
    return "\n".join(lines)


@tool(
    "k8s_list_contexts",
    title="List kubeconfig contexts",
    arguments={"offset": OFFSET, "max_tokens": MAX_TOKENS_WHOLE},
    output=obj(
        {
            "contexts": {
                "type": "array",
                "items": obj(
                    {
                        "name": _TEXT,
                        "cluster": _TEXT,
                        "server": _TEXT,
                        "user": _TEXT,
                        "namespace": _TEXT,
                        "current": {"type": "boolean"},
                    }
                ),
            },
            "total": {"type": "integer"},
        }
    ),
)
async def list_contexts(tools: ToolContext, *, offset: int = 0, max_tokens: int = DEFAULT_TOKENS) -> ToolAnswer:
    """The clusters that can be asked: contexts of the kubeconfig, the current one marked. Contacts none."""
    current = tools.clusters.default()
    contexts = [
        {
            "name": entry.name,
            "cluster": entry.cluster,
            "server": tools.redactor.redact_text(entry.server),
            "user": entry.user,
            "namespace": entry.namespace,
            "current": entry.name == current,
        }
        for entry in tools.clusters.contexts()
    ]

    def render(shown: Sequence[dict[str, Any]]) -> ToolAnswer:
        lines = [
            f"{'*' if entry['current'] else ' '} {entry['name']}\t{entry['server']}\t{entry['namespace']}" for entry in shown
        ]
        reached = offset + len(shown)
        if reached < len(contexts):
            rest = call_text("k8s_list_contexts", {"offset": reached})
            lines.append(f"{len(shown)} of {len(contexts)} contexts shown; more: {rest}")
        return ToolAnswer(plain_text("\n".join(lines)), {"contexts": list(shown), "total": len(contexts)})

    return fitting(contexts[offset:], render, max_tokens)


@tool(
    "k8s_get_resource",
    title="Get one object",
    arguments={
        "context": CONTEXT,
        "kind": text(KIND_WORDS, max_length=316),
        "name": text("Name of the object."),
        "namespace": text("Its namespace; empty: the context's own.", max_length=63, default=""),
        "path": text("Only this part, e.g. spec.containers[0]; data[40:]: from the 41st member on.", max_length=1000, default=""),
        "max_tokens": MAX_TOKENS_WHOLE,
    },
    output=obj(
        {
            "row": {
                "type": "object",
                "description": "The columns of the list tool; empty when they cannot be read, envelope.note says why",
            },
            "manifest": {
                "type": ["object", "null"],
                "description": "The object, secrets redacted, without managedFields; null when a path was asked for",
            },
            "part": {"description": "What is at the path that was asked for"},
            "left_out": LEFT_OUT,
            "envelope": ENVELOPE,
        },
        optional=("part", "left_out"),
    ),
)
async def get_resource(
    tools: ToolContext, *, kind: str, name: str, context: str = "", namespace: str = "", path: str = "",
    max_tokens: int = DEFAULT_TOKENS,
) -> ToolAnswer:  # fmt: skip
    """One object as JSON, secrets redacted; of a long one the largest parts are left out, and `path` gets them."""
    api = tools.clusters.api(context)
    steps = parse_path(path)
    found = await tools.discovery.kind(api, kind)
    manifest = await read_object(tools, api, found, object_name(name), scope_of(tools, api, found, namespace))
    reading = read_tolerantly(manifest, found, StorableCheck(found))
    note = plain_text(reading.trouble)
    envelope = live(api.context, found.name, now=tools.clock(), shown=1, total=1, more=False, note=note)
    columns = {} if reading.record is None else row(found, reading.record)
    asked = {"context": context, "kind": kind, "name": name, "namespace": namespace}
    return object_answer(manifest, steps, {"row": columns, "envelope": envelope.as_json()}, asked, max_tokens)


def object_answer(
    manifest: dict[str, Any], steps: Steps, facts: dict[str, Any], asked: dict[str, Any], max_tokens: int
) -> ToolAnswer:
    """The object or the part of it, cut where it is too long."""
    wanted, steps = part_at(manifest, steps)
    row = facts["row"]

    def render(value: Any, left_out: list[LeftOut]) -> ToolAnswer:
        whole = {"row": row, "manifest": value} if not steps else {"row": {}, "manifest": None, "part": value}
        more = {"left_out": [one.as_json() for one in left_out]} if left_out else {}
        words = f"\n{_how_to_get(left_out, asked)}" if left_out else ""
        return ToolAnswer(plain_text(orjson.dumps(value).decode()) + words, whole | more | {"envelope": facts["envelope"]})

    def share(value: Any, left_out: list[LeftOut]) -> float:
        answer = render(value, left_out)
        return 1.0 if fits(answer, max_tokens) else max(1.001, answer_tokens(answer) / max_tokens)

    if isinstance(wanted, str):
        return render(cut_text(wanted, lambda cut: share(cut, []) <= 1), [])
    if share(wanted, []) > 1:
        row = short_row(row, max_tokens // _SHARE_OF_ROW)
    return render(*shortened(wanted, share, steps))


def _how_to_get(left_out: list[LeftOut], asked: dict[str, Any]) -> str:
    largest = sorted(left_out, key=lambda one: -one.tokens)
    call = call_text("k8s_get_resource", asked | {"path": largest[0].path})
    return f"left out: {', '.join(one.words() for one in largest)}; to get one: {call}"


def scope_of(tools: ToolContext, api: ClusterApi, kind: Kind, namespace: str) -> str | None:
    """The namespace to look in: the one given, else the context's; None for a cluster-scoped kind."""
    if not kind.namespaced:
        return None
    if namespace:
        return namespace_name(namespace)
    return next((entry.namespace for entry in tools.clusters.contexts() if entry.name == api.context), "default")


async def read_object(tools: ToolContext, api: ClusterApi, kind: Kind, name: str, namespace: str | None) -> dict[str, Any]:
    """One redacted object without managedFields. Raises ClusterError."""
    where = f"{kind.kind} {namespace}/{name}" if namespace else f"{kind.kind} {name}"
    form = form_of(kind)
    answer = await api.get(kind.api_path(namespace, name), doing=f"get {where}", query=form.query, accept=form.accept_list)
    obj_ = form.one(answer.body, f"get {where}")
    if depth_of(obj_) > LEVELS:  # clients refuse answers that are nested deeper
        obj_ = form.one(repaired(answer.body), f"get {where}")
    take_manager(obj_)
    return tools.redactor.redact_object(obj_)


TOOLS: tuple[ToolDeclaration, ...] = (get_cluster_info, list_contexts, get_resource)
