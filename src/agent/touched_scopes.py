"""Read your writes: what this process changed counts as stale until the scanner has looked again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kinds.registry import KINDS, find_kind

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
        names = likely_touched(find_kind(kind).name)
        for name in names:
            self._touched_at[cluster, name] = self._clock()
        return names

    def is_touched(self, freshness: Freshness) -> bool:
        """Until a check that *began* after the change has succeeded: one under way may have listed before it."""
        touched_at = self._touched_at.get((freshness.cluster, freshness.kind))
        if touched_at is None:
            return False
        began_at = (freshness.last_checked_at or 0) - (freshness.duration_ms or 0) / 1000
        if began_at > touched_at:
            del self._touched_at[freshness.cluster, freshness.kind]
            return False
        return True
