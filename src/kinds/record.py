"""What every cached object has in common, and how a record declares its columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from typing import Any, NewType, TypeVar, dataclass_transform

Time = NewType("Time", int)
"""Seconds since 1970-01-01T00:00:00Z. SQLite would lose the zone of a DateTime; an integer cannot."""

Json = NewType("Json", object)
"""A JSON value (list, object, …) that is kept as compact JSON text in the database and as itself in a tool's answer."""


def column(doc: str, *, index: bool = False, tracked: bool = True, default: Any = MISSING) -> Any:
    """Declare one typed column of a record.

    `doc` is what a person or a model reads in the schema: meaning, unit, source field. `tracked=False` keeps its changes
    out of the history: measurements that never rest, and second forms of what another column says.
    """
    return field(metadata={"doc": doc, "index": index, "tracked": tracked}, default=default)


Class = TypeVar("Class")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(column,))
def record(cls: type[Class]) -> type[Class]:
    """Declare a record: a dataclass of keyword arguments that nobody changes, which the type checker sees to.

    Not frozen at run time: such a class sets each field by a call, and one of sixty fields took 20 us to make instead of 5.
    """
    return dataclass(slots=True, kw_only=True)(cls)


@record
class Record:
    """Columns that every kind has. The cache adds `cluster`, `first_seen_at` and `manifest`."""

    namespace: str | None = column("namespace; null for cluster-scoped objects", index=True)
    name: str = column("metadata.name", index=True)
    uid: str = column("metadata.uid")
    resource_version: str = column("metadata.resourceVersion; compare for equality only")
    created_at: Time | None = column("metadata.creationTimestamp")
    deleting_since: Time | None = column("metadata.deletionTimestamp; null unless deletion is under way")
    labels: Mapping[str, str] = column("metadata.labels, as a JSON map")
    annotations: Mapping[str, str] = column("metadata.annotations, as a JSON map; credentials are redacted")
    owner_uid: str | None = column("uid of the controlling owner, else of the first owner", index=True)
    owner_kind: str | None = column("kind of that owner, e.g. ReplicaSet")
    owner_name: str | None = column("name of that owner")


@record
class SideRecord:
    """A row of a side table: belongs to one object, and is replaced together with it."""


def sort_key(namespace: str | None, name: str) -> bytes:
    """The order in which the API server lists: the bytes of its storage key.

    etcd keys end in `namespace/name`, so `a-b` comes before `a` (`-` sorts before `/`); ordering by
    (namespace, name) would differ. Source: k8s.io/apiserver registry/generic/registry/store.go, NamespaceKeyFunc.
    """
    return (f"{namespace}/{name}" if namespace else name).encode()
