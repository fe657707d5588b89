"""The limit on scans at the same time, shared fairly between clusters."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class FairSlots:
    """`limit` slots over all clusters. A free slot goes to the waiting cluster that holds the fewest.

    Where more than one cluster is known, none may hold them all: one that hangs leaves a slot to the others.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: Counter[str] = Counter()
        self._waiting: deque[tuple[str, asyncio.Future[None]]] = deque()
        self._most_per_cluster = limit

    def share_between(self, clusters: int) -> None:
        """Tell how many clusters there are."""
        self._most_per_cluster = self._limit if clusters < 2 else max(1, self._limit - 1)

    @asynccontextmanager
    async def slot(self, cluster: str) -> AsyncIterator[None]:
        """Hold a slot for `cluster` inside the block; waits until there is one."""
        await self._acquire(cluster)
        try:
            yield
        finally:
            self._held[cluster] -= 1
            self._grant()

    async def _acquire(self, cluster: str) -> None:
        granted = asyncio.get_running_loop().create_future()
        self._waiting.append((cluster, granted))
        self._grant()
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():  # granted and cancelled in the same moment: give it back
                self._held[cluster] -= 1
                self._grant()
            raise

    def _grant(self) -> None:
        while self._held.total() < self._limit:
            chosen = self._next()
            if chosen is None:
                return
            self._waiting.remove(chosen)
            self._held[chosen[0]] += 1
            chosen[1].set_result(None)

    def _next(self) -> tuple[str, asyncio.Future[None]] | None:
        waiting = [entry for entry in self._waiting if not entry[1].done() and self._held[entry[0]] < self._most_per_cluster]
        return min(waiting, key=lambda entry: self._held[entry[0]], default=None)
