"""When data is due, stale and gone. Pure: no clock, no database."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from cache.freshness import Freshness
from kinds.kind import Kind

FreshnessClass = Literal["static", "dynamic"]
DUE_FRACTION = 0.8
"""A kind is looked at again at this part of its TTL, so that a healthy cache is never stale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TtlPolicy:
    """Seconds, but for `history_max_bytes`; names and defaults of DESIGN, configuration."""

    static_ttl: int = 1800
    dynamic_ttl: int = 300
    stale_grace: int = 86_400
    history_retention: int = 604_800
    history_max_bytes: int = 512_000_000

    def ttl_seconds(self, kind: Kind) -> int:
        return self.dynamic_ttl if kind.dynamic else self.static_ttl

    def expires_at(self, kind: Kind, checked_at: int) -> int:
        return checked_at + self.ttl_seconds(kind)

    def may_purge(self, freshness: Freshness, now: float, *, reachable_at: int | None, looking_since: float) -> bool:
        """Whether rows may be removed because of their age.

        Only past TTL and grace, both counted anew from `looking_since`: a scanner that was away has to look first, since
        only from the old rows can it tell what was deleted meanwhile. And only while the cluster answers: its last success
        (`reachable_at`) must lie after that and within two dynamic TTLs. Otherwise old data is the best there is, and
        stays, labelled.
        """
        if freshness.expires_at is None:
            return False
        if now < max(freshness.expires_at, looking_since + freshness.ttl_seconds) + self.stale_grace:
            return False
        return reachable_at is not None and reachable_at >= max(looking_since, now - 2 * self.dynamic_ttl)

    def history_limit(self, now: float) -> int:
        """Changes and deleted objects older than this epoch second are forgotten."""
        return int(now) - self.history_retention


def freshness_class(kind: Kind) -> FreshnessClass:
    return "dynamic" if kind.dynamic else "static"


def is_due(freshness: Freshness | None, now: float, interval: float = math.inf) -> bool:
    """Whether a (cluster, kind) has to be listed now.

    So it is when it never was as a whole, at 0.8 of the shorter of its TTL and `interval` (seconds), and when the clock was
    set back since.
    """
    if freshness is None or freshness.last_checked_at is None or freshness.last_full_at is None or freshness.is_ahead(now):
        return True
    return now >= freshness.last_checked_at + DUE_FRACTION * min(interval, freshness.ttl_seconds)
