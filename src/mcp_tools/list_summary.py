"""A whole list in few words: how many of each state, what is not healthy, where, and the first rows.

Counted over a streamed read of all pages; what is kept is bounded by what an answer can show.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kinds.kind import Kind
from mcp_tools.continue_tokens import Position

STATE_COLUMNS = ("status", "status_phase", "progress", "type")
"""The first of these that a kind has is what its objects are counted by."""
HEALTH = "healthy"
TOP_NAMESPACES = 10
TOP_STATES = 25
_MOST_KEYS = 20_000
"""Of a counter. What a cluster writes into a status is not bounded by anything."""
_OTHERS = "others"

Row = dict[str, Any]


def state_column(kind: Kind) -> str:
    """ "" for a kind whose objects have no state in one word."""
    return next((name for name in STATE_COLUMNS if name in kind.columns_by_name), "")


def has_health(kind: Kind) -> bool:
    """Whether the kind knows healthy objects from others."""
    return HEALTH in kind.columns_by_name


def brief_columns(kind: Kind) -> tuple[str, ...]:
    """What tells an object and its state: the columns that kubectl prints before AGE."""
    names = kind.list_columns
    return names[: names.index("created_at")] if "created_at" in names else names


def counted_columns(kind: Kind) -> tuple[str, ...]:
    """Columns that a summary needs of each row, beside those that a list shows."""
    wanted = ("namespace", state_column(kind), HEALTH if has_health(kind) else "")
    return (
        *kind.list_columns,
        *(name for name in wanted if name and name in kind.columns_by_name and name not in kind.list_columns),
    )


@dataclass(slots=True)
class ListSummary:
    """Filled row by row. `kept` is how many rows of each sort an answer may show at most."""

    kind: Kind
    kept: int
    total: int = 0
    unhealthy: int = 0
    states: Counter[str] = field(default_factory=Counter)
    namespaces: Counter[str] = field(default_factory=Counter)
    unhealthy_in: Counter[str] = field(default_factory=Counter)
    first_rows: list[Row] = field(default_factory=list)
    unhealthy_rows: list[Row] = field(default_factory=list)
    places: list[Position] = field(default_factory=list)
    """Where the list goes on before the first of the first rows, after it, …"""
    unhealthy_places: list[Position] = field(default_factory=lambda: [Position()])

    def add(self, rows: Sequence[Row], places: Sequence[Position]) -> None:
        """The rows of a page, with `counted_columns`, and the places around them (one more than rows)."""
        state, health = state_column(self.kind), has_health(self.kind)
        if not self.places:
            self.places.append(places[0])
        for row, place in zip(rows, places[1:], strict=True):
            self.total += 1
            namespace = str(row.get("namespace") or "")
            _count(self.states, str(row.get(state)) if state else "")
            _count(self.namespaces, namespace)
            if len(self.first_rows) < self.kept:
                self.first_rows.append(row)
                self.places.append(place)
            if health and row.get(HEALTH) is False:
                self.unhealthy += 1
                _count(self.unhealthy_in, namespace)
                if len(self.unhealthy_rows) < self.kept:
                    self.unhealthy_rows.append(row)
                    self.unhealthy_places.append(Position(place.page, place.after, self.unhealthy))

    def worst_namespaces(self) -> list[dict[str, Any]]:
        """Those with most that is not healthy first, then the largest; TOP_NAMESPACES at most."""
        health = has_health(self.kind)
        names = sorted(self.namespaces, key=lambda name: (-self.unhealthy_in[name], -self.namespaces[name], name))
        return [
            {"namespace": name, "total": self.namespaces[name], "unhealthy": self.unhealthy_in[name] if health else None}
            for name in names[:TOP_NAMESPACES]
            if name
        ]

    def facts(self, namespaces: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The counts, as an answer says them, with those of `worst_namespaces` that fit; null where a kind knows no health,
        {} where it has no state."""
        return {
            "total": self.total,
            "states": _top(self.states) if state_column(self.kind) else {},
            "unhealthy": self.unhealthy if has_health(self.kind) else None,
            "namespaces": list(namespaces),
            "namespaces_total": len([name for name in self.namespaces if name]),
        }


def _count(counter: Counter[str], key: str) -> None:
    counter[key if key in counter or len(counter) < _MOST_KEYS else _OTHERS] += 1


def _top(counter: Counter[str]) -> dict[str, int]:
    top = {key: count for key, count in counter.most_common(TOP_STATES) if key != _OTHERS}
    rest = counter.total() - sum(top.values())
    return top | ({_OTHERS: rest} if rest else {})
