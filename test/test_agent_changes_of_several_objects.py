"""Approval of changes of fields, replicas, rollouts, nodes and whole manifests: what is asked, allowed, and stale afterwards."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from agent.approval_policy import OWN_MUTATIONS, narrowest
from agent.approval_request import ApprovalRequest, ObjectRef
from agent.approvals import Decision, PolicyApprover
from agent.cache_first_gateway import CacheFirstGateway
from agent.operations import Operations
from agent_fixtures import OpenGateway
from configuration.errors import ApprovalNeeded
from controlplane.api_client import ApiError, post_to_unix_socket
from controlplane.control_plane import ControlPlane
from controlplane.polling import wait_until
from mcp_tools.all_tools import own_tool_specs
from scan_fixtures import ScannerProcess

Opener = Callable[..., Awaitable[CacheFirstGateway]]
APPLY = "k8s_apply_manifest"


@dataclass
class Person:
    """Says yes, and remembers what it was asked."""

    asked: list[ApprovalRequest] = field(default_factory=list)

    async def decide(self, request: ApprovalRequest) -> Decision:
        self.asked.append(request)
        return Decision(True, "terminal")


@pytest.fixture
def gateway_on(control_plane: ControlPlane, open_gateway: OpenGateway) -> Opener:
    async def open_one(**settings: Any) -> CacheFirstGateway:
        return await open_gateway(**({"kubeconfig": control_plane.kubeconfig, "clock": time.time} | settings))

    return open_one


@pytest.fixture
def second_namespace(control_plane: ControlPlane, fresh_namespace: str) -> Iterator[str]:
    name = control_plane.create_namespace(f"{fresh_namespace}-b"[-63:].strip("-"))
    yield name
    control_plane.delete_namespace(name)


def config_maps(control_plane: ControlPlane, namespace: str) -> set[str]:
    items = control_plane.api.get(f"/api/v1/namespaces/{namespace}/configmaps")["items"]
    return {item["metadata"]["name"] for item in items} - {"kube-root-ca.crt"}


def config_map(name: str, namespace: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": {"a": "b"}}


def service(name: str, namespace: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": 80}]}}


def documents(*items: dict[str, Any]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items)})


def test_the_policy_grammar_knows_every_tool_that_changes_something() -> None:
    assert set(OWN_MUTATIONS) == {name for name, spec in own_tool_specs("k8s-mcp").items() if not spec.read_only}


MANIFEST = ApprovalRequest(
    tool=APPLY,
    arguments={"manifest": "…"},
    action="apply",
    cluster="kind-dev",
    cluster_uid="cluster-1",
    in_use=True,
    target=ObjectRef(kind="ConfigMap", name="a", namespace="dev", uid="u1", resource_version="10"),
    others=(ObjectRef(kind="Service", name="b", namespace="dev"),),
)
ELSEWHERE = replace(MANIFEST, others=(ObjectRef(kind="ConfigMap", name="a", namespace="prod"),))
CLUSTER_WIDE = replace(MANIFEST, others=(ObjectRef(kind="ClusterRole", name="a"),))


@pytest.mark.parametrize(
    ("policy", "request_", "approved"),
    [
        ("apply-manifest:namespace=dev", MANIFEST, True),
        ("all:namespace=d*", MANIFEST, True),
        ("apply-manifest:namespace=dev", ELSEWHERE, False),
        ("apply-manifest:namespace=dev", CLUSTER_WIDE, False),
        ("apply-manifest:kind=ConfigMap", MANIFEST, False),
        ("apply-manifest:kind=ConfigMap", ELSEWHERE, True),
        ("apply-manifest:cluster=kind-dev", CLUSTER_WIDE, True),
        ("scale:namespace=dev", MANIFEST, False),
        ("apply-manifest:kind=gadgets.example.com", MANIFEST, False),
    ],
)
async def test_a_policy_allows_a_change_only_when_it_allows_every_object_of_it(
    policy: str, request_: ApprovalRequest, approved: bool
) -> None:
    approver = PolicyApprover.parse([policy])
    if approved:
        assert (await approver.decide(request_)).approved
    else:
        with pytest.raises(ApprovalNeeded):
            await approver.decide(request_)


async def test_the_policy_that_is_offered_allows_exactly_these_objects() -> None:
    assert narrowest(MANIFEST) == "k8s_apply_manifest:namespace=dev,cluster=kind-dev"
    assert (await PolicyApprover.parse([narrowest(MANIFEST)]).decide(MANIFEST)).approved


@pytest.mark.parametrize(
    "other",
    [
        replace(MANIFEST, others=()),
        replace(MANIFEST, others=(*MANIFEST.others, ObjectRef(kind="Secret", name="c", namespace="dev"))),
        replace(MANIFEST, others=(replace(MANIFEST.others[0], uid="appeared"),)),
    ],
)
def test_an_approval_holds_for_these_objects_and_no_others(other: ApprovalRequest) -> None:
    assert MANIFEST.same_change(MANIFEST)
    assert not MANIFEST.same_change(other)


async def test_a_manifest_is_shown_object_by_object_and_every_kind_of_it_is_stale_afterwards(
    control_plane: ControlPlane, fresh_namespace: str, scanner_process: Callable[..., ScannerProcess], gateway_on: Opener
) -> None:
    scanner = scanner_process(control_plane.kubeconfig)
    assert (await asyncio.to_thread(scanner.report, "--kind", "configmaps", "--kind", "services"))["exit_code"] == 0
    gateway, person = await gateway_on(cache_db_path=scanner.database), Person()
    manifest = documents(config_map("settings", fresh_namespace), service("web", fresh_namespace))
    answer = await Operations(gateway, person).perform(APPLY, {"manifest": manifest}, on_event=lambda _: None)
    (request,) = person.asked
    assert request.title == f"apply ConfigMap {fresh_namespace}/settings and 1 more in cluster {control_plane.context}"
    text = request.describe()
    assert f"object: Service {fresh_namespace}/web" in text
    assert f"ConfigMap {fresh_namespace}/settings data.a: b" in text
    assert answer.structured is not None
    assert [one["action"] for one in answer.structured["objects"]] == ["created", "created"]
    for kind, name in (("configmaps", "settings"), ("services", "web")):
        read = await gateway.call("k8s_list_resources", {"kind": kind, "namespace": fresh_namespace})
        assert (read.source, name in [row["name"] for row in read.rows]) == ("live", True), kind


async def test_a_manifest_that_reaches_into_another_namespace_is_not_allowed_by_a_policy_for_one(
    control_plane: ControlPlane, fresh_namespace: str, second_namespace: str, gateway_on: Opener
) -> None:
    approver = PolicyApprover.parse([f"apply-manifest:namespace={fresh_namespace}"])
    operations = Operations(await gateway_on(), approver)
    both = documents(config_map("a", fresh_namespace), config_map("b", second_namespace))
    with pytest.raises(ApprovalNeeded):
        await operations.perform(APPLY, {"manifest": both, "namespace": fresh_namespace}, on_event=lambda _: None)
    assert config_maps(control_plane, fresh_namespace) | config_maps(control_plane, second_namespace) == set()
    await operations.perform(APPLY, {"manifest": documents(config_map("a", fresh_namespace))}, on_event=lambda _: None)
    assert config_maps(control_plane, fresh_namespace) == {"a"}


async def test_replicas_fields_and_rollouts_are_asked_about_with_their_change(
    control_plane: ControlPlane, fresh_namespace: str, gateway_on: Opener
) -> None:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "web:1"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    path = f"/apis/apps/v1/namespaces/{fresh_namespace}/deployments"
    control_plane.api.post(path, {"metadata": {"name": "web"}, "spec": spec})
    person = Person()
    operations = Operations(await gateway_on(), person)
    of_web: dict[str, Any] = {"kind": "deployments", "name": "web", "namespace": fresh_namespace}
    calls: list[tuple[str, dict[str, Any], str]] = [
        ("k8s_scale", {"replicas": 2}, "spec.replicas: 0 → 2"),
        ("k8s_patch_resource", {"patch": {"spec": {"minReadySeconds": 1}}}, "spec.minReadySeconds: 1"),
        ("k8s_rollout", {"action": "pause"}, "spec.paused: true"),
    ]
    for tool, arguments, shown in calls:
        await operations.perform(tool, of_web | arguments, on_event=lambda _: None)
        assert shown in person.asked[-1].describe(), tool
        assert str(person.asked[-1].target) == f"Deployment {fresh_namespace}/web"
    stored = control_plane.api.get(f"{path}/web")["spec"]
    assert (stored["replicas"], stored["minReadySeconds"], stored["paused"]) == (2, 1, True)


async def test_a_drain_is_asked_about_with_its_pods_and_what_cannot_be_undone(
    control_plane: ControlPlane, fresh_namespace: str, gateway_on: Opener
) -> None:
    node = f"asked-{fresh_namespace}"[:60].strip("-")
    await asyncio.to_thread(control_plane.create_nodes, [node])
    try:
        taint = {"key": "testcluster/drained", "effect": "NoSchedule"}
        control_plane.api.patch(f"/api/v1/nodes/{node}", {"spec": {"taints": [taint]}})
        await asyncio.to_thread(control_plane.pods.create, fresh_namespace, "bare", spec={"nodeName": node})
        person = Person()
        arguments = {"name": node, "action": "drain", "force": True, "grace_period_seconds": 0, "wait_seconds": 10}
        answer = await Operations(await gateway_on(), person).perform("k8s_node", arguments, on_event=lambda _: None)
        text = person.asked[0].describe()
        assert f"object: Pod {fresh_namespace}/bare" in text
        assert "cannot be undone: evicted pods end" in text
        assert answer.structured is not None
        assert "1 of 1 pods are gone" in answer.structured["note"]
        await asyncio.to_thread(control_plane.pods.create, fresh_namespace, "other", spec={"nodeName": node})
        allowed = Operations(await gateway_on(), PolicyApprover.parse([f"node:name={node}"]))
        with pytest.raises(ApprovalNeeded):  # the Node is allowed, its pods are not
            await allowed.perform("k8s_node", arguments, on_event=lambda _: None)
    finally:
        control_plane.api.delete(f"/api/v1/nodes/{node}")


async def test_where_a_webhook_takes_no_dry_runs_the_person_is_told_that_nothing_can_be_foreseen(
    control_plane: ControlPlane, fresh_namespace: str, gateway_on: Opener
) -> None:
    """Such a webhook can only be left over from a cluster before 1.22: it is written into etcd."""
    control_plane.api.post(f"/api/v1/namespaces/{fresh_namespace}/configmaps", config_map("a", fresh_namespace))
    hooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    name = f"{fresh_namespace}.example.com"
    hook = {
        "name": name,
        "sideEffects": "None",
        "failurePolicy": "Ignore",
        "timeoutSeconds": 1,
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": "https://127.0.0.1:9/never"},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": fresh_namespace}},
        "rules": [{"apiGroups": [""], "apiVersions": ["*"], "operations": ["*"], "resources": ["configmaps"]}],
    }
    stored = control_plane.api.post(hooks, {"metadata": {"name": name}, "webhooks": [hook]})
    stored["webhooks"][0]["sideEffects"] = "Some"
    written = [f"/registry/validatingwebhookconfigurations/{name}", json.dumps(stored)]
    key, value = (base64.b64encode(text.encode()).decode() for text in written)
    post_to_unix_socket(control_plane.folder / "localhost:2379", "/v3/kv/put", {"key": key, "value": value})
    try:
        person = Person()
        operations = Operations(await gateway_on(), person)
        arguments = {"kind": "cm", "name": "a", "namespace": fresh_namespace, "patch": {"data": {"a": "c"}}}

        def in_force() -> bool:
            path = f"/api/v1/namespaces/{fresh_namespace}/configmaps/a?dryRun=All"
            try:
                control_plane.api.patch(path, {"data": {"x": "y"}})
            except ApiError as error:
                return "does not support dry run" in str(error)
            return False

        await asyncio.to_thread(wait_until, in_force, "the webhook to be in force")
        await operations.perform("k8s_patch_resource", arguments, on_event=lambda _: None)
        text = person.asked[0].describe()
        assert name in text
        assert "cannot be shown beforehand" in text
        assert "cannot be undone: unknown" in text
        assert control_plane.api.get(f"/api/v1/namespaces/{fresh_namespace}/configmaps/a")["data"] == {"a": "c"}
        manifest = {"manifest": documents(config_map("b", fresh_namespace)), "namespace": fresh_namespace}
        allowed = Operations(await gateway_on(), PolicyApprover.parse([f"apply-manifest:namespace={fresh_namespace}"]))
        with pytest.raises(ApprovalNeeded):  # it says nothing about a manifest that nobody has looked into
            await allowed.perform(APPLY, manifest, on_event=lambda _: None)
    finally:
        control_plane.api.delete(f"{hooks}/{name}")
