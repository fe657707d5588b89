"""What is going to be scanned, and the state of the cache when the scan begins."""

# ruff: noqa: S608  -- the name put into SQL is that of a declared kind
from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from cache.connection import snapshot
from cache.history_scrub import rules_of
from configuration.errors import CacheError
from kinds.kind import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanScope:
    """One kind of one cluster, wholly or in one namespace.

    `cluster_uid` is the API server's address where the uid is unknown; `scope` is "" or a namespace; `generation` None when
    nothing was stored yet; `rewrite` is True when the stored rows were redacted by other rules or with another key, so that
    every row has to be written again, and `other_rules` when by other rules; `history_settled` when the history is known to
    be stored by the present rules, and this scan adds nothing else to it; `may_have_unowned_rows` when there may be some that
    no scan answers for, of a kind that was purged for example.
    """

    cluster: str
    cluster_uid: str
    kind: Kind
    scope: str
    redaction: str
    started_at: int
    ttl_seconds: int
    generation: int | None
    first_fill: bool
    rewrite: bool
    other_rules: bool
    history_settled: bool
    may_have_unowned_rows: bool


def scan_scope(
    connection: sqlite3.Connection, *, cluster: str, kind: Kind, scope: str, redaction: str, started_at: int, ttl_seconds: int
) -> ScanScope:
    """Raises CacheError for a cluster that is not registered.

    In SQL itself: a scan of thirty small kinds is mostly what each of them costs, and SQLAlchemy took half a millisecond
    for each of these statements.
    """
    with snapshot(connection):
        who = "SELECT coalesce(nullif(uid, ''), api_server) FROM clusters WHERE name = ?"
        known = connection.execute(who, (cluster,)).fetchone()
        rows = connection.execute(
            "SELECT scope, generation, redaction, last_full_at, last_checked_at FROM cache_metadata "
            "WHERE cluster = ? AND kind = ? AND (? = '' OR scope IN (?, ''))",
            (cluster, kind.name, scope, scope),
        ).fetchall()
        stored = "SELECT rules FROM history_rules WHERE cluster = ? AND kind = ?"
        rules = connection.execute(stored, (cluster, kind.name)).fetchone()
        has_rows = connection.execute(f'SELECT 1 FROM "{kind.name}" WHERE cluster = ? LIMIT 1', (cluster,)).fetchone() is not None
    if known is None:
        raise CacheError(f"cluster {cluster} is not registered in the cache; call register_cluster first")
    scopes = [_Scope(*row) for row in rows]
    own = next((one for one in scopes if one.scope == scope), None)
    # what a namespace's own list has written last is its own: one of the whole cluster after it would have taken it over
    owners = [own] if scope and own is not None and own.last_full_at is not None else scopes
    written = [one.redaction for one in owners if one.last_checked_at is not None]
    other_rules = any(rules_of(one) != rules_of(redaction) for one in written)
    return ScanScope(
        cluster=cluster,
        cluster_uid=known[0],
        kind=kind,
        scope=scope,
        redaction=redaction,
        started_at=started_at,
        ttl_seconds=ttl_seconds,
        generation=None if own is None else own.generation,
        first_fill=all(one.last_full_at is None for one in scopes),
        rewrite=any(one != redaction for one in written),
        other_rules=other_rules,
        history_settled=rules == (rules_of(redaction),) and not other_rules,
        may_have_unowned_rows=has_rows and (own is None or own.last_checked_at is None),
    )


@dataclass(frozen=True, slots=True)
class _Scope:
    """A row of `cache_metadata`."""

    scope: str
    generation: int
    redaction: str
    last_full_at: int | None
    last_checked_at: int | None
