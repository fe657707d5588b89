"""Volumes for claims, and what a new namespace gets; heartbeats of the nodes."""

from __future__ import annotations

import copy

from demo.api_status import Json
from demo.controllers.cluster_view import ClusterView
from demo.scheduling import is_node_ready
from demo.timestamps import rfc3339, rfc3339_micro

HEARTBEAT_TICKS = 10
NODE_STATUS_TICKS = 300


class Provisioner:
    """Binds new claims of a known storage class to a new volume."""

    def __init__(self, view: ClusterView) -> None:
        self._view = view

    def tick(self) -> None:
        for stored in self._view.all("persistentvolumeclaims"):
            claim = stored.obj
            if claim.get("status", {}).get("phase") == "Pending" and not claim["metadata"].get("deletionTimestamp"):
                self._bind(copy.deepcopy(claim))

    def _bind(self, claim: Json) -> None:
        metadata, spec = claim["metadata"], claim["spec"]
        class_name = spec.setdefault("storageClassName", "standard")
        storage_class = self._view.lookup("storageclasses.storage.k8s.io", "", class_name)
        if storage_class is None:
            text = f'storageclass.storage.k8s.io "{class_name}" not found'
            self._view.event(claim, "Warning", "ProvisioningFailed", text, "persistentvolume-controller")
            return
        volume, size = f"pvc-{metadata['uid']}", dict(spec.get("resources", {}).get("requests", {}))
        reference = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": metadata["name"],
                     "namespace": metadata["namespace"], "uid": metadata["uid"]}  # fmt: skip
        volume_spec = {
            "capacity": size, "accessModes": spec.get("accessModes", []), "claimRef": reference, "storageClassName": class_name,
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy", "Delete"), "volumeMode": "Filesystem",
            "csi": {"driver": storage_class["provisioner"], "volumeHandle": f"vol-{metadata['uid'][:12]}", "fsType": "ext4"},
        }  # fmt: skip
        made = self._view.create(
            "persistentvolumes",
            {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume}, "spec": volume_spec},
        )
        self._view.save_status("persistentvolumes", made, {"phase": "Bound"})
        spec["volumeName"] = volume
        claim["status"] = {"phase": "Bound", "accessModes": spec.get("accessModes", []), "capacity": size}
        self._view.save("persistentvolumeclaims", claim)


class NamespaceFurnisher:
    """A default ServiceAccount and the root certificate for every namespace."""

    def __init__(self, view: ClusterView) -> None:
        self._view = view

    def tick(self) -> None:
        for stored in self._view.all("namespaces"):
            name = stored.obj["metadata"]["name"]
            leaving = stored.obj["metadata"].get("deletionTimestamp")
            if leaving or self._view.lookup("serviceaccounts", name, "default") is not None:
                continue
            metadata = {"name": "default", "namespace": name}
            self._view.create("serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
            source = self._view.lookup("configmaps", "default", "kube-root-ca.crt") or {"data": {}}
            if self._view.lookup("configmaps", name, "kube-root-ca.crt") is None:
                config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kube-root-ca.crt", "namespace": name}}
                self._view.create("configmaps", {**config, "data": dict(source["data"])})


class Heartbeats:
    """Leases every ten ticks, node statuses every three hundred; a lost node sends none."""

    def __init__(self, view: ClusterView) -> None:
        self._view = view

    def tick(self, number: int) -> None:
        if number % HEARTBEAT_TICKS:
            return
        now = self._view.now()
        for stored in self._view.all("nodes"):
            node = stored.obj
            if not is_node_ready(node):
                continue
            lease = self._view.lookup("leases.coordination.k8s.io", "kube-node-lease", node["metadata"]["name"])
            if lease is not None:
                spec = {**lease["spec"], "renewTime": rfc3339_micro(now)}
                self._view.save(
                    "leases.coordination.k8s.io",
                    {**lease, "metadata": dict(lease["metadata"]), "spec": spec},
                    "kubelet",
                    status=False,
                )
            if number % NODE_STATUS_TICKS == 0:
                status = copy.deepcopy(node["status"])
                for condition in status["conditions"][1:]:
                    condition["lastHeartbeatTime"] = rfc3339(now)
                self._view.save_status("nodes", node, status, "kubelet")
