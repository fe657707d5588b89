"""The times that begin log lines, and those that a caller names, in one form that sorts as text."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from configuration.errors import InvalidArguments

_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.(\d{1,9}))?Z\Z")
_ANY = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)\Z")
_GIVEN = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?\Z")
LONGEST = 40


def line_time(text: str) -> str:
    """`2026-01-02T03:04:05.1Z` -> `2026-01-02T03:04:05.100000Z`; a node's own offset becomes UTC; "" when it is no time."""
    if (found := _UTC.match(text)) is not None:
        return f"{text[:19]}.{(found[1] or '')[:6]:0<6}Z"
    if _ANY.match(text) is None:
        return ""
    try:
        return _written(datetime.fromisoformat(text))
    except ValueError:
        return ""


def given_time(text: str, argument: str) -> str:
    """A time that a caller names, without a zone UTC; "" stays. Raises InvalidArguments."""
    if not text:
        return ""
    try:
        if _GIVEN.match(text) is None:
            raise ValueError
        found = datetime.fromisoformat(text)
        return _written(found if found.tzinfo else found.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise InvalidArguments(f"{argument} {text[:40]!a} is not a time; write it as 2026-01-31T17:05:00Z") from None


def time_before(text: str) -> str:
    """The last microsecond before a time that `line_time` gave."""
    return _written(datetime.fromisoformat(text) - timedelta(microseconds=1))


def _written(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
