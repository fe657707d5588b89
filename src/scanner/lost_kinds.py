"""Kinds whose changes no longer lead on from what is stored, and when they may be listed for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from scanner.retry_delays import RetryDelays

Target = tuple[str, str]
"""(cluster, kind name)"""

LASTING_SECONDS = 600.0
"""What could be followed for so long after its LIST begins anew: the next loss is made good at once."""


@dataclass(slots=True)
class LostKinds:
    """The first loss is made good at once. What is lost again soon after its LIST waits, longer each time.

    Else a kind that changes faster than it can be listed, or than the API server remembers, would be listed without end.
    `steady` gives monotonic seconds.
    """

    steady: Callable[[], float] = time.monotonic
    delays: RetryDelays = field(default_factory=RetryDelays)
    _lost: set[Target] = field(default_factory=set)
    _listed_at: dict[Target, float] = field(default_factory=dict)
    """When what had been lost was made good."""

    def __contains__(self, target: Target) -> bool:
        return target in self._lost

    def add(self, target: Target) -> None:
        """Lost, in one namespace or in all."""
        if target in self._lost:
            return
        self._lost.add(target)
        now = self.steady()
        listed_at = self._listed_at.get(target)
        if listed_at is None or now - listed_at >= LASTING_SECONDS:
            self.delays.forget(target)
        else:
            self.delays.failed(target, now)

    def wait_seconds(self, target: Target) -> float:
        """How long until it may be listed, unless it is due or asked for by then; 0: now."""
        return self.delays.wait_seconds(target, self.steady())

    def listed(self, target: Target) -> None:
        """Changes lead on again."""
        if target in self._lost:
            self._lost.discard(target)
            self._listed_at[target] = self.steady()

    def forget(self, target: Target) -> None:
        """There is nothing to list."""
        self._lost.discard(target)
