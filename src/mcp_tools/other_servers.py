"""The servers of MCP_SERVERS_FILE together: each with a loader of its own, so that none waits for another.

Tools are named `server__tool` from here on. A server that is slow, dead or wrong costs its own tools only.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from configuration.command_line import one_line
from configuration.errors import K8sMcpError, UnknownTool
from mcp_tools.qualified_names import qualified, server_of
from mcp_tools.server_connection import ServerConnection
from mcp_tools.tool_loader import ToolLoader

if TYPE_CHECKING:
    from mcp_tools.server_address import ServerAddress
    from mcp_tools.settings import McpSettings
    from mcp_tools.tool_spec import ToolResult, ToolSpec

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 3.0
"""How long the first look at the tools waits for servers to start; one that is slower is there at the next look."""

State = Literal["not started", "starting", "connected", "failed"]


@dataclass(frozen=True, slots=True)
class ServerState:
    """One server as `main doctor` tells of it. `problem` is "" unless it failed."""

    name: str
    address: str
    state: State
    tools: int = 0
    problem: str = ""


@dataclass(slots=True)
class _Server:
    address: ServerAddress
    loader: ToolLoader
    starting: asyncio.Task[None] | None = None
    problem: str = ""
    names: dict[str, str] = field(default_factory=dict)
    """Qualified name -> the server's own."""

    def specs(self) -> dict[str, ToolSpec]:
        """By qualified name, as last listed."""
        specs = {qualified(self.address.name, name): spec for name, spec in self.loader.tools.items()}
        self.names = {name: spec.name for name, spec in specs.items()}
        return {name: replace(spec, name=name) for name, spec in specs.items()}

    @property
    def state(self) -> ServerState:
        starting = self.starting is not None and not self.starting.done()
        state: State = "not started"
        if self.loader.connected:
            state = "connected"
        elif self.problem:
            state = "failed"
        elif starting:
            state = "starting"
        return ServerState(self.address.name, str(self.address), state, len(self.loader.tools), self.problem)


class OtherServers:
    """Nothing is started before `begin` or a call. Use it from one event loop; `close` leaves no process behind."""

    def __init__(
        self,
        addresses: Sequence[ServerAddress],
        settings: McpSettings,
        *,
        environment: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._began_at: float | None = None
        self._servers = {
            address.name: _Server(
                address,
                ToolLoader(settings, environment=environment, connection=ServerConnection(address, clock=clock), clock=clock),
            )
            for address in addresses
        }

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._servers)

    def begin(self) -> None:
        """Start what is not running, in the background; one that keeps failing is left alone as long as its back-off says."""
        if self._began_at is None:
            self._began_at = self._clock()
        for server in self._servers.values():
            if not server.loader.connected and (server.starting is None or server.starting.done()):
                server.starting = asyncio.create_task(self._start(server), name=f"start:{server.address.name}")

    async def specs(self, patience_seconds: float = PATIENCE_SECONDS) -> dict[str, ToolSpec]:
        """The tools of the servers that answer, by qualified name.

        Waits until all have started or failed, but no longer than `patience_seconds` after the first `begin`.
        """
        self.begin()
        starting = [one.starting for one in self._servers.values() if one.starting is not None and not one.starting.done()]
        left = patience_seconds - (self._clock() - (self._began_at or 0.0))
        if starting:
            # even without patience: one turn of the loop, for those that are done but for their last step
            await asyncio.wait(starting, timeout=max(0.0, left))
        return {name: spec for server in self._servers.values() for name, spec in server.specs().items()}

    async def settled(self, timeout_seconds: float) -> tuple[ServerState, ...]:
        """The states once every server has started or failed, or the time is over."""
        await self.specs((self._clock() - self._began_at if self._began_at is not None else 0.0) + timeout_seconds)
        return self.states()

    def states(self) -> tuple[ServerState, ...]:
        """How each is doing now, in the file's order."""
        return tuple(server.state for server in self._servers.values())

    async def call(self, name: str, arguments: Mapping[str, Any], *, timeout_seconds: float = 30) -> ToolResult:
        """Call a tool by its qualified name. Raises what ToolLoader.call raises."""
        server = self._servers.get(server_of(name))
        if server is None:
            raise UnknownTool(
                f"no tool is called {name[:80]!r}; servers of MCP_SERVERS_FILE: {', '.join(self._servers) or 'none'}"
            )
        await server.loader.connect()
        specs = server.specs()
        if name not in specs:
            raise UnknownTool(
                f"MCP server {server.address.name} has no tool {name[:80]!r}; it has {', '.join(sorted(specs))[:600]}"
            )
        server.problem = ""
        return await server.loader.call(server.names[name], arguments, timeout_seconds=timeout_seconds)

    async def close(self) -> None:
        """End all servers at once."""
        starting = [server.starting for server in self._servers.values() if server.starting is not None]
        for task in starting:
            task.cancel()
        await asyncio.gather(*starting, return_exceptions=True)
        await asyncio.gather(*(server.loader.close() for server in self._servers.values()), return_exceptions=True)

    async def _start(self, server: _Server) -> None:
        before, server_problem = server.problem, ""
        try:
            await server.loader.connect()
        except K8sMcpError as error:
            server_problem = one_line(error)
        except Exception as error:  # top of this task: a defect costs this server, not the others
            log.exception("%s: unexpected failure", server.address)
            server_problem = f"unexpected {type(error).__name__}"
        server.problem = server_problem
        if server_problem and not before:
            log.warning("%s; its tools are left out", server_problem)
