"""What would do nothing, or the opposite of what else is said, is an error at the start that says what to do."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from configuration import sources
from configuration.errors import ConfigurationError
from controlplane.certificates import write_certificates
from http_fixtures import TOKEN
from mcp_tools.all_tools import ALL_TOOLS
from mcp_tools.child_environment import own_server_environment
from mcp_tools.http_service import HttpOptions, prepared
from mcp_tools.server_address import ASKS_ITSELF, ONLY_READS, server_address
from mcp_tools.server_policy import policy_of
from mcp_tools.settings import McpSettings
from mcp_tools.tool_profiles import of_profile
from mcp_tools.useless_settings import Start, refuse_useless

TOOLS = [tool.name for tool in ALL_TOOLS]
HTTP = ("--transport", "streamable-http")


def started(folder: Path, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A server whose client goes away at once."""
    kept = {"PATH": os.environ["PATH"], "HOME": str(folder), "REDACTION_KEY_FILE": str(folder / "key")}
    command = [sys.executable, "-m", "mcp_tools", "--no-env-file", *flags]
    return subprocess.run(command, env=kept | environment, capture_output=True, text=True, timeout=60, check=False, input="")


@pytest.mark.parametrize(
    ("flags", "environment", "words"),
    [
        (["--read-only"], {"MCP_ALLOW": "namespace=dev"}, ["MCP_ALLOW", "--read-only", "leave out one"]),
        (HTTP, {"MCP_ALLOW": "namespace=dev", "MCP_TOKEN": TOKEN}, ["MCP_ALLOW", "without --allow-writes"]),
        ([], {"MCP_TOKEN_FILE": "token"}, ["MCP_TOKEN_FILE is for HTTP only", "--transport streamable-http"]),
        ([], {"MCP_TOKEN": TOKEN}, ["MCP_TOKEN is for HTTP only"]),
        (["--token-file", "token"], {}, ["--token-file is for HTTP only"]),
        (["--tls-cert", "a"], {}, ["--tls-cert is for HTTP only"]),
        (["--tls-key", "a"], {}, ["--tls-key is for HTTP only"]),
        (["--host", "::1"], {}, ["--host is for HTTP only"]),
        (["--port", "1"], {}, ["--port is for HTTP only"]),
        (["--deny", "tool=k8s_delete_everything"], {}, ["no tool 'k8s_delete_everything'"]),
        (["--read-only", "--approval", "client"], {}, ["--approval is about changes", "--read-only"]),
        (["--env-file", "x"], {}, ["--no-env-file contradicts --env-file"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, (list, tuple)) else "",
)
def test_a_server_that_would_ignore_what_it_was_told_does_not_start(
    flags: list[str], environment: Mapping[str, str], words: list[str], tmp_path: Path
) -> None:
    done = started(tmp_path, *flags, **environment)
    assert done.returncode == 2, done.stderr
    for part in words:
        assert part in done.stderr
    assert TOKEN not in done.stderr
    assert not (tmp_path / "key").exists(), "nothing was written"


def refused(
    profile: str = "full", *, start: Start | None = None, settings: Mapping[str, Any] | None = None, **policy: Any
) -> None:
    chosen = McpSettings(**{"mcp_profile": profile} | dict(settings or {}))
    offered = [tool.name for tool in of_profile(chosen.mcp_profile, ALL_TOOLS)]
    refuse_useless(start or Start(), chosen, policy_of(chosen, TOOLS, **policy), ALL_TOOLS, offered)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"allow": ["namespace=dev"], "approval": "client"}, "--approval client permits all of them already"),
        ({"settings": {"mcp_allow": "namespace=dev"}, "approval": "client"}, "MCP_ALLOW.*permits all of them already"),
        ({"profile": "read", "allow": ["namespace=dev"]}, "does nothing here.*--profile full"),
        ({"profile": "core", "settings": {"mcp_allow": "namespace=dev"}}, "MCP_ALLOW does nothing here"),
        ({"profile": "read", "start": Start(over_http=True, allow_writes=True)}, "--allow-writes does nothing here"),
        ({"profile": "read", "enable_exec": True}, "--enable-exec does nothing here"),
        ({"enable_exec": True, "deny": ["tool=k8s_exec"]}, "--enable-exec does nothing here"),
        ({"allow": ["tool=k8s_exec"]}, "say --enable-exec too"),
        ({"allow": ["tool=k8s_list_pods"]}, "needs no permission"),
        ({"allow": ["tool=k8s_scale"], "deny": ["tool=k8s_scale"]}, "leave out one of the two"),
        ({"allow": ["tool=k8s_scale,namespace=dev"], "deny": ["tool=k8s_scale,namespace=dev"]}, "permits nothing.*wins"),
        ({"allow": ["kind=pods,namespace=dev-*"], "deny": ["tool=k8s_exec", "namespace=d*"]}, "permits nothing.*'namespace=d.'"),
        ({"allow": ["kind=deploy,context=prod"], "deny": ["kind=deployments.apps"]}, "permits nothing"),
        ({"settings": {"mcp_allow": "namespace=a", "mcp_deny": "namespace=*"}}, "permits nothing"),
        ({"read_only": True, "settings": {"mcp_allow": "namespace=dev"}}, "MCP_ALLOW permits changes"),
    ],
    ids=str,
)
def test_what_would_have_no_effect_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        refused(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"read_only": True, "deny": ["namespace=a"]},
        {"allow": ["tool=k8s_scale", "namespace=dev"], "deny": ["tool=k8s_scale,namespace=prod"]},
        {"allow": ["tool=k8s_exec"], "enable_exec": True},
        {"allow": ["tool=k8s_scale"], "deny": ["namespace=*"]},
        {"allow": ["namespace=dev-*"], "deny": ["namespace=dev-1"]},
        {"allow": ["namespace=dev"], "deny": ["namespace=dev,kind=pods", "namespace=dev,context=a", "kind=secrets"]},
        {"deny": ["tool=k8s_exec"]},
        {"profile": "read", "deny": ["kind=secrets"]},
        {"start": Start(over_http=True, allow_writes=True), "settings": {"mcp_token": SecretStr(TOKEN)}, "allow": ["kind=pods"]},
    ],
    ids=str,
)
def test_what_has_an_effect_is_let_through(arguments: dict[str, Any]) -> None:
    refused(**arguments)


@pytest.mark.parametrize("options", [{}, {"host": "0.0.0.0", "tls": True}], ids=["loopback", "tls"])
def test_insecure_is_for_a_network_without_tls(options: dict[str, Any], tmp_path: Path) -> None:
    more = dict(options)
    if more.pop("tls", False):
        write_certificates(tmp_path, datetime.datetime.now(datetime.UTC))
        more |= {"tls_cert": tmp_path / "server.crt", "tls_key": tmp_path / "server.key"}
    with pytest.raises(ConfigurationError, match="--insecure does nothing"):
        prepared(HttpOptions(token=TOKEN, insecure=True, **more))


# --- a client of ours that starts a server


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mcp_server_token": SecretStr(TOKEN)}, "MCP_SERVER_TOKEN does nothing"),
        ({"mcp_server_token_file": Path("x")}, "MCP_SERVER_TOKEN_FILE does nothing"),
        ({"mcp_server_ca_file": Path("x")}, "MCP_SERVER_CA_FILE does nothing"),
        ({"mcp_server_url": "http://127.0.0.1/", "mcp_server_type": "http", "mcp_server_ca_file": Path("x")}, "use https"),
        ({"mcp_server_url": "stdio:///bin/true", "mcp_deny": "kind=secrets"}, "MCP_DENY does nothing.*what was denied"),
        (
            {"mcp_server_url": "https://u:p@example.com/mcp", "mcp_server_type": "http", "mcp_deny": "kind=secrets"},
            "MCP_DENY does nothing with MCP_SERVER_URL=https://example.com/mcp: .*what was denied",
        ),
    ],
    ids=str,
)
def test_settings_of_another_kind_of_server_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as error:
        server_address(McpSettings(**settings), {})
    assert TOKEN not in str(error.value)


@pytest.mark.parametrize("flags", [ONLY_READS, ASKS_ITSELF])
def test_a_server_that_needs_no_rules_is_started_without_them(flags: tuple[str, ...]) -> None:
    """So that MCP_ALLOW may stand in the file that the scanner and the agent share with a server of its own."""
    settings = McpSettings(mcp_allow="namespace=dev", mcp_deny="kind=secrets")
    address = server_address(settings, {"MCP_ALLOW": "namespace=dev", "mcp_token_file": "token"}, flags)
    assert {name for name in address.environment if name.upper().startswith("MCP_")} == {"MCP_PROFILE", "MCP_DENY"}
    assert "--no-env-file" in address.command, "nor does it find them there"
    assert server_address(settings, {}).environment["MCP_ALLOW"] == "namespace=dev"


def test_the_environment_alone_counts_where_no_file_is_to_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "project_root", lambda: None)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "k8s-mcp").mkdir()
    (tmp_path / "k8s-mcp" / ".env").write_text("MCP_DENY=namespace=a\n")
    assert sources.load(McpSettings).mcp_deny == "namespace=a"
    assert sources.load(McpSettings, read_env_file=False).mcp_deny == ""
    assert own_server_environment({"mcp_token": TOKEN, "PATH": "/bin"}, {}) == {"PATH": "/bin"}


def test_the_help_shows_how_to_serve_over_http_with_a_token_file(tmp_path: Path) -> None:
    told = " ".join(started(tmp_path, "--help").stdout.split())
    assert "--transport streamable-http --token-file token" in told
    assert "umask 077" in told, "or the file would be open to others, and refused"
