"""Where an answer came from and how old that was: kept by the program, printed by the program."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from kinds.envelope import Envelope
from kinds.times import to_rfc3339


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceUse:
    """One thing that was read or changed. `what` names it for a person: `pods`, `logs payments/api-0`."""

    source: Literal["cache", "live"]
    cluster: str
    what: str
    as_of: int
    """Epoch seconds of the last moment the data was known to equal the cluster."""
    age_seconds: int
    fresh: bool
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {
            "source": self.source, "cluster": self.cluster, "what": self.what,
            "as_of": to_rfc3339(self.as_of), "age_seconds": self.age_seconds, "fresh": self.fresh,
        }  # fmt: skip
        return data | {"note": self.note} if self.note else data


@dataclass(frozen=True, slots=True)
class Sources:
    """What one answer is signed with."""

    uses: tuple[SourceUse, ...] = ()

    def as_json(self) -> list[dict[str, Any]]:
        return [use.as_json() for use in self.uses]

    def text(self) -> str:
        """`cache · kind-prod · pods 42 s old (fresh) · live: logs payments/api-0`; "no cluster data" when nothing was read."""
        if not self.uses:
            return "no cluster data was read"
        return " | ".join(_cluster_text(cluster, uses) for cluster, uses in self._by_cluster())

    def _by_cluster(self) -> Iterator[tuple[str, list[SourceUse]]]:
        for cluster in dict.fromkeys(use.cluster for use in self.uses):
            yield cluster, [use for use in self.uses if use.cluster == cluster]


def _cluster_text(cluster: str, uses: list[SourceUse]) -> str:
    cached = [use for use in uses if use.source == "cache"]
    live = [use for use in uses if use.source == "live"]
    parts = []
    if cached:
        kinds = ", ".join(f"{use.what} {human_age(use.age_seconds)} old ({_state(use)})" for use in cached)
        parts.append(f"cache · {cluster} · {kinds}")
    if live:
        where = "" if cached else f"{cluster} · "
        parts.append(f"live: {where}" + ", ".join(use.what for use in live))
    return " · ".join(parts)


def _state(use: SourceUse) -> str:
    if use.fresh:
        return "fresh"
    why = use.note.removeprefix("stale: ")
    return f"stale: {why}" if why else "stale"


def human_age(seconds: float) -> str:
    """`42 s`, `6 min`, `3 h`, `2 d`: rounded down, so never older than it says by a whole unit."""
    whole = max(0, int(seconds))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if whole >= size * 2 or (size == 60 and whole >= size):
            return f"{whole // size} {unit}"
    return f"{whole} s"


def cached_use(envelope: Envelope, *, what: str = "", note: str = "") -> SourceUse:
    """The use that an envelope of the cache stands for; `what` defaults to its kind."""
    return SourceUse(
        source="cache", cluster=envelope.cluster, what=what or envelope.kind, as_of=envelope.as_of,
        age_seconds=envelope.age_seconds, fresh=envelope.fresh, note=note or envelope.note,
    )  # fmt: skip


def live_use(cluster: str, what: str, *, now: float) -> SourceUse:
    """Something that was read from, or sent to, the API server just now."""
    return SourceUse(source="live", cluster=cluster, what=what, as_of=int(now), age_seconds=0, fresh=True)


class SourceLedger:
    """Collects uses until an answer takes them. The same thing read twice is signed once, with the older reading."""

    def __init__(self) -> None:
        self._uses: dict[tuple[str, str, str], SourceUse] = {}

    def record(self, use: SourceUse) -> None:
        key = (use.source, use.cluster, use.what)
        known = self._uses.get(key)
        if known is None or use.as_of < known.as_of:
            self._uses[key] = replace(use, note=use.note or (known.note if known else ""))

    def peek(self) -> Sources:
        return Sources(tuple(self._uses.values()))

    def take(self) -> Sources:
        """What was used since the last take; starts a new page."""
        sources = self.peek()
        self._uses.clear()
        return sources
