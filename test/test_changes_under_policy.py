"""Tools that touch several objects, on a server that asks a person or follows rules: all of it is asked about, nothing beyond."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from mcp_types import ElicitResult

from controlplane.api_client import ApiError
from controlplane.control_plane import ControlPlane
from mcp_tools.all_tools import ALL_TOOLS
from mcp_tools.server_policy import ServerPolicy, rules_of
from server_fixtures import ToolClient

TOOLS = [tool.name for tool in ALL_TOOLS]
Asking = Callable[..., ToolClient]


@dataclass
class Person:
    """Says yes to everything, and keeps what was asked. `meanwhile` runs before the answer."""

    asked: list[str] = field(default_factory=list)
    meanwhile: Callable[[], object] = lambda: None

    async def __call__(self, _context: Any, params: Any) -> ElicitResult:
        self.asked.append(params.message)
        await asyncio.to_thread(self.meanwhile)
        return ElicitResult(action="accept", content={"approve": True})


@pytest.fixture
def asking(control_plane: ControlPlane, tool_client: Callable[..., ToolClient]) -> Asking:
    def make(person: Person | None = None, *, allow: str = "", deny: str = "") -> ToolClient:
        allowed, denied = ([text] if text else [] for text in (allow, deny))
        policy = ServerPolicy(allow=rules_of(allowed, "--allow", TOOLS), deny=rules_of(denied, "--deny", TOOLS))
        return tool_client(control_plane.kubeconfig, policy=policy, person=person)

    return make


@pytest.fixture
def node(control_plane: ControlPlane, fresh_namespace: str) -> Iterator[str]:
    """A node with one bare pod."""
    name = f"ruled-{fresh_namespace}"[:60].strip("-")
    control_plane.create_nodes([name])
    control_plane.api.patch(
        f"/api/v1/nodes/{name}", {"spec": {"taints": [{"key": "testcluster/drained", "effect": "NoSchedule"}]}}
    )
    control_plane.pods.create(fresh_namespace, "bare", spec={"nodeName": name})
    yield name
    control_plane.api.delete(f"/api/v1/nodes/{name}")


def config_map(name: str, namespace: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}


def listed(*items: dict[str, Any]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items)})


def test_a_person_is_asked_about_every_object_of_a_manifest_and_all_of_them_are_made(
    asking: Asking, control_plane: ControlPlane, fresh_namespace: str
) -> None:
    """Of objects that exist already too: what the dry run saw of the first one is a precondition then."""
    person = Person()
    control_plane.api.post(f"/api/v1/namespaces/{fresh_namespace}/configmaps", config_map("a", fresh_namespace, x="1"))
    manifest = listed(config_map("a", fresh_namespace, y="1"), config_map("b", fresh_namespace, y="1"))
    done = asking(person)("k8s_apply_manifest", manifest=manifest)
    assert [one["action"] for one in done["objects"]] == ["configured", "created"]
    (question,) = person.asked
    assert all(f"patch configmaps {fresh_namespace}/{name}" in question for name in "ab")
    assert control_plane.api.get(f"/api/v1/namespaces/{fresh_namespace}/configmaps/a")["data"] == {"x": "1", "y": "1"}


def test_an_object_in_a_namespace_of_the_same_manifest_is_asked_about_though_it_cannot_be_tried(
    asking: Asking, control_plane: ControlPlane, fresh_namespace: str
) -> None:
    made = f"{fresh_namespace}-c"[-63:].strip("-")
    person = Person()
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": made}}
    try:
        asking(person)("k8s_apply_manifest", manifest=listed(config_map("in-it", made), namespace))
        assert f"patch configmaps {made}/in-it" in person.asked[0]
        assert control_plane.api.get(f"/api/v1/namespaces/{made}/configmaps/in-it")
    finally:
        control_plane.delete_namespace(made)


def test_a_rule_for_one_namespace_makes_nothing_of_a_manifest_that_reaches_into_another(
    asking: Asking, control_plane: ControlPlane, fresh_namespace: str
) -> None:
    tools = asking(allow=f"tool=k8s_apply_manifest,namespace={fresh_namespace}")
    manifest = listed(config_map("mine", fresh_namespace), config_map("theirs", "default"))
    mark = control_plane.audit.mark()
    assert tools.error("k8s_apply_manifest", manifest=manifest)["type"] == "ApprovalNeeded"
    assert not [one for one in control_plane.audit.requests(mark, user_agent="k8s-mcp/") if one.mutating]
    assert tools("k8s_apply_manifest", manifest=listed(config_map("mine", fresh_namespace)))["object"]["name"] == "mine"


def test_a_denied_kind_stops_a_whole_manifest(asking: Asking, control_plane: ControlPlane, fresh_namespace: str) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": fresh_namespace}}
    tools = asking(allow=f"namespace={fresh_namespace}", deny="kind=secrets")
    error = tools.error("k8s_apply_manifest", manifest=listed(config_map("a", fresh_namespace), secret))
    assert "denied by this server's policy" in error["message"]
    names = [
        one["metadata"]["name"] for one in control_plane.api.get(f"/api/v1/namespaces/{fresh_namespace}/configmaps")["items"]
    ]
    assert "a" not in names


def test_a_person_is_asked_about_the_node_and_each_pod_of_a_drain(
    asking: Asking, control_plane: ControlPlane, fresh_namespace: str, node: str
) -> None:
    person = Person()
    arguments = {"name": node, "action": "drain", "force": True, "grace_period_seconds": 0, "wait_seconds": 10}
    done = asking(person)("k8s_node", arguments)
    assert f"patch nodes {node}" in person.asked[0]
    assert f"create pods/eviction {fresh_namespace}/bare" in person.asked[0]
    assert "1 of 1 pods are gone" in done["note"]


def test_a_pod_that_has_taken_the_name_of_one_that_was_shown_is_not_evicted(
    asking: Asking, control_plane: ControlPlane, fresh_namespace: str, node: str
) -> None:
    path = f"/api/v1/namespaces/{fresh_namespace}/pods/bare"

    def replace_it() -> None:
        control_plane.api.delete(f"{path}?gracePeriodSeconds=0")
        with suppress(ApiError):  # KWOK deletes by its name what it has seen going
            control_plane.pods.create(fresh_namespace, "bare", spec={"nodeName": node})
            return
        control_plane.pods.create(fresh_namespace, "bare", spec={"nodeName": node})

    arguments = {"name": node, "action": "drain", "force": True, "grace_period_seconds": 0}
    error = asking(Person(meanwhile=replace_it)).error("k8s_node", arguments)
    assert error["type"] == "Conflict"
    assert control_plane.pods.get(fresh_namespace, "bare")["metadata"].get("deletionTimestamp") is None
    assert not control_plane.api.get(f"/api/v1/nodes/{node}")["spec"].get("unschedulable")


def test_pods_of_denied_namespaces_are_not_drained_and_the_answer_says_so(
    asking: Asking, control_plane: ControlPlane, fresh_namespace: str, node: str
) -> None:
    tools = asking(allow="tool=k8s_node", deny=f"namespace={fresh_namespace}")
    done = tools("k8s_node", name=node, action="drain", wait_seconds=0)
    assert f"pods in {fresh_namespace} were not looked at" in " ".join(done["warnings"])
    assert control_plane.pods.get(fresh_namespace, "bare")["metadata"].get("deletionTimestamp") is None


def test_a_secret_replicas_and_a_rollout_are_changed_after_a_yes(
    asking: Asking, control_plane: ControlPlane, fresh_namespace: str
) -> None:
    person = Person()
    tools = asking(person)
    secrets = f"/api/v1/namespaces/{fresh_namespace}/secrets"
    control_plane.api.post(secrets, {"metadata": {"name": "s"}, "stringData": {"password": "cnry-before", "user": "cnry-user"}})
    data = {"user": base64.b64encode(b"cnry-other").decode()}
    tools("k8s_patch_resource", kind="secrets", name="s", namespace=fresh_namespace, patch={"data": data})
    assert control_plane.api.get(f"{secrets}/s")["data"]["user"] == data["user"]
    deployments = f"/apis/apps/v1/namespaces/{fresh_namespace}/deployments"
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "web:1"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    control_plane.api.post(deployments, {"metadata": {"name": "web"}, "spec": spec})
    of_web = {"kind": "deployments", "name": "web", "namespace": fresh_namespace}
    tools("k8s_scale", of_web, replicas=1)
    tools("k8s_rollout", of_web, action="restart")
    stored = control_plane.api.get(f"{deployments}/web")["spec"]
    assert stored["replicas"] == 1
    assert "kubectl.kubernetes.io/restartedAt" in stored["template"]["metadata"]["annotations"]
    assert len(person.asked) == 3
    assert "cnry-" not in "".join(person.asked)
