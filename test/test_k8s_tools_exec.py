"""k8s_exec: offered only when asked for, bounded, redacted, never a shell; and what the real API server says to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controlplane.control_plane import ControlPlane
from exec_server import ExecServer, exec_server, failure
from mcp_tools.server_policy import ServerPolicy
from server_fixtures import ToolClient, text_of

EXEC = "k8s_exec"
OFFERED = ServerPolicy(enable_exec=True, approval="client")
OF_POD = {"name": "web-1", "namespace": "dev"}
ClientOn = Callable[[ExecServer], ToolClient]


@pytest.fixture
def client_on(tool_client: Callable[..., ToolClient], tmp_path: Path) -> ClientOn:
    """Clients of servers that offer k8s_exec."""
    return lambda server: tool_client(server.kubeconfig(tmp_path), policy=OFFERED)


def test_a_command_runs_as_a_list_of_arguments_and_its_output_comes_back(client_on: ClientOn) -> None:
    with exec_server(messages=[(1, b"one\ntwo"), (2, b"warned\n"), (1, b" and a half\n")]) as server:
        result = client_on(server).result(EXEC, OF_POD, command=["echo", "$(rm -rf /); `id` | x", "--", ""])
        assert server.commands == [["echo", "$(rm -rf /); `id` | x", "--", ""]]
        assert (server.containers, server.authorizations) == (["app"], ["Bearer t"])
    assert text_of(result).splitlines()[1:] == ["one", "two and a half", "stderr: warned"]
    content = result.structured_content
    assert content is not None
    assert (content["exit_code"], content["lines"], content["lines_shown"]) == (0, 3, 3)
    assert (content["object"]["kind"], content["object"]["uid"]) == ("pods", "5c7e9a3e-0000-4000-8000-00000000000a")


def test_the_exit_code_of_a_failed_command_is_told(client_on: ClientOn) -> None:
    with exec_server(messages=[(2, b"no such file\n")], status=failure(2)) as server:
        answer = client_on(server)(EXEC, OF_POD, command=["ls", "/nowhere"], container="sidecar")
        assert server.containers == ["sidecar"]
    assert answer["exit_code"] == 2
    assert "exit code 2" in answer["note"]


def test_a_program_that_is_not_there_is_an_error(client_on: ClientOn) -> None:
    status = {"status": "Failure", "reason": "InternalError", "message": 'exec: "bash": executable file not found in $PATH'}
    with exec_server(status=status) as server:
        error = client_on(server).error(EXEC, OF_POD, command=["bash"])
    assert "executable file not found" in error["message"]
    assert "its image has the program" in error["message"]


def test_output_is_redacted_and_stripped_of_control_characters(client_on: ClientOn) -> None:
    secret = b"DB_PASSWORD=cnry-exec-secret\n\x1b[31mred\x1b[0m\n"
    with exec_server(messages=[(1, secret[:16]), (1, secret[16:]), (2, b"postgres://u:cnry-exec-url@db/x\n")]) as server:
        result = client_on(server).result(EXEC, OF_POD, command=["env", "--password=cnry-exec-flag"])
    assert "‹redacted:" in text_of(result)
    assert "cnry-exec" not in str(result)
    assert "\x1b" not in text_of(result)
    assert "red" in text_of(result)


def test_a_command_that_does_not_end_is_cut_off_in_time(client_on: ClientOn) -> None:
    with exec_server(messages=[(1, b"started\n")], status=None) as server:
        answer = client_on(server)(EXEC, OF_POD, command=["sleep", "inf"], timeout_seconds=0.3)
        assert server.left.wait(10)
    assert answer["exit_code"] is None
    assert "cut off after 0.3 s" in answer["note"]
    assert answer["lines"] == 1


def test_endless_output_is_cut_off_by_size_and_by_tokens(client_on: ClientOn) -> None:
    with exec_server(messages=[(1, b"line of output\n" * 4000)] * 40, status=None) as server:
        answer = client_on(server)(EXEC, OF_POD, command=["yes"], max_tokens=1000)
        assert server.left.wait(10)
    assert "cut off after 262144 bytes" in answer["note"]
    assert 0 < answer["lines_shown"] < 200
    assert f"{answer['lines_shown']} of {answer['lines']} lines shown" in answer["note"]


def test_a_dry_run_runs_nothing_and_says_what_would_run(client_on: ClientOn) -> None:
    with exec_server() as server:
        answer = client_on(server)(EXEC, OF_POD, command=["reboot"], dry_run=True)
        assert server.commands == []
    assert answer["changes"] == [{"path": "command in container app", "old": None, "new": '["reboot"]'}]
    assert answer["exit_code"] is None


@pytest.mark.parametrize(("options", "words"), [({"refuse": 403}, "HTTP 403"), ({"breaks": True, "status": None}, "exit code")])
def test_a_refused_or_broken_connection_is_said_to_be_one(client_on: ClientOn, options: dict[str, Any], words: str) -> None:
    with exec_server(**options) as server:
        result = client_on(server).result(EXEC, OF_POD, command=["true"])
    assert words in text_of(result)
    assert "exit code 0" not in text_of(result)


@pytest.mark.parametrize(
    "arguments",
    [
        {"command": "ls -l"},
        {"command": []},
        {"command": [""]},
        {"command": ["ls", "a\0b"]},
        {"command": ["ls"], "container": "../x"},
        {"command": ["ls"], "container": "nobody"},
        {"command": ["ls"], "uid": "00000000-0000-0000-0000-000000000000"},
        {"command": ["ls"], "namespace": "dev/pods/other"},
        {"command": ["echo", "‹redacted:0123456789ab›"]},
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_runs(client_on: ClientOn, arguments: dict[str, Any]) -> None:
    with exec_server() as server:
        error = client_on(server).error(EXEC, OF_POD | arguments)
        assert server.commands == []
    assert error["type"] in ("InvalidArguments", "Conflict")


def test_the_tool_is_not_there_unless_the_server_offers_it(tool_client: Callable[..., ToolClient], tmp_path: Path) -> None:
    with exec_server() as server:
        kubeconfig = server.kubeconfig(tmp_path)
        for policy in (ServerPolicy(approval="client"), ServerPolicy(approval="client", read_only=True, enable_exec=True)):
            tools = tool_client(kubeconfig, policy=policy)
            assert EXEC not in {tool.name for tool in tools.gate().listed()}
            assert tools.error(EXEC, OF_POD, command=["ls"])["type"] == "UnknownTool"
        error = tool_client(kubeconfig, policy=ServerPolicy(enable_exec=True)).error(EXEC, OF_POD, command=["ls"])
        assert error["type"] == "ApprovalNeeded"
        assert server.commands == []


def test_the_real_api_server_is_asked_and_its_refusal_is_readable(
    control_plane: ControlPlane, tool_client: Callable[..., ToolClient], fresh_namespace: str
) -> None:
    """KWOK plays the kubelet and runs nothing: how far a command gets there is an error, and no hang."""
    control_plane.pods.create(fresh_namespace, "web")
    tools = tool_client(control_plane.kubeconfig, policy=OFFERED)
    mark = control_plane.audit.mark()
    result = tools.result(EXEC, name="web", namespace=fresh_namespace, command=["ls"], timeout_seconds=10)
    asked = [one for one in control_plane.audit.requests(mark, user_agent="k8s-mcp/") if "/exec" in one.uri]
    assert len(asked) == 1
    assert "command=ls" in asked[0].uri
    assert "exit code 0" not in text_of(result)
