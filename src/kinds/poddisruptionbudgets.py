"""PodDisruptionBudgets."""

from __future__ import annotations

from typing import Any

from kinds.kind import Kind
from kinds.label_selector import selector_text
from kinds.metadata import common, condition
from kinds.record import Json, Record, column, record
from kinds.workload_health import observed

_DISRUPTION_ALLOWED = "DisruptionAllowed"
_NOT_COMPUTED = "SyncFailed"


@record
class PodDisruptionBudgetRecord(Record):
    """What `kubectl get poddisruptionbudgets` and `describe` show."""

    min_available: str | None = column("spec.minAvailable, a number or a percentage; null when not set (MIN AVAILABLE N/A)")
    max_unavailable: str | None = column("spec.maxUnavailable, a number or a percentage; null when not set (MAX UNAVAILABLE N/A)")
    disruptions_allowed: int = column("how many pods may be evicted now (ALLOWED DISRUPTIONS); 0 blocks a drain", index=True)
    healthy: bool = column("as many healthy pods as it demands, computed for the present spec", index=True)
    current_healthy: int = column("status.currentHealthy: its pods that are ready")
    desired_healthy: int = column("status.desiredHealthy: how many must stay")
    expected_pods: int = column("status.expectedPods: how many pods it counts; 0 protects nothing")
    selector: str | None = column("label selector of its pods; empty text selects every pod of the namespace")
    selector_map: Json | None = column("spec.selector, a JSON object {matchLabels, matchExpressions}", tracked=False)
    unhealthy_pod_eviction_policy: str | None = column("IfHealthyBudget or AlwaysAllow; null is IfHealthyBudget")
    reason: str | None = column("reason of the condition DisruptionAllowed: SufficientPods, InsufficientPods, SyncFailed")
    message: str | None = column("message of that condition")


def read(budget: dict[str, Any]) -> PodDisruptionBudgetRecord:
    """Redacted API object -> PodDisruptionBudgetRecord. Source: printers.go, printPodDisruptionBudget."""
    spec, status = budget.get("spec") or {}, budget.get("status") or {}
    allowed = condition(budget, _DISRUPTION_ALLOWED)
    current, desired = status.get("currentHealthy") or 0, status.get("desiredHealthy") or 0
    return PodDisruptionBudgetRecord(
        **common(budget),
        min_available=_number_or_percentage(spec.get("minAvailable")),
        max_unavailable=_number_or_percentage(spec.get("maxUnavailable")),
        disruptions_allowed=status.get("disruptionsAllowed") or 0,
        healthy=observed(budget) and current >= desired and allowed.get("reason") != _NOT_COMPUTED,
        current_healthy=current,
        desired_healthy=desired,
        expected_pods=status.get("expectedPods") or 0,
        selector=selector_text(spec.get("selector")),
        selector_map=spec.get("selector"),
        unhealthy_pod_eviction_policy=spec.get("unhealthyPodEvictionPolicy"),
        reason=allowed.get("reason"),
        message=allowed.get("message"),
    )


def _number_or_percentage(value: int | str | None) -> str | None:
    return None if value is None else str(value)


PODDISRUPTIONBUDGETS = Kind(
    name="poddisruptionbudgets",
    kind="PodDisruptionBudget",
    group="policy",
    version="v1",
    namespaced=True,
    dynamic=True,
    record=PodDisruptionBudgetRecord,
    read=read,
    list_columns=(
        "namespace", "name", "min_available", "max_unavailable", "disruptions_allowed", "current_healthy", "desired_healthy",
        "expected_pods", "created_at",
    ),
    filters={"healthy": "healthy"},
    aliases=("poddisruptionbudget", "pdb"),
)  # fmt: skip
