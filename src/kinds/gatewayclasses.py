"""Gateway API: which controller makes gateways of a class."""

from __future__ import annotations

from typing import Any

from kinds.gateway_status import truth
from kinds.kind import Kind
from kinds.metadata import common, condition, conditions
from kinds.record import Json, Record, column, record


@record
class GatewayClassRecord(Record):
    """What `kubectl get gatewayclasses -o wide` shows."""

    controller: str | None = column("spec.controllerName", index=True)
    accepted: bool | None = column("condition Accepted; null when it is missing or Unknown")
    healthy: bool = column("accepted", index=True)
    reason: str | None = column("reason of that condition")
    description: str | None = column("spec.description")
    parameters: Json | None = column("spec.parametersRef, a JSON map {group, kind, namespace, name}")
    conditions: Json = column("condition type -> status, a JSON map")


def read(gateway_class: dict[str, Any]) -> GatewayClassRecord:
    """Redacted API object -> GatewayClassRecord."""
    spec, states = gateway_class.get("spec") or {}, conditions(gateway_class)
    return GatewayClassRecord(
        **common(gateway_class),
        controller=spec.get("controllerName"),
        accepted=truth(states.get("Accepted")),
        healthy=states.get("Accepted") == "True",
        reason=condition(gateway_class, "Accepted").get("reason"),
        description=spec.get("description"),
        parameters=spec.get("parametersRef"),
        conditions=Json(states),
    )


GATEWAYCLASSES = Kind(
    name="gatewayclasses",
    kind="GatewayClass",
    group="gateway.networking.k8s.io",
    version="v1",
    namespaced=False,
    dynamic=False,
    record=GatewayClassRecord,
    read=read,
    list_columns=("name", "controller", "accepted", "reason", "created_at", "description"),
    filters={"controller": "controller", "healthy": "healthy"},
    aliases=("gatewayclass", "gc"),
    optional=True,
)
