"""The life of pods: scheduled, created, running, failing, ended, removed. One call a tick."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from demo import pod_states
from demo.api_status import Json
from demo.controllers.cluster_view import ClusterView
from demo.resources import Resource
from demo.scenario import behaviours
from demo.scenario.behaviours import Fault, app_of, is_missing_image
from demo.scenario.nodes import node_address, node_index
from demo.scheduling import choose_node, is_node_ready
from demo.store import Change
from demo.timestamps import parse_time

RETRY_SCHEDULING_TICKS = 30
RETRY_PULL_TICKS = 12
FIRST_TICK = 5
"""The story stands still for so long, and its pods then move one after the other."""


class Kubelets:
    """All nodes' kubelets and the scheduler. Only pods with something ahead of them are looked at."""

    def __init__(self, view: ClusterView, faults: Mapping[tuple[str, str], Fault] = behaviours.FAULTS) -> None:
        self._view = view
        self._faults = faults
        self._unsettled: set[tuple[str, str]] = set()
        self._due: dict[str, int] = {}
        self._stopping: set[str] = set()
        self._tick = 0
        for stored in view.all("pods"):
            self._consider(stored.obj)
        for index, (namespace, name) in enumerate(sorted(self._unsettled)):
            pod = view.lookup("pods", namespace, name) or {}
            self._due[pod["metadata"]["uid"]] = FIRST_TICK + 4 * index
        view.store.subscribe(self._changed)

    def _changed(self, resource: Resource, change: Change) -> None:
        if resource.key != "pods":
            return
        pod = change.stored.obj
        if change.type == "DELETED":
            self._unsettled.discard(_key(pod))
            self._due.pop(pod["metadata"]["uid"], None)
            self._stopping.discard(pod["metadata"]["uid"])
        else:
            self._consider(pod)

    def _consider(self, pod: Json) -> None:
        if self._is_settled(pod):
            self._unsettled.discard(_key(pod))
        else:
            self._unsettled.add(_key(pod))

    def _is_settled(self, pod: Json) -> bool:
        if pod["metadata"].get("deletionTimestamp"):
            return False
        if pod["status"].get("phase") in ("Succeeded", "Failed"):
            return True
        runs_on = pod["spec"].get("restartPolicy", "Always") == "Always" and app_of(pod) not in self._faults
        entries = pod["status"].get("containerStatuses", [])
        up = bool(entries) and all("running" in entry["state"] for entry in entries)
        return runs_on and up and not _changed_images(pod)

    def tick(self, number: int) -> None:
        """Take every unsettled pod one step on, in key order."""
        self._tick = number
        for namespace, name in sorted(self._unsettled):
            pod = self._view.lookup("pods", namespace, name)
            if pod is not None and (number >= self._due.get(pod["metadata"]["uid"], 0) or self._is_to_stop(pod)):
                self._step(pod)

    def _is_to_stop(self, pod: Json) -> bool:
        """A deletion does not wait for what the pod had before it."""
        return bool(pod["metadata"].get("deletionTimestamp")) and pod["metadata"]["uid"] not in self._stopping

    def _wait(self, pod: Json, ticks: int) -> None:
        self._due[pod["metadata"]["uid"]] = self._tick + ticks

    def _step(self, pod: Json) -> None:
        node_name = pod["spec"].get("nodeName")
        if not node_name:
            self._schedule(pod)
            return
        node = self._view.lookup("nodes", "", node_name)
        if node is not None and not is_node_ready(node):
            return  # nobody there to act; what is Terminating stays so
        if pod["metadata"].get("deletionTimestamp"):
            self._stop(pod)
        elif not pod["status"].get("containerStatuses"):
            self._change(pod, lambda new: pod_states.start_creating(new, node_address(node_name), self._view.now()))
        else:
            self._run_step(pod)

    def _change(self, pod: Json, change: Callable[[Json], object]) -> Json:
        new = self._view.copy_of("pods", pod)
        change(new)
        return self._view.save("pods", new, "kubelet")

    def _event(self, pod: Json, type_: str, reason: str, message: str, container: str = "") -> None:
        host = pod["spec"].get("nodeName", "")
        self._view.event(pod, type_, reason, message, "kubelet", host=host, container=container)

    def _schedule(self, pod: Json) -> None:
        if pod["metadata"].get("deletionTimestamp"):
            self._view.store.remove(self._view.resource("pods"), *_key(pod))
            return
        nodes = [stored.obj for stored in self._view.all("nodes")]
        verdict = choose_node(pod, nodes, (stored.obj for stored in self._view.all("pods")))
        if not verdict.node:
            self._change(pod, lambda new: pod_states.unschedulable(new, verdict.message, self._view.now()))
            self._view.event(pod, "Warning", "FailedScheduling", verdict.message, "default-scheduler")
            self._wait(pod, RETRY_SCHEDULING_TICKS)
            return

        def bind(new: Json) -> None:
            pod_states.bind(new, verdict.node, self._view.now())
            pod_states.start_creating(new, node_address(verdict.node), self._view.now())

        bound = self._change(pod, bind)
        text = f"Successfully assigned {pod['metadata']['namespace']}/{pod['metadata']['name']} to {verdict.node}"
        self._view.event(bound, "Normal", "Scheduled", text, "default-scheduler")
        self._wait(pod, 1)

    def _stop(self, pod: Json) -> None:
        """First the containers are told to stop; two ticks later the pod is gone."""
        uid = pod["metadata"]["uid"]
        if uid not in self._stopping:
            for container in pod["spec"]["containers"]:
                text = "Stopping container " + container["name"]
                self._event(pod, "Normal", "Killing", text, container["name"])
            self._stopping.add(uid)
            self._wait(pod, 2)
        elif not pod["metadata"].get("finalizers"):
            self._view.store.remove(self._view.resource("pods"), *_key(pod))

    def _run_step(self, pod: Json) -> None:
        missing = [c for c in pod["spec"]["containers"] if is_missing_image(c["image"])]
        entries = pod["status"]["containerStatuses"]
        if missing and any("running" not in entry["state"] for entry in entries):
            self._fail_pull(pod, missing[0])
        elif any(
            _waiting(entry) in ("ContainerCreating", "PodInitializing", "ErrImagePull", "ImagePullBackOff") for entry in entries
        ):
            self._start(pod)
        elif _changed_images(pod):
            self._swap_images(pod)
        else:
            self._live(pod, entries[0])

    def _start(self, pod: Json) -> None:
        node = pod["spec"]["nodeName"]
        host = pod["spec"].get("hostNetwork")
        address = node_address(node) if host else self._view.identifiers.pod_address(node_index(node))

        def start(new: Json) -> None:
            for entry, container in zip(new["status"]["containerStatuses"], new["spec"]["containers"], strict=True):
                entry["image"] = container["image"]
            pod_states.run(new, new["status"].get("podIP") or address, self._view.now(), self._view.identifiers)

        for container in pod["spec"]["containers"]:
            self._started_events(pod, container)
        self._change(pod, start)
        self._wait(pod, self._lifetime(pod))

    def _started_events(self, pod: Json, container: Json) -> None:
        text = f'Container image "{container["image"]}" already present on machine and can be accessed by the pod'
        self._event(pod, "Normal", "Pulled", text, container["name"])
        self._event(pod, "Normal", "Created", "Container created", container["name"])
        self._event(pod, "Normal", "Started", "Container started", container["name"])

    def _lifetime(self, pod: Json) -> int:
        """Ticks until the running pod has something ahead of it."""
        fault = self._faults.get(app_of(pod))
        return fault.runs_ticks if fault else behaviours.JOB_TICKS.get(app_of(pod), behaviours.DEFAULT_JOB_TICKS)

    def _fail_pull(self, pod: Json, container: Json) -> None:
        image, name = container["image"], container["name"]
        backing_off = any(_waiting(entry) == "ErrImagePull" for entry in pod["status"]["containerStatuses"])

        def fail(new: Json) -> None:
            for entry in new["status"]["containerStatuses"]:
                if entry["name"] == name:
                    entry["image"] = image
                    pod_states.fail_pull(entry, backing_off=backing_off)
            pod_states.settle(new, self._view.now())

        self._change(pod, fail)
        if backing_off:
            self._event(pod, "Normal", "BackOff", f'Back-off pulling image "{image}"', name)
            self._event(pod, "Warning", "Failed", "Error: ImagePullBackOff", name)
        else:
            failure = "rpc error: code = NotFound desc = " + pod_states.PULL_FAILURE.format(image=image)
            self._event(pod, "Normal", "Pulling", f'Pulling image "{image}"', name)
            self._event(pod, "Warning", "Failed", f'Failed to pull image "{image}": {failure}', name)
            self._event(pod, "Warning", "Failed", "Error: ErrImagePull", name)
        self._wait(pod, RETRY_PULL_TICKS if backing_off else 1)

    def _swap_images(self, pod: Json) -> None:
        """A pod whose image was changed in place: the container is restarted with it."""

        def swap(new: Json) -> None:
            for entry, container in zip(new["status"]["containerStatuses"], new["spec"]["containers"], strict=True):
                if entry["image"] != container["image"]:
                    pod_states.restart(new, entry, container, self._view.now(), self._view.identifiers)

        for container in pod["spec"]["containers"]:
            text = f"Container {container['name']} definition changed, will be restarted"
            self._event(pod, "Normal", "Killing", text, container["name"])
        self._change(pod, swap)

    def _live(self, pod: Json, entry: Json) -> None:
        """Running, ended or backing off: faults take their course, jobs come to their end."""
        fault = self._faults.get(app_of(pod))
        if "running" in entry["state"]:
            if pod["metadata"]["uid"] not in self._due:
                self._wait(pod, self._lifetime(pod))
            elif fault is None:
                self._end(pod, 0, "Completed")
            elif fault.healed(pod, self._view.lookup):
                self._wait(pod, fault.runs_ticks)
            else:
                self._end(pod, fault.exit_code, fault.reason)
                self._wait(pod, 1)
        elif "terminated" in entry["state"] and fault is not None and fault.waits_ticks > 10:
            self._back_off(pod, fault)
        else:
            self._restart(pod)

    def _end(self, pod: Json, exit_code: int, reason: str) -> None:
        def end(new: Json) -> None:
            for entry in new["status"]["containerStatuses"]:
                if "running" in entry["state"]:
                    started = parse_time(entry["state"]["running"]["startedAt"])
                    pod_states.end_container(entry, exit_code, reason, started, self._view.now())
                    entry["ready"] = False
            pod_states.settle(new, self._view.now())

        self._change(pod, end)

    def _back_off(self, pod: Json, fault: Fault) -> None:
        def wait(new: Json) -> None:
            entry = new["status"]["containerStatuses"][0]
            delay = min(10 * 2 ** entry["restartCount"], 300)
            text = f"{delay // 60}m{delay % 60}s" if delay >= 60 else f"{delay}s"
            pod_states.back_off(new, entry, text)
            pod_states.settle(new, self._view.now())

        self._change(pod, wait)
        metadata, container = pod["metadata"], pod["spec"]["containers"][0]["name"]
        text = (
            f"Back-off restarting failed container {container} in pod "
            f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
        )
        self._event(pod, "Warning", "BackOff", text, container)
        self._wait(pod, fault.waits_ticks)

    def _restart(self, pod: Json) -> None:
        container = pod["spec"]["containers"][0]

        def restart(new: Json) -> None:
            entry = new["status"]["containerStatuses"][0]
            pod_states.restart(new, entry, container, self._view.now(), self._view.identifiers)

        self._started_events(pod, container)
        self._change(pod, restart)
        self._wait(pod, self._lifetime(pod))


def _key(pod: Json) -> tuple[str, str]:
    return pod["metadata"].get("namespace", ""), pod["metadata"]["name"]


def _waiting(entry: Json) -> str:
    return str((entry["state"].get("waiting") or {}).get("reason", ""))


def _changed_images(pod: Json) -> bool:
    entries = pod["status"].get("containerStatuses", [])
    images = {entry["name"]: entry["image"] for entry in entries}
    return bool(entries) and any(images.get(c["name"], c["image"]) != c["image"] for c in pod["spec"]["containers"])
