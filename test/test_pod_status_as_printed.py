"""STATUS, READY and RESTARTS of pods as odd as an API server takes them, against what it prints itself (printPod).

Nothing but etcd and the API server runs: nobody else writes a status. After a table of pods that are odd in known ways
come combinations drawn at random; a failure prints the status, and the seed is fixed.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from control_plane_fixtures import ControlPlaneFactory
from controlplane.api_client import ApiClient, ApiError
from kinds.registry import KINDS

NAMESPACE = "odd-pods"
PATH = f"/api/v1/namespaces/{NAMESPACE}/pods"
IMAGE = "registry.example/app:1"
SEED = 20260314
RANDOM_PODS = 250
HOLD = "example.com/hold"

Object = dict[str, Any]


@dataclass
class Odd:
    """`expected` is the STATUS that is printed; None: whatever the API server prints."""

    status: Object
    expected: str | None = None
    inits: tuple[str, ...] = ()
    """Init containers: `i` an ordinary one, `s` a sidecar."""
    containers: int = 1
    deleted: bool = False
    spec: Object = field(default_factory=dict)


def true(*types: str) -> list[Object]:
    return [{"type": type_, "status": "True"} for type_ in types]


def cs(name: str, state: Object | None = None, **more: Any) -> Object:
    """A container's status."""
    whole: Object = {"name": name, "image": IMAGE, "imageID": "", "ready": False, "restartCount": 0}
    return whole | ({"state": state} if state is not None else {}) | more


def waiting(reason: str | None = None) -> Object:
    return {"waiting": {} if reason is None else {"reason": reason}}


def ended(code: int, reason: str = "", signal: int = 0) -> Object:
    state: Object = {"exitCode": code}
    return {"terminated": state | ({"reason": reason} if reason else {}) | ({"signal": signal} if signal else {})}


RUNNING: Object = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
UP = {"ready": True, "started": True}
BEFORE = {"lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T00:00:00Z"}}}
GATED = [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]
UNSCHEDULABLE = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]


def containers(*statuses: Object, phase: str = "Running", inits: tuple[Object, ...] = (), **more: Any) -> Object:
    whole: Object = {"phase": phase, "containerStatuses": list(statuses)}
    return whole | ({"initContainerStatuses": list(inits)} if inits else {}) | more


ODD: dict[str, Odd] = {
    "nothing-known": Odd({}, "Pending"),
    "empty-phase": Odd({"phase": ""}, ""),
    "unknown-phase": Odd({"phase": "Dreaming"}, "Dreaming"),
    "phase-unknown": Odd({"phase": "Unknown"}, "Unknown"),
    "evicted": Odd({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}, "Evicted"),
    "evicted-with-containers": Odd(containers(cs("c0", ended(137, "Error")), phase="Failed", reason="Evicted"), "Error"),
    "node-affinity": Odd({"phase": "Failed", "reason": "NodeAffinity"}, "NodeAffinity"),
    "gated": Odd({"phase": "Pending", "conditions": GATED}, "SchedulingGated"),
    "gated-with-reason": Odd({"phase": "Pending", "reason": "Other", "conditions": GATED}, "SchedulingGated"),
    "unschedulable": Odd({"phase": "Pending", "conditions": UNSCHEDULABLE}, "Pending"),
    "node-lost": Odd({"phase": "Running", "reason": "NodeLost"}, "NodeLost"),
    "node-lost-deleted": Odd({"phase": "Running", "reason": "NodeLost"}, "Unknown", deleted=True),
    "deleted": Odd(containers(cs("c0", RUNNING, **UP)), "Terminating", deleted=True),
    "deleted-crashing": Odd(containers(cs("c0", waiting("CrashLoopBackOff"))), "Terminating", deleted=True),
    "deleted-succeeded": Odd(containers(cs("c0", ended(0, "Completed")), phase="Succeeded"), "Completed", deleted=True),
    "deleted-failed": Odd(containers(cs("c0", ended(3)), phase="Failed"), "ExitCode:3", deleted=True),
    "deleted-gated": Odd({"phase": "Pending", "conditions": GATED}, "Terminating", deleted=True),
    "deleted-initialising": Odd(
        containers(phase="Pending", inits=(cs("i0", RUNNING),)), "Terminating", inits=("i",), deleted=True
    ),
    "running": Odd(containers(cs("c0", RUNNING, **UP)), "Running"),
    "running-unready": Odd(containers(cs("c0", RUNNING)), "Running"),
    "running-without-status": Odd({"phase": "Running"}, "Running"),
    "creating": Odd(containers(cs("c0", waiting("ContainerCreating")), phase="Pending"), "ContainerCreating"),
    "waiting-for-nothing": Odd(containers(cs("c0", waiting()), phase="Pending"), "Pending"),
    "image": Odd(containers(cs("c0", waiting("ErrImagePull"))), "ErrImagePull"),
    "crashing": Odd(containers(cs("c0", waiting("CrashLoopBackOff"), restartCount=7, **BEFORE)), "CrashLoopBackOff"),
    "created-error": Odd(containers(cs("c0", waiting("CreateContainerConfigError"))), "CreateContainerConfigError"),
    "first-container-has-the-last-word": Odd(
        containers(cs("c0", waiting("ErrImagePull")), cs("c1", ended(1, "Error"))), "ErrImagePull", containers=2
    ),
    "a-running-one-does-not-hide-a-waiting-one": Odd(
        containers(cs("c0", RUNNING, **UP), cs("c1", waiting("CrashLoopBackOff"))), "CrashLoopBackOff", containers=2
    ),
    "oom": Odd(containers(cs("c0", ended(137, "OOMKilled"))), "OOMKilled"),
    "exit-code": Odd(containers(cs("c0", ended(2))), "ExitCode:2"),
    "exit-code-zero": Odd(containers(cs("c0", ended(0))), "ExitCode:0"),
    "negative-exit-code": Odd(containers(cs("c0", ended(-1))), "ExitCode:-1"),
    "signal": Odd(containers(cs("c0", ended(137, signal=9))), "Signal:9"),
    "signal-and-reason": Odd(containers(cs("c0", ended(137, "Killed", signal=9))), "Killed"),
    "completed": Odd(containers(cs("c0", ended(0, "Completed")), phase="Succeeded"), "Completed"),
    "completed-but-one-runs": Odd(containers(cs("c0", ended(0, "Completed")), cs("c1", RUNNING, **UP)), "NotReady", containers=2),
    "completed-but-one-runs-and-ready": Odd(
        containers(cs("c0", ended(0, "Completed")), cs("c1", RUNNING, **UP), conditions=true("Ready")), "Running", containers=2
    ),
    "completed-beside-an-error": Odd(
        containers(cs("c0", ended(0, "Completed")), cs("c1", ended(1, "Error")), phase="Failed"), "Error", containers=2
    ),
    "completed-beside-an-error-and-a-running-one": Odd(
        containers(cs("c0", ended(0, "Completed")), cs("c1", ended(1, "Error")), cs("c2", RUNNING, **UP)), containers=3
    ),
    "unready-one-beside-a-completed-one": Odd(
        containers(cs("c0", ended(0, "Completed")), cs("c1", RUNNING)), "Completed", containers=2
    ),
    "init-first": Odd(containers(phase="Pending", inits=(cs("i0", RUNNING), cs("i1", waiting()))), "Init:0/2", inits=("i", "i")),
    "init-pod-initializing": Odd(
        containers(phase="Pending", inits=(cs("i0", waiting("PodInitializing")),)), "Init:0/1", inits=("i",)
    ),
    "init-second": Odd(
        containers(phase="Pending", inits=(cs("i0", ended(0, "Completed")), cs("i1", RUNNING))), "Init:1/2", inits=("i", "i")
    ),
    "init-crashing": Odd(
        containers(phase="Pending", inits=(cs("i0", waiting("CrashLoopBackOff"), restartCount=4, **BEFORE),)),
        "Init:CrashLoopBackOff",
        inits=("i",),
    ),
    "init-image": Odd(containers(phase="Pending", inits=(cs("i0", waiting("ImagePullBackOff")),)), inits=("i",)),
    "init-error": Odd(containers(phase="Pending", inits=(cs("i0", ended(1, "Error")),)), "Init:Error", inits=("i",)),
    "init-exit-code": Odd(containers(phase="Pending", inits=(cs("i0", ended(4)),)), "Init:ExitCode:4", inits=("i",)),
    "init-signal": Odd(containers(phase="Pending", inits=(cs("i0", ended(1, signal=15)),)), "Init:Signal:15", inits=("i",)),
    "init-without-state": Odd(containers(phase="Pending", inits=(cs("i0"),)), "Init:0/1", inits=("i",)),
    "init-done-main-starting": Odd(
        containers(cs("c0", waiting("PodInitializing")), phase="Pending", inits=(cs("i0", ended(0, "Completed")),)),
        "PodInitializing",
        inits=("i",),
    ),
    "init-failed-but-initialized": Odd(
        containers(cs("c0", RUNNING, **UP), inits=(cs("i0", ended(1, "Error")),), conditions=true("Initialized")), inits=("i",)
    ),
    "init-not-started-yet": Odd({"phase": "Pending"}, "Pending", inits=("i", "i")),
    "sidecar-starting": Odd(
        containers(phase="Pending", inits=(cs("s0", RUNNING, started=False), cs("i1", waiting()))), "Init:0/2", inits=("s", "i")
    ),
    "sidecar-started": Odd(
        containers(phase="Pending", inits=(cs("s0", RUNNING, **UP), cs("i1", RUNNING))), "Init:1/2", inits=("s", "i")
    ),
    "sidecar-and-main": Odd(
        containers(cs("c0", RUNNING, **UP), inits=(cs("s0", RUNNING, restartCount=2, **UP, **BEFORE),)), "Running", inits=("s",)
    ),
    "sidecar-crashing": Odd(
        containers(cs("c0", waiting("PodInitializing")), phase="Pending", inits=(cs("s0", waiting("CrashLoopBackOff")),)),
        "Init:CrashLoopBackOff",
        inits=("s",),
    ),
    "sidecar-crashing-after-start": Odd(
        containers(
            cs("c0", RUNNING, **UP),
            inits=(cs("s0", waiting("CrashLoopBackOff"), restartCount=9),),
            conditions=true("Initialized"),
        ),
        inits=("s",),
    ),
    "sidecar-outlives-main": Odd(
        containers(cs("c0", ended(0, "Completed")), inits=(cs("s0", RUNNING, **UP),)), "Completed", inits=("s",)
    ),
    "sidecar-ended-well": Odd(
        containers(cs("c0", ended(0, "Completed")), phase="Succeeded", inits=(cs("s0", ended(0, "Completed")),)),
        "Completed",
        inits=("s",),
    ),
    "sidecar-unready": Odd(
        containers(cs("c0", RUNNING, **UP), inits=(cs("s0", RUNNING, started=True, ready=False),)), "Running", inits=("s",)
    ),
    "restarts-of-init-do-not-count-later": Odd(
        containers(
            cs("c0", RUNNING, restartCount=1, **UP, **BEFORE), inits=(cs("i0", ended(0, "Completed"), restartCount=5, **BEFORE),)
        ),
        "Running",
        inits=("i",),
    ),
    "readiness-gate-closed": Odd(
        containers(cs("c0", RUNNING, **UP)), "Running", spec={"readinessGates": [{"conditionType": "example.com/x"}]}
    ),
    "readiness-gate-open": Odd(
        containers(cs("c0", RUNNING, **UP), conditions=true("example.com/x", "Ready")),
        "Running",
        spec={"readinessGates": [{"conditionType": "example.com/x"}]},
    ),
    "status-of-a-container-that-is-not-in-the-spec": Odd(containers(cs("stranger", waiting("Lost"))), "Lost"),
    "more-containers-than-statuses": Odd(containers(cs("c0", RUNNING, **UP)), "Running", containers=3),
    "nominated": Odd({"phase": "Pending", "nominatedNodeName": "node-7"}, "Pending"),
}


def drawn(random_: random.Random) -> Odd:
    """A pod whose parts are each possible, whatever a kubelet would say to all of them together."""

    def state() -> Object | None:
        return random_.choice(
            [
                None,
                RUNNING,
                RUNNING,
                waiting(),
                waiting("PodInitializing"),
                waiting("CrashLoopBackOff"),
                ended(0),
                ended(0, "Completed"),
                ended(0, "Completed"),
                ended(1, "Error"),
                ended(3),
                ended(137, signal=9),
            ]
        )

    def status(name: str) -> Object:
        more: Object = {"ready": random_.random() < 0.5, "restartCount": random_.choice([0, 0, 1, 12])}
        if random_.random() < 0.6:
            more["started"] = random_.random() < 0.7
        if random_.random() < 0.4:
            finished = f"2026-01-0{random_.randint(1, 9)}T00:00:00Z"
            more["lastState"] = {"terminated": {"exitCode": 1, "finishedAt": finished}}
        return cs(name, state(), **more)

    inits = tuple(random_.choice("is") for _ in range(random_.choice([0, 0, 1, 2, 3])))
    count = random_.randint(1, 3)
    whole: Object = {"phase": random_.choice(["Pending", "Running", "Running", "Succeeded", "Failed", "Unknown"])}
    if random_.random() < 0.85:
        whole["containerStatuses"] = [status(f"c{number}") for number in range(random_.randint(0, count))]
    if inits and random_.random() < 0.9:
        whole["initContainerStatuses"] = [status(f"{kind}{number}") for number, kind in enumerate(inits)]
    whole["conditions"] = [
        {"type": type_, "status": random_.choice(["True", "False", "Unknown"])}
        for type_ in ("Initialized", "Ready", "PodScheduled")
        if random_.random() < 0.5
    ]
    if random_.random() < 0.15:
        whole["reason"] = random_.choice(["NodeLost", "Evicted", "UnexpectedAdmissionError"])
    return Odd(whole, inits=inits, containers=count, deleted=random_.random() < 0.2)


def create(api: ApiClient, name: str, odd: Odd) -> bool:
    """False when the API server takes no such status."""
    inits = [
        {"name": f"{kind}{number}", "image": IMAGE} | ({"restartPolicy": "Always"} if kind == "s" else {})
        for number, kind in enumerate(odd.inits)
    ]
    mains = [{"name": f"c{number}", "image": IMAGE} for number in range(odd.containers)]
    metadata: Object = {"name": name} | ({"finalizers": [HOLD]} if odd.deleted else {})
    api.post(PATH, {"metadata": metadata, "spec": {"containers": mains, "initContainers": inits} | odd.spec})
    try:
        if odd.status:
            api.patch(f"{PATH}/{name}/status", {"status": odd.status})
    except ApiError as error:
        if error.status != 422:
            raise
        return False
    if odd.deleted:
        api.delete(f"{PATH}/{name}")
    return True


def printed(api: ApiClient) -> Iterator[tuple[Any, dict[str, Any], Object]]:
    """(our record, the cells by title, the pod) of each pod."""
    table = api.get_table(PATH)
    titles = [definition["name"] for definition in table["columnDefinitions"]]
    for line in table["rows"]:
        yield KINDS["pods"].read(line["object"]), dict(zip(titles, line["cells"], strict=True)), line["object"]


def test_status_ready_and_restarts_of_any_pod_are_what_the_api_server_prints(control_plane_factory: ControlPlaneFactory) -> None:
    api = control_plane_factory(controllers=False).api
    api.post("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    api.post(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": "default"}})
    random_ = random.Random(SEED)
    pods = ODD | {f"random-{number:03}": drawn(random_) for number in range(RANDOM_PODS)}
    with ThreadPoolExecutor(4) as pool:
        taken = dict(zip(pods, pool.map(lambda item: create(api, *item), pods.items()), strict=True))
    refused = [name for name, was_taken in taken.items() if not was_taken]
    assert not set(refused) & set(ODD), "the table holds a status that no API server takes"
    assert len(refused) < RANDOM_PODS // 2
    compared, statuses = 0, set()
    for pod, cells, whole in printed(api):
        if pod.name in refused:
            continue
        wanted, told = pods[pod.name].expected, f"{pod.name} (seed {SEED}): {json.dumps(whole['status'])}"
        assert wanted in (None, cells["Status"]), told
        assert (pod.status, pod.ready) == (cells["Status"], cells["Ready"]), told
        restarts = re.fullmatch(r"(\d+)( \(.+ ago\))?", cells["Restarts"])
        assert restarts, told
        assert (pod.restarts, bool(pod.restarts and pod.last_restart_at)) == (int(restarts[1]), bool(restarts[2])), told
        gates = pod.readiness_gates
        open_ = f"{sum(pod.conditions.get(gate) == 'True' for gate in gates)}/{len(gates)}" if gates else "<none>"
        assert open_ == cells["Readiness Gates"], told
        assert (pod.nominated_node or "<none>") == cells["Nominated Node"], told
        compared += 1
        statuses.add(pod.status)
    assert compared == len(pods) - len(refused)
    assert len(statuses) > 25
