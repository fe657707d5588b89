"""A scanner inside the test: real MCP server, real database, real cluster, and a coordinator that the test ticks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cache.cache_manager import CacheManager
from kinds.kind import Kind
from kinds.registry import KINDS
from mcp_tools.settings import McpSettings
from mcp_tools.tool_loader import ToolLoader, ToolResult
from scan_fixtures import query, stored_versions
from scanner.assembly import ScannerParts, assembled
from scanner.scan_coordinator import ScanCoordinator
from scanner.scan_report import KindReport
from scanner.settings import ScannerSettings

TICK_SECONDS = 0.5


class Meddler:
    """Stands in front of a loader; `change(name, arguments, result)` may look at an answer, replace it, or raise."""

    def __init__(self, loader: ToolLoader) -> None:
        self.loader = loader
        self.change: Callable[[str, Mapping[str, Any], ToolResult], ToolResult] | None = None
        self.without: set[str] = set()
        """Tools that this server does not have."""
        self.calls: list[tuple[str, Mapping[str, Any]]] = []

    async def connect(self) -> Mapping[str, Any]:
        return {name: spec for name, spec in (await self.loader.connect()).items() if name not in self.without}

    async def call(self, name: str, arguments: Mapping[str, Any], *, timeout_seconds: float = 30) -> ToolResult:
        self.calls.append((name, arguments))
        result = await self.loader.call(name, arguments, timeout_seconds=timeout_seconds)
        return self.change(name, arguments, result) if self.change is not None else result


@dataclass
class Following:
    """What a test looks at."""

    parts: ScannerParts
    loader: ToolLoader
    meddler: Meddler
    cluster: str
    reports: list[KindReport] = field(default_factory=list)
    batches: list[tuple[str, int, int, int, float | None]] = field(default_factory=list)

    @property
    def coordinator(self) -> ScanCoordinator:
        return self.parts.coordinator

    @property
    def cache(self) -> CacheManager:
        return self.parts.cache

    @property
    def database(self) -> Path:
        return self.parts.cache.path

    def stored(self, kind: str) -> set[tuple[str, str]]:
        return stored_versions(self.database, kind, self.cluster)

    def names(self, kind: str) -> set[str]:
        return {name for (name,) in query(self.database, f'SELECT name FROM "{kind}" WHERE cluster = ?', self.cluster)}

    def metadata(self, kind: str, column: str, scope: str = "") -> Any:
        rows = query(
            self.database,
            f"SELECT {column} FROM cache_metadata WHERE cluster = ? AND kind = ? AND scope = ?",
            self.cluster,
            kind,
            scope,
        )
        return rows[0][0] if rows else None

    def lists(self, kind: str) -> int:
        """How many LISTs of a kind came to an end."""
        return sum(report.kind == kind and report.strategy == "list" for report in self.reports)


@asynccontextmanager
async def following(
    kubeconfig: Path, folder: Path, *, kinds: tuple[str, ...] = ("pods", "configmaps", "namespaces"),
    tick_seconds: float = TICK_SECONDS, clock: Callable[[], float] = time.time, wait: bool = True,
    environment: Mapping[str, str] | None = None, meddle: Callable[[Meddler], None] | None = None, **settings: Any,
) -> AsyncIterator[Following]:  # fmt: skip
    """Ticks every `tick_seconds`; `wait` for the first LIST of every kind, and for the followers to have begun."""
    chosen: dict[str, Kind] = {name: KINDS[name] for name in kinds}
    values = {"cache_db_path": folder / "cache.db", "redaction_key_file": folder / "key", **settings}
    given = {"KUBECONFIG": str(kubeconfig), "PATH": "/usr/bin:/bin", "HOME": str(folder)} | dict(environment or {})
    async with ToolLoader(
        McpSettings(redaction_key_file=folder / "key"), environment=given | {"REDACTION_KEY_FILE": str(folder / "key")}
    ) as loader:
        meddler = Meddler(loader)
        if meddle is not None:
            meddle(meddler)
        async with assembled(meddler, ScannerSettings(**values), chosen, clock=clock) as parts:  # type: ignore[arg-type]
            found = Following(parts, loader, meddler, parts.contexts[0])
            parts.coordinator.on_report = found.reports.append
            parts.coordinator.on_changes = lambda _, *batch: found.batches.append(batch)
            ticking = asyncio.create_task(_tick(parts.coordinator, clock, tick_seconds))
            try:
                if wait:
                    await eventually(
                        lambda: all(found.metadata(kind, "complete") for kind in kinds) and not parts.coordinator.running,
                        "a first LIST of every kind, and its report",
                    )
                yield found
            finally:
                ticking.cancel()
                await asyncio.gather(ticking, return_exceptions=True)


async def _tick(coordinator: ScanCoordinator, clock: Callable[[], float], seconds: float) -> None:
    while True:
        coordinator.tick(clock())
        coordinator.serve_requests()
        await asyncio.sleep(seconds)


async def eventually(holds: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """Poll until it holds; in the words of `what` when it does not."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain for {what}"
        await asyncio.sleep(0.02)
    return found
