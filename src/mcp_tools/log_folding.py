"""Log lines that say the same again and again, folded into one with its count."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mcp_tools.log_lines import LogLine

SHORTEST_RUN = 3
"""Two lines are shorter than one line and a count."""
_VARYING = re.compile(
    r"\b(?=[a-f-]{0,40}+\d)[0-9a-f]{8,}(?:-[0-9a-f]{4,}){0,4}\b"  # ids, hashes
    r"|\b0x[0-9a-f]+\b"
    r"|\d+(?:[.,:/-]\d+)*"  # times, dates, numbers, addresses
)


@dataclass(frozen=True, slots=True)
class FoldedLine:
    """`line` is the newest of `count` consecutive lines that differ in times and numbers only, from `sources` logs."""

    line: LogLine
    count: int = 1
    sources: int = 1
    first: LogLine | None = None
    """The oldest of them, None when it is `line`."""

    @property
    def first_time(self) -> str:
        """Of the oldest of them; "" when no line of theirs has a time."""
        return (self.first.time if self.first is not None else "") or self.line.time


def pattern_of(text: str) -> str:
    """The line without what varies: `GET /a 200 in 13ms` -> `GET /a # in #ms`."""
    return _VARYING.sub("#", text)


def folded(lines: Iterable[LogLine]) -> list[FoldedLine]:
    """Each run of lines with one pattern as one. Short runs stay as they are."""
    found: list[FoldedLine] = []
    run: list[LogLine] = []
    last = ""
    for line in lines:
        pattern = f"{line.is_context}{pattern_of(line.text)}"
        if run and pattern != last:
            found += _of_run(run)
            run = []
        run.append(line)
        last = pattern
    return found + _of_run(run)


def unfolded(lines: Iterable[LogLine]) -> list[FoldedLine]:
    """The same shape, every line for itself."""
    return [FoldedLine(line) for line in lines]


def commonest(lines: Sequence[FoldedLine], most: int) -> list[tuple[int, str]]:
    """How many lines have a pattern, and one of them: the most frequent first."""
    counts: Counter[str] = Counter()
    example: dict[str, str] = {}
    for one in lines:
        pattern = pattern_of(one.line.text)
        counts[pattern] += one.count
        example.setdefault(pattern, one.line.text)
    return [(count, example[pattern]) for pattern, count in counts.most_common(most)]


def _of_run(run: list[LogLine]) -> list[FoldedLine]:
    if len(run) < SHORTEST_RUN:
        return unfolded(run)
    return [FoldedLine(run[-1], len(run), len({line.source for line in run}), run[0])]
