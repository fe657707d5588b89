"""Which object of which API each document of a manifest means, and in which order they can be made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from configuration.errors import InvalidArguments, KindNotServed, UnknownKind
from kinds.generic import generic_kind
from kinds.kind import Kind
from kinds.registry import KINDS
from mcp_tools.discovery import ASKED_AGAIN_SECONDS, Discovery, Served, kind_of
from mcp_tools.k8s_api import ClusterApi
from mcp_tools.manifest_documents import described
from mcp_tools.object_names import api_group, api_label, namespace_name, object_name
from mcp_tools.object_writes import Target

_FIRST = (
    "Namespace", "CustomResourceDefinition", "PriorityClass", "RuntimeClass", "StorageClass", "NetworkPolicy", "ResourceQuota",
    "LimitRange", "PodDisruptionBudget", "ServiceAccount", "Secret", "ConfigMap", "PersistentVolume", "PersistentVolumeClaim",
    "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Service",
)  # fmt: skip
_LAST = ("Ingress", "HorizontalPodAutoscaler", "APIService", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
"""Webhooks come when what answers them is there."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One document and the object that it is about. `made_here`: what else of the manifest must exist before it can."""

    target: Target
    document: dict[str, Any]
    made_here: str = ""


async def targets_of(discovery: Discovery, api: ClusterApi, documents: Sequence[dict[str, Any]], namespace: str) -> list[Wanted]:
    """In the order to apply them in. Raises InvalidArguments, UnknownKind, KindNotServed."""
    own = _kinds_made_here(documents)
    found = [await _target(discovery, api, document, namespace, own) for document in documents]
    _refuse_twice([one.target for one in found])
    namespaces = {one.target.name for one in found if one.target.kind.name == "namespaces"}
    marked = [_marked(one, namespaces, own) for one in found]
    return sorted(marked, key=lambda one: _rank(one.target.kind.kind))


async def _target(
    discovery: Discovery, api: ClusterApi, document: dict[str, Any], namespace: str, own: dict[tuple[str, str], Kind]
) -> Wanted:
    title = described(document)
    version, kind_name, metadata = document.get("apiVersion"), document.get("kind"), document.get("metadata")
    if not (isinstance(version, str) and version and isinstance(kind_name, str) and kind_name):
        raise InvalidArguments(f"{title}: apiVersion and kind must be there, as text")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise InvalidArguments(f"{title}: metadata.name must be there; generateName cannot be applied, only created")
    kind = await _kind(discovery, api, version, kind_name, own)
    scope = _scope(kind, metadata.get("namespace"), namespace, title)
    document = document | {"metadata": metadata | ({"namespace": scope} if scope else {})}
    return Wanted(Target(api, kind, scope, object_name(metadata["name"])), document)


def _scope(kind: Kind, written: object, default: str, title: str) -> str | None:
    if not kind.namespaced:
        if written:
            raise InvalidArguments(f"{title}: {kind.name} have no namespace; take metadata.namespace out")
        return None
    if written is not None and not isinstance(written, str):
        raise InvalidArguments(f"{title}: metadata.namespace must be text")
    if not (written or default):
        raise InvalidArguments(f"{title}: no namespace is named; give `namespace`, or metadata.namespace in the manifest")
    return namespace_name(written or default)


async def _kind(discovery: Discovery, api: ClusterApi, api_version: str, name: str, own: dict[tuple[str, str], Kind]) -> Kind:
    group, _, version = api_version.rpartition("/")
    group, version = api_group(group) if group else "", api_label(version)
    declared = next((kind for kind in KINDS.values() if (kind.group, kind.kind) == (group, name)), None)
    if declared is not None:
        return replace(declared, version=version)
    served = await discovery.served(api)
    found = _served_as(served, group, name)
    if found is None and (group, name) in own:
        return replace(own[group, name], version=version)
    if found is None:
        served = await discovery.served(api, at_most_seconds_old=ASKED_AGAIN_SECONDS)
        found = _served_as(served, group, name)
    if found is None:
        where = f"context {api.context} serves no kind {name[:63]!r} in {api_version[:253]!r}"
        raise (KindNotServed if group else UnknownKind)(f"{where}; k8s_list_api_resources says what it serves")
    return replace(found, version=version)


def _served_as(served: Served, group: str, name: str) -> Kind | None:
    return next(
        (kind_of(one) for one in served.resources if (one.group, one.kind) == (group, name) and "patch" in one.verbs), None
    )


def _kinds_made_here(documents: Sequence[dict[str, Any]]) -> dict[tuple[str, str], Kind]:
    """(group, kind) of the custom resource definitions in the manifest itself."""
    kinds = {}
    for document in documents:
        spec = document.get("spec")
        if document.get("kind") != "CustomResourceDefinition" or not isinstance(spec, dict):
            continue
        group, names = spec.get("group"), spec.get("names")
        if isinstance(group, str) and isinstance(names, dict) and isinstance(names.get("kind"), str):
            plural = api_label(str(names.get("plural")))
            namespaced = spec.get("scope") == "Namespaced"
            kinds[group, names["kind"]] = generic_kind(f"{plural}.{api_group(group)}", group, "v1", names["kind"], namespaced)
    return kinds


def _marked(one: Wanted, namespaces: set[str], own: dict[tuple[str, str], Kind]) -> Wanted:
    target = one.target
    if (target.kind.group, target.kind.kind) in own:
        return replace(one, made_here=f"its CustomResourceDefinition {target.kind.name}")
    if target.namespace in namespaces:
        return replace(one, made_here=f"its Namespace {target.namespace}")
    return one


def _refuse_twice(targets: Sequence[Target]) -> None:
    seen = set()
    for target in targets:
        key = (target.kind.group, target.kind.resource, target.namespace, target.name)
        if key in seen:
            raise InvalidArguments(f"{target.title} stands in the manifest twice; keep one of them")
        seen.add(key)


def _rank(kind: str) -> int:
    if kind in _FIRST:
        return _FIRST.index(kind)
    return len(_FIRST) + (1 + _LAST.index(kind) if kind in _LAST else 0)
