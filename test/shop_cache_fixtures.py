"""A database as a scanner leaves it: cluster `shop-cluster` with two namespaces, two nodes, a few pods and events."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cache.cache_manager import CacheManager, ClusterIdentity, Staged
from cache.ttl_manager import TtlPolicy
from kinds.registry import KINDS
from kinds.times import to_rfc3339

CLUSTER = "shop-cluster"
NOBODY_LISTENS = "https://127.0.0.1:1"


@dataclass(frozen=True)
class ShopCache:
    """`environment` is all that a command needs to read it: no cluster answers, no key is set."""

    path: Path
    environment: Mapping[str, str]


def _metadata(name: str, namespace: str | None, created: float) -> dict[str, Any]:
    meta = {"name": name, "uid": f"uid-{namespace}-{name}", "resourceVersion": "7", "creationTimestamp": to_rfc3339(int(created))}
    return meta | ({"namespace": namespace} if namespace else {})


def pod(namespace: str, name: str, now: float, *, waiting: str = "", restarts: int = 0) -> dict[str, Any]:
    """A running pod of one container, or one that waits for a reason."""
    state = {"waiting": {"reason": waiting}} if waiting else {"running": {"startedAt": to_rfc3339(int(now) - 3000)}}
    status = {"name": "main", "ready": not waiting, "restartCount": restarts, "image": "shop/web:1", "state": state}
    return {
        "metadata": _metadata(name, namespace, now - 7200) | {"labels": {"app": name.split("-")[0]}},
        "spec": {"nodeName": "worker-1", "containers": [{"name": "main", "image": "shop/web:1"}]},
        "status": {"phase": "Running", "podIP": "10.0.0.5", "containerStatuses": [status]},
    }


def _objects(now: float, pods: int) -> dict[str, list[dict[str, Any]]]:
    ready = {"type": "Ready", "status": "True"}
    event = {
        "metadata": _metadata("api-0.1", "payments", now - 60), "type": "Warning", "reason": "BackOff",
        "message": "Back-off restarting \x1b]0;owned\x07failed container", "count": 12,
        "lastTimestamp": to_rfc3339(int(now) - 30),
        "involvedObject": {"kind": "Pod", "name": "api-0", "namespace": "payments"},
    }  # fmt: skip
    return {
        "namespaces": [
            {"metadata": _metadata(name, None, now - 9000), "status": {"phase": "Active"}} for name in ("payments", "shop")
        ],
        "nodes": [
            {"metadata": _metadata(f"worker-{n}", None, now - 90_000), "spec": {}, "status": {"conditions": [ready]}}
            for n in (1, 2)
        ],
        "pods": [
            pod("payments", "api-0", now, waiting="CrashLoopBackOff", restarts=12),
            *(pod("shop", f"web-{number:04d}", now) for number in range(pods)),
        ],
        "events": [event],
    }


FillCache = Callable[..., ShopCache]


@pytest.fixture
def shop_cache(tmp_path: Path) -> FillCache:
    """`shop_cache(age=0, pods=3)`: what was scanned `age` seconds ago; services were never scanned."""

    def fill(*, age: float = 0, pods: int = 3) -> ShopCache:
        now = time.time() - age
        path = tmp_path / "cache.db"
        with CacheManager(path, policy=TtlPolicy(), clock=lambda: now) as cache:
            cache.register_cluster(
                ClusterIdentity(cluster=CLUSTER, uid="u-1", server_version="v1.36.0", api_server=NOBODY_LISTENS)
            )
            for name, objects in _objects(now, pods).items():
                kind = KINDS[name]
                with cache.stage(CLUSTER, kind) as staging:
                    staging.add([Staged(kind.read(item), json.dumps(item).encode()) for item in objects])
                    staging.finish(resource_version="7", malformed=0, duration_ms=5)
        return ShopCache(path, bare_environment(tmp_path) | {"CACHE_DB_PATH": str(path)})

    return fill


def bare_environment(folder: Path, *, namespace: str = "shop") -> dict[str, str]:
    """A person's environment with nothing but a kubeconfig, whose API server does not answer."""
    kubeconfig = folder / "kubeconfig.json"
    document = {
        "apiVersion": "v1", "kind": "Config", "current-context": CLUSTER, "users": [{"name": "me", "user": {"token": "t"}}],
        "clusters": [{"name": "c", "cluster": {"server": NOBODY_LISTENS}}],
        "contexts": [{"name": CLUSTER, "context": {"cluster": "c", "user": "me", "namespace": namespace}}],
    }  # fmt: skip
    kubeconfig.write_text(json.dumps(document))
    return {
        "PATH": "/usr/bin:/bin", "HOME": str(folder), "KUBECONFIG": str(kubeconfig), "CACHE_DB_PATH": str(folder / "cache.db"),
        "XDG_STATE_HOME": str(folder / "state"), "XDG_CONFIG_HOME": str(folder / "config"),
    }  # fmt: skip
