"""Deployments and ReplicaSets: revisions, rolling updates, the right number of pods."""

from __future__ import annotations

import copy

import orjson

from demo import pod_states, workload_status
from demo.api_status import Json
from demo.controllers.cluster_view import ClusterView
from demo.identifiers import template_hash
from demo.pod_states import is_active, is_ready
from demo.timestamps import parse_time

REVISION = "deployment.kubernetes.io/revision"
_HASH = "pod-template-hash"


class DeploymentController:
    """One sync of every Deployment a tick."""

    def __init__(self, view: ClusterView) -> None:
        self._view = view

    def tick(self) -> None:
        for stored in self._view.all("deployments.apps"):
            if not stored.obj["metadata"].get("deletionTimestamp"):
                self._sync(stored.obj)

    def _sync(self, deployment: Json) -> None:
        replicasets = self._view.children(deployment, "replicasets.apps")
        new = next((rs for rs in replicasets if _same_template(rs, deployment)), None)
        if new is None and not deployment["spec"].get("paused"):
            new = self._new_revision(deployment, replicasets)
            replicasets.append(new)
        elif new is not None:
            deployment = self._note_revision(deployment, new, replicasets)
        if new is not None:
            self._scale(deployment, new, [rs for rs in replicasets if rs is not new])
        replicasets = self._view.children(deployment, "replicasets.apps")
        new = next((rs for rs in replicasets if new and rs["metadata"]["uid"] == new["metadata"]["uid"]), None)
        status = workload_status.deployment_status(deployment, new, replicasets, self._view.now())
        self._view.save_status("deployments.apps", deployment, status)

    def _new_revision(self, deployment: Json, replicasets: list[Json]) -> Json:
        number = max((_revision(rs) for rs in replicasets), default=0) + 1
        self._annotate(deployment, number)
        metadata, spec = deployment["metadata"], deployment["spec"]
        template = copy.deepcopy(spec["template"])
        mark = template_hash(orjson.dumps([metadata["uid"], template]).decode())
        labels = template.setdefault("metadata", {}).setdefault("labels", {})
        labels[_HASH] = mark
        selector = copy.deepcopy(spec["selector"])
        selector.setdefault("matchLabels", {})[_HASH] = mark
        body: Json = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": f"{metadata['name']}-{mark}",
                "namespace": metadata["namespace"],
                "labels": labels,
                "annotations": {REVISION: str(number), "deployment.kubernetes.io/desired-replicas": str(spec["replicas"])},
                "ownerReferences": [pod_states.owner_reference(deployment)],
            },
            "spec": {"replicas": 0, "selector": selector, "template": template},
        }
        return self._view.create("replicasets.apps", body)

    def _note_revision(self, deployment: Json, new: Json, replicasets: list[Json]) -> Json:
        """An undo makes an old ReplicaSet the newest revision again."""
        newest = max(map(_revision, replicasets))
        if _revision(new) < newest:
            changed = copy.deepcopy(new)
            changed["metadata"]["annotations"][REVISION] = str(newest + 1)
            self._view.save("replicasets.apps", changed, status=False)
            return self._annotate(deployment, newest + 1)
        return self._annotate(deployment, _revision(new))

    def _annotate(self, deployment: Json, number: int) -> Json:
        changed = self._view.copy_of("deployments.apps", deployment)
        if (changed["metadata"].get("annotations") or {}).get(REVISION) == str(number):
            return changed
        changed["metadata"].setdefault("annotations", {})[REVISION] = str(number)
        return self._view.save("deployments.apps", changed, status=False)

    def _scale(self, deployment: Json, new: Json, old: list[Json]) -> None:
        """One step of the rollout: the new ReplicaSet up to the surge, the old ones down to the minimum."""
        wanted = deployment["spec"]["replicas"]
        most, fewest = workload_status.rollout_bounds(deployment)
        running_old = sum(rs["spec"]["replicas"] for rs in old)
        recreate = deployment["spec"].get("strategy", {}).get("type") == "Recreate"
        if recreate and any(rs.get("status", {}).get("replicas") for rs in old):
            for rs in old:
                self._resize(deployment, rs, 0)
            return
        room = most - running_old - new["spec"]["replicas"]
        if deployment["spec"].get("paused") and running_old:
            return
        grown = min(wanted, new["spec"]["replicas"] + max(room, 0)) if running_old else wanted
        self._resize(deployment, new, grown)
        self._shrink_old(deployment, new, old, fewest)

    def _shrink_old(self, deployment: Json, new: Json, old: list[Json], fewest: int) -> None:
        ready_new = new.get("status", {}).get("availableReplicas", 0)
        unavailable_new = new["spec"]["replicas"] - ready_new
        total = new["spec"]["replicas"] + sum(rs["spec"]["replicas"] for rs in old)
        removable = total - fewest - unavailable_new
        for rs in old:  # what is broken goes first, it is no loss
            broken = rs["spec"]["replicas"] - rs.get("status", {}).get("availableReplicas", 0)
            step = min(max(broken, 0), max(removable, 0))
            removable -= step
            available = ready_new + sum(other.get("status", {}).get("availableReplicas", 0) for other in old)
            healthy_step = min(max(available - fewest, 0), max(removable, 0), rs["spec"]["replicas"] - step)
            removable -= healthy_step
            if step + healthy_step > 0:
                self._resize(deployment, rs, rs["spec"]["replicas"] - step - healthy_step)

    def _resize(self, deployment: Json, replicaset: Json, replicas: int) -> None:
        before = replicaset["spec"]["replicas"]
        if before == replicas:
            return
        changed = self._view.copy_of("replicasets.apps", replicaset)
        changed["spec"]["replicas"] = replicas
        changed["metadata"]["generation"] += 1
        self._view.save("replicasets.apps", changed, status=False)
        verb = "up" if replicas > before else "down"
        text = f"Scaled {verb} replica set {replicaset['metadata']['name']} from {before} to {replicas}"
        self._view.event(deployment, "Normal", "ScalingReplicaSet", text, "deployment-controller")


class ReplicaSetController:
    """One sync of every ReplicaSet a tick: pods up and down to `replicas`, and its status."""

    def __init__(self, view: ClusterView) -> None:
        self._view = view

    def tick(self) -> None:
        for stored in self._view.all("replicasets.apps"):
            replicaset = stored.obj
            if replicaset["metadata"].get("deletionTimestamp"):
                continue
            active = [pod for pod in self._view.pods_of(replicaset) if is_active(pod)]
            missing = replicaset["spec"]["replicas"] - len(active)
            for _ in range(min(missing, 500)):
                self._add_pod(replicaset)
            for pod in sorted(active, key=_removal_order)[: max(-missing, 0)]:
                self._view.delete("pods", pod)
                text = f"Deleted pod: {pod['metadata']['name']}"
                self._view.event(replicaset, "Normal", "SuccessfulDelete", text, "replicaset-controller")
            status = workload_status.replicaset_status(replicaset, self._view.pods_of(replicaset))
            self._view.save_status("replicasets.apps", replicaset, status)

    def _add_pod(self, replicaset: Json) -> None:
        prefix = f"{replicaset['metadata']['name'][:58]}-"
        name = prefix + self._view.identifiers.suffix()
        namespace = replicaset["metadata"]["namespace"]
        template = replicaset["spec"]["template"]
        pod = pod_states.pod_from_template(template, namespace, name, replicaset, self._view.identifiers, prefix)
        self._view.create("pods", pod)
        self._view.event(replicaset, "Normal", "SuccessfulCreate", f"Created pod: {name}", "replicaset-controller")


def _removal_order(pod: Json) -> tuple[bool, bool, float, str]:
    """Unassigned first, then not ready, then the youngest."""
    born = parse_time(pod["metadata"]["creationTimestamp"]).timestamp()
    return bool(pod["spec"].get("nodeName")), is_ready(pod), -born, pod["metadata"]["name"]


def _revision(replicaset: Json) -> int:
    return int((replicaset["metadata"].get("annotations") or {}).get(REVISION, 0))


def _same_template(replicaset: Json, deployment: Json) -> bool:
    template = replicaset["spec"]["template"]
    labels = {key: value for key, value in template["metadata"].get("labels", {}).items() if key != _HASH}
    bare = {**template, "metadata": {**template["metadata"], "labels": labels}}
    return bool(bare == deployment["spec"]["template"])
