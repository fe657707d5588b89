"""STATUS of odd pods, as kubectl prints it (the rules are those of printPod in Kubernetes v1.36)."""

from __future__ import annotations

from typing import Any

import pytest

from kinds.pod_status import pod_status

RUNNING = {"name": "a", "ready": True, "state": {"running": {}}}


def waiting(reason: str, name: str = "a") -> dict[str, Any]:
    return {"name": name, "state": {"waiting": {"reason": reason}}}


def ended(code: int, reason: str = "", signal: int = 0, name: str = "a") -> dict[str, Any]:
    state = {"exitCode": code} | ({"reason": reason} if reason else {}) | ({"signal": signal} if signal else {})
    return {"name": name, "state": {"terminated": state}}


READY = {"conditions": [{"type": "Ready", "status": "True"}]}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"phase": "Pending"}, "Pending"),
        ({}, ""),
        ({"phase": "Failed", "reason": "Evicted"}, "Evicted"),
        ({"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]}, "SchedulingGated"),
        ({"phase": "Running", "containerStatuses": [RUNNING]}, "Running"),
        ({"phase": "Running", "containerStatuses": [waiting("CrashLoopBackOff")]}, "CrashLoopBackOff"),
        ({"phase": "Failed", "containerStatuses": [ended(137, "OOMKilled")]}, "OOMKilled"),
        ({"phase": "Failed", "containerStatuses": [ended(2)]}, "ExitCode:2"),
        ({"phase": "Failed", "containerStatuses": [ended(137, signal=9)]}, "Signal:9"),
        ({"phase": "Succeeded", "containerStatuses": [ended(0, "Completed")]}, "Completed"),
        ({"phase": "Running", "containerStatuses": [ended(0, "Completed"), RUNNING | {"name": "b"}]}, "NotReady"),
        ({"phase": "Running", "containerStatuses": [ended(0, "Completed"), RUNNING | {"name": "b"}]} | READY, "Running"),
        ({"phase": "Failed", "containerStatuses": [ended(0, "Completed"), ended(1, "Error", name="b")]}, "Error"),
        ({"phase": "Running", "containerStatuses": [waiting("ErrImagePull"), ended(1, "Error", name="b")]}, "ErrImagePull"),
    ],
)
def test_status_of_pods_without_init_containers(status: dict[str, Any], expected: str) -> None:
    assert pod_status({"spec": {"containers": [{"name": "a"}]}, "status": status}).status == expected


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([ended(0), {"name": "i1", "state": {"running": {}}}], "Init:1/2"),
        ([waiting("PodInitializing")], "Init:0/2"),
        ([waiting("CrashLoopBackOff")], "Init:CrashLoopBackOff"),
        ([ended(1)], "Init:ExitCode:1"),
        ([ended(1, signal=15)], "Init:Signal:15"),
        ([ended(1, "Error")], "Init:Error"),
        ([ended(0), ended(0, name="i1")], "Pending"),
    ],
)
def test_status_while_init_containers_run(statuses: list[dict[str, Any]], expected: str) -> None:
    spec = {"containers": [{"name": "a"}], "initContainers": [{"name": "i0"}, {"name": "i1"}]}
    assert pod_status({"spec": spec, "status": {"phase": "Pending", "initContainerStatuses": statuses}}).status == expected


def test_a_started_sidecar_counts_as_a_container_and_only_its_restarts_stay() -> None:
    pod = {
        "spec": {"containers": [{"name": "a"}], "initContainers": [{"name": "s", "restartPolicy": "Always"}, {"name": "i"}]},
        "status": {
            "phase": "Running",
            "initContainerStatuses": [
                {"name": "s", "started": True, "ready": True, "restartCount": 2, "state": {"running": {}}},
                ended(0, name="i") | {"restartCount": 5},
            ],
            "containerStatuses": [RUNNING | {"restartCount": 1}],
        },
    }
    printed = pod_status(pod)
    assert (printed.status, printed.ready_containers, printed.total_containers, printed.restarts) == ("Running", 2, 2, 3)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"phase": "Running", "containerStatuses": [RUNNING]}, "Terminating"),
        ({"phase": "Running", "reason": "NodeLost"}, "Unknown"),
        ({"phase": "Succeeded", "containerStatuses": [ended(0, "Completed")]}, "Completed"),
    ],
)
def test_status_of_pods_that_are_being_deleted(status: dict[str, Any], expected: str) -> None:
    pod = {
        "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"containers": [{"name": "a"}]},
        "status": status,
    }
    assert pod_status(pod).status == expected


def test_the_latest_restart_is_that_of_the_restarts_that_are_counted() -> None:
    def restarted(name: str, at: str, **more: Any) -> dict[str, Any]:
        return RUNNING | {"name": name, "restartCount": 1, "lastState": {"terminated": {"exitCode": 1, "finishedAt": at}}} | more

    setup = restarted("i", "1970-01-01T00:00:09Z", state={"terminated": {"exitCode": 0}})
    sidecar = restarted("s", "1970-01-01T00:00:05Z", started=True)
    pod = {
        "spec": {"containers": [{"name": "a"}], "initContainers": [{"name": "s", "restartPolicy": "Always"}, {"name": "i"}]},
        "status": {"initContainerStatuses": [sidecar, setup], "containerStatuses": [restarted("a", "1970-01-01T00:00:03Z")]},
    }
    assert (pod_status(pod).restarts, pod_status(pod).last_restart_at) == (2, 5)
    initialising = pod | {"status": {"initContainerStatuses": [sidecar, setup | {"state": {"waiting": {"reason": "Oops"}}}]}}
    assert (pod_status(initialising).restarts, pod_status(initialising).last_restart_at) == (2, 9)
    assert pod_status({}).last_restart_at is None
