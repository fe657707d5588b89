"""Garbage collection by owner, namespaces that go with all they hold, claims that are no longer used."""

from __future__ import annotations

from demo.api_status import Json
from demo.controllers.cluster_view import ClusterView
from demo.pod_states import owner_reference
from demo.resources import Resource
from demo.store import Change, Stored

_FOREGROUND, _ORPHAN, _IN_USE = "foregroundDeletion", "orphan", "kubernetes.io/pvc-protection"


class GarbageCollector:
    """Looks at orphans each tick, and at objects that finalizers hold."""

    def __init__(self, view: ClusterView) -> None:
        self._view = view
        self._held: set[tuple[str, str, str]] = set()
        for key in view.store.resource_keys():
            for stored in view.all(key):
                self._consider(view.resource(key), stored)
        view.store.subscribe(self._changed)

    def _changed(self, resource: Resource, change: Change) -> None:
        metadata = change.stored.obj["metadata"]
        if change.type == "DELETED":
            self._held.discard((resource.key, metadata.get("namespace", ""), metadata["name"]))
        else:
            self._consider(resource, change.stored)

    def _consider(self, resource: Resource, stored: Stored) -> None:
        metadata = stored.obj["metadata"]
        held = resource.key != "pods" or metadata.get("finalizers")
        if metadata.get("deletionTimestamp") and held:
            self._held.add((resource.key, metadata.get("namespace", ""), metadata["name"]))

    def tick(self) -> None:
        for key, namespace, name in sorted(self._held):
            obj = self._view.lookup(key, namespace, name)
            if obj is not None:
                self._release(key, obj)
        for uid in self._view.store.owners_with_dependents():
            if not self._view.store.has_uid(uid):
                for stored in self._view.store.dependents(uid):
                    self._collect(stored.obj, uid)

    def _collect(self, obj: Json, uid: str) -> None:
        """An owner is gone: so is the object, unless another owner is left."""
        key = self._key_of(obj)
        left = [owner for owner in obj["metadata"]["ownerReferences"] if owner["uid"] != uid]
        if any(self._view.store.has_uid(owner["uid"]) for owner in left):
            changed = {**obj, "metadata": {**obj["metadata"], "ownerReferences": left}}
            self._view.save(key, changed, status=False)
        elif not obj["metadata"].get("deletionTimestamp"):
            self._view.delete(key, obj)

    def _key_of(self, obj: Json) -> str:
        return self._view.api.table.of(obj).key

    def _release(self, key: str, obj: Json) -> None:
        """Do what a finalizer stands for, and take it off when that is done."""
        finalizers = obj["metadata"].get("finalizers", [])
        if key == "namespaces":
            self._empty(obj)
        elif _FOREGROUND in finalizers:
            children = self._view.store.dependents(obj["metadata"]["uid"])
            for child in children:
                if not child.obj["metadata"].get("deletionTimestamp"):
                    self._view.delete(self._key_of(child.obj), child.obj, "Foreground")
            if not children:
                self._take_off(key, obj, _FOREGROUND)
        elif _ORPHAN in finalizers:
            for child in self._view.store.dependents(obj["metadata"]["uid"]):
                self._disown(child.obj, obj)
            self._take_off(key, obj, _ORPHAN)
        elif _IN_USE in finalizers and not self._claim_in_use(obj):
            self._take_off(key, obj, _IN_USE)

    def _disown(self, child: Json, owner: Json) -> None:
        uid = owner_reference(owner)["uid"]
        left = [reference for reference in child["metadata"]["ownerReferences"] if reference["uid"] != uid]
        metadata = {name: value for name, value in child["metadata"].items() if name != "ownerReferences"}
        changed = {**child, "metadata": {**metadata, **({"ownerReferences": left} if left else {})}}
        self._view.save(self._key_of(child), changed, status=False)

    def _take_off(self, key: str, obj: Json, finalizer: str) -> None:
        metadata = obj["metadata"]
        left = [name for name in metadata["finalizers"] if name != finalizer]
        if left:
            self._view.save(key, {**obj, "metadata": {**metadata, "finalizers": left}}, status=False)
        else:
            self._view.store.remove(self._view.resource(key), metadata.get("namespace", ""), metadata["name"])

    def _claim_in_use(self, claim: Json) -> bool:
        name = claim["metadata"]["name"]
        return any(
            volume.get("persistentVolumeClaim", {}).get("claimName") == name
            for pod in self._view.pods_in(claim["metadata"]["namespace"])
            for volume in pod["spec"].get("volumes", ())
        )

    def _empty(self, namespace: Json) -> None:
        """Delete what a terminating namespace holds; once it holds nothing, the namespace too."""
        name, left = namespace["metadata"]["name"], 0
        for key in self._view.store.resource_keys():
            resource = self._view.resource(key)
            for stored in self._view.store.in_namespace(resource, name) if resource.namespaced else ():
                left += 1
                if not stored.obj["metadata"].get("deletionTimestamp"):
                    self._view.delete(key, stored.obj)
        if not left:
            self._view.store.remove(self._view.resource("namespaces"), "", name)
