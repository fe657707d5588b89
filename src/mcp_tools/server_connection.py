"""One MCP server: started when it is first needed, started again when it died, ended without remains.

The SDK's Client has to be entered and left by the same task, so each run of a server is owned by a task of its own
that does nothing else; calls go through the client from whichever task makes them, many at a time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from configuration.errors import ConfigurationError, K8sMcpError, ServerGone, ToolError, ToolTimeout
from mcp_tools.child_process import ChildProcess
from mcp_tools.collector_pause import spare_what_is_loaded
from mcp_tools.restart_delay import RestartDelay
from mcp_tools.server_address import ServerAddress
from mcp_tools.tool_spec import BULK_MARK, ToolSpec, spec_of

if TYPE_CHECKING:
    from mcp import Client, MCPError
    from mcp.client._transport import TransportStreams
    from mcp_types import CallToolResult

Specs = Mapping[str, ToolSpec]
"""By name."""

log = logging.getLogger(__name__)

START_SECONDS = 30.0
CLOSE_SECONDS = 6.0
PROBE_SECONDS = 5.0
"""How long a server may take to list its tools, when a call to it has timed out."""
WORTH_WAITING_SECONDS = 2.0
"""A restart that is due within this time is waited for; a later one is an error now."""
USAGE_EXIT_CODE = 2
_ALL_TOOLS: Any = {BULK_MARK: True}
"""`_meta` of tools/list: our own server lists the tools for programs only to those who ask."""


class AnswerTooLarge(ServerGone):
    """The server wrote a message beyond the bound, and was ended for it."""


class ServerRun:
    """One run of a server, from start to end. Made by `ServerConnection`; not reused."""

    def __init__(
        self, address: ServerAddress, start_seconds: float, redacted: Callable[[str], str], arrived: Callable[[Specs], Specs]
    ) -> None:
        self._address = address
        self._redacted = redacted
        self._arrived = arrived
        self._start_seconds = start_seconds
        self._leave = asyncio.Event()
        self._broken = False
        self._child: ChildProcess | None = None
        self._opened: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self.specs: Specs = {}
        self._owner = asyncio.create_task(self._own(), name=f"mcp:{address.name}")

    @property
    def alive(self) -> bool:
        """False once it is known that nothing sent now would be answered."""
        return not self._broken and not self._owner.done() and (self._child is None or self._child.alive)

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    async def ready(self) -> None:
        """Wait until it answers. Raises ServerGone, or ConfigurationError when our own server refuses its settings."""
        try:
            await asyncio.wait_for(asyncio.shield(self._opened), self._start_seconds)
        except TimeoutError:
            await self.end()
            raise ServerGone(
                f"{self._address} did not answer within {self._start_seconds:g} s of its start{self._told()}"
            ) from None
        except asyncio.CancelledError:
            await self.end()
            raise
        except Exception as error:
            raise self._not_started(error) from error

    async def call(self, name: str, arguments: dict[str, Any], timeout_seconds: float) -> CallToolResult:
        """Raises ServerGone when the server ended meanwhile, ToolTimeout, or ToolError for an answer that is no result."""
        from mcp import MCPError

        try:
            return await self._sent(self._opened.result(), name, arguments, timeout_seconds)
        except MCPError as error:
            raise await self._failed(name, error, timeout_seconds) from error
        except (RuntimeError, ValueError) as error:  # it fits neither the protocol nor the tool's own output schema
            why = f": {error}" if self._address.ours else ", or asks for what this program does not give"
            raise ToolError(f"{name}: {self._address} gave an answer that does not fit what it declared{why}") from error

    async def _sent(self, client: Client, name: str, arguments: dict[str, Any], timeout_seconds: float) -> CallToolResult:
        """Another server's answer is not held against the output schema that it gave: a pattern in it could take for ever."""
        if self._address.ours:
            return await client.call_tool(name, arguments, read_timeout_seconds=timeout_seconds)
        from mcp_types import CallToolRequest, CallToolRequestParams, CallToolResult

        request = CallToolRequest(params=CallToolRequestParams(name=name, arguments=arguments))
        return await client.session.send_request(request, CallToolResult, request_read_timeout_seconds=timeout_seconds)

    async def end(self) -> None:
        """Close the connection and end the child. Returns when nothing of it is left."""
        self._leave.set()
        if not self._opened.done():
            self._owner.cancel()
        done, _ = await asyncio.wait([self._owner], timeout=CLOSE_SECONDS)
        if not done:
            self._owner.cancel()
            await asyncio.wait([self._owner], timeout=CLOSE_SECONDS)

    async def _own(self) -> None:
        try:
            async with self._transport() as transport:
                make_client = await asyncio.to_thread(_import_client)
                async with make_client(transport) as client:
                    self.specs = self._arrived(await _listed(client, self._address.name))
                    self._opened.set_result(client)
                    await self._leave.wait()
        except asyncio.CancelledError:
            if not self._opened.done():
                self._opened.cancel()
            raise
        except Exception as error:  # top of this task: whatever the SDK or a server did, the callers hear of it
            if self._opened.done():
                log.debug("%s: closing the connection failed", self._address, exc_info=True)
            else:
                self._opened.set_exception(error)
                self._opened.exception()  # nobody may be waiting any more

    @asynccontextmanager
    async def _transport(self) -> AsyncIterator[AbstractAsyncContextManager[TransportStreams]]:
        """A child is started here, before the SDK is imported: each takes a second, and they take it together."""
        if self._address.command:
            async with ChildProcess(self._address, redacted=self._redacted) as child:
                self._child = child
                yield child.streams()
        else:
            from mcp_tools.http_transport import http_streams

            yield http_streams(self._address)

    async def _failed(self, name: str, error: MCPError, timeout_seconds: float) -> ToolError:
        from mcp_types import CONNECTION_CLOSED, REQUEST_TIMEOUT

        if error.code == REQUEST_TIMEOUT:
            if not await self._answers():
                self._broken = True
                return ServerGone(f"{name}: {self._address} hangs, it does not even list its tools{self._told()}")
            return ToolTimeout(f"{name}: no answer from {self._address} within {timeout_seconds:g} s")
        if error.code == CONNECTION_CLOSED:
            self._broken = True
            too_large = self._child is not None and self._child.too_large
            return (AnswerTooLarge if too_large else ServerGone)(
                f"{name}: {self._address} ended before it answered{self._told()}"
            )
        return ToolError(f"{name}: {self._address} answered with a protocol error: {error.message}")

    async def _answers(self) -> bool:
        """Whether it was the call that took too long, or the server that hangs."""
        from mcp import MCPError

        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await self._opened.result().list_tools(cache_mode="bypass", meta=_ALL_TOOLS)
        except (MCPError, TimeoutError):
            return False
        return True

    def _not_started(self, error: Exception) -> K8sMcpError:
        child = self._child
        if self._address.ours and child is not None and child.exit_code == USAGE_EXIT_CODE and child.last_words:
            return ConfigurationError(child.last_words.removeprefix("error: "))
        return ServerGone(f"{self._address} cannot be started: {self._told().lstrip('; ') or _first_cause(error)}")

    def _told(self) -> str:
        child = self._child
        if child is None:
            return ""
        parts = [child.failure] if child.failure else []
        if child.exit_code is not None:
            parts.append(f"exit code {child.exit_code}")
        if child.last_words:
            parts.append(f"it last wrote: {child.last_words[:300]}")
        return "; " + ", ".join(parts) if parts else ""


class ServerConnection:
    """The current run of a server, replaced when it has died."""

    def __init__(
        self, address: ServerAddress, *, start_seconds: float = START_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.address = address
        self._start_seconds = start_seconds
        self._delay = RestartDelay(clock)
        self._changing = asyncio.Lock()
        self._run: ServerRun | None = None
        self._closed = False
        self.redacted: Callable[[str], str] = str
        """What a line that the server writes to stderr passes before it is logged; our own server redacts by itself."""
        self.arrived: Callable[[Specs], Specs] = _as_they_are
        """What the tools that the server lists pass before anybody sees them."""

    @property
    def specs(self) -> Specs:
        """What the latest run listed; {} before the first."""
        return self._run.specs if self._run else {}

    @property
    def alive(self) -> bool:
        """Whether there is a run that answers, as far as is known."""
        return self._run is not None and self._run.alive

    @property
    def pid(self) -> int | None:
        """Process id of the child, when there is one."""
        return self._run.pid if self._run else None

    async def run(self) -> ServerRun:
        """A run that answers, started when there is none. Raises ServerGone while one that keeps failing is left alone."""
        async with self._changing:
            if self._closed:
                raise ServerGone(f"{self.address} was closed by this program")
            if self._run is not None and self._run.alive:
                return self._run
            await self._retire()
            if (seconds := self._delay.seconds_left()) > WORTH_WAITING_SECONDS:
                raise ServerGone(f"{self.address} keeps failing; it is started again in {seconds:.0f} s")
            await asyncio.sleep(seconds)
            return await self._start()

    async def close(self) -> None:
        """End the server; nothing can be called afterwards."""
        async with self._changing:
            self._closed = True
            if self._run is not None:
                await self._run.end()

    async def _retire(self) -> None:
        if self._run is not None:
            log.warning("%s has ended; starting it again", self.address)
            run, self._run = self._run, None
            self._delay.ended()
            await run.end()

    async def _start(self) -> ServerRun:
        run = ServerRun(self.address, self._start_seconds, self.redacted, self.arrived)
        try:
            await run.ready()
        except K8sMcpError:
            self._delay.ended()
            raise
        self._delay.started()
        self._run = run
        return run


def _as_they_are(specs: Specs) -> Specs:
    return specs


@cache
def _import_client() -> type[Client]:
    from mcp import Client

    spare_what_is_loaded()
    return Client


async def _listed(client: Client, server: str) -> dict[str, ToolSpec]:
    specs: dict[str, ToolSpec] = {}
    cursor: str | None = None
    for _ in range(100):  # a server that pages without end does not hang us
        page = await client.list_tools(cursor=cursor, meta=_ALL_TOOLS)
        specs.update((tool.name, spec_of(tool, server)) for tool in page.tools)
        cursor = page.next_cursor
        if not cursor:
            break
    return specs


def _first_cause(error: BaseException) -> str:
    """The SDK's task groups wrap what happened; the innermost error is what a person can act on."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__
