"""Gateway API: HTTP routes, with their parents and backends in side tables."""

from __future__ import annotations

from typing import Any

from kinds.gateway_routes import RouteRecord, route_columns, route_side_tables
from kinds.kind import Kind
from kinds.record import record


@record
class HTTPRouteRecord(RouteRecord):
    """Which requests go to which services."""


def read(route: dict[str, Any]) -> HTTPRouteRecord:
    """Redacted API object -> HTTPRouteRecord."""
    return HTTPRouteRecord(**route_columns(route))


HTTPROUTES = Kind(
    name="httproutes",
    kind="HTTPRoute",
    group="gateway.networking.k8s.io",
    version="v1",
    namespaced=True,
    dynamic=False,
    record=HTTPRouteRecord,
    read=read,
    list_columns=("namespace", "name", "hostnames", "healthy", "reason", "rule_count", "created_at"),
    filters={"healthy": "healthy"},
    side_tables=route_side_tables("httproute"),
    aliases=("httproute",),
    optional=True,
)
