"""The events of one watch, kept until they have been handed out, and a little longer.

A position in them is named by a resourceVersion: the one that the watch began from, an event's or a bookmark's. Resource
versions are compared for equality only.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

MAX_CHANGES = 10_000
MAX_BYTES = 32 * 1024 * 1024
KEPT_CHANGES = 500
KEPT_BYTES = 256 * 1024
"""What has been handed out stays a while: an answer may get lost, and another client may be a step behind."""
KEPT_MARKS = 20


class BufferFull(Exception):
    """Nobody took the events for so long that they do not fit any more."""


@dataclass(frozen=True, slots=True)
class Change:
    """One event: `body` is the JSON that is handed out, redacted; `heard_at` epoch seconds."""

    resource_version: str
    body: bytes
    heard_at: float


@dataclass(frozen=True, slots=True)
class Taken:
    """`cursor` names the position after `changes`; `more` says that further ones wait."""

    changes: Sequence[Change]
    cursor: str
    more: bool

    @property
    def size(self) -> int:
        return sum(len(change.body) for change in self.changes)


class ChangeBuffer:
    """Positions count the changes since the beginning: `_first` is that of the oldest one kept."""

    def __init__(self, start: str, *, max_changes: int = MAX_CHANGES, max_bytes: int = MAX_BYTES) -> None:
        self._max_changes = max_changes
        self._max_bytes = max_bytes
        self._changes: deque[Change] = deque()
        self._first = 0
        self._handed_out = 0
        self._bytes = 0
        self._bytes_handed_out = 0
        self._positions: OrderedDict[str, int] = OrderedDict({start: 0})
        self._marks: deque[str] = deque([start])
        self.newest = start

    @property
    def bytes(self) -> int:
        """Size of everything that is kept."""
        return self._bytes

    @property
    def _end(self) -> int:
        return self._first + len(self._changes)

    def knows(self, cursor: str) -> bool:
        """Whether the changes after this cursor are all here."""
        return cursor in self._positions

    def pending(self, cursor: str) -> int:
        """How many changes follow a known cursor."""
        return self._end - self._positions[cursor]

    def add(self, change: Change) -> None:
        """Append an event. Raises BufferFull."""
        self._changes.append(change)
        self._bytes += len(change.body)
        self._positions[change.resource_version] = self._end
        self.newest = change.resource_version
        waiting = self._end - self._handed_out
        if waiting > self._max_changes or self._bytes - self._bytes_handed_out > self._max_bytes:
            raise BufferFull(f"{waiting} changes were not taken in time")

    def mark(self, resource_version: str) -> None:
        """Note a bookmark: the position has another name now."""
        if resource_version not in self._positions:
            self._marks.append(resource_version)
            if len(self._marks) > KEPT_MARKS:
                self._positions.pop(self._marks.popleft(), None)
        self._positions[resource_version] = self._end
        self.newest = resource_version

    def take(self, cursor: str, *, max_changes: int, max_bytes: int) -> Taken:
        """What follows a known cursor, at least one change if there is any; everything before it counts as handed out."""
        position = self._positions[cursor]
        self._acknowledge(position)
        found: list[Change] = []
        size = 0
        for change in islice(self._changes, position - self._first, None):
            size += len(change.body)
            if len(found) >= max_changes or (found and size > max_bytes):
                return Taken(found, found[-1].resource_version if found else cursor, more=True)
            found.append(change)
        return Taken(found, self.newest, more=False)

    def _acknowledge(self, position: int) -> None:
        while self._handed_out < position:
            self._bytes_handed_out += len(self._changes[self._handed_out - self._first].body)
            self._handed_out += 1
        while self._handed_out - self._first > KEPT_CHANGES or self._bytes_handed_out > KEPT_BYTES:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        change = self._changes.popleft()
        self._bytes -= len(change.body)
        self._bytes_handed_out -= len(change.body)
        self._first += 1
        while next(iter(self._positions.values())) < self._first:
            self._positions.popitem(last=False)
