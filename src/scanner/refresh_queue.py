"""Refresh requests from when they are seen until they are served: one that was not is never marked as such."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection

from cache.cache_manager import CacheManager, RefreshRequest
from scanner.lost_kinds import Target


class RefreshQueue:
    """What is under way and what is done is known here only: whoever is killed meanwhile finds all of it waiting again."""

    def __init__(self, cache: CacheManager) -> None:
        self._cache = cache
        self._under_way: dict[Target, set[int]] = defaultdict(set)
        self._done: set[int] = set()
        self._tried: set[int] = set()

    async def waiting(self, clusters: Collection[str], kinds: Collection[str]) -> list[RefreshRequest]:
        """Those of these clusters and kinds for which nothing is under way, oldest first. What is done is marked before."""
        if done := set(self._done):
            await asyncio.to_thread(self._cache.mark_served, done)
            self._done -= done
        found = await asyncio.to_thread(self._cache.waiting_requests, clusters, kinds)
        self._tried &= {request.id for request in found}
        taken = self._done.union(*self._under_way.values())
        return [request for request in found if request.id not in taken]

    def was_tried(self, request: RefreshRequest) -> bool:
        """Whether it failed before."""
        return request.id in self._tried

    def begin(self, request: RefreshRequest) -> None:
        """A scan begins that is younger than the request."""
        self._tried.add(request.id)
        self._under_way[request.cluster, request.kind].add(request.id)

    def finished(self, target: Target, *, answered: bool) -> bool:
        """A scan has ended; unless the API server `answered`, its requests wait again. Whether any is to be marked."""
        requests = self._under_way.pop(target, set())
        if answered:
            self._done |= requests
        return answered and bool(requests)
