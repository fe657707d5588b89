"""Payments: a budget, a quota, network policies, a password in the open, and a pod that fits nowhere."""

from __future__ import annotations

from datetime import timedelta

from demo import pod_states
from demo.api_status import Json
from demo.scenario.workloads import app_labels, container, deployment, running, service, template
from demo.scenario.world import World, ago
from demo.scheduling import choose_node

NAMESPACE = "payments"
REGISTRY = "registry.example.com/payments"
AGE = ago(days=35)
PENDING_FOR = ago(minutes=53)


def _api(world: World) -> None:
    labels = app_labels("payments-api", "payments")
    reference = {"secretKeyRef": {"name": "payments-db", "key": "password"}}
    one = container(
        "payments-api",
        f"{REGISTRY}/payments-api:5.1.0",
        port=8443,
        requests=("250m", "256Mi"),
        limits=("1", "512Mi"),
        probe="/ready",
        env=[{"name": "DB_PASSWORD", "valueFrom": reference}],
        securityContext={"runAsNonRoot": True, "readOnlyRootFilesystem": True},
    )
    deployment(world, NAMESPACE, "payments-api", template(labels, [one], serviceAccountName="payments-api"), age=AGE,
               pods=[(ago(days=4), running)] * 3, revision=6)  # fmt: skip
    service(world, NAMESPACE, "payments-api", labels, [{"name": "https", "port": 443, "targetPort": "http"}], age=AGE)
    world.add("v1", "ServiceAccount", "payments-api", namespace=NAMESPACE, age=AGE)
    spec = {"minAvailable": 2, "selector": {"matchLabels": app_labels("payments-api")}}
    world.add("policy/v1", "PodDisruptionBudget", "payments-api", namespace=NAMESPACE, age=AGE, spec=spec)


def _ledger(world: World) -> None:
    """The literal password in its environment is what redaction has to catch."""
    labels = app_labels("ledger", "payments")
    env = [{"name": "LEDGER_DB_USER", "value": "ledger"}, {"name": "LEDGER_DB_PASSWORD", "value": "Demo-Ledger-Passw0rd-4711"},
           {"name": "LOG_LEVEL", "value": "info"}]  # fmt: skip
    one = container(
        "ledger", f"{REGISTRY}/ledger:1.22.0", port=8080, requests=("100m", "256Mi"), limits=("500m", "512Mi"), env=env
    )
    deployment(world, NAMESPACE, "ledger", template(labels, [one]), age=AGE, pods=[(ago(days=11), running)] * 2, revision=3)
    service(world, NAMESPACE, "ledger", labels, [{"name": "http", "port": 80, "targetPort": "http"}], age=AGE)


def _fits_nowhere(world: World, pod: Json, age: timedelta) -> None:
    nodes = [stored.obj for stored in world.store.snapshot(world.table.by_key("nodes"))]
    text = choose_node(pod, nodes, []).message
    pod_states.unschedulable(pod, text, world.at(age))
    world.event(pod, "Warning", "FailedScheduling", text, first=age, last=ago(minutes=2), count=11, component="default-scheduler")


def _fraud_scorer(world: World) -> None:
    labels = app_labels("fraud-scorer", "payments")
    one = container(
        "fraud-scorer",
        f"{REGISTRY}/fraud-scorer:0.9.1",
        port=8080,
        requests=("24", "96Gi"),
        limits=("24", "96Gi"),
        probe="/healthz",
    )
    deployment(world, NAMESPACE, "fraud-scorer", template(labels, [one]), age=PENDING_FOR, pods=[(PENDING_FOR, _fits_nowhere)],
               rolled_out=False)  # fmt: skip


def _policies(world: World) -> None:
    deny = {"podSelector": {}, "policyTypes": ["Ingress"]}
    world.add("networking.k8s.io/v1", "NetworkPolicy", "default-deny", namespace=NAMESPACE, age=AGE, spec=deny)
    source = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}}
    allow = {"podSelector": {"matchLabels": app_labels("payments-api")}, "policyTypes": ["Ingress"],
             "ingress": [{"from": [source], "ports": [{"protocol": "TCP", "port": 8443}]}]}  # fmt: skip
    world.add("networking.k8s.io/v1", "NetworkPolicy", "allow-from-shop", namespace=NAMESPACE, age=AGE, spec=allow)
    hard = {"requests.cpu": "40", "requests.memory": "160Gi", "limits.cpu": "48", "pods": "30"}
    used = {"requests.cpu": "24950m", "requests.memory": "99584Mi", "limits.cpu": "28", "pods": "6"}
    world.add(
        "v1", "ResourceQuota", "compute", namespace=NAMESPACE, age=AGE, spec={"hard": hard}, status={"hard": hard, "used": used}
    )


def add_payments(world: World) -> None:
    _api(world)
    _ledger(world)
    _fraud_scorer(world)
    _policies(world)
