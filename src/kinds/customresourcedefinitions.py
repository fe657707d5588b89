"""CustomResourceDefinitions, with their versions in a side table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kinds.booleans import is_on
from kinds.kind import Kind, SideTable
from kinds.metadata import common, conditions
from kinds.record import Json, Record, SideRecord, column, record


@record
class CrdVersionRecord(SideRecord):
    """One version of a custom resource."""

    customresourcedefinition: str = column("name of the definition: plural.group", index=True)
    api_group: str | None = column("API group")
    resource_kind: str | None = column("kind of its objects")
    version: str = column("version, e.g. v1beta1")
    served: bool = column("the API server answers it")
    storage: bool = column("objects are stored in it")
    deprecated: bool = column("clients that use it are warned")
    deprecation_warning: str | None = column("text of that warning; null is the standard one")
    status_subresource: bool = column("has the subresource status")
    scale_subresource: bool = column("has the subresource scale: can be scaled, also by an autoscaler")
    printer_columns: Json | None = column("what kubectl get shows of it, a JSON list of {name, type, jsonPath}")


@record
class CustomResourceDefinitionRecord(Record):
    """What a custom resource is called, which versions it has, and whether it works. Its schema stays in the manifest."""

    api_group: str | None = column("spec.group", index=True)
    resource_kind: str | None = column("spec.names.kind: kind of its objects", index=True)
    plural: str | None = column("spec.names.plural: the resource's name in URLs and RBAC rules", index=True)
    singular: str | None = column("spec.names.singular")
    short_names: Json | None = column("spec.names.shortNames, a JSON list")
    categories: Json | None = column("spec.names.categories, a JSON list")
    scope: str | None = column("Namespaced or Cluster")
    served_versions: Json = column("versions that the API server answers, a JSON list in the order of the spec")
    storage_version: str | None = column("version in which objects are stored")
    stored_versions: Json | None = column("status.storedVersions: versions in which objects were ever stored, a JSON list")
    healthy: bool = column("Established and NamesAccepted, and not being removed", index=True)
    conditions: Json = column("condition type -> status, a JSON map")
    conversion: str | None = column("None (only apiVersion changes) or Webhook")
    conversion_service: str | None = column("namespace/name of the service that converts; null without one")
    versions: tuple[CrdVersionRecord, ...]


def read(definition: dict[str, Any]) -> CustomResourceDefinitionRecord:
    """Redacted API object -> CustomResourceDefinitionRecord."""
    shared = common(definition)
    spec, status = definition.get("spec") or {}, definition.get("status") or {}
    names, states = spec.get("names") or {}, conditions(definition)
    conversion = spec.get("conversion") or {}
    versions = tuple(_version(shared, spec, names, version) for version in spec.get("versions") or [])
    return CustomResourceDefinitionRecord(
        **shared,
        api_group=spec.get("group"),
        resource_kind=names.get("kind"),
        plural=names.get("plural"),
        singular=names.get("singular"),
        short_names=names.get("shortNames"),
        categories=names.get("categories"),
        scope=spec.get("scope"),
        served_versions=Json([version.version for version in versions if version.served]),
        storage_version=next((version.version for version in versions if version.storage), None),
        stored_versions=status.get("storedVersions"),
        healthy=_works(states) and shared["deleting_since"] is None,
        conditions=Json(states),
        conversion=conversion.get("strategy"),
        conversion_service=_conversion_service(conversion),
        versions=versions,
    )


def _works(states: Mapping[str, str]) -> bool:
    wanted = states.get("Established") == "True" and states.get("NamesAccepted") == "True"
    return wanted and states.get("Terminating") != "True"


def _conversion_service(conversion: dict[str, Any]) -> str | None:
    service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
    return f"{service.get('namespace')}/{service.get('name')}" if service else None


def _version(shared: Mapping[str, Any], spec: dict[str, Any], names: dict[str, Any], version: dict[str, Any]) -> CrdVersionRecord:
    subresources = version.get("subresources") or {}
    return CrdVersionRecord(
        customresourcedefinition=shared["name"],
        api_group=spec.get("group"),
        resource_kind=names.get("kind"),
        version=version["name"],
        served=is_on(version.get("served")),
        storage=is_on(version.get("storage")),
        deprecated=is_on(version.get("deprecated")),
        deprecation_warning=version.get("deprecationWarning"),
        status_subresource=subresources.get("status") is not None,
        scale_subresource=subresources.get("scale") is not None,
        printer_columns=version.get("additionalPrinterColumns"),
    )


CUSTOMRESOURCEDEFINITIONS = Kind(
    name="customresourcedefinitions",
    kind="CustomResourceDefinition",
    group="apiextensions.k8s.io",
    version="v1",
    namespaced=False,
    dynamic=False,
    record=CustomResourceDefinitionRecord,
    read=read,
    list_columns=("name", "resource_kind", "scope", "served_versions", "healthy", "created_at"),
    filters={"healthy": "healthy", "api_group": "api_group", "resource_kind": "resource_kind"},
    side_tables=(SideTable("crd_versions", "versions", CrdVersionRecord, key=("version",)),),
    aliases=("customresourcedefinition", "crd", "crds"),
)
