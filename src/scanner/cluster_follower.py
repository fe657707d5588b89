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

from configuration.command_line import one_line
from configuration.errors import K8sMcpError, KindNotServed, NotFound, NotPermitted, ToolError
from kinds.kind import Kind
from scanner.change_answers import ChangesAnswer
from scanner.change_feed import ChangeFeed, Taken
from scanner.kept_scope import KeptScope, ScopeKey
from scanner.retry_delays import RetryDelays, seconds_asked_for

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
FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 60.0
NAMES_TOLD = 5
"""Of what fails together, in the log."""
EVERYTHING = ""
"""Key of the delay when all that is followed fails."""


@dataclass(frozen=True, slots=True)
class FollowerEvents:
    """Who hears of what. `lost`: these can no longer be followed from where they are, and why (Lost, or an error).

    `failing`: new troubles of kinds, each once; they are tried again from here. `answers`: the cluster does again, of
    kinds (their names) that failed here. `changed`: a stored batch.
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
        self._delays = delays or RetryDelays(first=FIRST_RETRY_SECONDS, longest=LONGEST_RETRY_SECONDS)
        self._states: dict[ScopeKey, KeptScope] = {}
        self._failing: set[ScopeKey] = set()
        self._is_down = False
        """Everything fails, and that was said."""
        self._was_down = False
        """Some of it has recovered since."""
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._interrupt = asyncio.Event()
        self._something = asyncio.Event()
        self._freshness_written_at = -math.inf

    # --- what is followed

    def follow(self, state: KeptScope) -> None:
        """From the next poll on, which is at once. A scope that is followed already goes on from this state."""
        self._states[state.key] = state
        self._delays.forget(state.key)
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
            self._failing.discard(key)
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
            wait = min(later, RECOVERY_POLL_SECONDS) if any(one.key in self._failing for one in ready) else later
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
        now = self._steady()
        if (seconds := self._delays.wait_seconds(EVERYTHING, now)) > 0:
            return [], min(longest, seconds)
        waits = {key: self._delays.wait_seconds(key, now) for key, state in self._states.items() if state.held}
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
        recovered = any(state.key in self._failing for state in states)
        taken = await self._feed.store(self.cluster, states, answer, strategy="follow", write_freshness=due or recovered)
        if due:
            self._freshness_written_at = now
        return taken

    async def _settle(self, taken: Sequence[Taken]) -> None:
        """Pass on what changed, what is lost, what fails and what works again."""
        lost: list[tuple[KeptScope, str | K8sMcpError]] = []
        failed: list[tuple[KeptScope, K8sMcpError]] = []
        heard: list[KeptScope] = []
        for one in taken:
            if one.lost:
                lost.append((one.state, one.lost))
                if one.lost == "expired":
                    heard.append(one.state)
            elif isinstance(one.error, NotPermitted | NotFound | KindNotServed):
                lost.append((one.state, one.error))
                heard.append(one.state)
            elif one.error is not None and one.state.held:
                failed.append((one.state, one.error))
            elif one.error is None:
                if one.state.heard_at:  # else another one ended the wait before the API server answered this one
                    heard.append(one.state)
                if one.changes:
                    self._events.changed(self.cluster, one)
        self.answered(heard)
        await self._failed(failed)
        if lost:
            self._drop([state.key for state, _ in lost if self._states.get(state.key) is state])
            await self._events.lost(self.cluster, lost)

    # --- troubles

    async def _all_failed(self, error: K8sMcpError) -> None:
        await self._failed([(state, error) for state in self._states.values() if state.held])

    async def _failed(self, failed: Sequence[tuple[KeptScope, K8sMcpError]]) -> None:
        """Leave what fails alone for a while: all of it together when it is all, nearly always a cluster that does not answer."""
        now = self._steady()
        new = [(state.kind, state.scope, error) for state, error in failed if state.key not in self._failing]
        self._failing |= {state.key for state, _ in failed}
        if failed and self._all_are_failing():
            self._delays.failed(EVERYTHING, now, at_least=max(seconds_asked_for(error) for _, error in failed))
        else:
            for state, error in failed:
                self._delays.failed(state.key, now, at_least=seconds_asked_for(error))
        if new:
            self._log_failing(new)
            await self._events.failing(self.cluster, new)

    def _all_are_failing(self) -> bool:
        return all(key in self._failing for key, state in self._states.items() if state.held)

    def _log_failing(self, new: Sequence[tuple[Kind, str, K8sMcpError]]) -> None:
        """One line, however many there are: nearly always they fail for the same reason."""
        self._is_down = len(self._states) > 1 and self._all_are_failing()
        what = "" if self._is_down else f" {_named([(kind, scope) for kind, scope, _ in new])}"
        log.warning("%s%s cannot be followed, what is cached stays: %s", self.cluster, what, one_line(new[0][2]))

    def answered(self, heard: Collection[KeptScope]) -> None:
        """The API server told of these, here or in a check: what failed is asked for at once.

        That is said once, not for each kind; and whoever else leaves the cluster alone hears of it.
        """
        again = [state for state in heard if state.key in self._failing]
        if not again and not (heard and self._is_down):
            return
        failures = max([self._delays.succeeded(EVERYTHING), *(self._delays.succeeded(state.key) for state in again)])
        self._failing -= {state.key for state in again}
        if self._is_down or not self._was_down:
            what = "" if self._is_down else f" {_named([(state.kind, state.scope) for state in again])}"
            log.info("%s%s can be followed again (recovered after %d failures)", self.cluster, what, failures)
        self._was_down = bool(self._failing) and (self._is_down or self._was_down)
        self._is_down = False
        self._interrupt.set()
        self._events.answers(self.cluster, {state.kind.name for state in again})


def _named(scopes: Sequence[tuple[Kind, str]]) -> str:
    names = [f"{kind.name} in namespace {scope}" if scope else kind.name for kind, scope in scopes]
    more = f" and {len(names) - NAMES_TOLD} more" if len(names) > NAMES_TOLD else ""
    return ", ".join(names[:NAMES_TOLD]) + more
