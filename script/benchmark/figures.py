"""What was measured, and the table that says so."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Figure:
    """One row. `goal` is "" when there is none; `holds` None then."""

    name: str
    value: str
    goal: str = ""
    holds: bool | None = None


@dataclass(slots=True)
class Section:
    """A heading, what was done, and its figures."""

    title: str
    method: str
    figures: list[Figure] = field(default_factory=list)

    def add(self, name: str, value: str, goal: str = "", holds: bool | None = None) -> None:
        self.figures.append(Figure(name, value, goal, holds))


def seconds(values: Sequence[float]) -> str:
    """The median, with all values when there are several."""
    middle = f"{statistics.median(values):.2f} s"
    return middle if len(values) == 1 else f"{middle} ({', '.join(f'{value:.2f}' for value in values)})"


def milliseconds(values: Sequence[float]) -> str:
    return f"{statistics.median(values) * 1000:.1f} ms"


def megabytes(value: float) -> str:
    return f"{value / 1e6:.0f} MB"


def machine() -> str:
    """The shape of the machine: nothing that names it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} CPUs, {memory:.0f} GB, {platform.system()}, CPython {platform.python_version()}"


def markdown(sections: Sequence[Section], pods: int) -> str:
    """The whole of docs/benchmarks.md."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `uv run python script/benchmark`. Ratios are of medians within one run, on one machine: compare ratios,",
        "not seconds. Memory is the sum of resident sets of the program and its MCP server, sampled every 20 ms.",
        "",
        f"{time.strftime('%Y-%m-%d', time.gmtime())}, {machine()}, load average {os.getloadavg()[0]:.1f} at the end; "
        f"{pods} pods.",
    ]
    for section in sections:
        lines += ["", f"## {section.title}", section.method, "", "| figure | value | goal | |", "|---|---|---|---|"]
        for figure in section.figures:
            mark = {None: "", True: "holds", False: "**missed**"}[figure.holds]
            lines.append(f"| {figure.name} | {figure.value} | {figure.goal} | {mark} |")
    return "\n".join(lines) + "\n"
