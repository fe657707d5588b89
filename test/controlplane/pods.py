"""Creates pods that run, pods that fail in a chosen way, and thousands of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from controlplane import stages
from controlplane.api_client import ApiClient, Object
from controlplane.polling import wait_until

IMAGE = "registry.example/shop/app:1.4.2"


class Pods:
    """Pods of one cluster. ``state`` is one of stages.FAILING_STATES: what kubectl then prints as STATUS.

    Two of them print otherwise: NotReady is Running with 0/1 ready, and Running holds a Job's pod from completing.
    """

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    def create(
        self,
        namespace: str,
        name: str,
        state: str | None = None,
        *,
        restarts: int | None = None,
        reason: str | None = None,
        exit_code: int | None = None,
        restart_every: str | None = None,
        only_container: str | None = None,
        spec: Object | None = None,
        labels: Object | None = None,
        annotations: Object | None = None,
        wait: bool = True,
    ) -> Object:
        """Creates a bare pod and, unless told otherwise, waits until it has reached its state.

        ``spec`` is merged over a spec with one container ``app`` (give ``initContainers`` for Init:CrashLoopBackOff,
        else one is added). Returns the pod as the API server has it.
        """
        chosen = failing(state, restarts, reason, exit_code, restart_every, only_container) if state else {}
        whole_spec = {"containers": [{"name": "app", "image": IMAGE}]} | (spec or {})
        if state == "Init:CrashLoopBackOff":
            whole_spec.setdefault("initContainers", [{"name": "migrate", "image": IMAGE}])
        metadata = {"name": name, "labels": labels or {"app": name}, "annotations": chosen | (annotations or {})}
        pod: Object = self._api.post(f"/api/v1/namespaces/{namespace}/pods", {"metadata": metadata, "spec": whole_spec})
        return self.wait(namespace, name, _started) if wait else pod

    def create_unschedulable(self, namespace: str, name: str) -> Object:
        """A pod that fits no node; returns it when the scheduler has said so (a FailedScheduling event follows)."""
        self.create(namespace, name, spec={"nodeSelector": {"testcluster/nowhere": "true"}}, wait=False)
        return self.wait(namespace, name, _unschedulable)

    def create_terminating(self, namespace: str, name: str) -> Object:
        """A pod that hangs in Terminating: a finalizer holds it. ``release`` lets it go."""
        path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        self.create(namespace, name)
        self._api.patch(path, {"metadata": {"finalizers": ["testcluster/hold"]}})
        self._api.delete(path)
        return self.wait(namespace, name, lambda pod: "deletionTimestamp" in pod["metadata"])

    def release(self, namespace: str, name: str) -> None:
        self._api.patch(f"/api/v1/namespaces/{namespace}/pods/{name}", {"metadata": {"finalizers": None}})

    def get(self, namespace: str, name: str) -> Object:
        pod: Object = self._api.get(f"/api/v1/namespaces/{namespace}/pods/{name}")
        return pod

    def wait(self, namespace: str, name: str, condition: Callable[[Object], Any], *, timeout_seconds: float = 15) -> Object:
        """Returns the pod as soon as the condition holds for it."""

        def holds() -> Object | None:
            pod = self.get(namespace, name)
            return pod if condition(pod) else None

        return wait_until(holds, f"pod {namespace}/{name}", timeout_seconds=timeout_seconds)

    def create_many(self, count: int, *, namespaces: list[str], nodes: list[str], patch_status: bool, threads: int = 8) -> None:
        """Creates bare pods, spread evenly over existing namespaces and nodes, without waiting for them.

        With ``patch_status`` each is made Running by this process (a cluster without KWOK); else KWOK does it.
        """

        def create(index: int) -> None:
            namespace, node = namespaces[index % len(namespaces)], nodes[index % len(nodes)]
            pods = f"/api/v1/namespaces/{namespace}/pods"
            pod = self._api.post(pods, bulk_pod(index, node))
            if patch_status:
                name = pod["metadata"]["name"]
                self._api.patch(f"{pods}/{name}/status", {"status": running_status(pod, index)})

        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(create, range(count)):
                pass

    def count(self, *, phase: str | None = None) -> int:
        """The number of pods in the cluster, exact; with a phase, by reading them page by page."""
        if phase is None:
            page = self._api.get("/api/v1/pods?limit=1")
            return len(page["items"]) + int(page["metadata"].get("remainingItemCount", 0))
        total, token = 0, ""
        while True:
            page = self._api.get(f"/api/v1/pods?limit=500&fieldSelector=status.phase%3D{phase}&continue={token}")
            total += len(page["items"])
            token = page["metadata"].get("continue", "")
            if not token:
                return total


def failing(
    state: str,
    restarts: int | None = None,
    reason: str | None = None,
    exit_code: int | None = None,
    restart_every: str | None = None,
    only_container: str | None = None,
) -> dict[str, str]:
    """The annotations that send a pod into a state; for the pod template of a Deployment too."""
    if state not in stages.FAILING_STATES:
        raise ValueError(f"no pod state {state!r}; there are {', '.join(stages.FAILING_STATES)}")
    chosen = {
        stages.STATE: state,
        stages.RESTARTS: restarts,
        stages.REASON: reason,
        stages.EXIT_CODE: exit_code,
        stages.RESTART_EVERY: restart_every,
        stages.CONTAINER: only_container,
    }
    return {key: str(value) for key, value in chosen.items() if value is not None}


def _started(pod: Object) -> bool:
    return "startTime" in pod["status"]


def _unschedulable(pod: Object) -> bool:
    return any(condition.get("reason") == "Unschedulable" for condition in pod["status"].get("conditions", []))


def bulk_pod(index: int, node: str) -> Object:
    """A pod of ordinary size: labels, environment, resources, probes, volumes."""
    app = f"service-{index % 97:02d}"
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10, "timeoutSeconds": 2}
    container = {
        "name": "app",
        "image": f"registry.example/shop/{app}:1.{index % 7}.0",
        "args": ["--listen=:8080", "--log-level=info"],
        "env": [
            {"name": "LOG_LEVEL", "value": "info"},
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": app, "key": "password"}}},
        ],
        "ports": [{"name": "http", "containerPort": 8080}],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "livenessProbe": probe,
        "readinessProbe": probe,
        "volumeMounts": [{"name": "config", "mountPath": "/etc/app"}],
    }
    labels = {"app.kubernetes.io/name": app, "app.kubernetes.io/part-of": "shop", "tier": ("web", "api", "jobs")[index % 3]}
    return {
        "metadata": {"name": f"{app}-{index:05d}", "labels": labels, "annotations": {"prometheus.io/scrape": "true"}},
        "spec": {"nodeName": node, "containers": [container], "volumes": [{"name": "config", "configMap": {"name": app}}]},
    }


def running_status(pod: Object, index: int) -> Object:
    """What a kubelet would report for a healthy pod."""
    since = pod["metadata"]["creationTimestamp"]
    conditions = ("Initialized", "Ready", "ContainersReady", "PodScheduled")
    address = f"10.{index >> 16 & 255}.{index >> 8 & 255}.{index & 255}"
    container = pod["spec"]["containers"][0]
    return {
        "phase": "Running",
        "startTime": since,
        "hostIP": "127.0.0.1",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [{"type": kind, "status": "True", "lastTransitionTime": since} for kind in conditions],
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": container["image"],
                "ready": True,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": since}},
            }
        ],
    }
