"""k8s_node on the real API server: what a drain evicts, what stays, what disruption budgets hold back."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from controlplane.control_plane import ControlPlane
from controlplane.polling import wait_until
from mcp_tools.drain_plan import drain_plan
from server_fixtures import ToolClient

NODE = "k8s_node"
_numbers = itertools.count()


@pytest.fixture
def node(control_plane: ControlPlane) -> Iterator[str]:
    """A node of its own, that nothing is scheduled to unless it is named."""
    name = f"drained-{next(_numbers)}"
    control_plane.create_nodes([name])
    taint = {"key": "testcluster/drained", "effect": "NoSchedule"}
    control_plane.api.patch(f"/api/v1/nodes/{name}", {"spec": {"taints": [taint]}})
    yield name
    control_plane.api.delete(f"/api/v1/nodes/{name}")


def replicas_on(control_plane: ControlPlane, namespace: str, node: str, count: int, **spec: Any) -> None:
    """A ReplicaSet whose pods run on the node, and new ones nowhere."""
    toleration = {"key": "testcluster/drained", "operator": "Exists", "effect": "NoSchedule"}
    pod = {
        "containers": [{"name": "app", "image": "example/web:1"}],
        "nodeSelector": {"kubernetes.io/hostname": node},
        "tolerations": [toleration],
        "terminationGracePeriodSeconds": 0,
    } | spec
    labels = {"app": "web"}
    body = {
        "metadata": {"name": "web"},
        "spec": {
            "replicas": count,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    control_plane.api.post(f"/apis/apps/v1/namespaces/{namespace}/replicasets", body)
    wait_until(lambda: len(running(control_plane, namespace)) == count, f"{count} pods on {node}")


def running(control_plane: ControlPlane, namespace: str) -> list[str]:
    pods = control_plane.api.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
    return [
        pod["metadata"]["uid"]
        for pod in pods
        if any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))
    ]


def budget(control_plane: ControlPlane, namespace: str, min_available: int) -> None:
    path = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
    control_plane.api.post(
        path,
        {"metadata": {"name": "keep-web"}, "spec": {"minAvailable": min_available, "selector": {"matchLabels": {"app": "web"}}}},
    )
    wait_until(
        lambda: control_plane.api.get(f"{path}/keep-web").get("status", {}).get("currentHealthy", 0) >= min_available,
        "the budget to be counted",
    )


def unschedulable(control_plane: ControlPlane, node: str) -> bool:
    return bool(control_plane.api.get(f"/api/v1/nodes/{node}")["spec"].get("unschedulable"))


def test_cordon_and_uncordon(tools: ToolClient, control_plane: ControlPlane, node: str) -> None:
    tried = tools(NODE, name=node, action="cordon", dry_run=True)
    assert {"path": "spec.unschedulable", "old": None, "new": True} in tried["changes"]
    assert not unschedulable(control_plane, node)
    assert tools(NODE, name=node, action="cordon")["note"] == f"cordoned Node {node}"
    assert unschedulable(control_plane, node)
    again = tools(NODE, name=node, action="cordon")
    assert (again["changes"], again["note"]) == ([], f"Node {node} is cordoned already; nothing changed")
    tools(NODE, name=node, action="uncordon")
    tried = tools(NODE, name=node, action="uncordon", dry_run=True)
    assert tried["note"] == f"Node {node} is uncordoned already; nothing would change"
    assert not unschedulable(control_plane, node)
    error = tools.error(NODE, name=node, action="cordon", resource_version="1")
    assert (error["type"], error["status"]) == ("Conflict", 409)


def test_a_dry_run_of_a_drain_tries_each_eviction_and_evicts_nothing(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str, node: str
) -> None:
    replicas_on(control_plane, fresh_namespace, node, 2)
    before = running(control_plane, fresh_namespace)
    mark = control_plane.audit.mark()
    tried = tools(NODE, name=node, action="drain", dry_run=True)
    assert "evict 2 of 2 pods" in tried["note"]
    sent = [one for one in control_plane.audit.requests(mark, user_agent="k8s-mcp/") if one.verb in ("create", "patch")]
    assert [(one.resource, one.dry_run) for one in sent] == [("nodes", True), ("pods", True), ("pods", True)]
    assert running(control_plane, fresh_namespace) == before
    assert not unschedulable(control_plane, node)


def test_a_drain_respects_disruption_budgets_and_names_them_and_a_repeated_one_goes_on(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str, node: str
) -> None:
    replicas_on(control_plane, fresh_namespace, node, 2)
    before = set(running(control_plane, fresh_namespace))
    budget(control_plane, fresh_namespace, 2)
    tried = tools(NODE, name=node, action="drain", dry_run=True)
    assert "keep-web" in " ".join(tried["warnings"])
    path = f"/apis/policy/v1/namespaces/{fresh_namespace}/poddisruptionbudgets/keep-web"
    control_plane.api.patch(path, {"spec": {"minAvailable": 1}})
    wait_until(lambda: control_plane.api.get(path)["status"]["disruptionsAllowed"] == 1, "the budget to allow one")
    tried = tools(NODE, name=node, action="drain", dry_run=True)
    assert f"evict 2 of 2 pods: {fresh_namespace}/web-" in tried["note"]
    assert f"at most 1 of 2 at once (PodDisruptionBudget {fresh_namespace}/keep-web)" in tried["note"]
    assert {one["action"] for one in tried["objects"][1:]} == {"would evict"}
    control_plane.api.patch(path, {"spec": {"minAvailable": 2}})
    wait_until(lambda: control_plane.api.get(path)["status"]["disruptionsAllowed"] == 0, "the budget to allow none")
    answer = tools(NODE, name=node, action="drain", wait_seconds=1)
    assert unschedulable(control_plane, node)
    assert set(running(control_plane, fresh_namespace)) == before
    assert "2 may not go now (PodDisruptionBudget)" in answer["note"]
    assert all("budget keep-web needs 2 healthy pods and has 2" in warning for warning in answer["warnings"])
    assert {one["action"] for one in answer["objects"][1:]} == {"blocked"}
    control_plane.api.delete(f"/apis/policy/v1/namespaces/{fresh_namespace}/poddisruptionbudgets/keep-web")
    done = tools(NODE, name=node, action="drain", wait_seconds=15)
    assert "2 of 2 pods are gone" in done["note"]
    assert "nothing remains to be evicted" in done["note"]
    assert not before & set(running(control_plane, fresh_namespace))


def test_a_pod_that_does_not_end_is_said_to_remain(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str, node: str
) -> None:
    control_plane.pods.create(fresh_namespace, "held", spec={"nodeName": node})
    control_plane.api.patch(f"/api/v1/namespaces/{fresh_namespace}/pods/held", {"metadata": {"finalizers": ["testcluster/hold"]}})
    answer = tools(NODE, name=node, action="drain", force=True, wait_seconds=0)
    assert "1 evicted ones are still ending" in answer["note"]
    assert "repeat the call" in answer["note"]
    control_plane.pods.release(fresh_namespace, "held")


def test_pods_that_would_be_lost_need_flags_and_nothing_is_done_without(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str, node: str
) -> None:
    control_plane.pods.create(fresh_namespace, "bare", spec={"nodeName": node, "volumes": [{"name": "tmp", "emptyDir": {}}]})
    error = tools.error(NODE, name=node, action="drain")
    assert "force=true" in error["message"]
    assert "delete_emptydir_data=true" in error["message"]
    assert not unschedulable(control_plane, node)
    assert "force=true" not in tools.error(NODE, name=node, action="drain", force=True)["message"]
    tools(NODE, name=node, action="drain", force=True, delete_emptydir_data=True, grace_period_seconds=0, wait_seconds=10)
    wait_until(lambda: not running(control_plane, fresh_namespace), "the pod to go")


def pod(
    name: str, *, owner: str = "", phase: str = "Running", annotations: dict[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    owners = [{"kind": owner, "name": "own", "controller": True}] if owner else []
    metadata = {"namespace": "n", "name": name, "uid": name, "ownerReferences": owners, "annotations": annotations or {}}
    return {"metadata": metadata, "spec": spec, "status": {"phase": phase}}


def test_daemonset_and_mirror_pods_stay_and_finished_ones_need_no_flag() -> None:
    pods = [
        pod("daemon", owner="DaemonSet"),
        pod("mirror", annotations={"kubernetes.io/config.mirror": "x"}),
        pod("done", phase="Succeeded", volumes=[{"name": "tmp", "emptyDir": {}}]),
        pod("web", owner="ReplicaSet"),
        pod("scratch", owner="ReplicaSet", volumes=[{"name": "tmp", "emptyDir": {}}]),
        pod("bare"),
    ]
    plan = drain_plan(pods, delete_emptydir_data=False, force=False)
    assert set(plan.stay) == {"n/daemon", "n/mirror"}
    assert [one["metadata"]["name"] for one in plan.evict] == ["done", "web"]
    assert set(plan.in_the_way) == {"n/scratch", "n/bare"}
    forced = drain_plan(pods, delete_emptydir_data=True, force=True)
    assert (len(forced.evict), forced.in_the_way, forced.stay) == (4, {}, plan.stay)
