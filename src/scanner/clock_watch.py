"""A clock that is set back would leave the daemon waiting for times that are an hour away again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from apscheduler.schedulers.base import BaseScheduler

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
SMALLEST_STEP_SECONDS = 2.0


async def run_jobs_when_the_clock_is_set(
    scheduler: BaseScheduler,
    *,
    wall: Callable[[], float] = time.time,
    steady: Callable[[], float] = time.monotonic,
    look_seconds: float = LOOK_SECONDS,
) -> None:
    """Run every job at once whenever the wall clock has left the steady one; until cancelled.

    The scheduler keeps the times of its jobs by the wall clock, and would sleep through the step.
    """
    offset = wall() - steady()
    while True:
        await asyncio.sleep(look_seconds)
        step = wall() - steady() - offset
        if abs(step) >= SMALLEST_STEP_SECONDS:
            offset += step
            log.warning("the clock was set by %+.0f s; what is due is looked up anew", step)
            for job in scheduler.get_jobs():
                job.modify(next_run_time=datetime.now(UTC))
