"""Nodes: capacity, conditions, taints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kinds.booleans import is_on
from kinds.kind import Kind
from kinds.metadata import common, conditions
from kinds.quantity import millicores, whole
from kinds.record import Json, Record, column, record

_ROLE_LABEL = "node-role.kubernetes.io/"
_ROLE_LABEL_OLD = "kubernetes.io/role"
_PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")


@record
class NodeRecord(Record):
    """What `kubectl get nodes -o wide` and `describe node` show, ready for SQL."""

    status: str = column(
        "STATUS as kubectl prints it: Ready, NotReady, Unknown, with ,SchedulingDisabled when cordoned", index=True
    )
    healthy: bool = column("Ready, and under no pressure; a cordoned node may be healthy", index=True)
    ready: str | None = column("status of the Ready condition: True, False or Unknown; null when missing")
    schedulable: bool = column("false when cordoned (spec.unschedulable)")
    roles: str = column("ROLES as kubectl prints them, comma-separated; <none> when there are none")
    kubelet_version: str | None = column("status.nodeInfo.kubeletVersion", index=True)
    container_runtime: str | None = column("status.nodeInfo.containerRuntimeVersion")
    os_image: str | None = column("status.nodeInfo.osImage")
    kernel_version: str | None = column("status.nodeInfo.kernelVersion")
    operating_system: str | None = column("status.nodeInfo.operatingSystem")
    architecture: str | None = column("status.nodeInfo.architecture")
    internal_ip: str | None = column("first InternalIP address")
    external_ip: str | None = column("first ExternalIP address")
    hostname: str | None = column("Hostname address")
    provider_id: str | None = column("spec.providerID")
    pod_cidr: str | None = column("spec.podCIDR")
    addresses: Json | None = column("status.addresses, a JSON list of {type, address}", tracked=False)
    cpu_capacity_millicores: int | None = column("capacity.cpu in thousandths of a core", tracked=False)
    cpu_allocatable_millicores: int | None = column("allocatable.cpu in thousandths of a core", tracked=False)
    memory_capacity_bytes: int | None = column("capacity.memory in bytes", tracked=False)
    memory_allocatable_bytes: int | None = column("allocatable.memory in bytes", tracked=False)
    ephemeral_capacity_bytes: int | None = column("capacity.ephemeral-storage in bytes", tracked=False)
    ephemeral_allocatable_bytes: int | None = column("allocatable.ephemeral-storage in bytes", tracked=False)
    pods_capacity: int | None = column("capacity.pods", tracked=False)
    pods_allocatable: int | None = column("allocatable.pods", tracked=False)
    capacity: Json | None = column("status.capacity as written, a JSON map; includes extended resources")
    allocatable: Json | None = column("status.allocatable as written, a JSON map")
    conditions: Json = column("condition type -> status, a JSON map")
    taints: Json | None = column("spec.taints, a JSON list of {key, value, effect}")


def read(node: dict[str, Any]) -> NodeRecord:
    """Redacted API object -> NodeRecord."""
    shared = common(node)
    spec, status = node.get("spec") or {}, node.get("status") or {}
    info, addresses = status.get("nodeInfo") or {}, status.get("addresses") or []
    capacity, allocatable = status.get("capacity") or {}, status.get("allocatable") or {}
    states = conditions(node)
    cordoned = is_on(spec.get("unschedulable"))
    return NodeRecord(
        **shared,
        status=_status(states, cordoned),
        healthy=states.get("Ready") == "True" and not any(states.get(name) == "True" for name in _PRESSURES),
        ready=states.get("Ready"),
        schedulable=not cordoned,
        roles=_roles(shared["labels"]),
        kubelet_version=info.get("kubeletVersion"),
        container_runtime=info.get("containerRuntimeVersion"),
        os_image=info.get("osImage"),
        kernel_version=info.get("kernelVersion"),
        operating_system=info.get("operatingSystem"),
        architecture=info.get("architecture"),
        internal_ip=_address(addresses, "InternalIP"),
        external_ip=_address(addresses, "ExternalIP"),
        hostname=_address(addresses, "Hostname"),
        provider_id=spec.get("providerID"),
        pod_cidr=spec.get("podCIDR"),
        addresses=status.get("addresses"),
        cpu_capacity_millicores=millicores(capacity.get("cpu")),
        cpu_allocatable_millicores=millicores(allocatable.get("cpu")),
        memory_capacity_bytes=whole(capacity.get("memory")),
        memory_allocatable_bytes=whole(allocatable.get("memory")),
        ephemeral_capacity_bytes=whole(capacity.get("ephemeral-storage")),
        ephemeral_allocatable_bytes=whole(allocatable.get("ephemeral-storage")),
        pods_capacity=whole(capacity.get("pods")),
        pods_allocatable=whole(allocatable.get("pods")),
        capacity=status.get("capacity"),
        allocatable=status.get("allocatable"),
        conditions=Json(states),
        taints=spec.get("taints"),
    )


def _status(states: Mapping[str, str], cordoned: bool) -> str:
    """Source: kubernetes pkg/printers/internalversion/printers.go, printNode."""
    words = {"True": "Ready", None: "Unknown"}.get(states.get("Ready"), "NotReady")
    return f"{words},SchedulingDisabled" if cordoned else words


def _roles(labels: Mapping[str, str]) -> str:
    """Source: printers.go, findNodeRoles."""
    roles = {key[len(_ROLE_LABEL) :] for key in labels if key.startswith(_ROLE_LABEL) and key != _ROLE_LABEL}
    if labels.get(_ROLE_LABEL_OLD):
        roles.add(labels[_ROLE_LABEL_OLD])
    return ",".join(sorted(roles)) or "<none>"


def _address(addresses: list[dict[str, Any]], type_: str) -> str | None:
    return next((a.get("address") for a in addresses if a.get("type") == type_), None)


NODES = Kind(
    name="nodes",
    kind="Node",
    group="",
    version="v1",
    namespaced=False,
    dynamic=True,
    record=NodeRecord,
    read=read,
    list_columns=("name", "status", "roles", "created_at", "kubelet_version", "internal_ip", "os_image", "container_runtime"),
    filters={"status": "status", "healthy": "healthy", "schedulable": "schedulable"},
    aliases=("node", "no"),
)
