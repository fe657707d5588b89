"""How old each kind in the cache is, as a table and in a few words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agent.source_ledger import human_age
from agent.terminal.grid import Grid, cell

if TYPE_CHECKING:
    from cache.freshness import Freshness


def state_of(kind: Freshness, now: float) -> str:
    """`fresh`, `stale`, `partial`, `not permitted`, `not served` or `never scanned`."""
    if kind.permitted is False:
        return "not permitted"
    if not kind.served:
        return "not served"
    if not kind.scanned:
        return "never scanned"
    if not kind.complete:
        return "partial"
    return "fresh" if kind.is_fresh(now) else "stale"


def freshness_grid(kinds: Sequence[Freshness], now: float) -> Grid:
    """One line a kind and scope."""
    cells = []
    for kind in kinds:
        age = kind.age_seconds(now)
        name = f"{kind.kind} in {kind.scope}" if kind.scope else kind.kind
        checked = "-" if age is None else f"{human_age(age)} ago"
        cells.append(
            (cell(name), f"{kind.item_count:,}", checked, state_of(kind, now), kind.strategy, cell(kind.last_error or ""))
        )
    return Grid(("KIND", "OBJECTS", "CHECKED", "STATE", "BY", "LAST ERROR"), tuple(cells), frozenset({1}))


def in_words(kinds: Sequence[Freshness], now: float) -> str:
    """For a status bar: `cache 12 s old` (the oldest of what changes often), `cache: 2 of 10 kinds stale`, `nothing cached`."""
    scanned = [kind for kind in kinds if kind.scanned and kind.permitted is not False]
    if not scanned:
        return "nothing cached"
    stale = sum(not kind.is_fresh(now) for kind in scanned)
    if stale:
        return "cache stale" if stale == len(scanned) else f"cache: {stale} of {len(scanned)} kinds stale"
    dynamic = [kind for kind in scanned if kind.freshness_class == "dynamic"] or scanned
    return f"cache {human_age(max(kind.age_seconds(now) or 0 for kind in dynamic))} old"
