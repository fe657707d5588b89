"""The limit on scans at the same time, shared fairly between clusters."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PATIENCE_SECONDS = 5.0
"""A scan that got nothing for so long no longer keeps another cluster's scan waiting."""


class Slot:
    """Held by one scan. One without progress for PATIENCE_SECONDS is stalled, until the next."""

    def __init__(self, cluster: str, now: float) -> None:
        self.cluster = cluster
        self.progress_at = now
        self.stalled = False

    def progress(self) -> None:
        """Its cluster has answered."""
        self.progress_at = asyncio.get_running_loop().time()
        self.stalled = False


class FairSlots:
    """`limit` slots over all clusters. A free slot goes to the waiting cluster that holds the fewest.

    Where more than one cluster is known, none may hold them all, and a slot whose scan is stalled does not count towards
    the limit: however many clusters hang, the others go on. No cluster ever has more than `limit` scans.
    """

    def __init__(self, limit: int, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._limit = limit
        self._patience_seconds = patience_seconds
        self._slots: set[Slot] = set()
        self._waiting: deque[tuple[str, asyncio.Future[Slot]]] = deque()
        self._most_per_cluster = limit

    def share_between(self, clusters: int) -> None:
        """Tell how many clusters there are."""
        self._most_per_cluster = self._limit if clusters < 2 else max(1, self._limit - 1)

    @asynccontextmanager
    async def slot(self, cluster: str) -> AsyncIterator[Slot]:
        """Hold a slot for `cluster` inside the block; waits until there is one. Tell the slot of each progress."""
        slot = await self._acquire(cluster)
        try:
            yield slot
        finally:
            self._release(slot)

    async def _acquire(self, cluster: str) -> Slot:
        granted: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        self._waiting.append((cluster, granted))
        self._grant()
        try:
            return await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():  # granted and cancelled in the same moment: give it back
                self._release(granted.result())
            raise

    def _release(self, slot: Slot) -> None:
        self._slots.discard(slot)
        self._grant()

    def _grant(self) -> None:
        loop = asyncio.get_running_loop()
        while sum(not slot.stalled for slot in self._slots) < self._limit:
            chosen = self._next()
            if chosen is None:
                return
            self._waiting.remove(chosen)
            slot = Slot(chosen[0], loop.time())
            self._slots.add(slot)
            loop.call_later(self._patience_seconds, self._look_at, slot)
            chosen[1].set_result(slot)

    def _look_at(self, slot: Slot) -> None:
        if slot not in self._slots:
            return
        loop = asyncio.get_running_loop()
        left = slot.progress_at + self._patience_seconds - loop.time()
        if left <= 0 and not slot.stalled:
            slot.stalled = True
            self._grant()
        loop.call_later(left if left > 0 else self._patience_seconds, self._look_at, slot)

    def _next(self) -> tuple[str, asyncio.Future[Slot]] | None:
        held = Counter(slot.cluster for slot in self._slots)
        waiting = [entry for entry in self._waiting if not entry[1].done() and held[entry[0]] < self._most_per_cluster]
        return min(waiting, key=lambda entry: held[entry[0]], default=None)
