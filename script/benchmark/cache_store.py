"""How fast the cache stores and reads: a synthetic kind of 10,000 pods, without a cluster or a server.

    uv run python script/benchmark/cache_store.py [PODS]

Prints wall and CPU seconds; wall time on a busy machine says little.
"""

from __future__ import annotations

import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from cache.cache_manager import CacheManager, ClusterIdentity, Staged
from cache.cache_reader import CacheReader
from cache.sql_guard import run_query
from cache.ttl_manager import TtlPolicy
from kinds.kind import row
from kinds.list_query import ListQuery
from kinds.registry import KINDS

PODS = KINDS["pods"]
CLUSTER = "bench"
LABELS = {"name": 50, "instance": 200, "version": 5, "component": 10, "part-of": 3, "managed-by": 1}


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    first, second = page(count, version=1), page(count, version=2)
    print(f"{count} pods, {len(LABELS)} labels, 2 containers, manifests of {len(first[0].manifest)} bytes")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cache.db"
        with CacheManager(path, policy=TtlPolicy()) as manager:
            manager.register_cluster(ClusterIdentity(cluster=CLUSTER, uid="bench"))
            for name, objects in (("first fill", first), ("unchanged", first), ("all changed", second), ("all removed", [])):
                if name == "all removed":
                    read(path, second)
                with measured(name):
                    scan(manager, objects)
            print(f"{'database':24} {path.stat().st_size / 1e6:7.1f} MB")


def scan(manager: CacheManager, objects: list[Staged]) -> None:
    with manager.stage(CLUSTER, PODS) as staging:
        for start in range(0, len(objects), 500):
            staging.add(objects[start : start + 500])
        outcome = staging.finish(resource_version="1")
    assert outcome.total == len(objects)


def read(path: Path, objects: list[Staged]) -> None:
    with CacheReader(path) as reader:
        first = ListQuery(PODS)
        assert reader.list(CLUSTER, first).rows == [row(PODS, item.record) for item in objects[:50]]
        reads: dict[str, Callable[[], Any]] = {
            "first page": lambda: reader.list(CLUSTER, first),
            "page of a label": lambda: reader.list(CLUSTER, ListQuery(PODS, selector="app.kubernetes.io/version=v1")),
            "page of a node": lambda: reader.list(CLUSTER, ListQuery(PODS, filters={"node": "node-7"})),
            "guarded SQL": lambda: run_query(path, "SELECT node, count(*) FROM pods GROUP BY node", cluster=CLUSTER),
        }
        for name, work in reads.items():
            times = []
            for _ in range(7):
                started = time.perf_counter()
                work()
                times.append(time.perf_counter() - started)
            print(f"{name:24} {sorted(times)[3] * 1000:7.1f} ms")


@contextmanager
def measured(name: str) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    print(f"{name:24} {time.perf_counter() - wall:7.2f} s wall {time.process_time() - cpu:7.2f} s CPU")


def page(count: int, *, version: int) -> list[Staged]:
    objects = [pod(number, version) for number in range(count)]
    objects.sort(key=lambda found: f"{found['metadata']['namespace']}/{found['metadata']['name']}".encode())
    return [Staged(PODS.read(found), orjson.dumps(found)) for found in objects]


def pod(number: int, version: int) -> dict[str, Any]:
    started = "2026-01-01T00:00:00Z"
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10, "timeoutSeconds": 1}
    containers = [
        {
            "name": name,
            "image": f"registry.example/{name}:1.2",
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            "env": [{"name": f"SETTING_{index}", "value": "true"} for index in range(12)],
            "readinessProbe": probe,
            "livenessProbe": probe,
            "volumeMounts": [{"name": "config", "mountPath": "/etc/config"}],
        }
        for name in ("app", "proxy")
    ]
    statuses = [
        {
            "name": found["name"],
            "image": found["image"],
            "imageID": f"{found['image']}@sha256:{'b' * 64}",
            "containerID": f"containerd://{uuid.uuid5(uuid.NAMESPACE_DNS, str(number)).hex * 2}",
            "ready": True,
            "restartCount": version,
            "state": {"running": {"startedAt": started}},
        }
        for found in containers
    ]
    conditions = [
        {"type": name, "status": "True", "lastTransitionTime": started} for name in ("Ready", "Initialized", "PodScheduled")
    ]
    address = f"10.{number // 62_500}.{number // 250 % 250}.{number % 250}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"app-{number % 50}-{number:06d}",
            "namespace": f"team-{number % 20}",
            "uid": str(uuid.uuid5(uuid.NAMESPACE_URL, str(number))),
            "resourceVersion": f"{version}{number:06d}",
            "creationTimestamp": started,
            "labels": {f"app.kubernetes.io/{name}": f"v{number % values}" for name, values in LABELS.items()},
            "annotations": {"checksum/config": "c" * 64, "prometheus.io/scrape": "true"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": f"app-{number % 50}", "uid": f"rs-{number % 50}"}],
        },
        "spec": {
            "nodeName": f"node-{number % 100}",
            "containers": containers,
            "volumes": [{"name": "config", "configMap": {"name": "config"}}],
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}],
        },
        "status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "qosClass": "Burstable",
            "startTime": started,
            "conditions": conditions,
            "containerStatuses": statuses,
        },
    }


if __name__ == "__main__":
    main()
