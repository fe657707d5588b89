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

    unprompted: dict[str, str]
    """To calls whose arguments hold no planted secret: what is in these answers came from the cluster."""
    prompted: dict[str, str]
    """To calls with one in their arguments, which the answer may quote."""
    requests: list[AuditedRequest]

    def of(self, tool: str) -> str:
        return f"{self.unprompted[tool]}\n{self.prompted[tool]}"


def answers_of(control_plane: ControlPlane, client: ToolClient, namespace: str) -> Answers:
    """One server, one client, one call after the other."""
    unprompted, prompted = dict.fromkeys([*OFFERED, RESOURCES], ""), dict.fromkeys([*OFFERED, RESOURCES], "")

    def note(channel: str, asked: str, answer: str) -> None:
        answers = prompted if found_in_output(asked) else unprompted
        answers[channel] += answer + "\n"

    async def run() -> None:
        async with Client(build_server(client.gate())) as session:
            views = every_view(namespace)
            for tool in OFFERED:
                for one in views[tool]:
                    note(tool, json.dumps(one), said(await session.call_tool(tool, one)))
            for uri in uris(namespace):
                note(RESOURCES, uri, await read(session, uri))

    mark = control_plane.audit.mark()
    asyncio.run(run())
    return Answers(unprompted, prompted, control_plane.audit.requests(mark, user_agent="k8s-mcp/"))


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
    assert len(redacted.of(tool)) > 100
    assert found_in_output(redacted.of(tool)) == set()


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


_OF_A_POD = {"env value", "env number", "flag and value in args", "flag= in args", "http header of a probe", "annotation"}
CHANNELS = {
    "k8s_get_resource": {"last applied", "condition message", "event message", "token as a key", "base64 of a private key"}
    | {*_OF_A_POD, "nested collection", "collection in toml"},
    "k8s_describe": {"annotation", "condition message", "event message"},
    "k8s_helm": {"env value", "annotation", "private key", "jwt", "sentence", "last applied"},
    "k8s_list_resources": {"event message", "assignment"},
    "k8s_list_events": {"event message", "private key", "jwt"},
    "k8s_get_pod_logs": {"log", "private key", "jwt"},
    "k8s_export_page": {"private key", "event message", "secret data", "nested collection", "collection in toml"}
    | {*_OF_A_POD, "address as a key"},
    "k8s_list_changes": {"env value", "private key"},
    "k8s_delete_resource": {"env value", "annotation", "nested collection"},
    "k8s_apply_manifest": {"assignment", "private key"},
    "k8s_patch_resource": {*_OF_A_POD, "private key", "nested collection"},
    "k8s_rollout": {*_OF_A_POD, "private key"},
    RESOURCES: {"assignment", "bearer"},
}
"""What comes out of the cluster through each channel that can show it, when nothing is redacted and nobody named it."""

QUOTING = {
    "k8s_get_cluster_info", "k8s_describe", "k8s_explain", "k8s_auth_can_i", "k8s_inspect_secret", "k8s_list_namespaces",
    "k8s_list_nodes", "k8s_list_pods", "k8s_list_services", "k8s_list_resources", "k8s_list_events", "k8s_get_resource",
    "k8s_top", "k8s_helm", "k8s_list_changes", "k8s_count_objects", "k8s_permitted_namespaces", "k8s_create_deployment",
    "k8s_apply_manifest", "k8s_scale", "k8s_rollout_status", "k8s_rollout", "k8s_node", "k8s_exec",
    RESOURCES,
}  # fmt: skip
"""Channels whose answers or errors repeat what the caller said. (A patch: what the API server says of it is left out.)"""

WITHOUT_TEXT = {
    "k8s_get_cluster_info", "k8s_list_contexts", "k8s_list_api_resources", "k8s_explain", "k8s_auth_can_i", "k8s_api_usage",
    "k8s_inspect_secret", "k8s_list_namespaces", "k8s_list_nodes", "k8s_list_pods", "k8s_list_services", "k8s_top",
    "k8s_count_objects", "k8s_permitted_namespaces", "k8s_create_deployment", "k8s_scale", "k8s_rollout_status", "k8s_node",
    "k8s_exec",
}  # fmt: skip
"""Tools that by their construction answer nothing which anybody wrote into the cluster: states, names, counts, schemas, the two
values of the one field that they change; what `k8s_exec` printed is looked at in test_k8s_tools_exec.py."""


def test_each_channel_either_can_leak_or_is_known_not_to() -> None:
    assert set(CHANNELS) | WITHOUT_TEXT == {*OFFERED, RESOURCES}
    assert set(CHANNELS).isdisjoint(WITHOUT_TEXT)


@pytest.mark.parametrize(("channel", "expected"), CHANNELS.items(), ids=list(CHANNELS))
def test_without_the_redactor_the_search_finds_the_secrets(unredacted: Answers, channel: str, expected: set[str]) -> None:
    found = found_in_output(unredacted.unprompted[channel])
    assert {f"{name} (raw)" for name in expected} <= found, sorted(found)


@pytest.mark.parametrize("channel", sorted(QUOTING))
def test_without_the_redactor_the_search_finds_what_the_caller_said(unredacted: Answers, channel: str) -> None:
    assert "log (raw)" in found_in_output(unredacted.prompted[channel])


@pytest.mark.parametrize("tool", sorted(WITHOUT_TEXT))
def test_a_tool_that_carries_no_text_of_the_cluster_holds_no_secret_even_without_the_redactor(
    unredacted: Answers, tool: str
) -> None:
    assert len(unredacted.unprompted[tool]) > 100
    assert found_in_output(unredacted.unprompted[tool]) == set()


@pytest.mark.parametrize("answers", ["redacted", "unredacted"])
def test_the_payload_of_a_secret_is_not_even_fetched(request: pytest.FixtureRequest, answers: str) -> None:
    """Without the redactor too: it is not what keeps the values back. (That requests ask for tables: test_secrets_*.py.)"""
    answered: Answers = request.getfixturevalue(answers)
    seen = "\n".join(answered.of(channel) for channel in (*OFFERED, RESOURCES))
    assert "payload" in seen
    assert not leaks(seen, PAYLOAD)
    assert {one.verb for one in answered.requests if one.resource == "secrets"} - {"watch"} == {"get", "list"}
