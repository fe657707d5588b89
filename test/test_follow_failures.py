"""When what cannot be followed is asked for again, and what the log says of it."""

from __future__ import annotations

import pytest

from cache_fixtures import CLUSTER, Clock
from configuration.errors import ClusterError, K8sMcpError, Unreachable
from kinds.registry import KINDS
from scanner.follow_failures import NAMES_TOLD, FollowFailures
from scanner.kept_scope import KeptScope
from scanner.retry_delays import LASTING_SECONDS, RetryDelays

NAMES = list(KINDS)[:8]
AWAY = Unreachable("the API server does not answer")
BUSY = ClusterError("too many requests", status=429, retry_after_seconds=300)


class Followed:
    """Eight kinds of a cluster, and a clock."""

    def __init__(self) -> None:
        self.steady = Clock()
        self.states = {(name, ""): KeptScope(KINDS[name], "", "1", "1", 0) for name in NAMES}
        delays = RetryDelays(jitter=lambda: 1.0, first=1, longest=30)
        self.failures = FollowFailures(CLUSTER, self.states, delays=delays, steady=self.steady)

    def fail(self, *names: str, error: K8sMcpError = AWAY) -> list[str]:
        new = self.failures.failed([(self.states[name, ""], error) for name in names])
        return [kind.name for kind, _, _ in new]

    def answer(self, *names: str, lost: tuple[str, ...] = ()) -> set[str] | None:
        return self.failures.answered([self.states[name, ""] for name in names], [self.states[name, ""] for name in lost])


@pytest.fixture
def followed() -> Followed:
    return Followed()


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", "scanner")
    return caplog


def lines(told: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage().removeprefix(f"{CLUSTER} ") for record in told.records]
    told.clear()
    return found


# --- when


def test_a_cluster_that_answers_and_fails_again_is_asked_less_and_less_often(followed: Followed) -> None:
    waits = []
    for _ in range(7):
        followed.fail(*NAMES)
        waits.append(followed.failures.wait_seconds())
        followed.steady.now += waits[-1]
        followed.answer(*NAMES)
        assert followed.failures.wait_seconds() == 0
        followed.steady.now += 3
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    followed.steady.now += LASTING_SECONDS
    followed.fail(*NAMES)
    assert followed.failures.wait_seconds() == 1, "it had been fine for long enough"


def test_one_kind_that_answers_and_fails_again_is_asked_less_and_less_often(followed: Followed) -> None:
    waits = []
    for _ in range(3):
        followed.fail("pods")
        waits.append(followed.failures.wait_seconds(("pods", "")))
        followed.answer("pods")
    assert waits == [1, 2, 4]
    assert followed.failures.wait_seconds() == 0, "the others are not put off"


def test_what_the_api_server_asked_for_holds_for_all_that_it_has_not_answered_since(followed: Followed) -> None:
    followed.fail(*NAMES, error=BUSY)
    assert followed.failures.wait_seconds() == 300
    followed.steady.now += 100
    assert followed.answer("pods") == {"pods"}
    assert followed.failures.wait_seconds(("pods", "")) == followed.failures.wait_seconds() == 0
    assert {followed.failures.wait_seconds((name, "")) for name in NAMES if name != "pods"} == {200}


def test_a_time_that_was_asked_for_one_kind_is_not_shortened_by_that_for_all(followed: Followed) -> None:
    followed.fail("pods", error=ClusterError("too many requests", status=429, retry_after_seconds=600))
    followed.fail(*NAMES, error=ClusterError("too many requests", status=429, retry_after_seconds=60))
    followed.answer("services")
    assert followed.failures.wait_seconds(("pods", "")) == 600


def test_a_time_that_was_asked_for_ends_with_an_answer(followed: Followed) -> None:
    followed.fail(*NAMES, error=BUSY)
    followed.answer(*NAMES)
    followed.fail("pods", "services")
    followed.answer("pods")
    assert 0 < followed.failures.wait_seconds(("services", "")) <= 2


def test_one_kind_that_comes_and_goes_does_not_count_for_all(followed: Followed) -> None:
    followed.fail(*NAMES)
    followed.answer(*NAMES)
    followed.steady.now += LASTING_SECONDS - 20
    followed.fail("pods")
    followed.answer("pods")
    followed.steady.now += 20
    followed.fail(*NAMES)
    assert followed.failures.wait_seconds() == 1


def test_an_outage_ends_for_all_with_the_first_answer(followed: Followed) -> None:
    followed.fail(*NAMES)
    followed.answer("pods")
    assert {followed.failures.wait_seconds((name, "")) for name in NAMES} == {0}


def test_only_those_that_failed_are_told_to_who_waits(followed: Followed) -> None:
    assert followed.fail("pods", "services") == ["pods", "services"]
    assert followed.fail("pods") == [], "not again"
    assert followed.answer("nodes") is None
    assert followed.answer("nodes", "pods", lost=("services",)) == {"pods", "services"}


# --- what is told


def test_an_outage_and_its_end_are_a_line_each(followed: Followed, told: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        followed.fail(*NAMES)
    followed.answer(*NAMES)
    followed.answer(*NAMES)
    assert lines(told) == [
        "cannot be followed, what is cached stays: the API server does not answer",
        "can be followed again (recovered after 3 failures)",
    ]


def test_kinds_that_fail_in_the_same_way_are_a_line(followed: Followed, told: pytest.LogCaptureFixture) -> None:
    some = [name for name in NAMES if name not in ("pods", "services")]
    followed.failures.failed([*((followed.states[name, ""], AWAY) for name in some), (followed.states["pods", ""], BUSY)])
    several = f"{', '.join(some[:NAMES_TOLD])} and {len(some) - NAMES_TOLD} more"
    assert lines(told) == [
        f"{several} cannot be followed, what is cached stays: the API server does not answer",
        "pods cannot be followed, what is cached stays: too many requests",
    ]
    followed.answer(*some)
    assert lines(told) == [f"{several} can be followed again (recovered after 1 failure)"]


def test_no_recovery_is_left_out_when_it_comes_in_parts(followed: Followed, told: pytest.LogCaptureFixture) -> None:
    followed.fail(*NAMES)
    followed.answer(*(name for name in NAMES if name not in ("pods", "nodes")))
    followed.fail("services")
    followed.answer("services")
    followed.answer("pods")
    followed.answer("nodes")
    assert lines(told)[1:] == [
        "can be followed again (recovered after 1 failure), but not yet nodes, pods",
        "services cannot be followed, what is cached stays: the API server does not answer",
        "services can be followed again (recovered after 1 failure)",
        "pods can be followed again (recovered after 1 failure)",
        "nodes can be followed again (recovered after 1 failure)",
    ]


def test_a_cluster_that_can_be_followed_from_nowhere_has_answered(followed: Followed, told: pytest.LogCaptureFixture) -> None:
    followed.fail(*NAMES)
    followed.answer(lost=tuple(NAMES))
    assert lines(told)[1:] == ["answers again (recovered after 1 failure)"]


def test_a_kind_that_is_followed_anew_during_an_outage_does_not_make_it_told_again(
    followed: Followed, told: pytest.LogCaptureFixture
) -> None:
    followed.fail(*NAMES)
    followed.failures.forget(("pods", ""))
    followed.failures.begin(("pods", ""))
    followed.fail("pods")
    assert len(lines(told)) == 1
    for name in NAMES:
        followed.failures.forget((name, ""))
    followed.answer("pods")
    assert lines(told) == ["can be followed again (recovered after 2 failures)"]


def test_the_failures_of_an_outage_are_those_of_all(followed: Followed, told: pytest.LogCaptureFixture) -> None:
    for _ in range(40):
        followed.fail("pods")
    followed.fail(*NAMES)
    followed.answer(*NAMES)
    for name in NAMES:
        followed.fail(name)
    followed.answer(*NAMES)
    assert [line for line in lines(told) if line.startswith("can be")] == [
        "can be followed again (recovered after 1 failure)"
    ] * 2


# --- delays of what is listed


def test_what_is_heard_of_is_hurried_once_in_a_while_and_its_failures_count_on() -> None:
    delays = RetryDelays(jitter=lambda: 1.0)
    waits = []
    for moment in (0.0, 30.0, 60.0, LASTING_SECONDS + 1):
        delays.failed("pods", moment, until_heard=True)
        delays.heard("pods", moment)
        waits.append(delays.wait_seconds("pods", moment))
    assert waits == [0, 30, 60, 0]
    delays.failed("pods", 200.0, until_heard=True)
    assert delays.wait_seconds("pods", 200.0) == 240
    delays.failed("pods", 500.0)
    delays.heard("pods", 500.0)
    assert delays.wait_seconds("pods", 500.0) == 480, "it had been reached"


def test_what_is_heard_of_is_not_hurried_before_the_time_that_was_asked_for() -> None:
    delays = RetryDelays(jitter=lambda: 1.0)
    delays.failed("pods", 0.0, at_least=400)
    delays.failed("pods", 10.0, until_heard=True)
    delays.heard("pods", 10.0)
    assert delays.wait_seconds("pods", 10.0) == 390
