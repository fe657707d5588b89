"""What history costs: bytes in the file for 1,000 changes, and for 1,000 deleted pods.

uv run python script/benchmark/history_figures.py
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

from cache_store import CLUSTER, PODS, page
from figures import Section

from cache.cache_manager import CacheManager, ClusterIdentity, Delta, ObjectChange, Staged
from cache.ttl_manager import TtlPolicy

COUNT = 1000
KILOBYTE = 1000


def history_figures() -> Section:
    """Needs no cluster: synthetic pods of 4 KB, whose events are applied as the scanner applies those of a watch."""
    section = Section(
        "History",
        f"{COUNT:,} pods of a cluster in the form of cache_store.py; growth of the compacted file, with indexes.",
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cache.db"
        first, restarted = page(COUNT, version=1), page(COUNT, version=2)
        with CacheManager(path, policy=TtlPolicy(), kinds={"pods": PODS}) as manager:
            manager.register_cluster(ClusterIdentity(cluster=CLUSTER, uid="bench"))
            _fill(manager, first)
            _apply(manager, restarted, "MODIFIED", "1")
            with closing(sqlite3.connect(path)) as connection:
                (changes,) = connection.execute("SELECT count(*) FROM changes").fetchone()
            grown = _history_size(path)
            each = f"{grown / changes * COUNT / KILOBYTE:.0f} KB"
            section.add("1,000 recorded changes of fields", each)
            section.add("1,000 restarted pods", f"{grown / KILOBYTE:.0f} KB ({changes:,} fields)")
            with closing(sqlite3.connect(path)) as connection, connection:
                connection.execute("DELETE FROM changes")
            _apply(manager, restarted, "DELETED", "2")
            section.add("1,000 deleted pods, with row and manifest", f"{_history_size(path) / KILOBYTE:.0f} KB")
    return section


def _fill(manager: CacheManager, objects: Sequence[Staged]) -> None:
    with manager.stage(CLUSTER, PODS) as staging:
        staging.add(objects)
        staging.finish(resource_version="1")


def _apply(manager: CacheManager, objects: Sequence[Staged], type_: Literal["MODIFIED", "DELETED"], since: str) -> None:
    changes = [ObjectChange(type_, one, one.record.uid, "kubelet") for one in objects]
    delta = Delta(
        kind=PODS,
        since=since,
        until=str(int(since) + 1),
        changes=changes,
        checked_at=time.time(),
        redaction="",
        strategy="follow",
    )
    (outcome,) = manager.apply(CLUSTER, [delta])
    assert outcome.applied, outcome


def _compact_size(path: Path, without: Sequence[str] = ()) -> int:
    """Of a vacuumed copy, with these tables emptied."""
    copy = path.with_name("copy.db")
    copy.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    with closing(sqlite3.connect(copy)) as connection:
        for table in without:
            connection.execute(f"DELETE FROM {table}")  # noqa: S608
        connection.commit()
        connection.execute("VACUUM")
    return copy.stat().st_size


def _history_size(path: Path) -> int:
    return _compact_size(path) - _compact_size(path, without=("deleted_objects", "changes"))


if __name__ == "__main__":
    for figure in history_figures().figures:
        print(f"{figure.name:45} {figure.value}")
