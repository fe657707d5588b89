"""Writers of this process take turns, and leave others a moment.

SQLite has no queue: who waits for its lock looks again every 100 ms at the latest. A process that writes transaction
after transaction could keep another one out for as long as it likes; so after a while it pauses before the next one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LONGEST_HELD_SECONDS = 0.4
PAUSE_SECONDS = 0.11
"""More than the longest step of SQLite's busy handler (sqliteDefaultBusyCallback in its main.c: 1 to 100 ms)."""


class WriteTurns:
    """One lock for all write transactions of a database, over all threads. Not for one within another.

    `pause` takes as many seconds as it is told to, at least, and begins no transaction.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, pause: Callable[[float], None] = time.sleep) -> None:
        self._clock = clock
        self._pause = pause
        self._lock = threading.RLock()
        self._held_seconds = 0.0
        self._ended_at = -PAUSE_SECONDS

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Around one write transaction."""
        with self._lock:
            idle_seconds = self._clock() - self._ended_at
            if idle_seconds < PAUSE_SECONDS and self._held_seconds >= LONGEST_HELD_SECONDS:
                self._pause(PAUSE_SECONDS)  # whole, since on a busy machine others look later than they meant to
                idle_seconds = PAUSE_SECONDS
            if idle_seconds >= PAUSE_SECONDS:
                self._held_seconds = 0.0
            started_at = self._clock()
            try:
                yield
            finally:
                self._ended_at = self._clock()
                self._held_seconds += self._ended_at - started_at
