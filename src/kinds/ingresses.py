"""Ingresses, with their paths in a side table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kinds.kind import Kind, SideTable
from kinds.metadata import common
from kinds.record import Json, Record, SideRecord, column, record

_CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_SHOWN = 3


@record
class IngressPathRecord(SideRecord):
    """One way in: host and path, the backend behind it, and whether TLS covers the host."""

    namespace: str | None = column("namespace of the ingress, and of the service", index=True)
    ingress: str = column("name of the ingress")
    host: str | None = column("host; null matches every host", index=True)
    path: str | None = column("path; null for the default backend and for a host without paths")
    path_type: str | None = column("Exact, Prefix or ImplementationSpecific")
    service: str | None = column("backend service; joins services.name in this namespace", index=True)
    service_port: str | None = column("port of the service, by number or name")
    resource: str | None = column("backend that is no service, as Kind/name")
    default_backend: bool = column("spec.defaultBackend: gets what no rule matches")
    tls: bool = column("spec.tls covers the host")
    tls_secret: str | None = column("secret with the certificate for this host; null without TLS or with the controller's own")


@record
class IngressRecord(Record):
    """What `kubectl get ingresses -o wide` shows, and its TLS."""

    ingress_class: str | None = column("spec.ingressClassName (CLASS)", index=True)
    class_annotation: str | None = column("the older annotation kubernetes.io/ingress.class")
    hosts: str = column("HOSTS as kubectl prints them: three at most; * when no rule names one", tracked=False)
    address: str | None = column("ADDRESS as kubectl prints it: the load balancer's, comma-separated; null until there is one")
    ports: str = column("PORTS as kubectl prints them: 80, or 80, 443 with TLS")
    host_list: Json = column("all hosts of the rules, a JSON list")
    tls: Json | None = column("spec.tls, a JSON list of {hosts, secretName}; null without TLS")
    tls_for_all_hosts: bool = column("every host of the rules is covered by spec.tls")
    default_backend: str | None = column("service:port or Kind/name that gets what no rule matches")
    paths: tuple[IngressPathRecord, ...]


def read(ingress: dict[str, Any]) -> IngressRecord:
    """Redacted API object -> IngressRecord."""
    shared = common(ingress)
    spec = ingress.get("spec") or {}
    rules = spec.get("rules") or []
    paths = tuple(_paths(shared, spec))
    return IngressRecord(
        **shared,
        ingress_class=spec.get("ingressClassName"),
        class_annotation=shared["annotations"].get(_CLASS_ANNOTATION),
        hosts=_hosts(rules),
        address=_address(ingress),
        ports="80, 443" if spec.get("tls") else "80",
        host_list=Json([rule["host"] for rule in rules if rule.get("host")]),
        tls=spec.get("tls"),
        tls_for_all_hosts=bool(paths) and all(path.tls for path in paths),
        default_backend=_backend_text(spec.get("defaultBackend")),
        paths=paths,
    )


def _hosts(rules: Sequence[dict[str, Any]]) -> str:
    """Source: printers.go, formatHosts: what is over counts rules, and rules without a host take no place."""
    named = [rule["host"] for rule in rules if rule.get("host")]
    over = f" + {len(rules) - _SHOWN} more..." if _third_named_before_last(rules) else ""
    return ",".join(named[:_SHOWN]) + over if named else "*"


def _third_named_before_last(rules: Sequence[dict[str, Any]]) -> bool:
    return sum(bool(rule.get("host")) for rule in rules[:-1]) >= _SHOWN


def _address(ingress: dict[str, Any]) -> str | None:
    """Source: printers.go, ingressLoadBalancerStatusStringer: IP before hostname, sorted, each once."""
    points = ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return ",".join(sorted({point.get("ip") or point.get("hostname") or "" for point in points} - {""})) or None


def _paths(shared: Mapping[str, Any], spec: dict[str, Any]) -> Iterator[IngressPathRecord]:
    for rule in spec.get("rules") or []:
        host = rule.get("host") or None
        for path in (rule.get("http") or {}).get("paths") or [{}]:
            yield _path(shared, spec, host, path, path.get("backend"))
    if spec.get("defaultBackend"):
        yield _path(shared, spec, None, {}, spec["defaultBackend"], default=True)


def _path(
    shared: Mapping[str, Any],
    spec: dict[str, Any],
    host: str | None,
    path: dict[str, Any],
    backend: dict[str, Any] | None,
    *,
    default: bool = False,
) -> IngressPathRecord:
    cover = next((entry for entry in spec.get("tls") or [] if _covers(entry, host)), None)
    service = (backend or {}).get("service") or {}
    return IngressPathRecord(
        namespace=shared["namespace"],
        ingress=shared["name"],
        host=host,
        path=path.get("path"),
        path_type=path.get("pathType"),
        service=service.get("name"),
        service_port=_service_port(service),
        resource=_resource(backend),
        default_backend=default,
        tls=cover is not None,
        tls_secret=(cover or {}).get("secretName"),
    )


def _covers(entry: dict[str, Any], host: str | None) -> bool:
    """An entry without hosts is for every host; `*.example.org` stands for one label (k8s.io/api networking/v1 IngressTLS)."""
    hosts = entry.get("hosts")
    if not hosts:
        return True
    return host is not None and (host in hosts or f"*.{host.partition('.')[2]}" in hosts)


def _service_port(service: dict[str, Any]) -> str | None:
    port = service.get("port") or {}
    found = port.get("number") or port.get("name")
    return None if found is None else str(found)


def _resource(backend: dict[str, Any] | None) -> str | None:
    resource = (backend or {}).get("resource")
    return f"{resource.get('kind')}/{resource.get('name')}" if resource else None


def _backend_text(backend: dict[str, Any] | None) -> str | None:
    service = (backend or {}).get("service")
    return f"{service.get('name')}:{_service_port(service)}" if service else _resource(backend)


INGRESSES = Kind(
    name="ingresses",
    kind="Ingress",
    group="networking.k8s.io",
    version="v1",
    namespaced=True,
    dynamic=False,
    record=IngressRecord,
    read=read,
    list_columns=("namespace", "name", "ingress_class", "hosts", "address", "ports", "created_at", "tls_for_all_hosts"),
    filters={"ingress_class": "ingress_class"},
    side_tables=(SideTable("ingress_paths", "paths", IngressPathRecord, key=("host", "path", "default_backend")),),
    aliases=("ingress", "ing"),
)
