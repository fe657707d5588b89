"""HorizontalPodAutoscalers (autoscaling/v2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kinds.kind import Kind
from kinds.metadata import common, condition, conditions
from kinds.record import Json, Record, Time, column, record
from kinds.times import to_time

_SHOWN = 2
_UNKNOWN = "<unknown>"
_SCALED_TO_ZERO = "ScalingDisabled"


@record
class HorizontalPodAutoscalerRecord(Record):
    """What `kubectl get horizontalpodautoscalers` and `describe` show."""

    reference: str = column("REFERENCE as kubectl prints it: Deployment/web")
    target_api_version: str | None = column("spec.scaleTargetRef.apiVersion")
    target_kind: str | None = column("kind of what it scales")
    target_name: str | None = column("name of what it scales, in this namespace", index=True)
    targets: str = column(
        "TARGETS as kubectl prints them: current/wanted, two metrics at most; <unknown> if not measured", tracked=False
    )
    metrics: Json = column(
        "every metric, a JSON list of {type, name, current, target}; current is null while not measured", tracked=False
    )
    min_replicas: int | None = column("spec.minReplicas; null when not set, which means 1 (MINPODS)")
    max_replicas: int | None = column("spec.maxReplicas (MAXPODS)")
    current_replicas: int = column("status.currentReplicas (REPLICAS)")
    desired_replicas: int = column("status.desiredReplicas: what it last asked for")
    healthy: bool = column("AbleToScale and ScalingActive are True; scaled to zero by hand is no fault", index=True)
    able_to_scale: str | None = column("status of the condition AbleToScale: True, False, Unknown; null when missing")
    scaling_active: str | None = column("status of the condition ScalingActive: False when its metrics cannot be read")
    scaling_limited: str | None = column("status of the condition ScalingLimited: True when min or max holds it back")
    reason: str | None = column("reason of the condition that makes it unhealthy, e.g. FailedGetResourceMetric", index=True)
    message: str | None = column("message of that condition")
    conditions: Json = column("condition type -> status, a JSON map")
    last_scale_at: Time | None = column("status.lastScaleTime: when it last changed the number of replicas", tracked=False)


def read(autoscaler: dict[str, Any]) -> HorizontalPodAutoscalerRecord:
    """Redacted API object -> HorizontalPodAutoscalerRecord."""
    spec, status = autoscaler.get("spec") or {}, autoscaler.get("status") or {}
    target = spec.get("scaleTargetRef") or {}
    metrics = _metrics(spec.get("metrics") or [], status.get("currentMetrics") or [])
    states, fault = conditions(autoscaler), _fault(autoscaler)
    return HorizontalPodAutoscalerRecord(
        **common(autoscaler),
        reference=f"{target.get('kind', '')}/{target.get('name', '')}",
        target_api_version=target.get("apiVersion"),
        target_kind=target.get("kind"),
        target_name=target.get("name"),
        targets=_targets(metrics),
        metrics=Json([_metric_row(metric) for metric in metrics]),
        min_replicas=spec.get("minReplicas"),
        max_replicas=spec.get("maxReplicas"),
        current_replicas=status.get("currentReplicas") or 0,
        desired_replicas=status.get("desiredReplicas") or 0,
        healthy=fault is None,
        able_to_scale=states.get("AbleToScale"),
        scaling_active=states.get("ScalingActive"),
        scaling_limited=states.get("ScalingLimited"),
        reason=(fault or {}).get("reason"),
        message=(fault or {}).get("message"),
        conditions=Json(states),
        last_scale_at=to_time(status.get("lastScaleTime")),
    )


def _fault(autoscaler: dict[str, Any]) -> dict[str, Any] | None:
    """The condition that keeps it from working, {} when it has not said anything yet, None when all is well."""
    for type_ in ("AbleToScale", "ScalingActive"):
        found = condition(autoscaler, type_)
        if found.get("status") != "True" and found.get("reason") != _SCALED_TO_ZERO:
            return found
    return None


@dataclass(frozen=True, slots=True)
class _Metric:
    type: str
    name: str | None
    resource: bool
    current: str | None
    target: str | None
    average: bool
    """The target is an average over pods of something that is not theirs (External and Object)."""


def _metrics(wanted: Sequence[dict[str, Any]], measured: Sequence[dict[str, Any]]) -> list[_Metric]:
    """The n-th measurement belongs to the n-th metric; fewer may have been measured."""
    return [_metric(metric, measured[index] if index < len(measured) else {}) for index, metric in enumerate(wanted)]


def _metric(metric: dict[str, Any], measured: dict[str, Any]) -> _Metric:
    """Source: printers.go, formatHPAMetrics."""
    type_ = metric.get("type") or ""
    field = type_[:1].lower() + type_[1:]
    source = metric.get(field) or {}
    target, current = source.get("target") or {}, (measured.get(field) or {}).get("current") or {}
    resource = type_ in ("Resource", "ContainerResource")
    if resource and target.get("averageValue") is None:
        found: str | None = _percent(current.get("averageUtilization"))
        goal: str | None = _percent(target.get("averageUtilization")) or "<auto>"
    else:
        value = "averageValue" if type_ == "Pods" or target.get("averageValue") is not None else "value"
        found, goal = current.get(value), target.get(value)
    average = type_ in ("External", "Object") and target.get("averageValue") is not None
    name = source.get("name") or (source.get("metric") or {}).get("name")
    return _Metric(type_, name, resource, found, goal, average)


def _percent(value: int | None) -> str | None:
    return None if value is None else f"{value}%"


def _targets(metrics: Sequence[_Metric]) -> str:
    if not metrics:
        return "<none>"
    over = f" + {len(metrics) - _SHOWN} more..." if len(metrics) > _SHOWN else ""
    return ", ".join(_target(metric) for metric in metrics[:_SHOWN]) + over


def _target(metric: _Metric) -> str:
    if metric.target is None:
        return "<unknown type>"
    prefix = f"{metric.name}: " if metric.resource else ""
    return f"{prefix}{_UNKNOWN if metric.current is None else metric.current}/{metric.target}{' (avg)' if metric.average else ''}"


def _metric_row(metric: _Metric) -> dict[str, Any]:
    return {"type": metric.type, "name": metric.name, "current": metric.current, "target": metric.target}


HORIZONTALPODAUTOSCALERS = Kind(
    name="horizontalpodautoscalers",
    kind="HorizontalPodAutoscaler",
    group="autoscaling",
    version="v2",
    namespaced=True,
    dynamic=True,
    record=HorizontalPodAutoscalerRecord,
    read=read,
    list_columns=(
        "namespace", "name", "reference", "targets", "min_replicas", "max_replicas", "current_replicas", "healthy", "reason",
        "created_at",
    ),
    filters={"healthy": "healthy", "target_kind": "target_kind", "target_name": "target_name"},
    aliases=("horizontalpodautoscaler", "hpa"),
)  # fmt: skip
