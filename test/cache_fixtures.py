"""Databases in temporary files, a clock that tests set, and API objects of each kind to fill them with."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from cache.cache_manager import CacheManager, ClusterIdentity, Delta, ObjectChange, ScanOutcome, Staged
from cache.cache_reader import CacheReader
from cache.ttl_manager import TtlPolicy
from kinds.kind import Kind
from kinds.list_query import ListQuery
from kinds.registry import KINDS

CLUSTER = "kind-test"
START = 1_800_000_000


@dataclass
class Clock:
    """Called, it tells `now`."""

    now: float = START

    def __call__(self) -> float:
        return self.now


def api_object(kind: Kind | str, name: str, namespace: str | None = "default", **changes: Any) -> dict[str, Any]:
    """An object as the API server gives it. `changes`: uid, version, labels, annotations, spec, status, owner."""
    kind = KINDS[kind] if isinstance(kind, str) else kind
    namespace = namespace if kind.namespaced else None
    metadata: dict[str, Any] = {
        "name": name,
        "uid": changes.get("uid") or str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind.name}/{namespace}/{name}")),
        "resourceVersion": str(changes.get("version", 1)),
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "labels": changes.get("labels", {"app": name.split("-")[0]}),
        "annotations": changes.get("annotations", {}),
    }
    if namespace:
        metadata["namespace"] = namespace
    if "owner" in changes:
        owner_kind, owner_name, owner_uid = changes["owner"]
        metadata["ownerReferences"] = [{"kind": owner_kind, "name": owner_name, "uid": owner_uid, "controller": True}]
    obj = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
    return obj | _details(kind.name, changes)


def _details(kind: str, changes: dict[str, Any]) -> dict[str, Any]:
    if kind == "events":
        involved = {"kind": "Pod", "namespace": "default", "name": "web-1", "uid": "pod-uid"}
        seen = {"firstTimestamp": "2026-01-02T03:04:05Z", "lastTimestamp": "2026-01-02T03:05:05Z"}
        return {"type": "Warning", "reason": "BackOff", "message": "restarting", "count": 3, "involvedObject": involved, **seen}
    if kind != "pods":
        return {"spec": changes.get("spec", {}), "status": changes.get("status", {})}
    spec = {"nodeName": changes.get("node", "node-1"), "containers": [_container("app", changes), _container("proxy", changes)]}
    status = {"name": "app", "ready": True, "restartCount": changes.get("restarts", 0), "state": {"running": {}}}
    statuses = [status, status | {"name": "proxy", "restartCount": 0}]
    phase = {"phase": changes.get("phase", "Running"), "podIP": "10.0.0.7", "containerStatuses": statuses}
    return {"spec": spec | changes.get("spec", {}), "status": phase | changes.get("status", {})}


def _container(name: str, changes: dict[str, Any]) -> dict[str, Any]:
    resources = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}}
    return {"name": name, "image": changes.get("image", "registry.example/app:1"), "resources": resources}


def staged(kind: Kind | str, *objects: dict[str, Any]) -> list[Staged]:
    """API objects as a page of the scanner."""
    kind = KINDS[kind] if isinstance(kind, str) else kind
    return [Staged(kind.read(obj), orjson.dumps(obj)) for obj in objects]


def pods(count: int, *, version: int = 1, first: int = 0) -> list[Staged]:
    """`count` pods over five namespaces, in list order."""
    objects = [api_object("pods", f"web-{i:05d}", f"team-{i % 5}", version=version) for i in range(first, first + count)]
    objects.sort(key=lambda obj: f"{obj['metadata']['namespace']}/{obj['metadata']['name']}")
    return staged("pods", *objects)


def scan(
    manager: CacheManager, kind: Kind | str, page: Iterable[Staged], *, cluster: str = CLUSTER, version: str = "100", **stage: Any
) -> ScanOutcome:
    """One complete scan."""
    with manager.stage(cluster, KINDS[kind] if isinstance(kind, str) else kind, **stage) as staging:
        staging.add(page)
        return staging.finish(resource_version=version, duration_ms=7)


def delta(kind: Kind | str, *events: tuple[Any, dict[str, Any]], since: str = "100", until: str = "200", **fields: Any) -> Delta:
    """Watch events `(type, object)` that follow on what `scan` leaves; kubectl is their manager."""
    kind = KINDS[kind] if isinstance(kind, str) else kind
    changes = [ObjectChange(type_, staged(kind, obj)[0], obj["metadata"]["uid"], "kubectl") for type_, obj in events]
    defaults: dict[str, Any] = {"checked_at": START + 60, "redaction": "", "strategy": "follow"}
    return Delta(kind=kind, since=since, until=until, changes=changes, **defaults | fields)


def count(reader: CacheReader, kind: Kind, cluster: str = CLUSTER) -> int | None:
    """How many objects of the kind a list of all of them would find."""
    return reader.list(cluster, ListQuery(kind, limit=1)).envelope.total


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where a database may be; nothing is there yet."""
    return tmp_path / "cache.db"


@pytest.fixture
def open_manager(database: Path, clock: Clock) -> Iterator[Callable[..., CacheManager]]:
    """Opens managers on `database`, with the test cluster registered; closed at the end."""
    opened: list[CacheManager] = []

    def open_one(path: Path = database, *, register: bool = True, **arguments: Any) -> CacheManager:
        manager = CacheManager(path, policy=arguments.pop("policy", TtlPolicy()), clock=clock, **arguments)
        opened.append(manager)
        if register:
            manager.register_cluster(ClusterIdentity(cluster=CLUSTER, uid="uid-of-kube-system"))
        return manager

    yield open_one
    for manager in opened:
        manager.close()


@pytest.fixture
def manager(open_manager: Callable[..., CacheManager]) -> CacheManager:
    return open_manager()


@pytest.fixture
def reader(manager: CacheManager, clock: Clock) -> Iterator[CacheReader]:
    with CacheReader(manager.path, clock=clock) as reader:
        yield reader
