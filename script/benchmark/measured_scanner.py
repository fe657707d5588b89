"""A scanner within this process, as its command puts it together, and what it costs: seconds, CPU, bytes written."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cost:
    """`cpu_seconds` of the scanner and its MCP server together; `wal_bytes` written to the database's log."""

    seconds: float
    cpu_seconds: float
    wal_bytes: int


@dataclass(slots=True)
class MeasuredScanner:
    """`parts` are those of a running scanner (scanner.assembly)."""

    parts: Any
    database: Path

    async def scan(self, *, full: bool) -> tuple[Any, Cost]:
        """One round over all kinds of all contexts, and what it cost."""
        coordinator, kinds = self.parts.coordinator, list(self._kinds())
        return await self.costing(lambda: coordinator.scan_once(self.parts.contexts, kinds, full=full, skip_absent=not full))

    async def costing(self, work: Callable[[], Any]) -> tuple[Any, Cost]:
        """Do something, and say what it cost."""
        empty_log(self.database)
        started, cpu = time.perf_counter(), self.cpu_seconds()
        result = await work()
        return result, Cost(time.perf_counter() - started, self.cpu_seconds() - cpu, log_bytes(self.database))

    def cpu_seconds(self) -> float:
        return time.process_time() + cpu_seconds_of(self.parts.loader.server_pid)

    @staticmethod
    def _kinds() -> Any:
        from kinds.registry import KINDS

        return KINDS.values()


@asynccontextmanager
async def measured_scanner(environment: Mapping[str, str], database: Path, **settings: Any) -> AsyncIterator[MeasuredScanner]:
    """A scanner on `database`, with the settings of the environment and these."""
    from kinds.registry import KINDS
    from mcp_tools.tool_loader import ToolLoader
    from scanner.assembly import assembled
    from scanner.settings import ScannerSettings

    values = {"cache_db_path": database, "redaction_key_file": database.parent / "redaction.key"}
    chosen = ScannerSettings(**(values | settings))
    async with ToolLoader(chosen, environment=environment) as loader, assembled(loader, chosen, KINDS) as parts:
        yield MeasuredScanner(parts, database)


def cpu_seconds_of(pid: int | None) -> float:
    """User and system time of a process."""
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def empty_log(database: Path) -> None:
    """Move what is in the write-ahead log into the database, so that what comes next can be counted."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def log_bytes(database: Path) -> int:
    """Size of the write-ahead log."""
    log = Path(f"{database}-wal")
    return log.stat().st_size if log.exists() else 0
