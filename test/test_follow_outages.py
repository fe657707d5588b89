"""What following and lists do while a cluster is away, and when it is back. Scripted answers, a real cache."""

from __future__ import annotations

import asyncio

import pytest

from cache_fixtures import CLUSTER
from configuration.errors import ClusterError, Unreachable
from laboratory_fixtures import Answer, Laboratory, eventually, only, problem
from scan_fixtures import Failing
from scanner.cluster_follower import ClusterFollower
from scanner.retry_delays import RetryDelays

DOWN = problem("Unreachable")


async def followed(laboratory: Laboratory) -> None:
    await laboratory.tick()
    await eventually(lambda: laboratory.feed.polling, "a poll that waits")


def tell(laboratory: Laboratory, answer: Answer) -> None:
    """End the poll that waits with this answer, which stays."""
    laboratory.feed.answer = answer
    laboratory.feed.woken.set()


def follower_that_waits_long(laboratory: Laboratory) -> ClusterFollower:
    follower = laboratory.follower
    follower.failures._delays = RetryDelays(jitter=lambda: 1.0, first=600)
    return follower


def lines(caplog: pytest.LogCaptureFixture, part: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if part in record.getMessage()]


async def test_a_check_that_hears_from_the_cluster_ends_the_wait_of_what_is_followed(
    laboratory: Laboratory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "scanner")
    await followed(laboratory)
    follower_that_waits_long(laboratory)
    tell(laboratory, lambda _: DOWN)
    await eventually(lambda: lines(caplog, "cannot be followed"), "the trouble to be told")
    laboratory.feed.answer = lambda _: None
    laboratory.clock.now += 1800
    await laboratory.tick()
    await eventually(lambda: laboratory.feed.polling, "following that goes on", 5)
    assert lines(caplog, "cannot be followed") == [f"{CLUSTER} cannot be followed, what is cached stays: a scripted Unreachable"]
    assert lines(caplog, "can be followed again") == [f"{CLUSTER} can be followed again (recovered after 1 failure)"]


async def test_a_quiet_cluster_that_is_back_is_noticed_within_seconds(laboratory: Laboratory) -> None:
    """Nothing comes of its watches: the poll that opens them again must not wait for something."""
    await followed(laboratory)
    follower = laboratory.follower
    tell(laboratory, lambda _: DOWN)
    await eventually(lambda: follower.failures, "the trouble")
    laboratory.feed.woken.clear()
    laboratory.feed.answer = lambda _: None
    await eventually(lambda: not follower.failures, "the recovery", 10)


async def test_a_check_over_watches_that_are_not_heard_proves_nothing_about_them(laboratory: Laboratory) -> None:
    await followed(laboratory)
    follower = follower_that_waits_long(laboratory)
    tell(laboratory, lambda _: DOWN)
    await eventually(lambda: follower.failures, "the trouble")
    laboratory.feed.answer, laboratory.feed.live = lambda _: None, False
    laboratory.clock.now += 240
    await laboratory.tick()
    assert len(follower.failures) == 2


@pytest.mark.parametrize(("seconds", "put_off"), [(1800, ""), (240, "pods")], ids=["all of it", "one kind"])
async def test_what_is_lost_while_a_cluster_is_away_is_listed_as_soon_as_following_hears_from_it(
    laboratory: Laboratory, caplog: pytest.LogCaptureFixture, seconds: float, put_off: str
) -> None:
    """Not when the delay after its failures has passed, which grows to ten minutes."""
    caplog.set_level("INFO", "scanner")
    await followed(laboratory)
    tell(laboratory, lambda _: DOWN)
    await eventually(lambda: lines(caplog, "cannot be followed"), "the trouble to be told")
    laboratory.clock.now += seconds
    await laboratory.tick()
    assert not laboratory.coordinator._outcomes.may_try(CLUSTER, put_off)
    laboratory.feed.answer = only("pods", problem("Expired", 410))
    await eventually(lambda: laboratory.lists() == 2, "pods to be listed")
    assert len(lines(caplog, "can be followed again")) == 1


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (ClusterError("too many requests", status=429, retry_after_seconds=400), 400),
        (Unreachable("no answer in 60 s", reason="SocketTimeoutError"), 15),
    ],
    ids=["429", "silent"],
)
async def test_a_list_that_the_api_server_put_off_or_could_not_give_is_not_hurried_by_the_watch_of_its_kind(
    laboratory: Laboratory, error: ClusterError, seconds: float
) -> None:
    await laboratory.tick()
    laboratory.tools.before_page = Failing(error, lambda _c, kind, _t: kind == "pods")
    laboratory.clock.now += 1_000_000
    await laboratory.tick()
    assert laboratory.lists() == 2, "what is due was listed, in vain"
    await followed(laboratory)
    follower = laboratory.follower
    tell(laboratory, only("pods", DOWN))
    await eventually(lambda: ("pods", "") in follower.failures, "the trouble")
    laboratory.feed.answer = lambda _: None
    await eventually(lambda: ("pods", "") not in follower.failures, "the recovery")
    laboratory.clock.now += seconds - 1
    await laboratory.tick()
    assert laboratory.lists() == 2
    laboratory.clock.now += 1
    await laboratory.tick()
    assert laboratory.lists() == 3


@pytest.mark.parametrize(
    ("error", "hurried"), [(Unreachable("refused"), True), (ClusterError("busy", status=503), False)], ids=["away", "503"]
)
async def test_a_cluster_that_said_something_itself_is_left_alone_whatever_is_heard_of_its_kinds(
    laboratory: Laboratory, caplog: pytest.LogCaptureFixture, error: ClusterError, hurried: bool
) -> None:
    caplog.set_level("INFO", "scanner")
    await followed(laboratory)
    failing = laboratory.tools.before_identity = Failing(error)
    laboratory.clock.now += 1800
    await laboratory.tick()
    assert not laboratory.coordinator._outcomes.may_try(CLUSTER)
    failing.on = False
    tell(laboratory, only("pods", problem("Expired", 410)))
    await eventually(lambda: lines(caplog, "pods is listed again"), "the loss")
    await laboratory.coordinator.settle()
    assert laboratory.lists() == (2 if hurried else 1)


async def test_what_is_followed_no_longer_is_not_failing(laboratory: Laboratory) -> None:
    await followed(laboratory)
    follower = laboratory.follower
    tell(laboratory, only("pods", DOWN))
    await eventually(lambda: ("pods", "") in follower.failures, "the trouble")
    await follower.release(["pods"])
    assert len(follower.failures) == 0


async def test_a_check_behind_another_one_wakes_what_is_followed_too(laboratory: Laboratory) -> None:
    await followed(laboratory)
    follower = follower_that_waits_long(laboratory)
    tell(laboratory, lambda _: DOWN)
    await eventually(lambda: len(follower.failures) == 2, "the trouble")
    laboratory.feed.answer = lambda _: None
    asked = len(laboratory.feed.asks)
    async with follower.held_still():
        await asyncio.sleep(0.3)  # until it waits for its turn

        async def second() -> None:
            async with follower.held_still():
                await asyncio.sleep(0.3)  # until it has had its turn, with nothing to ask for
                follower.answered(list(follower._states.values()))

        checking = asyncio.create_task(second())
        await asyncio.sleep(0.1)
    await checking
    await eventually(lambda: len(laboratory.feed.asks) > asked, "following that goes on", 5)


async def test_a_check_that_hears_that_a_kind_is_to_be_listed_ends_the_wait_of_the_others(laboratory: Laboratory) -> None:
    await followed(laboratory)
    follower = follower_that_waits_long(laboratory)
    tell(laboratory, lambda _: DOWN)
    await eventually(lambda: len(follower.failures) == 2, "the trouble")
    laboratory.feed.answer = lambda watch: (
        problem("Expired", 410) if laboratory.lists() == 1 and watch["kind"] == "pods" else None
    )
    laboratory.clock.now += 240
    await laboratory.tick()
    await eventually(lambda: laboratory.feed.asks[-1] == ["services", "pods"], "following that goes on", 5)


async def test_a_failing_kind_of_which_nothing_is_heard_does_not_make_the_others_written_at_each_poll(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    await followed(laboratory)
    follower = laboratory.follower
    tell(laboratory, only("pods", DOWN))
    await eventually(lambda: ("pods", "") in follower.failures, "the trouble")
    writes = []
    apply = laboratory.coordinator._cache.apply
    monkeypatch.setattr(laboratory.coordinator._cache, "apply", lambda *given: writes.append(given) or apply(*given))
    laboratory.feed.woken.clear()
    asked = len(laboratory.feed.asks)
    laboratory.feed.answer = only("pods", {"heard_at": None})
    await eventually(lambda: len(laboratory.feed.asks) >= asked + 4, "short polls")
    assert len(writes) <= 1, "what was due"


async def test_what_the_server_has_no_room_for_is_no_longer_failing(laboratory: Laboratory) -> None:
    await followed(laboratory)
    follower = laboratory.follower
    tell(laboratory, only("pods", DOWN))
    await eventually(lambda: ("pods", "") in follower.failures, "the trouble")
    laboratory.feed.answer = only("pods", problem("TooMany"))
    await eventually(lambda: ("pods", "") not in follower.failures, "no more of it")
