"""Deployments."""

from __future__ import annotations

from typing import Any

from kinds.booleans import is_on
from kinds.kind import Kind
from kinds.metadata import common, conditions
from kinds.record import Json, column, record
from kinds.workload_health import WorkloadRecord, condition_reason, observed, pod_template


@record
class DeploymentRecord(WorkloadRecord):
    """What `kubectl get deployments -o wide` shows, and how the rollout stands."""

    ready: str = column("READY as kubectl prints it: ready/desired")
    healthy: bool = column("the present spec is rolled out and every wanted replica is available", index=True)
    replicas: int = column("spec.replicas: how many are wanted")
    updated_replicas: int = column("status.updatedReplicas: replicas of the present template (UP-TO-DATE)")
    ready_replicas: int = column("status.readyReplicas")
    available_replicas: int = column("status.availableReplicas (AVAILABLE)")
    unavailable_replicas: int = column("status.unavailableReplicas", tracked=False)
    generation: int | None = column("metadata.generation: rises with each change of the spec", tracked=False)
    observed_generation: int | None = column("status.observedGeneration; lower than generation: not seen yet", tracked=False)
    paused: bool = column("spec.paused")
    strategy: str | None = column("RollingUpdate or Recreate")
    max_surge: str | None = column("spec.strategy.rollingUpdate.maxSurge, a number or a percentage")
    max_unavailable: str | None = column("spec.strategy.rollingUpdate.maxUnavailable, a number or a percentage")
    progress: str | None = column("reason of the Progressing condition, e.g. ProgressDeadlineExceeded", index=True)
    revision: str | None = column("annotation deployment.kubernetes.io/revision")
    conditions: Json = column("condition type -> status, a JSON map")


def read(deployment: dict[str, Any]) -> DeploymentRecord:
    """Redacted API object -> DeploymentRecord."""
    shared = common(deployment)
    spec, status = deployment.get("spec") or {}, deployment.get("status") or {}
    rolling = (spec.get("strategy") or {}).get("rollingUpdate") or {}
    wanted = spec.get("replicas", 1)
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    return DeploymentRecord(
        **shared,
        ready=f"{status.get('readyReplicas', 0)}/{wanted}",
        healthy=observed(deployment) and updated >= wanted and available >= wanted and status.get("replicas", 0) <= updated,
        replicas=wanted,
        updated_replicas=updated,
        ready_replicas=status.get("readyReplicas", 0),
        available_replicas=available,
        unavailable_replicas=status.get("unavailableReplicas", 0),
        generation=deployment["metadata"].get("generation"),
        observed_generation=status.get("observedGeneration"),
        paused=is_on(spec.get("paused")),
        strategy=(spec.get("strategy") or {}).get("type"),
        max_surge=_text(rolling.get("maxSurge")),
        max_unavailable=_text(rolling.get("maxUnavailable")),
        progress=condition_reason(deployment, "Progressing"),
        revision=shared["annotations"].get("deployment.kubernetes.io/revision"),
        conditions=Json(conditions(deployment)),
        **pod_template(spec),
    )


def _text(value: int | str | None) -> str | None:
    return None if value is None else str(value)


DEPLOYMENTS = Kind(
    name="deployments",
    kind="Deployment",
    group="apps",
    version="v1",
    namespaced=True,
    dynamic=True,
    record=DeploymentRecord,
    read=read,
    list_columns=("namespace", "name", "ready", "updated_replicas", "available_replicas", "created_at", "progress", "images"),
    filters={"healthy": "healthy", "progress": "progress"},
    aliases=("deployment", "deploy"),
)
