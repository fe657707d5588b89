"""Workloads with all that belongs to them: owner chains, pods in their states, statuses that add up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import orjson

from demo import pod_states, workload_status
from demo.api_status import Json
from demo.identifiers import template_hash
from demo.scenario.nodes import LOST_FOR, LOST_NODE, node_address, node_index
from demo.scenario.world import World, ago
from demo.timestamps import rfc3339

State = Callable[[World, Json, timedelta], None]


def container(
    name: str,
    image: str,
    *,
    port: int = 0,
    requests: tuple[str, str] | None = None,
    limits: tuple[str, str] | None = None,
    env: Sequence[Json] = (),
    probe: str = "",
    **fields: Any,
) -> Json:
    """A container; requests and limits are (cpu, memory), `probe` an HTTP path for readiness and liveness."""
    resources: Json = {}
    for group, pair in (("requests", requests), ("limits", limits)):
        if pair:
            resources[group] = {key: value for key, value in zip(("cpu", "memory"), pair, strict=True) if value}
    made: Json = {"name": name, "image": image, "resources": resources}
    if port:
        made["ports"] = [{"name": "http", "containerPort": port}]
    if env:
        made["env"] = list(env)
    if probe:
        check = {"httpGet": {"path": probe, "port": "http", "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10,
                 "successThreshold": 1, "failureThreshold": 3}  # fmt: skip
        made["readinessProbe"] = check
        made["livenessProbe"] = {**check, "initialDelaySeconds": 15, "periodSeconds": 20}
    return {**made, **fields}


def app_labels(name: str, part_of: str = "") -> Json:
    labels = {"app.kubernetes.io/name": name}
    return {**labels, "app.kubernetes.io/part-of": part_of} if part_of else labels


def template(labels: Json, containers: Sequence[Json], annotations: Json | None = None, **spec: Any) -> Json:
    metadata: Json = {"labels": labels, **({"annotations": annotations} if annotations else {})}
    return {"metadata": metadata, "spec": {"containers": list(containers), **spec}}


def running(world: World, pod: Json, age: timedelta) -> None:
    """The common state: scheduled, pulled, up and ready soon after its creation."""
    node = pod["spec"].get("nodeName") or world.next_node()
    at = world.at(age)
    pod_states.bind(pod, node, at)
    pod_states.start_creating(pod, node_address(node), at)
    host = pod["spec"].get("hostNetwork")
    address = node_address(node) if host else world.identifiers.pod_address(node_index(node))
    pod_states.run(pod, address, at + timedelta(seconds=4), world.identifiers)
    if node == LOST_NODE:
        _lose(world, pod)


def _lose(world: World, pod: Json) -> None:
    """On the node that went away: not Ready since then, as the node controller marks it."""
    pod_states.set_condition(pod, "Ready", False, world.at(LOST_FOR))


def evicted_with_node(world: World, pod: Json) -> None:
    """Marked for deletion by the taint manager five minutes after; only the kubelet could finish it."""
    at = world.at(LOST_FOR - timedelta(minutes=5))
    pod["metadata"]["deletionTimestamp"] = rfc3339(at + timedelta(seconds=30))
    pod["metadata"]["deletionGracePeriodSeconds"] = 30
    pod["metadata"]["generation"] = 2
    text = "Taint manager: deleting due to NoExecute taint"
    pod_states.set_condition(pod, "DisruptionTarget", True, at, "DeletionByTaintManager", text)


def on_node(node: str, then: State = running) -> State:
    """`then` with the pod put on a certain node."""

    def state(world: World, pod: Json, age: timedelta) -> None:
        pod["spec"]["nodeName"] = node
        then(world, pod, age)

    return state


def pod(world: World, owner: Json | None, name: str, age: timedelta, state: State, *, source: Json | None = None,
        namespace: str = "", generate_name: str = "") -> Json:  # fmt: skip
    """One pod of `owner` (or bare, from the template `source`) in a state."""
    chosen = source or (owner or {})["spec"]["template"]
    home = namespace or (owner or {})["metadata"]["namespace"]
    made = pod_states.pod_from_template(chosen, home, name, owner, world.identifiers, generate_name)
    annotations = made["metadata"].get("annotations")
    whole = world.prepare("v1", "Pod", name, namespace=home, age=age, labels=made["metadata"].get("labels"),
                          annotations=annotations, owner=owner, spec=made["spec"])  # fmt: skip
    if generate_name:
        whole["metadata"]["generateName"] = generate_name
    state(world, whole, age)
    return world.keep(whole, "kube-controller-manager")


def deployment(world: World, namespace: str, name: str, pod_template: Json, *, age: timedelta,
               pods: Sequence[tuple[timedelta, State]], replicas: int | None = None, labels: Json | None = None,
               annotations: Json | None = None, revision: int = 1, spec: Json | None = None,
               rolled_out: bool = True) -> Json:  # fmt: skip
    """A Deployment with one ReplicaSet and its pods, each (age, state)."""
    wanted = sum(state is not None for _, state in pods) if replicas is None else replicas
    own = labels or pod_template["metadata"]["labels"]
    annotations = {"deployment.kubernetes.io/revision": str(revision), **(annotations or {})}
    selector = {"matchLabels": {"app.kubernetes.io/name": pod_template["metadata"]["labels"]["app.kubernetes.io/name"]}}
    body = {"replicas": wanted, "selector": selector, "template": pod_template, **(spec or {})}
    made = world.prepare(
        "apps/v1", "Deployment", name, namespace=namespace, age=age, labels=own, annotations=annotations, spec=body
    )
    replicaset(world, made, age=age, pods=pods, replicas=wanted, revision=revision)
    return finish_deployment(world, made, since=age, rolled_out=rolled_out)


def replicaset(world: World, owner: Json, *, age: timedelta, pods: Sequence[tuple[timedelta, State]], replicas: int,
               revision: int, pod_template: Json | None = None) -> Json:  # fmt: skip
    """One revision of a Deployment; `pod_template` when it is not the current one."""
    chosen = orjson.loads(orjson.dumps(pod_template or owner["spec"]["template"]))
    spec_of = world.prepare("apps/v1", "ReplicaSet", "x", age=age, spec={"template": chosen})["spec"]["template"]
    name, namespace = owner["metadata"]["name"], owner["metadata"]["namespace"]
    mark = template_hash(orjson.dumps([namespace, name, chosen]).decode())
    chosen = {
        **spec_of,
        "metadata": {**chosen["metadata"], "labels": {**chosen["metadata"]["labels"], "pod-template-hash": mark}},
    }
    selector = {"matchLabels": {**owner["spec"]["selector"]["matchLabels"], "pod-template-hash": mark}}
    wanted = owner["spec"]["replicas"]
    annotations = {
        "deployment.kubernetes.io/desired-replicas": str(wanted),
        "deployment.kubernetes.io/max-replicas": str(workload_status.rollout_bounds(owner)[0]),
        "deployment.kubernetes.io/revision": str(revision),
    }
    made = world.prepare("apps/v1", "ReplicaSet", f"{name}-{mark}", namespace=namespace, age=age, owner=owner,
                         labels=chosen["metadata"]["labels"], annotations=annotations,
                         spec={"replicas": replicas, "selector": selector, "template": chosen})  # fmt: skip
    prefix = f"{made['metadata']['name']}-"
    children = [pod(world, made, prefix + world.identifiers.suffix(), born, state, generate_name=prefix) for born, state in pods]
    made["status"] = workload_status.replicaset_status(made, children)
    return world.keep(made, "kube-controller-manager")


def finish_deployment(world: World, made: Json, since: timedelta, rolled_out: bool = True) -> Json:
    """Store the Deployment with the status that follows from its ReplicaSets; `rolled_out` False: it never was."""
    resource = world.table.by_key("replicasets.apps")
    found = [stored.obj for stored in world.store.dependents(made["metadata"]["uid"], resource)]
    revision = made["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
    new = next(rs for rs in found if rs["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == revision)
    ready = dict(made)
    ready["status"] = {"conditions": [_rolled_out(new, rfc3339(world.at(since)))]} if rolled_out else {}
    made["status"] = workload_status.deployment_status(ready, new, found, world.at(ago()))
    for condition in made["status"]["conditions"]:
        condition["lastTransitionTime"] = condition["lastUpdateTime"] = rfc3339(world.at(since))
    return world.keep(made)


def _rolled_out(replicaset_: Json, at: str) -> Json:
    text = f'ReplicaSet "{replicaset_["metadata"]["name"]}" has successfully progressed.'
    return {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": text,
            "lastUpdateTime": at, "lastTransitionTime": at}  # fmt: skip


def daemonset(world: World, namespace: str, name: str, pod_template: Json, *, age: timedelta, nodes: Sequence[str]) -> Json:
    """A DaemonSet with a pod on each of `nodes`."""
    labels = pod_template["metadata"]["labels"]
    key = "app.kubernetes.io/name" if "app.kubernetes.io/name" in labels else "k8s-app"
    spec = {"selector": {"matchLabels": {key: labels[key]}}, "template": pod_template}
    made = world.prepare("apps/v1", "DaemonSet", name, namespace=namespace, age=age, labels=labels, spec=spec,
                         annotations={"deprecated.daemonset.template.generation": "1"})  # fmt: skip
    made["spec"]["template"]["spec"].setdefault("tolerations", [])
    mark = pod_states.revision_hash(made["spec"]["template"])
    source = orjson.loads(orjson.dumps(made["spec"]["template"]))
    source["spec"]["tolerations"] += pod_states.daemon_tolerations()
    source["metadata"]["labels"].update({pod_states.REVISION_LABEL: mark, "pod-template-generation": "1"})
    children = [
        pod(world, made, f"{name}-{world.identifiers.suffix()}", age, on_node(node), source=source, generate_name=f"{name}-")
        for node in nodes
    ]
    made["status"] = workload_status.daemonset_status(made, children, len(nodes))
    return world.keep(made)


def statefulset(world: World, namespace: str, name: str, pod_template: Json, *, age: timedelta, states: Sequence[State],
                storage: str, size: str, storage_class: str = "standard") -> Json:  # fmt: skip
    """A StatefulSet with its pods, and a bound claim and volume for each."""
    labels = pod_template["metadata"]["labels"]
    claim_spec = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": size}},
        "storageClassName": storage_class,
        "volumeMode": "Filesystem",
    }
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": storage}, "spec": claim_spec,
             "status": {"phase": "Pending"}}  # fmt: skip
    spec = {
        "replicas": len(states),
        "serviceName": f"{name}-headless",
        "selector": {"matchLabels": app_labels(labels["app.kubernetes.io/name"])},
        "template": pod_template,
        "volumeClaimTemplates": [claim],
    }
    made = world.prepare("apps/v1", "StatefulSet", name, namespace=namespace, age=age, labels=labels, spec=spec)
    children = []
    for index, state in enumerate(states):
        bound_claim(world, namespace, f"{storage}-{name}-{index}", claim_spec, labels, age)
        source = pod_states.ordinal_template(made, index)
        children.append(pod(world, made, f"{name}-{index}", age, state, source=source, generate_name=f"{name}-"))
    made["status"] = workload_status.statefulset_status(made, children)
    return world.keep(made)


def bound_claim(world: World, namespace: str, name: str, spec: Json, labels: Json, age: timedelta) -> None:
    """A PersistentVolumeClaim and the volume that was provisioned for it."""
    claim = world.prepare("v1", "PersistentVolumeClaim", name, namespace=namespace, age=age, labels=labels, spec=spec)
    volume = f"pvc-{claim['metadata']['uid']}"
    size = {"storage": spec["resources"]["requests"]["storage"]}
    claim["spec"]["volumeName"] = volume
    claim["metadata"]["annotations"] = {
        "pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes",
        "volume.kubernetes.io/storage-provisioner": "csi.example.com",
    }  # fmt: skip
    claim["status"] = {"phase": "Bound", "accessModes": spec["accessModes"], "capacity": size}
    world.keep(claim, "kube-controller-manager")
    reference = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": name,
                 "uid": claim["metadata"]["uid"]}  # fmt: skip
    volume_spec = {
        "capacity": size, "accessModes": spec["accessModes"], "claimRef": reference, "storageClassName": spec["storageClassName"],
        "persistentVolumeReclaimPolicy": "Delete", "volumeMode": "Filesystem",
        "csi": {"driver": "csi.example.com", "volumeHandle": f"vol-{claim['metadata']['uid'][:12]}", "fsType": "ext4"},
    }  # fmt: skip
    made = world.prepare("v1", "PersistentVolume", volume, age=age, spec=volume_spec, status={"phase": "Bound"},
                         annotations={"pv.kubernetes.io/provisioned-by": "csi.example.com"})  # fmt: skip
    made["metadata"]["finalizers"] = ["external-provisioner.volume.kubernetes.io/finalizer", "kubernetes.io/pv-protection"]
    world.keep(made, "csi-provisioner")


def service(world: World, namespace: str, name: str, selector: Json, ports: Sequence[Json], *, age: timedelta,
            labels: Json | None = None, **spec: Any) -> Json:  # fmt: skip
    """A Service; its endpoints follow from the pods once the story is complete (scenario.story)."""
    made = world.prepare("v1", "Service", name, namespace=namespace, age=age, labels=labels or selector or None,
                         spec={"selector": selector, "ports": list(ports), **spec}, status={"loadBalancer": {}})  # fmt: skip
    spec_ = made["spec"]
    spec_.setdefault("clusterIP", world.identifiers.service_address())
    spec_["clusterIPs"] = [spec_["clusterIP"]]
    made["metadata"].pop("generation")
    return world.keep(made)
