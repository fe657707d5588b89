"""Create, read, replace, patch and delete with the semantics of the API server, without HTTP."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable
from dataclasses import dataclass

from demo import api_status, defaults, field_owners, managed_fields, patching, validation
from demo.api_status import Json
from demo.identifiers import Identifiers
from demo.resources import Resource, ResourceTable
from demo.store import Store, Stored, unstored
from demo.timestamps import Clock, rfc3339

_SERVER_FIELDS = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds",
                  "managedFields", "namespace", "name")  # fmt: skip


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """Who writes (for managedFields) and whether it counts."""

    manager: str = "kubectl"
    dry_run: bool = False
    subresource: str = ""
    operation: str = "Update"


class ObjectApi:
    """The write path over a store."""

    def __init__(self, store: Store, table: ResourceTable, clock: Clock, identifiers: Identifiers) -> None:
        self.store = store
        self.table = table
        self.clock = clock
        self.identifiers = identifiers
        self._dry_identifiers = Identifiers(identifiers.seed + 1)
        store.subscribe(lambda resource, change: self._follow_definitions(resource, change.type, change.stored))

    def _follow_definitions(self, resource: Resource, change: str, stored: Stored) -> None:
        if resource.key == "customresourcedefinitions.apiextensions.k8s.io":
            if change == "DELETED":
                self.table.undefine(stored.obj["metadata"]["name"])
            else:
                self.table.define(stored.obj)

    def get(self, resource: Resource, namespace: str, name: str) -> Stored:
        """ApiError 404 when there is no such object."""
        found = self.store.get(resource, namespace, name)
        if found is None:
            raise api_status.not_found(resource.plural, resource.group, name)
        return found

    def create(
        self, resource: Resource, namespace: str, body: object, options: WriteOptions, applied: Json | None = None
    ) -> Stored:
        """Store a new object with defaults; ApiError 400, 403, 404, 409 or 422. `applied` is a server-side apply's body."""
        obj = validation.check_shape(resource, body)
        identifiers = self._dry_identifiers if options.dry_run else self.identifiers
        self._place(resource, namespace, obj)
        metadata = obj["metadata"]
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + identifiers.suffix()
        if metadata.get("resourceVersion"):
            raise api_status.bad_request("resourceVersion should not be set on objects to be created")
        validation.check_new(resource, obj)
        if self.store.get(resource, metadata.get("namespace", ""), metadata["name"]) is not None:
            raise api_status.already_exists(resource.plural, resource.group, metadata["name"])
        at = rfc3339(self.clock())
        for field in ("managedFields", "deletionTimestamp", "selfLink"):
            metadata.pop(field, None)
        metadata.update(uid=identifiers.uid(), creationTimestamp=at)
        if "spec" in obj:
            metadata["generation"] = 1
        if "status" in resource.subresources:
            obj.pop("status", None)
        _fold_string_data(obj)
        defaults.apply_defaults(obj)
        self._allocate(obj, identifiers)
        managed_fields.record(obj, options.manager, options.operation, at, applied=applied)
        return unstored(obj) if options.dry_run else self.store.put(resource, obj)

    def _place(self, resource: Resource, namespace: str, obj: Json) -> None:
        """Put the object into the path's namespace, which has to exist and to stay."""
        metadata = obj["metadata"]
        if not resource.namespaced:
            metadata.pop("namespace", None)
            return
        if metadata.setdefault("namespace", namespace) != namespace:
            raise api_status.bad_request("the namespace of the provided object does not match the namespace sent on the request")
        home = self.store.get(self.table.by_key("namespaces"), "", namespace)
        if home is None:
            raise api_status.not_found("namespaces", "", namespace)
        if home.obj["metadata"].get("deletionTimestamp"):
            cause = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise api_status.forbidden(resource.plural, resource.group, metadata.get("name", ""), cause)

    @staticmethod
    def _allocate(obj: Json, identifiers: Identifiers) -> None:
        if obj["kind"] == "Service" and obj["spec"]["type"] != "ExternalName":
            spec = obj["spec"]
            spec.setdefault("clusterIP", identifiers.service_address())
            spec["clusterIPs"] = [spec["clusterIP"]]
            if spec["type"] in ("NodePort", "LoadBalancer"):
                for port in spec.get("ports", ()):
                    port.setdefault("nodePort", identifiers.number(30000, 32767))
            obj.setdefault("status", {"loadBalancer": {}})

    def replace(self, resource: Resource, namespace: str, name: str, body: object, options: WriteOptions) -> Stored:
        """PUT: the whole object, or its status."""
        current = self.get(resource, namespace, name)
        return self._update(resource, current, validation.check_shape(resource, body), options)

    def change(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Callable[[Json], Json],
        options: WriteOptions,
        applied: Json | None = None,
    ) -> Stored:
        """PATCH: `patch` maps a copy of the object to what it shall be; `applied` is a server-side apply's body."""
        current = self.get(resource, namespace, name)
        return self._update(resource, current, validation.check_shape(resource, patch(current.copy())), options, applied)

    def apply(
        self, resource: Resource, namespace: str, name: str, body: object, options: WriteOptions, *, force: bool
    ) -> tuple[Stored, bool]:
        """Server-side apply: (the object, whether it is new). ApiError 409 for fields of other managers, unless `force`.

        Simplified: a field that is no longer applied stays, and lists merge by the keys that strategic merge knows.
        """
        if not isinstance(body, dict):
            raise api_status.bad_request("the body of an apply patch has to be an object")
        body.setdefault("metadata", {})["name"] = name
        applied = copy.deepcopy(body)
        current = self.store.get(resource, namespace, name)
        if current is None:
            return self.create(resource, namespace, body, options, applied), True
        status = options.subresource == "status"
        wanted, live = (managed_fields.leaves_of(obj, status=status) for obj in (applied, current.obj))
        entries = current.obj["metadata"].get("managedFields", ())
        conflicts = [] if force else field_owners.conflicts_of(entries, options.manager, wanted, live)
        if conflicts:
            self._check_preconditions(resource, current, applied["metadata"])
            raise field_owners.conflict_error(conflicts)
        return self.change(resource, namespace, name, lambda obj: patching.strategic_merge(obj, body), options, applied), False

    def _update(
        self, resource: Resource, current: Stored, wanted: Json, options: WriteOptions, applied: Json | None = None
    ) -> Stored:
        old, status = current.obj, options.subresource == "status"
        name = old["metadata"]["name"]
        self._check_preconditions(resource, current, wanted["metadata"])
        new = _merge_server_fields(resource, old, wanted, status=status)
        if new["metadata"].get("name") != name:
            cause = api_status.field_invalid("metadata.name", wanted["metadata"].get("name"), "field is immutable")
            raise api_status.invalid(resource.kind, resource.group, name, [cause])
        if not status:
            validation.check_update(resource, old, new)
            defaults.apply_update_defaults(new)
        if new == old and applied is None:
            return current
        if not status and new.get("spec") != old.get("spec") and "generation" in new["metadata"]:
            new["metadata"]["generation"] += 1
        at = rfc3339(self.clock())
        managed_fields.record(new, options.manager, options.operation, at, status=status, applied=applied, old=old)
        if new == old:
            return current
        if options.dry_run:
            return unstored(new)
        if new["metadata"].get("deletionTimestamp") and not is_held(new):
            return self.store.remove(resource, new["metadata"].get("namespace", ""), name) or unstored(new)
        return self.store.put(resource, new)

    @staticmethod
    def _check_preconditions(resource: Resource, current: Stored, metadata: Json) -> None:
        have = current.obj["metadata"]
        name, uid, revision = have["name"], metadata.get("uid"), metadata.get("resourceVersion")
        if uid and uid != have["uid"]:
            cause = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {have['uid']}"
            raise api_status.conflict(resource.plural, resource.group, name, cause)
        if revision and revision != have["resourceVersion"]:
            cause = "the object has been modified; please apply your changes to the latest version and try again"
            raise api_status.conflict(resource.plural, resource.group, name, cause)


def is_held(obj: Json) -> bool:
    """True while finalizers keep a deleted object."""
    in_spec = obj.get("spec", {}).get("finalizers") if obj["kind"] == "Namespace" else None
    return bool(obj["metadata"].get("finalizers") or in_spec)


def _fold_string_data(obj: Json) -> None:
    """A Secret's stringData moves into data."""
    for key, value in (obj.pop("stringData", None) or {}).items() if obj["kind"] == "Secret" else ():
        obj.setdefault("data", {})[key] = base64.b64encode(str(value).encode()).decode()


def _merge_server_fields(resource: Resource, old: Json, wanted: Json, *, status: bool) -> Json:
    """`wanted` with what a client cannot change put back; for a status write all but the status."""
    if status:
        return {**copy.deepcopy(old), "status": wanted.get("status", {})}
    new = {key: value for key, value in wanted.items() if key != "status" or "status" not in resource.subresources}
    if "status" in resource.subresources and "status" in old:
        new["status"] = copy.deepcopy(old["status"])
    kept = {field: old["metadata"][field] for field in _SERVER_FIELDS if field in old["metadata"]}
    name = wanted["metadata"].get("name", old["metadata"]["name"])
    new["metadata"] = {**wanted["metadata"], **copy.deepcopy(kept), "name": name,
                       "resourceVersion": old["metadata"]["resourceVersion"]}  # fmt: skip
    if new["metadata"].get("finalizers") == []:
        del new["metadata"]["finalizers"]
    _fold_string_data(new)
    return new
