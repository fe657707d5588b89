"""A pod's spec from its template, and its status at each stage of its life, as kubelets report them.

The functions change the pod they are given; `at` is the time of the change.
"""

from __future__ import annotations

import copy
from datetime import datetime

import orjson

from demo.api_status import Json
from demo.identifiers import Identifiers, digest, template_hash
from demo.timestamps import rfc3339

PULL_FAILURE = 'failed to pull and unpack image "{image}": failed to resolve reference "{image}": {image}: not found'


def owner_reference(owner: Json) -> Json:
    """The reference of a controller."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def pod_from_template(
    template: Json, namespace: str, name: str, owner: Json | None, identifiers: Identifiers, generate_name: str = ""
) -> Json:
    """A pod to create: the template, its owner and the token volume that admission adds."""
    spec = orjson.loads(orjson.dumps(template["spec"]))
    if spec.pop("automountServiceAccountToken", True):
        _mount_token(spec, identifiers.suffix())
    metadata: Json = {"name": name, **({"generateName": generate_name} if generate_name else {})}
    metadata["namespace"] = namespace
    for field in ("labels", "annotations"):
        if template.get("metadata", {}).get(field):
            metadata[field] = dict(template["metadata"][field])
    if owner is not None:
        metadata["ownerReferences"] = [owner_reference(owner)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _mount_token(spec: Json, suffix: str) -> None:
    volume = f"kube-api-access-{suffix}"
    field = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [field]}},
    ]
    spec.setdefault("volumes", []).append({"name": volume, "projected": {"sources": sources, "defaultMode": 420}})
    mount = {"name": volume, "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    for container in [*spec.get("initContainers", ()), *spec["containers"]]:
        container.setdefault("volumeMounts", []).append(dict(mount))


REVISION_LABEL = "controller-revision-hash"
_DAEMON_TAINTS = (
    ("not-ready", "NoExecute"), ("unreachable", "NoExecute"), ("disk-pressure", "NoSchedule"),
    ("memory-pressure", "NoSchedule"), ("pid-pressure", "NoSchedule"), ("unschedulable", "NoSchedule"),
)  # fmt: skip


def revision_hash(template: Json) -> str:
    """The value of a pod's controller-revision-hash label for a template."""
    return template_hash(orjson.dumps(template, option=orjson.OPT_SORT_KEYS).decode())


def daemon_tolerations() -> list[Json]:
    """What the DaemonSet controller adds to its pods."""
    return [{"key": f"node.kubernetes.io/{taint}", "operator": "Exists", "effect": effect} for taint, effect in _DAEMON_TAINTS]


def ordinal_template(statefulset: Json, index: int) -> Json:
    """The template of a StatefulSet's n-th pod: its name, its labels and its claims."""
    name, spec = statefulset["metadata"]["name"], statefulset["spec"]
    source: Json = orjson.loads(orjson.dumps(spec["template"]))
    source.setdefault("metadata", {}).setdefault("labels", {}).update({
        "apps.kubernetes.io/pod-index": str(index), "statefulset.kubernetes.io/pod-name": f"{name}-{index}",
        REVISION_LABEL: f"{name}-{revision_hash(spec['template'])}",
    })  # fmt: skip
    for claim in reversed(spec.get("volumeClaimTemplates") or ()):
        storage = claim["metadata"]["name"]
        volume = {"name": storage, "persistentVolumeClaim": {"claimName": f"{storage}-{name}-{index}"}}
        source["spec"].setdefault("volumes", []).insert(0, volume)
    source["spec"].update(hostname=f"{name}-{index}", subdomain=spec.get("serviceName", ""))
    return source


def set_condition(pod: Json, kind: str, holds: bool, at: datetime, reason: str = "", message: str = "") -> None:
    """Set one condition; its transition time moves only when its status does."""
    conditions = pod["status"].setdefault("conditions", [])
    new: Json = {"type": kind, "status": "True" if holds else "False", "lastProbeTime": None,
                 "lastTransitionTime": rfc3339(at),
                 "observedGeneration": pod["metadata"].get("generation", 1)}  # fmt: skip
    if reason:
        new.update(reason=reason, message=message)
    for index, old in enumerate(conditions):
        if old["type"] == kind:
            if old["status"] == new["status"]:
                new["lastTransitionTime"] = old["lastTransitionTime"]
            conditions[index] = new
            return
    conditions.append(new)


def unschedulable(pod: Json, message: str, at: datetime) -> None:
    """Pending, with what the scheduler says."""
    pod["status"]["phase"] = "Pending"
    set_condition(pod, "PodScheduled", False, at, "Unschedulable", message)


def bind(pod: Json, node: str, at: datetime) -> None:
    """The scheduler's decision."""
    pod["spec"]["nodeName"] = node
    set_condition(pod, "PodScheduled", True, at)


def _status_entry(container: Json) -> Json:
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": False,
        "started": False,
        "restartCount": 0,
        "state": {"waiting": {"reason": "ContainerCreating"}},
        "lastState": {},
    }


def start_creating(pod: Json, host_address: str, at: datetime) -> None:
    """The kubelet has seen the pod: every container is ContainerCreating (or waits for the init containers)."""
    spec, status = pod["spec"], pod["status"]
    status.update(phase="Pending", hostIP=host_address, hostIPs=[{"ip": host_address}], startTime=rfc3339(at))
    status["containerStatuses"] = [_status_entry(container) for container in spec["containers"]]
    if spec.get("initContainers"):
        status["initContainerStatuses"] = [_status_entry(container) for container in spec["initContainers"]]
        for entry in status["initContainerStatuses"]:
            entry["state"] = {"waiting": {"reason": "PodInitializing"}}
    set_condition(pod, "PodReadyToStartContainers", False, at)
    set_condition(pod, "Initialized", not spec.get("initContainers"), at)
    settle(pod, at)


def _image_id(image: str) -> str:
    name, colon, tag = image.rpartition(":")
    repository = name if colon and "/" not in tag else image
    return f"{repository}@sha256:{digest(image)}"


def start_container(entry: Json, container: Json, at: datetime, identifiers: Identifiers) -> None:
    """One container runs and is ready."""
    resources = copy.deepcopy(container.get("resources", {}))
    entry.update(
        image=container["image"], imageID=_image_id(container["image"]), containerID=identifiers.container_id(),
        ready=True, started=True, state={"running": {"startedAt": rfc3339(at)}},
    )  # fmt: skip
    if resources:
        entry["resources"] = resources
        if resources.get("requests"):
            entry["allocatedResources"] = resources["requests"]


def run(pod: Json, address: str, at: datetime, identifiers: Identifiers) -> None:
    """All containers are up; init containers have completed, those that restart always run beside."""
    spec, status = pod["spec"], pod["status"]
    status.update(podIP=address, podIPs=[{"ip": address}])
    init = {container["name"]: container for container in spec.get("initContainers", ())}
    for entry in status.get("initContainerStatuses", ()):
        container = init[entry["name"]]
        start_container(entry, container, at, identifiers)
        if container.get("restartPolicy") != "Always":
            entry["state"] = terminated(entry, 0, "Completed", at, at)
            entry["started"] = False
    for entry, container in zip(status["containerStatuses"], spec["containers"], strict=True):
        start_container(entry, container, at, identifiers)
    set_condition(pod, "PodReadyToStartContainers", True, at)
    set_condition(pod, "Initialized", True, at)
    settle(pod, at)


def terminated(entry: Json, exit_code: int, reason: str, started: datetime, ended: datetime) -> Json:
    """A terminated container state."""
    return {
        "terminated": {
            "exitCode": exit_code,
            "reason": reason,
            "startedAt": rfc3339(started),
            "finishedAt": rfc3339(ended),
            "containerID": entry.get("containerID", ""),
        }
    }


def end_container(entry: Json, exit_code: int, reason: str, started: datetime, at: datetime) -> None:
    """The container's process has ended; it is not restarted yet."""
    entry.update(ready=exit_code == 0, started=False, state=terminated(entry, exit_code, reason, started, at))
    if exit_code:
        entry["ready"] = False


def back_off(pod: Json, entry: Json, delay: str) -> None:
    """CrashLoopBackOff: what has ended becomes the last state."""
    name, namespace, uid = pod["metadata"]["name"], pod["metadata"]["namespace"], pod["metadata"]["uid"]
    message = f"back-off {delay} restarting failed container={entry['name']} pod={name}_{namespace}({uid})"
    if "terminated" in entry["state"]:
        entry["lastState"] = entry["state"]
    entry.update(ready=False, started=False, state={"waiting": {"reason": "CrashLoopBackOff", "message": message}})


def restart(pod: Json, entry: Json, container: Json, at: datetime, identifiers: Identifiers) -> None:
    """One more run of a container."""
    if "terminated" in entry["state"]:
        entry["lastState"] = entry["state"]
    entry["restartCount"] += 1
    start_container(entry, container, at, identifiers)
    settle(pod, at)


def fail_pull(entry: Json, *, backing_off: bool) -> None:
    """ErrImagePull, or ImagePullBackOff between two tries."""
    failure = "rpc error: code = NotFound desc = " + PULL_FAILURE.format(image=entry["image"])
    if backing_off:
        message = f'Back-off pulling image "{entry["image"]}": ErrImagePull: {failure}'
        entry["state"] = {"waiting": {"reason": "ImagePullBackOff", "message": message}}
    else:
        entry["state"] = {"waiting": {"reason": "ErrImagePull", "message": failure}}


def settle(pod: Json, at: datetime) -> None:
    """Phase and readiness conditions that follow from the container statuses."""
    status = pod["status"]
    entries = status.get("containerStatuses", [])
    ended = [entry["state"].get("terminated") for entry in entries]
    for_good = pod["spec"].get("restartPolicy", "Always") != "Always" and all(ended) and entries
    if for_good:
        status["phase"] = "Failed" if any(state and state["exitCode"] for state in ended) else "Succeeded"
    elif any("running" in entry["state"] or entry["restartCount"] or ended[i] for i, entry in enumerate(entries)):
        status["phase"] = "Running"
    waiting = [entry["name"] for entry in entries if not entry["ready"] or "running" not in entry["state"]]
    if status["phase"] == "Succeeded":
        reason, message = "PodCompleted", ""
    else:
        reason, message = "ContainersNotReady", f"containers with unready status: [{' '.join(waiting)}]"
    for kind in ("ContainersReady", "Ready"):
        set_condition(pod, kind, not waiting, at, *((reason, message) if waiting else ()))


def is_ready(pod: Json) -> bool:
    """True when the Ready condition is."""
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))


def is_active(pod: Json) -> bool:
    """Counts for its controller: neither ended nor being deleted."""
    over = pod["status"].get("phase") in ("Succeeded", "Failed")
    return not over and not pod["metadata"].get("deletionTimestamp")
