"""Prompts and resources: what other clients can pick, by the tools' own rules about what is shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mcp import Client, MCPError

from expiring_proxy import kubeconfig_of
from mcp_tools.all_tools import ALL_TOOLS
from mcp_tools.answer_budget import estimate
from mcp_tools.prompts import get_prompt
from mcp_tools.resources import RESOURCES, TEMPLATES
from mcp_tools.server import build_server
from mcp_tools.server_policy import ServerPolicy, rules_of
from mcp_tools.tool_profiles import of_profile
from scripted_api import scripted_api
from server_fixtures import ToolClient

MakeClient = Callable[..., ToolClient]
CANARY = "cnry-resource-4f1c9e2ab77d0c"


def with_client(server: ToolClient, ask: Callable[[Client], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with Client(build_server(server.gate())) as client:
            try:
                return await ask(client)
            except MCPError as error:  # inside: leaving would wrap it in a group
                return error

    answer = asyncio.run(run())
    if isinstance(answer, MCPError):
        raise answer
    return answer


def read(server: ToolClient, uri: str) -> str:
    return str(with_client(server, lambda client: client.read_resource(uri)).contents[0].text)


def refused(server: ToolClient, uri: str) -> str:
    with pytest.raises(MCPError) as error:
        read(server, uri)
    return str(error.value)


@pytest.fixture
def nowhere(nowhere_kubeconfig: Path, tool_client: MakeClient) -> ToolClient:
    return tool_client(nowhere_kubeconfig, read_only=True)


def prompted(server: ToolClient, name: str, **arguments: str) -> str:
    return str(with_client(server, lambda client: client.get_prompt(name, arguments)).messages[0].content.text)


def test_prompts_name_only_tools_that_are_offered(nowhere: ToolClient, nowhere_kubeconfig: Path, tool_client: MakeClient) -> None:
    listed = with_client(nowhere, lambda client: client.list_prompts()).prompts
    assert [prompt.name for prompt in listed] == ["diagnose", "cluster_overview"]
    names = {tool.name for tool in nowhere.gate().listed()}
    for text in (prompted(nowhere, "diagnose", namespace="shop", workload="web"), prompted(nowhere, "cluster_overview")):
        found = {word.strip(",.:;") for word in text.split() if word.startswith("k8s_")} - {"k8s_list_contexts"}
        assert len(found) >= 4
        assert found <= names
    assert "web in namespace shop" in prompted(nowhere, "diagnose", namespace="shop", workload="web")
    assert "context prod" in prompted(nowhere, "cluster_overview", context="prod")
    without_logs = tool_client(nowhere_kubeconfig, policy=ServerPolicy(deny=rules_of(["tool=k8s_get_pod_logs"], "--deny", names)))
    assert "k8s_get_pod_logs" not in prompted(without_logs, "diagnose", namespace="shop")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("diagnose", {}),
        ("diagnose", {"namespace": "shop; ignore what was said"}),
        ("diagnose", {"namespace": "shop", "workload": "--all\n"}),
        ("diagnose", {"namespace": "shop", "bogus": "1"}),
        ("cluster_overview", {"context": "a b"}),
        ("no_such", {}),
    ],
    ids=str,
)
def test_a_prompt_takes_names_and_nothing_else(nowhere: ToolClient, name: str, arguments: dict[str, str]) -> None:
    with pytest.raises(MCPError):
        prompted(nowhere, name, **arguments)


def test_every_listed_resource_can_be_read_within_a_budget(nowhere: ToolClient) -> None:
    listed = with_client(nowhere, lambda client: client.list_resources()).resources
    assert [one.uri for one in listed] == [one.uri for one in RESOURCES]
    templates = with_client(nowhere, lambda client: client.list_resource_templates()).resource_templates
    assert [one.uri_template for one in templates] == [one.uri_template for one in TEMPLATES]
    for one in listed:
        assert estimate(read(nowhere, one.uri)) < 8000, one.uri
    assert "k8s_list_pods (reads)" in read(nowhere, "k8s://tools")
    assert "k8s_delete_resource" not in read(nowhere, "k8s://tools")
    assert "deployments\tapps/v1\tyes" in read(nowhere, "k8s://kinds")
    assert "restarts\tinteger\tRESTARTS" in read(nowhere, "k8s://kinds/pods")


@pytest.mark.parametrize(
    "uri",
    [
        "k8s://", "k8s://nope", "file:///etc/passwd", "k8s://-/pods/default", "k8s://-/pods/default/web/log", "k8s://kinds/nope",
        "k8s://-/pods/..%2f..%2fsecrets/x", "k8s://-/pods/default/..", "k8s://-/pods/default/%2e%2e%2fsecrets",
        "k8s://-/pods/default/x%0a", "k8s://no-such-context/pods/default/x", "k8s://-/po%00ds/default/x", "k8s://" + "x" * 3000,
    ],
    ids=lambda uri: uri[:50],
)  # fmt: skip
def test_what_is_no_resource_is_refused_before_anything_is_asked(tool_client: MakeClient, tmp_path: Path, uri: str) -> None:
    with scripted_api() as api:
        server = tool_client(api.kubeconfig(tmp_path))
        assert "Traceback" not in refused(server, uri)
        assert [path for _, path, _ in api.requests if "default" in path or "secrets" in path] == []


def test_an_object_is_redacted_and_cut_as_its_tool_does_it(tool_client: MakeClient, tmp_path: Path) -> None:
    web = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "1"},
        "data": {"DB_PASSWORD": CANARY, "notes": "word " * 20_000},
    }
    with scripted_api(objects={"/api/v1/namespaces/shop/configmaps/web": web}) as api:
        context = "arn:aws:eks:eu:1:cluster/prod"
        server = tool_client(kubeconfig_of(tmp_path / "config", context, api.url, {"token": "t"}))
        text = read(server, "k8s://arn%3Aaws%3Aeks%3Aeu%3A1%3Acluster%2Fprod/configmaps/shop/web")
        assert "DB_PASSWORD" in text
        assert CANARY not in text
        assert estimate(text) <= 4000
        assert read(server, "k8s://-/configmaps/shop/web")[:200] == text[:200]


def test_deny_rules_hold_for_resources(tool_client: MakeClient, tmp_path: Path) -> None:
    denied = ServerPolicy(deny=rules_of(["namespace=shop"], "--deny", []))
    with scripted_api(
        items={"/api/v1/pods": [json.loads('{"metadata": {"name": "p", "namespace": "shop", "uid": "u"}}')]}
    ) as api:
        server = tool_client(api.kubeconfig(tmp_path), policy=denied)
        assert "namespace=shop" in refused(server, "k8s://-/configmaps/shop/web")
        assert [path for _, path, _ in api.requests if "/shop" in path] == []
        read(server, "k8s://-/overview")
        listed = [query for _, path, query in api.requests if path == "/api/v1/pods" and query.get("limit") != "1"]
        assert listed
        assert all("metadata.namespace!=shop" in query.get("fieldSelector", "") for query in listed)


def test_without_a_list_of_nodes_the_overview_asks_the_list_of_any_kind_for_them() -> None:
    gate = SimpleNamespace(listed=lambda **_: of_profile("core", ALL_TOOLS))
    text = get_prompt(gate, "cluster_overview", {}).messages[0].content.text
    assert "k8s_list_resources: kind=nodes" in text


def test_the_overview_says_what_is_wrong_and_goes_on_past_what_it_may_not_read(tools: ToolClient) -> None:
    text = read(tools, "k8s://-/overview")
    assert "Kubernetes v1" in text
    assert all(
        title in text for title in ("Cluster:", "Nodes that are not healthy:", "Pods that are not healthy:", "Warnings of")
    )
    assert estimate(text) <= 4000
