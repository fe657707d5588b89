"""The MCP client: what it checks before a call, what it survives, and what it never leaves behind."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from configuration.errors import (
    ConfigurationError,
    InvalidArguments,
    NotPermitted,
    ServerGone,
    ToolError,
    ToolTimeout,
    UnknownTool,
)
from mcp_tools import server_connection
from mcp_tools.foreign_answers import ForeignAnswers
from mcp_tools.redaction import Redactor
from mcp_tools.restart_delay import RestartDelay
from mcp_tools.server_address import ServerAddress, server_address
from mcp_tools.server_connection import ServerConnection
from mcp_tools.settings import McpSettings
from mcp_tools.tool_loader import ToolLoader

SERVER = Path(__file__).with_name("scripted_mcp_server.py")


def address(*arguments: str, ours: bool = True, environment: Mapping[str, str] | None = None) -> ServerAddress:
    command = (sys.executable, str(SERVER), *arguments)
    return ServerAddress("scripted", ours, command, environment or {"PATH": os.environ["PATH"]})


def make_loader(where: ServerAddress, *, settings: McpSettings | None = None, start_seconds: float = 30) -> ToolLoader:
    connection = ServerConnection(where, start_seconds=start_seconds)
    return ToolLoader(settings or McpSettings(), environment={}, connection=connection)


@pytest.fixture
async def loader() -> AsyncIterator[ToolLoader]:
    async with make_loader(address()) as made:
        yield made


def calls_in(file: Path) -> int:
    return len(file.read_text().splitlines()) if file.exists() else 0


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not Path(f"/proc/{pid}/stat").exists() or Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


async def eventually(holds: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:  # noqa: ASYNC110  other processes set no asyncio.Event
        await asyncio.sleep(0.02)
    return holds()


# --- starting and ending


async def test_nothing_is_started_before_it_is_needed(loader: ToolLoader) -> None:
    assert loader.server_pid is None
    assert loader.tools == {}
    assert (await loader.call("echo", {"text": "hi"})).text == "hi"
    assert loader.server_pid is not None
    assert loader.tools["echo"].read_only
    assert not loader.tools["die_while_writing"].read_only
    assert loader.tools["die_while_writing"].destructive, "without a hint the protocol's default holds: destructive"
    assert loader.tools["echo"].server == "scripted"


async def test_a_server_that_was_begun_is_the_one_that_is_used(loader: ToolLoader) -> None:
    loader.begin()
    loader.begin()
    assert await eventually(lambda: bool(loader.tools), 30)
    pid = loader.server_pid
    await loader.call("echo", {"text": "hi"})
    assert loader.server_pid == pid


async def test_a_start_in_the_background_that_fails_is_told_by_the_first_call(caplog: pytest.LogCaptureFixture) -> None:
    async with make_loader(address("--refuse")) as loader:
        loader.begin()
        with pytest.raises(ConfigurationError, match="^REDACTION_KEY_FILE cannot be used$"):
            await loader.call("echo", {"text": "hi"})
    async with make_loader(address("--refuse")) as loader:
        loader.begin()  # and nobody ever asks
    assert "never retrieved" not in caplog.text


async def test_closing_leaves_no_process(loader: ToolLoader) -> None:
    await loader.connect()
    pid = loader.server_pid
    assert pid is not None
    await loader.close()
    assert not is_running(pid)
    with pytest.raises(ServerGone):
        await loader.call("echo", {"text": "hi"})


async def test_closing_does_not_wait_for_a_grandchild_that_holds_the_pipes(loader: ToolLoader) -> None:
    grandchild = int((await loader.call("hold_pipes", {})).text)
    started = time.monotonic()
    await loader.close()
    assert time.monotonic() - started < 5
    if is_running(grandchild):
        os.kill(grandchild, 9)


async def test_cancelling_the_program_leaves_no_process() -> None:
    pids: list[int | None] = []

    async def program() -> None:
        async with make_loader(address()) as loader:
            await loader.connect()
            pids.append(loader.server_pid)
            await asyncio.Event().wait()

    task = asyncio.create_task(program())
    assert await eventually(lambda: bool(pids), 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pids[0] is not None
    assert not is_running(pids[0])


async def test_cancelling_a_start_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = make_loader(address("--silent"))
    started: list[int] = []
    real = asyncio.create_subprocess_exec

    async def recording(*arguments: object, **options: object) -> asyncio.subprocess.Process:
        process = await real(*arguments, **options)  # type: ignore[arg-type]
        started.append(process.pid)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", recording)
    task = asyncio.create_task(loader.connect())
    assert await eventually(lambda: bool(started))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not is_running(started[0])
    await loader.close()


async def test_a_server_that_never_answers_is_given_up_and_ended() -> None:
    async with make_loader(address("--silent"), start_seconds=0.5) as loader:
        with pytest.raises(ServerGone, match="did not answer within 0.5 s"):
            await loader.connect()


async def test_a_command_that_does_not_exist_is_named(tmp_path: Path) -> None:
    where = ServerAddress("gone", True, (str(tmp_path / "no-such-server"),), {})
    async with make_loader(where) as loader:
        with pytest.raises(ServerGone, match="no-such-server"):
            await loader.connect()


async def test_our_server_refusing_its_settings_is_a_configuration_error() -> None:
    async with make_loader(address("--refuse")) as loader:
        with pytest.raises(ConfigurationError, match="^REDACTION_KEY_FILE cannot be used$"):
            await loader.connect()


async def test_what_the_server_writes_to_stderr_is_logged_without_escapes(
    loader: ToolLoader, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO, "mcp_tools.server_output"):
        await loader.connect()
        assert await eventually(lambda: "scripted: a line for the log" in caplog.messages)
    assert "a line for the log" not in capfd.readouterr().err, "a terminal UI would be torn apart"


async def test_what_a_foreign_server_writes_to_stderr_is_redacted_before_it_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = McpSettings(redaction_key_file=tmp_path / "key")
    async with make_loader(address("--leak", ours=False), settings=settings) as loader:
        with caplog.at_level(logging.INFO, "mcp_tools.server_output"):
            await loader.connect()
            assert await eventually(lambda: any("connecting to postgres" in line for line in caplog.messages))
    assert "canary-in-stderr" not in caplog.text


# --- calls


async def test_many_calls_may_be_under_way_at_once(loader: ToolLoader) -> None:
    await loader.connect()
    started = time.monotonic()
    answers = await asyncio.gather(*(loader.call("wait", {"seconds": 1}) for _ in range(10)))
    assert [answer.text for answer in answers] == ["waited"] * 10
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "'text' is missing"),
        ({"text": 7}, "'text' must be text, not 7"),
        ({"text": "a", "times": "3"}, "'times' must be a whole number, not \"3\""),
    ],
)
async def test_wrong_arguments_are_told_before_anything_is_called(
    loader: ToolLoader, arguments: dict[str, object], words: str
) -> None:
    with pytest.raises(InvalidArguments, match=words):
        await loader.call("echo", arguments)


async def test_an_unknown_tool_is_answered_with_near_names(loader: ToolLoader) -> None:
    with pytest.raises(UnknownTool, match="did you mean echo"):
        await loader.call("ecko", {})


async def test_an_api_error_arrives_as_its_own_class(loader: ToolLoader) -> None:
    with pytest.raises(NotPermitted, match="cannot list pods: forbidden") as caught:
        await loader.call("api_error", {})
    assert (caught.value.status, caught.value.reason) == (403, "Forbidden")


async def test_a_slow_call_times_out_and_the_server_goes_on(loader: ToolLoader) -> None:
    await loader.connect()
    pid = loader.server_pid
    with pytest.raises(ToolTimeout, match="within 0.2 s"):
        await loader.call("wait", {"seconds": 30}, timeout_seconds=0.2)
    assert (await loader.call("echo", {"text": "on"})).text == "on"
    assert loader.server_pid == pid


async def test_a_slow_mutation_is_reported_as_unknown(loader: ToolLoader) -> None:
    with pytest.raises(ToolTimeout, match="unknown"):
        await loader.call("wait_while_writing", {"seconds": 30}, timeout_seconds=0.2)


async def test_a_message_beyond_the_bound_is_refused() -> None:
    async with make_loader(replace(address(), max_message_bytes=100_000)) as loader:
        assert len((await loader.call("echo", {"text": "x", "times": 50_000})).text) == 50_000
        with pytest.raises(ServerGone, match="more than 100000 bytes"):
            await loader.call("echo", {"text": "x", "times": 500_000})


# --- servers that die or hang


async def test_a_read_is_tried_once_more_when_the_server_dies(loader: ToolLoader, tmp_path: Path) -> None:
    await loader.connect()
    pid = loader.server_pid
    assert (await loader.call("die_once", {"file": str(tmp_path / "calls")})).text == "alive"
    assert loader.server_pid != pid
    assert calls_in(tmp_path / "calls") == 2


async def test_a_mutation_is_never_tried_again(loader: ToolLoader, tmp_path: Path) -> None:
    with pytest.raises(ServerGone, match="Whether the change was made is unknown"):
        await loader.call("die_while_writing", {"file": str(tmp_path / "calls")})
    assert (await loader.call("echo", {"text": "on"})).text == "on"
    assert calls_in(tmp_path / "calls") == 1


async def test_a_server_that_died_while_idle_is_started_again_for_a_mutation_too(loader: ToolLoader) -> None:
    await loader.connect()
    pid = loader.server_pid
    assert pid is not None
    run = await loader._connection.run()
    os.kill(pid, 9)
    assert await eventually(lambda: not run.alive)
    assert (await loader.call("wait_while_writing", {"seconds": 0})).text == "written"


async def test_a_server_that_hangs_is_replaced(loader: ToolLoader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_connection, "PROBE_SECONDS", 0.3)
    await loader.connect()
    pid = loader.server_pid
    assert pid is not None
    assert (await loader.call("stop_once", {"file": str(tmp_path / "calls")}, timeout_seconds=3)).text == "alive"
    assert loader.server_pid != pid
    assert not is_running(pid)


def test_restarts_are_immediate_once_and_then_further_apart() -> None:
    now = 0.0
    delay = RestartDelay(lambda: now, jitter=lambda: 1.0)
    waits = []
    for _ in range(9):
        delay.ended()
        waits.append(delay.seconds_left())
        now += delay.seconds_left()
    assert waits == [0, 1, 2, 4, 8, 16, 32, 60, 60]
    delay.started()
    now += 61
    delay.ended()
    assert delay.seconds_left() == 0, "it ran long enough: its start was not what killed it"


# --- what other servers get, and what comes of their answers


def test_our_own_server_gets_what_plugins_need_and_no_model_keys(tmp_path: Path) -> None:
    environment = {
        "KUBECONFIG": "/k", "AWS_PROFILE": "p", "HTTPS_PROXY": "x", "LLM_API_KEY": "s", "OPENAI_API_KEY": "s",
        "OPENROUTER_API_KEY": "s", "ANTHROPIC_API_KEY": "s", "GEMINI_API_KEY": "s", "AWS_BEARER_TOKEN_BEDROCK": "s",
    }  # fmt: skip
    settings = McpSettings(k8s_contexts="a,b", redaction_key_file=tmp_path / "key")
    given = server_address(settings, environment).environment
    assert set(given) == {"KUBECONFIG", "AWS_PROFILE", "HTTPS_PROXY", "K8S_CONTEXTS", "REDACTION_KEY_FILE", "MCP_PROFILE"}
    assert given["K8S_CONTEXTS"] == "a,b"
    assert given["REDACTION_KEY_FILE"] == str(tmp_path / "key")


async def test_the_environment_reaches_the_process_as_it_was_made() -> None:
    async with make_loader(address(environment={"PATH": os.environ["PATH"], "KUBECONFIG": "/k"})) as loader:
        names = set((await loader.call("environment", {})).text.splitlines())
    assert {"PATH", "KUBECONFIG"} <= names
    assert not {name for name in names if "KEY" in name}


def test_another_server_gets_no_more_than_it_takes_to_start(tmp_path: Path) -> None:
    server = tmp_path / "server"
    server.touch(mode=0o755)
    environment = {"PATH": "/bin", "HOME": "/h", "KUBECONFIG": "/k", "AWS_SECRET_ACCESS_KEY": "s", "GITHUB_TOKEN": "s"}
    where = server_address(McpSettings(mcp_server_url=f"stdio://{server}"), environment)
    assert where.command == (str(server),)
    assert not where.ours
    assert dict(where.environment) == {"PATH": "/bin", "HOME": "/h", "KUBECONFIG": "/k"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mcp_server_url": "stdio:///no/such/server"}, "/no/such/server"),
        ({"mcp_server_url": "stdio://relative"}, "absolute path"),
        ({"mcp_server_url": "ftp://host"}, "MCP_SERVER_URL"),
        ({"mcp_server_url": "http://127.0.0.1:1/mcp"}, "MCP_SERVER_TYPE=stdio does not fit"),
        ({"mcp_server_type": "streamable-http"}, "set MCP_SERVER_TYPE=stdio"),
    ],
)
def test_an_address_that_cannot_be_used_is_a_configuration_error(settings: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        server_address(McpSettings(**settings), {})


def test_credentials_in_an_address_are_never_shown() -> None:
    settings = McpSettings(mcp_server_url="https://me:canary@host/mcp?key=canary", mcp_server_type="streamable-http")
    where = server_address(settings, {})
    assert "canary" not in f"{where} {where!r}"
    with pytest.raises(ConfigurationError) as caught:
        server_address(McpSettings(mcp_server_url="ftp://me:canary@host/"), {})
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("tool", ["secret_as_yaml", "secret_as_json"])
async def test_what_another_server_answers_is_redacted_on_arrival(tool: str, tmp_path: Path) -> None:
    settings = McpSettings(redaction_key_file=tmp_path / "key")
    async with make_loader(address(ours=False), settings=settings) as loader:
        answer = await loader.call(tool, {})
    seen = f"{answer.text} {answer.structured}"
    assert "canary-17" not in seen
    assert "Y2FuYXJ5LTE3" not in seen
    assert "redacted:" in answer.text


ENCODED = base64.b64encode(b"canary-19").decode()
UNNAMED_SECRET = {"metadata": {"name": "s"}, "type": "Opaque", "data": {"a": ENCODED}}


@pytest.mark.parametrize(
    "content",
    [
        {"password": "canary-19"},
        {"result": {"password": "canary-19"}},
        {"env": [{"name": "MODE", "value": "canary-19"}]},
        {"result": [{"name": "DB_PASSWORD", "value": "canary-19"}]},
        {"kind": "secret", "data": {"a": ENCODED}},
        {"items": [UNNAMED_SECRET]},
        {"result": {"object": UNNAMED_SECRET}},
        {"manifest": json.dumps({"kind": "Secret", "data": {"a": ENCODED}})},
    ],
)
def test_json_of_another_server_is_redacted_by_its_structure_wherever_it_stands(content: dict[str, Any]) -> None:
    answers = ForeignAnswers(Redactor(bytes(32)))
    written = json.dumps(content)
    texts = [
        answers.text(form) for form in (written, f"Found 1:\n```json\n{written}\n```", f"{written}\n{written}", f"[{written}]")
    ]
    for seen in [*texts, json.dumps(answers.structured(content))]:
        assert "canary-19" not in seen
        assert ENCODED not in seen
        assert "redacted:" in seen


def test_an_answer_of_another_server_nested_too_deep_is_left_out() -> None:
    answers = ForeignAnswers(Redactor(bytes(32)))
    written = '{"a":' * 900 + '{"password":"canary-19"}' + "}" * 900
    for seen in (answers.text(written), answers.text(f"x {written}")):
        assert "canary-19" not in seen


async def test_what_an_error_quotes_of_another_server_is_redacted(tmp_path: Path) -> None:
    settings = McpSettings(redaction_key_file=tmp_path / "key")
    async with make_loader(address(ours=False), settings=settings) as loader:
        with pytest.raises(ToolError, match="protocol_error") as caught:
            await loader.call("protocol_error", {})
    assert "redacted:" in str(caught.value)
    assert "canary-18" not in "".join(traceback.format_exception(caught.value))


async def test_what_another_server_answers_loses_its_control_characters(tmp_path: Path) -> None:
    settings = McpSettings(redaction_key_file=tmp_path / "key")
    async with make_loader(address(ours=False), settings=settings) as loader:
        assert (await loader.call("escape_sequences", {})).text == "abcd"


async def test_an_error_of_another_server_can_name_an_api_error_and_nothing_else(tmp_path: Path) -> None:
    settings = McpSettings(redaction_key_file=tmp_path / "key")
    async with make_loader(address(ours=False), settings=settings) as loader:
        with pytest.raises(NotPermitted, match="cannot list pods$") as refused:
            await loader.call("api_error", {})
        assert (refused.value.status, refused.value.reason) == (403, "Forbidden")
        with pytest.raises(ToolError) as caught:
            await loader.call("error_of_a_class", {})
    assert type(caught.value) is ToolError
    assert str(caught.value) == "approved by nobody"


async def test_a_schema_of_another_server_never_makes_us_fetch_an_address() -> None:
    from mcp_tools.argument_check import ArgumentCheck

    asked: list[object] = []
    listener = await asyncio.start_server(lambda *_: asked.append(1), "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    check = ArgumentCheck("t", {"type": "object", "properties": {"a": {"$ref": f"http://127.0.0.1:{port}/schema"}}})
    with pytest.raises(ToolError):
        await asyncio.to_thread(check.check, {"a": 1})
    listener.close()
    assert not asked
