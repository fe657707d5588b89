"""What belongs to an object without being owned by it: a pod's containers, a service's endpoints, a node's pods, a claim's
volume, what a namespace holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kinds.endpointslices import EndpointSliceRecord
from kinds.kind import present, row
from kinds.nodes import NodeRecord
from kinds.pods import PodRecord
from kinds.record import Record
from kinds.registry import KINDS
from kinds.storable_check import StorableCheck
from kinds.tolerant_read import read_tolerantly
from mcp_tools.description import Call, Section
from mcp_tools.k8s_api import ClusterApi
from mcp_tools.k8s_tools.reading import read_object
from mcp_tools.left_out_namespaces import left_out_note
from mcp_tools.live_lists import joined, unread_note
from mcp_tools.namespace_contents import Contents, namespace_contents
from mcp_tools.object_names import object_name
from mcp_tools.object_reading import read_objects
from mcp_tools.tool_declaration import ToolContext

_PODS = KINDS["pods"]
_CONTAINER = (
    "name", "role", "ready", "restarts", "state", "reason", "message", "exit_code", "state_since", "last_reason",
    "last_exit_code", "last_finished_at", "image", "cpu_request", "cpu_limit", "memory_request", "memory_limit",
)  # fmt: skip
_MOST_OBJECTS = 5000


@dataclass(frozen=True, slots=True)
class _Looked:
    """`unread` says of which objects nothing, or not all, is known; "" when all that there are were read as a whole. With it
    nobody may say that there is none, or so much and no more."""

    found: list[Record]
    unread: str


async def surroundings(
    api: ClusterApi, tools: ToolContext, kind_name: str, manifest: dict[str, Any], record: Record | None
) -> list[Section]:
    """[] for kinds that have none. Raises ClusterError when they may not be read."""
    find = _OF_KIND.get(kind_name)
    return await find(api, tools, manifest, record) if find is not None and record is not None else []


async def _of_pod(_api: ClusterApi, _tools: ToolContext, _manifest: dict[str, Any], record: Record | None) -> list[Section]:
    if not isinstance(record, PodRecord):
        return []
    columns = {column.name: column for side in _PODS.side_tables if side.name == "containers" for column in side.columns}
    rows = [{name: present(columns[name], getattr(one, name)) for name in _CONTAINER} for one in record.containers]
    rest = Call("k8s_get_resource", {"kind": "pods", "name": record.name, "namespace": record.namespace})
    return [Section("containers", [_told(one) for one in rows], rest)]


async def _of_service(api: ClusterApi, tools: ToolContext, manifest: dict[str, Any], record: Record | None) -> list[Section]:
    assert record is not None  # noqa: S101 (surroundings)
    kind = KINDS["endpointslices"]
    selector = f"kubernetes.io/service-name={object_name(record.name)}"
    slices = await _records(api, tools, "endpointslices", record.namespace, (("labelSelector", selector),))
    rows = [
        {
            "address": endpoint.address, "ready": endpoint.ready is not False, "pod": endpoint.target_name,
            "node": endpoint.node, "ports": one.ports, "terminating": endpoint.terminating or None,
        }
        for one in slices.found
        if isinstance(one, EndpointSliceRecord)
        for endpoint in one.endpoint_rows
    ]  # fmt: skip
    rows.sort(key=lambda one: (bool(one["ready"]), str(one["address"])))
    ready = sum(bool(one["ready"]) for one in rows)
    note = joined(f"{ready} of {len(rows)} get traffic", slices.unread)
    if not rows and not slices.unread:
        wanted = (manifest.get("spec") or {}).get("selector")
        note = f"none: no pod that is scheduled fits the selector {wanted}" if wanted else "none, and the service has no selector"
    rest = Call("k8s_list_resources", {"kind": kind.name, "namespace": record.namespace, "label_selector": selector})
    return [Section("endpoints", [_told(one) for one in rows], rest, note=note)]


async def _of_node(api: ClusterApi, tools: ToolContext, _manifest: dict[str, Any], record: Record | None) -> list[Section]:
    if not isinstance(record, NodeRecord):
        return []
    read = await _records(api, tools, "pods", None, (("fieldSelector", f"spec.nodeName={object_name(record.name)}"),))
    pods = sorted(
        (one for one in read.found if isinstance(one, PodRecord)), key=lambda pod: (pod.healthy, pod.namespace, pod.name)
    )
    states = ", ".join(f"{count} {status}" for status, count in Counter(pod.status for pod in pods).most_common())
    live = [pod for pod in pods if pod.phase not in ("Succeeded", "Failed")]
    cpu, memory = (sum(getattr(pod, name) or 0 for pod in live) for name in ("cpu_request_millicores", "memory_request_bytes"))
    unread = joined(read.unread, left_out_note(api, _PODS, None))
    requests = (
        f"requests {'at least ' if unread else ''}{cpu}m of {record.cpu_allocatable_millicores}m CPU, "
        f"{memory // 2**20} of {(record.memory_allocatable_bytes or 0) // 2**20} MiB memory"
    )
    note = joined(states or ("none of those that were read" if unread else "none"), requests, unread)
    return [Section("pods", [_pod_row(pod) for pod in pods], Call("k8s_list_pods", {"node": record.name}), note=note)]


async def _of_claim(api: ClusterApi, tools: ToolContext, manifest: dict[str, Any], record: Record | None) -> list[Section]:
    assert record is not None  # noqa: S101 (surroundings)
    volume = (manifest.get("spec") or {}).get("volumeName")
    sections = []
    if volume:
        kind = KINDS["persistentvolumes"]
        found = read_tolerantly(await read_object(tools, api, kind, object_name(volume), None), kind, StorableCheck(kind)).record
        rest = Call("k8s_get_resource", {"kind": kind.name, "name": volume})
        sections = [Section("volume", [_told(row(kind, found))] if found else [], rest)]
    read = await _records(api, tools, "pods", record.namespace)
    users = [one for one in read.found if isinstance(one, PodRecord) and _uses(one, record.name)]
    rest = Call("k8s_list_pods", {"namespace": record.namespace})
    note = f"{read.unread}; others may use it" if read.unread else "" if users else "no pod uses it"
    return [*sections, Section("pods that use it", [_pod_row(pod) for pod in users], rest, note=note)]


async def _of_namespace(api: ClusterApi, tools: ToolContext, manifest: dict[str, Any], _record: Record | None) -> list[Section]:
    name = str(manifest["metadata"]["name"])
    contents = await namespace_contents(api, tools.discovery, name)
    rest = Call("k8s_list_resources", {"kind": "pods", "namespace": name})
    rows = [{"kind": kind, "count": count} for kind, count in contents.counts.items()]
    return [Section("objects in it", rows, rest, note=Contents(uncounted=contents.uncounted).told())]


async def _records(
    api: ClusterApi, tools: ToolContext, kind_name: str, namespace: str | None, query: tuple[tuple[str, str | int], ...] = ()
) -> _Looked:
    kind = KINDS[kind_name]
    check, troubles = StorableCheck(kind), list[str]()

    def take(obj: dict[str, Any]) -> Record | None:
        reading = read_tolerantly(obj, kind, check)
        troubles.extend([reading.trouble] if reading.trouble else [])
        return reading.record

    read = await read_objects(api, tools.redactor, kind, take, namespace=namespace, query=query, most=_MOST_OBJECTS)
    malformed = read.looked_at - len(read.found)
    bound = f"only {read.looked_at} {kind_name} were looked through" if read.more else ""
    return _Looked(read.found, joined(bound, unread_note(malformed, len(troubles) - malformed)))


def _uses(pod: PodRecord, claim: str) -> bool:
    """By name, or as an ephemeral volume (its claim is called `pod-volume`)."""
    volumes: list[Any] = pod.volumes if isinstance(pod.volumes, list) else []
    return any(
        isinstance(one, dict)
        and (
            (one.get("type") == "persistentVolumeClaim" and one.get("source") == claim)
            or (one.get("type") == "ephemeral" and f"{pod.name}-{one.get('name')}" == claim)
        )
        for one in volumes
    )


def _pod_row(pod: PodRecord) -> dict[str, Any]:
    told = {"namespace": pod.namespace, "name": pod.name, "ready": pod.ready, "status": pod.status}
    return told | ({"restarts": pod.restarts} if pod.restarts else {})


def _told(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


_Finder = Callable[[ClusterApi, ToolContext, dict[str, Any], Record | None], Awaitable[list[Section]]]
_OF_KIND: Mapping[str, _Finder] = {
    "pods": _of_pod,
    "services": _of_service,
    "nodes": _of_node,
    "persistentvolumeclaims": _of_claim,
    "namespaces": _of_namespace,
}
