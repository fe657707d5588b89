"""States and events of the broken pods, in the words of the components that report them."""

from __future__ import annotations

from datetime import timedelta

from demo import pod_states
from demo.api_status import Json
from demo.scenario.workloads import running
from demo.scenario.world import World, ago
from demo.timestamps import rfc3339

MISSING_TAG = "v2.8.0"
CRASH_EXIT_CODE = 1
OOM_EXIT_CODE = 137


def stamp(world: World, age: timedelta) -> str:
    return rfc3339(world.at(age))


def scheduled(world: World, pod: Json, age: timedelta) -> None:
    """The scheduler's success."""
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    text = f"Successfully assigned {namespace}/{name} to {pod['spec']['nodeName']}"
    world.event(pod, "Normal", "Scheduled", text, first=age, component="default-scheduler")


def _kubelet(pod: Json) -> dict[str, str]:
    return {"component": "kubelet", "host": pod["spec"]["nodeName"], "container": pod["spec"]["containers"][0]["name"]}


def pull_failures(world: World, pod: Json, image: str, since: timedelta) -> None:
    """An image that is not there: pulls, failures and back-offs since then."""
    failure = "rpc error: code = NotFound desc = " + pod_states.PULL_FAILURE.format(image=image)
    source = _kubelet(pod)
    tries = {"first": since - timedelta(seconds=1), "last": ago(minutes=3), "count": 10}
    world.event(pod, "Normal", "Pulling", f'Pulling image "{image}"', **tries, **source)  # type: ignore[arg-type]
    world.event(pod, "Warning", "Failed", f'Failed to pull image "{image}": {failure}', **tries, **source)  # type: ignore[arg-type]
    world.event(pod, "Warning", "Failed", "Error: ErrImagePull", **tries, **source)  # type: ignore[arg-type]
    waits = {"first": since - timedelta(seconds=3), "last": ago(seconds=20), "count": 118}
    world.event(pod, "Normal", "BackOff", f'Back-off pulling image "{image}"', **waits, **source)  # type: ignore[arg-type]
    world.event(pod, "Warning", "Failed", "Error: ImagePullBackOff", **waits, **source)  # type: ignore[arg-type]


def crash_looping(world: World, pod: Json, age: timedelta) -> None:
    """CrashLoopBackOff after twelve runs, the last of which ended two minutes ago."""
    running(world, pod, age)
    entry = pod["status"]["containerStatuses"][0]
    started, ended = world.at(ago(minutes=2, seconds=9)), world.at(ago(minutes=2))
    pod_states.end_container(entry, CRASH_EXIT_CODE, "Error", started, ended)
    entry["restartCount"] = 12
    pod_states.back_off(pod, entry, "5m0s")
    pod_states.settle(pod, ended)
    source, image, name = _kubelet(pod), pod["spec"]["containers"][0]["image"], pod["metadata"]["name"]
    runs = {"first": age, "last": ago(minutes=2, seconds=10), "count": 13}
    scheduled(world, pod, age)
    text = f'Container image "{image}" already present on machine and can be accessed by the pod'
    for reason, message in (("Pulled", text), ("Created", "Container created"), ("Started", "Container started")):
        world.event(pod, "Normal", reason, message, **runs, **source)  # type: ignore[arg-type]
    message = (
        f"Back-off restarting failed container {entry['name']} in pod "
        f"{name}_{pod['metadata']['namespace']}({pod['metadata']['uid']})"
    )
    world.event(pod, "Warning", "BackOff", message, first=age - timedelta(seconds=20), last=ago(seconds=11), count=171, **source)


def _killed(world: World, pod: Json, age: timedelta, restarts: int, ended: timedelta) -> Json:
    running(world, pod, age)
    entry: Json = pod["status"]["containerStatuses"][0]
    at = world.at(ended)
    earlier = at - timedelta(minutes=11)
    entry["lastState"] = pod_states.terminated(entry, OOM_EXIT_CODE, "OOMKilled", earlier - timedelta(minutes=12), earlier)
    pod_states.end_container(entry, OOM_EXIT_CODE, "OOMKilled", earlier, at)
    entry["restartCount"] = restarts
    scheduled(world, pod, age)
    return entry


def out_of_memory_now(world: World, pod: Json, age: timedelta) -> None:
    """Killed by the kernel three seconds ago, not restarted yet."""
    _killed(world, pod, age, 6, ago(seconds=3))
    pod_states.settle(pod, world.at(ago(seconds=3)))


def out_of_memory_before(world: World, pod: Json, age: timedelta) -> None:
    """Running again since it was killed four minutes ago."""
    entry = _killed(world, pod, age, 8, ago(minutes=4, seconds=10))
    at = world.at(ago(minutes=4))
    pod_states.restart(pod, entry, pod["spec"]["containers"][0], at, world.identifiers)
    text = f'Container image "{entry["image"]}" already present on machine and can be accessed by the pod'
    for reason, message in (("Pulled", text), ("Created", "Container created"), ("Started", "Container started")):
        world.event(pod, "Normal", reason, message, first=age, last=ago(minutes=4), count=9, **_kubelet(pod))


def lost(world: World, pod: Json, since: timedelta) -> None:
    """Events of a pod whose node stopped reporting."""
    world.event(pod, "Warning", "NodeNotReady", "Node is not ready", first=since, component="node-controller")
    if pod["metadata"].get("deletionTimestamp"):
        name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        world.event(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {name}", first=since - timedelta(minutes=5),
                    component="taint-eviction-controller")  # fmt: skip
