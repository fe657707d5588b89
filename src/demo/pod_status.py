"""The READY, STATUS and RESTARTS of a pod, computed as the API server's printer does for kubectl."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from demo.api_status import Json
from demo.timestamps import human_duration, parse_time


@dataclass(slots=True)
class PodSummary:
    """What one line of `kubectl get pods` says; `restarts` includes "(3m ago)"."""

    ready: str
    status: str
    restarts: str


@dataclass(slots=True)
class _Tally:
    reason: str
    ready: int = 0
    restarts: int = 0
    last_restart: str = ""

    def count(self, container: Json) -> None:
        self.restarts += container.get("restartCount", 0)
        finished = (container.get("lastState") or {}).get("terminated", {}).get("finishedAt", "")
        self.last_restart = max(self.last_restart, finished)


def _condition(status: Json, kind: str) -> Json:
    for condition in status.get("conditions", ()):
        if condition["type"] == kind:
            return dict(condition)
    return {}


def _exit_reason(terminated: Json) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _initial_reason(status: Json) -> str:
    if _condition(status, "PodScheduled").get("reason") == "SchedulingGated":
        return "SchedulingGated"
    return str(status.get("reason") or status.get("phase", "Unknown"))


def _judge_init(pod: Json, tally: _Tally, sidecars: _Tally) -> bool:
    """Walk the init containers; True while one of them still holds the pod back."""
    spec = {container["name"]: container for container in pod["spec"].get("initContainers", ())}
    for index, container in enumerate(pod["status"].get("initContainerStatuses", ())):
        tally.count(container)
        restartable = spec.get(container["name"], {}).get("restartPolicy") == "Always"
        if restartable:
            sidecars.count(container)
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if terminated and terminated.get("exitCode") == 0:
            continue
        if restartable and container.get("started"):
            sidecars.ready += bool(container.get("ready"))
            continue
        if terminated:
            tally.reason = "Init:" + _exit_reason(terminated)
        elif waiting and waiting.get("reason", "PodInitializing") != "PodInitializing":
            tally.reason = "Init:" + waiting["reason"]
        else:
            tally.reason = f"Init:{index}/{len(spec)}"
        return True
    return False


def _judge_containers(status: Json, tally: _Tally) -> None:
    has_running, error = False, ""
    for container in reversed(status.get("containerStatuses", ())):
        tally.count(container)
        state = container.get("state") or {}
        if (state.get("waiting") or {}).get("reason"):
            tally.reason = state["waiting"]["reason"]
        elif state.get("terminated"):
            tally.reason = _exit_reason(state["terminated"])
            error = tally.reason if state["terminated"].get("exitCode") else error
        elif container.get("ready") and state.get("running") is not None:
            has_running = True
            tally.ready += 1
    if tally.reason == "Completed":
        if has_running and _condition(status, "Ready").get("status") == "True":
            tally.reason = "Running"
        else:
            tally.reason = error or ("NotReady" if has_running else "Completed")


def summarise(pod: Json, now: datetime) -> PodSummary:
    """Status in kubectl's words: CrashLoopBackOff, Init:0/2, Terminating, Unknown, …"""
    status = pod.get("status") or {}
    pod = {**pod, "status": status}
    init, main = _Tally(_initial_reason(status)), _Tally("")
    holding = _judge_init(pod, init, main)
    main.reason = init.reason
    if not holding or _condition(status, "Initialized").get("status") == "True":
        _judge_containers(status, main)
        shown = main
    else:
        shown = _Tally(init.reason, main.ready, init.restarts, init.last_restart)
    reason = shown.reason
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif status.get("phase") not in ("Succeeded", "Failed"):
            reason = "Terminating"
    sidecars = sum(c.get("restartPolicy") == "Always" for c in pod["spec"].get("initContainers", ()))
    restarts = str(shown.restarts)
    if shown.restarts and shown.last_restart:
        restarts += f" ({human_duration(now - parse_time(shown.last_restart))} ago)"
    return PodSummary(f"{shown.ready}/{len(pod['spec']['containers']) + sidecars}", reason, restarts)
