"""k8s_scale: the scale subresource, which every kind with replicas has."""

from __future__ import annotations

from typing import Any

from configuration.errors import ClusterError, Conflict, NotFound
from kinds.registry import KINDS
from mcp_tools.answer_budget import DEFAULT_TOKENS
from mcp_tools.k8s_tools.change_answers import (
    CHANGE_OUTPUT,
    DRY_RUN,
    KIND,
    MAX_CHANGE_TOKENS,
    NAME,
    NAMESPACE,
    RESOURCE_VERSION,
    UID,
    Changed,
    Manifest,
    change_answer,
)
from mcp_tools.list_pages import decode_item, decode_object, decode_page
from mcp_tools.object_names import object_name
from mcp_tools.object_writes import MERGE, Target, check_preconditions, scope_named, with_preconditions
from mcp_tools.tool_declaration import CONTEXT, ToolAnswer, ToolContext, ToolDeclaration, integer, tool

MOST_REPLICAS = 100_000


@tool(
    "k8s_scale",
    title="Scale",
    arguments={
        "context": CONTEXT,
        "kind": KIND,
        "name": NAME,
        "namespace": NAMESPACE,
        "replicas": integer("Wanted.", minimum=0, maximum=MOST_REPLICAS),
        "current_replicas": integer("Precondition.", minimum=0, maximum=MOST_REPLICAS),
        "uid": UID,
        "resource_version": RESOURCE_VERSION,
        "dry_run": DRY_RUN,
        "max_tokens": MAX_CHANGE_TOKENS,
    },
    output=CHANGE_OUTPUT,
    read_only=False,
    destructive=True,
)
async def scale(
    tools: ToolContext, *, kind: str, name: str, replicas: int, context: str = "", namespace: str = "",
    current_replicas: int | None = None, uid: str = "", resource_version: str = "", dry_run: bool = False,
    max_tokens: int = DEFAULT_TOKENS,
) -> ToolAnswer:  # fmt: skip
    """Set the replicas of a Deployment, StatefulSet, ReplicaSet or custom resource. Idempotent."""
    api = tools.clusters.api(context)
    found = await tools.discovery.kind(api, kind)
    target = Target(api, found, scope_named("k8s_scale", found, namespace), object_name(name))
    before, generation = await _scale_of(target)
    check_preconditions(target.title, before, uid, resource_version)
    current = int(before["spec"]["replicas"])
    if current_replicas is not None and current_replicas != current:
        raise Conflict(
            f"{target.title} is scaled to {current}, not to {current_replicas}: nothing was done; look again, and repeat with "
            f"current_replicas={current} or without it",
            status=409,
            reason="Conflict",
        )
    # whoever names the current number means this very state: the version holds it until the change is made
    version = resource_version or (before["metadata"]["resourceVersion"] if current_replicas is not None else "")
    patch = with_preconditions({"spec": {"replicas": replicas}}, uid or before["metadata"]["uid"], version)
    after, warnings = await target.patched(
        tools, patch, MERGE, doing=f"scale {target.title} to {replicas}", dry_run=dry_run, subresource="scale"
    )
    after = _shown(after, generation)
    note = f"{'would scale' if dry_run else 'scaled'} {target.title}: {current} -> {replicas} replicas"
    return change_answer(
        tools, "scale", [Changed(kind=found, before=before, after=after)], dry_run=dry_run, max_tokens=max_tokens,
        note=note if current != replicas else f"{target.title} has {replicas} replicas already",
        warnings=[*warnings, *await _autoscalers(target)],
    )  # fmt: skip


async def _scale_of(target: Target) -> tuple[Manifest, Any]:
    """The Scale, and the generation of the object itself, which is what tells a change of its spec."""
    whole = decode_object((await target.api.get(target.path(), doing=f"get {target.title}")).body)
    try:
        scale = decode_object((await target.api.get(target.path("scale"), doing=f"read the scale of {target.title}")).body)
    except NotFound:
        raise ClusterError(
            f"cannot scale {target.title}: {target.kind.name} have no scale subresource; what makes it scale is in its own spec, "
            "k8s_patch_resource changes that",
            status=404,
            reason="NoScale",
        ) from None
    generation = whole["metadata"].get("generation")
    return _shown(scale, generation), generation


def _shown(scale: Manifest, generation: Any) -> Manifest:
    """With the 0 that Go leaves out."""
    scale["metadata"]["generation"] = generation
    scale["spec"] = {"replicas": 0} | (scale.get("spec") or {})
    return scale


async def _autoscalers(target: Target) -> list[str]:
    """HorizontalPodAutoscalers that will set the replicas back. What cannot be read is no reason to fail."""
    doing = f"look for autoscalers of {target.title}"
    try:
        answer = await target.api.get(
            KINDS["horizontalpodautoscalers"].api_path(target.namespace), doing=doing, query=[("limit", 500)]
        )
        found = [decode_item(item) for item in decode_page(answer.body, doing).items or []]
    except (ClusterError, TypeError, ValueError):
        return []
    warnings = []
    for one in found:
        spec = one.get("spec") or {}
        aim = spec.get("scaleTargetRef") or {}
        if (aim.get("kind"), aim.get("name")) == (target.kind.kind, target.name):
            name = (one.get("metadata") or {}).get("name")
            warnings.append(
                f"HorizontalPodAutoscaler {name} scales it between {spec.get('minReplicas', 1)} and {spec.get('maxReplicas')}: "
                "it will change the number again; 0 replicas switch it off"
            )
    return warnings


TOOLS: tuple[ToolDeclaration, ...] = (scale,)
