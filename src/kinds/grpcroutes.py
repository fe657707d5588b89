"""Gateway API: GRPC routes, with their parents and backends in side tables."""

from __future__ import annotations

from typing import Any

from kinds.gateway_routes import RouteRecord, route_columns, route_side_tables
from kinds.kind import Kind
from kinds.record import record


@record
class GRPCRouteRecord(RouteRecord):
    """Which requests go to which services."""


def read(route: dict[str, Any]) -> GRPCRouteRecord:
    """Redacted API object -> GRPCRouteRecord."""
    return GRPCRouteRecord(**route_columns(route))


GRPCROUTES = Kind(
    name="grpcroutes",
    kind="GRPCRoute",
    group="gateway.networking.k8s.io",
    version="v1",
    namespaced=True,
    dynamic=False,
    record=GRPCRouteRecord,
    read=read,
    list_columns=("namespace", "name", "hostnames", "healthy", "reason", "rule_count", "created_at"),
    filters={"healthy": "healthy"},
    side_tables=route_side_tables("grpcroute"),
    aliases=("grpcroute",),
    optional=True,
)
