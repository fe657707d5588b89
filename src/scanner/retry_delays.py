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


LASTING_SECONDS = 120.0
"""What fails again within so long after it had recovered had not: a watch that breaks seconds after each start.

As in client-go (tools/cache/reflector.go: defaultBackoffReset).
"""


@dataclass(slots=True)
class _State:
    failures: int
    not_before: float
    asked_until: float
    """Until when the API server asked to be left alone."""
    until_heard: bool = False
    recovered_at: float | None = None
    hurried_at: float | None = None


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

    def failed(
        self, key: Hashable, now: float, *, permitted: bool = True, at_least: float = 0.0, until_heard: bool = False
    ) -> int:
        """Put the next try off; `permitted` False when the API server said 403. How many failures in a row these are.

        `at_least`: the seconds that the API server asked for, believed up to the longest delay of all. `until_heard`: nothing
        was wrong but that nothing could be reached (see `heard`).
        """
        state = self._states.get(key) or _State(0, now, now)
        lasted = state.recovered_at is not None and now - state.recovered_at >= LASTING_SECONDS
        failures = 1 if lasted else state.failures + 1
        seconds = min(self._longest, self._first * 2.0 ** min(failures - 1, 20)) if permitted else NOT_PERMITTED_SECONDS
        wait = seconds * (0.5 + self._jitter() / 2)
        asked_until = max(now + min(at_least, LONGEST_SECONDS), min(state.asked_until, now + LONGEST_SECONDS))
        not_before = max(now + wait, asked_until)
        self._states[key] = _State(failures, not_before, asked_until, until_heard, hurried_at=state.hurried_at)
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

    def asked_seconds_left(self, key: Hashable, now: float) -> float:
        """What is left of the time for which the API server asked to be left alone."""
        state = self._states.get(key)
        return max(0.0, state.asked_until - now) if state else 0.0

    def hold(self, key: Hashable, until: float) -> None:
        """The API server asked for this time, if not in answer to this key."""
        state = self._states.setdefault(key, _State(0, until, until))
        state.not_before, state.asked_until = max(state.not_before, until), max(state.asked_until, until)

    def recovered(self, key: Hashable, now: float) -> None:
        """Let the key be tried at once. Its failures are forgotten when it has not failed for a while."""
        if state := self._states.get(key):
            state.not_before = state.asked_until = now
            state.recovered_at = now if state.recovered_at is None else state.recovered_at

    def heard(self, key: Hashable, now: float) -> None:
        """Let what was put off `until_heard` be tried at once, but not again and again: its failures still count."""
        state = self._states.get(key)
        if state is None or not state.until_heard:
            return
        if state.hurried_at is None or not 0 <= now - state.hurried_at < LASTING_SECONDS:
            state.not_before, state.hurried_at = max(now, state.asked_until), now

    def succeeded(self, key: Hashable) -> int:
        """Forget the failures; how many in a row there were."""
        state = self._states.pop(key, None)
        return state.failures if state else 0


def seconds_asked_for(error: K8sMcpError) -> float:
    """How long the API server wants to be left alone; 0 when it does not say."""
    return error.retry_after_seconds if isinstance(error, ClusterError) else 0.0
