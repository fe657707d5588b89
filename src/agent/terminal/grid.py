"""Tables: rows to aligned text that fits the terminal, in cells (a Chinese character takes two)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from agent.terminal.durations import age_of
from agent.terminal.safe_text import safe_line
from kinds.kind import Kind

GAP = 2
FLEXIBLE = 24
"""A column wider than this may be cut when space is short, down to this many cells."""
LEAST_WIDTH = 12
"""Names are cut to this before anything else is."""
LEAST_COLUMNS = 4
WIDEST_CELL = 2000
"""No cell is printed longer than this, however wide the terminal."""

_HEADERS = {"created_at": "AGE", "pod_ip": "IP", "count": "COUNT", "last_seen": "LAST SEEN"}
_EXPENDABLE = {"events": ("count", "object_kind", "type", "reason")}
_GOOD = frozenset({"Running", "Ready", "Active", "Bound", "Completed", "Succeeded", "Complete", "Normal", "Available"})
_WAITING = frozenset({"Pending", "ContainerCreating", "Terminating", "PodInitializing", "Warning", "Unknown", "SchedulingGated"})


@dataclass(frozen=True)
class Grid:
    """Headers, and cells already safe and in one line. `right` are the columns aligned to the right, `expendable` those
    that are left out first when space is short; the others go from the right."""

    headers: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    right: frozenset[int] = frozenset()
    expendable: tuple[int, ...] = ()


@dataclass(frozen=True)
class Printed:
    """Lines of a table, header first, and the headers of columns that did not fit."""

    lines: tuple[Text, ...]
    left_out: tuple[str, ...]


def kind_grid(kind: Kind, rows: Sequence[Mapping[str, object]], *, now: float, namespace: bool) -> Grid:
    """The rows of a list tool as `kubectl get -o wide` shows them. `namespace` False leaves that column out."""
    names = [name for name in kind.list_columns if namespace or name != "namespace"]
    times = {c.name for c in kind.columns if c.type == "time"}
    headers = tuple(_HEADERS.get(name, name.upper().replace("_", " ")) for name in names)
    cells = tuple(
        tuple(_time_cell(row.get(name), now) if name in times else list_cell(row.get(name)) for name in names) for row in rows
    )
    return Grid(headers, cells, expendable=tuple(names.index(name) for name in _EXPENDABLE.get(kind.name, ())))


def sql_grid(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Grid:
    """The result of a query: null is NULL, unlike the empty text; numbers are aligned to the right."""
    right = frozenset(i for i in range(len(columns)) if rows and all(_is_number(row[i]) for row in rows))
    cells = tuple(tuple("NULL" if value is None else cell(value) for value in row) for row in rows)
    return Grid(tuple(safe_line(str(column)) for column in columns), cells, right)


def cell(value: object) -> str:
    """One value in one line: JSON for maps and lists, safe text for everything else."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return safe_line(",".join(value))
    if isinstance(value, Mapping | list | tuple):
        return safe_line(json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str))
    return safe_line(str(value)[:WIDEST_CELL])


def list_cell(value: object) -> str:
    """One value as a list shows it: `-` for nothing, `app=web,tier=db` for a flat map."""
    if value is None or value == "" or value == [] or value == {}:
        return "-"
    if isinstance(value, Mapping) and all(isinstance(part, str | int) for part in value.values()):
        return safe_line(",".join(f"{key}={part}" for key, part in value.items()))
    return cell(value)


def _time_cell(value: object, now: float) -> str:
    return "-" if value is None else safe_line(age_of(str(value), now))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def print_grid(grid: Grid, width: int | None) -> Printed:
    """Lay the table out in `width` cells; None (a pipe, or `-o wide`) means as wide as it takes.

    When space is short, long columns are cut first, then columns are left out from the right, and names are cut last.
    """
    widths = [max(cell_len(text) for text in column) for column in zip(grid.headers, *grid.cells, strict=True)]
    kept = list(range(len(widths))) if width is None else _fit(widths, width, grid.expendable)
    lines = [_line(grid.headers, kept, widths, grid, header=True)]
    lines += [_line(row, kept, widths, grid, header=False) for row in grid.cells]
    return Printed(tuple(lines), tuple(name for position, name in enumerate(grid.headers) if position not in kept))


def _fit(widths: list[int], width: int, expendable: Sequence[int]) -> list[int]:
    """Shrink `widths` in place until they fit; returns the positions of the columns that stay."""
    kept = list(range(len(widths)))
    going = [*expendable, *(position for position in reversed(kept) if position not in expendable)]
    while len(kept) > LEAST_COLUMNS and _needed(widths, kept, FLEXIBLE) > width:
        kept.remove(going.pop(0))
    for least in (FLEXIBLE, LEAST_WIDTH, 1):
        while _needed(widths, kept) > width:
            widest = max(kept, key=lambda position: widths[position])
            if widths[widest] <= least:
                break
            widths[widest] -= 1
    return kept


def _needed(widths: Sequence[int], kept: Sequence[int], at_most: int = WIDEST_CELL) -> int:
    return sum(min(widths[position], at_most) for position in kept) + GAP * (len(kept) - 1)


def _line(texts: Sequence[str], kept: Sequence[int], widths: Sequence[int], grid: Grid, *, header: bool) -> Text:
    line = Text(no_wrap=True, end="")
    for position in kept:
        shown = cut(texts[position], widths[position])
        padding = " " * (widths[position] - cell_len(shown))
        style = "bold" if header else style_of(grid.headers[position], texts[position])
        if position in grid.right:
            line.append(padding)
        line.append(shown, style=style)
        if position != kept[-1]:
            line.append(("" if position in grid.right else padding) + " " * GAP)
    return line


def cut(text: str, width: int) -> str:
    """At most `width` cells; what is cut shows as `…`."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 1)).rstrip() + "…"


def style_of(header: str, text: str) -> str:
    """Colour for the columns that tell healthy from not; "" for everything else."""
    if header not in ("STATUS", "TYPE") or text == "-":
        return ""
    word = text.split(",")[0]
    if header == "TYPE":
        return "yellow" if word == "Warning" else ""
    if word in _GOOD:
        return "green"
    return "yellow" if word in _WAITING or (word.startswith("Init:") and word[5:6].isdigit()) else "red"
