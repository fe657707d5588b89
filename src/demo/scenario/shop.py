"""The web shop: healthy services beside a bad rollout, a crash loop, a container out of memory and a typo."""

from __future__ import annotations

from datetime import timedelta

import orjson

from demo import pod_states
from demo.api_status import Json
from demo.scenario import texts
from demo.scenario.nodes import LOST_FOR, LOST_NODE
from demo.scenario.workloads import (
    app_labels,
    container,
    deployment,
    evicted_with_node,
    finish_deployment,
    on_node,
    replicaset,
    running,
    service,
    template,
)  # fmt: skip
from demo.scenario.world import World, ago

NAMESPACE = "shop"
REGISTRY = "registry.example.com/shop"
AGE = ago(days=35)
ROLLOUT = ago(minutes=27)
HTTP = [{"name": "http", "port": 80, "targetPort": "http"}]


def _web(name: str, tag: str, *, memory: str = "256Mi", limits: bool = True, **fields: object) -> Json:
    return container(name, f"{REGISTRY}/{name}:{tag}", port=8080, requests=("100m", "128Mi"),
                     limits=("500m", memory) if limits else None, probe="/healthz", **fields)  # type: ignore[arg-type]  # fmt: skip


def _replaced(world: World, pod: Json, age: timedelta) -> None:
    on_node(LOST_NODE)(world, pod, age)
    evicted_with_node(world, pod)


def _storefront(world: World) -> None:
    """Healthy; one of its pods was on the node that went away and has been replaced."""
    labels = app_labels("storefront", "shop")
    source = template(labels, [_web("storefront", "4.12.1", env=[{"name": "LOG_LEVEL", "value": "info"}])],
                      {"prometheus.io/scrape": "true"})  # fmt: skip
    deployment(world, NAMESPACE, "storefront", source, age=AGE, revision=9, replicas=4,
               pods=[(ago(days=3), running)] * 3 + [(ago(days=3), _replaced), (ago(minutes=9), running)])  # fmt: skip
    service(world, NAMESPACE, "storefront", labels, HTTP, age=AGE)


def _cart(world: World) -> None:
    labels = app_labels("cart", "shop")
    proxy = container("envoy", "docker.io/envoyproxy/envoy:v1.35.3", requests=("50m", "64Mi"), restartPolicy="Always")
    source = template(labels, [_web("cart", "2.3.0")], initContainers=[proxy])
    deployment(world, NAMESPACE, "cart", source, age=AGE, pods=[(ago(days=6), running)] * 2, revision=4)
    service(world, NAMESPACE, "cart", labels, HTTP, age=AGE)


def _catalog(world: World) -> None:
    """A rollout to an image that does not exist: the old ReplicaSet goes on, the new one cannot start."""
    labels = app_labels("catalog", "shop")
    good, bad = template(labels, [_web("catalog", "2.7.4")]), template(labels, [_web("catalog", texts.MISSING_TAG)])
    made = world.prepare(
        "apps/v1", "Deployment", "catalog", namespace=NAMESPACE, age=AGE, labels=labels,
        annotations={"deployment.kubernetes.io/revision": "7", "kubernetes.io/change-cause": "release 2.8.0"},
        spec={"replicas": 3, "selector": {"matchLabels": app_labels("catalog")}, "template": bad},
    )  # fmt: skip
    made["metadata"]["generation"] = 7
    replicaset(world, made, age=ago(days=8), pods=[(ago(days=8), running)] * 3, replicas=3, revision=6, pod_template=good)
    new = replicaset(world, made, age=ROLLOUT, pods=[(ROLLOUT, _cannot_pull)], replicas=1, revision=7)
    finish_deployment(world, made, since=ROLLOUT, rolled_out=False)
    name = new["metadata"]["name"]
    world.event(made, "Normal", "ScalingReplicaSet", f"Scaled up replica set {name} from 0 to 1", first=ROLLOUT,
                component="deployment-controller")  # fmt: skip
    service(world, NAMESPACE, "catalog", labels, HTTP, age=AGE)


def _cannot_pull(world: World, pod: Json, age: timedelta) -> None:
    running(world, pod, age)
    node = pod["spec"]["nodeName"]
    address, at = pod["status"]["podIP"], world.at(age)
    host = pod["status"]["hostIP"]
    pod["status"] = {"phase": "Pending", "qosClass": pod["status"]["qosClass"]}
    pod_states.bind(pod, node, at)
    pod_states.start_creating(pod, host, at)
    pod["status"].update(podIP=address, podIPs=[{"ip": address}])
    pod_states.set_condition(pod, "PodReadyToStartContainers", True, at)
    entry = pod["status"]["containerStatuses"][0]
    pod_states.fail_pull(entry, backing_off=True)
    texts.scheduled(world, pod, age)
    texts.pull_failures(world, pod, entry["image"], age)


def _checkout(world: World) -> None:
    """Cannot reach its database: the ConfigMap names a port on which nobody listens."""
    labels = app_labels("checkout", "shop")
    world.add("v1", "ConfigMap", "checkout-config", namespace=NAMESPACE, age=ago(minutes=41), labels=labels,
              data={"DB_HOST": "postgres.data.svc.cluster.local", "DB_PORT": "5433", "DB_NAME": "orders",
                    "CURRENCIES": "EUR,USD,CNY"})  # fmt: skip
    secret = {"secretRef": {"name": "checkout-db"}}
    one = _web("checkout", "3.9.2", envFrom=[{"configMapRef": {"name": "checkout-config"}}, secret])
    deployment(world, NAMESPACE, "checkout", template(labels, [one]), age=AGE, pods=[(ago(minutes=38), texts.crash_looping)],
               revision=12)  # fmt: skip
    service(world, NAMESPACE, "checkout", labels, HTTP, age=AGE)


def _recommender(world: World) -> None:
    """Its memory limit is too small for its model: killed again and again."""
    labels = app_labels("recommender", "shop")
    one = _web("recommender", "1.4.0", memory="128Mi", env=[{"name": "MODEL_CACHE_MB", "value": "180"}])
    deployment(
        world,
        NAMESPACE,
        "recommender",
        template(labels, [one]),
        age=ago(days=9),
        pods=[(ago(hours=5), texts.out_of_memory_now), (ago(hours=5), texts.out_of_memory_before)],
        revision=2,
    )
    service(world, NAMESPACE, "recommender", labels, HTTP, age=ago(days=9))


def _inventory(world: World) -> None:
    """The Service selects a label that no pod has: it has no endpoints."""
    labels = app_labels("inventory", "shop")
    deployment(world, NAMESPACE, "inventory", template(labels, [_web("inventory", "1.18.3", limits=False)]), age=ago(days=20),
               pods=[(ago(days=2), running)] * 2, revision=3)  # fmt: skip
    made = service(
        world, NAMESPACE, "inventory", {"app.kubernetes.io/name": "inventory-api"}, HTTP, age=ago(days=20), labels=labels
    )
    backend = {"service": {"name": made["metadata"]["name"], "port": {"number": 80}}}
    _ingress(world, backend)


def _ingress(world: World, inventory: Json) -> None:
    backends = {
        "/": {"service": {"name": "storefront", "port": {"number": 80}}},
        "/api/cart": {"service": {"name": "cart", "port": {"number": 80}}},
        "/api/checkout": {"service": {"name": "checkout", "port": {"number": 80}}},
        "/api/inventory": inventory,
    }
    paths = [{"path": path, "pathType": "Prefix", "backend": backend} for path, backend in backends.items()]
    spec = {
        "ingressClassName": "nginx",
        "tls": [{"hosts": ["shop.example.com"], "secretName": "shop-tls"}],
        "rules": [{"host": "shop.example.com", "http": {"paths": paths}}],
    }
    world.add("networking.k8s.io/v1", "Ingress", "shop", namespace=NAMESPACE, age=AGE, spec=spec,
              annotations={"cert-manager.io/cluster-issuer": "letsencrypt"},
              status={"loadBalancer": {"ingress": [{"ip": "203.0.113.20"}]}})  # fmt: skip


def _autoscaler(world: World) -> None:
    """It cannot see the CPU use, as no metrics server runs: it keeps the replicas that there are."""
    target = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "storefront"}
    spec = {"scaleTargetRef": reference, "minReplicas": 3, "maxReplicas": 10, "metrics": [target]}
    since = texts.stamp(world, ago(days=35))
    failing = ("failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource "
               "metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)")  # fmt: skip
    conditions = [
        {"type": "AbleToScale", "status": "True", "reason": "SucceededGetScale", "lastTransitionTime": since,
         "message": "the HPA controller was able to get the target's current scale"},
        {"type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric", "lastTransitionTime": since,
         "message": f"the HPA was unable to compute the replica count: {failing}"},
    ]  # fmt: skip
    status = {"currentReplicas": 4, "desiredReplicas": 4, "currentMetrics": None, "conditions": conditions}
    made = world.add(
        "autoscaling/v2", "HorizontalPodAutoscaler", "storefront", namespace=NAMESPACE, age=AGE, spec=spec, status=status
    )
    world.event(made, "Warning", "FailedGetResourceMetric", failing, first=ago(minutes=58), last=ago(seconds=12), count=232,
                component="horizontal-pod-autoscaler")  # fmt: skip


def add_shop(world: World) -> None:
    """All of the shop namespace but its Secrets (scenario.configuration)."""
    _storefront(world)
    _cart(world)
    _catalog(world)
    _checkout(world)
    _recommender(world)
    _inventory(world)
    _autoscaler(world)
    spec = orjson.loads(orjson.dumps({"minAvailable": 2, "selector": {"matchLabels": app_labels("storefront")}}))
    world.add("policy/v1", "PodDisruptionBudget", "storefront", namespace=NAMESPACE, age=AGE, spec=spec)
    _report_lost_pods(world)


def _report_lost_pods(world: World) -> None:
    """What the node controller and the taint manager say about the pods of the node that went away."""
    for stored in world.store.snapshot(world.table.by_key("pods")):
        pod = stored.obj
        if pod["spec"].get("nodeName") != LOST_NODE or pod["metadata"]["namespace"] != NAMESPACE:
            continue
        texts.lost(world, pod, LOST_FOR)
