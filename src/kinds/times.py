"""Kubernetes timestamps (RFC 3339) to epoch seconds and back."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from kinds.record import Time


def to_time(text: str | None) -> Time | None:
    """`2026-01-02T03:04:05Z` or with fractions -> epoch seconds; None and "" -> None; ValueError on anything else.

    Without a zone it is UTC, wherever this runs.
    """
    return _parsed(text) if text else None


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Time:
    """Kept: most times of an object are the same few seconds."""
    found = datetime.fromisoformat(text)
    return Time(int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()))


def to_rfc3339(seconds: int) -> str:
    """Epoch seconds -> `2026-01-02T03:04:05Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
