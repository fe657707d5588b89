"""What is due: nothing, a catch-up with a check, or a LIST. Pure functions, a table of cases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cache.freshness import Freshness
from kinds.registry import KINDS
from scanner.kept_scope import kept_scope
from scanner.kind_check import Verification
from scanner.retry_delays import RetryDelays
from scanner.schedule import Schedule, scopes_kept_up

NOW = 1_800_000_000
PODS = KINDS["pods"]
SCHEDULE = Schedule(static_interval=1800, dynamic_interval=300, cleanup_interval=300, full_list_interval=21_600)
LISTED = Freshness(
    cluster="c", kind="pods", scope="", freshness_class="dynamic", resource_version="7", last_full_at=NOW, last_checked_at=NOW,
    ttl_seconds=300, expires_at=NOW + 300, item_count=3, complete=True, permitted=True, last_error=None, last_error_at=None,
    duration_ms=1, strategy="list", malformed=0, last_counted_at=None,
)  # fmt: skip


def row(**changes: Any) -> Freshness:
    return replace(LISTED, **changes)


def step(*rows: Freshness, after: float = 0, changes: bool = True, kind: Any = PODS) -> str:
    return SCHEDULE.next_step(kind, rows, NOW + after, changes=changes)


@pytest.mark.parametrize(
    ("rows", "after", "expected"),
    [
        ((), 0, "list"),
        ((row(last_full_at=None, last_checked_at=None, resource_version="", last_error="no"),), 0, "list"),
        ((row(resource_version=""),), 0, "list"),
        ((row(),), 239, "nothing"),
        ((row(),), 240, "verify"),
        ((row(last_checked_at=NOW + 200),), 240, "verify"),  # heard of by its watch, but not counted
        ((row(last_checked_at=NOW + 200, last_counted_at=NOW + 100),), 240, "nothing"),
        ((row(last_checked_at=NOW + 200, last_counted_at=NOW + 100),), 340, "verify"),
        ((row(last_checked_at=NOW + 21_500, last_counted_at=NOW + 21_500),), 21_599, "nothing"),
        ((row(last_checked_at=NOW + 21_500, last_counted_at=NOW + 21_500),), 21_600, "list"),
        ((row(),), -3600, "list"),  # the clock was set back
        ((row(permitted=False),), 239, "nothing"),
        ((row(permitted=False),), 240, "list"),
    ],
)
def test_what_is_due_where_changes_are_told(rows: tuple[Freshness, ...], after: float, expected: str) -> None:
    assert step(*rows, after=after) == expected


@pytest.mark.parametrize(("after", "expected"), [(239, "nothing"), (240, "list")])
def test_without_changes_the_list_runs_at_the_interval_itself(after: float, expected: str) -> None:
    assert step(row(), after=after, changes=False) == expected


WHOLE_REFUSED = row(permitted=False, last_full_at=None, last_checked_at=None, last_error="forbidden", last_error_at=NOW)


def test_where_only_namespaces_may_be_listed_these_are_kept_up() -> None:
    parts = [row(scope="a"), row(scope="b"), row(scope="gone", permitted=False)]
    assert [one.scope for one in scopes_kept_up([WHOLE_REFUSED, *parts])] == ["a", "b"]
    assert [one.scope for one in scopes_kept_up([row(), *parts])] == [""]
    assert step(WHOLE_REFUSED, *parts, after=100) == "nothing"
    assert step(WHOLE_REFUSED, *parts, after=240) == "verify"


def test_the_whole_cluster_is_asked_for_again_after_half_an_hour() -> None:
    part = row(scope="a", last_checked_at=NOW + 1790, last_counted_at=NOW + 1790)
    assert step(WHOLE_REFUSED, part, after=1799) == "nothing"
    assert step(WHOLE_REFUSED, part, after=1800) == "list"


def test_a_kind_that_is_not_served_is_looked_for_at_the_static_interval() -> None:
    absent = row(last_full_at=None, last_checked_at=None, resource_version="", last_error="", last_error_at=NOW)
    optional = next(kind for kind in KINDS.values() if kind.optional)
    assert step(absent, after=1799, kind=optional) == "nothing"
    assert step(absent, after=1800, kind=optional) == "list"
    assert step(replace(absent, last_error="refused"), after=1, kind=optional) == "list"


@pytest.mark.parametrize(
    ("totals", "malformed", "count", "agrees"),
    [
        ((3, 3), 0, 3, True),
        ((3, 3), 0, 4, False),
        ((3, 5), 0, 4, True),  # on the way from 3 to 5 there were 4
        ((3, 3), 2, 5, True),  # two that cannot be read are not stored
        ((3, 3), 2, 6, False),
        ((3, 3), 2, 2, False),
    ],
)
def test_a_count_agrees_when_the_cache_held_that_many_meanwhile(
    totals: tuple[int, int], malformed: int, count: int, agrees: bool
) -> None:
    check = Verification(kept_scope(PODS, row(malformed=malformed)), lowest=totals[0], highest=totals[1])
    assert check.agrees(count) is agrees


def test_delays_grow_to_the_longest_and_are_forgotten_after_a_success() -> None:
    delays = RetryDelays(jitter=lambda: 1.0, first=1, longest=60)
    waits = []
    for _ in range(8):
        delays.failed("key", NOW)
        waits.append(delays.wait_seconds("key", NOW))
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert delays.succeeded("key") == 8
    assert delays.wait_seconds("key", NOW) == 0


def test_no_try_is_made_earlier_than_the_api_server_asks_for() -> None:
    delays = RetryDelays(jitter=lambda: 0.0, first=15, longest=60)
    waits = []
    for asked_for in (0, 90, 1, 100_000):
        delays.failed("key", NOW, at_least=asked_for)
        waits.append(delays.wait_seconds("key", NOW))
    assert waits == [7.5, 90, 90, 600], "what nobody means is not believed"
