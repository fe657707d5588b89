"""Gateway API: gateways, with their listeners in a side table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kinds.gateway_status import first_problem, states_of, truth
from kinds.kind import Kind, SideTable
from kinds.metadata import common, conditions
from kinds.record import Json, Record, SideRecord, column, record


@record
class GatewayListenerRecord(SideRecord):
    """One listener: what it takes in, who may attach, and how it does."""

    namespace: str | None = column("namespace of the gateway", index=True)
    gateway: str = column("name of the gateway", index=True)
    name: str = column("name of the listener")
    hostname: str | None = column("hostname; null matches every host", index=True)
    port: int | None = column("port")
    protocol: str | None = column("HTTP, HTTPS, TLS, TCP or UDP")
    tls_mode: str | None = column("Terminate or Passthrough; null without TLS")
    certificates: Json | None = column("secrets with its certificates, a JSON list of namespace/name; null without TLS")
    routes_from: str | None = column("namespaces whose routes may attach: Same, All, Selector; null: not set, which means Same")
    attached_routes: int | None = column("routes that are attached; null before the controller has looked")
    programmed: bool | None = column("condition Programmed")
    refs_resolved: bool | None = column("condition ResolvedRefs: false when a certificate is missing or may not be used")
    conflicted: bool | None = column("condition Conflicted: another listener wants the same")


@record
class GatewayRecord(Record):
    """What `kubectl get gateways` shows, and its listeners."""

    gateway_class: str | None = column("spec.gatewayClassName; joins gatewayclasses.name", index=True)
    address: str | None = column("ADDRESS as kubectl prints it: the first one; null until there is one")
    addresses: Json | None = column("all addresses of the status, a JSON list")
    accepted: bool | None = column("condition Accepted")
    programmed: bool | None = column("condition Programmed: it is, or soon will be, in effect")
    healthy: bool = column("accepted and programmed, all listeners with resolved references and without conflict", index=True)
    reason: str | None = column("reason of the first condition that says otherwise")
    message: str | None = column("message of that condition")
    listener_count: int = column("number of listeners")
    attached_routes: int = column("routes attached to all listeners")
    conditions: Json = column("condition type -> status, a JSON map")
    listeners: tuple[GatewayListenerRecord, ...]


def read(gateway: dict[str, Any]) -> GatewayRecord:
    """Redacted API object -> GatewayRecord."""
    shared = common(gateway)
    spec, status, states = gateway.get("spec") or {}, gateway.get("status") or {}, conditions(gateway)
    addresses = [one.get("value") for one in status.get("addresses") or []]
    listeners = tuple(_listeners(shared, spec, status))
    problem = first_problem([status, *(status.get("listeners") or [])], ("Accepted", "Programmed", "ResolvedRefs"))
    sound = all(one.refs_resolved is not False and not one.conflicted for one in listeners)
    return GatewayRecord(
        **shared,
        gateway_class=spec.get("gatewayClassName"),
        address=addresses[0] if addresses else None,
        addresses=Json(addresses) if status.get("addresses") is not None else None,
        accepted=truth(states.get("Accepted")),
        programmed=truth(states.get("Programmed")),
        healthy=states.get("Accepted") == "True" and states.get("Programmed") == "True" and sound,
        reason=problem.get("reason"),
        message=problem.get("message"),
        listener_count=len(listeners),
        attached_routes=sum(one.attached_routes or 0 for one in listeners),
        conditions=Json(states),
        listeners=listeners,
    )


def _listeners(shared: Mapping[str, Any], spec: dict[str, Any], status: dict[str, Any]) -> Iterator[GatewayListenerRecord]:
    seen = {one.get("name"): one for one in status.get("listeners") or []}
    for listener in spec.get("listeners") or []:
        told = seen.get(listener["name"], {})
        states, tls = states_of(told), listener.get("tls")
        yield GatewayListenerRecord(
            namespace=shared["namespace"],
            gateway=shared["name"],
            name=listener["name"],
            hostname=listener.get("hostname"),
            port=listener.get("port"),
            protocol=listener.get("protocol"),
            tls_mode=(tls.get("mode") or "Terminate") if tls else None,
            certificates=_certificates(shared, tls) if tls else None,
            routes_from=((listener.get("allowedRoutes") or {}).get("namespaces") or {}).get("from"),
            attached_routes=told.get("attachedRoutes"),
            programmed=truth(states.get("Programmed")),
            refs_resolved=truth(states.get("ResolvedRefs")),
            conflicted=truth(states.get("Conflicted")),
        )


def _certificates(shared: Mapping[str, Any], tls: dict[str, Any]) -> Json:
    return Json([f"{ref.get('namespace') or shared['namespace']}/{ref.get('name')}" for ref in tls.get("certificateRefs") or []])


GATEWAYS = Kind(
    name="gateways",
    kind="Gateway",
    group="gateway.networking.k8s.io",
    version="v1",
    namespaced=True,
    dynamic=False,
    record=GatewayRecord,
    read=read,
    list_columns=("namespace", "name", "gateway_class", "address", "programmed", "attached_routes", "reason", "created_at"),
    filters={"gateway_class": "gateway_class", "healthy": "healthy"},
    side_tables=(SideTable("gateway_listeners", "listeners", GatewayListenerRecord),),
    aliases=("gateway", "gtw"),
    optional=True,
)
