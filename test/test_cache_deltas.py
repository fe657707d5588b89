"""What a watch tells, written into the cache."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from cache.cache_manager import CacheManager, DeltaOutcome
from cache_fixtures import CLUSTER, START, Clock, api_object, delta, scan, staged
from kinds.registry import KINDS

PODS = KINDS["pods"]


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def test_events_change_what_is_stored_and_advance_the_resource_version(manager: CacheManager, clock: Clock) -> None:
    scan(manager, "pods", staged("pods", *(api_object("pods", f"web-{i}") for i in range(3))))
    clock.now += 60
    changes = delta(
        "pods",
        ("ADDED", api_object("pods", "web-9", version=2)),
        ("MODIFIED", api_object("pods", "web-0", version=3, node="node-9", labels={"app": "web", "tier": "b"})),
        ("DELETED", api_object("pods", "web-1", version=4, restarts=7)),
    )
    (outcome,) = manager.apply(CLUSTER, [changes])
    assert outcome == DeltaOutcome("pods", "", True, added=1, changed=1, removed=1, total=3)
    assert query(manager.path, "SELECT name, node, first_seen_at FROM pods ORDER BY name") == [
        ("web-0", "node-9", START),
        ("web-2", "node-1", START),
        ("web-9", "node-1", START + 60),
    ]
    assert query(manager.path, "SELECT count(*) FROM containers") == [(6,)]
    assert query(
        manager.path, "SELECT name, first_seen_at, deleted_at, json_extract(row, '$.restarts') FROM deleted_objects"
    ) == [("web-1", START, START + 60, 7)]
    assert query(manager.path, "SELECT name, field, old, new, seen_at, resource_version, manager FROM changes ORDER BY id") == [
        ("web-0", "labels.tier", None, "b", START + 60, "3", "kubectl"),
        ("web-0", "node", "node-1", "node-9", START + 60, "3", "kubectl"),
    ]
    freshness = "SELECT resource_version, last_checked_at, last_full_at, expires_at, item_count, strategy FROM cache_metadata"
    assert query(manager.path, freshness) == [("200", START + 60, START, START + 360, 3, "follow")]
