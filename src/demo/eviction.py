"""Eviction: a delete of a pod that takes one of the disruptions which its PodDisruptionBudget allows.

Source: k8s.io/kubernetes pkg/registry/core/pod/storage/eviction.go.
"""

from __future__ import annotations

from demo import api_status
from demo.api_status import Json
from demo.deletion import DeleteOptions, Deleter
from demo.object_api import ObjectApi
from demo.pod_states import is_ready
from demo.resources import Resource
from demo.selectors import matches_labels
from demo.store import Stored
from demo.timestamps import rfc3339

_REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."
_SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
_AGAIN_SECONDS = 10


def evict(api: ObjectApi, deleter: Deleter, namespace: str, name: str, options: DeleteOptions) -> None:
    """Delete a pod unless its budget forbids it: ApiError 429 then, 500 when several budgets select it."""
    pods, budgets = api.table.by_key("pods"), api.table.by_key("poddisruptionbudgets.policy")
    pod = api.get(pods, namespace, name).obj
    if not _counts_for_no_budget(pod):
        found = [one for one in api.store.in_namespace(budgets, namespace) if _selects(one.obj, pod)]
        if len(found) > 1:
            raise api_status.ApiError(500, "", _SEVERAL)  # without a reason, as the real one
        if found and not _may_go_unhealthy(found[0].obj, pod):
            _take_one(api, budgets, found[0], name, dry_run=options.dry_run)
    deleter.delete(pods, namespace, name, options)


def _counts_for_no_budget(pod: Json) -> bool:
    phase = pod["status"].get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or bool(pod["metadata"].get("deletionTimestamp"))


def _selects(budget: Json, pod: Json) -> bool:
    return matches_labels(budget["spec"].get("selector"), pod["metadata"].get("labels") or {})


def _may_go_unhealthy(budget: Json, pod: Json) -> bool:
    """A pod that is not ready goes without taking a disruption, by default while enough others are healthy."""
    if is_ready(pod):
        return False
    status = budget.get("status", {})
    enough = bool(status.get("currentHealthy", 0) >= status.get("desiredHealthy", 0) > 0)
    return enough or budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow"


def _take_one(api: ObjectApi, budgets: Resource, stored: Stored, pod: str, *, dry_run: bool) -> None:
    budget = stored.copy()
    name, status = budget["metadata"]["name"], budget.get("status", {})
    if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 1):
        raise _refused(f"The disruption budget {name} is still being processed by the server.", _AGAIN_SECONDS)
    if status.get("disruptionsAllowed", 0) <= 0:
        raise _refused(
            f"The disruption budget {name} needs {status.get('desiredHealthy', 0)} healthy pods "
            f"and has {status.get('currentHealthy', 0)} currently"
        )
    status["disruptionsAllowed"] -= 1
    status["disruptedPods"] = {**status.get("disruptedPods", {}), pod: rfc3339(api.clock())}
    if not status["disruptionsAllowed"]:
        for condition in status.get("conditions", ()):
            if condition["type"] == "DisruptionAllowed":
                condition.update(status="False", reason="InsufficientPods")
    if not dry_run:
        api.store.put(budgets, budget)


def _refused(cause: str, retry_after_seconds: int = 0) -> api_status.ApiError:
    return api_status.too_many_requests(_REFUSED, [{"reason": "DisruptionBudget", "message": cause}], retry_after_seconds)
