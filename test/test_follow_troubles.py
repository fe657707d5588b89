"""What following does when watches fail, expire again and again, or do not fit. Scripted answers, a real cache."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cache.refresh_requests import request_refresh
from cache_fixtures import CLUSTER, Clock
from configuration.errors import KindNotServed
from kinds.registry import KINDS
from laboratory_fixtures import TARGET, Laboratory, Watch, eventually, only, problem
from scan_fixtures import Failing, query
from scanner.change_feed import ChangeFeed
from scanner.cluster_follower import ClusterFollower, FollowerEvents
from scanner.kept_scope import KeptScope
from scanner.kind_check import KindCheck
from scanner.lost_kinds import LASTING_SECONDS, LostKinds
from scanner.retry_delays import RetryDelays

# --- lost again and again


def test_the_first_loss_is_listed_at_once_the_next_ones_further_and_further_apart() -> None:
    steady = Clock()
    lost = LostKinds(steady, RetryDelays(jitter=lambda: 1.0))
    waits = []
    for _ in range(8):
        lost.add(TARGET)
        lost.add(TARGET)  # in another namespace: the same loss
        waits.append(lost.wait_seconds(TARGET))
        steady.now += waits[-1]
        assert lost.wait_seconds(TARGET) == 0
        lost.listed(TARGET)
        assert TARGET not in lost
    assert waits == [0, 15, 30, 60, 120, 240, 480, 600]
    steady.now += LASTING_SECONDS
    lost.add(TARGET)
    assert lost.wait_seconds(TARGET) == 0, "it could be followed for long enough"


async def test_a_kind_that_expires_right_after_each_list_is_not_listed_without_end(laboratory: Laboratory) -> None:
    laboratory.feed.answer = only("pods", problem("Expired", 410))
    await laboratory.tick()
    waits = lambda: laboratory.coordinator._lost_kinds.wait_seconds(TARGET)  # noqa: E731
    await eventually(lambda: laboratory.lists() == 2 and waits(), "the second loss")
    asked = len(laboratory.feed.asks)
    for _ in range(3):
        await laboratory.tick()
    assert laboratory.lists() == 2
    assert laboratory.followed() == {"services"}, "it cannot be followed from where it is"
    assert not any("pods" in kinds for kinds in laboratory.feed.asks[asked:])
    laboratory.clock.now += 240
    await laboratory.tick()
    assert laboratory.lists() == 3, "what is due is listed however long it was put off"


async def test_what_is_put_off_is_listed_when_its_time_has_come_and_followed_from_there(laboratory: Laboratory) -> None:
    laboratory.feed.answer = only("pods", problem("Expired", 410))
    await laboratory.tick()
    await eventually(lambda: laboratory.coordinator._lost_kinds.wait_seconds(TARGET), "the second loss")
    laboratory.feed.answer = lambda _: None
    laboratory.steady.now += 15
    await laboratory.tick()
    assert laboratory.lists() == 3
    assert laboratory.followed() == {"pods", "services"}


async def test_a_refresh_request_lists_at_once_what_was_put_off(laboratory: Laboratory) -> None:
    laboratory.feed.answer = only("pods", problem("Expired", 410))
    await laboratory.tick()
    await eventually(lambda: laboratory.coordinator._lost_kinds.wait_seconds(TARGET), "the second loss")
    request_refresh(laboratory.coordinator._cache.path, cluster=CLUSTER, kind="pods", clock=laboratory.clock)
    laboratory.coordinator.serve_requests()
    await laboratory.coordinator.settle()
    assert laboratory.lists() == 3


# --- failing watches


async def test_a_watch_that_always_fails_does_not_make_the_poll_spin(laboratory: Laboratory) -> None:
    laboratory.feed.answer = only("pods", problem("ClusterError", 500))
    await laboratory.tick()
    failures = lambda: sum("pods" in kinds for kinds in laboratory.feed.asks)  # noqa: E731
    await eventually(lambda: failures() >= 3, "three tries")
    assert len(laboratory.feed.asks) <= 3 * failures() + 3
    assert laboratory.lists() == 1
    assert query(laboratory.coordinator._cache.path, "SELECT last_error FROM cache_metadata WHERE kind = 'pods'") == [
        ("a scripted ClusterError",)
    ]


async def test_a_kind_whose_changes_cannot_be_read_is_listed_when_it_is_due(laboratory: Laboratory) -> None:
    """As behind a proxy that lets no watch through."""
    laboratory.feed.answer = only("pods", problem("ClusterError", 502))
    await laboratory.tick()
    laboratory.clock.now += 240
    await laboratory.tick()
    assert laboratory.reports[-1].outcome == "failed"
    assert laboratory.lists() == 1, "it may be for a moment only"
    laboratory.clock.now += 16
    await laboratory.tick()
    assert laboratory.lists() == 2
    assert (laboratory.reports[-1].kind, laboratory.reports[-1].outcome) == ("pods", "scanned")


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_count_that_an_overloaded_api_server_refuses_is_never_answered_by_a_list(
    laboratory: Laboratory, status: int
) -> None:
    await laboratory.tick()
    laboratory.feed.uncounted = problem("ClusterError", status)
    for _ in range(12):
        laboratory.clock.now += 300
        await laboratory.tick()
    assert {report.outcome for report in laboratory.reports[2:]} == {"failed"}
    assert laboratory.lists("pods") == 1, "a LIST is the dearest request of all"
    laboratory.feed.uncounted = None
    laboratory.clock.now += 600
    await laboratory.tick()
    assert laboratory.reports[-1].outcome == "scanned"
    assert laboratory.lists("pods") == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_changes_that_an_overloaded_api_server_refuses_are_not_listed_instead(laboratory: Laboratory, status: int) -> None:
    laboratory.feed.answer = only("pods", problem("ClusterError", status))
    await laboratory.tick()
    for _ in range(6):
        laboratory.clock.now += 300
        await laboratory.tick()
    assert "failed" in {report.outcome for report in laboratory.reports if report.kind == "pods"}
    assert laboratory.lists("pods") == 1


async def test_a_count_is_not_tried_again_earlier_than_the_api_server_asks_for(laboratory: Laboratory) -> None:
    await laboratory.tick()
    refusal = problem("ClusterError", 429)
    refusal["error"]["retry_after_seconds"] = 400
    laboratory.feed.uncounted = refusal
    laboratory.clock.now += 240
    await laboratory.tick()
    asked = len(laboratory.feed.counted)
    for wait, more in ((399, 0), (1, 1)):
        laboratory.clock.now += wait
        await laboratory.tick()
        assert len(laboratory.feed.counted) == asked + more


async def test_a_cluster_that_goes_away_between_its_name_and_its_changes_is_one_failure(
    laboratory: Laboratory, caplog: pytest.LogCaptureFixture
) -> None:
    await laboratory.tick()
    laboratory.feed.answer = lambda _: problem("Unreachable")
    laboratory.clock.now += 1440
    await laboratory.tick()
    assert {report.outcome for report in laboratory.reports[-2:]} == {"failed"}
    assert "2 kinds not scanned" in caplog.text
    assert not laboratory.coordinator._outcomes.failures(CLUSTER, "pods"), "the delay is the cluster's"
    laboratory.feed.answer = lambda _: None
    laboratory.clock.now += 20
    with caplog.at_level("INFO", "scanner.scan_outcomes"):
        await laboratory.tick()
    assert [record.message for record in caplog.records if "recovered" in record.message and "answers again" in record.message]
    assert laboratory.lists("pods") == laboratory.lists("services") == 1


async def test_a_kind_that_is_served_no_longer_is_asked_for_rarely(laboratory: Laboratory) -> None:
    await laboratory.tick()
    absent = Failing(KindNotServed("no such kind", status=404), lambda _c, kind, _t: kind == "pods")  # type: ignore[arg-type]
    laboratory.tools.before_page = absent
    laboratory.feed.answer = only("pods", problem("KindNotServed", 404))
    laboratory.feed.woken.set()
    await eventually(lambda: laboratory.lists() == 2, "the LIST that tells")
    await laboratory.coordinator.settle()
    for _ in range(3):
        laboratory.clock.now += 300
        await laboratory.tick()
    assert laboratory.lists() == 2
    assert [report.outcome for report in laboratory.reports if report.kind == "pods"] == ["scanned", "not_served"]
    absent.on = False
    laboratory.feed.answer = lambda _: None
    laboratory.clock.now += 1800
    await laboratory.tick()
    assert laboratory.lists() == 3
    assert laboratory.reports[-1].outcome == "scanned"


async def test_what_the_server_has_no_room_for_is_not_polled_but_caught_up_with(laboratory: Laboratory) -> None:
    laboratory.feed.answer = only("pods", problem("TooMany", 0))
    await laboratory.tick()
    refused = lambda: any("pods" in kinds for kinds in laboratory.feed.asks)  # noqa: E731
    await eventually(lambda: refused() and laboratory.feed.asks[-1] == ["services"], "a poll without it")
    assert laboratory.lists() == 1
    laboratory.feed.answer = lambda _: None
    laboratory.clock.now += 240
    await laboratory.tick()
    assert laboratory.feed.catch_ups >= 1
    assert laboratory.lists() == 1
    assert (laboratory.reports[-1].kind, laboratory.reports[-1].strategy) == ("pods", "check")


async def test_a_cluster_that_was_set_back_is_listed_though_the_numbers_agree(laboratory: Laboratory) -> None:
    """Etcd restored from a backup: watches from after it are silent."""
    await laboratory.tick()
    laboratory.feed.version = "99"
    laboratory.clock.now += 240
    await laboratory.tick()
    assert laboratory.lists() == 2
    laboratory.feed.version = "101"
    laboratory.clock.now += 240
    await laboratory.tick()
    assert laboratory.lists() == 2


async def test_a_conflict_that_is_told_during_a_list_does_not_begin_to_follow_beside_it(laboratory: Laboratory) -> None:
    await laboratory.tick()
    listing, go_on = asyncio.Event(), asyncio.Event()

    async def hold(_context: str, kind: str, _token: str) -> None:
        if kind == "pods":
            listing.set()
            await go_on.wait()

    laboratory.tools.before_page = hold
    laboratory.coordinator._dispatch(CLUSTER, to_list=[KINDS["pods"]])
    await listing.wait()
    await laboratory.coordinator._lost(CLUSTER, [(KeptScope(KINDS["pods"], "", "1", "1", 0), "conflict")])
    assert laboratory.followed() == {"services"}
    go_on.set()
    await laboratory.coordinator.settle()
    assert laboratory.followed() == {"pods", "services"}


async def test_what_is_followed_by_a_watch_that_is_not_live_is_caught_up_with_when_it_is_checked(laboratory: Laboratory) -> None:
    """As behind a proxy that cuts connections: most of the time no request is open, and nothing fails."""
    await laboratory.tick()
    laboratory.feed.live = False
    laboratory.clock.now += 240
    laboratory.feed.caught_up_at = laboratory.clock.now - 9
    await laboratory.tick()
    assert laboratory.feed.catch_ups == 1
    assert (laboratory.reports[-1].kind, laboratory.reports[-1].strategy) == ("pods", "check")
    checked_at = "SELECT last_checked_at FROM cache_metadata WHERE kind = 'pods'"
    assert query(laboratory.coordinator._cache.path, checked_at) == [(laboratory.clock.now - 9,)]
    assert laboratory.lists() == 1


async def test_a_watch_that_is_not_live_is_not_taken_for_equal_when_the_catch_up_fails(laboratory: Laboratory) -> None:
    await laboratory.tick()
    laboratory.feed.live = False
    laboratory.clock.now += 240
    laboratory.feed.unheld = problem("ClusterError", 502)
    await laboratory.tick()
    assert (laboratory.reports[-1].kind, laboratory.reports[-1].outcome) == ("pods", "failed")
    checked_at = "SELECT last_checked_at FROM cache_metadata WHERE kind = 'pods'"
    assert query(laboratory.coordinator._cache.path, checked_at) == [(laboratory.clock.now - 240,)]


# --- more than fits


@pytest.fixture
def scopes(laboratory: Laboratory) -> list[KeptScope]:
    return [KeptScope(KINDS["pods"], f"team-{number}", "1", "1", 0) for number in range(1200)]


async def test_more_scopes_than_one_call_takes_are_followed_and_counted_in_parts(
    laboratory: Laboratory, scopes: list[KeptScope]
) -> None:
    feed = ChangeFeed(laboratory.tools, laboratory.coordinator._cache, timeout_seconds=7, clock=laboratory.clock)  # type: ignore[arg-type]
    feed._write = lambda *_: None  # type: ignore[method-assign]  # none of them was listed
    laboratory.feed.answer = lambda watch: problem("TooMany") if int(watch["namespace"][5:]) >= 300 else None
    follower = ClusterFollower(CLUSTER, feed, FollowerEvents(_no_loss, _no_loss, lambda *_: None, lambda *_: None))
    for scope in scopes:
        follower.follow(scope)
    task = asyncio.create_task(follower.run())
    try:
        await eventually(lambda: laboratory.feed.polling, "a poll that waits")
        assert sum(scope.held for scope in scopes) == 300
        assert max(map(len, laboratory.feed.asks)) <= 1000, "the server takes no more"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    check = KindCheck(laboratory.tools, feed, timeout_seconds=7, clock=laboratory.clock)  # type: ignore[arg-type]
    laboratory.tools.objects[TARGET] = []
    assert len(await check._counts(CLUSTER, scopes)) == 1200
    assert max(laboratory.feed.counted) <= 1000


async def _no_loss(*_: Any) -> None:
    return None


# --- for a year


async def test_hundreds_of_turns_leave_no_task_and_no_state_behind(laboratory: Laboratory) -> None:
    await laboratory.tick()
    await eventually(lambda: laboratory.feed.polling and len(laboratory.feed.asks[-1]) == 2, "a poll of both that waits")
    await asyncio.sleep(0.05)
    tasks = len(asyncio.all_tasks())
    follower = laboratory.follower
    turns = len(laboratory.feed.asks)
    version = iter(range(200, 10_000))

    def changed(watch: Watch) -> dict[str, Any] | None:
        return {"cursor": str(next(version))} if watch["kind"] == "pods" else None

    laboratory.feed.answer = changed
    laboratory.feed.woken.set()
    await eventually(lambda: len(laboratory.feed.asks) >= turns + 300, "three hundred turns")
    laboratory.feed.answer = lambda _: None
    await eventually(lambda: laboratory.feed.polling, "a poll that waits")
    await eventually(lambda: len(asyncio.all_tasks()) <= tasks, "the tasks of the turns to end")
    assert len(follower._states) == 2
    assert follower.failures._delays._states == {}


async def test_it_stops_at_once_while_a_poll_waits(laboratory: Laboratory) -> None:
    await laboratory.tick()
    await eventually(lambda: laboratory.feed.polling, "a poll that waits")
    async with asyncio.timeout(1):
        await laboratory.coordinator.stop()
    assert laboratory.followed() == set()
