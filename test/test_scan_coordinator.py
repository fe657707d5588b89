"""What is due when, how much at once, and that one thing failing costs only itself. A scripted API, a real cache."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from cache.cache_manager import CacheManager, ClusterIdentity
from cache.cache_reader import CacheReader
from cache.refresh_requests import request_refresh
from cache.ttl_manager import TtlPolicy
from cache_fixtures import CLUSTER, Clock
from configuration.errors import NotPermitted, ToolError, Unreachable
from kinds.registry import KINDS
from scan_fixtures import Failing, ScriptedTools, coordinator_with, pod, query
from scanner.clock_watch import run_jobs_when_the_clock_is_set
from scanner.daemon import DaemonWatch, hand_out, tick_seconds
from scanner.fair_slots import FairSlots
from scanner.scan_coordinator import ScanCoordinator
from scanner.schedule import Schedule
from scanner.settings import ScannerSettings
from scanner.systemd_notify import ServiceManager

TWO_KINDS = {name: KINDS[name] for name in ("pods", "services")}  # one dynamic, one static
MakeCoordinator = Callable[..., ScanCoordinator]


@pytest.fixture
def tools() -> ScriptedTools:
    return ScriptedTools({(CLUSTER, "pods"): [pod(1), pod(2)], (CLUSTER, "services"): []})


@pytest.fixture
async def make(tools: ScriptedTools, open_manager: Callable[..., CacheManager], clock: Clock) -> Any:
    made: list[tuple[ScanCoordinator, CacheReader]] = []

    def build(
        *, contexts: Sequence[str] = (CLUSTER,), limit: int = 3, policy: TtlPolicy | None = None, kinds: Any = TWO_KINDS,
        static_interval: float = 1800, dynamic_interval: float = 300, cleanup_interval: float = 300,
    ) -> ScanCoordinator:  # fmt: skip
        manager = open_manager(register=False, policy=policy or TtlPolicy())
        reader = CacheReader(manager.path, clock=clock)

        async def known() -> Sequence[str]:
            return contexts

        async def no_pause(_: float) -> None:
            await asyncio.sleep(0)

        coordinator = coordinator_with(
            tools, manager, reader, contexts=known, kinds=kinds, clock=clock, sleep=no_pause, limit=limit,
            schedule=Schedule(
                static_interval=static_interval, dynamic_interval=dynamic_interval, cleanup_interval=cleanup_interval
            ),
        )  # fmt: skip
        made.append((coordinator, reader))
        return coordinator

    yield build
    for coordinator, reader in made:
        await coordinator.stop()
        reader.close()


async def ticked(coordinator: ScanCoordinator, clock: Clock) -> None:
    coordinator.tick(clock.now)
    await coordinator.settle()


def scanned(tools: ScriptedTools) -> list[str]:
    """The kinds that were listed since the last look, sorted."""
    kinds = sorted(kind for _, kind, _ in tools.calls)
    tools.calls.clear()
    return kinds


async def test_a_first_tick_scans_everything(make: MakeCoordinator, tools: ScriptedTools, clock: Clock) -> None:
    await ticked(make(), clock)
    assert scanned(tools) == ["pods", "services"]


async def test_a_tick_returns_at_once(make: MakeCoordinator, tools: ScriptedTools, clock: Clock) -> None:
    tools.before_identity = lambda _: asyncio.Event().wait()
    coordinator = make()
    coordinator.tick(clock.now)
    assert tools.calls == []
    await coordinator.stop()


@pytest.mark.parametrize(
    ("settings", "dynamic_due_after"),
    [
        ({}, 240),
        ({"dynamic_interval": 100}, 80),
        ({"policy": TtlPolicy(dynamic_ttl=50)}, 40),
        ({"dynamic_interval": 600}, 240),
    ],
)
async def test_a_dynamic_kind_is_due_at_four_fifths_of_the_shorter_of_interval_and_ttl(
    make: MakeCoordinator, tools: ScriptedTools, clock: Clock, settings: dict[str, Any], dynamic_due_after: int
) -> None:
    coordinator = make(**settings)
    await ticked(coordinator, clock)
    scanned(tools)
    start = clock.now
    clock.now = start + dynamic_due_after - 1
    await ticked(coordinator, clock)
    assert scanned(tools) == []
    clock.now = start + dynamic_due_after
    await ticked(coordinator, clock)
    assert scanned(tools) == ["pods"]


@pytest.mark.parametrize(
    ("settings", "static_due_after"),
    [({}, 1440), ({"static_interval": 500}, 400), ({"policy": TtlPolicy(static_ttl=1000)}, 800)],
)
async def test_a_static_kind_is_due_on_its_own_interval(
    make: MakeCoordinator, tools: ScriptedTools, clock: Clock, settings: dict[str, Any], static_due_after: int
) -> None:
    coordinator = make(**settings)
    await ticked(coordinator, clock)
    scanned(tools)
    clock.now += static_due_after - 1
    await ticked(coordinator, clock)
    assert "services" not in scanned(tools)
    clock.now += 1
    await ticked(coordinator, clock)
    assert "services" in scanned(tools)


@pytest.mark.parametrize("ttl", [20, 300])
async def test_a_healthy_cache_is_never_stale(make: MakeCoordinator, tools: ScriptedTools, clock: Clock, ttl: int) -> None:
    """Ticks as the daemon makes them, scans that take a twentieth of the TTL: at no second is anything stale."""
    coordinator = make(policy=TtlPolicy(dynamic_ttl=ttl, static_ttl=3 * ttl))
    every = tick_seconds(ScannerSettings(cache_dynamic_ttl=ttl, cache_static_ttl=3 * ttl))
    await ticked(coordinator, clock)
    end, next_tick = clock.now + 20 * ttl, clock.now + every
    while clock.now < end:
        clock.now = next_tick
        next_tick += every
        before = coordinator._freshness()
        finished_at = clock.now + ttl / 20
        assert all(row.is_fresh(finished_at) for row in before), "stale while the scan that is due now would still run"
        await ticked(coordinator, clock)


def test_the_daemon_ticks_every_minute_or_as_often_as_the_shortest_ttl_needs() -> None:
    assert tick_seconds(ScannerSettings()) == 15
    assert tick_seconds(ScannerSettings(cache_dynamic_ttl=3600, scanner_dynamic_interval=3600)) == 60
    assert tick_seconds(ScannerSettings(scanner_dynamic_interval=10)) == 1


async def test_a_kind_is_never_scanned_twice_at_a_time(make: MakeCoordinator, tools: ScriptedTools, clock: Clock) -> None:
    release = asyncio.Event()
    tools.before_page = lambda *_: release.wait()
    coordinator = make()
    for _ in range(3):
        coordinator.tick(clock.now)
        await eventually(lambda: len(tools.calls) >= 2 and not coordinator._background)
        clock.now += 1000
    assert scanned(tools) == ["pods", "services"]
    release.set()
    await coordinator.settle()
    assert coordinator.running == ()


@pytest.mark.parametrize("limit", [1, 3])
async def test_the_concurrent_limit_holds_over_all_clusters(
    make: MakeCoordinator, tools: ScriptedTools, clock: Clock, limit: int
) -> None:
    clusters = [f"c{number}" for number in range(4)]
    gate = asyncio.Event()
    tools.before_page = lambda *_: gate.wait()
    coordinator = make(contexts=clusters, limit=limit, kinds=KINDS)
    coordinator.tick(clock.now)
    await eventually(lambda: len(coordinator.running) == 4 * len(KINDS) and tools.running == limit)
    gate.set()
    await coordinator.settle()
    assert len(tools.calls) == 4 * len(KINDS)
    assert tools.most_running == limit


async def test_a_free_slot_goes_to_the_waiting_cluster_that_holds_the_fewest() -> None:
    slots = FairSlots(2)
    slots.share_between(2)
    order: list[str] = []
    release = asyncio.Event()

    async def work(cluster: str) -> None:
        async with slots.slot(cluster):
            order.append(cluster)
            await release.wait()

    tasks = [asyncio.create_task(work(cluster)) for cluster in ("busy", "busy", "busy", "other")]
    await eventually(lambda: len(order) == 2)
    assert order == ["busy", "other"]
    release.set()
    await asyncio.gather(*tasks)
    assert sorted(order) == ["busy", "busy", "busy", "other"]


async def test_a_slot_is_free_again_when_who_waited_for_it_was_cancelled() -> None:
    slots = FairSlots(1)
    async with slots.slot("a"):
        waiting = asyncio.create_task(slots.slot("a").__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(5), slots.slot("b"):
        pass


async def test_a_cluster_that_hangs_does_not_delay_another(make: MakeCoordinator, tools: ScriptedTools, clock: Clock) -> None:
    async def hang(context: str, *_: str) -> None:
        if context == "dead":
            await asyncio.Event().wait()

    tools.before_page = hang
    kinds = dict(list(KINDS.items())[:8])
    coordinator = make(contexts=["dead", "alive"], limit=2, kinds=kinds)
    coordinator.tick(clock.now)
    await eventually(lambda: len(query_kinds(coordinator, "alive")) == len(kinds))


async def test_a_kind_that_fails_costs_only_itself_and_is_recorded(
    make: MakeCoordinator, tools: ScriptedTools, clock: Clock
) -> None:
    tools.before_page = Failing(ToolError("the page is nonsense"), lambda _c, kind, _t: kind == "pods")
    coordinator = make()
    await ticked(coordinator, clock)
    rows = {row.kind: row for row in coordinator._freshness()}
    assert rows["services"].last_error is None
    assert rows["services"].complete
    assert rows["pods"].last_error == "the page is nonsense"
    assert not rows["pods"].scanned


async def test_escape_sequences_in_an_answer_of_the_api_server_are_not_recorded(
    make: MakeCoordinator, tools: ScriptedTools, clock: Clock
) -> None:
    tools.before_page = Failing(ToolError("denied by \x1b[2J\x1b]0;owned\x07 a\r\nwebhook\u202e \x9b31m"))
    coordinator = make()
    await ticked(coordinator, clock)
    assert {row.last_error for row in coordinator._freshness()} == {"denied by [2J]0;owned a webhook 31m"}


async def test_a_defect_of_ours_costs_only_its_kind(
    make: MakeCoordinator, tools: ScriptedTools, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    tools.before_page = Failing(ZeroDivisionError("ours"), lambda _c, kind, _t: kind == "pods")  # type: ignore[arg-type]
    coordinator = make()
    await ticked(coordinator, clock)
    rows = {row.kind: row for row in coordinator._freshness()}
    assert rows["services"].complete
    assert "ZeroDivisionError" in str(rows["pods"].last_error)
    assert "unexpected failure" in caplog.text


async def test_a_failed_kind_is_tried_again_further_and_further_apart(
    make: MakeCoordinator, tools: ScriptedTools, clock: Clock
) -> None:
    tools.before_page = Failing(ToolError("no"), lambda _c, kind, _t: kind == "pods")
    coordinator = make()
    start, tries = clock.now, []
    while clock.now < start + 300:
        await ticked(coordinator, clock)
        tries += [int(clock.now - start)] * scanned(tools).count("pods")
        clock.now += 5
    assert tries == [0, 15, 45, 105, 225]


async def test_a_recovery_is_logged_once(
    make: MakeCoordinator, tools: ScriptedTools, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    failing = Failing(ToolError("no"), lambda _c, kind, _t: kind == "pods")
    tools.before_page = failing
    coordinator = make()
    await ticked(coordinator, clock)
    clock.now += 20
    await ticked(coordinator, clock)
    failing.on = False
    with caplog.at_level(logging.INFO, "scanner"):
        for _ in range(3):
            clock.now += 500
            await ticked(coordinator, clock)
    assert [record.message for record in caplog.records if "recovered after 2 failures" in record.message] != []
    assert caplog.text.count("recovered") == 1


async def test_a_refused_kind_is_recorded_as_such_and_asked_for_rarely(
    make: MakeCoordinator, tools: ScriptedTools, clock: Clock
) -> None:
    tools.before_page = Failing(NotPermitted("pods is forbidden", status=403), lambda _c, kind, _t: kind == "pods")
    coordinator = make()
    await ticked(coordinator, clock)
    assert {row.kind: row.permitted for row in coordinator._freshness()} == {"pods": False, "services": True}
    scanned(tools)
    clock.now += 1700
    await ticked(coordinator, clock)
    assert "pods" not in scanned(tools)
    clock.now += 101
    await ticked(coordinator, clock)
    assert "pods" in scanned(tools)


async def test_a_cluster_that_does_not_answer_costs_one_try_not_one_for_each_kind(
    make: MakeCoordinator, tools: ScriptedTools, clock: Clock
) -> None:
    tools.before_identity = Failing(Unreachable("connection refused"))
    coordinator = make(kinds=KINDS)
    await ticked(coordinator, clock)
    assert tools.calls == []
    assert {row.last_error for row in coordinator._freshness()} == {"connection refused"}
    assert len(coordinator._freshness()) == len(KINDS)


async def test_a_cluster_that_stops_answering_in_between_is_not_asked_for_every_kind(
    make: MakeCoordinator, tools: ScriptedTools, clock: Clock
) -> None:
    tools.before_page = Failing(Unreachable("connection refused"))
    await ticked(make(kinds=KINDS, limit=1), clock)
    assert {kind for _, kind, _ in tools.calls} == {next(iter(KINDS))}


async def test_a_refresh_request_is_served_though_nothing_is_due(
    make: MakeCoordinator, tools: ScriptedTools, clock: Clock
) -> None:
    coordinator = make()
    await ticked(coordinator, clock)
    scanned(tools)
    path = coordinator._cache.path
    request_refresh(path, cluster=CLUSTER, kind="services", reason="somebody changed one", clock=clock)
    request_refresh(path, cluster="unknown", kind="services", clock=clock)
    coordinator.serve_requests()
    await coordinator.settle()
    assert scanned(tools) == ["services"]
    coordinator.serve_requests()
    await coordinator.settle()
    assert scanned(tools) == []


async def test_a_request_before_the_first_round_waits_for_it(make: MakeCoordinator, tools: ScriptedTools, clock: Clock) -> None:
    coordinator = make()
    await ticked(coordinator, clock)
    path = coordinator._cache.path
    await coordinator.stop()
    scanned(tools)
    request_refresh(path, cluster=CLUSTER, kind="services", clock=clock)
    restarted = make()
    restarted.serve_requests()
    await restarted.settle()
    await ticked(restarted, clock)
    assert scanned(tools) == []
    restarted.serve_requests()
    await restarted.settle()
    assert scanned(tools) == ["services"]


def hold_back(tools: ScriptedTools, held: str) -> tuple[asyncio.Event, asyncio.Event]:
    """LISTs of this kind set the first event when they begin, and wait for the second."""
    started, go_on = asyncio.Event(), asyncio.Event()

    async def hold(_context: str, kind: str, _token: str) -> None:
        if kind == held:
            started.set()
            await go_on.wait()

    tools.before_page = hold
    return started, go_on


async def test_what_is_asked_for_while_it_is_being_listed_is_listed_again(
    make: MakeCoordinator, tools: ScriptedTools, clock: Clock
) -> None:
    started, go_on = hold_back(tools, "services")
    coordinator = make()
    coordinator.tick(clock.now)
    await started.wait()
    request_refresh(coordinator._cache.path, cluster=CLUSTER, kind="services", clock=clock)
    coordinator.serve_requests()
    await eventually(lambda: "requests" not in coordinator._background)
    served = "SELECT count(*) FROM refresh_requests WHERE served_at"
    assert query(coordinator._cache.path, served) == [(0,)]
    go_on.set()
    await coordinator.settle()
    coordinator.serve_requests()
    await coordinator.settle()
    assert scanned(tools) == ["pods", "services", "services"]
    assert query(coordinator._cache.path, served) == [(1,)]


async def test_a_refresh_request_waits_until_a_scan_has_succeeded_and_others_requests_are_left_alone(
    make: MakeCoordinator, tools: ScriptedTools, clock: Clock
) -> None:
    coordinator = make()
    await ticked(coordinator, clock)
    path = coordinator._cache.path
    served = "SELECT cluster, kind FROM refresh_requests WHERE served_at"
    for cluster, kind in ((CLUSTER, "services"), ("unknown", "services"), (CLUSTER, "unknown")):
        request_refresh(path, cluster=cluster, kind=kind, clock=clock)
    tools.before_page = failing = Failing(Unreachable("connection refused"))
    scanned(tools)
    for tried in ({"services"}, set(), set()):  # at once, and again only when its time has come
        coordinator.serve_requests()
        await coordinator.settle()
        assert set(scanned(tools)) == tried
    assert query(path, served) == []
    failing.on = False
    clock.now += 60
    coordinator.serve_requests()
    await coordinator.settle()
    assert scanned(tools) == ["services"]
    assert query(path, served) == [(CLUSTER, "services")]


async def test_a_refresh_request_whose_scan_was_broken_off_is_served_by_the_next_scanner(
    make: MakeCoordinator, tools: ScriptedTools, clock: Clock
) -> None:
    first = make()
    await ticked(first, clock)
    request_refresh(first._cache.path, cluster=CLUSTER, kind="services", clock=clock)
    tools.before_page = lambda *_: asyncio.Event().wait()
    scanned(tools)
    first.serve_requests()
    await eventually(lambda: bool(tools.calls))
    await first.stop()
    tools.before_page = None
    scanned(tools)
    second = make()
    await ticked(second, clock)
    second.serve_requests()
    await second.settle()
    assert scanned(tools) == ["services"]
    assert query(first._cache.path, "SELECT count(*) FROM refresh_requests WHERE served_at IS NULL") == [(0,)]


async def test_old_history_is_cleaned_up_on_its_own_interval(make: MakeCoordinator, tools: ScriptedTools, clock: Clock) -> None:
    coordinator = make(policy=TtlPolicy(history_retention=1000), cleanup_interval=600)
    await ticked(coordinator, clock)
    tools.objects[CLUSTER, "pods"].pop()
    clock.now += 300
    await ticked(coordinator, clock)
    count = "SELECT count(*) FROM deleted_objects"
    assert query(coordinator._cache.path, count) == [(1,)]
    clock.now += 1100
    await ticked(coordinator, clock)
    assert query(coordinator._cache.path, count) == [(0,)]


async def test_stopping_cancels_scans_and_shows_nothing_half(make: MakeCoordinator, tools: ScriptedTools, clock: Clock) -> None:
    tools.page_size = 1

    async def stall(_context: str, kind: str, token: str) -> None:
        if kind == "pods" and token:
            await asyncio.Event().wait()

    tools.before_page = stall
    coordinator = make()
    coordinator.tick(clock.now)
    await eventually(lambda: (CLUSTER, "pods", "1") in tools.calls)
    await coordinator.stop()
    assert coordinator.running == ()
    assert query(coordinator._cache.path, "SELECT count(*) FROM pods") == [(0,)]
    assert query(coordinator._cache.path, "SELECT count(*) FROM cache_metadata WHERE kind = 'pods'") == [(0,)]


async def test_one_run_reports_every_cluster_and_kind(make: MakeCoordinator, tools: ScriptedTools) -> None:
    tools.before_page = Failing(NotPermitted("no", status=403), lambda context, kind, _t: (context, kind) == ("b", "pods"))
    report = await make().scan_once(["a", "b"], list(TWO_KINDS.values()))
    assert [(row.cluster, row.kind, row.outcome) for row in report.kinds] == [
        ("a", "pods", "scanned"),
        ("a", "services", "scanned"),
        ("b", "pods", "not_permitted"),
        ("b", "services", "scanned"),
    ]
    assert report.problem() is None
    named = report.problem(["pods", "services"])
    assert named is not None
    assert named.exit_code == 3


def query_kinds(coordinator: ScanCoordinator, cluster: str) -> set[str]:
    return {row.kind for row in coordinator._freshness() if row.cluster == cluster and row.complete}


async def eventually(holds: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110  the database sets no asyncio.Event
            await asyncio.sleep(0.01)


async def test_a_clock_that_is_set_back_stops_neither_scans_nor_retries(
    make: MakeCoordinator, tools: ScriptedTools, clock: Clock
) -> None:
    failing = Failing(Unreachable("refused"), lambda _c, kind, _t: kind == "services")
    tools.before_page = failing
    coordinator = make()
    await ticked(coordinator, clock)
    scanned(tools)
    failing.on = False
    clock.now -= 3600
    await ticked(coordinator, clock)
    assert scanned(tools) == ["pods", "services"]
    await ticked(coordinator, clock)
    assert scanned(tools) == []


async def test_jobs_run_at_once_after_the_clock_was_set_back() -> None:
    wall = Clock()
    ran = asyncio.Event()

    async def job() -> None:
        ran.set()

    scheduler = AsyncIOScheduler(timezone="UTC")
    scheduler.start()
    scheduler.add_job(job, "interval", seconds=60, next_run_time=datetime.now(UTC) + timedelta(hours=1))
    looks: list[float] = []

    def steady() -> float:
        looks.append(0.0)
        return 0.0

    watching = asyncio.create_task(run_jobs_when_the_clock_is_set(scheduler, wall=wall, steady=steady, look_seconds=0.01))
    try:
        await eventually(lambda: len(looks) > 3)
        assert not ran.is_set(), "a clock that runs evenly changes nothing"
        wall.now -= 3600
        await asyncio.wait_for(ran.wait(), 10)
    finally:
        watching.cancel()
        scheduler.shutdown(wait=False)


async def test_a_clock_that_is_set_ahead_beyond_the_retention_costs_no_history(
    make: MakeCoordinator, tools: ScriptedTools, clock: Clock
) -> None:
    coordinator = make(cleanup_interval=1)
    await ticked(coordinator, clock)
    tools.objects[CLUSTER, "pods"].pop()
    clock.now += 300
    await ticked(coordinator, clock)
    for _ in range(3):
        clock.now += 10 * 86_400
        for _ in range(2):
            await ticked(coordinator, clock)
            clock.now += 60
        assert query(coordinator._cache.path, "SELECT count(*) FROM deleted_objects") == [(1,)]
        clock.now -= 10 * 86_400


async def test_what_is_being_listed_is_not_purged_and_its_deletions_are_found(
    make: MakeCoordinator, tools: ScriptedTools, clock: Clock
) -> None:
    """As after a night with the lid closed: the rows are past their grace, and their LIST takes its time."""
    coordinator = make(policy=TtlPolicy(stale_grace=1000), cleanup_interval=1)
    await ticked(coordinator, clock)
    started, go_on = hold_back(tools, "pods")
    tools.objects[CLUSTER, "pods"].pop()
    clock.now += 1400
    coordinator.tick(clock.now)
    await started.wait()
    for _ in range(2):  # what the first one began may have been too early to find the cluster answering
        clock.now += 2
        coordinator.tick(clock.now)
        await eventually(lambda: "cleanup" not in coordinator._background)
    go_on.set()
    await coordinator.settle()
    path = coordinator._cache.path
    assert query(path, "SELECT count(*) FROM pods") == [(1,)]
    assert query(path, "SELECT name FROM deleted_objects") == [("web-0002",)]


async def test_after_a_long_absence_everything_has_ttl_and_grace_to_be_listed_before_it_is_purged(
    make: MakeCoordinator, tools: ScriptedTools, clock: Clock
) -> None:
    coordinator = make(cleanup_interval=1, dynamic_interval=100)
    await ticked(coordinator, clock)
    tools.before_page = Failing(Unreachable("no answer"), lambda _context, kind, _token: kind == "pods")
    clock.now += 3 * 86_400
    left = []
    for seconds in (0, 10, 40_000, 46_000, 500):  # 86,510 s after the first, TTL and grace are 86,700 s
        clock.now += seconds
        coordinator._cache.register_cluster(ClusterIdentity(cluster=CLUSTER, uid=f"uid-of-{CLUSTER}"))
        await ticked(coordinator, clock)
        await ticked(coordinator, clock)
        left.append(query(coordinator._cache.path, "SELECT count(*) FROM pods")[0][0])
    assert left == [2, 2, 2, 2, 2]
    clock.now += 200
    coordinator._cache.register_cluster(ClusterIdentity(cluster=CLUSTER, uid=f"uid-of-{CLUSTER}"))
    await ticked(coordinator, clock)
    assert query(coordinator._cache.path, "SELECT count(*) FROM pods") == [(0,)]


async def test_a_round_that_hangs_leaves_no_sign_of_life_whatever_else_goes_on(make: MakeCoordinator, clock: Clock) -> None:
    """Neither for the watchdog, which sees `progress_at`, nor for `scanner status --alive`, which sees the heartbeat."""
    coordinator = make(cleanup_interval=1)
    parts: Any = SimpleNamespace(coordinator=coordinator, cache=coordinator._cache, contexts=(CLUSTER,))
    watch = DaemonWatch(parts, ServiceManager({}), None)
    beat = "SELECT last_tick_at FROM scanner"
    for _ in range(2):
        clock.now += 60
        await hand_out(parts, watch)
        await coordinator.settle()
        assert query(coordinator._cache.path, beat) == [(int(clock.now),)]
    known = coordinator._contexts
    coordinator._contexts = lambda: asyncio.Event().wait()  # type: ignore[assignment, return-value]
    clock.now += 60
    await hand_out(parts, watch)
    ended_at, left_at = coordinator.progress_at, clock.now
    for _ in range(3):
        clock.now += 60
        await hand_out(parts, watch)
        coordinator.serve_requests()
        await eventually(lambda: {"requests", "cleanup", "usage"}.isdisjoint(coordinator._background))
    assert coordinator.progress_at == ended_at
    assert query(coordinator._cache.path, beat) == [(int(left_at),)]
    coordinator._contexts = known
    coordinator._background["round"].cancel()
    await coordinator.settle()
    await hand_out(parts, watch)
    assert query(coordinator._cache.path, beat) == [(int(clock.now),)]


async def test_what_the_service_manager_is_told_is_about_the_clusters_that_are_scanned_now(
    make: MakeCoordinator, tools: ScriptedTools, clock: Clock
) -> None:
    coordinator = make(contexts=(CLUSTER, "preview"))
    parts: Any = SimpleNamespace(coordinator=coordinator, cache=coordinator._cache, contexts=(CLUSTER, "preview"))
    watch = DaemonWatch(parts, ServiceManager({}), None)
    tools.before_page = Failing(Unreachable("no answer"), lambda context, _kind, _token: context == "preview")
    for _ in range(2):
        await hand_out(parts, watch)
        await coordinator.settle()
    assert watch.text() == f"scanning {CLUSTER}, preview; failing: preview pods, preview services"

    async def one_left() -> tuple[str, ...]:
        return (CLUSTER,)

    coordinator._contexts = one_left
    for _ in range(2):
        clock.now += 60
        await hand_out(parts, watch)
        await coordinator.settle()
    assert watch.text() == f"scanning {CLUSTER}"
