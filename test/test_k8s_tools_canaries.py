"""Secrets planted in a real cluster, in every form and place; every tool called in every view; nothing may come out.

The same search with a redactor that does nothing has to find leaks at each channel: else this test could not fail.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from mcp import Client, MCPError
from mcp_types import CallToolResult

from canary_views import every_view, moving_patches, unmasking_patches
from controlplane.audit import AuditedRequest
from controlplane.control_plane import ControlPlane
from mcp_tools.all_tools import ALL_TOOLS
from mcp_tools.resources import RESOURCES as RESOURCE_LIST
from mcp_tools.server import build_server
from mcp_tools.server_policy import ServerPolicy
from planted_canaries import PAYLOAD, NoRedactor, found_in_output, planted_namespace
from secret_canaries import leaks
from server_fixtures import ToolClient

OFFERED = [declaration.name for declaration in ALL_TOOLS]
RESOURCES = "resources"
"""Beside the tools: what clients read by address."""


@pytest.fixture(scope="module")
def planted(control_plane: ControlPlane) -> Iterator[str]:
    with planted_namespace(control_plane, "canaries") as name:
        yield name


def test_every_tool_is_searched() -> None:
    assert set(every_view("x")) == set(OFFERED)


@dataclass(frozen=True)
class Answers:
    """What every tool answered in all its views, and the requests that this took."""

    outputs: dict[str, str]
    requests: list[AuditedRequest]


def answers_of(control_plane: ControlPlane, client: ToolClient, namespace: str) -> Answers:
    """One server, one client, one call after the other."""

    async def run() -> dict[str, str]:
        async with Client(build_server(client.gate())) as session:
            views = every_view(namespace)
            called = {tool: "\n".join([said(await session.call_tool(tool, one)) for one in views[tool]]) for tool in OFFERED}
            return called | {RESOURCES: "\n".join([await read(session, uri) for uri in uris(namespace)])}

    mark = control_plane.audit.mark()
    outputs = asyncio.run(run())
    return Answers(outputs, control_plane.audit.requests(mark, user_agent="k8s-mcp/"))


def uris(namespace: str) -> Iterator[str]:
    """Every resource and every template of the server, for the objects that are full of secrets."""
    objects = [*((one["kind"], one["name"]) for one in every_view(namespace)["k8s_delete_resource"]), ("secrets", "s")]
    yield from (str(one.uri) for one in RESOURCE_LIST)
    yield from (f"k8s://-/{kind}/{namespace}/{name}" for kind, name in objects)
    yield "k8s://-/pods/password=cnry-log-line/x"
    yield "k8s://password=cnry-log-line/overview"


async def read(session: Client, uri: str) -> str:
    try:
        return "\n".join(str(one.text) for one in (await session.read_resource(uri)).contents)  # beside the address itself
    except MCPError as error:
        return str(error)


def said(result: CallToolResult) -> str:
    texts = [block.text if block.type == "text" else str(block) for block in result.content]
    return "\n".join([json.dumps([result.structured_content, result.meta], ensure_ascii=False), *texts])


@pytest.fixture(scope="module")
def redacted(control_plane: ControlPlane, planted: str) -> Answers:
    return answers_of(control_plane, administrator(control_plane), planted)


@pytest.fixture(scope="module")
def unredacted(control_plane: ControlPlane, planted: str) -> Answers:
    return answers_of(control_plane, replace(administrator(control_plane), redactor=NoRedactor()), planted)


def administrator(control_plane: ControlPlane) -> ToolClient:
    environment = {name: value for name, value in os.environ.items() if name != "KUBERNETES_SERVICE_HOST"}
    policy = ServerPolicy(enable_exec=True, approval="client")
    return ToolClient(environment | {"KUBECONFIG": str(control_plane.kubeconfig)}, policy=policy)


@pytest.mark.parametrize("tool", [*OFFERED, RESOURCES])
def test_no_planted_secret_comes_out_of_a_tool(redacted: Answers, tool: str) -> None:
    assert len(redacted.outputs[tool]) > 100
    assert found_in_output(redacted.outputs[tool]) == set()


def test_a_patch_that_would_move_or_compare_a_secret_is_refused_before_it_is_sent(
    control_plane: ControlPlane, planted: str
) -> None:
    client = administrator(control_plane)
    mark = control_plane.audit.mark()
    for one in moving_patches(planted):
        error = client.error("k8s_patch_resource", **one, type="json", dry_run=True)
        assert error["type"] == "InvalidArguments", one
    assert [one for one in control_plane.audit.requests(mark, user_agent="k8s-mcp/") if one.verb == "patch"] == []


def test_a_secret_stays_redacted_when_a_dry_run_changes_what_stands_beside_it(control_plane: ControlPlane, planted: str) -> None:
    client = administrator(control_plane)
    for one in unmasking_patches(planted):
        tried = client("k8s_patch_resource", **one, type="json", dry_run=True, max_tokens=100_000)
        assert tried["changes"], one
        assert found_in_output(json.dumps(tried)) == set(), one


CHANNELS = {
    "k8s_get_cluster_info": {"log"},
    "k8s_get_resource": {"env value", "env number", "annotation", "last applied", "condition message", "event message"}
    | {"flag= in args", "nested collection", "token as a key", "collection in toml", "base64 of a private key"},
    "k8s_describe": {"annotation", "condition message", "event message"},
    "k8s_explain": {"log"},
    "k8s_auth_can_i": {"log"},
    "k8s_inspect_secret": {"log"},
    "k8s_helm": {"env value", "annotation", "private key", "jwt", "sentence", "last applied"},
    "k8s_list_namespaces": {"log"},
    "k8s_list_nodes": {"log"},
    "k8s_list_pods": {"log"},
    "k8s_list_services": {"log"},
    "k8s_list_resources": {"event message", "log", "assignment"},
    "k8s_list_events": {"event message", "private key", "jwt"},
    "k8s_get_pod_logs": {"log", "private key", "jwt"},
    "k8s_top": {"log"},
    "k8s_export_page": {"env value", "http header of a probe", "flag and value in args", "private key", "event message"}
    | {"secret data", "nested collection", "collection in toml", "address as a key"},
    "k8s_list_changes": {"env value", "private key"},
    "k8s_count_objects": {"log"},
    "k8s_permitted_namespaces": {"log"},
    "k8s_create_deployment": {"env value"},
    "k8s_delete_resource": {"env value", "annotation", "nested collection"},
    "k8s_apply_manifest": {"log", "annotation", "assignment"},
    "k8s_patch_resource": {"log", "annotation", "private key", "env value", "nested collection"},
    "k8s_scale": {"log"},
    "k8s_rollout_status": {"log"},
    "k8s_rollout": {"env value", "annotation", "private key"},
    "k8s_node": {"log", "annotation"},
    "k8s_exec": {"log", "assignment"},
    RESOURCES: {"assignment", "bearer", "log"},
}
"""What comes out of each tool that can show or quote a secret when nothing is redacted."""

SILENT = {"k8s_api_usage", "k8s_list_api_resources", "k8s_list_contexts"}
"""Tools that answer nothing which anybody wrote into the cluster, or said to them."""


def test_each_tool_either_can_leak_or_is_known_not_to() -> None:
    assert set(CHANNELS) | SILENT == {*OFFERED, RESOURCES}


@pytest.mark.parametrize(("tool", "expected"), CHANNELS.items(), ids=list(CHANNELS))
def test_without_the_redactor_the_search_finds_the_secrets(unredacted: Answers, tool: str, expected: set[str]) -> None:
    found = found_in_output(unredacted.outputs[tool])
    assert {f"{name} (raw)" for name in expected} <= found, sorted(found)


@pytest.mark.parametrize("answers", ["redacted", "unredacted"])
def test_the_payload_of_a_secret_is_not_even_fetched(request: pytest.FixtureRequest, answers: str) -> None:
    """Without the redactor too: it is not what keeps the values back. (That requests ask for tables: test_secrets_*.py.)"""
    answered: Answers = request.getfixturevalue(answers)
    seen = "\n".join(answered.outputs.values())
    assert "payload" in seen
    assert not leaks(seen, PAYLOAD)
    assert {one.verb for one in answered.requests if one.resource == "secrets"} - {"watch"} == {"get", "list"}
