"""Our own client and others over HTTP: the ToolLoader with its token, a scan of a remote server, the Inspector's command line."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from configuration.errors import ConfigurationError, InvalidArguments, ServerGone, ToolError
from controlplane.certificates import write_certificates
from http_fixtures import TOKEN, ServedProcess, http_server
from mcp_tools.child_environment import own_server_environment
from mcp_tools.server import ToolGate
from mcp_tools.server_address import server_address
from mcp_tools.settings import McpSettings
from mcp_tools.tool_loader import ToolLoader
from scan_fixtures import ScannerProcess, query

MakeGate = Callable[[], ToolGate]
Serve = Callable[..., ServedProcess]
OTHER = "fedcba9876543210" * 4


def remote(url: str, tmp_path: Path, **more: Any) -> McpSettings:
    return McpSettings(mcp_server_type="http", mcp_server_url=url, redaction_key_file=tmp_path / "key", **more)


def token_file(tmp_path: Path, token: str) -> Path:
    file = tmp_path / "client-token"
    file.write_text(token + "\n")
    file.chmod(0o600)
    return file


# --- the ToolLoader


@pytest.mark.parametrize("by", ["file", "variable"])
async def test_our_client_sends_its_token(nowhere_gate: MakeGate, tmp_path: Path, by: str) -> None:
    more = {"mcp_server_token_file": token_file(tmp_path, TOKEN)} if by == "file" else {"mcp_server_token": SecretStr(TOKEN)}
    async with http_server(nowhere_gate()) as server:
        async with ToolLoader(remote(server.url, tmp_path, **more), environment={}) as loader:
            assert "k8s_export_page" in await loader.connect(), "the tools for programs too"
            assert "nowhere" in (await loader.call("k8s_list_contexts", {})).text
            with pytest.raises(InvalidArguments):
                await loader.call("k8s_list_contexts", {"bogus": 1})


@pytest.mark.parametrize("token", ["", OTHER])
async def test_a_wrong_token_of_our_client_is_said_and_not_quoted(nowhere_gate: MakeGate, tmp_path: Path, token: str) -> None:
    async with http_server(nowhere_gate()) as server:
        async with ToolLoader(remote(server.url, tmp_path, mcp_server_token=SecretStr(token)), environment={}) as loader:
            with pytest.raises(ServerGone, match="401: a valid bearer token is needed") as refused:
                await loader.connect()
    assert not token or token not in str(refused.value)


async def test_a_changed_token_file_counts_for_a_client_that_is_connected(nowhere_gate: MakeGate, tmp_path: Path) -> None:
    (tmp_path / "accepted").write_text(f"{TOKEN}\n{OTHER}\n")
    (tmp_path / "accepted").chmod(0o600)
    sent = token_file(tmp_path, TOKEN)
    async with http_server(nowhere_gate(), token_file=tmp_path / "accepted") as server:
        async with ToolLoader(remote(server.url, tmp_path, mcp_server_token_file=sent), environment={}) as loader:
            await loader.call("k8s_list_contexts", {})
            (tmp_path / "accepted").write_text(OTHER)
            with pytest.raises(ToolError, match="401"):
                await loader.call("k8s_list_contexts", {})
            token_file(tmp_path, OTHER)
            assert "nowhere" in (await loader.call("k8s_list_contexts", {})).text


@pytest.mark.parametrize("host", ["mcp.example", "192.0.2.1", "127.0.0.1.example"])
def test_a_token_does_not_cross_a_network_in_the_clear(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigurationError, match="in the clear") as refused:
        server_address(remote(f"http://{host}/mcp", tmp_path, mcp_server_token=SecretStr(TOKEN)), {})
    assert TOKEN not in str(refused.value)
    server_address(remote(f"http://{host}/mcp", tmp_path), {})
    server_address(remote(f"https://{host}/mcp", tmp_path, mcp_server_token=SecretStr(TOKEN)), {})


async def test_a_server_with_a_certificate_of_ones_own_ca_needs_that_ca(nowhere_gate: MakeGate, tmp_path: Path) -> None:
    write_certificates(tmp_path, datetime.datetime.now(datetime.UTC))
    keys = {"tls_cert": tmp_path / "server.crt", "tls_key": tmp_path / "server.key"}
    more = {"mcp_server_token": SecretStr(TOKEN)}
    async with http_server(nowhere_gate(), **keys) as server:
        async with ToolLoader(
            remote(server.url, tmp_path, mcp_server_ca_file=tmp_path / "ca.crt", **more), environment={}
        ) as loader:
            assert "nowhere" in (await loader.call("k8s_list_contexts", {})).text
        async with ToolLoader(remote(server.url, tmp_path, **more), environment={}) as loader:
            with pytest.raises(ServerGone, match="(?i)certificate"):
                await loader.connect()
    with pytest.raises(ConfigurationError, match="MCP_SERVER_CA_FILE"):
        server_address(remote("https://x/", tmp_path, mcp_server_ca_file=tmp_path / "none"), {})


async def test_no_proxy_sees_what_stays_on_this_machine(
    nowhere_gate: MakeGate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with http_server(nowhere_gate()) as server:
        async with ToolLoader(remote(server.url, tmp_path, mcp_server_token=SecretStr(TOKEN)), environment={}) as loader:
            await loader.connect()


def test_a_server_that_we_start_is_given_no_token() -> None:
    given = own_server_environment({"MCP_TOKEN": TOKEN, "MCP_SERVER_TOKEN": TOKEN, "PATH": "/bin"}, {})
    assert given == {"PATH": "/bin"}


def test_the_scanner_works_through_a_remote_server(
    control_plane: Any, fresh_namespace: str, served: Serve, scanner_process: Callable[..., ScannerProcess]
) -> None:
    server = served(control_plane.kubeconfig)
    scanner = scanner_process(
        None, MCP_SERVER_URL=server.url, MCP_SERVER_TYPE="http", MCP_SERVER_TOKEN_FILE=str(server.token_file)
    )
    done = scanner.run("scan", "--kind", "namespaces")
    assert done.returncode == 0, done.stderr
    assert query(scanner.database, "SELECT name FROM namespaces WHERE name = ?", fresh_namespace) == [(fresh_namespace,)]
    assert TOKEN not in done.stderr + server.log


# --- the Inspector's command line, a client that others wrote, in both generations of the protocol


class Inspector:
    """Runs it with a home of its own."""

    def __init__(self, program: Path, home: Path) -> None:
        self._program = program
        self._home = home

    def __call__(self, *arguments: str) -> tuple[int, dict[str, Any], str]:
        """-> exit code, what it printed as JSON ({} for nothing), what it said of an error."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self._home)}
        command = [str(self._program), "--cli", *arguments, "--format", "json", "--quiet"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False, cwd=self._home)
        return done.returncode, json.loads(done.stdout or "{}"), done.stderr


@pytest.fixture
def inspect(inspector: Path, tmp_path: Path) -> Inspector:
    home = tmp_path / "home"
    home.mkdir()
    return Inspector(inspector, home)


BEARER = ("--header", f"Authorization: Bearer {TOKEN}")


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_inspector_lists_and_calls_tools_over_http(
    inspect: Inspector, served: Serve, nowhere_kubeconfig: Path, era: str
) -> None:
    at = (served(nowhere_kubeconfig).url, "--transport", "http", "--protocol-era", era, *BEARER)
    asked = (
        ("tools/list",),
        ("tools/call", "--tool-name", "k8s_list_contexts"),
        ("tools/call", "--tool-name", "k8s_get_cluster_info"),
        ("resources/read", "--uri", "k8s://kinds/pods"),
        ("prompts/get", "--prompt-name", "diagnose", "--prompt-args", "namespace=shop"),
    )
    with ThreadPoolExecutor() as at_once:
        answers = list(at_once.map(lambda one: inspect(*at, "--method", *one), asked))
    code, listed, _ = answers[0]
    assert code == 0
    assert "k8s_list_pods" in {tool["name"] for tool in found(listed, "tools")}
    contexts, failed, kinds, prompt = (json.dumps(printed) + said for _, printed, said in answers[1:])
    assert "nowhere" in contexts
    assert "127.0.0.1:1" in failed, "an error of the tool is shown, not one about its schema"
    assert "restarts" in kinds
    assert "in namespace shop" in prompt


def test_the_inspector_is_refused_with_the_wrong_token_origin_and_host(
    inspect: Inspector, served: Serve, nowhere_kubeconfig: Path
) -> None:
    server = served(nowhere_kubeconfig)
    at = (server.url, "--transport", "http", "--method", "tools/list")
    for headers in (
        ("--header", f"Authorization: Bearer {OTHER}", "--stored-auth-only"),
        (*BEARER, "--header", "Origin: http://attacker.example"),
    ):
        code, printed, said = inspect(*at, *headers)
        assert code != 0
        assert "tools" not in printed
        assert TOKEN not in said
    log = server.log
    assert "-> 401" in log
    assert "-> 403" in log


def test_the_inspector_starts_the_server_over_stdio(inspect: Inspector, nowhere_kubeconfig: Path, tmp_path: Path) -> None:
    environment = ("-e", f"KUBECONFIG={nowhere_kubeconfig}", "-e", f"REDACTION_KEY_FILE={tmp_path / 'key'}")
    at = (sys.executable, "-m", "mcp_tools", *environment, "--transport", "stdio")
    code, listed, said = inspect(*at, "--method", "tools/list")
    assert code == 0, said
    assert "k8s_delete_resource" in {tool["name"] for tool in found(listed, "tools")}
    _, called, _ = inspect(*at, "--method", "tools/call", "--tool-name", "k8s_list_contexts")
    assert "nowhere" in json.dumps(called)


def found(printed: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The list, wherever the envelope has it."""
    return list(printed[key] if key in printed else printed["result"][key])
