"""Follows one cluster: one long poll for all that is followed of it, and its answers into the cache."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from configuration.errors import K8sMcpError, KindNotServed, NotFound, NotPermitted, ToolError
from kinds.kind import Kind
from scanner.change_answers import ChangesAnswer
from scanner.change_feed import ChangeFeed, Taken
from scanner.follow_failures import FollowFailures
from scanner.kept_scope import KeptScope, ScopeKey
from scanner.retry_delays import RetryDelays

log = logging.getLogger(__name__)

POLL_SECONDS = 25
RECOVERY_POLL_SECONDS = 2
"""Of what failed: watches that are open again, but of which nothing comes, would let a longer one wait to its end."""
MOST_POLLED = 500
"""In one poll: more than the MCP server holds, less than it takes. What it has no room for is left out of the next one."""
FRESHNESS_SECONDS = 30.0
"""Where nothing changed, how fresh that is is written at most this often."""
GATHER_SECONDS = 0.1
"""Kinds that begin to be followed at about the same time are asked for together."""


@dataclass(frozen=True, slots=True)
class FollowerEvents:
    """Who hears of what. `lost`: these can no longer be followed from where they are, and why (Lost, or an error).

    `failing`: new troubles of kinds, each once; they are tried again from here. `answers`: the cluster does, of
    kinds (their names) that failed here or are lost. `changed`: a stored batch.
    """

    lost: Callable[[str, Sequence[tuple[KeptScope, str | K8sMcpError]]], Awaitable[None]]
    failing: Callable[[str, Sequence[tuple[Kind, str, K8sMcpError]]], Awaitable[None]]
    answers: Callable[[str, Collection[str]], None]
    changed: Callable[[str, Taken], None]


class ClusterFollower:
    """Holds what is followed of a cluster. `run` is its task; everything else is called from the same event loop."""

    def __init__(
        self,
        cluster: str,
        feed: ChangeFeed,
        events: FollowerEvents,
        *,
        freshness_seconds: float = FRESHNESS_SECONDS,
        delays: RetryDelays | None = None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cluster = cluster
        self._feed = feed
        self._events = events
        self._freshness_seconds = freshness_seconds
        self._steady = steady
        self._states: dict[ScopeKey, KeptScope] = {}
        self.failures = FollowFailures(cluster, self._states, delays=delays, steady=steady)
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._interrupt = asyncio.Event()
        self._something = asyncio.Event()
        self._freshness_written_at = -math.inf

    # --- what is followed

    def follow(self, state: KeptScope) -> None:
        """From the next poll on, which is at once. A scope that is followed already goes on from this state."""
        self._states[state.key] = state
        self.failures.begin(state.key)
        self._something.set()
        self._interrupt.set()

    def state(self, key: ScopeKey) -> KeptScope | None:
        return self._states.get(key)

    def kinds(self) -> set[str]:
        """Names of the kinds of which anything is followed."""
        return {name for name, _ in self._states}

    async def release(self, names: Collection[str]) -> None:
        """Follow these kinds no longer; when this returns nothing of them is on its way into the cache."""
        if self.kinds().isdisjoint(names):
            return
        async with self.held_still():
            self._drop([key for key in self._states if key[0] in names])

    def _drop(self, keys: Iterable[ScopeKey]) -> None:
        for key in keys:
            self._states.pop(key, None)
            self.failures.forget(key)
        if not self._states:
            self._something.clear()

    @asynccontextmanager
    async def held_still(self) -> AsyncIterator[None]:
        """No poll inside the block: a waiting one is given up, an answer on its way is stored first."""
        self._waiting += 1
        self._interrupt.set()
        try:
            async with self._turn:
                yield
        finally:
            self._waiting -= 1

    # --- the loop

    async def run(self) -> None:
        """Until cancelled. Whatever goes wrong is logged, and tried again later."""
        while True:
            try:
                await self._something.wait()
                await self.turn()
            except K8sMcpError as error:
                await self._all_failed(error)
            except Exception as error:
                log.exception("%s: following failed unexpectedly; it goes on", self.cluster)
                await self._all_failed(ToolError(f"{type(error).__name__}: {error}"))

    async def turn(self, poll_seconds: int = POLL_SECONDS) -> None:
        """One poll of all that is not being left alone after a failure, and what follows from it."""
        taken: Sequence[Taken] = ()
        async with self._turn:
            ready, later = self._ready(float(poll_seconds))
            wait = min(later, RECOVERY_POLL_SECONDS) if any(one.key in self.failures for one in ready) else later
            answer = await self._poll(ready, max(1, math.ceil(wait))) if ready and not self._waiting else None
            if answer is not None:
                taken = await self._store([one for one in ready if self._states.get(one.key) is one], answer)
        if answer is not None:
            await self._settle(taken)
        elif ready:
            await asyncio.sleep(GATHER_SECONDS)
        else:
            await self._interrupted(later)

    def _ready(self, longest: float) -> tuple[list[KeptScope], float]:
        """What may be asked for now, and in how many seconds, at most `longest`, something else may be."""
        if (seconds := self.failures.wait_seconds()) > 0:
            return [], min(longest, seconds)
        waits = {key: self.failures.wait_seconds(key) for key, state in self._states.items() if state.held}
        later = min((seconds for seconds in waits.values() if seconds > 0), default=longest)
        ready = [self._states[key] for key, seconds in waits.items() if seconds <= 0]
        return ready[:MOST_POLLED], min(longest, later)

    async def _interrupted(self, seconds: float) -> None:
        """Wait so long, or until somebody wants to be heard."""
        self._interrupt.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._interrupt.wait(), seconds)
            await asyncio.sleep(GATHER_SECONDS)

    async def _poll(self, states: Sequence[KeptScope], wait_seconds: int) -> ChangesAnswer | None:
        """None when somebody interrupted it; what it would have told is told by the next one."""
        self._interrupt.clear()
        asking = asyncio.create_task(self._feed.ask(self.cluster, states, hold=True, wait_seconds=wait_seconds))
        interrupt = asyncio.create_task(self._interrupt.wait())
        try:
            await asyncio.wait([asking, interrupt], return_when=asyncio.FIRST_COMPLETED)
            return asking.result() if asking.done() else None
        finally:
            for task in (asking, interrupt):
                task.cancel()
            await asyncio.gather(asking, interrupt, return_exceptions=True)

    async def _store(self, states: Sequence[KeptScope], answer: ChangesAnswer) -> list[Taken]:
        now = self._steady()
        due = now - self._freshness_written_at >= self._freshness_seconds
        recovered = any((one.kind, one.namespace) in self.failures for one in answer.results if one.heard_at and not one.error)
        taken = await self._feed.store(self.cluster, states, answer, strategy="follow", write_freshness=due or recovered)
        if due:
            self._freshness_written_at = now
        return taken

    async def _settle(self, taken: Sequence[Taken]) -> None:
        """Pass on what changed, what is lost, what fails and what works again."""
        lost: list[tuple[KeptScope, str | K8sMcpError]] = []
        failed: list[tuple[KeptScope, K8sMcpError]] = []
        fine: list[KeptScope] = []
        for one in taken:
            if one.lost:
                lost.append((one.state, one.lost))
            elif one.error is not None and is_answer(one.error, one.lost):
                lost.append((one.state, one.error))
            elif one.error is not None and one.state.held:
                failed.append((one.state, one.error))
            elif one.error is not None:
                self.failures.forget(one.state.key)
            else:
                if one.state.heard_at:  # else another one ended the wait before the API server answered this one
                    fine.append(one.state)
                if one.changes:
                    self._events.changed(self.cluster, one)
        self.answered(fine, [one.state for one in taken if is_answer(one.error, one.lost)])
        await self._failed(failed)
        if lost:
            self._drop([state.key for state, _ in lost if self._states.get(state.key) is state])
            await self._events.lost(self.cluster, lost)

    # --- troubles

    async def _all_failed(self, error: K8sMcpError) -> None:
        await self._failed([(state, error) for state in self._states.values() if state.held])

    async def _failed(self, failed: Sequence[tuple[KeptScope, K8sMcpError]]) -> None:
        if new := self.failures.failed(failed):
            await self._events.failing(self.cluster, new)

    def answered(self, fine: Collection[KeptScope], lost: Collection[KeptScope] = ()) -> None:
        """The API server told of these, here or in a check (`lost`: that changes do not lead on): who waits for that hears it."""
        kinds = self.failures.answered(fine, lost)
        if kinds is not None or lost:
            self._interrupt.set()
            self._events.answers(self.cluster, {*(kinds or ()), *(state.kind.name for state in lost)})


def is_answer(error: K8sMcpError | None, lost: str) -> bool:
    """Whether the API server said itself that a scope cannot be followed from where it is."""
    return lost in ("expired", "count", "went back") or isinstance(error, NotPermitted | NotFound | KindNotServed)
