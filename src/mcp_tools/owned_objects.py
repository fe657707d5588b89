"""What would go with an object: the objects it owns, found by their owner references."""

from __future__ import annotations

from typing import Any

from configuration.errors import ClusterError, InvalidArguments, NotFound
from kinds.generic import generic_kind
from kinds.kind import Kind
from kinds.registry import KINDS
from mcp_tools.k8s_api import METADATA_LIST, ClusterApi, Query
from mcp_tools.list_pages import decode_object, decode_page
from mcp_tools.object_names import api_group, api_label

MAX_LISTED = 50
_OWNED_KINDS = {
    "deployments": ("replicasets",),
    "replicasets": ("pods",),
    "statefulsets": ("pods",),
    "daemonsets": ("pods",),
    "jobs": ("pods",),
    "cronjobs": ("jobs",),
    "services": ("endpointslices",),
}
_OWNED_BY_CUSTOM = (
    "deployments", "statefulsets", "daemonsets", "jobs", "cronjobs", "pods", "services", "configmaps", "secrets",
    "persistentvolumeclaims",
)  # fmt: skip
"""What the controllers of custom resources usually make; other kinds are not searched."""


async def owned_objects(api: ClusterApi, kind: Kind, manifest: dict[str, Any]) -> list[dict[str, str]] | None:
    """`{kind, namespace, name}` of everything owned by the object, directly or not. None when it could not be found out."""
    namespace = (manifest.get("metadata") or {}).get("namespace")
    if kind.generic and not kind.namespaced:
        return None
    selector = "" if kind.generic else _selector(manifest)
    owners, level, found = {str(manifest["metadata"]["uid"])}, [kind], list[dict[str, str]]()
    try:
        while level:
            children = [KINDS[name] for name in dict.fromkeys(name for parent in level for name in _owned_kinds(parent))]
            next_owners: set[str] = set()
            for child in children:
                for metadata in await _metadata_of(api, child, namespace, selector):
                    if owners.intersection(owner.get("uid") for owner in metadata.get("ownerReferences") or []):
                        next_owners.add(str(metadata["uid"]))
                        found.append({"kind": child.kind, "namespace": str(namespace or ""), "name": str(metadata["name"])})
            owners, level = next_owners, children if next_owners else []
    except ClusterError:
        return None
    return found


def _owned_kinds(parent: Kind) -> tuple[str, ...]:
    return _OWNED_BY_CUSTOM if parent.generic else _OWNED_KINDS.get(parent.name, ())


async def defined_objects(api: ClusterApi, definition: dict[str, Any]) -> dict[str, int] | None:
    """`plural.group` -> how many objects of the kind that a CustomResourceDefinition defines: they go with it. None: unknown."""
    spec = definition.get("spec") or {}
    names, versions = spec.get("names") or {}, [one.get("name") for one in spec.get("versions") or [] if one.get("served")]
    try:
        plural, group = api_label(str(names.get("plural"))), api_group(str(spec.get("group")))
        kind = generic_kind(f"{plural}.{group}", group, api_label(str(versions[0] if versions else "")), plural, False)
        return {kind.name: await count_in(api, kind, "") or 0}
    except (ClusterError, InvalidArguments):
        return None


async def count_in(api: ClusterApi, kind: Kind, namespace: str) -> int | None:
    """None for a kind that this cluster is without. Raises ClusterError, also when there are more and the server does not say
    how many: aggregated API servers may not, and none does where the policy leaves namespaces out."""
    doing = f"count {kind.name} in {namespace}"
    try:
        answer = await api.get(kind.api_path(namespace), doing=doing, query=[("limit", 1)], accept=METADATA_LIST)
    except NotFound:
        if kind.optional:
            return None
        raise
    page = decode_page(answer.body, doing)
    if page.metadata.continue_token and page.metadata.remaining is None:
        raise ClusterError(f"cannot {doing}: the API server does not say how many there are; list them")
    return len(page.items or []) + (page.metadata.remaining or 0)


async def _metadata_of(api: ClusterApi, kind: Kind, namespace: str | None, selector: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    token = ""
    while True:
        query: Query = [
            ("limit", 500),
            *([("labelSelector", selector)] if selector else []),
            *([("continue", token)] if token else []),
        ]
        answer = await api.get(kind.api_path(namespace), doing=f"list {kind.name}", query=query, accept=METADATA_LIST)
        page = decode_page(answer.body, f"list {kind.name}")
        found += [decode_object(item)["metadata"] for item in page.items or []]
        token = page.metadata.continue_token
        if not token:
            return found


def _selector(manifest: dict[str, Any]) -> str:
    """Owned pods carry the labels that the owner selects by; that keeps a large namespace from being read whole."""
    labels = ((manifest.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    return ",".join(f"{key}={value}" for key, value in labels.items())
