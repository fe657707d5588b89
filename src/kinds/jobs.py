"""Jobs."""

from __future__ import annotations

from typing import Any

from kinds.booleans import is_on
from kinds.kind import Kind
from kinds.metadata import common, condition
from kinds.record import Time, column, record
from kinds.times import to_time
from kinds.workload_health import WorkloadRecord, pod_template


@record
class JobRecord(WorkloadRecord):
    """What `kubectl get jobs -o wide` shows."""

    status: str = column("STATUS as kubectl prints it: Running, Complete, Failed, Suspended, Terminating …", index=True)
    healthy: bool = column("not failed", index=True)
    completions: str = column("COMPLETIONS as kubectl prints them: succeeded/wanted")
    wanted: int | None = column("spec.completions; null for a work queue")
    parallelism: int | None = column("spec.parallelism")
    active: int = column("status.active: pods that run")
    succeeded: int = column("status.succeeded: pods that finished with success")
    failed: int = column("status.failed: pods that failed")
    backoff_limit: int | None = column("spec.backoffLimit")
    completion_mode: str | None = column("NonIndexed or Indexed")
    active_deadline_seconds: int | None = column("spec.activeDeadlineSeconds; null: no limit")
    ttl_seconds_after_finished: int | None = column("when it is deleted after its end; null: never")
    suspended: bool = column("spec.suspend")
    started_at: Time | None = column("status.startTime")
    completed_at: Time | None = column("status.completionTime")
    duration_seconds: int | None = column("completion minus start; null while it runs", tracked=False)
    failure: str | None = column("reason of the Failed condition, e.g. BackoffLimitExceeded")
    failure_message: str | None = column("message of the Failed condition")


def read(job: dict[str, Any]) -> JobRecord:
    """Redacted API object -> JobRecord."""
    shared = common(job)
    spec, status = job.get("spec") or {}, job.get("status") or {}
    failed = condition(job, "Failed")
    has_failed = failed.get("status") == "True"
    started, completed = to_time(status.get("startTime")), to_time(status.get("completionTime"))
    return JobRecord(
        **shared,
        status=_status(job, shared["deleting_since"]),
        healthy=not has_failed,
        completions=_completions(spec, status),
        wanted=spec.get("completions"),
        parallelism=spec.get("parallelism"),
        active=status.get("active", 0),
        succeeded=status.get("succeeded", 0),
        failed=status.get("failed", 0),
        backoff_limit=spec.get("backoffLimit"),
        completion_mode=spec.get("completionMode"),
        active_deadline_seconds=spec.get("activeDeadlineSeconds"),
        ttl_seconds_after_finished=spec.get("ttlSecondsAfterFinished"),
        suspended=is_on(spec.get("suspend")),
        started_at=started,
        completed_at=completed,
        duration_seconds=None if started is None or completed is None else completed - started,
        failure=failed.get("reason") if has_failed else None,
        failure_message=failed.get("message") if has_failed else None,
        **pod_template(spec),
    )


def _status(job: dict[str, Any], deleting_since: Time | None) -> str:
    """Source: kubernetes pkg/printers/internalversion/printers.go, printJob."""
    for type_ in ("Complete", "Failed"):
        if condition(job, type_).get("status") == "True":
            return type_
    if deleting_since is not None:
        return "Terminating"
    for type_, words in (
        ("Suspended", "Suspended"),
        ("FailureTarget", "FailureTarget"),
        ("SuccessCriteriaMet", "SuccessCriteriaMet"),
    ):
        if condition(job, type_).get("status") == "True":
            return words
    return "Running"


def _completions(spec: dict[str, Any], status: dict[str, Any]) -> str:
    """Source: printJob: a work queue counts towards `1 of N`."""
    succeeded = status.get("succeeded", 0)
    if spec.get("completions") is not None:
        return f"{succeeded}/{spec['completions']}"
    parallelism = spec.get("parallelism") or 0
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


JOBS = Kind(
    name="jobs",
    kind="Job",
    group="batch",
    version="v1",
    namespaced=True,
    dynamic=True,
    record=JobRecord,
    read=read,
    list_columns=("namespace", "name", "status", "completions", "started_at", "duration_seconds", "created_at", "images"),
    filters={"status": "status", "healthy": "healthy"},
    aliases=("job",),
)
