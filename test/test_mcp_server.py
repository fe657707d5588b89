"""The MCP server as a process and as a gate: start-up, strictness, what errors say, how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from mcp_tools.all_tools import ALL_TOOLS, own_tool_specs
from mcp_tools.k8s_api import Clusters
from mcp_tools.redaction import Redactor
from mcp_tools.server import ToolGate
from mcp_tools.server_policy import ServerPolicy
from mcp_tools.tool_declaration import ToolAnswer, ToolContext, integer, text, tool
from mcp_tools.tool_spec import BULK_MARK, spec_of
from server_fixtures import ToolClient, text_of, told_error

FIXED_NAMES = {
    "k8s_get_cluster_info", "k8s_list_namespaces", "k8s_list_nodes", "k8s_list_pods", "k8s_list_services", "k8s_get_pod_logs",
    "k8s_create_deployment", "k8s_delete_resource", "k8s_list_contexts", "k8s_list_resources", "k8s_get_resource",
    "k8s_list_api_resources",
}  # fmt: skip
FOR_PROGRAMS = {"k8s_export_page", "k8s_list_changes", "k8s_count_objects", "k8s_api_usage", "k8s_permitted_namespaces"}


@pytest.fixture
def nowhere(tool_client: Callable[..., ToolClient], tmp_path: Path) -> ToolClient:
    """A server whose only context leads to a port where nobody listens."""
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(
        json.dumps(
            {
                "current-context": "nowhere",
                "contexts": [{"name": "nowhere", "context": {"cluster": "c"}}],
                "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
            }
        )
    )
    return tool_client(kubeconfig)


def process_environment(tmp_path: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    return kept | {"REDACTION_KEY_FILE": str(tmp_path / "redaction.key"), "XDG_STATE_HOME": str(tmp_path)} | more


def test_the_named_tools_are_there(nowhere: ToolClient) -> None:
    assert {listed.name for listed in nowhere.gate().listed()} >= FIXED_NAMES | FOR_PROGRAMS


@pytest.mark.parametrize("declaration", ALL_TOOLS, ids=lambda declaration: declaration.name)
def test_every_tool_is_described_strictly(nowhere: ToolClient, declaration: Any) -> None:
    everything = replace(nowhere, policy=ServerPolicy(enable_exec=True))
    listed = next(one for one in everything.gate().listed() if one.name == declaration.name)
    Draft202012Validator.check_schema(listed.input_schema)
    assert listed.input_schema["additionalProperties"] is False
    assert listed.title
    assert listed.description
    for name, schema in declaration.input_schema["properties"].items():
        assert schema.get("description"), name
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        assert set(types) <= {"string", "integer", "number", "boolean", "object", "array"}
        bounds = {
            "string": ("maxLength", "enum", "pattern"),
            "integer": ("maximum",),
            "number": ("maximum",),
            "object": ("maxProperties",),
            "array": ("maxItems",),
        }
        assert not [one for one in types if one in bounds and set(bounds[one]).isdisjoint(schema)], name
    assert listed.annotations.read_only_hint is not None
    assert (listed.output_schema is None) == declaration.bulk


def test_what_the_declarations_say_is_what_a_client_hears(nowhere: ToolClient) -> None:
    heard = {listed.name: spec_of(listed, "x") for listed in nowhere.gate().listed()}
    said = own_tool_specs("x")
    shown = {declared.name: declared.listed_schema for declared in ALL_TOOLS}
    assert heard == {name: replace(spec, input_schema=shown[name]) for name, spec in said.items()}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"bogus": 1}, "unknown argument 'bogus'"),
        ({"namespaces": "x"}, "did you mean 'namespace'?"),
        ({"limit": "7"}, "'limit' must be a whole number"),
        ({"limit": True}, "'limit' must be a whole number"),
        ({"limit": 2.0}, "'limit' must be a whole number"),
        ({"limit": 0}, "at least 1"),
        ({"limit": 100_000}, "at most 1000"),
        ({"healthy": "false"}, "'healthy' must be true or false"),
        ({"namespace": 5}, "'namespace' must be text"),
        ({"namespace": None}, "'namespace' must be text"),
        ({"namespace": "x" * 10_000}, "'namespace'"),
    ],
)
def test_arguments_are_neither_guessed_nor_ignored(nowhere: ToolClient, arguments: dict[str, Any], words: str) -> None:
    error = nowhere.error("k8s_list_pods", arguments)
    assert error["type"] == "InvalidArguments"
    assert words in error["message"]
    assert len(error["message"]) < 1000


def test_unknown_arguments_are_said_back_only_so_far(nowhere: ToolClient) -> None:
    many = nowhere.error("k8s_list_pods", {f"{number:05}" + "x" * 300: 1 for number in range(2_000)})["message"]
    assert "and 1995 more unknown arguments" in many
    assert len(many) < 3_000
    assert "x" * 60 not in many


def test_a_missing_argument_is_named(nowhere: ToolClient) -> None:
    assert "'name' is missing" in nowhere.error("k8s_get_resource", kind="pods")["message"]


def test_an_unknown_tool_is_answered_with_the_tools_there_are(nowhere: ToolClient) -> None:
    error = nowhere.error("k8s_list_everything")
    assert error["type"] == "UnknownTool"
    assert "k8s_list_pods" in error["message"]
    bulk = [tool.name for tool in ALL_TOOLS if tool.bulk]
    assert bulk
    assert not [name for name in bulk if name in error["message"]], "a model is not led to what is for a scanner"


def test_a_cluster_that_does_not_answer_is_an_error_that_says_where(nowhere: ToolClient) -> None:
    started = time.monotonic()
    error = nowhere.error("k8s_list_pods")
    assert (error["type"], error["status"]) == ("Unreachable", 0)
    assert "http://127.0.0.1:1" in error["message"]
    assert "(context nowhere)" in error["message"]
    assert "outcome" not in error["message"]
    assert time.monotonic() - started < 10


def test_contexts_are_listed_without_contacting_anything(nowhere: ToolClient) -> None:
    assert nowhere("k8s_list_contexts")["contexts"] == [
        {"name": "nowhere", "cluster": "c", "server": "http://127.0.0.1:1", "user": "", "namespace": "default", "current": True}
    ]


@tool("broken", title="Broken", arguments={"how": text("How.")}, output=None)
async def broken(_tools: ToolContext, *, how: str) -> ToolAnswer:
    """Fails in a way nobody foresaw."""
    raise ZeroDivisionError(f"password={how}")


@tool(
    "scaling",
    title="Scaling",
    arguments={"by": integer("How far.", minimum=0, maximum=9, default=3)},
    output=None,
    read_only=False,
)
async def scaling(_tools: ToolContext, *, by: int = 3) -> ToolAnswer:
    """Says what it was given."""
    return ToolAnswer(f"by {by}")


def gate_of(*declarations: Any, read_only: bool = False) -> ToolGate:
    policy = ServerPolicy(read_only=read_only, approval="client")
    return ToolGate(ToolContext(Clusters({}, policy=policy), Redactor(b"k" * 32)), declarations)


def test_an_unforeseen_error_is_reported_without_what_it_quotes(caplog: pytest.LogCaptureFixture) -> None:
    result = asyncio.run(gate_of(broken).call("broken", {"how": "cnry-unforeseen"}))
    assert result.is_error
    assert "ZeroDivisionError" in text_of(result)
    assert "test_mcp_server.py:" in caplog.text
    assert "cnry-unforeseen" not in text_of(result) + caplog.text


def test_defaults_are_filled_in_and_read_only_refuses() -> None:
    assert text_of(asyncio.run(gate_of(scaling).call("scaling", {}))) == "by 3"
    refused = asyncio.run(gate_of(scaling, read_only=True).call("scaling", {"by": 1}))
    assert told_error(refused)["type"] == "UnknownTool"


def test_a_declaration_whose_schema_and_signature_differ_is_an_error() -> None:
    with pytest.raises(TypeError, match="differ in"):
        tool("x", title="X", arguments={"other": text("Other.")}, output=None)(broken.run)


def test_the_server_starts_without_what_it_does_not_need(tmp_path: Path) -> None:
    code = "import sys, mcp_tools.stdio_service; print(*{name.split('.')[0] for name in sys.modules})"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=process_environment(tmp_path)
    )
    unwanted = {"agent", "scanner", "cache", "demo", "litellm", "openai", "sqlalchemy", "kubernetes", "aiohttp", "prompt_toolkit"}
    assert unwanted.isdisjoint(out.stdout.split())


def test_help_ends_in_an_example_and_imports_nothing_heavy(tmp_path: Path) -> None:
    out = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "mcp_tools", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env=process_environment(tmp_path),
    )
    assert out.stdout.strip().splitlines()[-1].strip().startswith("Example: ")
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in out.stderr.splitlines()}
    assert imported.isdisjoint({"mcp", "mcp_types", "kubernetes", "aiohttp", "litellm", "sqlalchemy", "pydantic"})


@pytest.mark.parametrize("arguments", [["--read-onyl"], ["--transport", "smoke"], ["extra"]])
def test_a_flag_that_does_not_exist_is_an_error_at_start(tmp_path: Path, arguments: list[str]) -> None:
    out = subprocess.run(
        [sys.executable, "-m", "mcp_tools", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=process_environment(tmp_path),
        check=False,
    )
    assert out.returncode == 2
    assert out.stdout == ""


def test_a_redaction_key_that_cannot_be_used_stops_the_start_with_one_line(tmp_path: Path) -> None:
    key = tmp_path / "redaction.key"
    key.write_text("not a key")
    key.chmod(0o600)
    out = subprocess.run(
        [sys.executable, "-m", "mcp_tools"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=process_environment(tmp_path),
        check=False,
    )
    assert (out.returncode, out.stdout) == (2, "")
    assert out.stderr.startswith("error: REDACTION_KEY_FILE")
    assert len(out.stderr.splitlines()) == 1


def test_over_stdio_the_tools_can_be_listed_and_called(nowhere: ToolClient, tmp_path: Path) -> None:
    environment = process_environment(tmp_path, KUBECONFIG=nowhere.environment["KUBECONFIG"])
    parameters = StdioServerParameters(command=sys.executable, args=["-m", "mcp_tools", "--read-only"], env=environment)

    async def run() -> tuple[set[str], set[str], Any]:
        async with Client(parameters) as client:
            listed, programs = await client.list_tools(), await client.list_tools(meta={BULK_MARK: True})
            names = {one.name for one in listed.tools}, {one.name for one in programs.tools}
            return *names, await client.call_tool("k8s_list_contexts", {})

    names, for_programs, answer = asyncio.run(run())
    assert names >= FIXED_NAMES - {"k8s_create_deployment", "k8s_delete_resource"}
    assert not names & {"k8s_create_deployment", "k8s_delete_resource"}
    assert for_programs - names == FOR_PROGRAMS, "tools for programs are listed only to those who ask"
    assert answer.structured_content["contexts"][0]["name"] == "nowhere"
    assert (tmp_path / "redaction.key").stat().st_mode & 0o777 == 0o600


def test_a_call_leaves_no_credentials_behind_on_disk(control_plane: Any, tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    environment = process_environment(tmp_path, KUBECONFIG=str(control_plane.kubeconfig), TMPDIR=str(folder))
    parameters = StdioServerParameters(command=sys.executable, args=["-m", "mcp_tools"], env=environment)

    async def run() -> tuple[Any, int]:
        async with Client(parameters) as client:
            return await client.call_tool("k8s_list_nodes", {}), len(list(folder.iterdir()))

    answer, during = asyncio.run(run())
    assert not answer.is_error
    assert during > 0
    assert list(folder.iterdir()) == []


INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}},
}


@pytest.fixture
def started_server(tmp_path: Path) -> Any:
    """The server as a child that has answered `initialize`."""
    child = subprocess.Popen(
        [sys.executable, "-m", "mcp_tools"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=process_environment(tmp_path),
    )
    child.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
    child.stdin.flush()
    answer = json.loads(child.stdout.readline())
    assert answer["result"]["serverInfo"]["name"] == "k8s-mcp"
    yield child
    if child.poll() is None:
        child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout, child.stderr):
        pipe.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_at_once(started_server: Any, number: signal.Signals) -> None:
    started = time.monotonic()
    started_server.send_signal(number)
    assert started_server.wait(timeout=20) == 0
    assert time.monotonic() - started < 2


def test_a_client_that_does_not_read_its_answer_is_no_defect_of_the_server(started_server: Any) -> None:
    started_server.stdout.close()
    started_server.stdin.write(json.dumps({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}).encode() + b"\n")
    started_server.stdin.close()
    assert started_server.wait(timeout=20) == 0
    assert b"defect" not in started_server.stderr.read()


def test_the_server_ends_when_its_client_goes_away_and_has_written_nothing_but_messages(started_server: Any) -> None:
    out, err = started_server.communicate(timeout=20)
    assert started_server.returncode == 0
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in out.splitlines())
    assert b"Traceback" not in err
