"""The STATUS, READY and RESTARTS columns that `kubectl get pods` prints.

Source of the rules: kubernetes pkg/printers/internalversion/printers.go, printPod (v1.36), re-expressed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kinds.record import Time
from kinds.times import to_time

NODE_LOST = "NodeLost"


@dataclass(frozen=True, slots=True)
class PodStatus:
    """`status` as kubectl prints it, and what its row is built from."""

    status: str
    ready_containers: int
    total_containers: int
    restarts: int
    last_restart_at: Time | None
    """When the latest of these restarts happened: what RESTARTS prints in brackets."""


def pod_status(pod: dict[str, Any]) -> PodStatus:
    """Compute the row of one pod (a decoded API object)."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    reason = status.get("reason") or status.get("phase") or ""
    scheduled = next((c for c in status.get("conditions") or [] if c.get("type") == "PodScheduled"), None)
    if scheduled and scheduled.get("reason") == "SchedulingGated":
        reason = "SchedulingGated"

    total = len(spec.get("containers") or [])
    restartable = {c["name"] for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"}
    total += len(restartable)
    init_reason, ready, looked_at = _init_containers(spec, status, restartable)
    counted = (status.get("initContainerStatuses") or [])[:looked_at]
    if init_reason is not None:
        reason = init_reason
    if init_reason is None or _condition_true(status, "Initialized"):
        main = _main_containers(status)
        ready += main.ready
        counted = [s for s in counted if s["name"] in restartable] + (status.get("containerStatuses") or [])
        reason = main.reason or reason
        if reason == "Completed":
            if main.running and _condition_true(status, "Ready"):
                reason = "Running"
            elif main.error_reason:
                reason = main.error_reason
            elif main.running:
                reason = "NotReady"

    if (pod.get("metadata") or {}).get("deletionTimestamp"):
        if status.get("reason") == NODE_LOST:
            reason = "Unknown"
        elif status.get("phase") not in ("Succeeded", "Failed"):
            reason = "Terminating"
    restarts = sum(container.get("restartCount") or 0 for container in counted)
    return PodStatus(reason, ready, total, restarts, _last_restart(counted))


def _last_restart(statuses: Iterable[dict[str, Any]]) -> Time | None:
    """When the previous run of any of them ended, at the latest."""
    ended = (((status.get("lastState") or {}).get("terminated") or {}).get("finishedAt") for status in statuses)
    return max((time for time in map(to_time, ended) if time is not None), default=None)


def _init_containers(spec: dict[str, Any], status: dict[str, Any], restartable: set[str]) -> tuple[str | None, int, int]:
    """-> (reason when initialisation is not over, ready sidecars, how many were looked at: those after the first that is not
    done do not count)."""
    ready = looked_at = 0
    for index, container in enumerate(status.get("initContainerStatuses") or []):
        looked_at = index + 1
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if container["name"] in restartable and container.get("started"):
            ready += bool(container.get("ready"))
            continue
        if terminated is not None:
            return f"Init:{_terminated_reason(terminated)}", ready, looked_at
        if waiting is not None and waiting.get("reason") and waiting["reason"] != "PodInitializing":
            return f"Init:{waiting['reason']}", ready, looked_at
        return f"Init:{index}/{len(spec.get('initContainers') or [])}", ready, looked_at
    return None, ready, looked_at


@dataclass(slots=True)
class _MainContainers:
    reason: str = ""
    error_reason: str = ""
    ready: int = 0
    running: bool = False


def _main_containers(status: dict[str, Any]) -> _MainContainers:
    """kubectl walks them backwards, so the first container in order has the last word."""
    seen = _MainContainers()
    for container in reversed(status.get("containerStatuses") or []):
        state = container.get("state") or {}
        waiting, terminated = state.get("waiting"), state.get("terminated")
        if waiting is not None and waiting.get("reason"):
            seen.reason = waiting["reason"]
        elif terminated is not None:
            seen.reason = _terminated_reason(terminated)
            if terminated.get("exitCode"):
                seen.error_reason = seen.reason
        elif container.get("ready") and state.get("running") is not None:
            seen.running = True
            seen.ready += 1
    return seen


def _terminated_reason(terminated: dict[str, Any]) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _condition_true(status: dict[str, Any], type_: str) -> bool:
    return any(c.get("type") == type_ and c.get("status") == "True" for c in status.get("conditions") or [])
