"""`scanner cleanup`: the daemon's housekeeping, now and once."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from cache.cache_manager import CacheManager
from cache.connection import connect_writer, database_errors, require_database
from cache.scan_lock import ScanLock
from kinds.counted import counted
from kinds.registry import KINDS
from scanner.settings import ScannerSettings


def clean_up_now(settings: ScannerSettings, *, forget: Sequence[str] = (), vacuum: bool = False, as_json: bool) -> None:
    """Clean up and print what was removed. Raises CacheMissing without a database, LockHeld while a scanner runs, and
    ConfigurationError for a cluster to `forget` that is not stored.
    """
    path = settings.cache_db_path
    require_database(path)
    with ScanLock(path):
        with CacheManager(path, policy=settings.ttl_policy(), kinds=KINDS) as cache:
            forgotten = {cluster: cache.forget_cluster(cluster) for cluster in forget}
            # a person asks: age counts, and that the cluster answered lately
            report = cache.cleanup(looking_since=-math.inf, trust_clock=True)
        before, after = rewrite(path) if vacuum else (path.stat().st_size, path.stat().st_size)
    if as_json:
        json.dump(asdict(report) | {"forgotten": forgotten, "bytes_before": before, "bytes_after": after}, sys.stdout, indent=2)
        print()
        return
    for cluster, objects in forgotten.items():
        print(f"{path}: forgot {cluster} with {counted(objects, 'object')} and their history")
    print(
        f"{path}: removed {counted(report.deleted_objects, 'deleted object')}, {counted(report.changes, 'change')}, "
        f"{counted(report.findings, 'finding')} and {counted(report.rows, 'row')} past their grace, "
        f"of {counted(len(report.purged), 'kind')}"
    )
    if vacuum:
        print(f"{path}: rewritten, {before / 1e6:.1f} MB -> {after / 1e6:.1f} MB")


def rewrite(path: Path) -> tuple[int, int]:
    """VACUUM, and its log folded into the file: sizes in bytes before and after. Readers see the old file until it is done.

    Raises CacheBusy and CacheError (a full disk), after which the file is as it was.
    """
    with database_errors(path), closing(connect_writer(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        before = path.stat().st_size
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return before, path.stat().st_size
