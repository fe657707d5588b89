"""World: the builder with which the story puts objects into the store, as they would be after days of operation."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import orjson

from demo import defaults, managed_fields
from demo.api_status import Json
from demo.event_recorder import EventRecorder
from demo.identifiers import Identifiers
from demo.pod_states import owner_reference
from demo.resources import ResourceTable
from demo.store import Store
from demo.timestamps import rfc3339


def ago(*, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> timedelta:
    """How long before the story's start something happened."""
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


class World:
    """The store under construction. `start` is the story's present; ages are counted back from it."""

    def __init__(self, store: Store, table: ResourceTable, identifiers: Identifiers, start: datetime) -> None:
        self.store = store
        self.table = table
        self.identifiers = identifiers
        self.start = start
        self.recorder = EventRecorder(store, table, identifiers)
        self.node_names: list[str] = []
        self._turn = 0

    def at(self, age: timedelta) -> datetime:
        return self.start - age

    def prepare(
        self,
        api_version: str,
        kind: str,
        name: str,
        *,
        age: timedelta,
        namespace: str = "",
        labels: Json | None = None,
        annotations: Json | None = None,
        owner: Json | None = None,
        status: Json | None = None,
        **fields: Any,
    ) -> Json:
        """An object with its server-set metadata and defaults, not stored yet. `fields` are its top-level fields."""
        metadata: Json = {"name": name, **({"namespace": namespace} if namespace else {})}
        metadata.update(uid=self.identifiers.uid(), creationTimestamp=rfc3339(self.at(age)))
        if "spec" in fields:
            metadata["generation"] = 1
        if labels:
            metadata["labels"] = dict(labels)
        if annotations:
            metadata["annotations"] = dict(annotations)
        if owner is not None:
            metadata["ownerReferences"] = [owner_reference(owner)]
        obj = orjson.loads(orjson.dumps({"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}))
        defaults.apply_defaults(obj)
        if status is not None:
            obj["status"] = orjson.loads(orjson.dumps(status))
        return dict(obj)

    def keep(self, obj: Json, manager: str = "kubectl-client-side-apply") -> Json:
        """Store an object (again), with managedFields for its writer and for its status."""
        metadata = obj["metadata"]
        metadata.pop("managedFields", None)
        at = metadata["creationTimestamp"]
        managed_fields.record(obj, manager, "Update", at)
        resource = self.table.of(obj)
        if obj.get("status") and "status" in resource.subresources:
            controller = "kubelet" if obj["kind"] in ("Pod", "Node") else "kube-controller-manager"
            managed_fields.record(obj, controller, "Update", rfc3339(self.start), status=True)
        self.store.put(resource, obj)
        return obj

    def add(self, api_version: str, kind: str, name: str, *, manager: str = "kubectl-client-side-apply",
            **options: Any) -> Json:  # fmt: skip
        """prepare and keep."""
        obj = self.keep(self.prepare(api_version, kind, name, **options), manager)
        if kind == "CustomResourceDefinition":
            self.table.define(obj)
        return obj

    def event(self, about: Json, type_: str, reason: str, message: str, *, first: timedelta,
              last: timedelta | None = None, count: int = 1, **source: str) -> None:  # fmt: skip
        """An event seen `count` times between two ages; source: component, host, container."""
        at = self.at(first if last is None else last)
        self.recorder.record(about, type_, reason, message, at, first=self.at(first), count=count, **source)

    def next_node(self) -> str:
        """Workers that take pods, in turn."""
        self._turn += 1
        return self.node_names[self._turn % len(self.node_names)]

    def find(self, key: str, namespace: str, name: str) -> Json:
        """An object that the story has put there already; KeyError otherwise."""
        found = self.store.get(self.table.by_key(key), namespace, name)
        if found is None:
            raise KeyError((key, namespace, name))
        return found.obj
