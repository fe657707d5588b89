"""Databases with claims, one of them on the node that went away, and the monitoring."""

from __future__ import annotations

from datetime import timedelta

from demo.api_status import Json
from demo.scenario import texts
from demo.scenario.nodes import CONTROL_PLANE, LOST_FOR, LOST_NODE, WORKERS
from demo.scenario.workloads import (
    app_labels,
    container,
    daemonset,
    deployment,
    evicted_with_node,
    on_node,
    running,
    service,
    statefulset,
    template,
)  # fmt: skip
from demo.scenario.world import World, ago

AGE = ago(days=36)


def _storage_classes(world: World) -> None:
    for name, default in (("standard", True), ("fast-ssd", False)):
        annotations = {"storageclass.kubernetes.io/is-default-class": "true"} if default else None
        world.add(
            "storage.k8s.io/v1",
            "StorageClass",
            name,
            age=ago(days=41),
            annotations=annotations,
            provisioner="csi.example.com",
            reclaimPolicy="Delete",
            allowVolumeExpansion=True,
            volumeBindingMode="WaitForFirstConsumer",
            parameters={"type": "ssd" if name == "fast-ssd" else "hdd"},
        )


def _postgres(world: World) -> None:
    labels = app_labels("postgres", "data")
    one = container("postgres", "docker.io/library/postgres:17.6", requests=("500m", "1Gi"), limits=("2", "2Gi"),
                    envFrom=[{"secretRef": {"name": "postgres"}}])  # fmt: skip
    one["ports"] = [{"name": "postgres", "containerPort": 5432}]
    one["volumeMounts"] = [{"name": "data", "mountPath": "/var/lib/postgresql/data"}]
    ready = {"exec": {"command": ["pg_isready", "-U", "postgres"]}, "periodSeconds": 10}
    one["readinessProbe"] = ready
    statefulset(world, "data", "postgres", template(labels, [one]), age=AGE, states=[running, running], storage="data",
                size="50Gi", storage_class="fast-ssd")  # fmt: skip
    port = [{"name": "postgres", "port": 5432, "targetPort": "postgres"}]
    service(world, "data", "postgres", labels, port, age=AGE)
    service(world, "data", "postgres-headless", labels, port, age=AGE, clusterIP="None")


def _redis(world: World) -> None:
    """redis-2 was on the node that went away: stuck in Terminating, as only its kubelet could end it."""

    def stuck(made_world: World, pod: Json, age: timedelta) -> None:
        on_node(LOST_NODE)(made_world, pod, age)
        evicted_with_node(made_world, pod)

    labels = app_labels("redis", "data")
    one = container("redis", "docker.io/library/redis:8.2.1", requests=("100m", "256Mi"), limits=("500m", "512Mi"))
    one["ports"] = [{"name": "redis", "containerPort": 6379}]
    one["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    made = statefulset(
        world, "data", "redis", template(labels, [one]), age=AGE, states=[running, running, stuck], storage="data", size="8Gi"
    )
    port = [{"name": "redis", "port": 6379, "targetPort": "redis"}]
    service(world, "data", "redis", labels, port, age=AGE)
    service(world, "data", "redis-headless", labels, port, age=AGE, clusterIP="None")
    texts.lost(world, world.find("pods", "data", f"{made['metadata']['name']}-2"), LOST_FOR)


def _monitoring(world: World) -> None:
    age = ago(days=38)
    prometheus = container(
        "prometheus",
        "quay.io/prometheus/prometheus:v3.6.0",
        port=9090,
        requests=("250m", "1Gi"),
        probe="/-/ready",
        args=["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.retention.time=15d"],
    )
    labels = app_labels("prometheus", "monitoring")
    statefulset(
        world,
        "monitoring",
        "prometheus",
        template(labels, [prometheus], serviceAccountName="prometheus"),
        age=age,
        states=[running],
        storage="tsdb",
        size="100Gi",
    )
    service(world, "monitoring", "prometheus", labels, [{"name": "http", "port": 9090, "targetPort": "http"}], age=age)
    world.add("v1", "ServiceAccount", "prometheus", namespace="monitoring", age=age)
    config = (
        "global:\n  scrape_interval: 30s\nscrape_configs:\n- job_name: kubernetes-pods\n  kubernetes_sd_configs:\n  - role: pod\n"
    )
    world.add("v1", "ConfigMap", "prometheus", namespace="monitoring", age=age, data={"prometheus.yml": config})
    grafana = container("grafana", "docker.io/grafana/grafana:12.2.0", port=3000, requests=("100m", "128Mi"), probe="/api/health")
    labels = app_labels("grafana", "monitoring")
    deployment(world, "monitoring", "grafana", template(labels, [grafana]), age=age, pods=[(ago(days=7), running)], revision=5)
    service(world, "monitoring", "grafana", labels, [{"name": "http", "port": 80, "targetPort": "http"}], age=age)
    exporter = container("node-exporter", "quay.io/prometheus/node-exporter:v1.9.1", requests=("10m", "32Mi"))
    exporter["ports"] = [{"name": "metrics", "containerPort": 9100, "hostPort": 9100}]
    source = template(
        app_labels("node-exporter", "monitoring"),
        [exporter],
        hostNetwork=True,
        hostPID=True,
        tolerations=[{"operator": "Exists"}],
    )
    daemonset(world, "monitoring", "node-exporter", source, age=age, nodes=(CONTROL_PLANE, *WORKERS))


def add_data(world: World) -> None:
    """Storage classes, postgres, redis, prometheus, grafana and the node exporters."""
    _storage_classes(world)
    _postgres(world)
    _redis(world)
    _monitoring(world)
