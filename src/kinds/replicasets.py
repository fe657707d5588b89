"""ReplicaSets."""

from __future__ import annotations

from typing import Any

from kinds.kind import Kind
from kinds.metadata import common
from kinds.record import column, record
from kinds.workload_health import WorkloadRecord, observed, pod_template


@record
class ReplicaSetRecord(WorkloadRecord):
    """What `kubectl get replicasets -o wide` shows."""

    healthy: bool = column("every wanted replica is available", index=True)
    replicas: int = column("spec.replicas: how many are wanted (DESIRED)")
    current_replicas: int = column("status.replicas: how many exist (CURRENT)")
    ready_replicas: int = column("status.readyReplicas (READY)")
    available_replicas: int = column("status.availableReplicas")
    revision: str | None = column("annotation deployment.kubernetes.io/revision: which rollout it belongs to")


def read(replicaset: dict[str, Any]) -> ReplicaSetRecord:
    """Redacted API object -> ReplicaSetRecord."""
    shared = common(replicaset)
    spec, status = replicaset.get("spec") or {}, replicaset.get("status") or {}
    wanted = spec.get("replicas", 1)
    available = status.get("availableReplicas", 0)
    return ReplicaSetRecord(
        **shared,
        healthy=observed(replicaset) and available >= wanted and status.get("replicas", 0) <= wanted,
        replicas=wanted,
        current_replicas=status.get("replicas", 0),
        ready_replicas=status.get("readyReplicas", 0),
        available_replicas=available,
        revision=shared["annotations"].get("deployment.kubernetes.io/revision"),
        **pod_template(spec),
    )


REPLICASETS = Kind(
    name="replicasets",
    kind="ReplicaSet",
    group="apps",
    version="v1",
    namespaced=True,
    dynamic=True,
    record=ReplicaSetRecord,
    read=read,
    list_columns=("namespace", "name", "replicas", "current_replicas", "ready_replicas", "created_at", "images"),
    filters={"healthy": "healthy"},
    aliases=("replicaset", "rs"),
)
