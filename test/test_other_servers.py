"""The servers of MCP_SERVERS_FILE, as processes: what they are given, what becomes of their answers, who may call them."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import pytest_asyncio

from agent.approvals import PolicyApprover, RefusingApprover
from agent.cache_first_gateway import CacheFirstGateway
from agent.other_server_calls import call_of
from agent_fixtures import OpenAgent, OpenGateway
from configuration.errors import ApprovalNeeded, ConfigurationError, InvalidArguments, ServerGone, ToolError, UnknownTool
from controlplane.polling import wait_until
from mcp_tools.other_servers import OtherServers
from mcp_tools.redaction import Redactor
from mcp_tools.servers_file import parse_servers
from mcp_tools.settings import McpSettings
from model_fixtures import ScriptedModel

SERVER = str(Path(__file__).with_name("other_mcp_server.py"))
STDIO = {"command": sys.executable, "args": [SERVER]}
WRITE = "notes__write_note"
StartServers = Callable[..., Awaitable[OtherServers]]


@pytest_asyncio.fixture
async def start(tmp_path: Path) -> AsyncIterator[StartServers]:
    """`await start(notes={…}, environment={…})`: entries as they stand in the file."""
    started: list[OtherServers] = []

    async def one(*, environment: dict[str, str] | None = None, **entries: dict[str, Any]) -> OtherServers:
        given = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)} | (environment or {})
        addresses = parse_servers(json.dumps({"mcpServers": entries}), "servers.json", given)
        settings = McpSettings(redaction_key_file=tmp_path / "key")
        started.append(OtherServers(addresses, settings, environment=given))
        return started[-1]

    yield one
    await asyncio.gather(*(servers.close() for servers in started))


def servers_file(folder: Path, **entries: dict[str, Any]) -> Path:
    path = folder / "servers.json"
    path.write_text(json.dumps({"mcpServers": entries}))
    path.chmod(0o600)
    return path


async def listed(gateway: CacheFirstGateway, tool: str) -> None:
    """Wait until its server has started, which may take longer than the first look waits."""
    async with asyncio.timeout(60):
        while tool not in await gateway.tools():  # noqa: ASYNC110  nothing else tells
            await asyncio.sleep(0.05)


def free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def http_server() -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen([sys.executable, SERVER, "--port", str(port), "--json"], stderr=subprocess.DEVNULL)

    def listens() -> bool:
        with closing(socket.socket()) as one:
            return one.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens, "the HTTP server to listen", timeout_seconds=30)
    yield f"http://127.0.0.1:{port}/mcp"
    process.kill()
    process.wait()


async def test_a_stdio_and_an_http_server_are_called_by_qualified_names(
    start: StartServers, http_server: str, tmp_path: Path
) -> None:
    servers = await start(
        environment={"SECRET_OF_OURS": "x", "NOTES_TOKEN": "canary-header"},
        notes=STDIO | {"env": {"DECLARED": "${NOTES_TOKEN}"}},
        web={"type": "http", "url": http_server, "headers": {"X-Token": "t-${NOTES_TOKEN}"}},
    )
    specs = await servers.specs(60)
    assert {WRITE, "web__write_note", "notes__k8s_list_pods"} <= set(specs)
    assert all(len(name) <= 64 and name.partition("__")[0] in ("notes", "web") for name in specs)
    assert not any(spec.read_only for spec in specs.values()), "what a server says of itself counts for nothing"
    cwd, *names = (await servers.call("notes__environment", {})).text.splitlines()
    assert cwd == f"cwd {tmp_path}"
    assert {"DECLARED", "HOME", "PATH"} <= set(names)
    assert "SECRET_OF_OURS" not in names
    assert "NOTES_TOKEN" not in names
    assert (await servers.call("web__show_header", {"name": "x-token"})).text == "t-canary-header"
    odd = next(name for name in specs if name.startswith("notes__a_name"))
    assert (await servers.call(odd, {})).text == "odd"
    assert [state.state for state in servers.states()] == ["connected", "connected"]


async def test_what_another_server_says_is_redacted_plain_and_bounded(start: StartServers, tmp_path: Path) -> None:
    servers = await start(notes=STDIO)
    specs = await servers.specs(60)
    seen = [json.dumps([spec.description, spec.title, spec.input_schema]) for spec in specs.values()]
    answer = await servers.call(WRITE, {"file": str(tmp_path / "note"), "text": "a"})
    structured = await servers.call("notes__say_structured", {})
    with pytest.raises(ToolError) as failed:
        await servers.call("notes__fail_with_secret", {})
    everything = "".join([*seen, answer.text, structured.text, json.dumps(structured.structured), str(failed.value)])
    assert "canary" not in everything
    assert "redacted:" in answer.text
    assert "\\u001b" not in everything
    assert "\x1b" not in everything
    assert len(specs["notes__long_description"].description) <= 1_200
    with pytest.raises(ToolError, match="at most 1000000 are accepted"):
        await servers.call("notes__answer_at_length", {"characters": 1_500_000})


async def test_arguments_are_checked_before_the_call(start: StartServers, tmp_path: Path) -> None:
    servers = await start(notes=STDIO)
    with pytest.raises(InvalidArguments, match="'text' must be text"):
        await servers.call(WRITE, {"file": str(tmp_path / "note"), "text": 7})
    assert not (tmp_path / "note").exists()
    for name in ("notes__write_not", "other__write_note"):
        with pytest.raises(UnknownTool):
            await servers.call(name, {})


async def test_dead_and_silent_servers_delay_nobody(start: StartServers, tmp_path: Path) -> None:
    servers = await start(
        dead={"command": str(tmp_path / "no-such-program")},
        silent=STDIO | {"args": [SERVER, "--silent"]},
        refused={"url": f"http://127.0.0.1:{free_port()}/mcp"},
        notes=STDIO,
    )
    await servers.call(WRITE, {"file": str(tmp_path / "note"), "text": "a"})
    began = time.monotonic()
    specs = await servers.specs(2)
    assert time.monotonic() - began < 10
    assert {name.partition("__")[0] for name in specs} == {"notes"}
    began = time.monotonic()
    assert WRITE in await servers.specs(2), "once it has been waited for, nothing is waited for again"
    assert time.monotonic() - began < 1.5
    async with asyncio.timeout(30):
        while sum(state.state == "failed" for state in servers.states()) < 2:  # noqa: ASYNC110  nothing else tells
            await asyncio.sleep(0.05)
    states = {state.name: state for state in servers.states()}
    assert {name: state.state for name, state in states.items()} == {
        "dead": "failed", "silent": "starting", "refused": "failed", "notes": "connected",
    }  # fmt: skip
    assert "no-such-program" in states["dead"].problem


async def test_a_call_that_may_have_changed_something_is_never_made_twice(start: StartServers, tmp_path: Path) -> None:
    """The tool claims to be read-only, and its server dies in it."""
    servers = await start(notes=STDIO)
    with pytest.raises(ServerGone, match="unknown"):
        await servers.call("notes__die", {"file": str(tmp_path / "calls")})
    assert (tmp_path / "calls").read_text() == "called\n"
    assert "redacted" in (await servers.call(WRITE, {"file": str(tmp_path / "note"), "text": "a"})).text, "it is started again"


async def test_what_no_honest_server_would_answer_costs_an_error_at_most(start: StartServers) -> None:
    servers = await start(hostile={"command": sys.executable, "args": [str(Path(__file__).with_name("hostile_mcp_server.py"))]})
    assert len(await servers.specs(60)) == 200
    began = time.monotonic()
    await servers.call("hostile__slow_pattern", {"a": "a" * 60 + "!"})
    for tool in ("malformed", "asks_for_input"):
        with pytest.raises(ToolError) as caught:
            await servers.call(f"hostile__{tool}", {})
        assert "canary" not in "".join(traceback.format_exception(caught.value))
    assert (await servers.call("hostile__echo", {"b": 1})).text == '{"b": 1}'
    assert time.monotonic() - began < 20, "a pattern that backtracks for ever must not be tried"


async def test_a_redaction_mark_is_never_sent_to_another_server(start: StartServers, tmp_path: Path) -> None:
    servers = await start(notes=STDIO)
    mark = Redactor(bytes(32)).redact_object({"password": "a-long-secret-value"})["password"]
    with pytest.raises(InvalidArguments, match="text holds a redaction mark"):
        await servers.call(WRITE, {"file": str(tmp_path / "note"), "text": f"password: {mark}"})
    assert not (tmp_path / "note").exists()


class _Endless(BaseHTTPRequestHandler):
    """Answers everything with JSON that does not end."""

    def do_POST(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        try:
            while True:
                self.wfile.write(b'["' + b"x" * 65536)
        except OSError:
            return

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""


async def test_an_http_answer_without_end_is_given_up(start: StartServers) -> None:
    endless = HTTPServer(("127.0.0.1", 0), _Endless)
    Thread(target=endless.serve_forever, daemon=True).start()
    servers = await start(endless={"url": f"http://127.0.0.1:{endless.server_port}/mcp"})
    try:
        (state,) = await servers.settled(50)
    finally:
        await asyncio.to_thread(endless.shutdown)
        endless.server_close()
    assert state.state == "failed"
    assert "sent an answer of more than 16777216 bytes" in state.problem


# --- the agent


async def test_every_tool_of_another_server_needs_approval_whatever_it_says(
    open_gateway: OpenGateway, open_agent: OpenAgent, scripted_model: ScriptedModel, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    gateway = await open_gateway(mcp_servers_file=servers_file(tmp_path, notes=STDIO))
    await listed(gateway, WRITE)
    with pytest.raises(ApprovalNeeded):
        await gateway.call(WRITE, {"file": str(note), "text": "a"})
    call = call_of((await gateway.tools())[WRITE], {"file": str(note), "text": "a"})
    for policy in ("all:cluster=*", "all:namespace=*", "all:kind=*", "all:name=*", "notes__environment", "other__*"):
        with pytest.raises(ApprovalNeeded):
            await PolicyApprover.parse([policy]).decide(call)
    scripted_model.calls((WRITE, {"file": str(note), "text": "a"}))
    agent = await open_agent(gateway=gateway, approver=RefusingApprover())
    final = await agent.answer("write it", on_event=lambda _: None)
    assert isinstance(final.error, ApprovalNeeded)
    assert f"--approve='{WRITE}'" in str(final.error)
    assert not note.exists()


async def test_a_policy_that_names_the_tool_lets_the_model_call_it(
    open_gateway: OpenGateway, open_agent: OpenAgent, scripted_model: ScriptedModel, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    gateway = await open_gateway(mcp_servers_file=servers_file(tmp_path, notes=STDIO))
    await listed(gateway, WRITE)
    scripted_model.calls((WRITE, {"file": str(note), "text": "hello"})).says("It is written.")
    agent = await open_agent(gateway=gateway, approver=PolicyApprover.parse([WRITE]))
    final = await agent.answer("write it", on_event=lambda _: None)
    assert final.error is None
    assert note.read_text() == "hello\n"
    assert "notes" in final.sources.text()
    offered = {tool["function"]["name"] for tool in scripted_model.requests[0]["tools"]}
    assert {WRITE, "k8s_list_pods"} <= offered
    assert "canary" not in json.dumps(scripted_model.requests)


async def test_our_own_tools_start_no_other_server(open_gateway: OpenGateway, tmp_path: Path) -> None:
    marker = tmp_path / "started"
    entry = {"command": "/bin/sh", "args": ["-c", f"touch {marker}; sleep 60"]}
    gateway = await open_gateway(mcp_servers_file=servers_file(tmp_path, slow=entry))
    began = time.monotonic()
    await gateway.catalog.checked("k8s_list_pods", {})
    assert time.monotonic() - began < 1
    assert not marker.exists()


async def test_with_live_access_switched_off_no_other_server_is_called(open_gateway: OpenGateway, tmp_path: Path) -> None:
    gateway = await open_gateway(
        mcp_servers_file=servers_file(tmp_path, notes=STDIO), agent_fallback_to_direct_mcp=False
    )  # fmt: skip
    with pytest.raises(ToolError, match="AGENT_FALLBACK_TO_DIRECT_MCP"):
        await gateway.call_other(WRITE, {"file": str(tmp_path / "note"), "text": "a"})


@pytest.mark.parametrize("policy", ["notes__write_note:namespace=dev", "no.tes__*", "notes__*x*", "notes__", "__write"])
def test_a_policy_for_another_server_has_no_conditions_and_names_it_whole(policy: str) -> None:
    with pytest.raises(ConfigurationError, match="--approve="):
        PolicyApprover.parse([policy])


# --- what a person sees


def test_doctor_names_the_state_of_each_server(tmp_path: Path, dead_kubeconfig: Path) -> None:
    file = servers_file(tmp_path, notes=STDIO, dead={"command": str(tmp_path / "no-such-program")})
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": str(dead_kubeconfig), "MCP_SERVERS_FILE": str(file),
        "CACHE_DB_PATH": str(tmp_path / "cache.db"), "REDACTION_KEY_FILE": str(tmp_path / "key"), "COLUMNS": "400",
    }  # fmt: skip
    main = str(Path(sys.executable).with_name("main"))
    done = subprocess.run(
        [main, "doctor", "-o", "json"], env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    checks = [check for check in json.loads(done.stdout)["checks"] if check["part"] == "MCP servers"]
    assert [check["state"] for check in checks] == ["ok", "warn"]
    assert "notes (" in checks[0]["finding"]
    assert "tools, each asks before it is called" in checks[0]["finding"]
    assert "no-such-program" in checks[1]["finding"]
    shown = subprocess.run(
        [main, "tools", "-o", "json"], env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    offered = {tool["name"]: tool for tool in json.loads(shown.stdout)["tools"]}
    assert offered[WRITE]["read_only"] is False
    assert offered[WRITE]["server"] == "notes"
    listing = subprocess.run([main, "tools"], env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert "left out: MCP server dead" in listing.stdout + listing.stderr
    assert "canary" not in shown.stdout + shown.stderr + done.stdout + done.stderr
