"""A coordinator that follows one cluster of scripted answers, into a real cache."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from cache.cache_manager import CacheManager
from cache.cache_reader import CacheReader
from cache_fixtures import CLUSTER, Clock
from kinds.registry import KINDS
from scan_fixtures import ScriptedTools, coordinator_with, pod
from scanner.cluster_follower import ClusterFollower
from scanner.lost_kinds import LostKinds
from scanner.retry_delays import RetryDelays
from scanner.scan_coordinator import ScanCoordinator
from scanner.scan_report import KindReport
from scanner.schedule import Schedule

TARGET = CLUSTER, "pods"
Watch = Mapping[str, Any]
Answer = Callable[[Watch], dict[str, Any] | None]


def problem(type_: str, status: int = 0) -> dict[str, Any]:
    return {"error": {"type": type_, "message": f"a scripted {type_}", "status": status, "reason": type_}}


@dataclass
class ScriptedChanges:
    """`k8s_list_changes` and `k8s_count_objects`: `answer(watch)` gives what is new of a watch, None for nothing."""

    tools: ScriptedTools
    answer: Answer = lambda _: None
    version: str = ""
    """The API server's, as its counts tell it."""
    live: bool = True
    """Whether the held watches are."""
    caught_up_at: float = 1.0
    """When the API server was heard in answer to a question that is not held."""
    unheld: dict[str, Any] | None = None
    """What such a question is answered, if not as `answer` says."""
    uncounted: dict[str, Any] | None = None
    """What every count is answered, if it is not counted."""
    asks: list[list[str]] = field(default_factory=list)
    """The kinds of each held question."""
    catch_ups: int = 0
    counted: list[int] = field(default_factory=list)
    """How many counts each question asked for."""
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    polling: int = 0

    def install(self) -> None:
        self.tools.offered = {"k8s_list_changes": self._changes, "k8s_count_objects": self._counts}

    async def _changes(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        watches = arguments["watches"]
        if arguments["hold"]:
            self.asks.append([watch["kind"] for watch in watches])
        else:
            self.catch_ups += 1
        answers = [self.answer(watch) if arguments["hold"] else self.unheld or self.answer(watch) for watch in watches]
        if arguments["wait_seconds"] and not any(answers):
            self.polling += 1
            try:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.woken.wait(), arguments["wait_seconds"])
            finally:
                self.polling -= 1
            self.woken.clear()
            answers = [self.answer(watch) for watch in watches]
        results = [
            {"kind": watch["kind"], "namespace": watch["namespace"], "cursor": watch["cursor"], "changes": []}
            | {"heard_at": 1.0 if arguments["hold"] else self.caught_up_at, "live": self.live}
            | (answer or {})
            for watch, answer in zip(watches, answers, strict=True)
        ]
        return {"results": results, "redactor_version": "1", "key_id": "k"}

    async def _counts(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        self.counted.append(len(arguments["counts"]))
        results = [
            one
            | {"count": len(self.tools.objects.get((arguments["context"], one["kind"]), ())), "resource_version": self.version}
            | ({"count": None} | self.uncounted if self.uncounted else {})
            for one in arguments["counts"]
        ]
        return {"results": results}


@dataclass
class Laboratory:
    coordinator: ScanCoordinator
    tools: ScriptedTools
    feed: ScriptedChanges
    clock: Clock
    steady: Clock
    reports: list[KindReport] = field(default_factory=list)

    def lists(self, kind: str = "pods") -> int:
        return sum(name == kind for _, name, _ in self.tools.calls)

    async def tick(self) -> None:
        self.coordinator.tick(self.clock.now)
        await self.coordinator.settle()

    @property
    def follower(self) -> ClusterFollower:
        return self.coordinator._keeping._followers[CLUSTER][0]

    def followed(self) -> set[str]:
        return self.coordinator._keeping.followed(CLUSTER)


@pytest.fixture
async def laboratory(open_manager: Callable[..., CacheManager], clock: Clock) -> Any:
    tools = ScriptedTools({TARGET: [pod(1)], (CLUSTER, "services"): []})
    feed = ScriptedChanges(tools)
    feed.install()
    manager = open_manager(register=False)
    reader = CacheReader(manager.path, clock=clock)
    steady = Clock()

    async def contexts() -> list[str]:
        return [CLUSTER]

    coordinator = coordinator_with(
        tools, manager, reader, contexts=contexts, kinds={name: KINDS[name] for name in ("pods", "services")}, clock=clock,
        schedule=Schedule(static_interval=1800, dynamic_interval=300, cleanup_interval=300, full_list_interval=1_000_000),
        lost=LostKinds(steady, RetryDelays(jitter=lambda: 1.0)),
    )  # fmt: skip
    found = Laboratory(coordinator, tools, feed, clock, steady)
    coordinator.on_report = found.reports.append
    yield found
    await coordinator.stop()
    reader.close()


async def eventually(holds: Callable[[], Any], what: str, seconds: float = 20) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not holds():
        assert asyncio.get_running_loop().time() < deadline, f"waited {seconds:.0f} s in vain for {what}"
        await asyncio.sleep(0.01)


def only(kind: str, answer: dict[str, Any]) -> Answer:
    return lambda watch: answer if watch["kind"] == kind else None
