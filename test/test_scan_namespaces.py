"""Kinds of which only single namespaces may be listed, when some of these fail. A scripted API, a real cache."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from cache.cache_manager import CacheManager
from cache.cache_reader import CacheReader, ListQuery
from cache.freshness import Freshness
from cache_fixtures import CLUSTER, Clock, api_object
from configuration.errors import ClusterError, K8sMcpError, KindNotServed, NeverScanned, NotPermitted, Unreachable
from kinds.registry import KINDS
from mcp_tools.tool_loader import ToolResult
from scan_fixtures import ScriptedTools, coordinator_with
from scanner.scan_coordinator import ScanCoordinator
from scanner.scan_report import KindReport, ScanReport
from scanner.schedule import Schedule
from scanner.status_command import _kind_status

PODS = KINDS["pods"]
NAMESPACES = ("a", "m", "z")
REFUSAL = "pods is forbidden at the cluster scope"


@dataclass
class NarrowTools(ScriptedTools):
    """Pods may be listed in `a`, `m` and `z`, one pod in each. `failing` maps a namespace to what its LIST is answered."""

    failing: dict[str, K8sMcpError] = field(default_factory=dict)
    listed: list[str] = field(default_factory=list)

    async def call(self, name: str, arguments: Mapping[str, Any], *, timeout_seconds: float = 30) -> ToolResult:
        if name == "k8s_export_page":
            namespace = arguments.get("namespace", "")
            if not namespace:
                raise NotPermitted(REFUSAL, status=403)
            self.listed.append(namespace)
            if namespace in self.failing:
                raise self.failing[namespace]
            self.objects[CLUSTER, "pods"] = [api_object("pods", "web", namespace)]
        return await super().call(name, arguments, timeout_seconds=timeout_seconds)


async def permitted(_: Mapping[str, Any]) -> dict[str, Any]:
    return {"permitted": {"pods": list(NAMESPACES)}}


async def no_changes(arguments: Mapping[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(arguments["wait_seconds"])
    results = [watch | {"changes": [], "heard_at": 1.0, "live": True} for watch in arguments["watches"]]
    return {"results": results, "redactor_version": "1", "key_id": "k"}


async def counts(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"results": [one | {"count": 1, "resource_version": ""} for one in arguments["counts"]]}


@dataclass
class Narrow:
    """A scanner of pods in three namespaces."""

    coordinator: ScanCoordinator
    tools: NarrowTools
    reader: CacheReader
    clock: Clock
    reports: list[KindReport] = field(default_factory=list)

    async def tick(self) -> None:
        self.coordinator.tick(self.clock.now)
        await self.coordinator.settle()

    def rows(self) -> dict[str, Freshness]:
        return {row.scope: row for row in self.reader.freshness_all(CLUSTER)}

    def note(self, namespace: str | None = None) -> str:
        return self.reader.list(CLUSTER, ListQuery(PODS, namespace=namespace)).envelope.note


@pytest.fixture
async def narrow(open_manager: Callable[..., CacheManager], clock: Clock) -> Any:
    tools = NarrowTools({(CLUSTER, "pods"): []})
    tools.offered = {"k8s_permitted_namespaces": permitted}
    manager = open_manager(register=False)
    reader = CacheReader(manager.path, clock=clock)

    async def contexts() -> list[str]:
        return [CLUSTER]

    async def no_pause(_: float) -> None:
        await asyncio.sleep(0)

    coordinator = coordinator_with(
        tools, manager, reader, contexts=contexts, kinds={"pods": PODS}, clock=clock, sleep=no_pause,
        schedule=Schedule(static_interval=1800, dynamic_interval=300, cleanup_interval=300),
    )  # fmt: skip
    found = Narrow(coordinator, tools, reader, clock)
    coordinator.on_report = found.reports.append
    yield found
    await coordinator.stop()
    reader.close()


async def test_a_namespace_that_fails_hides_none_of_the_others_and_is_tried_again_soon(narrow: Narrow) -> None:
    narrow.tools.failing["m"] = ClusterError("cannot list pods in namespace m: HTTP 500", status=500)
    await narrow.tick()
    rows = narrow.rows()
    assert {scope: row.scanned for scope, row in rows.items()} == {"": False, "a": True, "m": False, "z": True}
    assert rows[""].last_error == REFUSAL, "the last word about the whole cluster"
    report = narrow.reports[-1]
    assert (report.outcome, report.error) == (
        "failed", "1 of 3 namespaces failed (m): cannot list pods in namespace m: HTTP 500"
    )  # fmt: skip
    narrow.tools.failing.clear()
    narrow.clock.now += 14
    await narrow.tick()
    assert len(narrow.reports) == 1, "its delay has not passed"
    narrow.clock.now += 2
    await narrow.tick()
    assert narrow.reports[-1].outcome == "scanned"
    assert narrow.rows()["m"].complete


async def test_who_reads_is_told_why_a_namespace_is_missing_and_nothing_untrue(narrow: Narrow) -> None:
    narrow.tools.failing["m"] = ClusterError("HTTP 500 of m", status=500)
    await narrow.tick()
    assert narrow.note("z") == ""
    assert "HTTP 500 of m" in narrow.note()
    with pytest.raises(NeverScanned, match="HTTP 500 of m"):
        narrow.note("m")
    with pytest.raises(NotPermitted, match="forbidden at the cluster scope"):
        narrow.note("elsewhere")


async def test_a_namespace_that_fails_is_a_failure_in_status_and_exit_code(narrow: Narrow) -> None:
    narrow.tools.failing["m"] = ClusterError("HTTP 500 of m", status=500)
    for _ in range(2):  # the first time, and when it is scanned by the next cron job
        report = await narrow.coordinator.scan_once([CLUSTER], [PODS])
        problem = report.problem()
        assert isinstance(report, ScanReport)
        assert "(m): HTTP 500 of m" in str(problem)
    status = _kind_status(CLUSTER, "pods", list(narrow.rows().values()), narrow.clock.now)
    assert (status.state, status.objects, status.error) == ("failed", 2, "in m: HTTP 500 of m")


async def test_a_namespace_that_is_refused_meanwhile_neither_fails_nor_delays_the_kind(narrow: Narrow) -> None:
    narrow.tools.failing["m"] = NotPermitted("pods is forbidden in m", status=403)
    await narrow.tick()
    assert (narrow.reports[-1].outcome, narrow.reports[-1].namespaces) == ("scanned", ("a", "z"))
    assert narrow.rows()["m"].permitted is False
    narrow.clock.now += 240
    await narrow.tick()
    assert len(narrow.reports) == 2
    with pytest.raises(NotPermitted, match="forbidden in m"):
        narrow.note("m")


async def test_a_cluster_that_stops_answering_is_not_asked_for_every_namespace(narrow: Narrow) -> None:
    asked: list[str] = []

    def identity(context: str) -> None:
        asked.append(context)
        if len(asked) > 1:
            raise Unreachable("nobody answers")

    narrow.tools.before_identity = identity
    narrow.tools.failing["m"] = Unreachable("connection refused")
    await narrow.tick()
    assert "z" not in narrow.tools.listed
    errors = {scope: row.last_error for scope, row in narrow.rows().items()}
    assert errors == {"": REFUSAL, "a": None, "m": "connection refused", "z": "nobody answers"}


async def test_a_failure_of_the_whole_cluster_is_one_of_its_namespaces_and_no_word_about_rights(narrow: Narrow) -> None:
    await narrow.tick()

    def identity(_: str) -> None:
        raise Unreachable("nobody answers")

    narrow.tools.before_identity = identity
    narrow.clock.now += 600
    await narrow.tick()
    errors = {scope: row.last_error for scope, row in narrow.rows().items()}
    assert errors == {"": REFUSAL, "a": "nobody answers", "m": "nobody answers", "z": "nobody answers"}
    assert _kind_status(CLUSTER, "pods", list(narrow.rows().values()), narrow.clock.now).state == "failed"
    with pytest.raises(NotPermitted, match="forbidden at the cluster scope"):
        narrow.note("elsewhere")


async def test_the_other_namespaces_are_followed_while_one_waits_for_its_next_try(narrow: Narrow) -> None:
    narrow.tools.offered |= {"k8s_list_changes": no_changes, "k8s_count_objects": counts}
    narrow.tools.failing["m"] = ClusterError("HTTP 500 of m", status=500)
    await narrow.tick()
    narrow.clock.now += 1
    await narrow.tick()
    assert narrow.coordinator._keeping.followed(CLUSTER) == {"pods"}


async def test_a_kind_that_no_namespace_knows_any_more_is_not_served_and_asked_for_rarely(narrow: Narrow) -> None:
    await narrow.tick()
    narrow.tools.failing = dict.fromkeys(NAMESPACES, KindNotServed("no such kind", status=404))
    narrow.clock.now += 300
    await narrow.tick()
    assert narrow.reports[-1].outcome == "not_served"
    tried = len(narrow.tools.listed)
    status = _kind_status(CLUSTER, "pods", list(narrow.rows().values()), narrow.clock.now)
    assert (status.state, status.objects) == ("no longer served", 3)
    assert "did not serve pods" in narrow.note()
    narrow.clock.now += 300
    await narrow.tick()
    assert len(narrow.tools.listed) == tried
