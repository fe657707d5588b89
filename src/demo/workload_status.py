"""The status of workloads and services, computed from their pods: used by the story and by the controllers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from demo.api_status import Json
from demo.pod_states import is_active, is_ready, revision_hash
from demo.timestamps import parse_time, rfc3339


def _without_zeros(status: Json, keep: tuple[str, ...] = ()) -> Json:
    return {field: value for field, value in status.items() if value or field in keep}


def replicaset_status(replicaset: Json, pods: Sequence[Json]) -> Json:
    """From the pods that the ReplicaSet owns."""
    active = [pod for pod in pods if is_active(pod)]
    ready = sum(map(is_ready, active))
    counts = {"replicas": len(active), "fullyLabeledReplicas": len(active), "readyReplicas": ready,
              "availableReplicas": ready, "observedGeneration": replicaset["metadata"].get("generation", 1)}  # fmt: skip
    return _without_zeros(counts, ("replicas",))


def set_condition(conditions: list[Json], new: Json, at: datetime) -> None:
    """Replace the condition of the same type in place; the times move only with what they belong to."""
    for index, old in enumerate(conditions):
        if old["type"] != new["type"]:
            continue
        same = {field: old.get(field) for field in ("status", "reason", "message")}
        if same != {field: new.get(field) for field in same}:
            since = old["lastTransitionTime"] if old["status"] == new["status"] else rfc3339(at)
            conditions[index] = {**new, "lastUpdateTime": rfc3339(at), "lastTransitionTime": since}
        return
    conditions.append({**new, "lastUpdateTime": rfc3339(at), "lastTransitionTime": rfc3339(at)})


def _bounds(deployment: Json) -> tuple[int, int]:
    """(surge, unavailable) as numbers: percentages round up and down."""
    replicas = deployment["spec"].get("replicas", 1)
    strategy = deployment["spec"].get("strategy", {})
    if strategy.get("type") == "Recreate":
        return 0, replicas
    rolling = strategy.get("rollingUpdate", {})
    surge = _scaled(rolling.get("maxSurge", "25%"), replicas, up=True)
    unavailable = _scaled(rolling.get("maxUnavailable", "25%"), replicas, up=False)
    return surge, unavailable if surge or unavailable else 1


def _scaled(value: object, total: int, *, up: bool) -> int:
    if isinstance(value, str) and value.endswith("%"):
        product = int(value[:-1]) * total
        return -(-product // 100) if up else product // 100
    return int(str(value))


def rollout_bounds(deployment: Json) -> tuple[int, int]:
    """(most pods there may be, fewest that have to be available) during a rollout."""
    replicas = deployment["spec"].get("replicas", 1)
    surge, unavailable = _bounds(deployment)
    return replicas + surge, replicas - unavailable


def deployment_status(deployment: Json, new: Json | None, replicasets: Sequence[Json], at: datetime) -> Json:
    """From its ReplicaSets, of which `new` has the current template."""
    old = deployment.get("status", {})
    wanted = deployment["spec"].get("replicas", 1)
    total, ready, available = (
        sum(rs.get("status", {}).get(field, 0) for rs in replicasets)
        for field in ("replicas", "readyReplicas", "availableReplicas")
    )
    updated = new.get("status", {}).get("replicas", 0) if new else 0
    conditions = [dict(condition) for condition in old.get("conditions", ())]
    minimum = wanted - _bounds(deployment)[1]
    enough = available >= minimum
    set_condition(conditions, {
        "type": "Available", "status": "True" if enough else "False",
        "reason": "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
        "message": f"Deployment {'has' if enough else 'does not have'} minimum availability.",
    }, at)  # fmt: skip
    done = new is not None and updated == wanted == total == available
    set_condition(conditions, _progress(deployment, new, conditions, done, at), at)
    counts = {
        "observedGeneration": deployment["metadata"].get("generation", 1), "replicas": total,
        "updatedReplicas": updated, "readyReplicas": ready, "availableReplicas": available,
        "unavailableReplicas": max(max(total, wanted) - available, 0), "conditions": conditions,
    }  # fmt: skip
    return _without_zeros(counts)


def _progress(deployment: Json, new: Json | None, conditions: list[Json], done: bool, at: datetime) -> Json:
    name = new["metadata"]["name"] if new else ""
    progress: Json = {"type": "Progressing", "status": "True"}
    if done:
        text = f'ReplicaSet "{name}" has successfully progressed.'
        return {**progress, "reason": "NewReplicaSetAvailable", "message": text}
    old = next((c for c in conditions if c["type"] == "Progressing"), None)
    if old and old["reason"] == "NewReplicaSetAvailable" and f'"{name}"' in old["message"]:
        return old  # rolled out once: pods that fail later do not start another rollout
    deadline = timedelta(seconds=deployment["spec"].get("progressDeadlineSeconds", 600))
    since = parse_time(new["metadata"]["creationTimestamp"]) if new else at
    if at - since > deadline:
        text = f'ReplicaSet "{name}" has timed out progressing.'
        return {**progress, "status": "False", "reason": "ProgressDeadlineExceeded", "message": text}
    return {**progress, "reason": "ReplicaSetUpdated", "message": f'ReplicaSet "{name}" is progressing.'}


def statefulset_status(statefulset: Json, pods: Sequence[Json]) -> Json:
    """From its pods; a pod that is Terminating still counts as a replica, as it holds its name."""
    ready = sum(is_ready(pod) and is_active(pod) for pod in pods)
    revision = f"{statefulset['metadata']['name']}-{revision_hash(statefulset['spec']['template'])}"
    counts = {
        "observedGeneration": statefulset["metadata"].get("generation", 1), "replicas": len(pods),
        "readyReplicas": ready, "currentReplicas": len(pods), "updatedReplicas": len(pods),
        "availableReplicas": ready, "currentRevision": revision, "updateRevision": revision, "collisionCount": 0,
    }  # fmt: skip
    return _without_zeros(counts, ("replicas", "availableReplicas", "collisionCount"))


def daemonset_status(daemonset: Json, pods: Sequence[Json], desired: int) -> Json:
    """From its pods and the number of nodes that should have one."""
    active = [pod for pod in pods if is_active(pod)]
    ready = sum(map(is_ready, active))
    status: Json = {
        "currentNumberScheduled": len(active), "numberMisscheduled": 0, "desiredNumberScheduled": desired,
        "numberReady": ready, "observedGeneration": daemonset["metadata"].get("generation", 1),
        "updatedNumberScheduled": len(active), "numberAvailable": ready,
    }  # fmt: skip
    return {**status, **({"numberUnavailable": desired - ready} if desired > ready else {})}


def job_status(job: Json, pods: Sequence[Json], at: datetime) -> Json:
    """From its pods: active, succeeded, failed, and the condition once it is over."""
    phases = [pod["status"].get("phase") for pod in pods]
    old = job.get("status", {})
    succeeded, failed = phases.count("Succeeded"), phases.count("Failed")
    active = sum(map(is_active, pods))
    status: Json = {
        "startTime": old.get("startTime", rfc3339(at)), "active": active, "ready": sum(map(is_ready, pods)),
        "succeeded": succeeded, "failed": failed, "terminating": 0, "uncountedTerminatedPods": {},
        "conditions": list(old.get("conditions", ())),
    }  # fmt: skip
    if old.get("completionTime"):
        status["completionTime"] = old["completionTime"]
    if not status["conditions"]:
        if succeeded >= job["spec"].get("completions", 1):
            status["completionTime"] = rfc3339(at)
            text = "Reached expected number of succeeded pods"
            status["conditions"] = _job_end(("SuccessCriteriaMet", "Complete"), "CompletionsReached", text, at)
        elif failed > job["spec"].get("backoffLimit", 6):
            text = "Job has reached the specified backoff limit"
            status["conditions"] = _job_end(("FailureTarget", "Failed"), "BackoffLimitExceeded", text, at)
    return _without_zeros(status, ("ready", "terminating", "uncountedTerminatedPods"))


def _job_end(types: tuple[str, ...], reason: str, message: str, at: datetime) -> list[Json]:
    when = rfc3339(at)
    return [
        {"type": kind, "status": "True", "reason": reason, "message": message,
         "lastProbeTime": when, "lastTransitionTime": when}
        for kind in types
    ]  # fmt: skip


def budget_status(budget: Json, pods: Sequence[Json], at: datetime) -> Json:
    """A PodDisruptionBudget's counts over the pods that it selects."""
    spec, active = budget["spec"], [pod for pod in pods if is_active(pod)]
    healthy, expected = sum(map(is_ready, active)), len(active)
    if "minAvailable" in spec:
        desired = _scaled(spec["minAvailable"], expected, up=True)
    else:
        desired = max(expected - _scaled(spec.get("maxUnavailable", 0), expected, up=True), 0)
    allowed = max(healthy - desired, 0)
    conditions = [dict(condition) for condition in budget.get("status", {}).get("conditions", ())]
    reason = "SufficientPods" if allowed else "InsufficientPods"
    condition = {"type": "DisruptionAllowed", "status": "True" if allowed else "False", "reason": reason, "message": ""}
    set_condition(conditions, condition, at)
    for entry in conditions:
        entry.pop("lastUpdateTime", None)
        entry["observedGeneration"] = budget["metadata"].get("generation", 1)
    return {
        "currentHealthy": healthy, "desiredHealthy": desired, "disruptionsAllowed": allowed, "expectedPods": expected,
        "observedGeneration": budget["metadata"].get("generation", 1), "conditions": conditions,
    }  # fmt: skip
