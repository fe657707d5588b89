"""What follows from pods: endpoints of Services, counts of budgets and quotas. Looked at only after a change."""

from __future__ import annotations

from collections import Counter

from demo import endpoint_objects, pod_states, workload_status
from demo.api_status import Json
from demo.controllers.cluster_view import ClusterView
from demo.pod_states import is_active
from demo.resources import Resource
from demo.scheduling import requests_of
from demo.selectors import matches_labels
from demo.store import Change

_WATCHED = ("pods", "services", "poddisruptionbudgets.policy", "resourcequotas")


class DerivedController:
    """Endpoints, EndpointSlices, PodDisruptionBudget and ResourceQuota statuses."""

    def __init__(self, view: ClusterView) -> None:
        self._view = view
        self._touched: set[str] = set()
        view.store.subscribe(self._changed)

    def _changed(self, resource: Resource, change: Change) -> None:
        if resource.key in _WATCHED:
            self._touched.add(change.stored.obj["metadata"].get("namespace", ""))

    def tick(self) -> None:
        touched, self._touched = sorted(self._touched), set()
        for namespace in touched:
            pods = self._view.pods_in(namespace)
            for stored in self._view.store.in_namespace(self._view.resource("services"), namespace):
                if stored.obj["spec"].get("selector"):
                    self._sync_service(stored.obj, pods)
            self._sync_policies(namespace, pods)
        self._touched -= set(touched)  # its own writes of statuses do not count

    def _sync_service(self, service: Json, pods: list[Json]) -> None:
        content = endpoint_objects.slice_content(service, pods)
        name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
        slices = self._view.children(service, "endpointslices.discovery.k8s.io")
        if not slices:
            labels = {
                "kubernetes.io/service-name": name,
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            }
            metadata = {"name": f"{name}-{self._view.identifiers.suffix()}", "namespace": namespace, "labels": labels,
                        "ownerReferences": [pod_states.owner_reference(service)]}  # fmt: skip
            head = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata}
            self._view.create("endpointslices.discovery.k8s.io", {**head, **content})
        elif any(slices[0].get(field) != content[field] for field in content):
            changed = {**slices[0], "metadata": dict(slices[0]["metadata"]), **content}
            self._view.save("endpointslices.discovery.k8s.io", changed, status=False)
        self._sync_endpoints(service, endpoint_objects.subsets(service, pods))

    def _sync_endpoints(self, service: Json, subsets: list[Json]) -> None:
        name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
        current = self._view.lookup("endpoints", namespace, name)
        extra = {"subsets": subsets} if subsets else {}
        if current is None:
            metadata: Json = {"name": name, "namespace": namespace}
            self._view.create("endpoints", {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, **extra})
        elif current.get("subsets", []) != subsets:
            bare = {key: value for key, value in current.items() if key != "subsets"}
            self._view.save("endpoints", {**bare, "metadata": dict(current["metadata"]), **extra}, status=False)

    def _sync_policies(self, namespace: str, pods: list[Json]) -> None:
        for stored in self._view.store.in_namespace(self._view.resource("poddisruptionbudgets.policy"), namespace):
            selector = stored.obj["spec"].get("selector")
            chosen = [pod for pod in pods if matches_labels(selector, pod["metadata"].get("labels", {}))]
            status = workload_status.budget_status(stored.obj, chosen, self._view.now())
            self._view.save_status("poddisruptionbudgets.policy", stored.obj, status)
        for stored in self._view.store.in_namespace(self._view.resource("resourcequotas"), namespace):
            hard = stored.obj["spec"].get("hard", {})
            status = {"hard": hard, "used": quota_use(hard, [pod for pod in pods if is_active(pod)])}
            self._view.save_status("resourcequotas", stored.obj, status)


def quota_use(hard: Json, pods: list[Json]) -> Json:
    """What the pods use of a quota's compute resources; other entries count as 0."""
    requests: Counter[str] = Counter()
    limits: Counter[str] = Counter()
    for pod in pods:
        requests.update(requests_of(pod))
        limits.update(requests_of(pod, "limits"))
    used = {}
    for name in hard:
        group, _, resource = name.rpartition(".")
        if name == "pods":
            used[name] = str(len(pods))
        else:
            amount = (limits if group == "limits" else requests)[resource]
            used[name] = _formatted(resource, amount)
    return used


def _formatted(resource: str, amount: float) -> str:
    if resource == "cpu":
        return str(int(amount)) if amount == int(amount) else f"{round(amount * 1000)}m"
    return f"{int(amount) // 2**20}Mi" if amount else "0"
