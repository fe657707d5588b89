"""How old each kind is, in the words of the session."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.terminal.freshness_table import in_words, state_of
from cache.freshness import Freshness

NOW = 10_000.0
FRESH = Freshness(
    cluster="kind-test", kind="pods", scope="", freshness_class="dynamic", resource_version="1", last_full_at=9_990,
    last_checked_at=9_990, ttl_seconds=300, expires_at=10_290, item_count=3, complete=True, permitted=True, last_error=None,
    last_error_at=None, duration_ms=5, strategy="list", malformed=0,
)  # fmt: skip
NEVER = replace(FRESH, last_full_at=None, last_checked_at=None, expires_at=None, complete=False, permitted=None)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (FRESH, "fresh"),
        (replace(FRESH, expires_at=9_999), "stale"),
        (replace(FRESH, complete=False), "partial"),
        (replace(NEVER, permitted=False), "not permitted"),
        (NEVER, "never scanned"),
        (replace(NEVER, last_error="the API server does not answer"), "never scanned"),
        (replace(NEVER, last_error=""), "not served"),
    ],
)
def test_what_is_not_there_is_told_from_what_nobody_looked_at(row: Freshness, words: str) -> None:
    assert state_of(row, NOW) == words


def test_a_kind_that_is_not_served_does_not_make_the_cache_stale() -> None:
    assert in_words([FRESH, replace(NEVER, last_error="")], NOW) == "cache 10 s old"
