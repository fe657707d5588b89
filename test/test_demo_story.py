"""The story of the simulated cluster: what is broken in it, that it hangs together, and how it moves."""

from __future__ import annotations

from collections import Counter

import pytest

from demo.pod_status import summarise
from demo.scenario.configuration import CANARY
from demo.simulated_cluster import SimulatedCluster
from demo_fixtures import START, TOKEN, Demo, Json, MovableClock

MERGE = "application/merge-patch+json"


def dump(cluster: SimulatedCluster) -> dict[str, bytes]:
    return {
        f"{key} {stored.key}": stored.json
        for key in cluster.store.resource_keys()
        for stored in cluster.store.snapshot(cluster.table.by_key(key))
    }


def moved_cluster(seed: int, ticks: int) -> SimulatedCluster:
    clock = MovableClock()
    cluster = SimulatedCluster(seed, clock=clock, token=TOKEN)
    for _ in range(ticks):
        clock.advance(seconds=1)
        cluster.movement.tick()
    return cluster


def every(demo: Demo, key: str) -> list[Json]:
    return [stored.obj for stored in demo.cluster.store.snapshot(demo.cluster.table.by_key(key))]


def pods_of(demo: Demo, app: str) -> list[Json]:
    return [pod for pod in every(demo, "pods") if pod["metadata"].get("labels", {}).get("app.kubernetes.io/name") == app]


def statuses(demo: Demo, app: str) -> list[str]:
    return [summarise(pod, demo.clock.now).status for pod in pods_of(demo, app)]


def events_about(demo: Demo, name: str) -> dict[str, str]:
    return {e["reason"]: e["message"] for e in every(demo, "events") if e["involvedObject"]["name"] == name}


@pytest.mark.parametrize("ticks", [0, 150])
def test_the_same_seed_tells_the_same_story_byte_for_byte(ticks: int) -> None:
    assert dump(moved_cluster(7, ticks)) == dump(moved_cluster(7, ticks))


def test_another_seed_has_other_names_and_uids_but_the_same_story() -> None:
    seven, eight = (SimulatedCluster(seed, clock=lambda: START, token=TOKEN) for seed in (7, 8))
    pods = [[stored.obj for stored in c.store.snapshot(c.table.by_key("pods"))] for c in (seven, eight)]
    uids = [{pod["metadata"]["uid"] for pod in side} for side in pods]
    assert not uids[0] & uids[1]
    assert Counter(summarise(pod, START).status for pod in pods[0]) == Counter(summarise(pod, START).status for pod in pods[1])


async def test_log_lines_follow_from_the_seed() -> None:
    sides = [moved_cluster(seed, 0) for seed in (7, 7, 8)]
    texts = []
    for cluster in sides:
        key = "redis-0"
        stored = cluster.store.get(cluster.table.by_key("pods"), "data", key)
        assert stored is not None
        lines = cluster.logs.lines(stored.obj, "redis", START.replace(hour=8), START, False)
        texts.append([text for _, text in lines])
    assert texts[0] == texts[1] != texts[2]


async def test_about_sixty_pods_in_kubectls_words(demo: Demo) -> None:
    counted = Counter(summarise(pod, demo.clock.now).status for pod in every(demo, "pods"))
    assert 55 <= sum(counted.values()) <= 75
    for status in ("ImagePullBackOff", "CrashLoopBackOff", "OOMKilled", "Pending", "Completed", "Error"):
        assert counted[status] >= 1, status
    assert counted["Terminating"] == 2
    assert len({pod["metadata"]["namespace"] for pod in every(demo, "pods")}) >= 8


async def test_the_bad_rollout_stands_beside_the_old_revision(demo: Demo) -> None:
    catalog = demo.object("deployments.apps", "shop", "catalog")
    assert catalog is not None
    progress = {c["type"]: (c["status"], c["reason"]) for c in catalog["status"]["conditions"]}
    assert progress == {"Available": ("True", "MinimumReplicasAvailable"), "Progressing": ("False", "ProgressDeadlineExceeded")}
    sets = [
        rs for rs in every(demo, "replicasets.apps") if rs["metadata"]["ownerReferences"][0]["uid"] == catalog["metadata"]["uid"]
    ]
    assert sorted((rs["spec"]["replicas"], rs["status"].get("readyReplicas", 0)) for rs in sets) == [(1, 0), (3, 3)]
    assert sorted(statuses(demo, "catalog")) == ["ImagePullBackOff", "Running", "Running", "Running"]
    broken = next(pod for pod in pods_of(demo, "catalog") if pod["status"]["phase"] == "Pending")
    assert events_about(demo, broken["metadata"]["name"])["BackOff"].startswith(
        'Back-off pulling image "registry.example.com/shop/'
    )


async def test_the_killed_container_shows_137(demo: Demo) -> None:
    for pod in pods_of(demo, "recommender"):
        last = pod["status"]["containerStatuses"][0]["lastState"]["terminated"]
        assert (last["exitCode"], last["reason"]) == (137, "OOMKilled")


async def test_the_pending_pod_fits_nowhere_in_the_schedulers_words(demo: Demo) -> None:
    (pod,) = pods_of(demo, "fraud-scorer")
    message = (
        "0/6 nodes are available: 2 node(s) had untolerated taint(s), 4 Insufficient cpu, 4 Insufficient memory. "
        "no new claims to deallocate, preemption: 0/6 nodes are available: 6 Preemption is not helpful for scheduling."
    )
    assert pod["status"]["conditions"][0]["message"] == message
    assert events_about(demo, pod["metadata"]["name"]) == {"FailedScheduling": message}
    demo.ticks(60)
    assert statuses(demo, "fraud-scorer") == ["Pending"]
    assert events_about(demo, pod["metadata"]["name"]) == {"FailedScheduling": message}


async def test_the_lost_node_keeps_its_pods_as_in_reality(demo: Demo) -> None:
    node = demo.object("nodes", "", "worker-4")
    assert node is not None
    assert {c["status"] for c in node["status"]["conditions"] if c["type"] != "NetworkUnavailable"} == {"Unknown"}
    assert {taint["effect"] for taint in node["spec"]["taints"]} == {"NoSchedule", "NoExecute"}
    demo.ticks(30)
    there = [pod for pod in every(demo, "pods") if pod["spec"].get("nodeName") == "worker-4"]
    assert len(there) == 5
    for pod in there:
        daemon = pod["metadata"]["ownerReferences"][0]["kind"] == "DaemonSet"
        assert summarise(pod, demo.clock.now).status == ("Running" if daemon else "Terminating")
        assert next(c["status"] for c in pod["status"]["conditions"] if c["type"] == "Ready") == "False"
    assert "NodeNotReady" in events_about(demo, "worker-4")


async def test_the_service_with_the_wrong_selector_has_no_endpoints(demo: Demo) -> None:
    service, endpoints = (demo.object(key, "shop", "inventory") for key in ("services", "endpoints"))
    assert service is not None
    assert endpoints is not None
    assert "subsets" not in endpoints
    assert statuses(demo, "inventory") == ["Running", "Running"]
    patch = {"spec": {"selector": {"app.kubernetes.io/name": "inventory"}}}
    await demo.call("PATCH", "/api/v1/namespaces/shop/services/inventory", patch, content_type=MERGE)
    demo.ticks(1)
    healed = demo.object("endpoints", "shop", "inventory")
    assert healed is not None
    assert len(healed["subsets"][0]["addresses"]) == 2


async def test_secrets_are_there_to_be_redacted(demo: Demo) -> None:
    secret = demo.object("secrets", "payments", "payments-db")
    assert secret is not None
    assert CANARY in secret["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
    assert set(secret["metadata"]["managedFields"][0]["fieldsV1"]["f:data"]) == {"f:username", "f:password"}
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    table = await demo.get("/api/v1/namespaces/payments/secrets", accept=accept)
    assert table["rows"][0]["cells"][:3] == ["payments-db", "Opaque", 2]
    ledger = demo.object("deployments.apps", "payments", "ledger")
    assert ledger is not None
    assert any("Passw0rd" in variable["value"] for variable in ledger["spec"]["template"]["spec"]["containers"][0]["env"])
    tracker = demo.object("deployments.apps", "logistics", "parcel-tracker")
    assert tracker is not None
    assert "包裹" in tracker["metadata"]["annotations"]["example.com/description"]


async def test_every_reference_leads_to_an_object(demo: Demo) -> None:
    stored = {obj["metadata"]["uid"]: obj for key in demo.cluster.store.resource_keys() for obj in every(demo, key)}
    for obj in stored.values():
        for owner in obj["metadata"].get("ownerReferences", ()):
            assert stored[owner["uid"]]["metadata"]["name"] == owner["name"]
    for event in every(demo, "events"):
        assert stored[event["involvedObject"]["uid"]]["kind"] == event["involvedObject"]["kind"]
    for pod in every(demo, "pods"):
        assert not pod["spec"].get("nodeName") or demo.object("nodes", "", pod["spec"]["nodeName"])
        for volume in pod["spec"].get("volumes", ()):
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            assert not claim or demo.object("persistentvolumeclaims", pod["metadata"]["namespace"], claim)


async def test_the_story_stands_still_for_its_first_ticks(demo: Demo) -> None:
    revision = demo.cluster.store.revision
    demo.ticks(3, seconds=0.1)
    assert demo.cluster.store.revision == revision


async def test_it_moves(demo: Demo) -> None:
    before = dump(demo.cluster)
    storefront = {pod["metadata"]["name"] for pod in pods_of(demo, "storefront")}
    restarts = pods_of(demo, "checkout")[0]["status"]["containerStatuses"][0]["restartCount"]
    demo.ticks(130)
    after = dump(demo.cluster)
    assert pods_of(demo, "checkout")[0]["status"]["containerStatuses"][0]["restartCount"] > restarts
    assert statuses(demo, "sales-report") == ["Completed"]
    report = demo.object("jobs.batch", "ci", "sales-report")
    assert report is not None
    assert [c["type"] for c in report["status"]["conditions"]] == ["SuccessCriteriaMet", "Complete"]
    assert len({pod["metadata"]["name"] for pod in pods_of(demo, "storefront")} - storefront) == 2
    assert len(pods_of(demo, "storefront")) == 5, "four and the one that is stuck on the lost node"
    assert len(after.keys() - before.keys()) > 5, "new events"
    assert "Completed" in events_about(demo, "sales-report")


async def test_a_cronjob_starts_jobs_at_its_minutes(demo: Demo) -> None:
    jobs = {job["metadata"]["name"] for job in every(demo, "jobs.batch") if "parcel-sync" in job["metadata"]["name"]}
    demo.ticks(12, minutes=1)
    later = {job["metadata"]["name"] for job in every(demo, "jobs.batch") if "parcel-sync" in job["metadata"]["name"]}
    assert later - jobs
    assert len(later) <= 2


@pytest.mark.parametrize(
    ("app", "path", "patch"),
    [
        ("checkout", "/api/v1/namespaces/shop/configmaps/checkout-config", {"data": {"DB_PORT": "5432"}}),
        ("checkout", "env", [{"name": "DB_PORT", "value": "5432"}]),
        ("recommender", "resources", {"limits": {"cpu": "500m", "memory": "512Mi"}}),
        ("catalog", "image", "registry.example.com/shop/catalog:2.8.1"),
        ("fraud-scorer", "resources", {"requests": {"cpu": "1", "memory": "1Gi"}}),
    ],
)
async def test_each_fault_can_be_healed(demo: Demo, app: str, path: str, patch: object) -> None:
    namespace = "payments" if app == "fraud-scorer" else "shop"
    if path.startswith("/"):
        status, _ = await demo.call("PATCH", path, patch, content_type=MERGE)
    else:
        containers = [{"name": app, path: {"$patch": "replace", **patch} if isinstance(patch, dict) else patch}]
        body = {"spec": {"template": {"spec": {"containers": containers}}}}
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{app}"
        status, _ = await demo.call("PATCH", path, body, content_type="application/strategic-merge-patch+json")
    assert status == 200
    demo.ticks(90)
    for _ in range(30):
        demo.ticks(10)
        assert set(statuses(demo, app)) == {"Running"}
    deployment = demo.object("deployments.apps", namespace, app)
    assert deployment is not None
    assert deployment["status"]["availableReplicas"] == deployment["spec"]["replicas"] == deployment["status"]["updatedReplicas"]


def deployment(image: str, replicas: int = 2) -> Json:
    labels = {"app.kubernetes.io/name": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": image}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


WEB = "/apis/apps/v1/namespaces/shop/deployments"


async def test_a_new_deployment_runs_within_three_ticks_and_scales(demo: Demo) -> None:
    await demo.call("POST", WEB, deployment("nginx:1.29"))
    demo.ticks(3)
    assert statuses(demo, "web") == ["Running", "Running"]
    await demo.call("PATCH", f"{WEB}/web/scale", {"spec": {"replicas": 5}}, content_type=MERGE)
    demo.ticks(3)
    assert statuses(demo, "web") == ["Running"] * 5
    await demo.call("PATCH", f"{WEB}/web/scale", {"spec": {"replicas": 1}}, content_type=MERGE)
    demo.ticks(6)
    assert statuses(demo, "web") == ["Running"]
    made = demo.object("deployments.apps", "shop", "web")
    assert made is not None
    assert made["status"]["availableReplicas"] == 1


@pytest.mark.parametrize("tag", ["missing", "v1-does-not-exist"])
async def test_an_image_that_is_missing_cannot_be_pulled(demo: Demo, tag: str) -> None:
    await demo.call("POST", WEB, deployment(f"nginx:{tag}", 1))
    seen = set()
    for _ in range(30):
        demo.ticks(1)
        seen |= set(statuses(demo, "web"))
    assert {"ErrImagePull", "ImagePullBackOff"} <= seen
    assert "Running" not in seen


async def test_a_rollout_goes_through_and_back(demo: Demo) -> None:
    await demo.call("POST", WEB, deployment("nginx:1.29", 4))
    demo.ticks(5)
    for image, revision in (("nginx:1.30", "2"), ("nginx:1.29", "3")):
        patch = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image}]
        await demo.call("PATCH", f"{WEB}/web", patch, content_type="application/json-patch+json")
        lowest = 4
        for _ in range(40):
            demo.ticks(1)
            lowest = min(lowest, statuses(demo, "web").count("Running"))
        assert lowest >= 3, "no more than a quarter is ever unavailable"
        assert [pod["spec"]["containers"][0]["image"] for pod in pods_of(demo, "web")] == [image] * 4
        made = demo.object("deployments.apps", "shop", "web")
        assert made is not None
        assert made["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == revision
    assert len([rs for rs in every(demo, "replicasets.apps") if rs["metadata"]["name"].startswith("web-")]) == 2


async def test_a_deleted_deployment_takes_its_children_along(demo: Demo) -> None:
    await demo.call("DELETE", f"{WEB}/cart")
    demo.ticks(6)
    assert statuses(demo, "cart") == []
    assert not [rs for rs in every(demo, "replicasets.apps") if rs["metadata"]["name"].startswith("cart-")]


async def test_foreground_deletion_waits_for_the_children_and_orphans_stay(demo: Demo) -> None:
    status, held = await demo.call("DELETE", f"{WEB}/cart", {"propagationPolicy": "Foreground"})
    assert (status, held["metadata"]["finalizers"]) == (200, ["foregroundDeletion"])
    demo.ticks(10)
    assert demo.object("deployments.apps", "shop", "cart") is None
    assert statuses(demo, "cart") == []
    await demo.call("DELETE", f"{WEB}/storefront", {"propagationPolicy": "Orphan"})
    demo.ticks(5)
    assert demo.object("deployments.apps", "shop", "storefront") is None
    assert len(pods_of(demo, "storefront")) == 5


@pytest.mark.parametrize(("namespace", "app"), [("shop", "cart"), ("data", "redis"), ("monitoring", "node-exporter")])
async def test_deleted_pods_of_controllers_come_back(demo: Demo, namespace: str, app: str) -> None:
    before = [pod for pod in pods_of(demo, app) if not pod["metadata"].get("deletionTimestamp")]
    victim = before[0]
    await demo.call("DELETE", f"/api/v1/namespaces/{namespace}/pods/{victim['metadata']['name']}")
    demo.ticks(8)
    after = [pod for pod in pods_of(demo, app) if not pod["metadata"].get("deletionTimestamp")]
    assert len(after) == len(before)
    assert victim["metadata"]["uid"] not in {pod["metadata"]["uid"] for pod in after}
    assert set(statuses(demo, app)) <= {"Running", "Terminating"}


async def test_a_namespace_goes_with_all_it_holds(demo: Demo) -> None:
    await demo.call("DELETE", "/api/v1/namespaces/logistics")
    namespace = demo.object("namespaces", "", "logistics")
    assert namespace is not None
    assert namespace["status"]["phase"] == "Terminating"
    demo.ticks(12)
    assert demo.object("namespaces", "", "logistics") is None
    assert not [key for key in dump(demo.cluster) if " logistics/" in key]


async def test_a_claim_in_use_is_kept(demo: Demo) -> None:
    path = "/api/v1/namespaces/data/persistentvolumeclaims/data-redis-0"
    _, held = await demo.call("DELETE", path)
    assert held["metadata"]["deletionTimestamp"]
    demo.ticks(3)
    assert demo.object("persistentvolumeclaims", "data", "data-redis-0") is not None
    await demo.call(
        "PATCH", "/apis/apps/v1/namespaces/data/statefulsets/redis/scale", {"spec": {"replicas": 0}}, content_type=MERGE
    )
    await demo.call("DELETE", "/api/v1/namespaces/data/pods/redis-2", {"gracePeriodSeconds": 0})
    demo.ticks(30)
    assert demo.object("persistentvolumeclaims", "data", "data-redis-0") is None


async def test_a_new_statefulset_gets_its_claims_in_order(demo: Demo) -> None:
    labels = {"app.kubernetes.io/name": "queue"}
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "queue", "image": "nats:2.12"}]}}
    spec = {
        "replicas": 2,
        "serviceName": "queue",
        "selector": {"matchLabels": labels},
        "template": template,
        "volumeClaimTemplates": [claim],
    }
    body = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "queue"}, "spec": spec}
    await demo.call("POST", "/apis/apps/v1/namespaces/data/statefulsets", body)
    demo.ticks(1)
    assert [pod["metadata"]["name"] for pod in pods_of(demo, "queue")] == ["queue-0"]
    demo.ticks(8)
    assert [(pod["metadata"]["name"], pod["status"]["phase"]) for pod in pods_of(demo, "queue")] == [
        ("queue-0", "Running"), ("queue-1", "Running"),
    ]  # fmt: skip
    bound = demo.object("persistentvolumeclaims", "data", "data-queue-1")
    assert bound is not None
    assert bound["status"]["phase"] == "Bound"
