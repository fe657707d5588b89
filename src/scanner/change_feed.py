"""From `k8s_list_changes` into the cache: asks what is new of some scopes, stores it, and moves them on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from cache.cache_manager import CacheManager
from cache.delta import Delta, DeltaOutcome
from configuration.errors import Expired, K8sMcpError
from mcp_tools.tool_loader import ToolLoader
from scanner.change_answers import TOO_MANY, AnswerError, ChangesAnswer, ParsedChanges, WatchAnswer, decoded, parse_changes
from scanner.kept_scope import KeptScope, ScopeKey
from scanner.resource_parser import Malformed
from scanner.uninterrupted import in_thread

LIST_CHANGES = "k8s_list_changes"
LINGER_SECONDS = 0.4
"""How long the server goes on collecting after a first change: fewer, larger answers."""
ANSWER_SECONDS = 40.0
"""How long an answer may take beyond what it was asked to wait: an API server that hangs is told of after 33 s."""
MOST_WATCHES = 250
"""In one call."""

Strategy = Literal["follow", "catch-up", "check"]
Lost = Literal["", "expired", "redaction", "never listed", "conflict"]
"""Why changes no longer lead on from what is stored; all but `conflict` (somebody else wrote) need a LIST."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What one question gave for one scope. After `error` and `lost` it is where it was.

    `lowest` and `highest`: how many objects the cache held at some time meanwhile.
    """

    state: KeptScope
    changes: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    lowest: int = 0
    highest: int = 0
    malformed: Sequence[Malformed] = ()
    more: bool = False
    lag_seconds: float | None = None
    error: K8sMcpError | None = None
    lost: Lost = ""


@dataclass(slots=True)
class _Part:
    """One scope on its way from the answer into the database."""

    state: KeptScope
    answer: WatchAnswer
    parsed: ParsedChanges | None = None
    outcome: DeltaOutcome | None = None


class ChangeFeed:
    """Reads through `loader`, writes through `cache`; the state that moves is in the scopes. Epoch `clock`."""

    def __init__(
        self, loader: ToolLoader, cache: CacheManager, *, timeout_seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._loader = loader
        self._cache = cache
        self._answer_seconds = min(ANSWER_SECONDS, timeout_seconds)
        self._clock = clock

    async def take(
        self,
        cluster: str,
        states: Sequence[KeptScope],
        *,
        strategy: Strategy,
        hold: bool,
        wait_seconds: int = 0,
        write_freshness: bool = True,
    ) -> list[Taken]:
        """Ask once, store what came, and say so for each scope.

        `write_freshness` False leaves scopes without changes unwritten. Raises K8sMcpError when the whole call or the
        write failed: nothing has moved then.
        """
        taken: list[Taken] = []
        for first in range(0, len(states), MOST_WATCHES):
            part = states[first : first + MOST_WATCHES]
            answer = await self.ask(cluster, part, hold=hold, wait_seconds=wait_seconds)
            taken += await self.store(cluster, part, answer, strategy=strategy, write_freshness=write_freshness)
        return taken

    async def ask(self, cluster: str, states: Sequence[KeptScope], *, hold: bool, wait_seconds: int) -> ChangesAnswer:
        """The call alone; it may be cancelled, and asked again from the same cursors."""
        watches = [{"kind": one.kind.name, "namespace": one.scope, "cursor": one.cursor} for one in states]
        arguments = {
            "context": cluster,
            "watches": watches,
            "wait_seconds": wait_seconds,
            "linger_seconds": LINGER_SECONDS if wait_seconds else 0,
            "hold": hold,
        }
        timeout = wait_seconds + self._answer_seconds
        result = await self._loader.call(LIST_CHANGES, arguments, timeout_seconds=timeout)
        return decoded(result.text, ChangesAnswer, LIST_CHANGES)

    async def store(
        self,
        cluster: str,
        states: Sequence[KeptScope],
        answer: ChangesAnswer,
        *,
        strategy: Strategy,
        write_freshness: bool = True,
    ) -> list[Taken]:
        """Write what came in one transaction, and move the scopes on."""
        answers: Mapping[ScopeKey, WatchAnswer] = {(one.kind, one.namespace): one for one in answer.results}
        parts = [_Part(state, answers.get(state.key) or _unanswered(state)) for state in states]
        for state in states:
            state.redaction = answer.redaction
        good = [part for part in parts if part.answer.error is None and (part.answer.changes or write_freshness)]
        if good:
            await in_thread(lambda: self._write(cluster, good, answer.redaction, strategy))
        return [self._taken(part) for part in parts]

    async def confirm(self, cluster: str, states: Sequence[KeptScope], checked_at: float) -> None:
        """Note that these scopes equalled the cluster at that time, and have as many objects."""
        deltas = [
            Delta(
                kind=state.kind,
                scope=state.scope,
                since=state.stored,
                until=state.cursor,
                changes=(),
                checked_at=checked_at,
                redaction=state.redaction,
                strategy="check",
            )
            for state in states
        ]

        def write() -> list[DeltaOutcome]:
            outcomes = self._cache.apply(cluster, deltas)
            self._cache.record_counted(cluster, [state.key for state in states], checked_at)
            return outcomes

        outcomes = await in_thread(write)
        for state, outcome in zip(states, outcomes, strict=True):
            if outcome.applied:
                state.stored = state.cursor

    def _write(self, cluster: str, parts: Sequence[_Part], redaction: str, strategy: Strategy) -> None:
        deltas = []
        for part in parts:
            state, answer = part.state, part.answer
            part.parsed = parse_changes(answer.changes, state.kind)
            deltas.append(
                Delta(
                    kind=state.kind,
                    scope=state.scope,
                    since=state.stored,
                    until=answer.cursor,
                    changes=part.parsed.changes,
                    checked_at=self._heard_at(answer),
                    redaction=redaction,
                    strategy=strategy,
                )
            )
        for part, outcome in zip(parts, self._cache.apply(cluster, deltas), strict=True):
            part.outcome = outcome

    def _taken(self, part: _Part) -> Taken:
        state, answer, outcome = part.state, part.answer, part.outcome
        state.live = answer.live
        if answer.error is not None:
            return _failed(state, answer.error)
        if outcome is not None and not outcome.applied:
            return Taken(state=state, lost=outcome.why or "conflict", lowest=state.total, highest=state.total)
        before = state.total
        state.cursor = answer.cursor
        state.heard_at = self._heard_at(answer)
        if outcome is None or part.parsed is None:
            return Taken(state=state, lowest=before, highest=before, more=answer.more)
        state.stored = answer.cursor
        state.total = outcome.total
        state.malformed += sum(one.staged is None for one in part.parsed.malformed)
        return Taken(
            state=state,
            changes=len(answer.changes),
            added=outcome.added,
            changed=outcome.changed,
            removed=outcome.removed,
            lowest=min(before + part.parsed.lowest, outcome.total, before),
            highest=max(before + part.parsed.highest, outcome.total, before),
            malformed=part.parsed.malformed,
            more=answer.more,
            lag_seconds=max(0.0, self._clock() - state.heard_at) if answer.changes else None,
        )

    def _heard_at(self, answer: WatchAnswer) -> float:
        """The server's clock may run ahead of ours, or it is not told."""
        return min(answer.heard_at or 0.0, self._clock())


def _unanswered(state: KeptScope) -> WatchAnswer:
    error = AnswerError("ToolError", f"{LIST_CHANGES} left {state.kind.name} out of its answer")
    return WatchAnswer(state.kind.name, state.scope, error=error)


def _failed(state: KeptScope, told: AnswerError) -> Taken:
    error = told.exception(LIST_CHANGES)
    if told.type == TOO_MANY:
        state.held = False
    lost: Lost = "expired" if isinstance(error, Expired) else ""
    return Taken(state=state, error=None if lost else error, lost=lost, lowest=state.total, highest=state.total)
