"""Six nodes: a control plane, four healthy workers, and one whose kubelet stopped reporting."""

from __future__ import annotations

from datetime import timedelta

from demo.api_status import Json
from demo.identifiers import digest
from demo.scenario.world import World, ago
from demo.timestamps import rfc3339, rfc3339_micro

CONTROL_PLANE = "cp-1"
WORKERS = ("worker-1", "worker-2", "worker-3", "worker-4", "worker-5")
LOST_NODE = "worker-4"
LOST_FOR = ago(minutes=14)
NODE_AGE = ago(days=41)


def node_index(name: str) -> int:
    """Which pod network a node has: 10.244.<index>.0/24."""
    return 0 if name == CONTROL_PLANE else int(name.rpartition("-")[2])


def node_address(name: str) -> str:
    return f"10.20.0.{10 + node_index(name)}"


def _conditions(world: World, lost: bool) -> list[Json]:
    healthy = (
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    )
    network = {
        "type": "NetworkUnavailable", "status": "False", "reason": "CiliumIsUp", "message": "Cilium is running on this node",
        "lastHeartbeatTime": rfc3339(world.at(NODE_AGE)), "lastTransitionTime": rfc3339(world.at(NODE_AGE)),
    }  # fmt: skip
    beat = world.at(LOST_FOR + timedelta(seconds=40) if lost else ago(seconds=50))
    since = world.at(LOST_FOR if lost else NODE_AGE)
    times = {"lastHeartbeatTime": rfc3339(beat), "lastTransitionTime": rfc3339(since)}
    rest = [
        {"type": kind, "status": "Unknown", "reason": "NodeStatusUnknown",
         "message": "Kubelet stopped posting node status.", **times}
        if lost
        else {"type": kind, "status": status, "reason": reason, "message": message, **times}
        for kind, status, reason, message in healthy
    ]  # fmt: skip
    return [network, *rest]


def _capacity(name: str) -> tuple[Json, Json]:
    cpu, memory = (4, 8) if name == CONTROL_PLANE else (8, 32)
    capacity = {"cpu": str(cpu), "memory": f"{memory * 1024 * 1024}Ki", "ephemeral-storage": "101430960Ki",
                "hugepages-1Gi": "0", "hugepages-2Mi": "0", "pods": "110"}  # fmt: skip
    allocatable = {**capacity, "cpu": f"{cpu * 1000 - 120}m", "memory": f"{memory * 1024 * 1024 - 716800}Ki",
                   "ephemeral-storage": "93478772582"}  # fmt: skip
    return capacity, allocatable


def _info(world: World, name: str) -> Json:
    machine = digest(f"machine {world.identifiers.seed} {name}")[:32]
    return {
        "machineID": machine, "systemUUID": world.identifiers.uid(), "bootID": world.identifiers.uid(),
        "kernelVersion": "6.8.0-79-generic", "osImage": "Ubuntu 24.04.3 LTS", "operatingSystem": "linux",
        "architecture": "amd64", "containerRuntimeVersion": "containerd://2.1.4", "kubeletVersion": "v1.36.3",
        "kubeProxyVersion": "",
    }  # fmt: skip


def _node(world: World, name: str) -> Json:
    control_plane, lost = name == CONTROL_PLANE, name == LOST_NODE
    labels = {
        "beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
        "topology.kubernetes.io/region": "eu-north", "topology.kubernetes.io/zone": f"eu-north-{'abc'[node_index(name) % 3]}",
    }  # fmt: skip
    if control_plane:
        labels.update(
            {"node-role.kubernetes.io/control-plane": "", "node.kubernetes.io/exclude-from-external-load-balancers": ""}
        )
    subnet = f"10.244.{node_index(name)}.0/24"
    spec: Json = {"podCIDR": subnet, "podCIDRs": [subnet]}
    if control_plane:
        spec["taints"] = [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]
    if lost:
        since = rfc3339(world.at(LOST_FOR))
        spec["taints"] = [
            {"key": "node.kubernetes.io/unreachable", "effect": effect, "timeAdded": since}
            for effect in ("NoSchedule", "NoExecute")
        ]
    capacity, allocatable = _capacity(name)
    status = {
        "addresses": [{"type": "InternalIP", "address": node_address(name)}, {"type": "Hostname", "address": name}],
        "capacity": capacity, "allocatable": allocatable, "conditions": _conditions(world, lost),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}, "nodeInfo": _info(world, name),
    }  # fmt: skip
    annotations = {"node.alpha.kubernetes.io/ttl": "0", "volumes.kubernetes.io/controller-managed-attach-detach": "true"}
    return world.add("v1", "Node", name, age=NODE_AGE, labels=labels, annotations=annotations, spec=spec,
                     status=status, manager="kubelet")  # fmt: skip


def _lease(world: World, node: Json) -> None:
    name = node["metadata"]["name"]
    renewed = world.at(LOST_FOR + timedelta(seconds=40) if name == LOST_NODE else ago(seconds=4))
    spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": rfc3339_micro(renewed)}
    lease = world.prepare("coordination.k8s.io/v1", "Lease", name, namespace="kube-node-lease", age=NODE_AGE, spec=spec)
    reference = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"]}
    lease["metadata"]["ownerReferences"] = [reference]
    lease["metadata"].pop("generation")
    world.keep(lease, "kubelet")


def add_nodes(world: World) -> None:
    """Nodes, their leases, and the events of the one that went away."""
    for name in (CONTROL_PLANE, *WORKERS):
        node = _node(world, name)
        _lease(world, node)
        if name == LOST_NODE:
            text = f"Node {name} status is now: NodeNotReady"
            world.event(node, "Normal", "NodeNotReady", text, first=LOST_FOR, component="node-controller")
    world.node_names = [name for name in WORKERS if name != LOST_NODE]
