"""The freshness envelope: how old an answer is, where it came from, and whether it is all there is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from kinds.times import to_rfc3339

Source = Literal["cache", "live"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Travels with every read.

    `as_of` is epoch seconds of the last moment the data was known to equal the cluster; `total` is null when
    counting would have needed another read; `complete` is False while a first fill is under way or when
    namespaces are missing because the credentials may not list them.
    """

    source: Source
    cluster: str
    kind: str
    as_of: int
    age_seconds: int
    ttl_seconds: int | None
    fresh: bool
    complete: bool
    total: int | None
    shown: int
    more: bool
    asked: str = ""
    """What the list was narrowed to, `with healthy=false in namespace shop`: what `total` counts. Empty: all there are."""
    note: str = ""
    """One sentence when there is something to know: why it is stale, what is missing."""

    def as_json(self) -> dict[str, Any]:
        """`as_of` as RFC 3339; an empty note and nothing asked are left out."""
        data = asdict(self) | {"as_of": to_rfc3339(self.as_of)}
        return {key: value for key, value in data.items() if value or key not in ("note", "asked")}


def live(
    cluster: str, kind: str, *, now: float, shown: int, total: int | None, more: bool, complete: bool = True, asked: str = "",
    note: str = "",
) -> Envelope:  # fmt: skip
    """The envelope of something read from the API server at `now`."""
    return Envelope(
        source="live", cluster=cluster, kind=kind, as_of=int(now), age_seconds=0, ttl_seconds=None,
        fresh=True, complete=complete, total=total, shown=shown, more=more, asked=asked, note=note,
    )  # fmt: skip
