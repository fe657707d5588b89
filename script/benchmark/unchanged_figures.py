"""What it costs to find out that nothing has changed, and to take in a hundred changes, against a full scan."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from changing_pods import ChangingPods
from figures import Section, milliseconds, percent, seconds
from measured_scanner import Cost, MeasuredScanner, measured_scanner

NOTHING_CHANGED = 0.02
HUNDRED_CHANGES = 0.05
CHANGES = 100
LOG_BYTES_A_KIND = 8_000
ROUNDS = 5


def unchanged_figures(control_plane: Any, environment: Mapping[str, str], database: Path, *, pods: int, runs: int) -> Section:
    """Leaves a filled, fresh database behind."""
    section = Section(
        f"Nothing changed, and {CHANGES} changes, among {pods:,} pods",
        "All kinds, by a scanner that is running already. A round catches up every kind by the changes since and compares "
        "every count with the API server's; the changes are labels of pods. CPU is that of the scanner and its MCP server "
        "together, and what the ratios are of: a round mostly waits for watches to be quiet. What a round wrote is the "
        "growth of the write-ahead log.",
    )
    full, quiet, changed = asyncio.run(_rounds(control_plane, environment, database, runs))
    kinds = quiet[0][0]
    whole = statistics.median(cost.cpu_seconds for _, cost in full)
    section.add("full scan: seconds", seconds([cost.seconds for _, cost in full]))
    section.add("full scan: CPU", seconds([cost.cpu_seconds for _, cost in full]))
    section.add(f"nothing changed, {kinds} kinds: seconds", milliseconds([cost.seconds for _, cost in quiet]))
    section.add("nothing changed: CPU", milliseconds([cost.cpu_seconds for _, cost in quiet]))
    _ratio(section, "nothing changed / full scan", quiet, whole, NOTHING_CHANGED)
    written = statistics.median(cost.wal_bytes / kinds for _, cost in quiet)
    section.add("written for each kind", f"{written:,.0f} bytes", f"< {LOG_BYTES_A_KIND:,} bytes", written < LOG_BYTES_A_KIND)
    section.add(f"{CHANGES} changes: seconds", milliseconds([cost.seconds for _, cost in changed]))
    section.add(f"{CHANGES} changes: CPU", milliseconds([cost.cpu_seconds for _, cost in changed]))
    _ratio(section, f"{CHANGES} changes / full scan", changed, whole, HUNDRED_CHANGES)
    return section


def _ratio(section: Section, name: str, rounds: list[tuple[int, Cost]], whole: float, goal: float) -> None:
    ratio = statistics.median(cost.cpu_seconds for _, cost in rounds) / whole
    section.add(f"{name}, CPU", percent(ratio), f"< {percent(goal)}", ratio < goal)


Rounds = list[tuple[int, Cost]]


async def _rounds(control_plane: Any, environment: Mapping[str, str], database: Path, runs: int) -> tuple[Rounds, Rounds, Rounds]:
    """(full scans, rounds without a change, rounds with changes), each as (kinds that went well, cost)."""
    changing = ChangingPods(control_plane)
    full: Rounds = []
    quiet: Rounds = []
    changed: Rounds = []
    async with measured_scanner(environment, database, scanner_follow=False) as scanner:
        await scanner.scan(full=True)  # warms up what is imported and compiled on first use
        for _ in range(max(2, runs)):
            full.append(await _round(scanner, full=True))
        await scanner.scan(full=False)
        for _ in range(ROUNDS):
            quiet.append(await _round(scanner, full=False))
        for _ in range(ROUNDS):
            await asyncio.to_thread(changing.change_many, CHANGES)
            changed.append(await _round(scanner, full=False, changes=CHANGES))
    return full, quiet, changed


async def _round(scanner: MeasuredScanner, *, full: bool, changes: int = 0) -> tuple[int, Cost]:
    report, cost = await scanner.scan(full=full)
    good = [row for row in report.kinds if row.outcome == "scanned"]
    assert not report.failures(), report.failures()
    strategies = {row.strategy for row in good}
    assert strategies == {"list"} if full else "list" not in strategies, strategies
    assert sum(row.changed for row in good if row.kind == "pods") == changes
    return len(good), cost
