"""The text of a log as lines with their times and levels: made plain and redacted before anything looks at it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from mcp_tools.log_levels import levels_of
from mcp_tools.log_times import LONGEST, line_time
from mcp_tools.plain_text import plain_text
from mcp_tools.redaction import Redactor
from mcp_tools.redaction_marks import MARK_START


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line, redacted and plain. `time` is RFC 3339 in UTC with microseconds, "" when unknown; `number` counts in its log."""

    text: str
    time: str
    level: str
    number: int
    source: int = 0
    is_context: bool = False
    """Shown for the sake of a line beside it."""


def read_lines(body: bytes, redactor: Redactor, *, source: int = 0) -> list[LogLine]:
    """The lines of a log that was asked for with timestamps. Takes about 0.2 s for each megabyte.

    The timestamps are taken off first: a secret that goes over several lines (a key) would not be recognised between them.
    Only what comes out of the redactor is searched: else a search would be an oracle for what was redacted.
    """
    times, texts = _stamped(body.decode("utf-8", "replace"))
    redacted = redactor.redact_text("\n".join(texts)).split("\n") if texts else []
    if len(redacted) != len(texts):
        times = list(_times_of(redacted, texts, times))
    levels = levels_of(redacted)
    return [
        LogLine(text, time, level, number, source)
        for number, (text, time, level) in enumerate(zip(redacted, times, levels, strict=True))
    ]


def with_context(lines: Sequence[LogLine], matching: Iterable[int], before: int, after: int) -> list[LogLine]:
    """The lines at these indices, in order, and so many beside each of them, marked as context."""
    found = sorted(set(matching))
    if not before and not after:
        return [lines[index] for index in found]
    shown: dict[int, LogLine] = {}
    for index in found:
        for beside in range(max(0, index - before), min(len(lines), index + after + 1)):
            shown.setdefault(beside, replace(lines[beside], is_context=True))
    for index in found:
        shown[index] = lines[index]
    return [shown[index] for index in sorted(shown)]


def _stamped(text: str) -> tuple[list[str], list[str]]:
    """-> times and plain texts, as many of each. A carriage return inside a line begins another one of the same time."""
    times: list[str] = []
    texts: list[str] = []
    for raw in text.removesuffix("\n").split("\n") if text else ():
        stamp, space, rest = raw[:LONGEST].partition(" ")
        time = line_time(stamp)
        line = (rest + raw[LONGEST:] if space else "") if time else raw
        for part in plain_text(line.removesuffix("\r")).split("\n"):
            times.append(time)
            texts.append(part)
    return times, texts


def _times_of(redacted: Sequence[str], texts: Sequence[str], times: Sequence[str]) -> Iterator[str]:
    """The time of each redacted line, where a mark has taken the place of several lines.

    A line without a mark is unchanged: it is found again further on. One with a mark has the time of the next line.
    """
    at = 0
    places: dict[str, list[int]] = {}
    for index, text in enumerate(texts):
        places.setdefault(text, []).append(index)
    for line in redacted:
        if MARK_START not in line:
            known = places.get(line, [])
            place = bisect_left(known, at)
            at = known[place] if place < len(known) else at
        yield times[min(at, len(times) - 1)]
        at += 1
