"""StatefulSets."""

from __future__ import annotations

from typing import Any

from kinds.kind import Kind
from kinds.metadata import common
from kinds.quantity import whole
from kinds.record import Json, column, record
from kinds.workload_health import WorkloadRecord, observed, pod_template


@record
class StatefulSetRecord(WorkloadRecord):
    """What `kubectl get statefulsets -o wide` shows, and how the rollout stands."""

    ready: str = column("READY as kubectl prints it: ready/desired")
    healthy: bool = column("every wanted replica is available and of the wanted revision", index=True)
    replicas: int = column("spec.replicas: how many are wanted")
    current_replicas: int = column("status.replicas: how many exist")
    ready_replicas: int = column("status.readyReplicas")
    updated_replicas: int = column("status.updatedReplicas")
    available_replicas: int = column("status.availableReplicas")
    service: str | None = column("spec.serviceName: the governing service")
    update_strategy: str | None = column("RollingUpdate or OnDelete")
    pod_management: str | None = column("OrderedReady or Parallel")
    current_revision: str | None = column("status.currentRevision")
    update_revision: str | None = column("status.updateRevision")
    claim_requests: Json | None = column(
        "storage that each replica claims, a JSON list of {name, storage, storage_bytes, storage_class}; null for none"
    )
    claim_templates: Json | None = column("names of spec.volumeClaimTemplates, a JSON list")


def read(statefulset: dict[str, Any]) -> StatefulSetRecord:
    """Redacted API object -> StatefulSetRecord."""
    spec, status = statefulset.get("spec") or {}, statefulset.get("status") or {}
    wanted = spec.get("replicas", 1)
    available = status.get("availableReplicas", 0)
    return StatefulSetRecord(
        **common(statefulset),
        ready=f"{status.get('readyReplicas', 0)}/{wanted}",
        healthy=observed(statefulset) and available >= wanted and _rolled_out(spec, status, wanted),
        replicas=wanted,
        current_replicas=status.get("replicas", 0),
        ready_replicas=status.get("readyReplicas", 0),
        updated_replicas=status.get("updatedReplicas", 0),
        available_replicas=available,
        service=spec.get("serviceName"),
        update_strategy=(spec.get("updateStrategy") or {}).get("type"),
        pod_management=spec.get("podManagementPolicy"),
        current_revision=status.get("currentRevision"),
        update_revision=status.get("updateRevision"),
        claim_requests=_claim_requests(spec),
        claim_templates=_claims(spec),
        **pod_template(spec),
    )


def _rolled_out(spec: dict[str, Any], status: dict[str, Any], wanted: int) -> bool:
    """A partition keeps the replicas below it on the old revision on purpose; OnDelete leaves it to a person."""
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return True
    partition = (strategy.get("rollingUpdate") or {}).get("partition") or 0
    return bool(status.get("updatedReplicas", 0) >= max(0, wanted - partition))


def _claims(spec: dict[str, Any]) -> Json | None:
    templates = spec.get("volumeClaimTemplates")
    return None if templates is None else Json([(t.get("metadata") or {}).get("name") for t in templates])


def _claim_requests(spec: dict[str, Any]) -> Json | None:
    templates = spec.get("volumeClaimTemplates")
    return None if templates is None else Json([_claim_request(template) for template in templates])


def _claim_request(template: dict[str, Any]) -> dict[str, Any]:
    claim = template.get("spec") or {}
    storage = ((claim.get("resources") or {}).get("requests") or {}).get("storage")
    name, class_ = (template.get("metadata") or {}).get("name"), claim.get("storageClassName")
    return {"name": name, "storage": storage, "storage_bytes": whole(storage), "storage_class": class_}


STATEFULSETS = Kind(
    name="statefulsets",
    kind="StatefulSet",
    group="apps",
    version="v1",
    namespaced=True,
    dynamic=True,
    record=StatefulSetRecord,
    read=read,
    list_columns=("namespace", "name", "ready", "updated_replicas", "created_at", "images"),
    filters={"healthy": "healthy"},
    aliases=("statefulset", "sts"),
)
