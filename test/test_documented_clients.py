"""docs/clients.md: every snippet is JSON in its client's form, and the server starts with it and answers."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from configuration.places import project_root
from http_fixtures import TOKEN, ServedProcess

PAGE = Path(str(project_root())) / "docs/clients.md"
PLACE_OF_TOKEN = re.compile(r"\$\{(?:env:|input:)?k8s_mcp_token\}|\bTOKEN\b", re.IGNORECASE)


def entries() -> Iterator[tuple[str, dict[str, Any]]]:
    """(client and key, the server's entry) of each snippet."""
    for client, snippet in re.findall(r"\*\*([^*]+)\*\* —(?:(?!\*\*).)*?```json\n(.*?)```", PAGE.read_text(), re.DOTALL):
        document = json.loads(snippet)
        key = {"VS Code": "servers", "Zed": "context_servers"}.get(client, "mcpServers")
        (entry,) = document[key].values()
        for wanted in re.findall(r"\$\{input:(\w+)\}", snippet):
            assert wanted in {one["id"] for one in document["inputs"]}
        yield client, entry


STDIO = [(client, entry) for client, entry in entries() if "command" in entry]
HTTP = [(client, entry) for client, entry in entries() if "url" in entry]


def test_every_snippet_of_the_page_is_tried() -> None:
    assert len(STDIO) + len(HTTP) == PAGE.read_text().count("```json")
    assert {client for client, _ in STDIO} == {"Claude Desktop", "Claude Code", "Cursor", "VS Code", "Zed"}
    assert {client for client, _ in HTTP} == {"Claude Code", "Cursor", "VS Code", "Zed"}
    assert all("--read-only" in entry["args"] for _, entry in STDIO)


async def test_the_server_starts_as_each_snippet_says(nowhere_kubeconfig: Path, tmp_path: Path) -> None:
    started: set[str] = set()
    for _, entry in STDIO:
        assert entry["command"] == "k8s-mcp"
        if (same := json.dumps([entry["args"], entry.get("env")])) in started:
            continue
        started.add(same)
        environment = {"KUBECONFIG": str(nowhere_kubeconfig), "REDACTION_KEY_FILE": str(tmp_path / "key")} | entry.get("env", {})
        program = str(Path(sys.executable).with_name("k8s-mcp"))
        async with Client(StdioServerParameters(command=program, args=entry["args"], env=environment)) as client:
            tools = (await client.list_tools()).tools
            assert {"k8s_list_pods", "k8s_describe"} <= {tool.name for tool in tools}
            assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools)


async def test_the_server_over_http_answers_as_each_snippet_says(
    nowhere_kubeconfig: Path, served: Callable[..., ServedProcess]
) -> None:
    server = served(nowhere_kubeconfig)
    for client_name, entry in HTTP:
        assert entry.get("type", "http") == "http"
        url = entry["url"].replace(":8765/", f":{server.port}/")
        headers = {name: PLACE_OF_TOKEN.sub(TOKEN, value) for name, value in entry["headers"].items()}
        async with httpx2.AsyncClient(headers=headers) as web, Client(streamable_http_client(url, http_client=web)) as client:
            assert (await client.list_tools()).tools, client_name
    assert server.url.rpartition(":")[2] == f"{server.port}/mcp"


def test_what_the_page_says_of_bounds_is_so(nowhere_kubeconfig: Path) -> None:
    from mcp_tools import http_service, http_tokens
    from mcp_tools.http_listener import ConnectionLimits

    limits, page = ConnectionLimits(), PAGE.read_text()
    assert f"{limits.connections} connections" in page
    assert f"A request's head has {limits.head_seconds:.0f} s, its body {limits.body_seconds:.0f} s" in page
    assert f"{limits.head_bytes // 1024} KiB of headers" in page
    assert f"{http_service.MAX_BODY_BYTES // 1024**2} MiB a request" in page
    assert f"{http_service.HttpOptions().max_calls} calls at once" in page
    assert f"calls in progress have {http_service.GRACE_SECONDS} s" in page
    assert f"{http_tokens.MIN_TOKEN_CHARACTERS} characters or more" in page
    assert f"up to {http_tokens.MAX_TOKENS}" in page


@pytest.mark.parametrize("flag", sorted(set(re.findall(r"`(--[a-z-]+)", PAGE.read_text()))))
def test_flags_that_the_page_names_exist(flag: str) -> None:
    from typer.testing import CliRunner

    from mcp_tools.__main__ import app

    assert flag in CliRunner().invoke(app, ["--help"]).stdout
