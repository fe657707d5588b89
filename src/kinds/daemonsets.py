"""DaemonSets."""

from __future__ import annotations

from typing import Any

from kinds.kind import Kind
from kinds.metadata import common
from kinds.record import column, record
from kinds.workload_health import WorkloadRecord, observed, pod_template


@record
class DaemonSetRecord(WorkloadRecord):
    """What `kubectl get daemonsets -o wide` shows."""

    healthy: bool = column("an available, updated pod on every node that should have one", index=True)
    desired: int = column("status.desiredNumberScheduled (DESIRED)")
    current: int = column("status.currentNumberScheduled (CURRENT)")
    ready: int = column("status.numberReady (READY)")
    updated: int = column("status.updatedNumberScheduled (UP-TO-DATE)")
    available: int = column("status.numberAvailable (AVAILABLE)")
    misscheduled: int = column("status.numberMisscheduled: pods on nodes that should have none")
    update_strategy: str | None = column("RollingUpdate or OnDelete")


def read(daemonset: dict[str, Any]) -> DaemonSetRecord:
    """Redacted API object -> DaemonSetRecord."""
    spec, status = daemonset.get("spec") or {}, daemonset.get("status") or {}
    desired, available = status.get("desiredNumberScheduled", 0), status.get("numberAvailable", 0)
    strategy = (spec.get("updateStrategy") or {}).get("type")
    updated = status.get("updatedNumberScheduled", 0)
    return DaemonSetRecord(
        **common(daemonset),
        healthy=observed(daemonset) and available >= desired and (updated >= desired or strategy == "OnDelete"),
        desired=desired,
        current=status.get("currentNumberScheduled", 0),
        ready=status.get("numberReady", 0),
        updated=updated,
        available=available,
        misscheduled=status.get("numberMisscheduled", 0),
        update_strategy=strategy,
        **pod_template(spec),
    )


DAEMONSETS = Kind(
    name="daemonsets",
    kind="DaemonSet",
    group="apps",
    version="v1",
    namespaced=True,
    dynamic=True,
    record=DaemonSetRecord,
    read=read,
    list_columns=("namespace", "name", "desired", "current", "ready", "updated", "available", "created_at", "images"),
    filters={"healthy": "healthy"},
    aliases=("daemonset", "ds"),
)
