"""Counting objects, and finding out where they may be listed, with credentials that may do little."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane.control_plane import ControlPlane
from controlplane.users import rule
from following_fixtures import Follower, Json
from mcp_tools.at_most import AT_ONCE, at_most
from mcp_tools.kubeconfig import service_account_namespace

FollowerFactory = Callable[..., Any]


async def counts(server: Follower, *wanted: tuple[str, str]) -> list[Json]:
    asked = [{"kind": kind, "namespace": namespace} for kind, namespace in wanted]
    answer = await server.call("k8s_count_objects", counts=asked)
    results: list[Json] = answer["results"]
    assert [(one["kind"], one["namespace"]) for one in results] == list(wanted)
    return results


async def test_counts_are_those_of_a_complete_list(
    control_plane: ControlPlane, follower: FollowerFactory, fresh_namespace: str
) -> None:
    server: Follower = await follower(control_plane.kubeconfig)
    for number in range(3):
        control_plane.api.post(f"/api/v1/namespaces/{fresh_namespace}/services", service(f"s{number}"))
    mark = control_plane.audit.mark()
    found = await counts(server, ("services", fresh_namespace), ("services", ""), ("pods", fresh_namespace), ("clusterroles", ""))
    listed = len(control_plane.api.get("/api/v1/services")["items"])
    roles = len(control_plane.api.get("/apis/rbac.authorization.k8s.io/v1/clusterroles")["items"])
    assert [one["count"] for one in found] == [3, listed, 0, roles]
    assert all(one["error"] is None and one["resource_version"].isdecimal() for one in found)
    requests = [one.uri for one in control_plane.audit.requests(mark, user="admin")]
    assert len(requests) == 4
    assert all("limit=1" in uri for uri in requests)


def service(name: str) -> Json:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}}


async def test_what_may_not_be_counted_costs_only_itself(
    control_plane: ControlPlane, follower: FollowerFactory, fresh_namespace: str
) -> None:
    user = control_plane.users.create(fresh_namespace, "counter", rules=[rule("services", "secrets", verbs=("list",))])
    server: Follower = await follower(user.kubeconfig)
    good, secrets, forbidden, everywhere, unknown = await counts(
        server,
        ("services", fresh_namespace),
        ("secrets", fresh_namespace),
        ("pods", fresh_namespace),
        ("services", ""),
        ("xyz", ""),
    )
    assert (good["count"], good["error"], secrets["count"], secrets["error"]) == (0, None, 0, None)
    for one in (forbidden, everywhere):
        assert (one["count"], one["error"]["type"], one["error"]["status"]) == (None, "NotPermitted", 403)
    assert unknown["error"]["type"] == "UnknownKind"


async def test_only_so_many_requests_are_made_at_once_and_their_order_is_kept() -> None:
    running = most = 0

    async def work(item: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001 * (item % 3))
        running -= 1
        return item * 2

    assert await at_most(range(50), work) == [item * 2 for item in range(50)]
    assert most == AT_ONCE


async def test_one_failure_of_many_ends_the_others() -> None:
    ended: list[int] = []

    async def work(item: int) -> None:
        try:
            if item == 3:
                raise LookupError("third")
            await asyncio.sleep(60)
        finally:
            ended.append(item)

    with pytest.raises(LookupError):
        await at_most(range(20), work)
    assert sorted(ended) == list(range(len(ended)))
    assert len(asyncio.all_tasks()) == 1


async def permitted(server: Follower, *kinds: str, **arguments: Any) -> Json:
    answer = await server.call("k8s_permitted_namespaces", kinds=list(kinds), **arguments)
    assert answer["error"] is None, answer["error"]
    return answer


@pytest.fixture
def rooms(control_plane: ControlPlane, fresh_namespace: str) -> Any:
    """Two more namespaces beside the test's own."""
    names = [control_plane.create_namespace(f"{fresh_namespace[:40]}-{letter}") for letter in "xy"]
    yield [fresh_namespace, *names]
    for name in names:
        control_plane.delete_namespace(name)


async def test_namespaces_are_those_where_the_rules_allow_a_list_of_all_objects(
    control_plane: ControlPlane, follower: FollowerFactory, rooms: list[str]
) -> None:
    home, other, third = rooms
    user = control_plane.users.create(home, "reader", rules=[rule("pods", verbs=("list",)), rule("configmaps", verbs=("get",))])
    bind(control_plane, user.name, other, {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]})
    bind(
        control_plane, user.name, third,
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"], "resourceNames": ["only-this-one"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list", "watch"]},
        {"apiGroups": ["other.example"], "resources": ["configmaps"], "verbs": ["list"]},
    )  # fmt: skip
    server: Follower = await follower(user.kubeconfig)
    mark = control_plane.audit.mark()
    answer = await permitted(server, "pods", "configmaps", "deployments", "secrets", "nodes", namespaces=rooms)
    assert answer == {
        "permitted": {
            "pods": [home, other],
            "configmaps": [other],
            "deployments": [other, third],
            "secrets": [other],
            "nodes": [],
        },
        "namespaces": rooms,
        "error": None,
    }
    asked = control_plane.audit.requests(mark, user=user.name)
    assert {(one.verb, one.resource) for one in asked} == {("create", "selfsubjectrulesreviews")}
    assert len(asked) == len(rooms)
    alone = await permitted(server, "pods")
    assert (alone["permitted"], alone["namespaces"]) == ({"pods": [home]}, [home])


def bind(cluster: ControlPlane, user: str, namespace: str, *rules: Json) -> None:
    """Returns once the user has the last of the rules."""
    base = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    cluster.api.post(f"{base}/roles", {"metadata": {"name": "r"}, "rules": list(rules)})
    subject = {"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    cluster.api.post(f"{base}/rolebindings", {"metadata": {"name": "r"}, "subjects": [subject], "roleRef": role})


async def test_all_namespaces_that_exist_are_looked_at_when_they_may_be_listed(
    control_plane: ControlPlane, follower: FollowerFactory, rooms: list[str]
) -> None:
    home = rooms[0]
    user = control_plane.users.create(
        home, "lister", rules=[rule("pods", verbs=("list",))], cluster_rules=[rule("namespaces", verbs=("list",))]
    )
    answer = await permitted(await follower(user.kubeconfig), "pods")
    assert set(answer["namespaces"]) >= {*rooms, "default", "kube-system"}
    assert answer["permitted"] == {"pods": [home]}


class NoOpinion(BaseHTTPRequestHandler):
    """An authorizer that allows nothing. The API server cannot ask it for rules, so it calls its own incomplete."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "status": {"allowed": false}}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def no_opinion(tmp_path: Path) -> Iterator[Path]:
    """The API server's configuration for such an authorizer."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), NoOpinion)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    named = {
        "clusters": [{"name": "a", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "contexts": [{"name": "a", "context": {"cluster": "a"}}],
    }
    file = tmp_path / "authorizer"
    file.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": "a", **named}))
    yield file
    server.shutdown()
    server.server_close()
    thread.join()


async def test_where_rules_are_not_told_in_full_a_list_of_one_decides(
    control_plane_factory: Callable[..., ControlPlane], follower: FollowerFactory, no_opinion: Path
) -> None:
    flags = (
        "--authorization-mode=Webhook",
        f"--authorization-webhook-config-file={no_opinion}",
        "--authorization-webhook-version=v1",
    )
    own = control_plane_factory(controllers=False, api_server_flags=flags)
    own.create_namespace("shop")
    user = own.users.create("shop", "reader", rules=[rule("pods", verbs=("list",))])
    server: Follower = await follower(user.kubeconfig)
    mark = own.audit.mark()
    answer = await permitted(server, "pods", "configmaps", "services", namespaces=["shop", "default"])
    assert answer["permitted"] == {"pods": ["shop"], "configmaps": [], "services": []}
    tried = [one for one in own.audit.requests(mark, user=user.name) if one.verb == "list"]
    assert {(one.resource, one.namespace) for one in tried} == {
        ("configmaps", "shop"), ("services", "shop"), ("pods", "default"), ("configmaps", "default"), ("services", "default"),
    }  # fmt: skip


async def test_an_api_server_that_does_not_say_is_an_error_and_not_an_empty_permission(
    control_plane: ControlPlane, follower: FollowerFactory
) -> None:
    user = control_plane.users.with_bad_token()
    server: Follower = await follower(user.kubeconfig)
    answer = await server.call("k8s_permitted_namespaces", kinds=["pods"], namespaces=["default"])
    assert answer["error"]["type"] == "Unauthorized"
    assert "log in again" in answer["error"]["message"]


def test_in_a_pod_the_own_namespace_is_that_of_its_service_account(tmp_path: Any) -> None:
    (tmp_path / "namespace").write_text("payments\n")
    assert service_account_namespace(tmp_path / "namespace") == "payments"
    assert service_account_namespace(tmp_path / "missing") == "default"
