"""What it costs to find out that nothing has changed, and to take in a hundred changes, against a full scan."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from changing_pods import ChangingPods
from figures import Section, milliseconds, percent, ratio_in_turns, seconds
from measured_scanner import Cost, MeasuredScanner, measured_scanner

NOTHING_CHANGED = 0.02
HUNDRED_CHANGES = 0.05
CHANGES = 100
LOG_BYTES_A_KIND = 8_000
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Round:
    """`kinds` went well."""

    kinds: int
    cost: Cost


@dataclass(slots=True)
class Rounds:
    """Of one running scanner."""

    full: list[Round] = field(default_factory=list)
    """Into an empty database, as in the figures of a full scan."""
    listed: list[Round] = field(default_factory=list)
    """Everything listed again, when nothing has changed."""
    quiet: list[list[Round]] = field(default_factory=list)
    """After each of the full scans."""
    changed: list[Round] = field(default_factory=list)
    followed: list[Round] = field(default_factory=list)


def unchanged_figures(control_plane: Any, environment: Mapping[str, str], database: Path, *, pods: int, runs: int) -> Section:
    """Leaves a filled, fresh database behind."""
    section = Section(
        f"Nothing changed, and {CHANGES} changes, among {pods:,} pods",
        "All kinds, by a scanner that is running already. A full scan fills an empty database. A round catches up every kind by "
        "the changes since and compares every count with the API server's: one-shot, as `scanner scan` does it, with a watch for "
        "each kind that is closed again, and in a daemon that follows, whose watches are held. The changes are labels of pods. "
        "CPU is that of the scanner and its MCP server together, and what the ratios are of: a round mostly waits for watches to "
        "be quiet. The first ratio is the median of those of each full scan and the rounds after it. What a round wrote is the "
        "growth of the write-ahead log.",
    )
    rounds = asyncio.run(_rounds(control_plane, environment, database, runs))
    whole = _cpu(rounds.full)
    kinds = rounds.quiet[0][0].kinds
    quiet = [one for turn in rounds.quiet for one in turn]
    section.add("full scan: seconds", seconds([one.cost.seconds for one in rounds.full]))
    section.add("full scan: CPU", seconds([one.cost.cpu_seconds for one in rounds.full]))
    section.add("everything listed again, nothing to store: CPU", seconds([one.cost.cpu_seconds for one in rounds.listed]))
    in_turns = ratio_in_turns([_cpu(turn) for turn in rounds.quiet], [one.cost.cpu_seconds for one in rounds.full])
    for name, some, ratio, goal in (
        (f"nothing changed, {kinds} kinds, one-shot", quiet, in_turns, NOTHING_CHANGED),
        ("nothing changed, in a daemon that follows", rounds.followed, _cpu(rounds.followed) / whole, NOTHING_CHANGED),
        (f"{CHANGES} changes, one-shot", rounds.changed, _cpu(rounds.changed) / whole, HUNDRED_CHANGES),
    ):
        _add_rounds(section, name, some, ratio, goal)
    for name, some in (("one-shot", quiet), ("in a daemon that follows", rounds.followed)):
        written = max(one.cost.wal_bytes / one.kinds for one in some)
        holds = written < LOG_BYTES_A_KIND
        section.add(f"written for each kind when nothing changed, {name}", f"{written:,.0f} bytes", "< 8,000 bytes", holds)
    return section


def _add_rounds(section: Section, name: str, rounds: list[Round], ratio: float, goal: float) -> None:
    taken, cpu = milliseconds([one.cost.seconds for one in rounds]), milliseconds([one.cost.cpu_seconds for one in rounds])
    section.add(name, f"{taken}, CPU {cpu}")
    section.add(f"{name} / full scan, CPU", percent(ratio), f"< {percent(goal)}", ratio < goal)


def _cpu(rounds: list[Round]) -> float:
    return statistics.median(one.cost.cpu_seconds for one in rounds)


async def _rounds(control_plane: Any, environment: Mapping[str, str], database: Path, runs: int) -> Rounds:
    changing = ChangingPods(control_plane)
    rounds = Rounds()
    async with measured_scanner(environment, database, scanner_follow=False) as scanner:
        await scanner.scan(full=True)  # warms up what is imported and compiled on first use
        for _ in range(max(2, runs)):
            for file in database.parent.glob(f"{database.name}*"):
                if not file.name.endswith(".lock"):
                    file.unlink()
            scanner.parts.cache.reopen_if_replaced()
            rounds.full.append(await _round(scanner, full=True))
            rounds.listed.append(await _round(scanner, full=True))
            await scanner.scan(full=False)
            rounds.quiet.append([await _round(scanner, full=False) for _ in range(ROUNDS)])
        for _ in range(ROUNDS):
            await asyncio.to_thread(changing.change_many, CHANGES)
            rounds.changed.append(await _round(scanner, full=False, changes=CHANGES))
    async with measured_scanner(environment, database, scanner_follow=True) as scanner:
        scanner.parts.coordinator.tick(time.time())
        await scanner.parts.coordinator.settle()
        await scanner.scan(full=False)
        for _ in range(ROUNDS):
            rounds.followed.append(await _round(scanner, full=False))
    return rounds


async def _round(scanner: MeasuredScanner, *, full: bool, changes: int = 0) -> Round:
    report, cost = await scanner.scan(full=full)
    good = [row for row in report.kinds if row.outcome == "scanned"]
    assert not report.failures(), report.failures()
    strategies = {row.strategy for row in good}
    assert strategies == {"list"} if full else "list" not in strategies, strategies
    assert sum(row.changed for row in good if row.kind == "pods") == changes
    return Round(len(good), cost)
