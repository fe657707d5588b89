"""The API server's own record: what reaches it when every tool is called with arguments that try to write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from mcp import Client

from controlplane.audit import AuditedRequest
from controlplane.control_plane import ControlPlane
from mcp_tools.all_tools import ALL_TOOLS
from mcp_tools.request_guard import RequestGuard
from mcp_tools.server import build_server
from mcp_tools.server_policy import ServerPolicy, rules_of
from server_fixtures import ToolClient

NAMESPACE = "writes-refused"
NODE = "writes-refused-node"
TOOLS = [tool.name for tool in ALL_TOOLS]
OF_DEPLOYMENT = {"kind": "deployments", "name": "victim", "namespace": NAMESPACE}
MANIFEST = f"""
apiVersion: v1
kind: ConfigMap
metadata: {{name: applied, namespace: {NAMESPACE}}}
data: {{a: b}}
"""
WRITES: Mapping[str, Mapping[str, Any]] = {
    "k8s_create_deployment": {"name": "made", "namespace": NAMESPACE, "image": "nginx"},
    "k8s_apply_manifest": {"manifest": MANIFEST},
    "k8s_patch_resource": OF_DEPLOYMENT | {"patch": {"metadata": {"labels": {"patched": "yes"}}}},
    "k8s_scale": OF_DEPLOYMENT | {"replicas": 3},
    "k8s_rollout": OF_DEPLOYMENT | {"action": "restart"},
    "k8s_node": {"name": NODE, "action": "cordon"},
    "k8s_exec": {"name": "pod", "namespace": NAMESPACE, "command": ["true"]},
    "k8s_delete_resource": {"kind": "configmaps", "name": "victim", "namespace": NAMESPACE},
}
"""Each would change something; a tool that is missing here fails a test below."""
VALUES: Mapping[str, Any] = {
    "kind": "configmaps", "name": "victim", "namespace": NAMESPACE, "path": "pods", "kinds": ["pods"],
    "watches": [{"kind": "pods", "cursor": "1"}], "counts": [{"kind": "pods"}], "resource": "pods", "verb": "delete",
    "release": "none", "label_selector": "a=b", "hold": False, "timeout_seconds": 5,
}  # fmt: skip
"""Arguments of tools that read, by name."""
FORGED: tuple[Mapping[str, Any], ...] = (
    {},
    {"dry_run": False},
    {"dry_run": "false"},
    {"approve": True, "confirm": True, "force": True},
    {"method": "DELETE", "verb": "delete", "httpMethod": "POST"},
    {"name": "victim?dryRun=&x="},
    {"name": "../../../api/v1/namespaces/writes-refused"},
    {"namespace": f"{NAMESPACE}/configmaps/victim"},
    {"label_selector": "a=b&_method=DELETE", "continue_token": "x&watch=0"},
)


@pytest.fixture(scope="module", autouse=True)
def victims(control_plane: ControlPlane) -> Iterator[None]:
    """Something to change for each tool."""
    api = control_plane.api
    control_plane.create_namespace(NAMESPACE)
    api.post(f"/api/v1/namespaces/{NAMESPACE}/configmaps", {"metadata": {"name": "victim"}, "data": {}})
    container = {"name": "app", "image": "nginx"}
    template = {"metadata": {"labels": {"app": "victim"}}, "spec": {"containers": [container]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "victim"}}, "template": template}
    api.post(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments", {"metadata": {"name": "victim"}, "spec": spec})
    pod = {"metadata": {"name": "pod"}, "spec": {"nodeName": NODE, "containers": [container]}}
    api.post("/api/v1/nodes", {"metadata": {"name": NODE}})
    api.post(f"/api/v1/namespaces/{NAMESPACE}/pods", pod)
    yield
    control_plane.delete_namespace(NAMESPACE)
    api.delete(f"/api/v1/nodes/{NODE}")


@pytest.fixture
def client_with(control_plane: ControlPlane, tool_client: Callable[..., ToolClient]) -> Callable[[ServerPolicy], ToolClient]:
    return lambda policy: tool_client(control_plane.kubeconfig, policy=policy)


def attempts() -> Iterator[tuple[str, dict[str, Any]]]:
    for tool in ALL_TOOLS:
        known = {name: VALUES[name] for name in tool.arguments if name in VALUES}
        given = WRITES.get(tool.name) or dict.fromkeys(tool.required, "x") | known
        for forged in FORGED:
            yield tool.name, {**given, **forged}


def written(control_plane: ControlPlane, client: ToolClient, calls: list[tuple[str, dict[str, Any]]]) -> list[AuditedRequest]:
    """The requests of these calls that were meant to change something, whatever became of them."""
    mark = control_plane.audit.mark()

    async def run() -> None:
        async with Client(build_server(client.gate())) as connected:
            for tool, arguments in calls:
                await connected.call_tool(tool, arguments)

    asyncio.run(run())
    return control_plane.audit.requests(mark, user_agent="k8s-mcp/", where=lambda one: one.mutating or is_connection(one))


def unguarded(_guard: RequestGuard, _method: str, _path: str, query: Any, *_rest: Any, **_more: Any) -> Any:
    return query


def is_connection(one: AuditedRequest) -> bool:
    return any(f"/{part}" in one.uri for part in ("exec", "attach", "portforward", "proxy"))


def test_every_tool_that_changes_something_is_tried_here() -> None:
    untried = {tool.name for tool in ALL_TOOLS if not tool.read_only} ^ set(WRITES)
    assert not untried, "say in WRITES how each of these writes to one of the victims"


@pytest.mark.parametrize(
    "policy",
    [
        ServerPolicy(read_only=True, enable_exec=True, approval="client"),
        ServerPolicy(enable_exec=True),
        ServerPolicy(enable_exec=True, allow=rules_of(["namespace=elsewhere"], "--allow", TOOLS)),
        ServerPolicy(
            enable_exec=True, approval="client", deny=rules_of([f"namespace={NAMESPACE}", "kind=nodes"], "--deny", TOOLS)
        ),
        ServerPolicy(enable_exec=True, approval="client", deny=rules_of(["context=testcluster-*"], "--deny", TOOLS)),
    ],
    ids=["read-only", "nobody to ask", "another rule", "denied namespace", "denied context"],
)
def test_nothing_that_would_change_something_reaches_the_api_server(
    policy: ServerPolicy, client_with: Callable[[ServerPolicy], ToolClient], control_plane: ControlPlane
) -> None:
    found = written(control_plane, client_with(policy), list(attempts()))
    assert [f"{one.verb} {one.uri}" for one in found] == []


def test_the_same_calls_do_write_once_the_guard_is_gone(
    client_with: Callable[[ServerPolicy], ToolClient], control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the test above would prove nothing: each tool has its way to the API server."""
    monkeypatch.setattr(RequestGuard, "judged", unguarded)
    client = client_with(ServerPolicy(enable_exec=True, approval="client"))
    without = {tool: len(written(control_plane, client, [(tool, dict(given))])) for tool, given in WRITES.items()}
    assert min(without.values()) >= 1, without
