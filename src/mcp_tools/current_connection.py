"""The connection of one context: made at the first request, anew when its credentials change, and a failed login remembered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from configuration.errors import ConfigurationError, K8sMcpError
from mcp_tools.api_connection import Connection, connect, files_of_login
from mcp_tools.credential_plugin import ToldLines
from mcp_tools.kubeconfig import SERVICE_ACCOUNT, FileStamp, KubeConfig, KubeConfigSource, file_stamp

LOGIN_FAILED_SECONDS = 10.0
"""So long a failed login is the answer to every request: a follower of forty kinds would run an expired plugin without end.
Whoever logs in again waits no longer than this."""

Stamps = Mapping[Path, FileStamp | None]


@dataclass(frozen=True, slots=True)
class _FailedLogin:
    """`until` is of the clock; `files` are those that a login reads, as they were before it."""

    error: K8sMcpError
    made_for: KubeConfig | None
    files: Stamps
    until: float


class CurrentConnection:
    """Used from one event loop."""

    def __init__(
        self, context: str, source: KubeConfigSource, environment: Mapping[str, str], user_agent: str, *,
        service_account: Path = SERVICE_ACCOUNT, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._context = context
        self._source = source
        self._environment = environment
        self._user_agent = user_agent
        self._service_account = service_account
        self._clock = clock
        self._connection: Connection | None = None
        self._failed: _FailedLogin | None = None
        self._told = ToldLines()
        self._connecting = asyncio.Lock()
        self._retiring: dict[asyncio.Task[None], Connection] = {}
        self._is_retired = False

    async def get(self, *, instead_of: Connection | None = None) -> Connection:
        """The connection, made anew when the kubeconfig changed, a credential runs out, or `instead_of` was refused.

        Raises ConfigurationError and Unauthorized: those of a login that failed lately, unless a file that it read changed.
        """
        async with self._connecting:
            if self._is_retired:
                raise ConfigurationError(f"context {self._context!r} was taken out of the kubeconfig meanwhile; ask again")
            config, current = self._source.current(), self._connection
            if current is not None and current is not instead_of and not current.is_outdated(config):
                return current
            self._connection = await self._logged_in(config)
            if current is not None:
                self._retire(current)
            return self._connection

    async def _logged_in(self, config: KubeConfig | None) -> Connection:
        files = {file: file_stamp(file) for file in files_of_login(config, self._context, self._service_account)}
        failed, self._failed = self._failed, None
        if failed and failed.made_for is config and failed.files == files and self._clock() < failed.until:
            self._failed = failed
            raise failed.error.with_traceback(None)  # else it grows with everyone who gets it
        try:
            return await connect(
                config, self._context, self._environment, self._user_agent,
                service_account=self._service_account, told=self._told,
            )  # fmt: skip
        except K8sMcpError as error:
            self._failed = _FailedLogin(error, config, files, self._clock() + LOGIN_FAILED_SECONDS)
            raise

    def _retire(self, connection: Connection) -> None:
        task = asyncio.create_task(connection.retire())
        self._retiring[task] = connection
        task.add_done_callback(self._retiring.pop)

    def refuse_further(self) -> None:
        """Make no connection any more."""
        self._is_retired = True

    async def end(self) -> None:
        """After `refuse_further`: close once the last request has ended."""
        async with self._connecting:  # what waits for a login gets its answer
            connection, self._connection = self._connection, None
            if connection is not None:
                self._retire(connection)
        await asyncio.gather(*self._retiring)

    async def close(self) -> None:
        """Close all connections, also those that are in use."""
        connections, self._connection = [self._connection, *self._retiring.values()], None
        tasks = list(self._retiring)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in connections:  # a task that is cancelled before it has begun closes nothing
            if connection is not None:
                await connection.close()
