"""EndpointSlice and Endpoints of a Service, from the pods that it selects."""

from __future__ import annotations

from collections.abc import Sequence

from demo.api_status import Json
from demo.pod_states import is_ready


def selected_pods(service: Json, pods: Sequence[Json]) -> list[Json]:
    """The pods with an address that the Service's selector matches; none without a selector."""
    selector = service["spec"].get("selector") or {}
    return [
        pod
        for pod in pods
        if selector
        and pod["status"].get("podIP")
        and pod["status"].get("phase") not in ("Succeeded", "Failed")
        and all(pod["metadata"].get("labels", {}).get(key) == value for key, value in selector.items())
    ]


def _port_number(target: object, pod: Json | None) -> int | None:
    if isinstance(target, int):
        return target
    for container in pod["spec"]["containers"] if pod else ():
        for port in container.get("ports", ()):
            if port.get("name") == target:
                return int(port["containerPort"])
    return None


def _ports(service: Json, pods: Sequence[Json]) -> list[Json]:
    first = pods[0] if pods else None
    ports = []
    for port in service["spec"].get("ports", ()):
        number = _port_number(port.get("targetPort", port["port"]), first)
        if number is not None:
            named = {"name": port.get("name", ""), "port": number, "protocol": port.get("protocol", "TCP")}
            ports.append(named)
    return ports


def _reference(pod: Json) -> Json:
    metadata = pod["metadata"]
    return {"kind": "Pod", "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]}


def slice_content(service: Json, pods: Sequence[Json]) -> Json:
    """addressType, endpoints and ports of the Service's EndpointSlice."""
    endpoints = []
    for pod in selected_pods(service, pods):
        leaving = bool(pod["metadata"].get("deletionTimestamp"))
        ready = is_ready(pod)
        endpoints.append({
            "addresses": [pod["status"]["podIP"]],
            "conditions": {"ready": ready and not leaving, "serving": ready, "terminating": leaving},
            "nodeName": pod["spec"].get("nodeName", ""),
            "targetRef": _reference(pod),
        })  # fmt: skip
    selected = selected_pods(service, pods)
    return {"addressType": "IPv4", "endpoints": endpoints, "ports": _ports(service, selected) if selected else None}


def subsets(service: Json, pods: Sequence[Json]) -> list[Json]:
    """The subsets of the Service's Endpoints."""
    selected = [pod for pod in selected_pods(service, pods) if not pod["metadata"].get("deletionTimestamp")]
    if not selected:
        return []
    sides: dict[bool, list[Json]] = {True: [], False: []}
    for pod in selected:
        address = {"ip": pod["status"]["podIP"], "nodeName": pod["spec"].get("nodeName", "")}
        sides[is_ready(pod)].append({**address, "targetRef": _reference(pod)})
    subset: Json = {"ports": [{k: v for k, v in port.items() if v} for port in _ports(service, selected)]}
    if sides[True]:
        subset["addresses"] = sides[True]
    if sides[False]:
        subset["notReadyAddresses"] = sides[False]
    return [subset]
