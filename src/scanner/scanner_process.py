"""The start of a scanner process: what can be refused is refused, and the MCP server starts while the rest is imported."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from cache.connection import check_database_path
from cache.scan_lock import lock_holder
from configuration.errors import LockHeld
from kinds.kind import Kind
from mcp_tools.mapped_loader import loader_of_programs
from scanner.settings import ScannerSettings

if TYPE_CHECKING:
    from scanner.assembly import ScannerParts


@asynccontextmanager
async def scanner_process(
    settings: ScannerSettings,
    kinds: Mapping[str, Kind],
    *,
    environment: Mapping[str, str],
    check_credentials: bool = False,
    further: Sequence[str] = (),
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[ScannerParts]:
    """A scanner, ready to scan; leaving it cancels running scans and ends the MCP server.

    Raises ConfigurationError and LockHeld before anything is written; for `check_credentials` and `further` see `assembled`.
    """
    path = settings.cache_db_path
    check_database_path(path, create_parent=settings.default_database)
    if (holder := lock_holder(path)) is not None:
        raise LockHeld(f"another scanner (pid {holder}) works on {path}; let it, or stop it: `scanner status` shows what it does")
    async with loader_of_programs(settings, environment=environment) as loader:
        loader.begin()
        await asyncio.to_thread(_import_the_rest)
        from scanner.assembly import assembled

        async with assembled(loader, settings, kinds, check_credentials=check_credentials, further=further, clock=clock) as parts:
            yield parts


def _import_the_rest() -> None:
    """SQLAlchemy and all that writes: half a second in which the MCP server can start."""
    import scanner.assembly  # noqa: F401
