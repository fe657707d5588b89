"""What was measured, and the table that says so."""

from __future__ import annotations

import os
import platform
import re
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


def ratio_in_turns(some: Sequence[float], others: Sequence[float]) -> float:
    """The median of the ratios turn by turn: a shared machine that becomes slower meanwhile does so for both of a turn."""
    return statistics.median(one / other for one, other in zip(some, others, strict=True))


def percent(value: float) -> str:
    return f"{value * 100:.1f} %"


def megabytes(value: float) -> str:
    return f"{value / 1e6:.0f} MB"


def machine() -> str:
    """The shape of the machine: nothing that names it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} CPUs, {memory:.0f} GB, {platform.system()}, CPython {platform.python_version()}"


HEAD = """# Benchmarks

Written by `uv run python script/benchmark`. Ratios are taken within one run, on one machine: compare ratios,
not seconds. Memory is the sum of resident sets of the program and its MCP server, sampled every 20 ms.
"""


def markdown(section: Section) -> str:
    """One section of docs/benchmarks.md, with when and on what it was measured."""
    lines = [f"## {section.title}", section.method, "", "| figure | value | goal | |", "|---|---|---|---|"]
    for figure in section.figures:
        mark = {None: "", True: "holds", False: "**missed**"}[figure.holds]
        lines.append(f"| {figure.name} | {figure.value} | {figure.goal} | {mark} |")
    when = time.strftime("%Y-%m-%d", time.gmtime())
    return "\n".join([*lines, "", f"{when}, {machine()}, load average {os.getloadavg()[0]:.1f} at the end.", ""])


def with_sections(document: str, texts: Sequence[str]) -> str:
    """The document with these sections in it, each in the place of the one of the same heading (numbers in it may differ)."""
    parts = re.split(r"(?m)^(?=## )", document)
    known = {_heading(part): index for index, part in enumerate(parts) if part.startswith("## ")}
    for text in texts:
        index = known.get(_heading(text))
        if index is None:
            parts.append(text + "\n")
        else:
            parts[index] = text + "\n"
    return HEAD + "\n" + "".join(part for part in parts if part.startswith("## ")).rstrip("\n") + "\n"


def _heading(text: str) -> str:
    return re.sub(r"[\d,.]+", "N", text.partition("\n")[0])
