"""What was found in logs, as an answer inside a budget: newest lines kept, and what is left out said with its call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mcp_tools.answer_budget import fitting
from mcp_tools.log_folding import FoldedLine, commonest
from mcp_tools.log_levels import LEVELS
from mcp_tools.log_lines import LogLine
from mcp_tools.log_sources import LogSource
from mcp_tools.log_times import time_before
from mcp_tools.tool_declaration import ToolAnswer

LINE_CHARACTERS = 2_000
_CHARACTERS_PER_TOKEN = 2.5
_COMMONEST = 5
_COMMONEST_CHARACTERS = 160
_WITH_COMMONEST = 1000
"""Tokens from which on there is room for them."""


@dataclass(frozen=True, slots=True)
class LogFindings:
    """`read` is every line that came; `matched` those that fit the filters (None: no filter); `shown` what could be shown."""

    head: dict[str, Any]
    """cluster, namespace, pod, container, containers, previous: what the structured content begins with."""
    sources: tuple[LogSource, ...]
    read: Sequence[LogLine]
    matched: int | None
    shown: Sequence[FoldedLine]
    notes: tuple[str, ...]
    """What else there is to know: lines and pods that were not read."""
    timestamps: bool
    cut_short: bool
    """Whether something that was asked for was not read at all."""


def answer_of(found: LogFindings, max_tokens: int) -> ToolAnswer:
    """The newest lines that fit. Raises nothing: with a tiny budget the head alone is answered."""
    longest = min(LINE_CHARACTERS, max(200, int(max_tokens * _CHARACTERS_PER_TOKEN / 8)))
    kept = _newest_first(found.shown, max_tokens)
    lines = [_written(found, one, longest) for one in kept]
    summary = _Summary(found, _levels(found.read), _commonest(found.shown) if max_tokens >= _WITH_COMMONEST else "")
    return fitting(lines, lambda shown: summary.rendered(kept[: len(shown)], shown), max_tokens)


def _newest_first(shown: Sequence[FoldedLine], max_tokens: int) -> list[FoldedLine]:
    """No more than could possibly fit."""
    room = max_tokens * _CHARACTERS_PER_TOKEN
    found: list[FoldedLine] = []
    for one in reversed(shown):
        room -= len(one.line.text[:LINE_CHARACTERS]) + 1
        if room < 0:
            break
        found.append(one)
    return found


def _written(found: LogFindings, one: FoldedLine, longest: int) -> str:
    text = one.line.text
    if len(text) > longest:
        text = f"{text[:longest]}… ({len(text) - longest} more characters)"
    if one.count > 1:
        text += f" × {one.count}" + (f" in {one.sources} logs" if one.sources > 1 else "")
    time = f"{one.line.time} " if found.timestamps and one.line.time else ""
    return f"{_prefix(found.sources, one.line.source)}{time}{text}"


def _prefix(sources: tuple[LogSource, ...], index: int) -> str:
    """Which pod, and which container where that is not the same for all."""
    if len(sources) < 2:
        return ""
    source = sources[index]
    one_container = len({one.container for one in sources}) == 1
    one_pod = len({one.pod for one in sources}) == 1
    return f"[{source.container if one_pod else source.pod if one_container else f'{source.pod}/{source.container}'}] "


@dataclass(frozen=True, slots=True)
class _Summary:
    """What is said about lines whether they are shown or not, counted once."""

    found: LogFindings
    levels: dict[str, int]
    commonest: str

    def rendered(self, newest: Sequence[FoldedLine], newest_first: Sequence[str]) -> ToolAnswer:
        found = self.found
        kept = _whole_times(newest, found.shown)
        newest_first = newest_first[: len(kept)]
        shown = sum(one.count for one in kept if not one.line.is_context)
        left = len(found.shown) - len(kept)
        note = "; ".join([*self._counted(shown), *found.notes, *([self._rest(kept, shown)] if left else [])])
        head = [f"[{_subject(found)}: {note}]", *([self.commonest] if left and self.commonest else [])]
        structured = found.head | {
            "shown": shown,
            "text_lines": len(newest_first),
            "read": len(found.read),
            "matched": found.matched,
            "levels": self.levels,
            "first_time": found.read[0].time if found.read else "",
            "last_time": found.read[-1].time if found.read else "",
            "truncated": bool(left) or found.cut_short,
            "note": note,
        }
        return ToolAnswer("\n".join([*head, *reversed(newest_first)]), structured)

    @property
    def _wanted(self) -> int:
        return len(self.found.read) if self.found.matched is None else self.found.matched

    def _counted(self, shown: int) -> list[str]:
        """`40 of 214 matching lines shown`, `50000 read`, `levels: 214 error, 3 warning`."""
        filtered = self.found.matched is not None
        parts = [f"{shown} of {self._wanted} {'matching lines' if filtered else 'lines'} shown"]
        parts += [f"{len(self.found.read)} read"] if filtered else []
        return parts + (
            [f"levels: {', '.join(f'{count} {level}' for level, count in self.levels.items())}"] if self.levels else []
        )

    def _rest(self, kept: Sequence[FoldedLine], shown: int) -> str:
        """How to get what is before the oldest line that is shown: `until_time` is a bound that counts as within it."""
        left_out = f"{self._wanted - shown} older ones left out: repeat with"
        other = "a narrower grep, or a larger max_tokens"
        oldest = next((one.first_time for one in reversed(kept) if one.first_time), "")
        if not oldest:
            return f"{left_out} {other}"
        tied = sum(one.count for one in self.found.shown[: -len(kept)] if one.line.time == oldest)
        same = f"; {tied} of them have the time of the oldest one shown: only a larger max_tokens shows those" if tied else ""
        return f"{left_out} until_time={time_before(oldest)}, {other}{same}"


def _subject(found: LogFindings) -> str:
    """`Pod shop/cart-1, container cart`: what no line says, because it is the same for all."""
    pods, containers = {one.pod for one in found.sources}, {one.container for one in found.sources}
    namespace = found.head.get("namespace", "")
    what = f"Pod {namespace}/{found.sources[0].pod}" if len(pods) == 1 else f"{len(pods)} pods in {namespace}"
    if len(containers) > 1:
        return f"{what}, {len(found.sources)} containers"
    return f"{what}, container {found.sources[0].container}" if found.sources[0].container else what


def _whole_times(newest: Sequence[FoldedLine], shown: Sequence[FoldedLine]) -> Sequence[FoldedLine]:
    """Without the oldest ones when others of the same microsecond are left out: a call with `until_time` could not tell them
    apart. All of them where no others would be left."""
    if not newest or len(newest) == len(shown):
        return newest
    cut = shown[len(shown) - len(newest) - 1].line.time
    whole = len(newest)
    while cut and whole and newest[whole - 1].first_time == cut:
        whole -= 1
    return newest[:whole] if whole else newest


def _levels(lines: Sequence[LogLine]) -> dict[str, int]:
    """The worst first; lines that do not say are not counted."""
    counts = Counter(line.level for line in lines)
    return {level: counts[level] for level in LEVELS if counts[level] and level != "unknown"}


def _commonest(shown: Sequence[FoldedLine]) -> str:
    return "[most frequent: " + " | ".join(_short(*one) for one in commonest(shown, _COMMONEST)) + "]"


def _short(count: int, example: str) -> str:
    text = example if len(example) <= _COMMONEST_CHARACTERS else example[:_COMMONEST_CHARACTERS] + "…"
    return f"{count} × {text.strip()}"
