"""`scanner status`: how fresh each kind of each cluster is, and whether a scanner keeps it so."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from cache.freshness import Freshness
from cache.status import CacheStatus, cache_status
from configuration.errors import K8sMcpError
from kinds.registry import KINDS
from kinds.times import to_rfc3339
from mcp_tools.settings import ALL_CONTEXTS, context_names
from scanner.settings import ScannerSettings

State = Literal["fresh", "stale", "failed", "never scanned", "not permitted"]
HEALTHY: tuple[State, ...] = ("fresh", "not permitted")


@dataclass(frozen=True, slots=True, kw_only=True)
class KindStatus:
    """One row of the answer. `age_seconds` is None when the kind was never scanned."""

    cluster: str
    kind: str
    state: State
    objects: int
    age_seconds: int | None
    ttl_seconds: int | None
    last_checked_at: str | None
    duration_ms: int | None
    malformed: int
    error: str


def print_status(settings: ScannerSettings, *, as_json: bool) -> None:
    """Print to stdout; raises K8sMcpError (exit code 1) when something is not as it should be."""
    status = cache_status(settings.cache_db_path)
    kinds = _kinds(_wanted(settings, status), status.kinds, time.time())
    if as_json:
        json.dump(_as_json(status, kinds), sys.stdout, indent=2)
        print()
    else:
        _print_table(status, kinds)
    complaints = _complaints(status, kinds)
    if complaints:
        raise K8sMcpError("; ".join(complaints))


def _wanted(settings: ScannerSettings, status: CacheStatus) -> list[str]:
    """The clusters named by K8S_CONTEXTS, be they known or not; else all that the cache knows or has tried."""
    names = context_names(settings.k8s_contexts)
    if names and names != (ALL_CONTEXTS,):
        return list(names)
    return sorted({row.cluster for row in status.clusters} | {row.cluster for row in status.kinds})


def _kinds(clusters: Sequence[str], rows: Sequence[Freshness], now: float) -> list[KindStatus]:
    known = {(row.cluster, row.kind): row for row in rows if not row.scope}
    return [_status(cluster, kind, known.get((cluster, kind)), now) for cluster in clusters for kind in KINDS]


def _status(cluster: str, kind: str, row: Freshness | None, now: float) -> KindStatus:
    return KindStatus(
        cluster=cluster,
        kind=kind,
        state=_state(row, now),
        objects=row.item_count if row else 0,
        age_seconds=row.age_seconds(now) if row else None,
        ttl_seconds=row.ttl_seconds if row else None,
        last_checked_at=to_rfc3339(row.last_checked_at) if row and row.last_checked_at is not None else None,
        duration_ms=row.duration_ms if row else None,
        malformed=row.malformed if row else 0,
        error=(row.last_error or "") if row else "",
    )


def _state(row: Freshness | None, now: float) -> State:
    if row is not None and row.permitted is False:
        return "not permitted"
    if row is not None and row.last_error:
        return "failed"
    if row is None or not row.scanned:
        return "never scanned"
    return "fresh" if row.is_fresh(now) else "stale"


def _complaints(status: CacheStatus, kinds: Sequence[KindStatus]) -> list[str]:
    """What is wrong. A cache that `scanner scan` keeps fresh from cron needs no daemon; one whose daemon died does."""
    found = []
    if status.daemon_died and status.heartbeat is not None:
        found.append(f"the scanner daemon (pid {status.heartbeat.pid}) died; start it again with `scanner`")
    for state in ("failed", "stale", "never scanned"):
        named = [f"{kind.cluster} {kind.kind}" for kind in kinds if kind.state == state]
        found += [f"{state}: {', '.join(named)}"] if named else []
    for cluster in sorted({kind.cluster for kind in kinds}):
        if all(kind.state == "not permitted" for kind in kinds if kind.cluster == cluster):
            found.append(f"nothing of {cluster} may be listed with these credentials; allow `list` on what should be cached")
    if found and status.holder is None and not status.daemon_died:
        found.append("no scanner runs; start one with `scanner`")
    return found if kinds else [*found, "no cluster was ever scanned; run `scanner scan`"]


def _as_json(status: CacheStatus, kinds: Sequence[KindStatus]) -> dict[str, Any]:
    return {
        "database": str(status.path),
        "database_bytes": status.size_bytes,
        "scanner": {"running": status.holder is not None, "pid": status.holder, "died": status.daemon_died},
        "healthy": not _complaints(status, kinds),
        "kinds": [asdict(kind) for kind in kinds],
    }


def _scanner_text(status: CacheStatus) -> str:
    if status.holder is not None:
        return f"running, pid {status.holder}" if status.holder else "running"
    return "died" if status.daemon_died else "not running"


def _print_table(status: CacheStatus, kinds: Sequence[KindStatus]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("CLUSTER", "KIND", "STATE"):
        table.add_column(name, overflow="fold")
    for name in ("OBJECTS", "AGE", "TTL", "MALFORMED"):
        table.add_column(name, justify="right")
    table.add_column("ERROR", overflow="fold")
    for row in kinds:
        age = "-" if row.age_seconds is None else f"{row.age_seconds} s"
        ttl = "-" if row.ttl_seconds is None else f"{row.ttl_seconds} s"
        style = None if row.state in HEALTHY else "red"
        table.add_row(row.cluster, row.kind, row.state, str(row.objects), age, ttl, str(row.malformed), row.error, style=style)
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False, markup=False)
    console.print(f"scanner: {_scanner_text(status)}; database: {status.path}, {status.size_bytes / 1e6:.1f} MB")
    console.print(table)
