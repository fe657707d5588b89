"""EndpointSlices, with their endpoints in a side table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kinds.kind import Kind, SideTable
from kinds.metadata import common
from kinds.record import Json, Record, SideRecord, column, record

_SERVICE_LABEL = "kubernetes.io/service-name"
_MANAGER_LABEL = "endpointslice.kubernetes.io/managed-by"
_SHOWN = 3


@record
class EndpointRecord(SideRecord):
    """One endpoint of a slice: where a service sends its traffic."""

    namespace: str | None = column("namespace of the slice", index=True)
    endpointslice: str = column("name of the slice")
    service: str | None = column("service it belongs to (label kubernetes.io/service-name)", index=True)
    address: str | None = column("first address: an IP, or a host name when the slice's addressType is FQDN", index=True)
    addresses: Json | None = column("all addresses, a JSON list")
    ready: bool | None = column("conditions.ready: gets traffic; null is unknown and counts as ready")
    serving: bool | None = column("conditions.serving: answers, even while it terminates; null is unknown")
    terminating: bool | None = column("conditions.terminating; null is unknown")
    node: str | None = column("nodeName", index=True)
    zone: str | None = column("zone")
    hostname: str | None = column("hostname")
    target_kind: str | None = column("targetRef.kind, e.g. Pod")
    target_name: str | None = column("targetRef.name: the pod")
    target_uid: str | None = column("targetRef.uid: joins pods.uid", index=True)


@record
class EndpointSliceRecord(Record):
    """What `kubectl get endpointslices -o wide` shows, and how many endpoints are ready."""

    service: str | None = column("service it belongs to (label kubernetes.io/service-name)", index=True)
    address_type: str | None = column("IPv4, IPv6 or FQDN")
    ports: str | None = column("PORTS as kubectl prints them: three at most; null for none, * for any")
    endpoints: str | None = column("ENDPOINTS as kubectl prints them: three addresses at most; null for none", tracked=False)
    port_list: Json | None = column("ports, a JSON list of {name, port, protocol, appProtocol}")
    total_endpoints: int = column("number of endpoints")
    ready_endpoints: int = column("endpoints that get traffic: ready is true or unknown")
    serving_endpoints: int = column("endpoints that answer: serving is true, or unknown and ready")
    terminating_endpoints: int = column("endpoints that are going away")
    managed_by: str | None = column("controller that writes it (label endpointslice.kubernetes.io/managed-by)")
    endpoint_rows: tuple[EndpointRecord, ...]


def read(endpointslice: dict[str, Any]) -> EndpointSliceRecord:
    """Redacted API object -> EndpointSliceRecord."""
    shared = common(endpointslice)
    rows = tuple(_endpoint(shared, endpoint) for endpoint in endpointslice.get("endpoints") or [])
    addresses = [address for endpoint in endpointslice.get("endpoints") or [] for address in endpoint.get("addresses") or []]
    return EndpointSliceRecord(
        **shared,
        service=shared["labels"].get(_SERVICE_LABEL),
        address_type=endpointslice.get("addressType"),
        ports=_first_three([_port(port) for port in endpointslice.get("ports") or []]),
        endpoints=_first_three(addresses),
        port_list=endpointslice.get("ports"),
        total_endpoints=len(rows),
        ready_endpoints=sum(_is_ready(row) for row in rows),
        serving_endpoints=sum(_is_ready(row) if row.serving is None else row.serving for row in rows),
        terminating_endpoints=sum(bool(row.terminating) for row in rows),
        managed_by=shared["labels"].get(_MANAGER_LABEL),
        endpoint_rows=rows,
    )


def _is_ready(endpoint: EndpointRecord) -> bool:
    """Source: k8s.io/api discovery/v1 EndpointConditions: consumers take an unknown state for ready."""
    return endpoint.ready is not False


def _endpoint(shared: Mapping[str, Any], endpoint: dict[str, Any]) -> EndpointRecord:
    states, target = endpoint.get("conditions") or {}, endpoint.get("targetRef") or {}
    addresses = endpoint.get("addresses")
    return EndpointRecord(
        namespace=shared["namespace"],
        endpointslice=shared["name"],
        service=shared["labels"].get(_SERVICE_LABEL),
        address=addresses[0] if addresses else None,
        addresses=addresses,
        ready=states.get("ready"),
        serving=states.get("serving"),
        terminating=states.get("terminating"),
        node=endpoint.get("nodeName"),
        zone=endpoint.get("zone"),
        hostname=endpoint.get("hostname"),
        target_kind=target.get("kind"),
        target_name=target.get("name"),
        target_uid=target.get("uid"),
    )


def _port(port: dict[str, Any]) -> str:
    """Source: printers.go, formatDiscoveryPorts: the number, else the name, else any."""
    number, name = port.get("port"), port.get("name")
    return str(number) if number is not None else "*" if name is None else str(name)


def _first_three(words: Sequence[str]) -> str | None:
    """Source: printers.go, listWithMoreString."""
    shown = ",".join(words[:_SHOWN])
    return f"{shown} + {len(words) - _SHOWN} more..." if len(words) > _SHOWN else shown or None


ENDPOINTSLICES = Kind(
    name="endpointslices",
    kind="EndpointSlice",
    group="discovery.k8s.io",
    version="v1",
    namespaced=True,
    dynamic=True,
    record=EndpointSliceRecord,
    read=read,
    list_columns=(
        "namespace", "name", "service", "address_type", "ports", "endpoints", "ready_endpoints", "total_endpoints", "created_at",
    ),
    filters={"service": "service", "address_type": "address_type"},
    side_tables=(SideTable("slice_endpoints", "endpoint_rows", EndpointRecord, key=("address",)),),
    aliases=("endpointslice",),
)  # fmt: skip
