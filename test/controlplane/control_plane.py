"""ControlPlane: what tests and script/testcluster do with a running cluster."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from controlplane.api_client import ApiClient, ApiError, Object, post_to_unix_socket
from controlplane.audit import AuditLog
from controlplane.binaries import Binaries
from controlplane.clusters import RunningCluster
from controlplane.components import ADMIN, TOOLING, kubeconfig_path, read_token
from controlplane.options import ClusterOptions
from controlplane.pod_logs import PodLogs
from controlplane.pods import Pods
from controlplane.polling import wait_until
from controlplane.supervisor import API_SERVER
from controlplane.users import Users


class ControlPlane:
    """A running cluster. Its own requests act as user ``testcluster:tooling``, apart from everybody else's."""

    def __init__(self, cluster: RunningCluster, binaries: Binaries) -> None:
        self.cluster = cluster
        self.binaries = binaries
        self.name = cluster.name
        self.folder = cluster.folder
        self.server = cluster.server
        self.options = ClusterOptions.read(cluster.folder)
        self.ca_file = self.folder / "ca.crt"
        self.kubeconfig = kubeconfig_path(self.folder, ADMIN)
        self.context = f"testcluster-{self.name}"
        """The name of the only context in every kubeconfig of this cluster."""
        self.admin_token = read_token(self.folder, ADMIN)
        self.api = ApiClient(self.server, self.ca_file, read_token(self.folder, TOOLING))
        self.api_server = ApiServer(cluster)
        self.audit = AuditLog(self.folder / "audit.log", self.api)
        self.pods = Pods(self.api)
        self.logs = PodLogs(self.api, self.folder / "pod-logs")
        self.users = Users(self.api, self.folder, self.server)

    def stop(self) -> None:
        """Ends every process and removes the folder."""
        self.cluster.stop()

    def kubectl(self, *arguments: str, stdin: str | None = None, kubeconfig: Path | None = None) -> str:
        """Runs kubectl as the tooling's user (or with another kubeconfig) and returns its stdout.

        Raises subprocess.CalledProcessError, whose ``stderr`` holds kubectl's message.
        """
        done = subprocess.run(
            [str(self.binaries.kubectl), *arguments],
            env=self.kubectl_environment(kubeconfig or kubeconfig_path(self.folder, TOOLING)),
            input=stdin,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def kubectl_environment(self, kubeconfig: Path | None = None) -> dict[str, str]:
        """An environment for kubectl that leaves nothing in the home directory."""
        cache = str(self.folder / "kubectl-cache")
        return {"PATH": os.defpath, "KUBECONFIG": str(kubeconfig or self.kubeconfig), "KUBECACHEDIR": cache}

    def create_nodes(
        self, names: Iterable[str], *, cpu: str = "8", memory: str = "32Gi", pods: str = "110", labels: Object | None = None
    ) -> None:
        """Creates nodes played by KWOK and waits until all are Ready (without KWOK: just creates them)."""
        wanted = list(names)
        resources = {"cpu": cpu, "memory": memory, "pods": pods, "ephemeral-storage": "100Gi"}
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda name: self.api.post("/api/v1/nodes", node(name, resources, labels or {})), wanted))
        if self.options.controllers:
            wait_until(lambda: set(wanted) <= self.ready_nodes(), f"{len(wanted)} nodes to be Ready", timeout_seconds=60)

    def populate(self, *, nodes: int, pods: int) -> None:
        """Nodes ``node-0`` …, and bare pods over 50 namespaces ``shop-00`` …; waits for all to be Running."""
        names = [f"node-{number}" for number in range(nodes)]
        self.create_nodes(names, pods=str(max(110, pods)))
        if self.options.controllers:
            self.wait_for_default_account("default")
        if not pods:
            return
        namespaces = [f"shop-{number:02d}" for number in range(50)]
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(self.create_namespace, namespaces))
        self.pods.create_many(pods, namespaces=namespaces, nodes=names, patch_status=not self.options.controllers)
        wait_until(
            lambda: self.pods.count(phase="Running") >= pods, f"{pods} pods to run", timeout_seconds=300, interval_seconds=1
        )

    def ready_nodes(self) -> set[str]:
        """The names of the nodes that are Ready and that pods can be scheduled to."""
        return {
            item["metadata"]["name"]
            for item in self.api.get("/api/v1/nodes")["items"]
            if not any(taint["effect"] == "NoSchedule" for taint in item["spec"].get("taints", []))
            and any(c["type"] == "Ready" and c["status"] == "True" for c in item["status"].get("conditions", []))
        }

    def create_namespace(self, name: str, labels: Object | None = None) -> str:
        """Creates it, waits for the default ServiceAccount that pods need, and returns the name."""
        self.api.post("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels or {}}})
        accounts = f"/api/v1/namespaces/{name}/serviceaccounts"
        if not self.options.controllers:
            self.api.post(accounts, {"metadata": {"name": "default"}})
        self.wait_for_default_account(name)
        return name

    def wait_for_default_account(self, namespace: str) -> None:
        def exists() -> bool:
            with contextlib.suppress(ApiError):
                return bool(self.api.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/default"))
            return False

        wait_until(exists, f"the default ServiceAccount of {namespace}", timeout_seconds=30)

    def delete_namespace(self, name: str) -> None:
        """Asks for the deletion; does not wait for it."""
        with contextlib.suppress(ApiError):
            self.api.delete(f"/api/v1/namespaces/{name}")

    def expire_history(self) -> None:
        """Has etcd forget all older revisions: older continue tokens and resourceVersions get 410 Gone.

        Only for kinds that the API server does not cache: start the cluster with
        ``watch_cache_sizes="pods#0"`` (events are never cached). A list then answers HTTP 410;
        a watch answers HTTP 200 and an ERROR event of code 410.
        """
        socket_file = self.folder / "localhost:2379"
        # Two writes first: the compacted revision stays readable, and a watch from the one before starts with it.
        key = "dGVzdGNsdXN0ZXI="  # "testcluster", outside Kubernetes' own /registry
        for _ in range(2):
            revision = post_to_unix_socket(socket_file, "/v3/kv/put", {"key": key, "value": key})["header"]["revision"]
        post_to_unix_socket(socket_file, "/v3/kv/compaction", {"revision": revision, "physical": True})


class ApiServer:
    """Takes the API server away and brings it back, on the same port and the same data."""

    def __init__(self, cluster: RunningCluster) -> None:
        self._cluster = cluster

    def stop(self) -> None:
        """Kills it: connections break, and new ones are refused."""
        self._cluster.ask("stop", API_SERVER)

    def start(self) -> None:
        """Returns when it is ready again."""
        self._cluster.ask("start", API_SERVER)

    def restart(self) -> None:
        """Watches from before get 410 afterwards: its watch cache starts empty."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freezes it: connections are accepted by the kernel and nobody answers."""
        self._cluster.ask("pause", API_SERVER)

    def resume(self) -> None:
        self._cluster.ask("resume", API_SERVER)

    @contextlib.contextmanager
    def paused(self) -> Any:
        self.pause()
        try:
            yield
        finally:
            self.resume()

    @contextlib.contextmanager
    def stopped(self) -> Any:
        self.stop()
        try:
            yield
        finally:
            self.start()


def node(name: str, resources: Object, labels: Object) -> Object:
    standard = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    return {
        "metadata": {"name": name, "labels": standard | labels},
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "nodeInfo": {"kubeletVersion": "v1.36.3", "osImage": "KWOK", "operatingSystem": "linux", "architecture": "amd64"},
        },
    }
