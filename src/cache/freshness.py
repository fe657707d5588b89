"""How fresh one (cluster, kind, scope) is, and the envelope that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from configuration.errors import NeverScanned, NotPermitted
from kinds.envelope import Envelope
from kinds.times import to_rfc3339

WHOLE_CLUSTER = ""
CLOCK_SLACK_SECONDS = 5
"""A check that lies further in the future than this was made before the machine's clock was set back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """A row of `cache_metadata`. Times are epoch seconds; `kind` is the plural name; `scope` is "" or a namespace."""

    cluster: str
    kind: str
    scope: str
    freshness_class: str
    resource_version: str
    last_full_at: int | None
    """When the last complete LIST was stored; null: none has been."""
    last_checked_at: int | None
    """When the rows were last known to equal the cluster; null: never."""
    ttl_seconds: int
    expires_at: int | None
    item_count: int
    complete: bool
    permitted: bool | None
    """False: the API server said 403. None: not known yet."""
    last_error: str | None
    """Empty, which is not null: the API server has no such kind."""
    last_error_at: int | None
    duration_ms: int | None
    strategy: str
    malformed: int
    """Objects of the last full LIST that could not be read."""
    last_counted_at: int | None = None
    """When the number of objects was last compared with the API server's; null: never."""

    @property
    def scanned(self) -> bool:
        """Whether there is anything to answer from, be it old or partial."""
        return self.last_checked_at is not None

    @property
    def served(self) -> bool:
        """False: it was looked for, and the API server has no such kind. Rows of when it had are nobody's word any more.

        They stay: the kind may have been uninstalled, which deleted its objects, or be served in another version only.
        """
        return self.last_error != ""

    def age_seconds(self, now: float) -> int | None:
        return None if self.last_checked_at is None else max(0, int(now) - self.last_checked_at)

    def is_ahead(self, now: float) -> bool:
        """Whether the clock was set back since the last check: then nobody knows how old the rows are."""
        return self.last_checked_at is not None and self.last_checked_at > now + CLOCK_SLACK_SECONDS

    def is_fresh(self, now: float) -> bool:
        checked = self.last_full_at is not None and self.expires_at is not None and now < self.expires_at
        return checked and self.served and not self.is_ahead(now)


FIELDS = tuple(field.name for field in fields(Freshness))
"""Columns of `cache_metadata`, in the order that `freshness_from_row` takes."""


def freshness_from_row(values: Sequence[object]) -> Freshness:
    """From stored values; the row is one that this package wrote."""
    row: dict[str, object] = dict(zip(FIELDS, values, strict=True))
    row["complete"] = bool(row["complete"])
    row["permitted"] = None if row["permitted"] is None else bool(row["permitted"])
    return Freshness(**row)  # type: ignore[arg-type]  # a test compares the table's types with the dataclass


def require_scanned(freshness: Freshness | None, cluster: str, kind: str, known_clusters: Sequence[str]) -> Freshness:
    """Raises NotPermitted or NeverScanned, saying which; "there are none" is neither."""
    if freshness is not None and freshness.scanned:
        return freshness
    if freshness is not None and not freshness.served:
        raise NeverScanned(f"{kind} of {cluster} were never scanned: the cluster did not serve the kind{_when(freshness)}")
    if freshness is not None and freshness.permitted is False:
        raise NotPermitted(f"the scanner's credentials may not list {kind} of {cluster}: {freshness.last_error}", status=403)
    if freshness is not None and freshness.last_error:
        raise NeverScanned(f"no scan of {kind} of {cluster} has succeeded yet; the last one: {freshness.last_error}")
    if cluster not in known_clusters:
        raise NeverScanned(f"cluster {cluster} was never scanned; the cache holds: {', '.join(known_clusters) or 'no cluster'}")
    raise NeverScanned(f"{kind} of {cluster} were never scanned; run `scanner scan --kind {kind}`")


def combine(rows: Sequence[Freshness], namespace: str | None = None) -> Freshness | None:
    """One freshness from the scopes of one (cluster, kind); None when there are none.

    A namespace's own scope answers for it, for one without a scope only a cluster-wide LIST does, however old. Several
    namespaces without a cluster-wide LIST make an incomplete whole. It is as old as the oldest of the rows that it shows:
    those of a scope that may no longer be listed stay until they are purged, and count. A failure in one of the namespaces that
    may be listed is one of the whole.
    """
    by_scope = {row.scope: row for row in rows}
    whole = by_scope.pop(WHOLE_CLUSTER, None)
    if namespace:
        own = by_scope.get(namespace)
        return _of_namespace(own, whole) if own is not None else whole
    parts = [row for row in by_scope.values() if row.scanned]
    if not parts or (whole is not None and whole.permitted is not False and whole.scanned):
        return whole if whole is not None else next(iter(by_scope.values()), None)
    shown = [*parts, whole] if whole is not None and whole.scanned else parts
    oldest = min(shown, key=lambda row: row.last_checked_at or 0)
    failing = [row for row in by_scope.values() if row.permitted is not False and row.last_error is not None]
    worst = max(failing, key=lambda row: bool(row.last_error), default=oldest)
    return replace(
        oldest,
        scope=WHOLE_CLUSTER,
        item_count=sum(row.item_count for row in parts),
        complete=False,
        last_error=worst.last_error,
        last_error_at=worst.last_error_at,
    )


def _of_namespace(own: Freshness, whole: Freshness | None) -> Freshness:
    """The newer of the two. Where the namespace may be listed alone and could not be, its failure is what keeps it old."""
    if whole is None or (own.last_checked_at or 0) >= (whole.last_checked_at or 0):
        return own
    if whole.permitted is False and own.permitted is not False and own.last_error is not None:
        return replace(whole, permitted=own.permitted, last_error=own.last_error, last_error_at=own.last_error_at)
    return whole


def envelope(freshness: Freshness, now: float, *, total: int | None, shown: int, more: bool) -> Envelope:
    """The envelope of an answer from the cache."""
    return Envelope(
        source="cache",
        cluster=freshness.cluster,
        kind=freshness.kind,
        as_of=freshness.last_checked_at or 0,
        age_seconds=freshness.age_seconds(now) or 0,
        ttl_seconds=freshness.ttl_seconds,
        fresh=freshness.is_fresh(now),
        complete=freshness.complete,
        total=total,
        shown=shown,
        more=more,
        note=_note(freshness, now),
    )


def _when(freshness: Freshness) -> str:
    return f" at the last scan ({to_rfc3339(freshness.last_error_at)})" if freshness.last_error_at is not None else ""


def _note(freshness: Freshness, now: float) -> str:
    fresh = freshness.is_fresh(now)
    if not freshness.served:
        return (
            f"stale: the cluster did not serve {freshness.kind}{_when(freshness)}: these objects were deleted with the kind, or "
            "they are there in a version of it that the scanner does not read"
        )
    if not freshness.complete and freshness.last_full_at is None:
        why = f" ({freshness.last_error[:200]})" if freshness.last_error else ""
        return f"the first scan has not finished{why}; there is more than this"
    if freshness.permitted is False and not fresh:
        where = "" if freshness.complete else " in every namespace that is shown"
        return f"stale: the scanner's credentials may no longer list {freshness.kind}{where}"
    if not freshness.complete and freshness.last_error and freshness.permitted is not False:
        return f"not every namespace that the scanner's credentials may list: the last scan failed: {freshness.last_error[:200]}"
    if not freshness.complete:
        return "only the namespaces that the scanner's credentials may list"
    if fresh:
        return ""
    if freshness.last_error:
        return f"stale: the last scan failed: {freshness.last_error[:200]}"
    if freshness.is_ahead(now):
        return "stale: this machine's clock was set back since the last scan"
    return "stale: no scan within the TTL; is the scanner running?"
