"""How far a rollout is, held against the real kubectl on one API server, for states that controllers pass through or stay in.

No controller runs there, so each object keeps the status that it is given.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from control_plane_fixtures import launch
from controlplane.api_client import Object
from controlplane.binaries import Binaries
from controlplane.control_plane import ControlPlane
from server_fixtures import ToolClient

KINDS = {"deployments": "Deployment", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet"}
NO_ANSWER = "error: rollout status is only available for RollingUpdate strategy type"
ON_DELETE: Object = {"updateStrategy": {"type": "OnDelete"}}


@pytest.fixture(scope="module")
def still(control_plane_binaries: Binaries) -> Iterator[ControlPlane]:
    control_plane = launch(control_plane_binaries, nodes=0, controllers=False, audit=False)
    yield control_plane
    control_plane.stop()


@dataclass(frozen=True)
class Case:
    """`more` is what our words say beyond kubectl's line."""

    resource: str
    spec: Object = field(default_factory=dict)
    status: Object = field(default_factory=dict)
    done: bool = False
    failed: bool = False
    more: str = ""


def pods(wanted: int, ready: int, updated: int, *, available: int | None = None, revisions: str = "ab") -> Object:
    """Status of a StatefulSet or Deployment with so many pods."""
    counts = {"replicas": wanted, "readyReplicas": ready, "updatedReplicas": updated}
    there = ready if available is None else available
    return counts | {"availableReplicas": there, "currentRevision": revisions[0], "updateRevision": revisions[1]}


def deployed(*counts: int, **status: Any) -> Object:
    found = pods(*counts)
    return {name: value for name, value in found.items() if "Revision" not in name} | status


def daemons(wanted: int, updated: int, available: int) -> Object:
    return {"desiredNumberScheduled": wanted, "updatedNumberScheduled": updated, "numberAvailable": available}


def partitioned(partition: int) -> Object:
    return {"replicas": 3, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}}}


OVERDUE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "it took too long"}
CASES = {
    "deployment-unseen": Case("deployments", {"replicas": 3}, deployed(3, 3, 3, observedGeneration=0)),
    "deployment-updating": Case("deployments", {"replicas": 3}, deployed(3, 3, 1)),
    "deployment-paused": Case("deployments", {"replicas": 3, "paused": True}, deployed(3, 3, 1), more="; it is paused"),
    "deployment-old-ones-left": Case("deployments", {"replicas": 3}, deployed(5, 3, 3)),
    "deployment-not-available": Case("deployments", {"replicas": 3}, deployed(3, 2, 3)),
    "deployment-overdue": Case(
        "deployments", {"replicas": 3}, deployed(3, 3, 1, conditions=[OVERDUE]), failed=True, more=": it took too long"
    ),
    "deployment-of-none": Case("deployments", {"replicas": 0}, deployed(0, 0, 0), done=True),
    "deployment-done": Case("deployments", {"replicas": 3}, deployed(3, 3, 3), done=True),
    "daemonset-unseen": Case("daemonsets", {}, daemons(3, 3, 3) | {"observedGeneration": 0}),
    "daemonset-updating": Case("daemonsets", {}, daemons(3, 1, 3)),
    "daemonset-not-available": Case("daemonsets", {}, daemons(3, 3, 2)),
    "daemonset-done": Case("daemonsets", {}, daemons(3, 3, 3), done=True),
    "statefulset-unseen": Case("statefulsets", {"replicas": 3}, pods(3, 3, 3) | {"observedGeneration": 0}),
    "statefulset-not-ready": Case("statefulsets", {"replicas": 3}, pods(3, 1, 3)),
    "statefulset-updating": Case("statefulsets", {"replicas": 3}, pods(3, 3, 1)),
    "statefulset-done": Case("statefulsets", {"replicas": 3}, pods(3, 3, 3, revisions="bb"), done=True),
    "statefulset-part-updating": Case("statefulsets", partitioned(1), pods(3, 3, 1)),
    "statefulset-part-done": Case(
        "statefulsets", partitioned(2), pods(3, 3, 1), done=True, more="; partition 2 keeps 2 pods at an older revision"
    ),
    "statefulset-nothing-let-go": Case(
        "statefulsets", partitioned(3), pods(3, 3, 0), done=True, more="; partition 3 keeps 3 pods at an older revision"
    ),
    "statefulset-partition-beyond": Case(
        "statefulsets", partitioned(9), pods(3, 3, 0), done=True, more="; partition 9 keeps 3 pods at an older revision"
    ),
    "statefulset-nothing-new": Case("statefulsets", partitioned(1), pods(3, 3, 3, revisions="bb"), done=True),
}
BY_HAND = {
    "daemonset-none": (Case("daemonsets", ON_DELETE, daemons(3, 0, 0)), "0 of 3 pods have been updated, 0 are available; "),
    "daemonset-old-ones-run": (Case("daemonsets", ON_DELETE, daemons(3, 1, 3)), "somebody deletes them"),
    "daemonset-not-up": (Case("daemonsets", ON_DELETE, daemons(3, 3, 2)), "3 of 3 pods have been updated, 2 are available"),
    "daemonset-all": (Case("daemonsets", ON_DELETE, daemons(3, 3, 3), done=True), "3 of 3 pods have been updated"),
    "statefulset-none": (
        Case("statefulsets", {"replicas": 3} | ON_DELETE, pods(3, 0, 0)),
        "0 of 3 pods have been updated, 0 are ready; ",
    ),
    "statefulset-old-ones-run": (Case("statefulsets", {"replicas": 3} | ON_DELETE, pods(3, 3, 1)), "somebody deletes them"),
    "statefulset-not-up": (
        Case("statefulsets", {"replicas": 3} | ON_DELETE, pods(3, 2, 3)),
        "3 of 3 pods have been updated, 2 are ready",
    ),
    "statefulset-all": (Case("statefulsets", {"replicas": 3} | ON_DELETE, pods(3, 3, 3), done=True), "3 of 3 pods have been"),
}


def make(control_plane: ControlPlane, name: str, case: Case) -> None:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "app", "image": "example/web:1"}]}}
    service = {"serviceName": "web"} if case.resource == "statefulsets" else {}
    spec = {"selector": {"matchLabels": {"app": name}}, "template": template} | service | case.spec
    path = f"/apis/apps/v1/namespaces/default/{case.resource}"
    body = {"apiVersion": "apps/v1", "kind": KINDS[case.resource], "metadata": {"name": name}, "spec": spec}
    control_plane.api.post(path, body)
    if case.resource == "daemonsets":
        required = {"currentNumberScheduled": 3, "numberMisscheduled": 0, "numberReady": case.status["numberAvailable"]}
    else:
        required = {}
    status = {"observedGeneration": 1} | required | case.status
    control_plane.api.patch(f"{path}/{name}/status", {"status": status})


def kubectl_says(control_plane: ControlPlane, resource: str, *names: str) -> list[str]:
    """Its line for each, without the dots at the end; of an error what it says on stderr."""
    try:
        said = control_plane.kubectl("rollout", "status", resource, *names, "--watch=false", "--timeout=30s")
    except subprocess.CalledProcessError as error:
        said = error.stderr
    return [line.rstrip(".") for line in said.strip().splitlines()]


@pytest.fixture(scope="module")
def lines(still: ControlPlane) -> dict[str, str]:
    """Case -> kubectl's line, of all objects; one process for those of a kind, as it goes on until there is an error."""
    for name, case in CASES.items():
        make(still, name, case)
    found = {}
    for resource in KINDS:
        names = [name for name, case in CASES.items() if case.resource == resource and not case.failed]
        found |= dict(zip(names, kubectl_says(still, resource, *names), strict=True))
    return found | {name: kubectl_says(still, case.resource, name)[0] for name, case in CASES.items() if case.failed}


@pytest.mark.parametrize("name", CASES)
def test_how_far_a_rollout_is_begins_with_the_line_of_kubectl(
    still: ControlPlane, lines: dict[str, str], tool_client: Callable[..., ToolClient], name: str
) -> None:
    case, line = CASES[name], lines[name]
    assert (line.lower().startswith("waiting for"), line.startswith("error: ")) == (not (case.done or case.failed), case.failed)
    answer = tool_client(still.kubeconfig)("k8s_rollout_status", kind=case.resource, name=name, namespace="default")
    assert (answer["done"], answer["failed"]) == (case.done, case.failed), answer
    words = line.removeprefix("error: ")
    assert answer["message"].startswith(words), (words, answer["message"])
    rest = answer["message"].removeprefix(words)
    assert rest.startswith(case.more) if case.more else rest in ("", " by its controller")


@pytest.mark.parametrize("name", BY_HAND)
def test_pods_that_are_updated_by_hand_are_done_when_all_are_where_kubectl_has_no_answer(
    still: ControlPlane, tool_client: Callable[..., ToolClient], name: str
) -> None:
    case, words = BY_HAND[name]
    name = f"by-hand-{name}"
    make(still, name, case)
    if name.endswith("-none"):
        assert kubectl_says(still, case.resource, name) == [NO_ANSWER]
    answer = tool_client(still.kubeconfig)("k8s_rollout_status", kind=case.resource, name=name, namespace="default")
    assert (answer["done"], answer["failed"]) == (case.done, False), answer
    assert "has the update strategy OnDelete: " in answer["message"]
    assert words in answer["message"]
