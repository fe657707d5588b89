"""What callers over HTTP can take of the server: slots, connections, time, guesses at the token, memory."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from http_fixtures import ACCEPT, OLD, TOKEN, HttpServer, ServedProcess, calling, http_server
from mcp_tools.http_limits import Busy, CallSlots, FailedLogins
from mcp_tools.http_listener import ConnectionLimits
from mcp_tools.server import ToolGate
from mcp_tools.tool_declaration import ToolAnswer, ToolContext, integer, tool
from scripted_api import scripted_api

MakeGate = Callable[[], ToolGate]
QUICK = ConnectionLimits(connections=4, head_seconds=0.3, body_seconds=0.5, unread_seconds=0.3, idle_seconds=1)


# --- slots


@dataclass
class Held:
    """A gate whose tools wait until `leave` is set."""

    leave: asyncio.Event = field(default_factory=asyncio.Event)
    running: int = 0
    most: int = 0

    def gate(self, gate: ToolGate) -> ToolGate:
        @tool("k8s_wait", title="Wait", arguments={}, output=None)
        async def wait(tools: ToolContext) -> ToolAnswer:
            """Waits."""
            self.running += 1
            self.most = max(self.most, self.running)
            try:
                await self.leave.wait()
            finally:
                self.running -= 1
            return ToolAnswer("waited")

        return ToolGate(gate.tools, [wait, replace(wait, name="k8s_list_changes")])

    async def until(self, running: int) -> None:
        async with asyncio.timeout(10):
            while self.running < running:  # noqa: ASYNC110  the tools run wherever the server runs them
                await asyncio.sleep(0.01)


async def test_calls_beyond_the_slots_wait_and_beyond_the_queue_are_told_to_come_again(nowhere_gate: MakeGate) -> None:
    held = Held()
    async with http_server(held.gate(nowhere_gate()), max_calls=2) as server:
        calls = [asyncio.create_task(server.send(calling("k8s_wait"))) for _ in range(9)]
        done, rest = await asyncio.wait(calls, timeout=10, return_when=asyncio.FIRST_COMPLETED)
        while len(done) < 3:
            more, rest = await asyncio.wait(rest, timeout=10, return_when=asyncio.FIRST_COMPLETED)
            assert more, "limits answer, they do not hang"
            done |= more
        for call in done:
            assert (call.result().status, call.result().headers["Retry-After"]) == (503, "2")
            assert "too many calls" in json.loads(call.result().body)["error"]["message"]
        assert held.running == 2
        assert (await server.send(method="GET", path="/healthz", token=None)).status == 200
        assert (await server.send(token="wrong")).status == 401, "who has no token does not wait in line"
        held.leave.set()
        assert [(await call).status for call in rest] == [200] * 6
        assert held.most == 2
        assert (await server.send(calling("k8s_wait"))).status == 200


async def test_long_polls_take_no_slot_of_calls(nowhere_gate: MakeGate) -> None:
    held = Held()
    async with http_server(held.gate(nowhere_gate()), max_calls=1) as server:
        polls = [asyncio.create_task(server.send(calling("k8s_list_changes"))) for _ in range(40)]
        await held.until(running=40)
        assert (await server.send()).status == 200
        one = asyncio.create_task(server.send(calling("k8s_wait", note="k8s_list_changes")))
        held.leave.set()
        assert {(await poll).status for poll in (*polls, one)} == {200}


async def test_a_caller_that_hangs_up_gives_its_slot_back(nowhere_gate: MakeGate) -> None:
    held = Held()
    async with http_server(held.gate(nowhere_gate()), max_calls=1) as server:
        for _ in range(3):
            call = asyncio.create_task(server.send(calling("k8s_wait")))
            await held.until(running=1)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            async with asyncio.timeout(10):
                while held.running:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        held.leave.set()
        assert (await server.send(calling("k8s_wait"))).status == 200


async def test_waiting_in_line_ends() -> None:
    slots = CallSlots(1, waiting=1, wait_seconds=0.05)
    async with slots.slot():
        with pytest.raises(Busy):
            async with slots.slot():
                pass
        assert slots.waiting == 0
    async with slots.slot():
        pass


# --- guesses at the token


async def test_wrong_tokens_are_bounded_and_the_right_one_is_not_locked_out(nowhere_gate: MakeGate) -> None:
    async with http_server(nowhere_gate()) as server:
        statuses = [(await server.send(token="wrong")).status for _ in range(13)]
        assert statuses == [401] * 10 + [429] * 3
        refused = await server.send(token=None)
        assert 0 < int(refused.headers["Retry-After"]) <= 7
        assert (await server.send()).status == 200


def test_failures_are_counted_for_each_address_and_forgotten_with_time() -> None:
    now = [0.0]
    failed = FailedLogins(burst=2, seconds_each=5, addresses=3, clock=lambda: now[0])
    assert [failed.failed("a") for _ in range(3)] == [0, 0, 5]
    assert failed.failed("b") == 0
    now[0] = 4
    assert failed.failed("a") == pytest.approx(1)
    now[0] = 5
    assert [failed.failed("a") == 0, failed.failed("a") > 0] == [True, True]
    now[0] = 1000
    assert [failed.failed("a") for _ in range(3)] == [0, 0, 5]
    for number in range(1000):
        failed.failed(f"10.0.0.{number}")
    assert len(failed) == 3


def test_the_log_has_a_line_a_minute_about_an_address() -> None:
    now = [0.0]
    failed = FailedLogins(clock=lambda: now[0])
    assert [failed.worth_a_line("a"), failed.worth_a_line("a"), failed.worth_a_line("b")] == [True, False, True]
    now[0] = 60
    assert failed.worth_a_line("a")


# --- slow and many connections


@asynccontextmanager
async def connection(server: HttpServer, sent: bytes = b"") -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(sent)
        yield reader, writer
    finally:
        writer.close()


async def closed_after(reader: asyncio.StreamReader) -> float:
    started = time.monotonic()
    async with asyncio.timeout(10):
        try:
            while await reader.read(65536):
                pass
        except ConnectionError:
            pass
    return time.monotonic() - started


HEAD = f"POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n".encode()


@pytest.mark.parametrize(
    "sent", [b"", b"POST /m", HEAD, HEAD + b"Content-Length: 50\r\n\r\n", HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"],
    ids=["nothing", "line", "head", "body", "chunk"],
)  # fmt: skip
async def test_a_request_that_does_not_come_is_not_waited_for(nowhere_gate: MakeGate, sent: bytes) -> None:
    async with http_server(nowhere_gate(), connections=QUICK) as server, connection(server, sent) as (reader, _):
        assert await closed_after(reader) < 3


async def test_a_byte_now_and_then_buys_no_time(nowhere_gate: MakeGate) -> None:
    async with http_server(nowhere_gate(), connections=QUICK) as server, connection(server, HEAD) as (reader, writer):

        async def drip() -> None:
            while True:
                writer.write(b"X: y\r\n")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        assert await closed_after(reader) < 3
        dripping.cancel()


async def test_the_second_request_of_a_connection_is_no_slower(nowhere_gate: MakeGate) -> None:
    async with http_server(nowhere_gate(), connections=QUICK) as server:
        async with connection(server, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") as (reader, writer):
            assert b" 200 " in await reader.readline()
            writer.write(b"GET /hea")
            assert await closed_after(reader) < 3


async def test_a_connection_that_idles_between_requests_may_do_so_for_a_while(nowhere_gate: MakeGate) -> None:
    limits = replace(QUICK, head_seconds=0.1, idle_seconds=30)
    async with http_server(nowhere_gate(), connections=limits) as server:
        async with connection(server, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") as (reader, writer):
            await reader.readuntil(b"ok\n")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.5)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b" 200 " in await asyncio.wait_for(reader.readline(), 5)


async def test_an_answer_that_is_not_read_is_not_kept(nowhere_gate: MakeGate) -> None:
    @tool("k8s_long", title="Long", arguments={"size": integer("Size.", minimum=1, maximum=50_000_000)}, output=None, bulk=True)
    async def long(tools: ToolContext, *, size: int) -> ToolAnswer:
        """Long."""
        return ToolAnswer("x" * size)

    async with http_server(ToolGate(nowhere_gate().tools, [long]), connections=QUICK) as server:
        body = json.dumps(calling("k8s_long", size=20_000_000)).encode()
        head = HEAD + b"Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2025-06-18\r\n"
        asked = head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
        async with AsyncExitStack() as stack:
            for _ in range(QUICK.connections):
                reader, _ = await stack.enter_async_context(connection(server, asked))
                assert b" 200 " in await reader.readline()
            async with asyncio.timeout(10):  # nothing more is read: every connection is taken until these are given up
                while await connects(server) is False:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)


async def connects(server: HttpServer) -> bool:
    try:
        return (await server.send()).status == 200
    except aiohttp.ClientError:
        return False


async def test_a_connection_too_many_is_told_so(nowhere_gate: MakeGate) -> None:
    limits = replace(QUICK, head_seconds=30)
    async with http_server(nowhere_gate(), connections=limits) as server:
        async with aiohttp.ClientSession() as session:
            open_ones = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(limits.connections)]
            async with connection(server) as (reader, _):
                assert b" 503 " in await asyncio.wait_for(reader.readline(), 5)
            for _, writer in open_ones:
                writer.close()
            async with asyncio.timeout(10):
                while True:
                    try:
                        if (await server.send(session=session)).status == 200:
                            break
                    except aiohttp.ClientError:
                        pass
                    await asyncio.sleep(0.02)


async def test_a_head_that_is_too_long_is_refused(nowhere_gate: MakeGate) -> None:
    async with http_server(nowhere_gate()) as server, connection(server, HEAD + b"X: " + b"y" * 40_000) as (reader, _):
        assert b" 400 " in await asyncio.wait_for(reader.readline(), 5)


# --- load

CALLERS, CALLS, PODS = 50, 3, 500


def many_pods() -> list[dict[str, Any]]:
    container = {
        "name": "app",
        "image": "registry.example/app:1",
        "env": [{"name": f"V{n}", "value": "x" * 40} for n in range(20)],
    }
    return [
        {
            "metadata": {"name": f"web-{number:05}", "namespace": "load", "uid": f"u{number}", "resourceVersion": "1"},
            "spec": {"containers": [container]},
            "status": {"phase": "Running"},
        }
        for number in range(PODS)
    ]


async def test_many_callers_at_once_get_answers_or_are_told_to_come_again_in_bounded_memory(
    served: Callable[..., ServedProcess], tmp_path: Path
) -> None:
    with scripted_api(items={"/api/v1/pods": many_pods()}) as api:
        server = served(api.kubeconfig(tmp_path), "--max-calls", "4")
        headers = ACCEPT | OLD | {"Authorization": f"Bearer {TOKEN}"}
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(headers=headers, connector=connector) as session:

            async def call() -> int:
                async with session.post(server.url, json=calling("k8s_list_pods")) as answer:
                    body = await answer.read()
                    assert answer.status in (200, 503), body
                    if answer.status == 200:
                        assert b"web-00000" in body
                        assert len(body) < 100_000
                    else:
                        assert answer.headers["Retry-After"] == "2"
                    return answer.status

            async def caller() -> list[int]:
                return [await call() for _ in range(CALLS)]

            assert await call() == 200
            before = server.memory_mb()
            started = time.monotonic()
            answers = await asyncio.wait_for(asyncio.gather(*(caller() for _ in range(CALLERS))), 120)
            took = time.monotonic() - started
            grown = server.memory_mb() - before
            statuses = [status for one in answers for status in one]
            print(
                f"{statuses.count(200)} answered, {statuses.count(503)} told to come again in {took:.1f} s, {grown:.0f} MB more"
            )
            assert statuses.count(200) >= 12, "the four that run and the eight in line are served"
            assert statuses.count(503) >= 1
            assert grown < 150
            assert await call() == 200
