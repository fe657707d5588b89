"""`scanner run`: the foreground daemon. A scheduler calls the coordinator; nothing here decides what is due."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from datetime import UTC, datetime

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from configuration.errors import K8sMcpError
from kinds.registry import KINDS
from scanner.assembly import ScannerParts
from scanner.clock_watch import run_jobs_when_the_clock_is_set
from scanner.scanner_process import scanner_process
from scanner.settings import ScannerSettings
from scanner.stop_signals import stopped_by_signals

log = logging.getLogger(__name__)

LONGEST_TICK_SECONDS = 60.0
TICK_FRACTION = 0.05
"""A kind is due at 0.8 of its TTL. A tick every 0.05 of the shortest one leaves 0.15 of it for the scan itself."""
REQUEST_POLL_SECONDS = 1.0
MISFIRE_SECONDS = 30


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
    with stopped_by_signals(exit_code=0):
        async with scanner_process(settings, KINDS, environment=os.environ) as parts:
            log.info("scanning %s into %s", ", ".join(parts.contexts), settings.cache_db_path)
            scheduler = _scheduler(parts)
            scheduler.start()
            try:
                await run_jobs_when_the_clock_is_set(scheduler)
            finally:
                scheduler.shutdown(wait=False)
                await parts.coordinator.stop()
                await _heartbeat(parts, stopped=True)


def _scheduler(parts: ScannerParts) -> AsyncIOScheduler:
    scheduler = AsyncIOScheduler(timezone="UTC", job_defaults={"coalesce": True, "misfire_grace_time": MISFIRE_SECONDS})

    async def tick() -> None:
        parts.coordinator.tick(time.time())
        try:
            await _heartbeat(parts)
        except asyncio.CancelledError:  # stopped in between: APScheduler would print a traceback
            return

    async def serve_requests() -> None:
        parts.coordinator.serve_requests()

    scheduler.add_job(tick, "interval", seconds=tick_seconds(parts.settings), next_run_time=datetime.now(UTC))
    scheduler.add_job(serve_requests, "interval", seconds=REQUEST_POLL_SECONDS)
    return scheduler


async def _heartbeat(parts: ScannerParts, *, stopped: bool = False) -> None:
    try:
        await asyncio.to_thread(parts.cache.record_scanner, stopped=stopped)
    except K8sMcpError as error:
        log.warning("the heartbeat cannot be written: %s", error)
