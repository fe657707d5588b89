"""When a (cluster, kind) that failed may be tried again."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from configuration.errors import ClusterError, K8sMcpError

FIRST_SECONDS = 15.0
LONGEST_SECONDS = 600.0
NOT_PERMITTED_SECONDS = 1800.0
"""RBAC changes rarely: a refused kind is asked for again this often at most."""


@dataclass(slots=True)
class _State:
    failures: int
    not_before: float


class RetryDelays:
    """Exponential back-off with jitter, per key: by default 15, 30, 60 … 600 s, each shortened by up to a half.

    What the API server asks for (Retry-After) is never undercut.
    """

    def __init__(
        self, jitter: Callable[[], float] = random.random, *, first: float = FIRST_SECONDS, longest: float = LONGEST_SECONDS
    ) -> None:
        self._jitter = jitter
        self._first = first
        self._longest = longest
        self._states: dict[Hashable, _State] = {}

    def may_try(self, key: Hashable, now: float) -> bool:
        """True unless the key failed too recently. No delay is longer than the longest: then the clock was set back."""
        state = self._states.get(key)
        return state is None or not now < state.not_before <= now + NOT_PERMITTED_SECONDS

    def failed(self, key: Hashable, now: float, *, permitted: bool = True, at_least: float = 0.0) -> int:
        """Put the next try off; `permitted` False when the API server said 403. How many failures in a row these are.

        `at_least`: the seconds that the API server asked for, believed up to the longest delay of all.
        """
        failures = self._states[key].failures + 1 if key in self._states else 1
        seconds = min(self._longest, self._first * 2.0 ** min(failures - 1, 20)) if permitted else NOT_PERMITTED_SECONDS
        wait = max(seconds * (0.5 + self._jitter() / 2), min(at_least, LONGEST_SECONDS))
        self._states[key] = _State(failures, now + wait)
        return failures

    def failures(self, key: Hashable) -> int:
        """How many in a row."""
        return self._states[key].failures if key in self._states else 0

    def wait_seconds(self, key: Hashable, now: float) -> float:
        """How long until the key may be tried; 0: now."""
        return 0.0 if self.may_try(key, now) else self._states[key].not_before - now

    def forget(self, key: Hashable) -> None:
        """Let the key be tried at once."""
        self._states.pop(key, None)

    def succeeded(self, key: Hashable) -> int:
        """Forget the failures; how many in a row there were."""
        state = self._states.pop(key, None)
        return state.failures if state else 0


def seconds_asked_for(error: K8sMcpError) -> float:
    """How long the API server wants to be left alone; 0 when it does not say."""
    return error.retry_after_seconds if isinstance(error, ClusterError) else 0.0
