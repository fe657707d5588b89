"""What really happened to a cluster, written down by whoever made it happen: the measure for what a cache claims.

Everything is changed through one ClusterDriver, one request at a time, so that each kind's history is a sequence of
states. A cache that is right holds, at any moment, exactly one of them, and never an earlier one than before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Version = tuple[str, str]
"""(uid, resourceVersion)"""


def state_hash(versions: Iterable[Version]) -> int:
    """Of a set of versions, whatever their order; within one process."""
    total = 0
    for version in versions:
        total ^= hash(version)
    return total


@dataclass(slots=True)
class _History:
    current: dict[str, str] = field(default_factory=dict)
    hash: int = 0
    length: int = 0
    indexes: dict[int, list[int]] = field(default_factory=dict)
    """State hash -> when the kind was in that state; a state comes again when what was created is deleted."""

    def change(self, uid: str, version: str | None) -> None:
        if uid in self.current:
            self.hash ^= hash((uid, self.current.pop(uid)))
        if version is not None:
            self.current[uid] = version
            self.hash ^= hash((uid, version))
        self.indexes.setdefault(self.hash, []).append(self.length)
        self.length += 1


class Ledger:
    """Safe to use from several threads."""

    def __init__(self, kinds: Iterable[str]) -> None:
        self._lock = threading.Lock()
        self._histories = {kind: _History() for kind in kinds}
        self._deletion_asked: set[str] = set()
        self._last_versions: dict[str, str] = {}
        """uid -> resourceVersion, of what was deleted: the last that somebody gave it."""

    def begin(self, kind: str, versions: Mapping[str, str]) -> None:
        """What there is at the start, uid -> resourceVersion. Only from here on states count."""
        with self._lock:
            history = _History(dict(versions), state_hash(versions.items()))
            history.indexes[history.hash] = [0]
            history.length = 1
            self._histories[kind] = history

    def changed(self, kind: str, obj: Mapping[str, Any]) -> None:
        """An object was created or updated: as the API server answered."""
        with self._lock:
            self._histories[kind].change(obj["metadata"]["uid"], obj["metadata"]["resourceVersion"])

    def will_delete(self, uid: str) -> None:
        """Before the request is sent: from now on a cache may rightly say that it is gone."""
        with self._lock:
            self._deletion_asked.add(uid)

    def deleted(self, kind: str, uid: str) -> None:
        with self._lock:
            self._last_versions[uid] = self._histories[kind].current[uid]
            self._histories[kind].change(uid, None)

    def last_version(self, kind: str, uid: str) -> str | None:
        """The present resourceVersion of an object; of a deleted one that which it had before."""
        with self._lock:
            return self._histories[kind].current.get(uid) or self._last_versions.get(uid)

    def current(self, kind: str) -> dict[str, str]:
        with self._lock:
            return dict(self._histories[kind].current)

    def may_be_gone(self, uid: str) -> bool:
        with self._lock:
            return uid in self._deletion_asked

    def position(self, kind: str, state: int, not_before: int, *, wait_seconds: float = 5.0) -> int | None:
        """The earliest moment from `not_before` on at which the kind was in this state; None: it never was.

        Waits, since a cache can learn of a change before the answer to whoever made it has been written down.
        """
        deadline = time.monotonic() + wait_seconds
        while True:
            with self._lock:
                for index in self._histories[kind].indexes.get(state, ()):
                    if index >= not_before:
                        return index
            if time.monotonic() > deadline:
                return None
            time.sleep(0.01)
