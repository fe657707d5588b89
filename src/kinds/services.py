"""Services."""

from __future__ import annotations

from typing import Any

from kinds.kind import Kind
from kinds.metadata import common
from kinds.record import Json, Record, column, record


@record
class ServiceRecord(Record):
    """What `kubectl get services -o wide` shows."""

    type: str | None = column("ClusterIP, NodePort, LoadBalancer or ExternalName", index=True)
    cluster_ip: str | None = column("spec.clusterIP; None for a headless service", index=True)
    cluster_ips: Json | None = column("spec.clusterIPs, a JSON list", tracked=False)
    external_ip: str | None = column("EXTERNAL-IP as kubectl prints it: addresses, a DNS name, <pending>; null for none")
    external_ips: Json | None = column(
        "addresses from outside: the load balancer's and spec.externalIPs, a JSON list", tracked=False
    )
    external_name: str | None = column("spec.externalName")
    ports: str = column("PORT(S) as kubectl prints them: 80/TCP,443:30443/TCP")
    port_list: Json | None = column("spec.ports, a JSON list of {name, port, targetPort, protocol, nodePort}")
    selector: str | None = column("pods it selects, as key=value pairs; null when it has no selector")
    selector_map: Json | None = column("spec.selector, a JSON map; null when it has none", tracked=False)
    ip_families: Json | None = column("spec.ipFamilies, a JSON list of IPv4 and IPv6")
    ip_family_policy: str | None = column("SingleStack, PreferDualStack or RequireDualStack")
    internal_traffic_policy: str | None = column("Cluster or Local, for traffic from inside")
    load_balancer_class: str | None = column("spec.loadBalancerClass")
    load_balancer_source_ranges: Json | None = column("who may come in at the load balancer, a JSON list; null: anybody")
    publish_not_ready: bool | None = column("spec.publishNotReadyAddresses; null when not set, which means no")
    session_affinity: str | None = column("None or ClientIP")
    external_traffic_policy: str | None = column("Cluster or Local; null unless reachable from outside")
    headless: bool = column("clusterIP is None")


def read(service: dict[str, Any]) -> ServiceRecord:
    """Redacted API object -> ServiceRecord."""
    spec = service.get("spec") or {}
    selector = spec.get("selector")
    return ServiceRecord(
        **common(service),
        type=spec.get("type"),
        cluster_ip=spec.get("clusterIP"),
        cluster_ips=spec.get("clusterIPs"),
        external_ip=_external_ip(service),
        external_ips=_external_ips(service),
        external_name=spec.get("externalName"),
        ports=",".join(_port(port) for port in spec.get("ports") or []),
        port_list=spec.get("ports"),
        selector=None if selector is None else ",".join(f"{key}={value}" for key, value in sorted(selector.items())),
        selector_map=selector,
        ip_families=spec.get("ipFamilies"),
        ip_family_policy=spec.get("ipFamilyPolicy"),
        internal_traffic_policy=spec.get("internalTrafficPolicy"),
        load_balancer_class=spec.get("loadBalancerClass"),
        load_balancer_source_ranges=spec.get("loadBalancerSourceRanges"),
        publish_not_ready=spec.get("publishNotReadyAddresses"),
        session_affinity=spec.get("sessionAffinity"),
        external_traffic_policy=spec.get("externalTrafficPolicy"),
        headless=spec.get("clusterIP") == "None",
    )


def _port(port: dict[str, Any]) -> str:
    node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port')}{node_port}/{port.get('protocol', 'TCP')}"


def _load_balancer(service: dict[str, Any]) -> list[str]:
    """Source: printers.go, loadBalancerStatusStringer: IP before hostname, sorted, each once."""
    points = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return sorted({point.get("ip") or point.get("hostname") or "" for point in points} - {""})


def _external_ips(service: dict[str, Any]) -> Json | None:
    found = [*_load_balancer(service), *((service.get("spec") or {}).get("externalIPs") or [])]
    return Json(found) if found else None


def _external_ip(service: dict[str, Any]) -> str | None:
    """Source: printers.go, getServiceExternalIP."""
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return spec.get("externalName")
    balanced = spec.get("type") == "LoadBalancer"
    found = [*(_load_balancer(service) if balanced else ()), *(spec.get("externalIPs") or [])]
    return ",".join(found) or ("<pending>" if balanced else None)


SERVICES = Kind(
    name="services",
    kind="Service",
    group="",
    version="v1",
    namespaced=True,
    dynamic=False,
    record=ServiceRecord,
    read=read,
    list_columns=("namespace", "name", "type", "cluster_ip", "external_ip", "ports", "created_at", "selector"),
    filters={"type": "type"},
    aliases=("service", "svc"),
)
