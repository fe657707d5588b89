"""Arguments that pretend to be something else: options, paths, further parameters, header lines. Seen from the API server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from mcp import Client

from controlplane.audit import AuditedRequest
from controlplane.control_plane import ControlPlane
from mcp_tools.all_tools import ALL_TOOLS
from mcp_tools.server import build_server
from mcp_tools.server_policy import ServerPolicy
from mcp_tools.tool_declaration import ToolDeclaration
from server_fixtures import ToolClient, text_of

NAMESPACE = "impostors"
HOSTILE = (
    "--server=http://127.0.0.1:9", "-n", "../../../../../version", "..", "a/../../b", "..%2f..%2fsecrets", "%2e%2e%2f", "a%00b",
    "a\x00b", "a\r\nHost: evil", "a\x1b[2Jb", "a?watch=1", "a&limit=1", "a#b", "$(id);`id`|x", "*", "a\\b", "a\u202eb", "\ud800",
    "A" * 300, "a/exec", "//evil.example/x", "@evil.example",
)  # fmt: skip
SELECTORS = (
    "app=web&fieldSelector=metadata.name=x", "app=web&_=1#", "a=b&dryRun=All", "a=b%26limit=1", "a=b\r\nX: y", "a=b&watch=true",
)  # fmt: skip
VALUES: dict[str, Any] = {
    "kind": "configmaps", "name": "ordinary", "namespace": NAMESPACE, "path": "pods", "kinds": ["pods"], "watches": [],
    "counts": [], "patch": {"data": {}}, "manifest": "kind: x", "replicas": 1, "action": "restart", "image": "nginx",
    "command": ["true"],
}  # fmt: skip
KNOWN_PARAMETERS = {
    "limit", "continue", "labelSelector", "fieldSelector", "resourceVersion", "resourceVersionMatch", "watch", "timeoutSeconds",
    "allowWatchBookmarks", "dryRun", "fieldManager", "fieldValidation", "force", "tailLines", "sinceSeconds", "sinceTime",
    "timestamps", "previous", "container", "limitBytes", "includeObject", "stdin", "stdout", "stderr", "tty", "command", "mark",
}  # fmt: skip
DISCOVERY = re.compile(r"/apis?|/apis/[a-z0-9./-]+|/openapi/v3(/[a-z0-9./-]+)?")
PLAIN_PATH = re.compile(r"(/[A-Za-z0-9._:@-]+)+\Z")


def what_of(one: AuditedRequest) -> tuple[str, str]:
    """Verb and resource; of what is no resource the path."""
    return one.verb, one.resource or urlsplit(one.uri).path


@pytest.fixture(scope="module", autouse=True)
def namespace(control_plane: ControlPlane) -> Iterator[None]:
    control_plane.create_namespace(NAMESPACE)
    control_plane.api.post(f"/api/v1/namespaces/{NAMESPACE}/configmaps", {"metadata": {"name": "ordinary"}})
    yield
    control_plane.delete_namespace(NAMESPACE)


@pytest.fixture
def client(control_plane: ControlPlane, tool_client: Callable[..., ToolClient]) -> ToolClient:
    """Nobody is there to permit a change: mutating tools get as far as their dry run."""
    return tool_client(control_plane.kubeconfig, policy=ServerPolicy(enable_exec=True))


def given_to(tool: ToolDeclaration) -> dict[str, Any]:
    return dict.fromkeys(tool.required, "x") | {name: VALUES[name] for name in tool.arguments if name in VALUES}


def calls_with(tool: ToolDeclaration) -> Iterator[dict[str, Any]]:
    """Each text argument in turn is hostile, also those in records."""
    ordinary = given_to(tool)
    for name, schema in tool.arguments.items():
        for hostile in SELECTORS if name == "label_selector" else HOSTILE:
            if schema.get("type") == "string" and name != "manifest":
                yield ordinary | {name: hostile}
            elif name in ("watches", "counts"):
                for key in ("kind", "namespace"):
                    one = {"kind": "pods"} | ({"cursor": "1"} if name == "watches" else {}) | {key: hostile}
                    yield ordinary | {name: [one]}
            elif schema.get("type") == "array" and name != "patch":
                yield ordinary | {name: [hostile]}


@pytest.mark.parametrize("tool", ALL_TOOLS, ids=lambda tool: tool.name)
def test_what_arrives_is_a_plain_path_with_the_parameters_that_we_mean(
    tool: ToolDeclaration, client: ToolClient, control_plane: ControlPlane
) -> None:
    def sent_by(calls: list[dict[str, Any]]) -> list[AuditedRequest]:
        async def run() -> list[Any]:
            async with Client(build_server(client.gate())) as connected:
                return [await connected.call_tool(tool.name, arguments) for arguments in calls]

        mark = control_plane.audit.mark()
        for result in asyncio.run(run()):
            assert "unexpected" not in text_of(result), "an error that nobody foresaw"
            assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", text_of(result))
        return control_plane.audit.requests(mark, user_agent="k8s-mcp/")

    ordinary = given_to(tool)
    fewer = [{key: value for key, value in ordinary.items() if key != left_out} for left_out in ("", "name", "namespace")]
    meant = {what_of(one) for one in sent_by(fewer)}
    for one in sent_by(list(calls_with(tool))):
        # a client's library would resolve `..` before it sends it: what arrives is plain, and something else
        assert what_of(one) in meant or DISCOVERY.fullmatch(urlsplit(one.uri).path), one.uri
        assert one.namespace in ("", "default", "kube-system", NAMESPACE) or one.namespace in HOSTILE, one.uri
        parts = urlsplit(one.uri)
        assert PLAIN_PATH.fullmatch(parts.path), one.uri
        assert not {".", ".."} & set(unquote(parts.path).split("/")), one.uri
        names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
        assert set(names) <= KNOWN_PARAMETERS, one.uri
        assert len(set(names)) == len([name for name in names if name != "command"]) + ("command" in names), one.uri
        assert not one.mutating


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("tool", [tool for tool in ALL_TOOLS if "label_selector" in tool.arguments], ids=lambda tool: tool.name)
def test_a_selector_stays_one_parameter(
    tool: ToolDeclaration, selector: str, client: ToolClient, control_plane: ControlPlane
) -> None:
    """Refused, or sent as one value: what stands behind a `&` selects by nothing else."""
    mark = control_plane.audit.mark()
    result = client.result(tool.name, given_to(tool) | {"name": "", "label_selector": selector} if "name" in tool.arguments
                           else given_to(tool) | {"label_selector": selector})  # fmt: skip
    assert result.is_error, text_of(result)
    for one in control_plane.audit.requests(mark, user_agent="k8s-mcp/"):
        pairs = parse_qsl(urlsplit(one.uri).query, keep_blank_values=True)
        assert [value for name, value in pairs if name == "labelSelector"] in ([], [selector.strip()]), one.uri
        assert not {name for name, _ in pairs} & {"dryRun", "_", "watch"}, one.uri


def test_a_context_is_a_name_in_the_kubeconfig_and_nothing_else(client: ToolClient) -> None:
    for hostile in HOSTILE:
        error = client.error("k8s_list_pods", context=hostile)
        assert error["type"] in ("ConfigurationError", "InvalidArguments"), hostile
