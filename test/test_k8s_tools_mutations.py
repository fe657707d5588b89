"""Tools that change a cluster: what a dry run leaves alone, what the answer says, what is refused."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from controlplane.api_client import ApiError
from controlplane.control_plane import ControlPlane
from controlplane.polling import wait_until
from custom_resources import definition, installed
from mcp_tools.namespace_contents import Contents, namespace_contents
from mcp_tools.redaction import MARK
from mcp_tools.server_policy import ServerPolicy, rules_of
from server_fixtures import ToolClient


def deployment(control_plane: ControlPlane, namespace: str, name: str) -> dict[str, object] | None:
    try:
        found: dict[str, object] = control_plane.api.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")
    except ApiError:
        return None
    return found


def create(tools: ToolClient, namespace: str, **arguments: object) -> dict[str, object]:
    return tools("k8s_create_deployment", {"name": "web", "namespace": namespace, "image": "example/web:1.2", **arguments})


def test_a_dry_run_of_a_creation_answers_like_the_creation_and_stores_nothing(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str
) -> None:
    mark = control_plane.audit.mark()
    arguments = {"replicas": 3, "port": 8080, "labels": {"team": "shop"}, "env": {"MODE": "cnry-env"}}
    tried = create(tools, fresh_namespace, **arguments, dry_run=True)
    assert deployment(control_plane, fresh_namespace, "web") is None
    assert not [request for request in control_plane.audit.requests(mark, user_agent="k8s-mcp/") if request.mutating]
    done = create(tools, fresh_namespace, **arguments)
    stored = deployment(control_plane, fresh_namespace, "web")
    assert stored is not None
    assert (tried["dry_run"], done["dry_run"]) == (True, False)
    assert MARK.sub("‹mark›", repr(tried["changes"])) == MARK.sub("‹mark›", repr(done["changes"])), "marks are those of a call"
    changed = {change["path"]: change["new"] for change in done["changes"]}
    assert changed["spec.replicas"] == 3
    assert changed["spec.template.spec.containers[web].image"] == "example/web:1.2"
    assert done["object"]["uid"] == stored["metadata"]["uid"]
    assert (done["before"], done["after"]["metadata"]["name"]) == (None, "web")
    assert stored["spec"]["template"]["metadata"]["labels"] == {"app": "web", "team": "shop"}
    assert stored["spec"]["template"]["spec"]["containers"][0]["env"] == [{"name": "MODE", "value": "cnry-env"}]
    assert "cnry-env" not in str(done)


def test_a_name_that_is_taken_is_a_conflict(tools: ToolClient, fresh_namespace: str) -> None:
    create(tools, fresh_namespace, replicas=0)
    error = tools.error("k8s_create_deployment", name="web", namespace=fresh_namespace, image="example/other")
    assert (error["type"], error["status"], error["reason"]) == ("Conflict", 409, "AlreadyExists")


def test_a_dry_run_of_a_deletion_says_what_would_go_and_deletes_nothing(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str
) -> None:
    create(tools, fresh_namespace, replicas=2)
    pods = f"/api/v1/namespaces/{fresh_namespace}/pods"
    wait_until(lambda: len(control_plane.api.get(pods)["items"]) == 2, "two pods")
    mark = control_plane.audit.mark()
    answer = tools("k8s_delete_resource", kind="deployment", name="web", namespace=fresh_namespace, dry_run=True)
    assert answer["owned_total"] == 3
    assert {item["kind"] for item in answer["owned"]} == {"ReplicaSet", "Pod"}
    assert "would delete Deployment" in answer["note"]
    assert answer["before"]["metadata"]["name"] == "web"
    found = deployment(control_plane, fresh_namespace, "web")
    assert found is not None
    assert "deletionTimestamp" not in found["metadata"]
    assert not [
        request
        for request in control_plane.audit.requests(mark, user_agent="k8s-mcp/")
        if request.mutating and not request.dry_run
    ]


def test_a_deletion_deletes_and_says_what_it_was(tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str) -> None:
    created = create(tools, fresh_namespace, replicas=0)
    answer = tools("k8s_delete_resource", kind="deploy", name="web", namespace=fresh_namespace, uid=created["object"]["uid"])
    assert deployment(control_plane, fresh_namespace, "web") is None
    assert answer["before"]["spec"]["replicas"] == 0
    assert answer["after"] is None
    assert tools.error("k8s_delete_resource", kind="deploy", name="web", namespace=fresh_namespace)["type"] == "NotFound"


def test_an_object_that_is_still_ending_is_reported_as_such(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str
) -> None:
    path = f"/api/v1/namespaces/{fresh_namespace}/pods/held"
    control_plane.pods.create(fresh_namespace, "held", None)
    control_plane.api.patch(path, {"metadata": {"finalizers": ["testcluster/hold"]}})
    answer = tools("k8s_delete_resource", kind="pod", name="held", namespace=fresh_namespace)
    assert answer["after"]["metadata"]["deletionTimestamp"]
    assert "has begun" in answer["note"]
    control_plane.pods.release(fresh_namespace, "held")


@pytest.mark.parametrize("precondition", [{"uid": "00000000-0000-0000-0000-000000000000"}, {"resource_version": "1"}])
def test_a_precondition_that_does_not_hold_prevents_the_deletion(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str, precondition: dict[str, str]
) -> None:
    create(tools, fresh_namespace, replicas=0)
    error = tools.error("k8s_delete_resource", kind="deploy", name="web", namespace=fresh_namespace, **precondition)
    assert (error["type"], error["status"]) == ("Conflict", 409)
    assert deployment(control_plane, fresh_namespace, "web") is not None


def test_orphaned_pods_stay(tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str) -> None:
    create(tools, fresh_namespace, replicas=1)
    sets = f"/apis/apps/v1/namespaces/{fresh_namespace}/replicasets"
    wait_until(lambda: control_plane.api.get(sets)["items"], "the ReplicaSet")
    answer = tools("k8s_delete_resource", kind="deploy", name="web", namespace=fresh_namespace, propagation="Orphan")
    assert "stay, without owner" in answer["note"]
    wait_until(lambda: deployment(control_plane, fresh_namespace, "web") is None, "the Deployment to go")
    assert not control_plane.api.get(sets)["items"][0]["metadata"].get("ownerReferences")


def test_deleting_a_namespace_says_what_it_holds(tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str) -> None:
    control_plane.pods.create(fresh_namespace, "inhabitant", None)
    answer = tools("k8s_delete_resource", kind="ns", name=fresh_namespace, dry_run=True)
    assert re.search(r"\b1 pod\b", answer["note"])
    assert control_plane.api.get(f"/api/v1/namespaces/{fresh_namespace}")["status"]["phase"] == "Active"


def test_deleting_a_namespace_names_the_custom_resources_in_it(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str
) -> None:
    group = f"{fresh_namespace}.example.com"
    with installed(control_plane.api, definition("widgets", group, "Widget"), definition("nothings", group, "Nothing")):
        for name in ("one", "two"):
            body = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": name}}
            control_plane.api.post(f"/apis/{group}/v1/namespaces/{fresh_namespace}/widgets", body)
        note = tools("k8s_delete_resource", kind="ns", name=fresh_namespace, dry_run=True)["note"]
        assert f"2 widgets.{group}" in note
        assert "nothings" not in note, "there are none"
        assert "could not be counted" not in note
        described = tools("k8s_describe", kind="ns", name=fresh_namespace)
        (found,) = [one for one in described["sections"] if one["name"] == "objects in it"]
        assert {"kind": f"widgets.{group}", "count": 2} in found["rows"]


def test_the_first_of_many_is_not_taken_for_all_where_the_api_server_does_not_say_how_many_remain(
    tool_client: Callable[..., ToolClient], control_plane: ControlPlane, fresh_namespace: str
) -> None:
    """An API server says it of no list that has a selector, as one without a denied namespace has."""
    group = f"{fresh_namespace}.example.com"
    with installed(control_plane.api, definition("widgets", group, "Widget")):
        for name in ("one", "two"):
            body = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": name}}
            control_plane.api.post(f"/apis/{group}/v1/namespaces/{fresh_namespace}/widgets", body)
        for deny, said in ([], f"2 widgets.{group}"), (["namespace=denied"], f"could not be counted: widgets.{group}"):
            policy = ServerPolicy(approval="client", deny=rules_of(deny, "--deny", []))
            client = tool_client(control_plane.kubeconfig, policy=policy)
            assert said in client("k8s_delete_resource", kind="crd", name=f"widgets.{group}", dry_run=True)["note"]


def test_what_is_in_a_namespace_and_cannot_be_counted_is_named(
    tool_client: Callable[..., ToolClient], control_plane: ControlPlane, fresh_namespace: str
) -> None:
    group = f"{fresh_namespace}.example.com"
    with installed(control_plane.api, definition("widgets", group, "Widget")):
        denied = ServerPolicy(approval="client", deny=rules_of([f"kind=widgets.{group}"], "--deny", []))
        client = tool_client(control_plane.kubeconfig, policy=denied)
        note = client("k8s_delete_resource", kind="ns", name=fresh_namespace, dry_run=True)["note"]
        assert f"could not be counted: widgets.{group}" in note
        assert "1 configmap," in note, "the others are counted all the same"

        async def bounded(**bounds: Any) -> Contents:
            context = tool_client(control_plane.kubeconfig).gate().tools
            try:
                return await namespace_contents(context.clusters.api(""), context.discovery, fresh_namespace, **bounds)
            finally:
                await context.close()

        assert f"widgets.{group}" in asyncio.run(bounded(most=0)).uncounted
        late = asyncio.run(bounded(seconds=0))
        assert late.counts == {}
        assert "pods" in late.uncounted
        assert "custom resources" in late.told()


@pytest.mark.parametrize(
    "arguments",
    [
        {"env": {"A": "‹redacted:0123456789ab›"}},
        {"labels": {"a": "\\u2039redacted:0123456789ab"}},
        {"env": {"‹redacted:0123456789ab›": "x"}},
    ],
)
def test_a_redaction_mark_is_never_written_into_a_cluster(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str, arguments: dict[str, object]
) -> None:
    mark = control_plane.audit.mark()
    error = tools.error("k8s_create_deployment", name="web", namespace=fresh_namespace, image="example/web", **arguments)
    assert error["type"] == "InvalidArguments"
    assert "redaction mark" in error["message"]
    assert next(iter(arguments)) in error["message"]
    assert control_plane.audit.requests(mark, user_agent="k8s-mcp/") == []


def test_a_read_only_server_has_no_tool_that_changes_anything(
    control_plane: ControlPlane, tool_client: Callable[..., ToolClient], fresh_namespace: str
) -> None:
    tools = tool_client(control_plane.kubeconfig, read_only=True)
    assert {tool.name for tool in tools.gate().listed() if not tool.annotations.read_only_hint} == set()
    mark = control_plane.audit.mark()
    attempts: dict[str, dict[str, object]] = {
        "k8s_create_deployment": {"name": "web", "namespace": fresh_namespace, "image": "example/web"},
        "k8s_delete_resource": {"kind": "ns", "name": fresh_namespace},
    }
    for tool, arguments in attempts.items():
        assert tools.error(tool, arguments)["type"] == "UnknownTool"
    assert not [request for request in control_plane.audit.requests(mark, user_agent="k8s-mcp/") if request.mutating]


def test_changing_tools_are_marked_as_destructive(tools: ToolClient) -> None:
    hints = {tool.name: tool.annotations for tool in tools.gate().listed()}
    changing = {name for name, hint in hints.items() if not hint.read_only_hint}
    assert {"k8s_create_deployment", "k8s_delete_resource", "k8s_apply_manifest", "k8s_patch_resource"} <= changing
    assert all(hints[name].destructive_hint for name in changing)


@pytest.mark.parametrize(
    "arguments",
    [
        {"image": "nginx; rm -rf /"},
        {"image": "nginx\n"},
        {"image": "-x"},
        {"name": "Web_1"},
        {"replicas": 100_000},
        {"port": 0},
        {"namespace": ""},
    ],
)
def test_wrong_arguments_of_a_creation_are_refused_before_anything_is_sent(
    tools: ToolClient, control_plane: ControlPlane, arguments: dict[str, object]
) -> None:
    mark = control_plane.audit.mark()
    error = tools.error("k8s_create_deployment", {"name": "web", "namespace": "default", "image": "example/web", **arguments})
    assert error["type"] == "InvalidArguments"
    assert control_plane.audit.requests(mark, user_agent="k8s-mcp/") == []


def test_deleting_needs_the_namespace_to_be_named(tools: ToolClient) -> None:
    assert "name the one of the object" in tools.error("k8s_delete_resource", kind="pod", name="x")["message"]
