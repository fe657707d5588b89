"""What has become of the objects that a Helm release wrote: compared one by one with what is in the cluster now.

Both sides are redacted before they are compared: a secret that differs shows as two fingerprints.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from configuration.errors import ClusterError, InvalidArguments, NotFound
from kinds.kind import Kind
from mcp_tools.at_most import at_most
from mcp_tools.discovery import ApiResource, Served, kind_of
from mcp_tools.helm_manifests import ReleaseObject
from mcp_tools.k8s_api import ClusterApi
from mcp_tools.list_pages import decode_object
from mcp_tools.manifest_drift import Difference, comparable, drift_between
from mcp_tools.object_names import namespace_name, object_name
from mcp_tools.redaction import Redactor
from mcp_tools.secret_access import SecretAccess
from mcp_tools.secret_payloads import read_secret

_VERSION = re.compile(r"[a-z0-9]{1,63}\Z")
MAX_OBJECT_BYTES = 8 * 1024 * 1024

State = Literal["same", "differs", "missing", "unknown"]


@dataclass(frozen=True, slots=True)
class ObjectDrift:
    """One object of a release. `reason` says why it is unknown, or what is missing."""

    title: str
    state: State
    reason: str = ""
    differences: Sequence[Difference] = ()
    added: Sequence[str] = field(default=())


async def drift_of(
    api: ClusterApi, redactor: Redactor, served: Served, objects: Sequence[ReleaseObject], namespace: str
) -> list[ObjectDrift]:
    """Of each object, in their order. An object that cannot be read costs itself only; raises nothing for one."""
    by_kind = {(one.group, one.kind): one for one in served.resources}

    async def one(found: ReleaseObject) -> ObjectDrift:
        try:
            return await _of_one(api, redactor, by_kind, served, found, namespace)
        except (ClusterError, InvalidArguments) as error:
            return ObjectDrift(found.title, "unknown", str(error))

    return await at_most(objects, one)


async def _of_one(
    api: ClusterApi, redactor: Redactor, by_kind: Mapping[tuple[str, str], ApiResource], served: Served,
    found: ReleaseObject, namespace: str,
) -> ObjectDrift:  # fmt: skip
    manifest = found.manifest
    if manifest is None:
        return ObjectDrift(found.title, "unknown", "this part of the manifest cannot be read")
    group, _, version = str(manifest.get("apiVersion") or "").rpartition("/")
    resource = by_kind.get((group, str(manifest.get("kind") or "")))
    if resource is None:
        if any(name.startswith(f"{group}/") for name in served.unknown_groups):
            return ObjectDrift(found.title, "unknown", "the server of its API group does not answer")
        return ObjectDrift(found.title, "missing", "the cluster does not serve its kind")
    kind = kind_of(resource)
    if _VERSION.match(version) is None:
        return ObjectDrift(found.title, "unknown", "its apiVersion is none")
    metadata = manifest.get("metadata")
    named: dict[str, Any] = metadata if isinstance(metadata, dict) else {}
    scope = namespace_name(str(named.get("namespace") or namespace)) if kind.namespaced else None
    name = object_name(str(named.get("name") or ""))
    live = await _live(api, kind, version, scope, name)
    title = f"{kind.kind} {scope}/{name}" if scope else f"{kind.kind} {name}"
    if live is None:
        return ObjectDrift(title, "missing")
    drift = drift_between(redactor.redact_object(copy.deepcopy(comparable(manifest))), redactor.redact_object(live))
    state: State = "differs" if drift.differences else "same"
    return ObjectDrift(title, state, "", drift.differences, drift.added)


async def _live(api: ClusterApi, kind: Kind, version: str, namespace: str | None, name: str) -> dict[str, Any] | None:
    """In the version of the manifest, else (it may not be served any more) in the one that the cluster prefers."""
    if (kind.group, kind.resource) == ("", "secrets"):
        try:
            return (await read_secret(api, str(namespace), name, SecretAccess.DRIFT)).manifest
        except NotFound:
            return None
    for candidate in dict.fromkeys((version, kind.version)):
        path = replace(kind, version=candidate).api_path(namespace, name)
        doing = f"read {kind.kind} {name}"
        try:
            answer = await api.get(path, doing=doing, max_bytes=MAX_OBJECT_BYTES)
        except NotFound:
            continue
        try:
            return decode_object(answer.body)
        except (TypeError, ValueError):
            raise ClusterError(f"cannot {doing}: the API server's answer is not an object; try again") from None
    return None
