"""`scanner run`: the foreground daemon. A scheduler calls the coordinator; nothing here decides what is due."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from configuration.errors import K8sMcpError
from kinds.registry import KINDS
from scanner.assembly import ScannerParts
from scanner.clock_watch import run_jobs_when_the_clock_is_set
from scanner.scan_report import KindReport
from scanner.scanner_process import scanner_process
from scanner.settings import ScannerSettings
from scanner.stop_signals import stopped_by_signals
from scanner.systemd_notify import ServiceManager

if TYPE_CHECKING:
    from scanner.metrics import ScannerMetrics

log = logging.getLogger(__name__)

LONGEST_TICK_SECONDS = 60.0
TICK_FRACTION = 0.05
"""A kind is due at 0.8 of its TTL. A tick every 0.05 of the shortest one leaves 0.15 of it for the scan itself."""
REQUEST_POLL_SECONDS = 1.0
MISFIRE_SECONDS = 30
SHOWN_FAILURES = 5


def run(settings: ScannerSettings) -> None:
    """Scan until SIGTERM or SIGINT. Raises ConfigurationError and LockHeld at the start."""
    try:
        asyncio.run(_run(settings))
    except KeyboardInterrupt:
        log.info("stopped")


def tick_seconds(settings: ScannerSettings) -> float:
    """Every minute, or more often where an interval or a TTL is so short that a minute would leave it stale."""
    shortest = min(
        settings.scanner_static_interval,
        settings.scanner_dynamic_interval,
        settings.cache_static_ttl,
        settings.cache_dynamic_ttl,
    )
    return max(1.0, min(LONGEST_TICK_SECONDS, shortest * TICK_FRACTION))


async def _run(settings: ScannerSettings) -> None:
    manager = ServiceManager(os.environ)
    with stopped_by_signals(exit_code=0), _metrics(settings) as metrics:
        async with scanner_process(settings, KINDS, environment=os.environ) as parts:
            log.info("scanning %s into %s", ", ".join(parts.contexts), settings.cache_db_path)
            watch = DaemonWatch(parts, manager, metrics)
            scheduler = _scheduler(parts, watch)
            scheduler.start()
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(run_jobs_when_the_clock_is_set(scheduler))
                    group.create_task(manager.feed_watchdog(lambda: parts.coordinator.progress_at))
            finally:
                manager.tell(STOPPING=1)
                scheduler.shutdown(wait=False)
                await parts.coordinator.stop()
                await _heartbeat(parts, stopped=True)


class DaemonWatch:
    """Tells the service manager and the metrics what the daemon does."""

    def __init__(self, parts: ScannerParts, manager: ServiceManager, metrics: ScannerMetrics | None) -> None:
        self._manager = manager
        self._metrics = metrics
        self._contexts = parts.contexts
        self._failing: set[tuple[str, str]] = set()
        self._is_ready = False
        self._coordinator = parts.coordinator
        self._moved_at: float | None = None
        parts.coordinator.on_report = self._reported
        if metrics is not None:
            from cache.cache_reader import CacheReader

            parts.coordinator.on_changes = metrics.on_changes
            parts.coordinator.on_usage = metrics.on_usage
            metrics.show_cache(CacheReader(parts.settings.cache_db_path).freshness_all, lambda: self.clusters)

    @property
    def clusters(self) -> Sequence[str]:
        """Those that are scanned now. When all have gone, the ones that there were: somebody should hear of it."""
        return self._coordinator.clusters or self._contexts

    def has_moved(self) -> bool:
        """Whether a round has come to its end since this was last asked; the first time always."""
        before, self._moved_at = self._moved_at, self._coordinator.progress_at
        return before != self._moved_at

    def ticked(self) -> None:
        """A round has been started, the one before has ended, and the database is open."""
        if not self._is_ready:
            self._is_ready = True
            self._manager.tell(READY=1)
        self._failing = {target for target in self._failing if target[0] in self.clusters}
        self._manager.tell(STATUS=self.text())
        if self._metrics is not None:
            self._metrics.on_tick(self.clusters)

    def text(self) -> str:
        """One line for `systemctl status`."""
        failing = sorted(f"{cluster} {kind}" for cluster, kind in self._failing)
        more = f" and {len(failing) - SHOWN_FAILURES} more" if len(failing) > SHOWN_FAILURES else ""
        trouble = f"; failing: {', '.join(failing[:SHOWN_FAILURES])}{more}" if failing else ""
        return f"scanning {', '.join(sorted(self.clusters))}{trouble}"

    def _reported(self, report: KindReport) -> None:
        target = report.cluster, report.kind
        if report.outcome == "failed":
            self._failing.add(target)
        else:
            self._failing.discard(target)
        if self._metrics is not None:
            self._metrics.on_report(report)


@contextmanager
def _metrics(settings: ScannerSettings) -> Iterator[ScannerMetrics | None]:
    """Served while the block runs, when a port is set. Raises ConfigurationError before anything else has begun."""
    if not settings.scanner_metrics_port:
        yield None
        return
    from scanner.metrics import MetricsServer, ScannerMetrics

    metrics = ScannerMetrics()
    server = MetricsServer(settings.scanner_metrics_port, metrics.registry)
    try:
        yield metrics
    finally:
        server.close()


def _scheduler(parts: ScannerParts, watch: DaemonWatch) -> AsyncIOScheduler:
    scheduler = AsyncIOScheduler(timezone="UTC", job_defaults={"coalesce": True, "misfire_grace_time": MISFIRE_SECONDS})

    async def tick() -> None:
        with suppress(asyncio.CancelledError):  # stopped in between: APScheduler would print a traceback
            await hand_out(parts, watch)

    async def serve_requests() -> None:
        parts.coordinator.serve_requests()

    scheduler.add_job(tick, "interval", seconds=tick_seconds(parts.settings), next_run_time=datetime.now(UTC))
    scheduler.add_job(serve_requests, "interval", seconds=REQUEST_POLL_SECONDS)
    return scheduler


async def hand_out(parts: ScannerParts, watch: DaemonWatch) -> None:
    """Start a round, and leave the signs of life if the one before has come to its end."""
    parts.coordinator.tick(time.time())
    if watch.has_moved():
        await _heartbeat(parts)
        watch.ticked()


async def _heartbeat(parts: ScannerParts, *, stopped: bool = False) -> None:
    try:
        await asyncio.to_thread(parts.cache.record_scanner, stopped=stopped)
    except K8sMcpError as error:
        log.warning("the heartbeat cannot be written: %s", error)
