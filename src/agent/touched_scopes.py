"""Read your writes: what this process changed counts as stale until the scanner has looked again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from kinds.registry import KINDS

if TYPE_CHECKING:
    from cache.freshness import Freshness

_FOLLOWERS: dict[str, tuple[str, ...]] = {
    "deployments": ("replicasets", "pods", "events"),
    "replicasets": ("pods", "events", "deployments"),
    "statefulsets": ("pods", "events"),
    "daemonsets": ("pods", "events"),
    "jobs": ("pods", "events"),
    "pods": ("events", "replicasets", "deployments", "statefulsets", "daemonsets", "jobs"),
    "nodes": ("pods", "events"),
    "services": ("endpointslices", "events"),
}
"""Kind -> kinds whose objects the controllers change as a consequence."""


def likely_touched(kind: str) -> tuple[str, ...]:
    """The plural name and what follows from a change of it. A namespace takes everything in it along."""
    if kind == "namespaces":
        return tuple(name for name, declared in KINDS.items() if declared.namespaced or name == kind)
    return (kind, *(name for name in _FOLLOWERS.get(kind, ("events",)) if name in KINDS))


class TouchedScopes:
    """(cluster, kind) -> when it was last touched, epoch seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._touched_at: dict[tuple[str, str], float] = {}

    def touch(self, cluster: str, kind: str) -> tuple[str, ...]:
        """Call it when a change is sent and again when it has ended. Answers with the kinds that count as stale now."""
        names = likely_touched(kind)
        for name in names:
            self._touched_at[cluster, name] = self._clock()
        return names

    def touch_all(self, cluster: str, kinds: Iterable[str]) -> tuple[str, ...]:
        """The same for a change of several kinds; each name once."""
        return tuple(dict.fromkeys(name for kind in kinds for name in self.touch(cluster, kind)))

    def is_touched(self, freshness: Freshness, *, since: float = 0) -> bool:
        """Until a check that *began* after the change has succeeded (data counts as of the beginning of its scan).

        `since` is the latest refresh request in the database, which another process may have left after its change.
        """
        checked_at = freshness.last_checked_at or 0
        return self.is_touched_at(freshness.cluster, freshness.kind, checked_at=checked_at, since=since)

    def is_touched_at(self, cluster: str, kind: str, *, checked_at: float, since: float = 0) -> bool:
        touched_at = max(since, self._touched_at.get((cluster, kind), 0))
        return touched_at > 0 and checked_at <= touched_at
