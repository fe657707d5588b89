"""The simulated cluster's HTTP API: reading, paging, selecting, changing, refusing."""

from __future__ import annotations

import pytest

from demo_fixtures import Demo, DemoFactory, Json

PODS = "/api/v1/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/shop/deployments"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
METADATA = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
LISTED = [
    *(f"/api/v1/{plural}" for plural in (
        "namespaces", "nodes", "pods", "services", "endpoints", "configmaps", "secrets", "persistentvolumeclaims",
        "persistentvolumes", "serviceaccounts", "resourcequotas", "limitranges", "events")),
    *(f"/apis/apps/v1/{plural}" for plural in ("deployments", "replicasets", "statefulsets", "daemonsets")),
    "/apis/batch/v1/jobs", "/apis/batch/v1/cronjobs", "/apis/discovery.k8s.io/v1/endpointslices",
    "/apis/networking.k8s.io/v1/ingresses", "/apis/networking.k8s.io/v1/networkpolicies",
    "/apis/storage.k8s.io/v1/storageclasses", "/apis/autoscaling/v2/horizontalpodautoscalers",
    "/apis/policy/v1/poddisruptionbudgets",
    *(f"/apis/rbac.authorization.k8s.io/v1/{plural}" for plural in (
        "roles", "rolebindings", "clusterroles", "clusterrolebindings")),
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "/apis/cert-manager.io/v1/certificates",
    *(f"/apis/admissionregistration.k8s.io/v1/{kind}webhookconfigurations" for kind in ("mutating", "validating")),
]  # fmt: skip


def deployment(name: str = "web", image: str = "nginx:1.29", replicas: int = 2) -> Json:
    labels = {"app": name}
    spec = {"containers": [{"name": "web", "image": image}]}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}}  # fmt: skip


async def pages(demo: Demo, path: str, limit: int, **query: object) -> list[Json]:
    found, token = [], ""
    while True:
        page = await demo.get(path, limit=limit, **query, **({"continue": token} if token else {}))
        found.append(page)
        token = page["metadata"].get("continue", "")
        if not token:
            return found


@pytest.mark.parametrize("token", ["", "wrong", "demo-test-token2"])
@pytest.mark.parametrize("path", ["/api/v1/pods", "/version", "/healthz", "/openapi/v3"])
async def test_no_request_passes_without_the_token(demo: Demo, path: str, token: str) -> None:
    status, body = await demo.call("GET", path, token=token)
    assert (status, body["reason"], body["code"]) == (401, "Unauthorized", 401)


async def test_every_kind_is_listed_with_what_kubernetes_gives_its_objects(demo: Demo) -> None:
    for path in LISTED:
        listed, table = await demo.get(path), await demo.get(path, accept=TABLE)
        assert listed["kind"].endswith("List"), path
        for item in listed["items"]:
            metadata = item["metadata"]
            assert metadata["uid"], path
            assert metadata["resourceVersion"].isdigit(), path
            assert metadata["creationTimestamp"].endswith("Z"), path
            assert metadata.get("managedFields") or not item.keys() - {"kind", "apiVersion", "metadata"}, path
        assert len(table["rows"]) == len(listed["items"]), path
        assert all(len(row["cells"]) == len(table["columnDefinitions"]) for row in table["rows"]), path


@pytest.mark.parametrize("limit", [1, 7, 50, 500])
async def test_pages_make_the_full_list_in_key_order(demo: Demo, limit: int) -> None:
    whole = await demo.get(PODS)
    parts = await pages(demo, PODS, limit)
    joined = [item for part in parts for item in part["items"]]
    assert joined == whole["items"]
    keys = [f"{item['metadata']['namespace']}/{item['metadata']['name']}" for item in joined]
    assert keys == sorted(keys)
    assert {part["metadata"]["resourceVersion"] for part in parts} == {whole["metadata"]["resourceVersion"]}
    for index, part in enumerate(parts[:-1]):
        assert part["metadata"]["remainingItemCount"] == len(joined) - limit * (index + 1)
    assert "remainingItemCount" not in parts[-1]["metadata"]


async def test_pages_show_one_moment_although_the_cluster_changes_between_them(demo: Demo) -> None:
    first = await demo.get(PODS, limit=30)
    before = await demo.names(PODS)
    await demo.call("DELETE", "/api/v1/namespaces/shop/pods/" + (await demo.names("/api/v1/namespaces/shop/pods"))[-1])
    await demo.call("POST", DEPLOYMENTS, deployment())
    demo.ticks(3)
    second = await demo.get(PODS, limit=500, **{"continue": first["metadata"]["continue"]})
    assert [item["metadata"]["name"] for item in first["items"] + second["items"]] == before


async def test_a_count_costs_one_small_request(demo: Demo) -> None:
    counted = await demo.get(PODS, limit=1, accept=METADATA)
    assert counted["kind"] == "PartialObjectMetadataList"
    assert counted["metadata"]["remainingItemCount"] + 1 == len(await demo.names(PODS))
    assert set(counted["items"][0]) == {"kind", "apiVersion", "metadata"}


async def test_an_expired_continue_token_is_410_and_offers_a_way_on(demo: Demo) -> None:
    first = await demo.get(PODS, limit=10)
    demo.clock.advance(minutes=6)
    status, gone = await demo.call("GET", PODS, limit=10, **{"continue": first["metadata"]["continue"]})
    assert (status, gone["reason"]) == (410, "Expired")
    rest = await demo.get(PODS, **{"continue": gone["metadata"]["continue"]})
    assert len(rest["items"]) + 10 == len(await demo.names(PODS))


@pytest.mark.parametrize("token", ["nonsense", "e30", "///"])
async def test_a_continue_token_that_is_none_is_400(demo: Demo, token: str) -> None:
    status, body = await demo.call("GET", PODS, limit=10, **{"continue": token})
    assert (status, body["reason"]) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("selector", "namespaces"),
    [
        ("app.kubernetes.io/name=cart", {"shop"}),
        ("app.kubernetes.io/name in (cart,ledger)", {"shop", "payments"}),
        ("app.kubernetes.io/part-of==payments,app.kubernetes.io/name notin (ledger)", {"payments"}),
        ("team", {"logistics"}),
        ("!app.kubernetes.io/name,k8s-app=kube-proxy", {"kube-system"}),
        ("app.kubernetes.io/name!=cart,team=wuliu", {"logistics"}),
        ("team=nobody", set()),
    ],
)
async def test_label_selectors(demo: Demo, selector: str, namespaces: set[str]) -> None:
    chosen = (await demo.get(PODS, labelSelector=selector))["items"]
    assert {pod["metadata"]["namespace"] for pod in chosen} == namespaces
    parts = await pages(demo, PODS, 1, labelSelector=selector)
    assert [item for part in parts for item in part["items"]] == chosen
    assert all("remainingItemCount" not in part["metadata"] for part in parts)


async def test_field_selectors(demo: Demo) -> None:
    everything = (await demo.get(PODS))["items"]
    lost = await demo.names(PODS, fieldSelector="spec.nodeName=worker-4")
    assert lost == [pod["metadata"]["name"] for pod in everything if pod["spec"].get("nodeName") == "worker-4"]
    unhealthy = await demo.names(PODS, fieldSelector="status.phase!=Running,status.phase!=Succeeded")
    assert unhealthy == [p["metadata"]["name"] for p in everything if p["status"]["phase"] not in ("Running", "Succeeded")]
    assert await demo.names(PODS, fieldSelector="metadata.name=redis-2,metadata.namespace=data") == ["redis-2"]
    events = (await demo.get("/api/v1/events", fieldSelector="type=Warning,reason=FailedScheduling"))["items"]
    assert [event["involvedObject"]["namespace"] for event in events] == ["payments"]
    pod = events[0]["involvedObject"]
    of_pod = await demo.get("/api/v1/namespaces/payments/events", fieldSelector=f"involvedObject.uid={pod['uid']}")
    assert {event["involvedObject"]["name"] for event in of_pod["items"]} == {pod["name"]}


@pytest.mark.parametrize("query", [{"fieldSelector": "spec.color=red"}, {"labelSelector": "a in b"}, {"limit": "many"},
                                   {"resourceVersion": "x"}, {"fieldSelector": "metadata.name"}])  # fmt: skip
async def test_a_query_that_cannot_be_read_is_400(demo: Demo, query: dict[str, str]) -> None:
    status, body = await demo.call("GET", PODS, **query)
    assert (status, body["kind"], body["reason"]) == (400, "Status", "BadRequest")


async def test_a_revision_from_the_future_is_a_timeout(demo: Demo) -> None:
    status, body = await demo.call("GET", PODS, resourceVersion=99_999_999)
    assert (status, body["reason"], body["details"]["causes"][0]["reason"]) == (504, "Timeout", "ResourceVersionTooLarge")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/api/v1/namespaces/shop/pods/nobody", 'pods "nobody" not found'),
        (DEPLOYMENTS + "/nobody", 'deployments.apps "nobody" not found'),
        ("/api/v1/widgets", "the server could not find the requested resource"),
        ("/apis/metrics.k8s.io/v1beta1/pods", "the server could not find the requested resource"),
        ("/apis/nothing.example.com/v1", "the server could not find the requested resource"),
        ("/", "the server could not find the requested resource"),
    ],
)
async def test_what_is_not_there_is_404_in_kubernetes_words(demo: Demo, path: str, message: str) -> None:
    status, body = await demo.call("GET", path)
    assert (status, body["reason"], body["message"]) == (404, "NotFound", message)


async def test_only_json_is_written(demo: Demo) -> None:
    status, body = await demo.call("GET", PODS, accept="application/vnd.kubernetes.protobuf")
    assert (status, body["reason"]) == (406, "NotAcceptable")


async def test_discovery_names_what_is_served(demo: Demo) -> None:
    core = await demo.get("/api/v1")
    pods = next(entry for entry in core["resources"] if entry["name"] == "pods")
    assert (pods["shortNames"], pods["categories"], pods["namespaced"]) == (["po"], ["all"], True)
    assert {"get", "list", "watch", "create", "delete"} <= set(pods["verbs"])
    groups = [group["name"] for group in (await demo.get("/apis"))["groups"]]
    assert "apps" in groups
    assert "cert-manager.io" in groups
    assert "metrics.k8s.io" not in groups
    for group in groups:
        version = (await demo.get(f"/apis/{group}"))["preferredVersion"]["groupVersion"]
        assert (await demo.get(f"/apis/{version}"))["resources"]
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    aggregated = await demo.get("/apis", accept=accept)
    assert aggregated["kind"] == "APIGroupDiscoveryList"
    assert (await demo.get("/version"))["gitVersion"] == "v1.36.3+demo"


async def test_a_deployment_is_created_with_defaults_once(demo: Demo) -> None:
    status, made = await demo.call("POST", DEPLOYMENTS, deployment())
    assert status == 201
    assert made["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": "25%", "maxUnavailable": "25%"}
    assert made["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    assert made["metadata"]["generation"] == 1
    assert await demo.get(DEPLOYMENTS + "/web") == made
    status, body = await demo.call("POST", DEPLOYMENTS, deployment())
    assert (status, body["reason"], body["message"]) == (409, "AlreadyExists", 'deployments.apps "web" already exists')


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"metadata": {"name": "Bad_Name"}}, "metadata.name"),
        ({"metadata": {}}, "metadata.name"),
        ({"spec": {"replicas": -1}}, "spec.replicas"),
        ({"spec": {"selector": {"matchLabels": {"app": "other"}}}}, "spec.template.metadata.labels"),
        ({"spec": {"selector": None}}, "spec.selector"),
        ({"spec": {"template": {"metadata": {"labels": {"app": "web"}}, "spec": {}}}}, "spec.template.spec.containers"),
    ],
)  # fmt: skip
async def test_an_invalid_object_is_422_with_its_field(demo: Demo, change: Json, field: str) -> None:
    body = deployment()
    for part, values in change.items():
        body[part] = {**body[part], **values} if values else values
    status, refused = await demo.call("POST", DEPLOYMENTS, body)
    assert (status, refused["reason"]) == (422, "Invalid")
    assert field in [cause["field"] for cause in refused["details"]["causes"]]
    assert "web" not in await demo.names(DEPLOYMENTS)


async def test_objects_need_a_namespace_that_exists_and_stays(demo: Demo) -> None:
    status, body = await demo.call("POST", "/apis/apps/v1/namespaces/nowhere/deployments", deployment())
    assert (status, body["message"]) == (404, 'namespaces "nowhere" not found')
    await demo.call("DELETE", "/api/v1/namespaces/logistics")
    status, body = await demo.call("POST", "/apis/apps/v1/namespaces/logistics/deployments", deployment())
    assert (status, body["reason"]) == (403, "Forbidden")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_dry_run_answers_like_the_deed_and_stores_nothing(demo: Demo, method: str) -> None:
    revision = demo.cluster.store.revision
    before = await demo.get(DEPLOYMENTS)
    current = await demo.get(DEPLOYMENTS + "/cart")
    changed = {**current, "spec": {**current["spec"], "replicas": 9}}
    bodies = {"POST": deployment(), "PUT": changed, "PATCH": {"spec": {"replicas": 9}}, "DELETE": None}
    path = DEPLOYMENTS if method == "POST" else DEPLOYMENTS + "/cart"
    content_type = "application/merge-patch+json" if method == "PATCH" else "application/json"
    status, body = await demo.call(method, path, bodies[method], content_type=content_type, dryRun="All")
    assert status == (201 if method == "POST" else 200)
    assert method == "DELETE" or body["spec"]["replicas"] in (2, 9)
    assert await demo.get(DEPLOYMENTS) == before
    assert demo.cluster.store.revision == revision


async def test_a_dry_run_in_the_body_of_a_deletion_counts_too(demo: Demo) -> None:
    path = "/api/v1/namespaces/shop/configmaps/checkout-config"
    status, _ = await demo.call("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", "dryRun": ["All"]})
    assert status == 200
    assert (await demo.get(path))["data"]["DB_PORT"] == "5433"
    status, _ = await demo.call("DELETE", path, dryRun="Some")
    assert status == 422


@pytest.mark.parametrize("wrong", [{"uid": "00000000-0000-4000-8000-000000000000"}, {"resourceVersion": "1"}])
async def test_a_deletion_holds_to_its_preconditions(demo: Demo, wrong: dict[str, str]) -> None:
    path = "/api/v1/namespaces/shop/configmaps/checkout-config"
    status, body = await demo.call("DELETE", path, {"preconditions": wrong})
    assert (status, body["reason"]) == (409, "Conflict")
    assert "Precondition failed" in body["message"]
    metadata = (await demo.get(path))["metadata"]
    right = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
    status, body = await demo.call("DELETE", path, {"preconditions": right})
    assert (status, body["status"]) == (200, "Success")
    status, _ = await demo.call("GET", path)
    assert status == 404


async def test_a_stale_update_is_a_conflict(demo: Demo) -> None:
    path = "/api/v1/namespaces/shop/configmaps/checkout-config"
    old = await demo.get(path)
    status, new = await demo.call("PUT", path, {**old, "data": {**old["data"], "DB_PORT": "5432"}})
    assert status == 200
    assert new["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"]
    status, body = await demo.call("PUT", path, {**old, "data": {}})
    assert (status, body["reason"]) == (409, "Conflict")
    assert "the object has been modified" in body["message"]


async def test_a_write_that_changes_nothing_makes_no_revision(demo: Demo) -> None:
    path = "/api/v1/namespaces/shop/configmaps/checkout-config"
    current = await demo.get(path)
    _, body = await demo.call("PUT", path, current)
    assert body["metadata"]["resourceVersion"] == current["metadata"]["resourceVersion"]


@pytest.mark.parametrize(
    ("content_type", "patch"),
    [
        ("application/merge-patch+json", {"metadata": {"labels": {"tier": "front"}}, "spec": {"replicas": 5}}),
        ("application/strategic-merge-patch+json", {"metadata": {"labels": {"tier": "front"}}, "spec": {"replicas": 5}}),
        ("application/json-patch+json", [{"op": "add", "path": "/metadata/labels/tier", "value": "front"},
                                         {"op": "replace", "path": "/spec/replicas", "value": 5}]),
    ],
)  # fmt: skip
async def test_patches_of_each_type(demo: Demo, content_type: str, patch: object) -> None:
    status, body = await demo.call("PATCH", DEPLOYMENTS + "/cart", patch, content_type=content_type)
    assert status == 200
    assert (body["spec"]["replicas"], body["metadata"]["labels"]["tier"]) == (5, "front")
    assert body["metadata"]["labels"]["app.kubernetes.io/name"] == "cart"
    assert body["metadata"]["generation"] == 2


async def test_a_strategic_patch_merges_containers_and_variables_by_name(demo: Demo) -> None:
    container = {
        "name": "storefront",
        "image": "registry.example.com/shop/storefront:4.12.2",
        "env": [{"name": "NEW", "value": "1"}],
    }
    patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
    content_type = "application/strategic-merge-patch+json"
    _, body = await demo.call("PATCH", DEPLOYMENTS + "/storefront", patch, content_type=content_type)
    merged = body["spec"]["template"]["spec"]["containers"]
    assert [one["name"] for one in merged] == ["storefront"]
    assert merged[0]["image"].endswith(":4.12.2")
    assert merged[0]["readinessProbe"]["httpGet"]["path"] == "/healthz"
    assert {variable["name"]: variable["value"] for variable in merged[0]["env"]} == {"LOG_LEVEL": "info", "NEW": "1"}


@pytest.mark.parametrize(
    "patch", [[{"op": "remove", "path": "/spec/nothing"}], [{"op": "test", "path": "/spec/replicas", "value": 99}]]
)
async def test_a_json_patch_that_does_not_apply_is_422(demo: Demo, patch: object) -> None:
    status, _ = await demo.call("PATCH", DEPLOYMENTS + "/cart", patch, content_type="application/json-patch+json")
    assert status == 422


async def test_server_side_apply_creates_and_then_merges(demo: Demo) -> None:
    path, kind = "/api/v1/namespaces/shop/configmaps/applied", "application/apply-patch+yaml"
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": "1"}}
    status, _ = await demo.call("PATCH", path, body, content_type=kind, fieldManager="me")
    assert status == 201
    status, merged = await demo.call("PATCH", path, {**body, "data": {"b": "2"}}, content_type=kind, fieldManager="you")
    assert (status, merged["data"]) == (200, {"a": "1", "b": "2"})
    owners = {entry["manager"]: sorted(entry["fieldsV1"]["f:data"]) for entry in merged["metadata"]["managedFields"]}
    assert owners == {"me": ["f:a"], "you": ["f:b"]}
    status, _ = await demo.call("PATCH", path, body, content_type=kind)
    assert status == 422


async def test_immutable_fields_stay(demo: Demo) -> None:
    patch = {"spec": {"selector": {"matchLabels": {"app.kubernetes.io/name": "other"}}}}
    status, body = await demo.call("PATCH", DEPLOYMENTS + "/cart", patch, content_type="application/merge-patch+json")
    assert status == 422
    assert "field is immutable" in body["message"]
    pod = "/api/v1/namespaces/data/pods/redis-0"
    status, body = await demo.call("PATCH", pod, {"spec": {"nodeName": "elsewhere"}}, content_type="application/merge-patch+json")
    assert status == 422
    assert "pod updates may not change fields other than" in body["message"]


async def test_the_scale_subresource_scales(demo: Demo) -> None:
    path = DEPLOYMENTS + "/cart/scale"
    scale = await demo.get(path)
    assert (scale["kind"], scale["spec"]["replicas"]) == ("Scale", 2)
    status, scale = await demo.call("PUT", path, {**scale, "spec": {"replicas": 3}})
    assert (status, scale["spec"]["replicas"]) == (200, 3)
    status, _ = await demo.call("PATCH", path, {"spec": {"replicas": -3}}, content_type="application/merge-patch+json")
    assert status == 422
    assert (await demo.get(DEPLOYMENTS + "/cart"))["spec"]["replicas"] == 3


async def test_status_is_written_by_its_subresource_only(demo: Demo) -> None:
    path, merge = DEPLOYMENTS + "/cart", "application/merge-patch+json"
    before = (await demo.get(path))["status"]
    await demo.call("PATCH", path, {"status": {"replicas": 77}}, content_type=merge)
    assert (await demo.get(path))["status"] == before
    await demo.call("PATCH", path + "/status", {"status": {"replicas": 77}, "spec": {"replicas": 9}}, content_type=merge)
    changed = await demo.get(path)
    assert (changed["status"]["replicas"], changed["spec"]["replicas"]) == (77, 2)


async def test_an_eviction_respects_the_disruption_budget(demo: Demo) -> None:
    names = await demo.names("/api/v1/namespaces/payments/pods", labelSelector="app.kubernetes.io/name=payments-api")
    evict = "/api/v1/namespaces/payments/pods/{}/eviction"
    review = {"apiVersion": "policy/v1", "kind": "Eviction"}
    status, _ = await demo.call("POST", evict.format(names[0]), {**review, "metadata": {"name": names[0]}})
    assert status == 201
    demo.cluster.movement.tick()
    status, body = await demo.call("POST", evict.format(names[1]), review)
    assert (status, body["reason"]) == (429, "TooManyRequests")
    assert names[1] in await demo.names("/api/v1/namespaces/payments/pods")


@pytest.mark.parametrize("kind", ["SelfSubjectAccessReview", "SelfSubjectRulesReview"])
async def test_access_reviews_allow_everything(demo: Demo, kind: str) -> None:
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": {}}
    status, review = await demo.call("POST", f"/apis/authorization.k8s.io/v1/{kind.lower()}s", body)
    assert status == 201
    assert review["status"].get("allowed") or review["status"]["resourceRules"][0]["verbs"] == ["*"]


async def test_a_custom_resource_definition_serves_its_kind(demo: Demo) -> None:
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wg"]}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": spec,
    }
    root = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert (await demo.call("POST", root, crd))[0] == 201
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "one"}, "spec": {"size": 3}}
    path = "/apis/example.com/v1/namespaces/shop/widgets"
    assert (await demo.call("POST", path, widget))[0] == 201
    assert (await demo.get(path))["items"][0]["spec"] == {"size": 3}
    assert (await demo.call("DELETE", f"{root}/widgets.example.com"))[0] == 200
    assert (await demo.call("GET", path))[0] == 404


async def test_thousands_of_pods_are_listed_whole(demo_factory: DemoFactory) -> None:
    demo = await demo_factory(extra_pods=3000)
    parts = await pages(demo, PODS, 500)
    uids = [item["metadata"]["uid"] for part in parts for item in part["items"]]
    assert len(uids) == len(set(uids)) > 3000
    addresses = [
        item["status"]["podIP"] for part in parts for item in part["items"] if item["metadata"]["name"].startswith("bulk-")
    ]
    assert len(addresses) == len(set(addresses)) == 3000


@pytest.mark.parametrize("body", ["", "[]", "null", '"text"', "{", '{"metadata": []}', '{"spec": 3, "metadata": {"name": "x"}}'])
async def test_a_body_that_is_no_object_is_400(demo: Demo, body: str) -> None:
    headers = {"Authorization": "Bearer demo-test-token", "Content-Type": "application/json"}
    async with demo.client.post(DEPLOYMENTS, data=body, headers=headers) as response:
        assert response.status in (400, 422)
        assert (await response.json())["kind"] == "Status"
