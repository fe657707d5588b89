"""Bounds on what callers over HTTP may ask at once, and on how often they may fail to authenticate."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass


class Busy(Exception):
    """All slots are taken and the queue is full, or the wait took too long."""


class CallSlots:
    """At most `running` at once, `waiting` more in line, each for `wait_seconds` at most."""

    def __init__(self, running: int, *, waiting: int, wait_seconds: float) -> None:
        self._free = asyncio.Semaphore(running)
        self._most_waiting = waiting
        self._wait_seconds = wait_seconds
        self.waiting = 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Raises Busy."""
        await self._take()
        try:
            yield
        finally:
            self._free.release()

    async def _take(self) -> None:
        if not self._free.locked():
            await self._free.acquire()
            return
        if self.waiting >= self._most_waiting:
            raise Busy
        self.waiting += 1
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._free.acquire()
        except TimeoutError:
            raise Busy from None
        finally:
            self.waiting -= 1


@dataclass(slots=True)
class _Allowance:
    left: float
    at: float
    told_at: float = float("-inf")


class FailedLogins:
    """A bucket of failures for each address: `burst` at once, then one in `seconds_each`.

    What is bounded is failing: a right token is let in always, or whoever reaches the port could lock everybody else out. The
    addresses that are remembered are bounded too, the longest unseen is forgotten first.
    """

    def __init__(
        self, *, burst: int = 10, seconds_each: float = 6.0, addresses: int = 1024, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst = burst
        self._seconds_each = seconds_each
        self._most = addresses
        self._clock = clock
        self._known: OrderedDict[str, _Allowance] = OrderedDict()

    def failed(self, address: str) -> float:
        """Count a failure. -> 0 when it was within the allowance, else the seconds until the next one is."""
        now = self._clock()
        allowance = self._of(address, now)
        allowance.left = min(self._burst, allowance.left + (now - allowance.at) / self._seconds_each)
        allowance.at = now
        if allowance.left >= 1:
            allowance.left -= 1
            return 0.0
        return (1 - allowance.left) * self._seconds_each

    def worth_a_line(self, address: str) -> bool:
        """Whether the log has had no line about this address for a minute."""
        now = self._clock()
        allowance = self._of(address, now)
        if now - allowance.told_at < 60:
            return False
        allowance.told_at = now
        return True

    def __len__(self) -> int:
        return len(self._known)

    def _of(self, address: str, now: float) -> _Allowance:
        allowance = self._known.setdefault(address, _Allowance(self._burst, now))
        self._known.move_to_end(address)
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return allowance
