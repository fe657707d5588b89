"""When a server that keeps failing may be started again."""

from __future__ import annotations

import random
from collections.abc import Callable

LONGEST_SECONDS = 60.0
STABLE_SECONDS = 60.0
"""A server that ran this long before it died did not die of its start."""


class RestartDelay:
    """Exponential back-off with jitter: the first restart is immediate, then 1, 2, 4 … 60 s apart."""

    def __init__(self, clock: Callable[[], float], jitter: Callable[[], float] = random.random) -> None:
        self._clock = clock
        self._jitter = jitter
        self._failures = 0
        self._not_before = 0.0
        self._started_at: float | None = None

    def seconds_left(self) -> float:
        """0 when a start may be tried now."""
        return max(0.0, self._not_before - self._clock())

    def started(self) -> None:
        """It runs; only time will show whether it stays up."""
        self._started_at = self._clock()

    def ended(self) -> None:
        """A start failed, or a running server died."""
        now = self._clock()
        if self._started_at is not None and now - self._started_at >= STABLE_SECONDS:
            self._failures = 0
        self._started_at = None
        self._failures += 1
        if self._failures > 1:
            seconds = min(LONGEST_SECONDS, 2.0 ** (self._failures - 2))
            self._not_before = now + seconds * (0.5 + self._jitter() / 2)
