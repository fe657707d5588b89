"""DELETE, and what it leaves to the garbage collector."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from demo import api_status
from demo.api_status import Json
from demo.object_api import ObjectApi, is_held
from demo.resources import Resource
from demo.store import Stored
from demo.timestamps import rfc3339

POLICIES = ("Background", "Foreground", "Orphan")


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """metav1.DeleteOptions; `grace_seconds` None means the object's own."""

    grace_seconds: int | None = None
    propagation: str = "Background"
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False


def parse_options(body: Json, query: dict[str, str]) -> DeleteOptions:
    """From the request's body and query; ApiError 400 or 422 for values that are none."""
    grace = body.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
    propagation = body.get("propagationPolicy") or query.get("propagationPolicy") or "Background"
    if body.get("orphanDependents") or query.get("orphanDependents") == "true":
        propagation = "Orphan"
    if propagation not in POLICIES:
        detail = f'supported values: "{POLICIES[1]}", "{POLICIES[0]}", "{POLICIES[2]}"'
        cause = api_status.field_invalid("propagationPolicy", propagation, detail)
        raise api_status.invalid("DeleteOptions", "meta.k8s.io", "", [cause])
    if grace is not None and not str(grace).lstrip("-").isdigit():
        raise api_status.bad_request(f"gracePeriodSeconds: {grace!r} is no number")
    dry_run = body.get("dryRun") or ([query["dryRun"]] if query.get("dryRun") else [])
    preconditions = body.get("preconditions") or {}
    return DeleteOptions(
        None if grace is None else int(grace),
        propagation,
        preconditions.get("uid") or "",
        preconditions.get("resourceVersion") or "",
        check_dry_run(dry_run),
    )


def check_dry_run(values: list[str]) -> bool:
    """True for ["All"], False for []; ApiError 422 for anything else."""
    if any(value != "All" for value in values):
        cause = api_status.field_invalid("dryRun", values[0], 'supported values: "All"')
        raise api_status.invalid("DeleteOptions", "meta.k8s.io", "", [cause])
    return bool(values)


class Deleter:
    """`graceful` pods stay Terminating until the kubelet (controllers.kubelet) has stopped them."""

    def __init__(self, api: ObjectApi, *, graceful: bool) -> None:
        self._api = api
        self._graceful = graceful

    def delete(self, resource: Resource, namespace: str, name: str, options: DeleteOptions) -> tuple[Stored, bool]:
        """(the object, whether it is gone); ApiError 404, or 409 when a precondition fails."""
        current = self._api.get(resource, namespace, name)
        self._check(resource, current, options)
        marked = self._mark(resource, current, options)
        if options.dry_run:
            return current, marked is None
        if marked is not None:
            return (current if marked == current.obj else self._api.store.put(resource, marked)), False
        removed = self._api.store.remove(resource, namespace, name)
        return removed or current, True

    def _check(self, resource: Resource, current: Stored, options: DeleteOptions) -> None:
        have = current.obj["metadata"]
        for label, wanted, actual in (
            ("UID", options.uid, have["uid"]),
            ("ResourceVersion", options.resource_version, have["resourceVersion"]),
        ):
            if wanted and wanted != actual:
                cause = f"Precondition failed: {label} in precondition: {wanted}, {label} in object meta: {actual}"
                raise api_status.conflict(resource.plural, resource.group, have["name"], cause)

    def _mark(self, resource: Resource, current: Stored, options: DeleteOptions) -> Json | None:
        """The object marked for deletion, or None when nothing holds it and it may go at once."""
        obj = current.copy()
        metadata = obj["metadata"]
        if metadata.get("deletionTimestamp") and options.grace_seconds != 0:
            return obj
        has_children = bool(self._api.store.dependents(metadata["uid"]))
        finalizer = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(options.propagation)
        if finalizer and has_children and finalizer not in metadata.get("finalizers", ()):
            metadata.setdefault("finalizers", []).append(finalizer)
        grace = self._grace_seconds(resource, obj, options)
        if not grace and not is_held(obj):
            return None
        metadata["deletionTimestamp"] = rfc3339(self._api.clock() + timedelta(seconds=grace))
        metadata["deletionGracePeriodSeconds"] = grace
        if obj["kind"] == "Namespace":
            obj["status"]["phase"] = "Terminating"
        if "generation" in metadata:
            metadata["generation"] += 1
        return obj

    def _grace_seconds(self, resource: Resource, obj: Json, options: DeleteOptions) -> int:
        on_a_node = resource.key == "pods" and obj["spec"].get("nodeName") and self._graceful
        if not on_a_node or obj["status"].get("phase") in ("Succeeded", "Failed"):
            return 0
        own = int(obj["spec"].get("terminationGracePeriodSeconds", 30))
        return own if options.grace_seconds is None else max(options.grace_seconds, 0)
