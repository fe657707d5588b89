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
from mcp_tools.tool_declaration import ToolAnswer

LINE_CHARACTERS = 2_000
_CHARACTERS_PER_TOKEN = 2.5
_COMMONEST = 5
_COMMONEST_CHARACTERS = 160


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
    lines = [_written(found, one, longest) for one in _newest_first(found.shown, max_tokens)]
    levels = {level: count for level, count in Counter(line.level for line in found.read).items() if level != "unknown"}
    counts = {level: levels[level] for level in LEVELS if level in levels}

    def render(kept: Sequence[str]) -> ToolAnswer:
        return _rendered(found, counts, kept, with_commonest=max_tokens >= 1000)

    return fitting(lines, render, max_tokens)


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


def _rendered(found: LogFindings, counts: dict[str, int], newest_first: Sequence[str], *, with_commonest: bool) -> ToolAnswer:
    wanted = len(found.read) if found.matched is None else found.matched
    kept = found.shown[len(found.shown) - len(newest_first) :]
    dropped = found.shown[: len(found.shown) - len(newest_first)]
    shown = sum(one.count for one in kept if not one.line.is_context)
    note = "; ".join([*_counted(found, counts, shown, wanted), *found.notes, *_rest(kept, dropped)])
    head = [f"[{note}]"]
    if dropped and with_commonest:
        head += ["[left out, most frequent: " + " | ".join(_short(*one) for one in commonest(dropped, _COMMONEST)) + "]"]
    structured = found.head | {
        "shown": shown,
        "text_lines": len(newest_first),
        "read": len(found.read),
        "matched": found.matched,
        "levels": counts,
        "first_time": found.read[0].time if found.read else "",
        "last_time": found.read[-1].time if found.read else "",
        "truncated": bool(dropped) or found.cut_short,
        "note": note,
    }
    return ToolAnswer("\n".join([*head, *reversed(newest_first)]), structured)


def _counted(found: LogFindings, counts: dict[str, int], shown: int, wanted: int) -> list[str]:
    """`40 of 214 matching lines shown`, `50000 read`, `levels: 214 error, 3 warning`."""
    what = "lines" if found.matched is None else "matching lines"
    parts = [f"{shown} of {wanted} {what} shown"]
    parts += [f"{len(found.read)} read"] if found.matched is not None else []
    parts += [f"levels: {', '.join(f'{count} {level}' for level, count in counts.items())}"] if counts else []
    return parts


def _rest(kept: Sequence[FoldedLine], dropped: Sequence[FoldedLine]) -> list[str]:
    if not dropped:
        return []
    older = sum(one.count for one in dropped if not one.line.is_context)
    oldest = next((one.line.time for one in kept if one.line.time), "")
    before = f"until_time={oldest}, " if oldest else ""
    return [f"{older} older ones left out: repeat with {before}a narrower grep, or a larger max_tokens"]


def _short(count: int, example: str) -> str:
    text = example if len(example) <= _COMMONEST_CHARACTERS else example[:_COMMONEST_CHARACTERS] + "…"
    return f"{count} × {text.strip()}"
