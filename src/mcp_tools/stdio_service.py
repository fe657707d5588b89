"""The server's process over stdio: started by a client, ends when its stdin closes or on SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import Any, NoReturn, cast

import anyio
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCError

from mcp_tools.api_connection import load_early
from mcp_tools.server import ToolGate, build_server
from mcp_tools.server_assembly import assembled_gate
from mcp_tools.server_policy import ServerPolicy
from mcp_tools.settings import McpSettings
from mcp_tools.stdio_lines import claimed_stdin, messages

log = logging.getLogger(__name__)

STOP_SECONDS = 0.3
"""Time for calls in progress to be cancelled and connections to be closed."""


def serve_stdio(settings: McpSettings, policy: ServerPolicy) -> None:
    """Run until the client goes away. Raises ConfigurationError when the redaction key cannot be used."""
    gate = assembled_gate(settings, policy)
    log.debug("serving %d tools over stdio", len(gate.listed()))
    asyncio.run(_serve(gate))
    _leave()


async def _serve(gate: ToolGate) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    serving = asyncio.create_task(_serve_streams(gate))
    importing = asyncio.create_task(asyncio.to_thread(load_early))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not serving.done():
        log.info("stopping on a signal")
        serving.cancel()
        await asyncio.wait({serving}, timeout=STOP_SECONDS)
        _leave()
    stopping.cancel()
    importing.cancel()
    try:
        serving.result()
    except* (BrokenPipeError, ConnectionResetError, anyio.BrokenResourceError):
        log.info("the client went away before it read its answer")


async def _serve_streams(gate: ToolGate) -> None:
    server = build_server(gate)
    answers: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def answer(error: JSONRPCError) -> None:
        await (await answers).send(SessionMessage(error))

    with claimed_stdin() as stdin:
        lines = cast("anyio.AsyncFile[str]", messages(stdin, answer))  # all the SDK does with it is iterate
        async with stdio_server(stdin=lines) as (read_stream, write_stream):
            answers.set_result(write_stream)
            await server.run(read_stream, write_stream, server.create_initialization_options())


def _leave() -> NoReturn:
    """End without waiting for the thread in which the SDK reads stdin: nothing can interrupt it."""
    logging.shutdown()
    _remove_temporary_files()
    os._exit(0)


def _remove_temporary_files() -> None:
    """The kubernetes package writes client keys to temporary files and removes them at exit, which os._exit skips."""
    import sys

    kube_config = sys.modules.get("kubernetes.aio.config.kube_config")
    if kube_config is not None:
        kube_config._cleanup_temp_files()
