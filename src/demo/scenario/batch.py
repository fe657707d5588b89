"""Jobs: a nightly backup with its history, a report that runs now, a migration that failed; and the parcels."""

from __future__ import annotations

from datetime import timedelta

from demo import pod_states, workload_status
from demo.api_status import Json
from demo.scenario.workloads import app_labels, container, deployment, pod, running, service, template
from demo.scenario.world import World, ago
from demo.timestamps import rfc3339

REGISTRY = "registry.example.com"


def _ended(took: timedelta, exit_code: int) -> object:
    def state(world: World, made: Json, age: timedelta) -> None:
        running(world, made, age)
        entry = made["status"]["containerStatuses"][0]
        started, at = world.at(age) + timedelta(seconds=4), world.at(age) + took
        reason = "Error" if exit_code else "Completed"
        pod_states.end_container(entry, exit_code, reason, started, at)
        entry["ready"] = False
        pod_states.settle(made, at)

    return state


def job(world: World, namespace: str, name: str, pod_template: Json, *, age: timedelta, states: list[object],
        ended: timedelta | None = None, owner: Json | None = None, **spec: object) -> Json:  # fmt: skip
    """A Job with its pods; `ended` is how long ago it was over."""
    made = world.prepare("batch/v1", "Job", name, namespace=namespace, age=age, owner=owner,
                         labels=pod_template["metadata"]["labels"], spec={"template": pod_template, **spec})  # fmt: skip
    prefix = f"{name}-"
    pods = [
        pod(world, made, prefix + world.identifiers.suffix(), age - timedelta(seconds=12 * index), state, generate_name=prefix)  # type: ignore[arg-type]
        for index, state in enumerate(states)
    ]
    made["status"] = {"startTime": rfc3339(world.at(age))}
    made["status"] = workload_status.job_status(made, pods, world.at(ended or ago()))
    if owner is None:
        world.event(made, "Normal", "SuccessfulCreate", f"Created pod: {pods[0]['metadata']['name']}",
                    first=min(age, ago(minutes=59)), component="job-controller")  # fmt: skip
    return world.keep(made, "kube-controller-manager")


def _backup(world: World) -> None:
    one = container("backup", "docker.io/library/postgres:17.6", requests=("200m", "256Mi"), command=["/scripts/backup.sh"],
                    envFrom=[{"secretRef": {"name": "postgres"}}])  # fmt: skip
    source = template(app_labels("db-backup", "data"), [one], restartPolicy="OnFailure")
    last = ago(hours=7, minutes=12)
    made = world.prepare(
        "batch/v1",
        "CronJob",
        "db-backup",
        namespace="data",
        age=ago(days=36),
        labels=app_labels("db-backup", "data"),
        spec={
            "schedule": "0 2 * * *",
            "timeZone": "Etc/UTC",
            "concurrencyPolicy": "Forbid",
            "jobTemplate": {"spec": {"template": source, "backoffLimit": 2}},
        },
        status={
            "lastScheduleTime": rfc3339(world.at(last)),
            "lastSuccessfulTime": rfc3339(world.at(last - timedelta(minutes=3, seconds=9))),
        },
    )
    for nights in (2, 1, 0):
        age = last + timedelta(days=nights)
        minutes = int(world.at(age).timestamp()) // 60
        job(world, "data", f"db-backup-{minutes}", source, age=age, states=[_ended(timedelta(minutes=3, seconds=7), 0)],
            ended=age - timedelta(minutes=3, seconds=9), owner=made, backoffLimit=2)  # fmt: skip
    world.keep(made)


def _continuous_integration(world: World) -> None:
    migrate = container(
        "migrate", f"{REGISTRY}/shop/catalog-migrations:2.8.0", requests=("100m", "128Mi"), command=["migrate", "up"]
    )
    source = template(app_labels("catalog-migrate", "shop"), [migrate], restartPolicy="Never")
    age = ago(minutes=33)
    failing = [_ended(timedelta(seconds=9), 2)] * 2
    failed = job(
        world,
        "ci",
        "catalog-migrate-2-8-0",
        source,
        age=age,
        states=list(failing),
        ended=age - timedelta(seconds=40),
        backoffLimit=1,
    )
    world.event(failed, "Warning", "BackoffLimitExceeded", "Job has reached the specified backoff limit",
                first=age - timedelta(seconds=40), component="job-controller")  # fmt: skip
    report = container("report", f"{REGISTRY}/analytics/report:7.0.2", requests=("500m", "512Mi"), args=["--month", "current"])
    job(
        world,
        "ci",
        "sales-report",
        template(app_labels("sales-report"), [report], restartPolicy="Never"),
        age=ago(minutes=6),
        states=[running],
    )
    cleaner = container("cleaner", f"{REGISTRY}/ci/registry-cleaner:1.3.0", requests=("50m", "64Mi"))
    source = template(app_labels("registry-cleaner"), [cleaner], restartPolicy="OnFailure")
    world.add("batch/v1", "CronJob", "registry-cleaner", namespace="ci", age=ago(days=30), status={},
              spec={"schedule": "30 4 * * 0", "suspend": True, "jobTemplate": {"spec": {"template": source}}})  # fmt: skip
    limits = [
        {
            "type": "Container",
            "default": {"cpu": "1", "memory": "1Gi"},
            "defaultRequest": {"cpu": "100m", "memory": "128Mi"},
            "max": {"cpu": "4", "memory": "8Gi"},
        }
    ]
    world.add("v1", "LimitRange", "defaults", namespace="ci", age=ago(days=30), spec={"limits": limits})


def _logistics(world: World) -> None:
    """A team that writes Chinese: in an annotation, in a ConfigMap and in its log."""
    labels = {**app_labels("parcel-tracker", "logistics"), "team": "wuliu"}
    about = {"example.com/description": "包裹追踪服务：同步各快递公司的物流状态", "example.com/owner": "物流平台组"}
    one = container(
        "parcel-tracker",
        f"{REGISTRY}/logistics/parcel-tracker:1.6.0",
        port=8080,
        requests=("50m", "96Mi"),
        limits=("250m", "192Mi"),
        env=[{"name": "LANG", "value": "zh_CN.UTF-8"}],
    )
    deployment(world, "logistics", "parcel-tracker", template(labels, [one], about), age=ago(days=12), annotations=about,
               pods=[(ago(days=2), running)] * 2, revision=2)  # fmt: skip
    service(world, "logistics", "parcel-tracker", labels, [{"name": "http", "port": 80, "targetPort": "http"}], age=ago(days=12))
    world.add("v1", "ConfigMap", "carriers", namespace="logistics", age=ago(days=12), data={"carriers.txt": "顺丰\n中通\n圆通\n"})


def _parcel_sync(world: World) -> None:
    """Every five minutes, so that something comes and goes."""
    one = container("sync", f"{REGISTRY}/logistics/parcel-sync:1.6.0", requests=("50m", "64Mi"))
    source = template(app_labels("parcel-sync", "logistics"), [one], restartPolicy="Never")
    seconds = int(world.start.timestamp()) % 300
    made = world.prepare(
        "batch/v1",
        "CronJob",
        "parcel-sync",
        namespace="logistics",
        age=ago(days=12),
        labels=app_labels("parcel-sync", "logistics"),
        spec={
            "schedule": "*/5 * * * *",
            "concurrencyPolicy": "Forbid",
            "successfulJobsHistoryLimit": 1,
            "jobTemplate": {"spec": {"template": source}},
        },
        status={
            "lastScheduleTime": rfc3339(world.at(ago(seconds=seconds))),
            "lastSuccessfulTime": rfc3339(world.at(ago(seconds=seconds + 280))),
        },
    )
    age = ago(seconds=seconds + 300)
    name = f"parcel-sync-{int(world.at(age).timestamp()) // 60}"
    job(
        world,
        "logistics",
        name,
        source,
        age=age,
        states=[_ended(timedelta(seconds=18), 0)],
        ended=age - timedelta(seconds=20),
        owner=made,
    )
    world.keep(made)


def add_batch(world: World) -> None:
    _backup(world)
    _continuous_integration(world)
    _logistics(world)
    _parcel_sync(world)
