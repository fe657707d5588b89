"""Discovery documents: versions, groups, resource lists, aggregated discovery and the OpenAPI index."""

from __future__ import annotations

from demo.api_status import Json
from demo.resources import REVIEWS, STANDARD_VERBS, Resource, ResourceTable

GIT_VERSION = "v1.36.3+demo"
_SUBRESOURCE_VERBS = {
    "log": ["get"],
    "eviction": ["create"],
    "status": ["get", "patch", "update"],
    "scale": ["get", "patch", "update"],
    "finalize": ["update"],
}
_SUBRESOURCE_KINDS = {"scale": ("autoscaling", "v1", "Scale"), "eviction": ("policy", "v1", "Eviction")}


def version() -> Json:
    """/version; the build suffix says that this is no real API server."""
    return {
        "major": "1",
        "minor": "36",
        "emulationMajor": "1",
        "emulationMinor": "36",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35",
        "gitVersion": GIT_VERSION,
        "gitCommit": "0000000000000000000000000000000000000000",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": "none",
        "platform": "simulated",
    }


def api_versions(address: str) -> Json:
    """/api: the core group's versions."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def _group_versions(table: ResourceTable) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for group, version_name in [*table.group_versions(), ("authorization.k8s.io", "v1")]:
        groups.setdefault(group, []).append(version_name)
    return groups


def _api_group(group: str, versions: list[str]) -> Json:
    listed = [{"groupVersion": f"{group}/{name}", "version": name} for name in versions]
    return {"name": group, "versions": listed, "preferredVersion": listed[0]}


def api_groups(table: ResourceTable) -> Json:
    """/apis."""
    groups = [_api_group(group, versions) for group, versions in _group_versions(table).items() if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def api_group(table: ResourceTable, group: str) -> Json | None:
    """/apis/<group>; None when it is not served."""
    versions = _group_versions(table).get(group) if group else None
    return {"kind": "APIGroup", "apiVersion": "v1", **_api_group(group, versions)} if versions else None


def _entries(resource: Resource) -> list[Json]:
    entry: Json = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(STANDARD_VERBS),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    return [entry, *(_subresource_entry(resource, name) for name in resource.subresources)]


def _subresource_entry(resource: Resource, name: str) -> Json:
    group, version_name, kind = _SUBRESOURCE_KINDS.get(name, ("", "", resource.kind))
    entry: Json = {"name": f"{resource.plural}/{name}", "singularName": "", "namespaced": resource.namespaced}
    if group:
        entry.update(group=group, version=version_name)
    return {**entry, "kind": kind, "verbs": _SUBRESOURCE_VERBS[name]}


def _review_entries() -> list[Json]:
    return [
        {"name": plural, "singularName": kind.lower(), "namespaced": False, "kind": kind, "verbs": ["create"]}
        for plural, kind in REVIEWS.items()
    ]


def resource_list(table: ResourceTable, group: str, version_name: str) -> Json | None:
    """/api/v1 or /apis/<group>/<version>; None when it is not served."""
    served = [r for r in table.all if (r.group, r.version) == (group, version_name)]
    entries = [entry for resource in served for entry in _entries(resource)]
    if (group, version_name) == ("authorization.k8s.io", "v1"):
        entries = _review_entries()
    if not entries:
        return None
    group_version = f"{group}/{version_name}" if group else version_name
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": entries}


def _aggregated_resource(resource: Resource) -> Json:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    entry: Json = {
        "resource": resource.plural,
        "responseKind": kind,
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(STANDARD_VERBS),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources:
        entry["subresources"] = [_aggregated_subresource(resource, name) for name in resource.subresources]
    return entry


def _aggregated_subresource(resource: Resource, name: str) -> Json:
    group, version_name, kind = _SUBRESOURCE_KINDS.get(name, (resource.group, resource.version, resource.kind))
    response_kind = {"group": group, "version": version_name, "kind": kind}
    return {"subresource": name, "responseKind": response_kind, "verbs": _SUBRESOURCE_VERBS[name]}


def aggregated(table: ResourceTable, core: bool, api_version: str) -> Json:
    """apidiscovery.k8s.io's APIGroupDiscoveryList: /api (`core`) or /apis in one answer."""
    items = []
    for group, versions in _group_versions(table).items():
        if bool(group) is core:
            continue
        listed = []
        for name in versions:
            resources = [_aggregated_resource(r) for r in table.all if (r.group, r.version) == (group, name)]
            listed.append({"version": name, "resources": resources, "freshness": "Current"})
        items.append({"metadata": {"name": group} if group else {}, "versions": listed})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{api_version}",
        "metadata": {},
        "items": items,
    }


def openapi_index(table: ResourceTable) -> Json:
    """/openapi/v3: where each group version's document lies."""
    names = [f"apis/{group}/{name}" if group else f"api/{name}" for group, name in table.group_versions()]
    return {"paths": {name: {"serverRelativeURL": f"/openapi/v3/{name}"} for name in names}}


def openapi_document(table: ResourceTable, group: str, version_name: str) -> Json:
    """Just enough for `kubectl apply`: which PATCHes take fieldValidation. There are no schemas."""
    parameters = [
        {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
        for name in ("dryRun", "fieldManager", "fieldValidation")
    ]
    paths = {}
    for resource in table.all:
        if (resource.group, resource.version) != (group, version_name):
            continue
        root = f"/apis/{group}/{version_name}" if group else f"/api/{version_name}"
        scope = "/namespaces/{namespace}" if resource.namespaced else ""
        kind = {"group": group, "version": version_name, "kind": resource.kind}
        operation = {"x-kubernetes-group-version-kind": kind, "parameters": parameters, "responses": {}}
        paths[f"{root}{scope}/{resource.plural}/{{name}}"] = {"patch": operation}
    info = {"title": "Kubernetes (simulated)", "version": GIT_VERSION}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": {}}}
