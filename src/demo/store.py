"""The versioned object store: what etcd and the watch cache are to a real API server.

Objects are dicts that nobody changes once stored: a writer stores a new dict. Each keeps its JSON,
so that a LIST joins bytes. One revision counter runs over all kinds, as in etcd.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import orjson

from demo import api_status
from demo.api_status import Json
from demo.resources import Resource

ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]


@dataclass(frozen=True, slots=True)
class Stored:
    """One object at one revision. `item` is its JSON without kind and apiVersion, as lists carry it."""

    key: str
    revision: int
    obj: Json
    item: bytes

    @property
    def json(self) -> bytes:
        head = orjson.dumps({"kind": self.obj["kind"], "apiVersion": self.obj["apiVersion"]})
        return head[:-1] + b"," + self.item[1:]

    def copy(self) -> Json:
        """A deep copy to change and store again."""
        copied: Json = orjson.loads(self.json)
        return copied


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the watch history; `previous` is what it replaced, for watches with selectors."""

    type: ChangeType
    stored: Stored
    previous: Stored | None


def object_key(namespace: str, name: str) -> str:
    """The part of the etcd key that orders a list: byte order of namespace/name."""
    return f"{namespace}/{name}" if namespace else name


class _Collection:
    """All objects of one resource, in key order, with the newest changes."""

    def __init__(self, resource: Resource, history: int) -> None:
        self.resource = resource
        self.objects: dict[str, Stored] = {}
        self.keys: list[str] = []
        self.changes: deque[Change] = deque()
        self.history = history
        self.floor = 0
        self.view: tuple[Stored, ...] | None = None

    def record(self, change: Change) -> None:
        self.view = None
        self.changes.append(change)
        if len(self.changes) > self.history:
            self.floor = self.changes.popleft().stored.revision


def _serialise(obj: Json) -> bytes:
    return orjson.dumps({field: value for field, value in obj.items() if field not in ("kind", "apiVersion")})


def unstored(obj: Json) -> Stored:
    """`obj` as a write would have answered it, for a dry run: nothing is kept."""
    metadata = obj["metadata"]
    return Stored(object_key(metadata.get("namespace", ""), metadata["name"]), 0, obj, _serialise(obj))


class Store:
    """Objects by (resource, namespace, name), and what changed since a revision.

    `history` is the number of changes kept per resource: a watch from before them gets 410.
    """

    def __init__(self, first_revision: int = 1, history: int = 2000) -> None:
        self.revision = first_revision
        self._history = history
        self._collections: dict[str, _Collection] = {}
        self._dependents: dict[str, set[tuple[str, str]]] = {}
        self._uids: dict[str, tuple[str, str]] = {}
        self._listeners: list[Callable[[Resource, Change], None]] = []

    def subscribe(self, listener: Callable[[Resource, Change], None]) -> None:
        """Call `listener` after every change, within the write."""
        self._listeners.append(listener)

    def _collection(self, resource: Resource) -> _Collection:
        found = self._collections.get(resource.key)
        if found is None:
            found = self._collections[resource.key] = _Collection(resource, self._history)
        return found

    def get(self, resource: Resource, namespace: str, name: str) -> Stored | None:
        return self._collection(resource).objects.get(object_key(namespace, name))

    def put(self, resource: Resource, obj: Json) -> Stored:
        """Store `obj` (created or replaced) under the next revision, written into its metadata."""
        self.revision += 1
        metadata = obj["metadata"]
        metadata["resourceVersion"] = str(self.revision)
        collection = self._collection(resource)
        key = object_key(metadata.get("namespace", ""), metadata["name"])
        stored = Stored(key, self.revision, obj, _serialise(obj))
        previous = collection.objects.get(key)
        if previous is None:
            if not collection.keys or collection.keys[-1] < key:
                collection.keys.append(key)
            else:
                insort(collection.keys, key)
        else:
            self._unlink(resource, previous)
        collection.objects[key] = stored
        self._link(resource, stored)
        self._emit(collection, Change("ADDED" if previous is None else "MODIFIED", stored, previous))
        return stored

    def remove(self, resource: Resource, namespace: str, name: str) -> Stored | None:
        """Take an object out; the DELETED change carries its last state under a new revision."""
        collection = self._collection(resource)
        previous = collection.objects.pop(object_key(namespace, name), None)
        if previous is None:
            return None
        del collection.keys[bisect_left(collection.keys, previous.key)]
        self._unlink(resource, previous)
        self.revision += 1
        obj = {**previous.obj, "metadata": {**previous.obj["metadata"], "resourceVersion": str(self.revision)}}
        last = Stored(previous.key, self.revision, obj, _serialise(obj))
        self._emit(collection, Change("DELETED", last, previous))
        return last

    def _emit(self, collection: _Collection, change: Change) -> None:
        collection.record(change)
        for listener in self._listeners:
            listener(collection.resource, change)

    def _link(self, resource: Resource, stored: Stored) -> None:
        metadata = stored.obj["metadata"]
        self._uids[metadata["uid"]] = (resource.key, stored.key)
        for owner in metadata.get("ownerReferences", ()):
            self._dependents.setdefault(owner["uid"], set()).add((resource.key, stored.key))

    def _unlink(self, resource: Resource, stored: Stored) -> None:
        metadata = stored.obj["metadata"]
        self._uids.pop(metadata["uid"], None)
        for owner in metadata.get("ownerReferences", ()):
            children = self._dependents.get(owner["uid"], set())
            children.discard((resource.key, stored.key))
            if not children:
                self._dependents.pop(owner["uid"], None)

    def snapshot(self, resource: Resource) -> tuple[Stored, ...]:
        """Every object of the resource in key order; stays valid while the store moves on."""
        collection = self._collection(resource)
        if collection.view is None:
            collection.view = tuple(map(collection.objects.__getitem__, collection.keys))
        return collection.view

    def in_namespace(self, resource: Resource, namespace: str) -> tuple[Stored, ...]:
        """The objects of one namespace (of all, for ""), in key order."""
        view = self.snapshot(resource)
        if not namespace:
            return view
        keys = self._collection(resource).keys
        return view[bisect_left(keys, f"{namespace}/") : bisect_left(keys, f"{namespace}0")]

    def dependents(self, uid: str, resource: Resource | None = None) -> list[Stored]:
        """Objects that name `uid` as an owner, of one resource or of all, in key order."""
        return [
            self._collections[key].objects[name]
            for key, name in sorted(self._dependents.get(uid, ()))
            if resource is None or resource.key == key
        ]

    def owners_with_dependents(self) -> list[str]:
        """The uids that are named as an owner by something stored."""
        return sorted(self._dependents)

    def has_uid(self, uid: str) -> bool:
        return uid in self._uids

    def resource_keys(self) -> list[str]:
        return sorted(self._collections)

    def changes_since(self, resource: Resource, revision: int) -> Iterator[Change]:
        """The resource's changes after `revision`, oldest first; ApiError 410 when they are gone."""
        collection = self._collection(resource)
        if revision < collection.floor:
            raise api_status.expired(f"too old resource version: {revision} ({collection.floor + 1})")
        newer = []
        for change in reversed(collection.changes):
            if change.stored.revision <= revision:
                break
            newer.append(change)
        return reversed(newer)

    def compact(self) -> None:
        """Forget all history, as etcd's compaction does: older watches get 410."""
        for collection in self._collections.values():
            collection.changes.clear()
            collection.floor = self.revision
