"""Whether the cache holds as many objects as the API server, at a few milliseconds a kind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from configuration.errors import ClusterError, K8sMcpError, ToolError
from mcp_tools.tool_loader import ToolLoader
from scanner.change_answers import Count, CountsAnswer, decoded
from scanner.change_feed import ANSWER_SECONDS, MOST_WATCHES, ChangeFeed, Strategy, Taken
from scanner.kept_scope import KeptScope, ScopeKey

COUNT_OBJECTS = "k8s_count_objects"
SETTLE_SECONDS = 2
"""How long a change may take from the API server's count to its watches."""
ATTEMPTS = 2
MOST_ROUNDS = 1000
"""Of one catch-up; a cluster that changes faster than it can be stored ends it."""


@dataclass(slots=True)
class Verification:
    """What became of one scope. Fine without `error` and `lost`; `lost` in Taken's words, `count` or `went back`.

    `checked_at`: the rows equal the cluster as of then (epoch seconds).
    """

    state: KeptScope
    lowest: int = 0
    highest: int = 0
    changes: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    malformed: tuple[str, ...] = ()
    checked_at: float = 0.0
    error: K8sMcpError | None = None
    lost: str = ""
    counting: bool = False
    """`error` is what the count was answered."""

    @property
    def is_overload(self) -> bool:
        """Whether a LIST would burden an API server that has too much to do, or cannot even count.

        What a watch is answered may be a proxy's word that lets no watch through (500, 502, 504): then LISTs may work.
        """
        status = self.error.status if isinstance(self.error, ClusterError) else 0
        return status in (429, 503) or (self.counting and status >= 500)

    @property
    def is_open(self) -> bool:
        return self.error is None and not self.lost

    def begin_window(self) -> None:
        """From here on the number of objects is followed, for a comparison."""
        self.lowest = self.highest = self.state.total

    def add(self, taken: Taken) -> None:
        self.lowest, self.highest = min(self.lowest, taken.lowest), max(self.highest, taken.highest)
        self.changes += taken.changes
        self.added += taken.added
        self.changed += taken.changed
        self.removed += taken.removed
        self.malformed += tuple(map(str, taken.malformed))
        self.error, self.lost = taken.error, taken.lost

    def agrees(self, count: int) -> bool:
        """Whether the cache held that many at some time in the window. What cannot be read may be there or not."""
        return self.lowest <= count <= self.highest + self.state.malformed


class KindCheck:
    """Catches up and compares. Two mismatches, each after a catch-up, and only a LIST helps (`lost` is `count`)."""

    def __init__(
        self,
        loader: ToolLoader,
        feed: ChangeFeed,
        *,
        timeout_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._loader = loader
        self._feed = feed
        self._answer_seconds = min(ANSWER_SECONDS, timeout_seconds)
        self._clock = clock

    async def verify(self, cluster: str, states: Sequence[KeptScope], *, hold: bool) -> list[Verification]:
        """Each scope caught up, and counted. `hold`: the server keeps the watches, since they are polled later.

        Raises K8sMcpError when the cluster or the server did not answer at all.
        """
        checks = [Verification(state) for state in states]
        await self._catch_up(cluster, checks, hold)
        for attempt in range(1, ATTEMPTS + 1):
            open_checks = [check for check in checks if check.is_open and not check.checked_at]
            if not open_checks:
                break
            await self._compare(cluster, open_checks, hold, last=attempt == ATTEMPTS)
        agreed = [check for check in checks if check.is_open]
        if agreed:
            await self._feed.confirm(cluster, [check.state for check in agreed], min(check.checked_at for check in agreed))
        return checks

    async def _compare(self, cluster: str, checks: Sequence[Verification], hold: bool, *, last: bool) -> None:
        for check in checks:
            check.begin_window()
        asked_at = self._clock()
        cursors = [check.state.cursor for check in checks]
        counts = await self._counts(cluster, [check.state for check in checks])
        counted: list[tuple[Verification, int]] = []
        for check, cursor, told in zip(checks, cursors, counts, strict=True):
            if _went_back(told.resource_version, cursor):
                check.lost = "went back"
            elif told.count is not None:
                counted.append((check, told.count))
            else:
                check.error = told.error.exception(COUNT_OBJECTS) if told.error else ToolError(f"{COUNT_OBJECTS} counted nothing")
                check.counting = True
        if hold:  # else the catch-up is as of now already, where the numbers agree
            await self._take(cluster, [check for check, _ in counted], hold)
            await self._take_all(cluster, [check for check, _ in counted if check.is_open and not check.state.live], hold=False)
        for wait_seconds in (0, 1, 1)[: 1 + SETTLE_SECONDS]:
            missing = [check for check, count in counted if check.is_open and not check.agrees(count)]
            if not missing:
                break
            await self._take(cluster, missing, hold, wait_seconds=wait_seconds)
        for check, count in counted:
            if check.is_open and check.agrees(count):
                check.checked_at = asked_at if hold and check.state.live else min(asked_at, check.state.heard_at)
            elif check.is_open and last:
                check.lost = "count"

    async def _catch_up(self, cluster: str, checks: Sequence[Verification], hold: bool) -> None:
        for check in checks:
            check.begin_window()
        await self._take_all(cluster, checks, hold)

    async def _take_all(self, cluster: str, checks: Sequence[Verification], hold: bool) -> None:
        pending = list(checks)
        for _ in range(MOST_ROUNDS if pending else 0):
            pending = await self._take(cluster, pending, hold)
            if not pending:
                return
            await asyncio.sleep(0)

    async def _take(
        self, cluster: str, checks: Sequence[Verification], hold: bool, *, wait_seconds: int = 0
    ) -> list[Verification]:
        """Take what is new; those of which there is more. Scopes without room for a watch are taken once, unheld."""
        strategy: Strategy = "check" if hold else "catch-up"
        more: list[Verification] = []
        for held in (True, False):
            some = [check for check in checks if (check.state.held and hold) is held]
            if not some:
                continue
            by_key: dict[ScopeKey, Verification] = {check.state.key: check for check in some}
            states = [check.state for check in some]
            taken = await self._feed.take(cluster, states, strategy=strategy, hold=held, wait_seconds=wait_seconds)
            for one in taken:
                check = by_key[one.state.key]
                check.add(one)
                if one.error is not None and held and not one.state.held:
                    check.error = None
                    more.append(check)
                elif one.more:
                    more.append(check)
        return more

    async def _counts(self, cluster: str, states: Sequence[KeptScope]) -> list[Count]:
        found: dict[ScopeKey, Count] = {}
        for first in range(0, len(states), MOST_WATCHES):
            part = states[first : first + MOST_WATCHES]
            counts = [{"kind": state.kind.name, "namespace": state.scope} for state in part]
            arguments = {"context": cluster, "counts": counts}
            result = await self._loader.call(COUNT_OBJECTS, arguments, timeout_seconds=self._answer_seconds)
            found |= {(one.kind, one.namespace): one for one in decoded(result.text, CountsAnswer, COUNT_OBJECTS).results}
        return [found.get(state.key) or Count(*state.key) for state in states]


def _went_back(version: str, cursor: str) -> bool:
    """Whether the API server is before a place that it gave earlier, as after a restore of etcd from a backup.

    A LIST without resourceVersion is never older than what the same server told before, so that here, and only here, the
    order of versions says something: changes after `cursor` would be nothing for a long time, however much is different.
    """
    return version.isdecimal() and cursor.isdecimal() and int(version) < int(cursor)
