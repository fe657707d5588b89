"""The freshness of the tables that a statement reads."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, replace

from cache.freshness import FIELDS, Freshness, combine, envelope, freshness_from_row, require_scanned
from cache.sql_views import OBJECTS_OF_ALL_KINDS
from configuration.errors import NeverScanned
from kinds.counted import first_few
from kinds.envelope import Envelope
from kinds.registry import KINDS

_NAMED = 5
"""Kinds that a note names, of those that were never scanned."""

_LITERAL = re.compile(r"'((?:[^']|'')*)'")


@dataclass(frozen=True)
class QueryFreshness:
    """What is known of every (cluster, kind), read in the snapshot of the statement; `cluster` is the chosen one."""

    cluster: str
    clusters: tuple[str, ...]
    by_kind: dict[tuple[str, str], Freshness]

    @classmethod
    def load(cls, connection: sqlite3.Connection, cluster: str) -> QueryFreshness:
        """Raises NeverScanned for a cluster that the file does not know."""
        clusters = tuple(row[0] for row in connection.execute("SELECT name FROM main.clusters ORDER BY name"))
        if cluster not in clusters:
            raise NeverScanned(f"cluster {cluster} was never scanned; the cache holds: {', '.join(clusters) or 'no cluster'}")
        scopes: dict[tuple[str, str], list[Freshness]] = {}
        for row in connection.execute(f"SELECT {', '.join(FIELDS)} FROM main.cache_metadata"):  # noqa: S608  -- our field names
            freshness = freshness_from_row(row)
            scopes.setdefault((freshness.cluster, freshness.kind), []).append(freshness)
        combined = {key: combine(rows) for key, rows in scopes.items()}
        return cls(cluster, clusters, {key: value for key, value in combined.items() if value is not None})

    def require(self, table: str, kind: str, every_cluster: bool, sql: str) -> None:
        """Raises NeverScanned or NotPermitted when no row of the table means nothing."""
        if kind:
            self._require_kind(kind, every_cluster)
        elif table in OBJECTS_OF_ALL_KINDS:
            if not self._scanned(every_cluster):
                raise NeverScanned(f"{table} is empty because no scan has succeeded yet; run `scanner scan`")
            for name in {found.replace("''", "'") for found in _LITERAL.findall(sql)} & set(KINDS):
                self._require_kind(name, every_cluster)

    def _require_kind(self, kind: str, every_cluster: bool) -> None:
        if every_cluster and any(row.kind == kind and row.scanned for row in self.by_kind.values()):
            return
        require_scanned(self.by_kind.get((self.cluster, kind)), self.cluster, kind, self.clusters)

    def _scanned(self, every_cluster: bool) -> list[Freshness]:
        return [row for row in self.by_kind.values() if row.scanned and (every_cluster or row.cluster == self.cluster)]

    def envelopes(self, tables: Iterable[tuple[str, str, bool]], now: float, *, shown: int, more: bool) -> tuple[Envelope, ...]:
        """One for each (cluster, table), in that order; tables about the cache itself have none."""
        found: dict[tuple[str, str], Envelope] = {}
        for table, kind, every_cluster in tables:
            for cluster in self.clusters if every_cluster else (self.cluster,):
                made = self._envelope(cluster, table, kind, now)
                if made is not None:
                    found[cluster, made.kind] = replace(made, total=None, shown=shown, more=more)
        return tuple(found[key] for key in sorted(found))

    def _envelope(self, cluster: str, table: str, kind: str, now: float) -> Envelope | None:
        if kind:
            freshness = self.by_kind.get((cluster, kind))
            if freshness is not None and freshness.scanned:
                return envelope(freshness, now, total=None, shown=0, more=False)
            return _never_scanned(cluster, kind, now)
        if table not in OBJECTS_OF_ALL_KINDS:
            return None
        rows = [row for row in self.by_kind.values() if row.cluster == cluster and row.scanned]
        if not rows:
            return _never_scanned(cluster, table, now)
        oldest = min(rows, key=lambda row: (row.is_fresh(now), row.expires_at or 0))
        made = envelope(replace(oldest, complete=all(row.complete for row in rows)), now, total=None, shown=0, more=False)
        scanned = {row.kind for row in rows}
        missing = [name for name, known in KINDS.items() if name not in scanned and not known.optional]
        named = f"; never scanned: {first_few(missing, _NAMED)}" if missing else ""
        note = f"as old as the oldest kind, {oldest.kind}{named}"
        gone = sorted(row.kind for row in rows if not row.served)
        note += f"; the cluster no longer serves {', '.join(gone[:_NAMED])}: those may be gone" if gone else ""
        return replace(made, kind=table, complete=made.complete and not missing, note=note)


def _never_scanned(cluster: str, kind: str, now: float) -> Envelope:
    """Stands for a cluster that an all_ table misses."""
    return Envelope(
        source="cache", cluster=cluster, kind=kind, as_of=0, age_seconds=int(now), ttl_seconds=None, fresh=False,
        complete=False, total=None, shown=0, more=False, note="never scanned: its rows are missing",
    )  # fmt: skip
