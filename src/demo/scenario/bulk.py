"""Thousands of plain pods for scale trials: running, without owners, as large as real ones."""

from __future__ import annotations

from datetime import timedelta

from demo import managed_fields
from demo.api_status import Json
from demo.scenario.nodes import WORKERS, node_address
from demo.scenario.workloads import app_labels, container, pod, running, template
from demo.scenario.world import World, ago
from demo.timestamps import rfc3339

NAMESPACES = 50


def add_plain_pods(world: World, count: int) -> None:
    """`count` pods over fifty namespaces; all are copies of one with their own names, uids and addresses."""
    if not count:
        return
    for index in range(min(NAMESPACES, count)):
        world.add("v1", "Namespace", f"bulk-{index:02d}", age=ago(days=3))
    one = container(
        "app",
        "registry.example.com/bulk/app:1.0.0",
        port=8080,
        requests=("10m", "16Mi"),
        limits=("100m", "64Mi"),
        probe="/healthz",
    )
    first = pod(world, None, "bulk-000000", ago(days=1), running, source=template(app_labels("bulk"), [one]), namespace="bulk-00")
    resource = world.table.by_key("pods")
    world.store.remove(resource, "bulk-00", "bulk-000000")
    managed_fields.record(first, "kubelet", "Update", rfc3339(world.start), status=True)
    workers = [name for name in WORKERS if name in world.node_names]
    for index in range(count):
        world.store.put(resource, _copy(world, first, index, workers[index % len(workers)]))


def _copy(world: World, first: Json, index: int, node: str) -> Json:
    """Shares with `first` all that is equal: stored objects are never changed, and 10,000 pods stay small."""
    address = f"10.{128 + index // 65536}.{index // 256 % 256}.{index % 256}"
    host = node_address(node)
    metadata = {
        **first["metadata"],
        "name": f"bulk-{index // NAMESPACES:05d}-{world.identifiers.suffix()}",
        "namespace": f"bulk-{index % NAMESPACES:02d}",
        "uid": world.identifiers.uid(),
        "creationTimestamp": rfc3339(world.start - timedelta(days=1, seconds=-(index % 3600))),
    }
    addresses = {"podIP": address, "podIPs": [{"ip": address}], "hostIP": host, "hostIPs": [{"ip": host}]}
    return {
        **first,
        "metadata": metadata,
        "spec": {**first["spec"], "nodeName": node},
        "status": {**first["status"], **addresses},
    }
