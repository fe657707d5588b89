"""Tools that change a cluster: dry run by the server, and an answer that says what changed."""

from __future__ import annotations

from collections import Counter
from typing import Any

from kinds.kind import Kind
from kinds.registry import KINDS
from mcp_tools.answer_budget import DEFAULT_TOKENS
from mcp_tools.api_targets import PROJECTS
from mcp_tools.foreseen_changes import ANYTHING, Foreseen, GoesWithIt
from mcp_tools.k8s_api import Answer, ClusterApi
from mcp_tools.k8s_tools.change_answers import (
    CHANGE_OUTPUT,
    DRY_RUN,
    FIELD_MANAGER,
    KIND,
    MAX_CHANGE_TOKENS,
    NAME,
    NAMESPACE,
    RESOURCE_VERSION,
    UID,
    Changed,
    change_answer,
    title_of,
)
from mcp_tools.k8s_tools.reading import read_object
from mcp_tools.list_pages import decode_object
from mcp_tools.namespace_contents import Contents, namespace_contents
from mcp_tools.object_names import namespace_name, new_object_name, object_name
from mcp_tools.object_writes import scope_named
from mcp_tools.owned_objects import defined_objects, owned_objects
from mcp_tools.proposed_values import WHOLE, disguise_proposed
from mcp_tools.request_guard import hold_to_approved, running_disguise
from mcp_tools.tool_declaration import CONTEXT, ToolAnswer, ToolContext, ToolDeclaration, integer, text, tool

_DEPLOYMENTS = KINDS["deployments"]
_STRINGS = {"type": "object", "additionalProperties": {"type": "string", "maxLength": 32768}, "maxProperties": 100, "default": {}}


@tool(
    "k8s_create_deployment",
    title="Create a Deployment",
    arguments={
        "context": CONTEXT,
        "name": text("Name of the new Deployment; its pods get the label app=NAME.", max_length=63),
        "namespace": text("Namespace, which must exist.", max_length=63),
        "image": {
            "type": "string",
            "description": "Container image, e.g. nginx:1.29",
            "pattern": r"^[\w][\w.:/@+-]{0,499}$(?!\n)",
        },
        "replicas": integer("How many pods.", minimum=0, maximum=1000, default=1),
        "port": integer("Port that the container listens on.", minimum=1, maximum=65535),
        "labels": _STRINGS | {"description": "More labels for the Deployment and its pods."},
        "env": _STRINGS
        | {"description": "Environment variables. Do not put secrets here: they would be readable in the cluster."},
        "dry_run": DRY_RUN,
        "max_tokens": MAX_CHANGE_TOKENS,
    },
    output=CHANGE_OUTPUT,
    read_only=False,
    destructive=True,
    idempotent=False,
)
async def create_deployment(
    tools: ToolContext, *, name: str, namespace: str, image: str, context: str = "", replicas: int = 1, port: int | None = None,
    labels: dict[str, str] | None = None, env: dict[str, str] | None = None, dry_run: bool = False,
    max_tokens: int = DEFAULT_TOKENS,
) -> ToolAnswer:  # fmt: skip
    """Create a Deployment. Fails with a conflict when the name is taken; nothing is overwritten."""
    manifest = _deployment(new_object_name(name), image, replicas, port, labels or {}, env or {})
    scope = namespace_name(namespace)
    answer = await tools.clusters.api(context).send(
        "POST",
        _DEPLOYMENTS.api_path(scope),
        manifest,
        doing=f"create Deployment {scope}/{name}",
        query=[("fieldManager", FIELD_MANAGER), ("fieldValidation", "Strict")],
        dry_run=dry_run,
    )
    after = tools.redactor.redact_object(decode_object(answer.body))
    disguise_proposed(None, after, WHOLE, running_disguise(), f"Deployment {scope}/{name}")
    note = f"{'would create' if dry_run else 'created'} Deployment {scope}/{name}: {replicas} × {image}"
    changed = Changed(kind=_DEPLOYMENTS, before=None, after=after)
    return change_answer(tools, "create", [changed], dry_run=dry_run, note=note, max_tokens=max_tokens, warnings=answer.warnings)


def _deployment(
    name: str, image: str, replicas: int, port: int | None, labels: dict[str, str], env: dict[str, str]
) -> dict[str, Any]:
    container: dict[str, Any] = {"name": name.replace(".", "-")[:63].rstrip("-"), "image": image}
    if port is not None:
        container["ports"] = [{"containerPort": port}]
    if env:
        container["env"] = [{"name": key, "value": value} for key, value in env.items()]
    own = {"app": name}
    return {
        "apiVersion": _DEPLOYMENTS.api_version,
        "kind": _DEPLOYMENTS.kind,
        "metadata": {"name": name, "labels": labels | own},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": own},
            "template": {"metadata": {"labels": labels | own}, "spec": {"containers": [container]}},
        },
    }


@tool(
    "k8s_delete_resource",
    title="Delete one object",
    arguments={
        "context": CONTEXT,
        "kind": KIND,
        "name": NAME,
        "namespace": NAMESPACE,
        "uid": UID,
        "resource_version": RESOURCE_VERSION,
        "propagation": text(
            "What happens to owned objects: Background (deleted after it), Foreground (before it), Orphan (kept).",
            choices=("Background", "Foreground", "Orphan"),
            default="Background",
        ),
        "dry_run": DRY_RUN,
        "max_tokens": MAX_CHANGE_TOKENS,
    },
    output=CHANGE_OUTPUT,
    read_only=False,
    destructive=True,
    idempotent=False,
)
async def delete_resource(
    tools: ToolContext, *, kind: str, name: str, context: str = "", namespace: str = "", uid: str = "",
    resource_version: str = "", propagation: str = "Background", dry_run: bool = False, max_tokens: int = DEFAULT_TOKENS,
) -> ToolAnswer:  # fmt: skip
    """Delete one object, and say what goes with it. It cannot be undone. Only the object that was read is deleted, never another
    one that got its name meanwhile."""
    api = tools.clusters.api(context)
    found = await tools.discovery.kind(api, kind)
    scope = scope_named("k8s_delete_resource", found, namespace)
    before = await read_object(tools, api, found, object_name(name), scope)
    owned = await owned_objects(api, found, before)
    preconditions = {"uid": uid or before["metadata"]["uid"]} | (
        {"resourceVersion": resource_version} if resource_version else {}
    )
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation, "preconditions": preconditions}
    title = title_of(found, scope, name)
    content = await _content(tools, api, found, name, before)
    along = _along(owned, content)
    hold_to_approved(along)
    answer = await api.send("DELETE", found.api_path(scope, name), options, doing=f"delete {title}", dry_run=dry_run)
    after = _left(tools, answer, before)
    note = _deletion_note(
        title_of(found, scope, name), owned, propagation, content, dry_run=dry_run, still_there=after is not None
    )
    return change_answer(
        tools, "delete", [Changed(kind=found, before=before, after=after)], dry_run=dry_run, note=note, max_tokens=max_tokens,
        warnings=answer.warnings, owned=owned, along=along,
    )  # fmt: skip


async def _content(tools: ToolContext, api: ClusterApi, kind: Kind, name: str, manifest: dict[str, Any]) -> Contents:
    """What goes with a Namespace, a Project of OpenShift or a CustomResourceDefinition."""
    if kind.name == "namespaces" or (kind.group, kind.resource) in PROJECTS:
        return await namespace_contents(api, tools.discovery, name)
    if kind.name != "customresourcedefinitions":
        return Contents()
    counts = await defined_objects(api, manifest)
    return Contents(uncounted=(name,)) if counts is None else Contents(counts)


def _along(owned: list[dict[str, str]] | None, content: Contents) -> Foreseen:
    """What goes with the object: no precondition of the request holds it to what a person was shown."""
    of_kind = Counter(item["kind"] for item in owned or [])
    return Foreseen(
        contents=GoesWithIt(content.counts, frozenset(content.uncounted)),
        owned=GoesWithIt(unknown=frozenset({ANYTHING})) if owned is None else GoesWithIt(of_kind),
    )


def _left(tools: ToolContext, answer: Answer, before: dict[str, Any]) -> dict[str, Any] | None:
    """The object when it still exists (grace period, finalizers), else None. The API server answers with either or a Status."""
    obj_ = decode_object(answer.body)
    metadata = obj_.get("metadata") or {}
    if obj_.get("kind") == "Status" or metadata.get("uid") != before["metadata"]["uid"] or not metadata.get("deletionTimestamp"):
        return None
    return tools.redactor.redact_object(obj_)


def _deletion_note(
    title: str,
    owned: list[dict[str, str]] | None,
    propagation: str,
    content: Contents,
    *,
    dry_run: bool,
    still_there: bool,
) -> str:
    verb = "would delete" if dry_run else "deletion of" if still_there else "deleted"
    parts = [f"{verb} {title}" + (" has begun (grace period or finalizers)" if still_there and not dry_run else "")]
    if owned is None:
        parts.append("what it owns could not be read")
    elif owned:
        counts = " and ".join(
            f"{count} {kind}{'s' * (count > 1)}" for kind, count in Counter(item["kind"] for item in owned).items()
        )
        parts.append(f"{counts} it owns {'stay, without owner' if propagation == 'Orphan' else f'go with it ({propagation})'}")
    if told := content.told():
        parts.append(told)
    return "; ".join(parts)


TOOLS: tuple[ToolDeclaration, ...] = (create_deployment, delete_resource)
