"""What the routes of the Gateway API share: the gateways they attach to, and the services behind them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kinds.bounded_json import bounded
from kinds.gateway_status import first_problem, states_of, truth
from kinds.kind import SideTable
from kinds.metadata import common
from kinds.record import Json, Record, SideRecord, column, record


@record
class RouteParentRecord(SideRecord):
    """One gateway (or service, in a mesh) that a route wants to attach to, and what its controller says."""

    namespace: str | None = column("namespace of the route", index=True)
    route: str = column("name of the route", index=True)
    parent_kind: str = column("Gateway, or Service in a mesh")
    parent_namespace: str | None = column("namespace of the parent")
    parent: str = column("name of the parent; joins gateways.name in parent_namespace", index=True)
    section: str | None = column("name of the listener; null for all of them")
    port: int | None = column("port of the listener; null for all of them")
    accepted: bool | None = column("condition Accepted; null before a controller has looked")
    refs_resolved: bool | None = column("condition ResolvedRefs: false when a service is missing or may not be used")
    reason: str | None = column("reason of the first of these that is not true")
    controller: str | None = column("controllerName that says so")


@record
class RouteBackendRecord(SideRecord):
    """One backend of one rule."""

    namespace: str | None = column("namespace of the route", index=True)
    route: str = column("name of the route", index=True)
    rule: int = column("number of the rule, from 0")
    backend: int = column("number of the backend within the rule, from 0")
    backend_kind: str = column("Service, unless said otherwise")
    service_namespace: str | None = column("namespace of the backend")
    service: str | None = column("name of the backend; joins services.name in service_namespace", index=True)
    service_port: int | None = column("port of the backend")
    weight: int = column("share of the rule's requests, relative to its other backends; 1 unless set")


@record
class RouteRecord(Record):
    """Columns of every kind of route."""

    hostnames: Json | None = column("spec.hostnames, a JSON list; null matches every host of the listener")
    healthy: bool = column("every parent has accepted it and found what it refers to", index=True)
    reason: str | None = column("reason of the first condition that says otherwise")
    message: str | None = column("message of that condition")
    rule_count: int = column("number of rules")
    matches: Json = column("matches of each rule, a JSON list of lists; null for a rule that matches everything")
    parents: tuple[RouteParentRecord, ...]
    backends: tuple[RouteBackendRecord, ...]


def route_columns(route: dict[str, Any]) -> dict[str, Any]:
    """-> keyword arguments for the fields of RouteRecord."""
    shared = common(route)
    spec, status = route.get("spec") or {}, route.get("status") or {}
    rules = spec.get("rules") or []
    parents = tuple(_parents(shared, spec, status))
    problem = first_problem(status.get("parents") or [], ("Accepted", "ResolvedRefs"))
    return {
        **shared,
        "hostnames": spec.get("hostnames"),
        "healthy": bool(parents) and all(one.accepted and one.refs_resolved is not False for one in parents),
        "reason": problem.get("reason"),
        "message": problem.get("message"),
        "rule_count": len(rules),
        "matches": Json(bounded([rule.get("matches") for rule in rules])),
        "parents": parents,
        "backends": tuple(_backends(shared, rules)),
    }


def _parents(shared: Mapping[str, Any], spec: dict[str, Any], status: dict[str, Any]) -> Iterator[RouteParentRecord]:
    told = {_parent_key(shared, one.get("parentRef") or {}): one for one in status.get("parents") or []}
    for ref in spec.get("parentRefs") or []:
        said = told.get(_parent_key(shared, ref), {})
        states = states_of(said)
        yield RouteParentRecord(
            namespace=shared["namespace"],
            route=shared["name"],
            parent_kind=ref.get("kind") or "Gateway",
            parent_namespace=ref.get("namespace") or shared["namespace"],
            parent=ref["name"],
            section=ref.get("sectionName"),
            port=ref.get("port"),
            accepted=truth(states.get("Accepted")),
            refs_resolved=truth(states.get("ResolvedRefs")),
            reason=first_problem([said], ("Accepted", "ResolvedRefs")).get("reason"),
            controller=said.get("controllerName"),
        )


def _parent_key(shared: Mapping[str, Any], ref: Mapping[str, Any]) -> tuple[Any, ...]:
    """Controllers repeat a reference with or without its defaults."""
    namespace = ref.get("namespace") or shared["namespace"]
    return ref.get("kind") or "Gateway", namespace, ref.get("name"), ref.get("sectionName"), ref.get("port")


def _backends(shared: Mapping[str, Any], rules: list[dict[str, Any]]) -> Iterator[RouteBackendRecord]:
    for rule_number, rule in enumerate(rules):
        for number, ref in enumerate(rule.get("backendRefs") or []):
            yield RouteBackendRecord(
                namespace=shared["namespace"],
                route=shared["name"],
                rule=rule_number,
                backend=number,
                backend_kind=ref.get("kind") or "Service",
                service_namespace=ref.get("namespace") or shared["namespace"],
                service=ref.get("name"),
                service_port=ref.get("port"),
                weight=1 if ref.get("weight") is None else ref["weight"],
            )


def route_side_tables(prefix: str) -> tuple[SideTable, SideTable]:
    """`httproute` -> httproute_parents and httproute_backends."""
    parent_key = ("parent_kind", "parent_namespace", "parent", "section", "port")
    return (
        SideTable(f"{prefix}_parents", "parents", RouteParentRecord, key=parent_key),
        SideTable(f"{prefix}_backends", "backends", RouteBackendRecord, key=("rule", "backend")),
    )
