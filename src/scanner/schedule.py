"""When what is due, and whether it has to be listed or only caught up with. Pure: no clock, no database."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cache.freshness import WHOLE_CLUSTER, Freshness
from cache.ttl_manager import DUE_FRACTION, is_due
from kinds.kind import Kind
from scanner.retry_delays import NOT_PERMITTED_SECONDS

Step = Literal["nothing", "list", "verify"]
"""`verify`: catch up by the changes since, and compare the number of objects with the API server's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """All in seconds. A kind is due at 0.8 of the shorter of its interval and the TTL of what is stored."""

    static_interval: float
    dynamic_interval: float
    cleanup_interval: float
    full_list_interval: float = math.inf
    """After this a kind is listed as a whole again, however well it was kept up."""
    longest_absence: float = 86_400
    """A scanner that did nothing for longer, on a machine that was asleep, begins anew to look before anything is purged."""

    def interval(self, kind: Kind) -> float:
        return self.dynamic_interval if kind.dynamic else self.static_interval

    def next_step(self, kind: Kind, rows: Sequence[Freshness], now: float, *, changes: bool) -> Step:
        """What is due for a kind, from its rows of all scopes. `changes`: it can be kept up by its changes alone."""
        scopes = scopes_kept_up(rows)
        if self.is_absent(rows, now):
            return "nothing"
        if self._may_be_wider(rows, scopes, now):
            return "list"
        steps = {self._step(kind, row, now, changes) for row in scopes} or {"list"}
        return "list" if "list" in steps else "verify" if "verify" in steps else "nothing"

    def must_list(self, rows: Sequence[Freshness], now: float) -> bool:
        """Whether nothing but a LIST will do, due or not."""
        scopes = scopes_kept_up(rows)
        return not scopes or self._may_be_wider(rows, scopes, now) or any(self._is_unfounded(row, now) for row in scopes)

    def _step(self, kind: Kind, row: Freshness, now: float, changes: bool) -> Step:
        if self._is_unfounded(row, now):
            return "list"
        due = is_due(row, now, self.interval(kind))
        if not changes or row.permitted is False:
            return "list" if due else "nothing"
        return "verify" if due or self._count_is_due(kind, row, now) else "nothing"

    def is_absent(self, rows: Sequence[Freshness], now: float) -> bool:
        """The cluster did not serve the kind when it was last asked, which was not long ago."""
        kept = scopes_kept_up(rows)
        return bool(kept) and all(not row.served and 0 <= now - (row.last_error_at or 0) < self.static_interval for row in kept)

    def _may_be_wider(self, rows: Sequence[Freshness], scopes: Sequence[Freshness], now: float) -> bool:
        """Whether to ask again for the whole cluster, of which only some namespaces may be listed."""
        whole = next((row for row in rows if row.scope == WHOLE_CLUSTER), None)
        if whole is None or whole in scopes:
            return False
        return not 0 <= now - (whole.last_error_at or 0) < NOT_PERMITTED_SECONDS

    def _is_unfounded(self, row: Freshness, now: float) -> bool:
        """Never listed as a whole, too long ago, before the clock was set back, or not served: changes have no foundation."""
        never = row.last_full_at is None or row.last_checked_at is None or not row.resource_version or not row.served
        return never or row.is_ahead(now) or not 0 <= now - (row.last_full_at or 0) + 5 < self.full_list_interval + 5

    def _count_is_due(self, kind: Kind, row: Freshness, now: float) -> bool:
        counted_at = max(row.last_counted_at or 0, row.last_full_at or 0)
        return now >= counted_at + DUE_FRACTION * min(self.interval(kind), row.ttl_seconds)


def scopes_kept_up(rows: Sequence[Freshness]) -> list[Freshness]:
    """Of the rows of one kind those that are kept up: the whole cluster, or the namespaces that may be listed instead.

    A namespace whose first LIST failed is one of them: it is due, and it has failed.
    """
    whole = next((row for row in rows if row.scope == WHOLE_CLUSTER), None)
    parts = [row for row in rows if row.scope != WHOLE_CLUSTER and row.permitted is not False and _was_tried(row)]
    if parts and (whole is None or whole.permitted is False):
        return parts
    return [whole] if whole is not None else []


def _was_tried(row: Freshness) -> bool:
    return row.scanned or row.last_error is not None
