"""MCP_SERVERS_FILE: what is understood, what is refused, and what a server is given. Names of other servers' tools."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from agent.settings import AgentSettings
from configuration.errors import ConfigurationError
from configuration.sources import load
from mcp_tools.all_tools import ALL_TOOLS
from mcp_tools.foreign_answers import ForeignAnswers
from mcp_tools.foreign_tools import presentable
from mcp_tools.qualified_names import is_qualified, qualified, server_of
from mcp_tools.redaction import Redactor
from mcp_tools.server_address import ServerAddress
from mcp_tools.servers_file import parse_servers, read_servers
from mcp_tools.tool_spec import ToolSpec

ENVIRONMENT = {"PATH": "/usr/bin:.:bin::/bin", "HOME": "/home/me", "TOKEN": "canary-token", "OTHER": "canary-other"}


def parsed(servers: Any, environment: dict[str, str] | None = None) -> tuple[ServerAddress, ...]:
    return parse_servers(json.dumps({"mcpServers": servers}), "/etc/servers.json", environment or ENVIRONMENT)


def refusal(servers: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        parsed(servers)
    return str(caught.value)


def test_a_command_gets_what_is_declared_for_it_and_path_and_home() -> None:
    (found,) = parsed(
        {"notes": {"command": "notes-server", "args": ["--a", "b"], "env": {"NOTES_TOKEN": "Bearer ${TOKEN}", "A": "1"}}}
    )
    assert (found.name, found.ours, found.command) == ("notes", False, ("notes-server", "--a", "b"))
    assert dict(found.environment) == {
        "PATH": "/usr/bin:/bin", "HOME": "/home/me", "NOTES_TOKEN": "Bearer canary-token", "A": "1",
    }  # fmt: skip


def test_a_command_is_never_found_through_the_working_directory() -> None:
    (found,) = parsed({"notes": {"command": "notes-server"}})
    assert found.environment["PATH"] == "/usr/bin:/bin"
    assert found.working_directory == "/home/me"
    assert "absolute path" in refusal({"notes": {"command": "./notes-server"}})
    assert "absolute path" in refusal({"notes": {"command": "npx", "cwd": "here"}})


def test_an_address_gets_its_headers() -> None:
    (found,) = parsed({"m": {"type": "http", "url": "https://h/mcp", "headers": {"Authorization": "Bearer ${TOKEN}"}}})
    assert (found.url, dict(found.headers)) == ("https://h/mcp", {"Authorization": "Bearer canary-token"})


def test_no_value_of_the_environment_is_shown() -> None:
    entry = {"command": "c", "args": ["--token", "canary-argument"], "env": {"T": "${TOKEN}"}}
    addresses = parsed({"a": entry, "b": {"url": "https://u:canary-password@h/mcp?k=canary-query", "headers": {"X": "${TOKEN}"}}})
    assert "canary" not in "".join(f"{one} {one!r}" for one in addresses)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"command": "c", "autoApprove": ["*"]}, "unknown key 'autoApprove'"),
        ({"command": "c", "headers": {}}, "unknown key 'headers'"),
        ({"url": "http://h/", "env": {}}, "unknown key 'env'"),
        ({"url": "http://h/", "command": "c"}, "either `command`"),
        ({}, "either `command`"),
        ([], "expected an object"),
        ({"command": ["c"]}, "`command` must be text"),
        ({"command": "c", "args": "a b"}, "`args` must be a list of texts"),
        ({"command": "c", "env": {"A": 1}}, "`env` must be an object of texts"),
        ({"command": "c", "env": {"A=B": "1"}}, "no name of a variable"),
        ({"command": "c", "args": ["a\0b"]}, "zero byte"),
        ({"command": "c", "type": "sse"}, "`type` 'sse' does not fit"),
        ({"url": "file:///etc/passwd"}, "http(s) address"),
        ({"url": "http://h:99999/"}, "http(s) address"),
        ({"url": "http://h/", "headers": {"A": "b\r\nC: d"}}, "no HTTP header"),
        ({"command": "c", "env": {"A": "${NOT_SET}"}}, "has no variable NOT_SET"),
        ({"command": "c", "env": {"A": "${A-b}"}}, "no reference to a variable"),
        ({"command": "c", "args": ["${TOKEN}"]}, "`env` and `headers` only"),
        ({"command": "${TOKEN}"}, "`env` and `headers` only"),
        ({"url": "https://h/${TOKEN}"}, "`env` and `headers` only"),
        ({"command": "c", "cwd": "/${HOME}"}, "`env` and `headers` only"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(entry: Any, words: str) -> None:
    said = refusal({"notes": entry})
    assert words in said
    assert "server 'notes'" in said
    assert "/etc/servers.json" in said
    assert "canary" not in said


@pytest.mark.parametrize("name", ["a__b", "a_", "_a", "", "a.b", "a b", "x" * 33, "a\n"])
def test_a_server_name_that_could_be_taken_for_another_is_refused(name: str) -> None:
    assert "a name has at most 32" in refusal({name: {"command": "c"}})


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"mcpServers": {}, "inputs": []}', '{"mcpServers": {"a": {"command": "b"}, "a": {"command": "c"}}}']
)
def test_a_file_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="/etc/servers.json"):
        parse_servers(text, "/etc/servers.json", ENVIRONMENT)


# --- the file itself


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "servers.json"
    path.write_text('{"mcpServers": {"notes": {"command": "notes-server"}}}')
    path.chmod(0o644)
    return path


def test_a_file_of_ours_is_read(file: Path) -> None:
    assert [one.name for one in read_servers(file, ENVIRONMENT)] == ["notes"]
    assert read_servers(None, ENVIRONMENT) == ()


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_file_that_others_can_write_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod go-w"):
        read_servers(file, ENVIRONMENT)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(file: Path) -> None:
    os.chown(file, 12345, -1)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        read_servers(file, ENVIRONMENT)


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "missing"):
        with pytest.raises(ConfigurationError, match=str(path)):
            read_servers(path, ENVIRONMENT)


def test_the_working_directory_never_decides_what_is_started(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    monkeypatch.setenv("MCP_SERVERS_FILE", file.name)
    with pytest.raises(ConfigurationError, match="absolute path"):
        load(AgentSettings)
    monkeypatch.delenv("MCP_SERVERS_FILE")
    assert load(AgentSettings).mcp_servers_file is None
    with pytest.raises(ConfigurationError, match="absolute path"):
        load(AgentSettings, mcp_servers_file=file.name)


def test_in_an_env_file_it_is_anchored_to_that_file(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    (tmp_path / ".env").write_text(f"MCP_SERVERS_FILE={file.name}\n")
    assert load(AgentSettings, env_file=tmp_path / ".env").mcp_servers_file == file


# --- names


def test_no_two_tools_share_a_qualified_name() -> None:
    servers = ("a", "a-", "b", "ab", "a" * 32)
    tools = ("t", "_t", "b__t", "a.b", "a_b", "a/b", "a b", "", "x" * 100, "x" * 101, "x" * 100 + "é", "k8s_list_pods")
    names = [qualified(server, tool) for server in servers for tool in tools]
    assert len(set(names)) == len(names)
    for name in names:
        assert len(name) <= 64
        assert name.replace("_", "").replace("-", "").isalnum()
        assert name.isascii()
        assert server_of(name) in servers


def test_no_tool_of_ours_looks_like_one_of_another_server() -> None:
    assert not [tool.name for tool in ALL_TOOLS if is_qualified(tool.name)]


# --- descriptions and schemas


def spec(**parts: Any) -> ToolSpec:
    values: dict[str, Any] = {
        "name": "t", "title": "T", "description": "", "input_schema": {"type": "object"}, "output_schema": {"type": "object"},
        "read_only": True, "destructive": False, "idempotent": True, "bulk": False, "server": "s",
    }  # fmt: skip
    return ToolSpec(**(values | parts))


def shown(**parts: Any) -> ToolSpec | None:
    one = spec(**parts)
    return presentable({one.name: one}, ForeignAnswers(Redactor(bytes(32))).words).get(one.name)


def test_hints_of_another_server_are_left_out() -> None:
    found = shown()
    assert found is not None
    assert (found.read_only, found.destructive, found.idempotent) == (False, True, False)


def test_descriptions_are_redacted_plain_and_bounded() -> None:
    secret = "Use https://me:canary-19-secret@host/ \x1b]0;x\x07\u202e"
    argument = {"type": "string", "description": secret + "y " * 10_000, "default": secret}
    found = shown(
        title=secret, description=secret + "long " * 10_000,
        input_schema={"type": "object", "properties": {"a": argument}},
    )  # fmt: skip
    assert found is not None
    everything = f"{found.title}{found.description}{json.dumps(found.input_schema, ensure_ascii=False)}"
    assert "canary-19" not in everything
    assert "\x1b" not in everything
    assert "\u202e" not in everything
    assert len(everything) < 2_500


def test_a_schema_keeps_what_decides_and_loses_what_may_hang_us() -> None:
    kept = {"type": "string", "enum": ["x", "y"]}
    schema = {"type": "object", "required": ["pattern"], "additionalProperties": False}
    found = shown(input_schema=schema | {"properties": {"pattern": kept | {"pattern": "(a+)+$"}}})
    assert found is not None
    assert found.input_schema == schema | {"properties": {"pattern": kept}}


def test_a_long_schema_loses_its_descriptions_and_a_monstrous_one_its_tool() -> None:
    properties = {f"a{n}": {"type": "string", "description": "word " * 50} for n in range(100)}
    found = shown(input_schema={"type": "object", "properties": properties})
    assert found is not None
    assert found.input_schema["properties"]["a99"] == {"type": "string"}
    assert (
        shown(input_schema={"type": "object", "properties": {f"argument-{n}": {"type": "string"} for n in range(1_000)}}) is None
    )
    deep: dict[str, Any] = {"type": "object"}
    for _ in range(5_000):
        deep = {"properties": {"a": deep}}
    assert shown(input_schema=deep) is None
    assert shown(name="x" * 200) is None
    assert shown(name="a\x1b[2Jb") is None
