"""Printer columns of the built-in kinds, as the API server's Table output has them.

One entry per kind: the column names (`*` marks those that `-o wide` adds) and a function from the
object and the current time to its cells. The object's name comes first everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from demo import pod_status
from demo.api_status import Json
from demo.selectors import format_label_selector
from demo.timestamps import age, human_duration, parse_time

Cells = list[object]
Printer = Callable[[Json, datetime], Cells]
NONE = "<none>"


def _age(obj: Json, now: datetime) -> str:
    return age(obj["metadata"].get("creationTimestamp"), now)


def _containers(spec: Json) -> tuple[str, str]:
    containers = spec.get("containers", ())
    return ",".join(c["name"] for c in containers), ",".join(c["image"] for c in containers)


def _three(items: list[str]) -> str:
    """The first three, and how many more."""
    if not items:
        return "<unset>"
    return ",".join(items[:3]) + (f" + {len(items) - 3} more..." if len(items) > 3 else "")


def _pod(pod: Json, now: datetime) -> Cells:
    line, status, spec = pod_status.summarise(pod, now), pod.get("status", {}), pod["spec"]
    gates = spec.get("readinessGates", ())
    met = {c["type"] for c in status.get("conditions", ()) if c["status"] == "True"}
    gate_text = f"{sum(g['conditionType'] in met for g in gates)}/{len(gates)}" if gates else NONE
    return [
        line.ready, line.status, line.restarts, _age(pod, now),
        status.get("podIP") or NONE, spec.get("nodeName") or NONE, status.get("nominatedNodeName") or NONE, gate_text,
    ]  # fmt: skip


def _deployment(obj: Json, now: datetime) -> Cells:
    spec, status = obj["spec"], obj.get("status", {})
    return [
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 1)}",
        str(status.get("updatedReplicas", 0)), str(status.get("availableReplicas", 0)), _age(obj, now),
        *_containers(spec["template"]["spec"]), format_label_selector(spec.get("selector")),
    ]  # fmt: skip


def _replicaset(obj: Json, now: datetime) -> Cells:
    spec, status = obj["spec"], obj.get("status", {})
    selector = spec.get("selector")
    if selector and "matchLabels" not in selector and "matchExpressions" not in selector:
        selector = {"matchLabels": selector}  # a ReplicationController's selector is a plain map
    return [
        spec.get("replicas", 1), status.get("replicas", 0), status.get("readyReplicas", 0), _age(obj, now),
        *_containers(spec["template"]["spec"]), format_label_selector(selector),
    ]  # fmt: skip


def _statefulset(obj: Json, now: datetime) -> Cells:
    spec, status = obj["spec"], obj.get("status", {})
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 1)}"
    return [ready, _age(obj, now), *_containers(spec["template"]["spec"])]


def _daemonset(obj: Json, now: datetime) -> Cells:
    spec, status = obj["spec"], obj.get("status", {})
    names = (
        "desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable",
    )  # fmt: skip
    node_selector = spec["template"]["spec"].get("nodeSelector") or {}
    return [
        *(status.get(name, 0) for name in names), format_label_selector({"matchLabels": node_selector}),
        _age(obj, now), *_containers(spec["template"]["spec"]), format_label_selector(spec.get("selector")),
    ]  # fmt: skip


def _job(obj: Json, now: datetime) -> Cells:
    spec, status = obj["spec"], obj.get("status", {})
    done = {c["type"] for c in status.get("conditions", ()) if c["status"] == "True"}
    words = (("Complete", "Complete"), ("Failed", "Failed"), ("Suspended", "Suspended"),
             ("FailureTarget", "FailureTarget"), ("SuccessCriteriaMet", "SuccessCriteriaMet"))  # fmt: skip
    state = next((word for condition, word in words if condition in done), "Running")
    started, ended = status.get("startTime"), status.get("completionTime")
    span = human_duration((parse_time(ended) if ended else now) - parse_time(started)) if started else ""
    return [
        state, f"{status.get('succeeded', 0)}/{spec.get('completions', 1)}", span, _age(obj, now),
        *_containers(spec["template"]["spec"]), format_label_selector(spec.get("selector")),
    ]  # fmt: skip


def _cronjob(obj: Json, now: datetime) -> Cells:
    spec, status = obj["spec"], obj.get("status", {})
    last = status.get("lastScheduleTime")
    job = spec["jobTemplate"]["spec"]
    return [
        spec["schedule"], spec.get("timeZone", NONE), "True" if spec.get("suspend") else "False",
        len(status.get("active", ())), age(last, now) if last else NONE, _age(obj, now),
        *_containers(job["template"]["spec"]), format_label_selector(job.get("selector")),
    ]  # fmt: skip


def _service(obj: Json, now: datetime) -> Cells:
    spec = obj["spec"]
    points = obj.get("status", {}).get("loadBalancer", {}).get("ingress", ())
    external = ",".join(point.get("ip") or point.get("hostname", "") for point in points)
    if spec.get("type") == "LoadBalancer":
        external = external or "<pending>"
    else:
        external = spec.get("externalName") or ",".join(spec.get("externalIPs", ())) or NONE
    ports = ",".join(
        f"{port['port']}{':' + str(port['nodePort']) if port.get('nodePort') else ''}/{port.get('protocol', 'TCP')}"
        for port in spec.get("ports", ())
    )
    return [
        spec.get("type", "ClusterIP"), (spec.get("clusterIPs") or [NONE])[0], external, ports or NONE, _age(obj, now),
        format_label_selector({"matchLabels": spec.get("selector") or {}}),
    ]  # fmt: skip


def _endpoints(obj: Json, now: datetime) -> Cells:
    found = [
        f"{address['ip']}:{port['port']}"
        for subset in obj.get("subsets", ())
        for port in subset.get("ports", ())
        for address in subset.get("addresses", ())
    ]
    return [_three(found) if found else NONE, _age(obj, now)]


def _endpointslice(obj: Json, now: datetime) -> Cells:
    ports = [str(port.get("port", "*")) for port in obj.get("ports") or ()]
    addresses = [address for endpoint in obj.get("endpoints") or () for address in endpoint["addresses"]]
    return [obj["addressType"], _three(ports), _three(addresses), _age(obj, now)]


def _ingress(obj: Json, now: datetime) -> Cells:
    spec = obj["spec"]
    hosts = [rule["host"] for rule in spec.get("rules", ()) if rule.get("host")]
    points = obj.get("status", {}).get("loadBalancer", {}).get("ingress", ())
    address = ",".join(sorted(point.get("ip") or point.get("hostname", "") for point in points))
    return [
        spec.get("ingressClassName", NONE), _three(hosts) if hosts else "*", address,
        "80, 443" if spec.get("tls") else "80", _age(obj, now),
    ]  # fmt: skip


def _node(obj: Json, now: datetime) -> Cells:
    status, info = obj["status"], obj["status"].get("nodeInfo", {})
    ready = next((c["status"] for c in status.get("conditions", ()) if c["type"] == "Ready"), None)
    words = {None: "Unknown", "True": "Ready"}.get(ready, "NotReady")
    if obj.get("spec", {}).get("unschedulable"):
        words += ",SchedulingDisabled"
    prefix = "node-role.kubernetes.io/"
    labels = obj["metadata"].get("labels", {})
    roles = ",".join(sorted(key.removeprefix(prefix) for key in labels if key.startswith(prefix)))
    addresses = {address["type"]: address["address"] for address in status.get("addresses", ())}
    return [
        words, roles or NONE, _age(obj, now), info.get("kubeletVersion", ""), addresses.get("InternalIP", NONE),
        addresses.get("ExternalIP", NONE), info.get("osImage") or "<unknown>",
        f"{info.get('kernelVersion') or '<unknown>'} ({info.get('architecture', 'amd64')})",
        info.get("containerRuntimeVersion") or "<unknown>",
    ]  # fmt: skip


def _event(obj: Json, now: datetime) -> Cells:
    involved, source = obj["involvedObject"], obj.get("source", {})
    target = involved.get("kind", "").lower() + (f"/{involved['name']}" if involved.get("name") else "")
    first = age(obj.get("firstTimestamp") or obj.get("eventTime"), now)
    last = age(obj.get("lastTimestamp"), now) if obj.get("lastTimestamp") else first
    component = source.get("component") or obj.get("reportingComponent", "")
    host = source.get("host") or obj.get("reportingInstance", "")
    return [
        last, obj.get("type", ""), obj.get("reason", ""), target, involved.get("fieldPath", ""),
        f"{component}, {host}" if host else component, obj.get("message", "").strip(),
        first, obj.get("count") or 1, obj["metadata"]["name"],
    ]  # fmt: skip


PRINTERS: dict[str, tuple[str, Printer]] = {
    "Pod": ("Name|Ready|Status|Restarts|Age|*IP|*Node|*Nominated Node|*Readiness Gates", _pod),
    "Deployment": ("Name|Ready|Up-to-date|Available|Age|*Containers|*Images|*Selector", _deployment),
    "ReplicaSet": ("Name|#Desired|#Current|#Ready|Age|*Containers|*Images|*Selector", _replicaset),
    "ReplicationController": ("Name|#Desired|#Current|#Ready|Age|*Containers|*Images|*Selector", _replicaset),
    "StatefulSet": ("Name|Ready|Age|*Containers|*Images", _statefulset),
    "DaemonSet": (
        "Name|#Desired|#Current|#Ready|#Up-to-date|#Available|Node Selector|Age|*Containers|*Images|*Selector",
        _daemonset,
    ),
    "Job": ("Name|Status|Completions|Duration|Age|*Containers|*Images|*Selector", _job),
    "CronJob": (
        "Name|Schedule|Timezone|Suspend|#Active|Last Schedule|Age|*Containers|*Images|*Selector",
        _cronjob,
    ),
    "Service": ("Name|Type|Cluster-IP|External-IP|Port(s)|Age|*Selector", _service),
    "Endpoints": ("Name|Endpoints|Age", _endpoints),
    "EndpointSlice": ("Name|AddressType|Ports|Endpoints|Age", _endpointslice),
    "Ingress": ("Name|Class|Hosts|Address|Ports|Age", _ingress),
    "Node": (
        "Name|Status|Roles|Age|Version|*Internal-IP|*External-IP|*OS-Image|*Kernel-Version|*Container-Runtime",
        _node,
    ),
}  # fmt: skip

EVENT_COLUMNS = "Last Seen|Type|Reason|Object|*Subobject|*Source|Message|*First Seen|*Count|*Name"


def print_event(obj: Json, now: datetime) -> Cells:
    """An event's cells; alone among the kinds its name comes last."""
    return _event(obj, now)
