"""The watches that this server holds for whoever polls them: one per context, kind and namespace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from configuration.errors import ClusterError, Expired, K8sMcpError
from mcp_tools.change_buffer import MAX_CHANGES, BufferFull, Change
from mcp_tools.held_watch import SILENCE_SECONDS, WATCH_SECONDS, HeldWatch, WatchTarget
from mcp_tools.k8s_api import ClusterApi
from mcp_tools.redaction import Redactor

IDLE_SECONDS = 60.0
MOST_HELD = 300
OPENED_AT_ONCE = 32
MAX_BYTES = 128 * 1024 * 1024
"""Of changes that wait, over all watches."""
PER_TARGET = 2
"""Two clients may follow the same thing from different places; a third takes the place of the one that was polled last."""
CATCH_UP_SECONDS = (10, 10)
LEAST_QUIET_SECONDS = 0.5
"""After the headers the first event may be long in coming: without a watch cache they are sent before etcd is asked."""
MOST_READING_SECONDS = 5.0


class TooMany(ClusterError):
    """This context has as many held watches as are allowed."""


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """What a client wants to follow, and from where."""

    api: ClusterApi
    target: WatchTarget
    cursor: str


@dataclass(frozen=True, slots=True)
class WatchResult:
    """`heard_at` is None when the API server has not been heard on this watch; `live`: what it has not said has not happened."""

    cursor: str
    changes: Sequence[Change] = ()
    heard_at: float | None = None
    more: bool = False
    live: bool = False
    error: K8sMcpError | None = None


@dataclass
class _Entry:
    """A held watch, and who uses it."""

    watch: HeldWatch
    api: ClusterApi
    polls: int = 0
    polled_at: float = 0.0
    closing: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class _Polled:
    """One watch of one poll. `entry` is None when there is none, because of `error`."""

    request: WatchRequest
    entry: _Entry | None = None
    is_new: bool = False
    error: K8sMcpError | None = None
    result: WatchResult | None = field(default=None)

    @property
    def pending(self) -> int:
        watch = self.entry.watch if self.entry else None
        return watch.buffer.pending(self.request.cursor) if watch and watch.buffer.knows(self.request.cursor) else 0

    @property
    def has_something(self) -> bool:
        return self.error is not None or bool(self.pending) or (self.entry is not None and self.entry.watch.ended())


class WatchHolder:
    """Used from one event loop. Leaves nothing behind after `close()`."""

    def __init__(
        self, *, idle_seconds: float = IDLE_SECONDS, most_held: int = MOST_HELD, seconds: tuple[int, int] = WATCH_SECONDS,
        silence_seconds: float = SILENCE_SECONDS, max_bytes: int = MAX_BYTES,
        max_changes: int = MAX_CHANGES, clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._max_bytes = max_bytes
        self._max_changes = max_changes
        self._idle_seconds = idle_seconds
        self._most_held = most_held
        self._seconds = seconds
        self._silence_seconds = silence_seconds
        self._clock = clock
        self._held: dict[WatchTarget, list[_Entry]] = {}
        self._opening: WeakKeyDictionary[ClusterApi, asyncio.Semaphore] = WeakKeyDictionary()
        self._closing: set[asyncio.Task[None]] = set()
        self._without_bookmarks: set[WatchTarget] = set()
        """Learned by long silence, which need not be waited for again after a 410."""

    def held(self, context: str) -> int:
        """How many watches of a context are held now."""
        return sum(len(entries) for target, entries in self._held.items() if target.context == context)

    async def close(self) -> None:
        """End every watch; returns when all have ended."""
        for entry in [entry for entries in self._held.values() for entry in entries]:
            self._drop(entry)
        await asyncio.gather(*self._closing)

    async def poll(
        self, requests: Sequence[WatchRequest], redactor: Redactor, *,
        wait_seconds: float, linger_seconds: float, hold: bool, max_changes: int, max_bytes: int,
    ) -> list[WatchResult]:  # fmt: skip
        """What follows each cursor. Without anything, waits for the first change or error, then for those that come along.

        With `wait_seconds` 0, watches that are new are read until they are quiet. `hold` False reads a held watch only where it
        is live, else a new one, so that the answer is as of now. Nothing is forgotten that was not asked past: a poll whose
        answer gets lost can be repeated.
        """
        woken = asyncio.Event()
        polled = [self._begin(request, redactor, hold=hold) for request in requests]
        entries = [one.entry for one in polled if one.entry is not None]
        try:
            for entry in entries:
                entry.watch.listeners.add(woken)
            settled = True
            if wait_seconds and hold:
                await self._wait(polled, woken, wait_seconds, linger_seconds)
            else:
                settled = await _read_until_quiet(one.entry.watch for one in polled if one.entry is not None and one.is_new)
            return self._results(polled, max_changes=max_changes, max_bytes=max_bytes, settled=settled)
        finally:
            for entry in entries:
                entry.watch.listeners.discard(woken)
                self._release(entry, hold=hold)
            if not hold:
                await asyncio.gather(*self._closing)

    def _begin(self, request: WatchRequest, redactor: Redactor, *, hold: bool) -> _Polled:
        ours = (one for one in self._held.get(request.target, ()) if one.api is request.api)  # not of a context that was gone
        known = (one for one in ours if one.watch.buffer.knows(request.cursor))
        entry = next((one for one in known if hold or one.watch.is_live()), None)
        is_new = entry is None
        if entry is None:
            try:
                entry = self._opened(request, redactor, hold=hold)
            except ClusterError as error:
                return _Polled(request, error=error)
        entry.polls += 1
        if entry.closing is not None:
            entry.closing.cancel()
            entry.closing = None
        return _Polled(request, entry, is_new=is_new)

    def _opened(self, request: WatchRequest, redactor: Redactor, *, hold: bool) -> _Entry:
        target = request.target
        if not hold:
            return _Entry(self._watch(request, redactor, CATCH_UP_SECONDS), request.api)
        beside = self._held.setdefault(target, [])
        early_ends = max((one.watch.early_ends for one in beside), default=0)
        is_full = self.held(target.context) >= self._most_held
        if len(beside) >= PER_TARGET or (is_full and any(not one.polls for one in beside)):
            self._drop(min(beside, key=lambda one: (one.polls > 0, one.polled_at)))
        elif is_full:
            raise TooMany(
                f"cannot hold a watch of {target} (context {target.context}): {self._most_held} are held already; "
                "ask with hold=false, or follow fewer kinds and namespaces"
            )
        entry = _Entry(self._watch(request, redactor, self._seconds, early_ends), request.api)
        self._held.setdefault(target, []).append(entry)
        return entry

    def _watch(self, request: WatchRequest, redactor: Redactor, seconds: tuple[int, int], early_ends: int = 0) -> HeldWatch:
        return HeldWatch(
            request.api, request.target, request.cursor, redactor,
            seconds=seconds, silence_seconds=self._silence_seconds, clock=self._clock, has_room=self._has_room,
            max_changes=self._max_changes, early_ends=early_ends,
            bookmarks_expected=request.target not in self._without_bookmarks,
            opening=self._opening.setdefault(request.api, asyncio.Semaphore(OPENED_AT_ONCE)),
        )  # fmt: skip

    def _has_room(self) -> bool:
        """For everything that waits. The watch that brings more when there is none ends."""
        return sum(entry.watch.buffer.bytes for entries in self._held.values() for entry in entries) <= self._max_bytes

    @staticmethod
    async def _wait(polled: Sequence[_Polled], woken: asyncio.Event, wait_seconds: float, linger_seconds: float) -> None:
        try:
            async with asyncio.timeout(wait_seconds):
                while not any(one.has_something for one in polled):
                    woken.clear()
                    await woken.wait()
        except TimeoutError:
            return
        await asyncio.sleep(linger_seconds)

    def _results(self, polled: Sequence[_Polled], *, max_changes: int, max_bytes: int, settled: bool) -> list[WatchResult]:
        """Those with little to say are served first, so that a busy kind delays none of the others."""
        delivered = False
        for one in sorted(polled, key=lambda one: one.pending):
            room = max_changes if max_bytes > 0 or not delivered else 0
            one.result = self._result(one, max_changes=room, max_bytes=max_bytes, settled=settled)
            max_changes -= len(one.result.changes)
            max_bytes -= sum(len(change.body) for change in one.result.changes)
            delivered = delivered or bool(one.result.changes)
        return [one.result for one in polled if one.result is not None]

    def _result(self, one: _Polled, *, max_changes: int, max_bytes: int, settled: bool) -> WatchResult:
        cursor = one.request.cursor
        if one.entry is None:
            return WatchResult(cursor, error=one.error)
        watch = one.entry.watch
        overflown = isinstance(watch.error, Expired) and watch.error.reason == BufferFull.__name__
        if watch.error is not None and (overflown or not one.pending):
            self._drop(one.entry)
            return WatchResult(cursor, heard_at=watch.heard_at, error=watch.error)
        if not watch.buffer.knows(cursor):  # it took another place while this poll waited
            return WatchResult(cursor, heard_at=watch.heard_at)
        taken = watch.buffer.take(cursor, max_changes=max_changes, max_bytes=max_bytes)
        heard_at = taken.changes[-1].heard_at if taken.more and taken.changes else watch.heard_at
        reading_on = one.is_new and not settled and not watch.ended()
        return WatchResult(taken.cursor, taken.changes, heard_at, more=taken.more or reading_on, live=self._is_live(one.entry))

    def _is_live(self, entry: _Entry) -> bool:
        """A watch that stands without bookmarks counts where another of the same API server shows that events get through."""
        if entry.watch.is_live() or not entry.watch.stands():
            return entry.watch.is_live()
        return any(one.watch.is_live() for entries in self._held.values() for one in entries if one.api is entry.api)

    def _release(self, entry: _Entry, *, hold: bool) -> None:
        entry.polls -= 1
        loop = asyncio.get_running_loop()
        entry.polled_at = loop.time()
        if entry not in self._held.get(entry.watch.target, ()):
            if not hold or entry.watch.error is not None:
                self._drop(entry)
        elif not entry.polls:
            entry.closing = loop.call_later(self._idle_seconds, self._drop, entry)

    def _drop(self, entry: _Entry) -> None:
        """End a watch, in the background."""
        entries = self._held.get(entry.watch.target, [])
        if entry in entries:
            entries.remove(entry)
        if entry.watch.bookmarks_expected:
            self._without_bookmarks.discard(entry.watch.target)
        else:
            self._without_bookmarks.add(entry.watch.target)
        if not entries:
            self._held.pop(entry.watch.target, None)
        if entry.closing is not None:
            entry.closing.cancel()
        task = asyncio.create_task(entry.watch.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def _read_until_quiet(watches: Iterable[HeldWatch]) -> bool:
    """False when events still come after MOST_READING_SECONDS."""
    return all(await asyncio.gather(*(_quiet(watch) for watch in watches)))


async def _quiet(watch: HeldWatch) -> bool:
    await watch.opened.wait()
    clock = asyncio.get_running_loop().time
    end = clock() + MOST_READING_SECONDS
    quiet = max(LEAST_QUIET_SECONDS, 2 * watch.headers_seconds)
    while not watch.ended():
        left = watch.changed_at + quiet - clock()
        if left <= 0:
            return True
        if clock() + left > end:
            await asyncio.sleep(max(0.0, end - clock()))
            return watch.changed_at + quiet <= clock()
        await asyncio.sleep(left)
    return True
