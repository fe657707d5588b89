"""`scanner cleanup`: the daemon's housekeeping, now and once."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from cache.cache_manager import CacheManager
from cache.scan_lock import ScanLock
from configuration.errors import CacheMissing
from kinds.registry import KINDS
from scanner.settings import ScannerSettings


def clean_up_now(settings: ScannerSettings, *, as_json: bool) -> None:
    """Clean up and print what was removed. Raises CacheMissing without a database, LockHeld while a scanner runs."""
    path = settings.cache_db_path
    if not path.exists():
        raise CacheMissing(f"there is no database at {path}: nothing has been scanned yet; run `scanner scan`")
    with ScanLock(path), CacheManager(path, policy=settings.ttl_policy(), kinds=KINDS) as cache:
        report = cache.cleanup()
    if as_json:
        json.dump(asdict(report), sys.stdout, indent=2)
        print()
        return
    print(
        f"{path}: removed {report.deleted_objects} deleted objects, {report.changes} changes, {report.findings} findings and "
        f"{report.rows} rows of {len(report.purged)} kinds that were past their grace"
    )
