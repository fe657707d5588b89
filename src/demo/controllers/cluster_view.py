"""What every controller needs: typed access to the store, and writes that touch only what differs."""

from __future__ import annotations

from datetime import datetime

from demo import managed_fields
from demo.api_status import Json
from demo.deletion import DeleteOptions, Deleter
from demo.event_recorder import EventRecorder
from demo.object_api import ObjectApi, WriteOptions
from demo.resources import Resource
from demo.store import Stored
from demo.timestamps import rfc3339

CONTROLLER = "kube-controller-manager"


class ClusterView:
    """The cluster as controllers see it."""

    def __init__(self, api: ObjectApi) -> None:
        self.api = api
        self.store = api.store
        self.identifiers = api.identifiers
        self.recorder = EventRecorder(api.store, api.table, api.identifiers)
        self.deleter = Deleter(api, graceful=True)

    def now(self) -> datetime:
        return self.api.clock()

    def resource(self, key: str) -> Resource:
        return self.api.table.by_key(key)

    def all(self, key: str) -> list[Stored]:
        return list(self.store.snapshot(self.resource(key)))

    def lookup(self, key: str, namespace: str, name: str) -> Json | None:
        found = self.store.get(self.resource(key), namespace, name)
        return found.obj if found else None

    def copy_of(self, key: str, obj: Json) -> Json:
        """A copy of the object as it is stored now, to change and save; KeyError when it is gone."""
        namespace, name = obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
        found = self.store.get(self.resource(key), namespace, name)
        if found is None:
            raise KeyError((key, namespace, name))
        return found.copy()

    def pods_in(self, namespace: str) -> list[Json]:
        return [stored.obj for stored in self.store.in_namespace(self.resource("pods"), namespace)]

    def pods_of(self, owner: Json) -> list[Json]:
        return [stored.obj for stored in self.store.dependents(owner["metadata"]["uid"], self.resource("pods"))]

    def children(self, owner: Json, key: str) -> list[Json]:
        return [stored.obj for stored in self.store.dependents(owner["metadata"]["uid"], self.resource(key))]

    def create(self, key: str, obj: Json, manager: str = CONTROLLER) -> Json:
        namespace = obj["metadata"].get("namespace", "")
        return self.api.create(self.resource(key), namespace, obj, WriteOptions(manager=manager)).obj

    def delete(self, key: str, obj: Json, propagation: str = "Background") -> None:
        metadata = obj["metadata"]
        options = DeleteOptions(propagation=propagation)
        self.deleter.delete(self.resource(key), metadata.get("namespace", ""), metadata["name"], options)

    def save(self, key: str, obj: Json, manager: str = CONTROLLER, *, status: bool = True) -> Json:
        """Store a changed copy, noting who changed its status (or the rest)."""
        metadata = obj["metadata"]
        before = None if status else self.lookup(key, metadata.get("namespace", ""), metadata["name"])
        managed_fields.record(obj, manager, "Update", rfc3339(self.now()), status=status, old=before)
        return self.store.put(self.resource(key), obj).obj

    def save_status(self, key: str, obj: Json, status: Json, manager: str = CONTROLLER) -> Json:
        """Store `status` where it differs from the object's; the object as it is afterwards."""
        if obj.get("status") == status:
            return obj
        return self.save(key, {**obj, "metadata": dict(obj["metadata"]), "status": status}, manager)

    def event(self, about: Json, type_: str, reason: str, message: str, component: str, **source: str) -> None:
        self.recorder.record(about, type_, reason, message, self.now(), component=component, **source)  # type: ignore[arg-type]
