"""What can be kept up by its changes, and who follows it: one follower for each cluster."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

from cache.freshness import Freshness
from configuration.errors import NotPermitted
from kinds.kind import Kind
from mcp_tools.tool_loader import ToolLoader
from scanner.change_feed import LIST_CHANGES, ChangeFeed
from scanner.cluster_follower import ClusterFollower, FollowerEvents, is_answer
from scanner.kept_scope import KeptScope, kept_scope
from scanner.kind_check import COUNT_OBJECTS, KindCheck, Verification
from scanner.retry_delays import RetryDelays
from scanner.schedule import scopes_kept_up

log = logging.getLogger(__name__)

Rows = Mapping[str, Sequence[Freshness]]
"""Kind name -> its rows of all scopes, of one cluster."""


class KeepingUp:
    """`follow` False: changes are caught up with when a kind is due, and nothing is followed."""

    def __init__(
        self,
        loader: ToolLoader,
        feed: ChangeFeed,
        check: KindCheck,
        *,
        follow: bool,
        freshness_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._loader = loader
        self._feed = feed
        self._check = check
        self._follow = follow
        self._freshness_seconds = freshness_seconds
        self._clock = clock
        self._offered = False
        self._unwatchable = RetryDelays()
        self._followers: dict[str, tuple[ClusterFollower, asyncio.Task[None]]] = {}

    async def look_for_tools(self) -> None:
        """Whether the server can tell changes and count: one that is not ours may not."""
        offered = {LIST_CHANGES, COUNT_OBJECTS} <= set(await self._loader.connect())
        if offered != self._offered and not offered:
            log.info("the MCP server offers neither changes nor counts: every kind is listed at its interval")
        self._offered = offered

    def by_changes(self, cluster: str, kind: str) -> bool:
        """Whether a kind of a cluster can be kept up by its changes."""
        return self._offered and self._unwatchable.may_try((cluster, kind), self._clock())

    def not_watchable(self, cluster: str, kind: str, error: NotPermitted) -> None:
        """The credentials may not watch it: it is listed at its interval, and watching tried again much later."""
        log.info("%s %s may not be watched, it is listed at its interval: %s", cluster, kind, error)
        self._unwatchable.failed((cluster, kind), self._clock(), permitted=False)

    # --- followers

    def follow(self, cluster: str, events: FollowerEvents, kinds: Iterable[Kind], rows: Rows) -> None:
        """Follow these kinds of a cluster from what is stored of them; what is followed already goes on as it is."""
        if not (self._follow and self._offered):
            return
        follower = self._follower(cluster, events)
        for kind in kinds:
            if not self.by_changes(cluster, kind.name):
                continue
            for row in scopes_kept_up(rows.get(kind.name, ())):
                if follower.state((kind.name, row.scope)) is None and _leads_on(row):
                    follower.follow(kept_scope(kind, row))

    def followed(self, cluster: str) -> set[str]:
        """Names of the kinds that are followed."""
        known = self._followers.get(cluster)
        return known[0].kinds() if known else set()

    async def release(self, cluster: str, names: Collection[str]) -> None:
        """Follow these no longer; nothing of them is on its way into the cache afterwards."""
        if known := self._followers.get(cluster):
            await known[0].release(names)

    async def stop(self, but: Collection[str] = ()) -> None:
        """End the followers of all clusters but these."""
        ended = [self._followers.pop(cluster)[1] for cluster in list(self._followers) if cluster not in but]
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)

    def _follower(self, cluster: str, events: FollowerEvents) -> ClusterFollower:
        known = self._followers.get(cluster)
        if known is not None and not known[1].done():
            return known[0]
        follower = ClusterFollower(cluster, self._feed, events, freshness_seconds=self._freshness_seconds)
        self._followers[cluster] = follower, asyncio.create_task(follower.run(), name=f"follow:{cluster}")
        return follower

    # --- catch-up and check

    async def verify(self, cluster: str, kinds: Sequence[Kind], rows: Rows) -> list[Verification]:
        """Catch up with these kinds and compare their numbers. What is followed is verified on its way.

        Raises K8sMcpError when the cluster did not answer at all.
        """
        async with self._held_still(cluster) as follower:
            followed: list[KeptScope] = []
            others: list[KeptScope] = []
            for kind in kinds:
                for row in scopes_kept_up(rows.get(kind.name, ())):
                    state = follower.state((kind.name, row.scope)) if follower else None
                    (others if state is None else followed).append(state or kept_scope(kind, row))
            checks = await self._check.verify(cluster, followed, hold=True) if followed else []
            if follower is not None:
                fine = [check.state for check in checks if check.checked_at and check.state.live]
                follower.answered(fine, [check.state for check in checks if is_answer(check.error, check.lost)])
        if others:
            checks += await self._check.verify(cluster, others, hold=False)
        return checks

    @asynccontextmanager
    async def _held_still(self, cluster: str) -> AsyncIterator[ClusterFollower | None]:
        known = self._followers.get(cluster)
        if known is None:
            yield None
            return
        async with known[0].held_still():
            yield known[0]


def _leads_on(row: Freshness) -> bool:
    """Whether there is a LIST to build on, of a kind that was served when it was last asked for (else its error is "")."""
    return bool(row.resource_version) and row.last_full_at is not None and row.permitted is not False and row.last_error != ""
