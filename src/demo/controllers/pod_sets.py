"""StatefulSets, in order and with their claims, and DaemonSets, one pod a node."""

from __future__ import annotations

import orjson

from demo import pod_states, workload_status
from demo.api_status import Json
from demo.controllers.cluster_view import ClusterView
from demo.pod_states import REVISION_LABEL, is_active, is_ready
from demo.scheduling import accepts


class StatefulSetController:
    """Creates what is missing from the lowest ordinal up, removes from the highest down, one at a time."""

    def __init__(self, view: ClusterView) -> None:
        self._view = view

    def tick(self) -> None:
        for stored in self._view.all("statefulsets.apps"):
            if not stored.obj["metadata"].get("deletionTimestamp"):
                self._sync(stored.obj)

    def _sync(self, statefulset: Json) -> None:
        pods = {pod["metadata"]["name"]: pod for pod in self._view.pods_of(statefulset)}
        name, wanted = statefulset["metadata"]["name"], statefulset["spec"].get("replicas", 1)
        ordered = statefulset["spec"].get("podManagementPolicy") != "Parallel"
        for index in range(wanted):
            pod = pods.get(f"{name}-{index}")
            if pod is None:
                self._add_pod(statefulset, index)
            if ordered and (pod is None or not is_ready(pod)):
                break
        else:
            self._remove_surplus_or_outdated(statefulset, pods, wanted)
        status = workload_status.statefulset_status(statefulset, self._view.pods_of(statefulset))
        self._view.save_status("statefulsets.apps", statefulset, status)

    def _remove_surplus_or_outdated(self, statefulset: Json, pods: dict[str, Json], wanted: int) -> None:
        name = statefulset["metadata"]["name"]
        if any(pod["metadata"].get("deletionTimestamp") for pod in pods.values()):
            return
        current = f"{name}-{pod_states.revision_hash(statefulset['spec']['template'])}"
        for index in sorted((int(pod_name.rpartition("-")[2]) for pod_name in pods), reverse=True):
            pod = pods[f"{name}-{index}"]
            if index >= wanted or pod["metadata"]["labels"].get(REVISION_LABEL) != current:
                self._view.delete("pods", pod)
                text = f"delete Pod {name}-{index} in StatefulSet {name} successful"
                self._view.event(statefulset, "Normal", "SuccessfulDelete", text, "statefulset-controller")
                return

    def _add_pod(self, statefulset: Json, index: int) -> None:
        name, namespace = statefulset["metadata"]["name"], statefulset["metadata"]["namespace"]
        for claim in statefulset["spec"].get("volumeClaimTemplates") or ():
            self._add_claim(statefulset, claim, f"{claim['metadata']['name']}-{name}-{index}")
        source = pod_states.ordinal_template(statefulset, index)
        pod = pod_states.pod_from_template(source, namespace, f"{name}-{index}", statefulset, self._view.identifiers, f"{name}-")
        self._view.create("pods", pod)
        text = f"create Pod {name}-{index} in StatefulSet {name} successful"
        self._view.event(statefulset, "Normal", "SuccessfulCreate", text, "statefulset-controller")

    def _add_claim(self, statefulset: Json, template: Json, name: str) -> None:
        namespace = statefulset["metadata"]["namespace"]
        if self._view.lookup("persistentvolumeclaims", namespace, name) is None:
            labels = statefulset["spec"]["selector"].get("matchLabels", {})
            spec = orjson.loads(orjson.dumps(template["spec"]))
            metadata = {"name": name, "namespace": namespace, "labels": dict(labels)}
            claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}
            self._view.create("persistentvolumeclaims", claim)


class DaemonSetController:
    """A pod on every node whose taints and labels allow it; outdated ones are replaced one by one."""

    def __init__(self, view: ClusterView) -> None:
        self._view = view

    def tick(self) -> None:
        for stored in self._view.all("daemonsets.apps"):
            if not stored.obj["metadata"].get("deletionTimestamp"):
                self._sync(stored.obj)

    def _sync(self, daemonset: Json) -> None:
        pods = self._view.pods_of(daemonset)
        source = self._template(daemonset)
        nodes = [node.obj["metadata"]["name"] for node in self._view.all("nodes") if accepts(node.obj, source)]
        covered = {pod["spec"].get("nodeName") for pod in pods}
        for node in nodes:
            if node not in covered:
                self._add_pod(daemonset, source, node)
        for pod in pods:
            if is_active(pod) and pod["spec"].get("nodeName") not in nodes:
                self._view.delete("pods", pod)
        self._replace_outdated(daemonset, pods)
        status = workload_status.daemonset_status(daemonset, self._view.pods_of(daemonset), len(nodes))
        self._view.save_status("daemonsets.apps", daemonset, status)

    @staticmethod
    def _template(daemonset: Json) -> Json:
        source: Json = orjson.loads(orjson.dumps(daemonset["spec"]["template"]))
        source["spec"]["tolerations"] = [*source["spec"].get("tolerations", ()), *pod_states.daemon_tolerations()]
        labels = source.setdefault("metadata", {}).setdefault("labels", {})
        labels.update({REVISION_LABEL: pod_states.revision_hash(daemonset["spec"]["template"]), "pod-template-generation": "1"})
        return source

    def _replace_outdated(self, daemonset: Json, pods: list[Json]) -> None:
        current = pod_states.revision_hash(daemonset["spec"]["template"])
        outdated = [pod for pod in pods if pod["metadata"]["labels"].get(REVISION_LABEL) != current]
        if outdated and all(is_active(pod) for pod in pods):
            broken_first = sorted(outdated, key=lambda pod: (is_ready(pod), pod["metadata"]["name"]))
            self._view.delete("pods", broken_first[0])

    def _add_pod(self, daemonset: Json, source: Json, node: str) -> None:
        prefix = f"{daemonset['metadata']['name']}-"
        name, namespace = prefix + self._view.identifiers.suffix(), daemonset["metadata"]["namespace"]
        pod = pod_states.pod_from_template(source, namespace, name, daemonset, self._view.identifiers, prefix)
        pod["spec"]["nodeName"] = node
        self._view.create("pods", pod)
        self._view.event(daemonset, "Normal", "SuccessfulCreate", f"Created pod: {name}", "daemonset-controller")
