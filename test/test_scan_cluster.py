"""One list of one kind: pages, staging, and everything that can happen on the way. A scripted API, a real cache."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from cache.cache_manager import CacheManager, ClusterIdentity
from cache.cache_reader import CacheReader
from cache_fixtures import CLUSTER, Clock, api_object
from configuration.errors import ClusterError, Expired, NotPermitted, ToolError, ToolTimeout, Unauthorized, Unreachable
from kinds.registry import KINDS
from scan_fixtures import Failing, ScriptedTools, expired, pod, query, stored_versions
from scanner.cluster_scanner import ClusterScanner, Progress

PODS = KINDS["pods"]


@pytest.fixture
def tools() -> ScriptedTools:
    return ScriptedTools({(CLUSTER, "pods"): [pod(number) for number in range(25)]}, page_size=10)


@pytest.fixture
def scanner(tools: ScriptedTools, manager: CacheManager, clock: Clock) -> ClusterScanner:
    async def no_pause(_: float) -> None:
        await asyncio.sleep(0)

    return ClusterScanner(tools, manager, timeout_seconds=7, now=clock, sleep=no_pause)  # type: ignore[arg-type]


def stored(manager: CacheManager) -> set[tuple[str, str]]:
    return stored_versions(manager.path, "pods", CLUSTER)


async def test_all_pages_become_rows_and_the_report_counts_them(
    scanner: ClusterScanner, tools: ScriptedTools, manager: CacheManager, reader: CacheReader
) -> None:
    seen: list[Progress] = []
    report = await scanner.scan(CLUSTER, PODS, seen.append)
    assert (report.outcome, report.objects, report.added, report.pages) == ("scanned", 25, 25, 3)
    assert len(stored(manager)) == 25
    assert [(one.objects, one.remaining) for one in seen] == [(10, 15), (20, 5), (25, 0)]
    freshness = reader.freshness(CLUSTER, PODS)
    assert freshness is not None
    assert (freshness.resource_version, freshness.complete, freshness.item_count) == ("100", True, 25)


async def test_the_data_counts_as_of_the_start_of_the_list(
    scanner: ClusterScanner, tools: ScriptedTools, reader: CacheReader, clock: Clock
) -> None:
    started = clock.now

    def ten_seconds(*_: str) -> None:
        clock.now += 10

    tools.before_page = ten_seconds
    await scanner.scan(CLUSTER, PODS)
    freshness = reader.freshness(CLUSTER, PODS)
    assert freshness is not None
    assert freshness.last_checked_at == started


async def test_the_next_page_is_fetched_while_the_present_one_is_stored(
    scanner: ClusterScanner, tools: ScriptedTools, manager: CacheManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scanner.page_store import PageStore

    order: list[str] = []
    add = PageStore.add

    async def slow_add(store: PageStore, *page: object) -> object:
        order.append("store begins")
        for _ in range(100):
            await asyncio.sleep(0)
        result = await add(store, *page)  # type: ignore[arg-type]
        order.append("stored")
        return result

    monkeypatch.setattr(PageStore, "add", slow_add)
    tools.before_page = lambda *_: order.append("fetch")
    await scanner.scan(CLUSTER, PODS)
    assert order == ["fetch", *["store begins", "fetch", "stored"] * 2, "store begins", "stored"]


async def test_a_second_scan_of_an_unchanged_cluster_writes_no_rows(
    scanner: ClusterScanner, manager: CacheManager, clock: Clock
) -> None:
    await scanner.scan(CLUSTER, PODS)
    before = query(manager.path, "SELECT rowid, * FROM pods ORDER BY uid")
    clock.now += 60
    report = await scanner.scan(CLUSTER, PODS)
    assert (report.added, report.changed, report.removed, report.objects) == (0, 0, 0, 25)
    assert query(manager.path, "SELECT rowid, * FROM pods ORDER BY uid") == before
    assert query(manager.path, "SELECT count(*) FROM changes") == [(0,)]


async def test_what_is_gone_moves_to_deleted_objects(
    scanner: ClusterScanner, tools: ScriptedTools, manager: CacheManager
) -> None:
    await scanner.scan(CLUSTER, PODS)
    tools.objects[CLUSTER, "pods"] = [pod(number, version=2 if number == 1 else 1) for number in range(24)]
    report = await scanner.scan(CLUSTER, PODS)
    assert (report.added, report.changed, report.removed, report.objects) == (0, 1, 1, 24)
    assert query(manager.path, "SELECT name FROM deleted_objects") == [("web-0024",)]


@pytest.mark.parametrize("failing_page", ["10", "20"])
@pytest.mark.parametrize(
    "error",
    [
        Unreachable("the API server does not answer"),
        Unauthorized("token expired", status=401),
        ToolTimeout("no answer within 7 s"),
        ToolError("nonsense"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_list_that_breaks_off_changes_nothing(
    scanner: ClusterScanner, tools: ScriptedTools, manager: CacheManager, failing_page: str, error: Exception
) -> None:
    await scanner.scan(CLUSTER, PODS)
    before = stored(manager)
    tools.objects[CLUSTER, "pods"] = [pod(number, version=9) for number in range(25)]
    tools.before_page = Failing(error, lambda _c, _k, token: token == failing_page)  # type: ignore[arg-type]
    with pytest.raises(type(error)):
        await scanner.scan(CLUSTER, PODS)
    assert stored(manager) == before
    assert query(manager.path, "SELECT count(*) FROM deleted_objects") == [(0,)]


async def test_a_cancelled_scan_changes_nothing_and_leaves_nobody_writing(
    scanner: ClusterScanner, tools: ScriptedTools, manager: CacheManager
) -> None:
    reached = asyncio.Event()

    async def stall(_context: str, _kind: str, token: str) -> None:
        if token == "20":
            reached.set()
            await asyncio.Event().wait()

    tools.before_page = stall
    task = asyncio.create_task(scanner.scan(CLUSTER, PODS))
    await asyncio.wait_for(reached.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stored(manager) == set()
    assert tools.running == 0
    tools.before_page = None
    assert (await scanner.scan(CLUSTER, PODS)).objects == 25


async def test_an_expired_continue_token_starts_the_list_again(
    scanner: ClusterScanner, tools: ScriptedTools, manager: CacheManager
) -> None:
    pending = [expired()]

    def first_time_only(_context: str, _kind: str, token: str) -> None:
        if token == "20" and pending:
            raise pending.pop()

    tools.before_page = first_time_only
    report = await scanner.scan(CLUSTER, PODS)
    assert (report.objects, report.pages) == (25, 3)
    assert [token for _, _, token in tools.calls] == ["", "10", "20", "", "10", "20"]


async def test_a_list_that_expires_again_and_again_is_given_up(scanner: ClusterScanner, tools: ScriptedTools) -> None:
    tools.before_page = Failing(expired(), lambda _c, _k, token: token == "10")
    with pytest.raises(Expired):
        await scanner.scan(CLUSTER, PODS)
    assert [token for _, _, token in tools.calls] == ["", "10"] * 3


async def test_pages_of_different_lists_are_never_put_together(
    scanner: ClusterScanner, tools: ScriptedTools, manager: CacheManager
) -> None:
    """An object could be missing between two lists and would be taken for deleted."""

    def move_on(*_: str) -> None:
        tools.version += 1

    tools.before_page = move_on
    with pytest.raises(Expired, match="different resource versions"):
        await scanner.scan(CLUSTER, PODS)
    assert stored(manager) == set()


async def test_a_continue_token_that_repeats_itself_is_an_error(
    scanner: ClusterScanner, tools: ScriptedTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tools._page

    async def same_page(context: str, kind: str, limit: int, _token: str) -> object:
        return await real(context, kind, limit, "")

    monkeypatch.setattr(tools, "_page", same_page)
    with pytest.raises(ToolError, match="never end"):
        await scanner.scan(CLUSTER, PODS)


async def test_what_passes_by_itself_is_tried_again(scanner: ClusterScanner, tools: ScriptedTools) -> None:
    failures = iter([Unreachable("refused"), Unreachable("refused")])

    def twice(*_: str) -> None:
        if error := next(failures, None):
            raise error

    tools.before_page = twice
    assert (await scanner.scan(CLUSTER, PODS)).objects == 25
    assert [token for _, _, token in tools.calls] == ["", "", "", "10", "20"]


@pytest.mark.parametrize(("asked_for", "tries"), [(0, 3), (7, 3), (60, 3), (61, 1)])
async def test_a_page_waits_as_long_as_the_api_server_asks_for_or_is_left_to_the_delays_of_its_kind(
    manager: CacheManager, clock: Clock, tools: ScriptedTools, asked_for: int, tries: int
) -> None:
    pauses = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    scanner = ClusterScanner(tools, manager, timeout_seconds=7, now=clock, sleep=pause)
    tools.before_page = Failing(ClusterError("too many requests", status=429, retry_after_seconds=asked_for))
    with pytest.raises(ClusterError, match="too many"):
        await scanner.scan(CLUSTER, PODS)
    assert (len(tools.calls), len(pauses)) == (tries, tries - 1)
    assert all(seconds >= max(asked_for, 0.25) for seconds in pauses)


async def test_a_refusal_is_not_tried_again(scanner: ClusterScanner, tools: ScriptedTools) -> None:
    tools.before_page = Failing(NotPermitted("pods is forbidden", status=403))
    with pytest.raises(NotPermitted):
        await scanner.scan(CLUSTER, PODS)
    assert len(tools.calls) == 1


async def test_the_timeout_bounds_each_page_not_the_scan(scanner: ClusterScanner, tools: ScriptedTools) -> None:
    await scanner.scan(CLUSTER, PODS)
    assert tools.timeouts == [7, 7, 7]


async def test_malformed_objects_are_counted_named_and_set_aside(
    scanner: ClusterScanner, tools: ScriptedTools, reader: CacheReader
) -> None:
    odd = api_object("pods", "odd")
    del odd["metadata"]["uid"]
    tools.objects[CLUSTER, "pods"].insert(3, odd)
    report = await scanner.scan(CLUSTER, PODS)
    assert (report.objects, report.malformed) == (25, 1)
    assert report.malformed_examples == ("default/odd: field 'uid' is missing",)
    freshness = reader.freshness(CLUSTER, PODS)
    assert freshness is not None
    assert freshness.malformed == 1


async def test_a_stored_object_that_cannot_be_read_any_more_is_not_taken_to_be_deleted(
    scanner: ClusterScanner, tools: ScriptedTools, manager: CacheManager
) -> None:
    await scanner.scan(CLUSTER, PODS)
    tools.objects[CLUSTER, "pods"][3]["status"]["containerStatuses"] = "nonsense"
    tools.objects[CLUSTER, "pods"][3]["metadata"]["resourceVersion"] = "77"
    report = await scanner.scan(CLUSTER, PODS)
    assert (report.objects, report.malformed, report.removed) == (25, 1, 0)
    assert len(stored(manager)) == 25


async def test_other_redaction_rules_write_every_row_again(
    scanner: ClusterScanner, tools: ScriptedTools, manager: CacheManager
) -> None:
    await scanner.scan(CLUSTER, PODS)
    tools.redaction = "2"
    assert (await scanner.scan(CLUSTER, PODS)).changed == 25
    assert (await scanner.scan(CLUSTER, PODS)).changed == 0


async def test_a_uid_that_may_not_be_read_does_not_make_it_another_cluster(
    scanner: ClusterScanner, manager: CacheManager
) -> None:
    await scanner.scan(CLUSTER, PODS)
    manager.register_cluster(ClusterIdentity(cluster=CLUSTER, uid=""))
    assert len(stored(manager)) == 25
    manager.register_cluster(ClusterIdentity(cluster=CLUSTER, uid="another"))
    assert stored(manager) == set()


@pytest.mark.parametrize("size", [10, 100])
async def test_the_batch_size_is_how_many_objects_one_statement_compares(
    open_manager: Callable[..., CacheManager], tools: ScriptedTools, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cache.object_rows import StoredObjects

    sizes: list[int] = []
    real = StoredObjects.versions

    def recording(stored: StoredObjects, page: dict[str, object]) -> dict[str, str]:
        sizes.append(len(page))
        return real(stored, page)

    monkeypatch.setattr(StoredObjects, "versions", recording)
    tools.page_size = None
    await ClusterScanner(tools, open_manager(batch_size=size), timeout_seconds=7).scan(CLUSTER, PODS)  # type: ignore[arg-type]
    assert max(sizes) == min(size, 25)
    assert sum(sizes) == 25
