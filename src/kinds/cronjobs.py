"""CronJobs."""

from __future__ import annotations

from typing import Any

from kinds.booleans import is_on
from kinds.kind import Kind
from kinds.metadata import common
from kinds.named_lists import names_of
from kinds.record import Json, Time, column, record
from kinds.times import to_time
from kinds.workload_health import WorkloadRecord, pod_template


@record
class CronJobRecord(WorkloadRecord):
    """What `kubectl get cronjobs -o wide` shows, and how the last run ended."""

    schedule: str | None = column("spec.schedule, five fields or @daily and the like")
    time_zone: str | None = column("spec.timeZone; null is that of the controller, mostly UTC")
    suspended: bool = column("spec.suspend: starts no jobs (SUSPEND)", index=True)
    healthy: bool = column("the latest scheduled run succeeded or still runs; true before the first", index=True)
    active: int = column("number of jobs that run (ACTIVE)")
    active_jobs: Json | None = column("their names, a JSON list", tracked=False)
    last_schedule_at: Time | None = column("status.lastScheduleTime (LAST SCHEDULE)", index=True, tracked=False)
    last_success_at: Time | None = column("status.lastSuccessfulTime: when a run last finished with success", tracked=False)
    concurrency_policy: str | None = column("Allow, Forbid or Replace")
    starting_deadline_seconds: int | None = column("spec.startingDeadlineSeconds: a later run is skipped; null: no limit")
    successful_history: int | None = column("spec.successfulJobsHistoryLimit")
    failed_history: int | None = column("spec.failedJobsHistoryLimit")
    backoff_limit: int | None = column("backoffLimit of its jobs; null is the default, 6")


def read(cronjob: dict[str, Any]) -> CronJobRecord:
    """Redacted API object -> CronJobRecord."""
    spec, status = cronjob.get("spec") or {}, cronjob.get("status") or {}
    job = (spec.get("jobTemplate") or {}).get("spec") or {}
    active = status.get("active") or []
    scheduled, succeeded = to_time(status.get("lastScheduleTime")), to_time(status.get("lastSuccessfulTime"))
    return CronJobRecord(
        **common(cronjob),
        schedule=spec.get("schedule"),
        time_zone=spec.get("timeZone"),
        suspended=is_on(spec.get("suspend")),
        healthy=scheduled is None or bool(active) or (succeeded is not None and succeeded >= scheduled),
        active=len(active),
        active_jobs=names_of(status.get("active")),
        last_schedule_at=scheduled,
        last_success_at=succeeded,
        concurrency_policy=spec.get("concurrencyPolicy"),
        starting_deadline_seconds=spec.get("startingDeadlineSeconds"),
        successful_history=spec.get("successfulJobsHistoryLimit"),
        failed_history=spec.get("failedJobsHistoryLimit"),
        backoff_limit=job.get("backoffLimit"),
        **pod_template(job),
    )


CRONJOBS = Kind(
    name="cronjobs",
    kind="CronJob",
    group="batch",
    version="v1",
    namespaced=True,
    dynamic=True,
    record=CronJobRecord,
    read=read,
    list_columns=(
        "namespace", "name", "schedule", "time_zone", "suspended", "active", "last_schedule_at", "healthy", "created_at",
        "images",
    ),
    filters={"healthy": "healthy", "suspended": "suspended"},
    aliases=("cronjob", "cj"),
)  # fmt: skip
