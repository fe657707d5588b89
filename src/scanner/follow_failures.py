"""What of a cluster cannot be followed at present: when it is asked for again, and what the log says of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from configuration.command_line import one_line
from configuration.errors import ClusterError, K8sMcpError
from kinds.counted import counted, first_few
from kinds.kind import Kind
from scanner.kept_scope import KeptScope, ScopeKey
from scanner.retry_delays import RetryDelays, seconds_asked_for

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 30.0
"""About client-go's (tools/cache/reflector.go): 0.8 s at first, 30 s at most."""
NAMES_TOLD = 5
"""Of what fails together, in the log."""
EVERYTHING = ""
"""Key of the delay when all that is followed fails."""


class FollowFailures:
    """Of what `states` holds; `steady` gives monotonic seconds. Both an outage and its end are told in one line if possible."""

    def __init__(
        self,
        cluster: str,
        states: Mapping[ScopeKey, KeptScope],
        *,
        delays: RetryDelays | None = None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster = cluster
        self._states = states
        self._delays = delays or RetryDelays(first=FIRST_RETRY_SECONDS, longest=LONGEST_RETRY_SECONDS)
        self._steady = steady
        self._failing: dict[ScopeKey, int] = {}
        """How many times in a row."""
        self._is_down = False
        """That everything fails was said, and nothing has been heard since."""
        self._rounds = 0
        """How many times in a row everything has failed."""

    def __contains__(self, key: ScopeKey) -> bool:
        return key in self._failing

    def __len__(self) -> int:
        return len(self._failing)

    def wait_seconds(self, key: ScopeKey | str = EVERYTHING) -> float:
        """How long this, or everything, is to be left alone; 0: not at all."""
        return self._delays.wait_seconds(key, self._steady())

    def begin(self, key: ScopeKey) -> None:
        """It is followed from another place: it need not wait for itself."""
        self._delays.forget(key)

    def forget(self, key: ScopeKey) -> None:
        """It is followed no longer, or the MCP server holds no watch for it."""
        self._failing.pop(key, None)

    def failed(self, failed: Sequence[tuple[KeptScope, K8sMcpError]]) -> list[tuple[Kind, str, K8sMcpError]]:
        """Leave these alone for a while: all of it together when it is all, nearly always a cluster that does not answer.

        What did not fail before is logged and returned: (kind, scope, why).
        """
        now = self._steady()
        new = [(state.kind, state.scope, error) for state, error in failed if state.key not in self._failing]
        for state, _ in failed:
            self._failing[state.key] = self._failing.get(state.key, 0) + 1
        if failed and self._is_everything():
            self._rounds += 1
            self._delays.failed(EVERYTHING, now, at_least=max(seconds_asked_for(error) for _, error in failed))
        else:
            for state, error in failed:
                self._delays.failed(state.key, now, at_least=seconds_asked_for(error))
        if new:
            self._log_failing(new)
        return new

    def answered(self, fine: Collection[KeptScope], lost: Collection[KeptScope] = ()) -> set[str] | None:
        """The API server told of these, if only that they are to be listed again (`lost`): what failed is asked for at once.

        The names of the kinds that had failed; None when nothing had.
        """
        again = [state.key for state in (*fine, *lost) if state.key in self._failing]
        if not again and not (self._is_down and (fine or lost)):
            return None
        now = self._steady()
        asked_for = self._delays.asked_seconds_left(EVERYTHING, now)
        followed = [state for state in fine if state.key in self._failing]
        failures = max((self._failing.pop(key) for key in again), default=0)
        for key in (EVERYTHING, *again):
            self._delays.recovered(key, now)
        for key in self._failing if asked_for else ():
            self._delays.hold(key, now + asked_for)
        self._log_recovery(fine, followed, self._rounds if self._is_down else failures)
        self._is_down, self._rounds = False, 0
        return {kind for kind, _ in again}

    def _is_everything(self) -> bool:
        return all(key in self._failing for key, state in self._states.items() if state.held)

    # --- what is told

    def _log_failing(self, new: Sequence[tuple[Kind, str, K8sMcpError]]) -> None:
        """A line for each way of failing: each message names its kind, but says the same."""
        if len(self._states) > 1 and self._is_everything():
            if not self._is_down:
                log.warning("%s cannot be followed, what is cached stays: %s", self._cluster, one_line(new[0][2]))
            self._is_down = True
            return
        alike: dict[tuple[type, int], list[tuple[Kind, str, K8sMcpError]]] = {}
        for one in new:
            error = one[2]
            alike.setdefault((type(error), error.status if isinstance(error, ClusterError) else 0), []).append(one)
        for group in alike.values():
            names = first_few([_named(kind.name, scope) for kind, scope, _ in group], NAMES_TOLD)
            why = one_line(group[0][2])
            log.warning("%s %s cannot be followed, what is cached stays: %s", self._cluster, names, why)

    def _log_recovery(self, fine: Collection[KeptScope], followed: Sequence[KeptScope], failures: int) -> None:
        recovered = f"(recovered after {counted(failures, 'failure')})"
        if self._is_down:
            names = [_named(*key) for key in self._states if key in self._failing]
            but = f", but not yet {first_few(names, NAMES_TOLD)}" if names else ""
            how = "can be followed again" if fine else "answers again"
            log.info("%s %s %s%s", self._cluster, how, recovered, but)
        elif followed:
            names = [_named(*state.key) for state in followed]
            log.info("%s %s can be followed again %s", self._cluster, first_few(names, NAMES_TOLD), recovered)


def _named(kind: str, scope: str) -> str:
    return f"{kind} in namespace {scope}" if scope else kind
