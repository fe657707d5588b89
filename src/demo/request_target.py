"""What a request addresses (its path) and in which form it wants the answer (its Accept header)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from demo import api_status
from demo.resources import Resource, ResourceTable

Form = Literal["object", "table", "metadata"]


@dataclass(frozen=True, slots=True)
class Target:
    """A resource, or one object of it, or a subresource of that object."""

    resource: Resource
    namespace: str
    name: str
    subresource: str


def parse_path(path: str, table: ResourceTable) -> Target:
    """/api/v1/… or /apis/<group>/<version>/… below discovery; ApiError 404 when nothing is served there."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) >= 3:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) >= 4:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        raise api_status.no_such_path()
    namespace = ""
    if rest[0] == "namespaces" and len(rest) >= 3 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    resource = table.find(group, version, rest[0])
    if resource is None or len(rest) > 3 or (namespace and not resource.namespaced):
        raise api_status.no_such_path()
    name, subresource = (*rest[1:], "", "")[:2]
    if subresource and subresource not in resource.subresources:
        raise api_status.no_such_path()
    if name and resource.namespaced and not namespace:
        raise api_status.no_such_path()
    return Target(resource, namespace, name, subresource)


def accepted_form(accept: str) -> Form:
    """The first form in the Accept header that is served; ApiError 406 when it names none."""
    if not accept:
        return "object"
    for choice in accept.split(","):
        media, *parameters = (part.strip() for part in choice.split(";"))
        if media not in ("application/json", "application/*", "*/*"):
            continue
        wanted = dict(parameter.partition("=")[::2] for parameter in parameters).get("as", "")
        if wanted == "Table":
            return "table"
        if wanted in ("PartialObjectMetadata", "PartialObjectMetadataList"):
            return "metadata"
        if not wanted:
            return "object"
    message = "only the following media types are accepted: application/json"
    raise api_status.ApiError(406, "NotAcceptable", message)
