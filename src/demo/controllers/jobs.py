"""Jobs and CronJobs."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta

from demo import pod_states, workload_status
from demo.api_status import Json
from demo.controllers.cluster_view import ClusterView
from demo.pod_states import is_active
from demo.timestamps import parse_time, rfc3339


def _field_matches(field: str, value: int, low: int) -> bool:
    """One field of a schedule: `*`, `*/5`, `1-5`, `0,30`."""
    for part in field.split(","):
        span, _, step = part.partition("/")
        if span == "*":
            first, last = low, 59
        elif "-" in span:
            first, last = (int(end) for end in span.split("-"))
        else:
            first = last = int(span)
        if first <= value <= last and (value - first) % int(step or 1) == 0:
            return True
    return False


def is_scheduled(schedule: str, moment: datetime) -> bool:
    """Whether a five-field cron schedule names this minute (UTC); False for what cannot be read."""
    fields = schedule.split()
    if len(fields) != 5:
        return False
    sunday_first = (moment.weekday() + 1) % 7
    values = ((moment.minute, 0), (moment.hour, 0), (moment.day, 1), (moment.month, 1), (sunday_first, 0))
    try:
        return all(_field_matches(field, value, low) for field, (value, low) in zip(fields, values, strict=True))
    except ValueError:
        return False


class JobController:
    """Pods for Jobs until they are complete or have failed too often."""

    def __init__(self, view: ClusterView) -> None:
        self._view = view

    def tick(self) -> None:
        for stored in self._view.all("jobs.batch"):
            if not stored.obj["metadata"].get("deletionTimestamp"):
                self._sync(stored.obj)

    def _sync(self, job: Json) -> None:
        if job.get("status", {}).get("conditions"):
            return
        pods = self._view.pods_of(job)
        spec = job["spec"]
        if not spec.get("suspend"):
            phases = [pod["status"].get("phase") for pod in pods]
            left = spec.get("completions", 1) - phases.count("Succeeded")
            active = sum(map(is_active, pods))
            failed_often = phases.count("Failed") > spec.get("backoffLimit", 6)
            for _ in range(0 if failed_often else min(left, spec.get("parallelism", 1)) - active):
                self._add_pod(job)
        status = workload_status.job_status(job, self._view.pods_of(job), self._view.now())
        changed = self._view.save_status("jobs.batch", job, status)
        if changed is not job and status.get("completionTime"):
            self._view.event(changed, "Normal", "Completed", "Job completed", "job-controller")

    def _add_pod(self, job: Json) -> None:
        prefix = f"{job['metadata']['name'][:57]}-"
        name, namespace = prefix + self._view.identifiers.suffix(), job["metadata"]["namespace"]
        template = job["spec"]["template"]
        self._view.create("pods", pod_states.pod_from_template(template, namespace, name, job, self._view.identifiers, prefix))
        self._view.event(job, "Normal", "SuccessfulCreate", f"Created pod: {name}", "job-controller")


class CronJobController:
    """Starts a Job in each minute that the schedule names, and keeps the last few."""

    def __init__(self, view: ClusterView) -> None:
        self._view = view

    def tick(self) -> None:
        minute = self._view.now().astimezone(UTC).replace(second=0, microsecond=0)
        for stored in self._view.all("cronjobs.batch"):
            if not stored.obj["metadata"].get("deletionTimestamp"):
                self._sync(stored.obj, minute)

    def _sync(self, cronjob: Json, minute: datetime) -> None:
        spec, status = cronjob["spec"], dict(cronjob.get("status", {}))
        jobs = self._view.children(cronjob, "jobs.batch")
        running = [job for job in jobs if not job.get("status", {}).get("conditions")]
        last = parse_time(status["lastScheduleTime"]) if status.get("lastScheduleTime") else minute - timedelta(days=1)
        due = minute > last and is_scheduled(spec["schedule"], minute) and not spec.get("suspend")
        if due and not (running and spec.get("concurrencyPolicy") == "Forbid"):
            running.append(self._start(cronjob, minute))
            status["lastScheduleTime"] = rfc3339(minute)
        ended = [job["status"]["completionTime"] for job in jobs if job.get("status", {}).get("completionTime")]
        if ended:
            status["lastSuccessfulTime"] = max(ended)
        status["active"] = [
            {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"],
             "namespace": job["metadata"]["namespace"], "uid": job["metadata"]["uid"]}
            for job in running
        ]  # fmt: skip
        if not status["active"]:
            del status["active"]
        self._view.save_status("cronjobs.batch", cronjob, status)
        self._forget_old(cronjob, jobs)

    def _start(self, cronjob: Json, minute: datetime) -> Json:
        name = f"{cronjob['metadata']['name']}-{int(minute.timestamp()) // 60}"
        template = copy.deepcopy(cronjob["spec"]["jobTemplate"])
        metadata = {**template.get("metadata", {}), "name": name, "namespace": cronjob["metadata"]["namespace"]}
        metadata["ownerReferences"] = [pod_states.owner_reference(cronjob)]
        job = self._view.create(
            "jobs.batch", {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"]}
        )
        self._view.event(cronjob, "Normal", "SuccessfulCreate", f"Created job {name}", "cronjob-controller")
        return job

    def _forget_old(self, cronjob: Json, jobs: list[Json]) -> None:
        for condition, limit in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
            over = [job for job in jobs if any(c["type"] == condition for c in job.get("status", {}).get("conditions", ()))]
            over.sort(key=lambda job: job["metadata"]["creationTimestamp"])
            for job in over[: max(len(over) - cronjob["spec"].get(limit, 3), 0)]:
                self._view.delete("jobs.batch", job)
