"""`scanner status`: how fresh each kind of each cluster is, whether a scanner keeps it so, and what that costs.

Judged are the clusters and kinds that the settings make this scanner responsible for; what else the database holds is named.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from cache.api_usage import HourlyUsage
from cache.freshness import Freshness, combine
from cache.status import CacheStatus, cache_status
from configuration.errors import ConfigurationError, K8sMcpError
from kinds.registry import KINDS
from kinds.times import to_rfc3339
from mcp_tools.kubeconfig import IN_CLUSTER, load_kubeconfig
from mcp_tools.server_address import OWN_SERVER
from mcp_tools.settings import ALL_CONTEXTS, context_names
from scanner.schedule import scopes_kept_up
from scanner.settings import ScannerSettings
from scanner.status_table import print_table

State = Literal[
    "fresh", "stale", "failed", "never scanned", "not permitted", "partly permitted", "not served", "no longer served"
]
FAULTS: tuple[State, ...] = ("failed", "stale", "never scanned", "no longer served")
"""What `scanner status` complains about. What the credentials or the cluster do not offer is no fault of the scanner; but that it
holds objects of which nobody can say whether they exist is for somebody to know."""
_NAMED = 5
"""Namespaces that a row names."""
ALIVE_SECONDS = 180
"""A daemon that works leaves a sign each minute or more often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KindStatus:
    """One row of the answer. `age_seconds` is None when the kind was never scanned.

    `strategy`: how it was last looked at (list, catch-up, check, follow). `namespaces`: how many single ones are cached where
    the cluster as a whole may not be listed, else None.
    """

    cluster: str
    kind: str
    state: State
    strategy: str
    objects: int
    namespaces: int | None
    age_seconds: int | None
    ttl_seconds: int | None
    last_checked_at: str | None
    last_full_at: str | None
    duration_ms: int | None
    malformed: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport:
    """What is printed. `others`: clusters in the database that these settings do not name, and that nobody judges."""

    status: CacheStatus
    kinds: tuple[KindStatus, ...]
    others: tuple[str, ...]

    @property
    def clusters(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(kind.cluster for kind in self.kinds))

    def cost(self, cluster: str) -> HourlyUsage | None:
        """What its API server was asked for in the last 60 minutes. Nobody holds a watch when no scanner runs."""
        usage = self.status.usage.get(cluster)
        return replace(usage, watches_held=0) if usage is not None and self.status.holder is None else usage


def print_status(settings: ScannerSettings, *, as_json: bool) -> None:
    """Print to stdout; raises K8sMcpError (exit code 1) when something is not as it should be."""
    report = status_report(settings, os.environ, time.time())
    if as_json:
        json.dump(as_json_object(report), sys.stdout, indent=2)
        print()
    else:
        print_table(report)
    found = complaints(report)
    if found:
        raise K8sMcpError("; ".join(found))


def require_alive(settings: ScannerSettings) -> None:
    """For liveness probes: raises K8sMcpError unless a daemon holds the lock and has left a sign lately."""
    status = cache_status(settings.cache_db_path)
    beat = status.heartbeat
    if status.holder is None or beat is None:
        raise K8sMcpError(f"no scanner works on {settings.cache_db_path}; start one with `scanner`")
    silent = time.time() - beat.last_tick_at
    if silent > ALIVE_SECONDS:
        raise K8sMcpError(f"the scanner (pid {beat.pid}) has left no sign for {silent:.0f} s; restart it")


def status_report(settings: ScannerSettings, environment: Mapping[str, str], now: float) -> StatusReport:
    """Raises CacheMissing and other CacheErrors."""
    status = cache_status(settings.cache_db_path)
    known = tuple(sorted({row.cluster for row in status.clusters} | {row.cluster for row in status.kinds}))
    wanted = responsible_for(settings, environment, known)
    rows: dict[tuple[str, str], list[Freshness]] = {}
    for row in status.kinds:
        rows.setdefault((row.cluster, row.kind), []).append(row)
    kinds = [
        _kind_status(cluster, kind, rows.get((cluster, kind), []), now)
        for cluster in wanted
        for kind in (*KINDS, *_extra_kinds(settings, status.kinds))
    ]
    return StatusReport(status=status, kinds=tuple(kinds), others=tuple(name for name in known if name not in wanted))


def responsible_for(settings: ScannerSettings, environment: Mapping[str, str], known: Sequence[str]) -> list[str]:
    """The clusters that K8S_CONTEXTS means, be they known or not, as the daemon reads it. `known`: those of the database.

    Where only another process can tell (somebody else's MCP server, a kubeconfig that cannot be read now): all that are known.
    """
    names = context_names(settings.k8s_contexts)
    if names and names != (ALL_CONTEXTS,):
        return list(names)
    if settings.mcp_server_url != OWN_SERVER:
        return list(known)
    try:
        config = load_kubeconfig(environment)
        if config is None:
            return [IN_CLUSTER]
        return [entry.name for entry in config.contexts()] if names else [config.context().name]
    except ConfigurationError:
        return list(known)


def _extra_kinds(settings: ScannerSettings, rows: Sequence[Freshness]) -> list[str]:
    """SCANNER_EXTRA_KINDS by the names that the cache has them under: `certificates` is `certificates.cert-manager.io`."""
    stored = sorted({row.kind for row in rows})
    found = [[kind for kind in stored if kind == name or kind.startswith(f"{name}.")] or [name] for name in settings.extra_kinds]
    return [kind for kinds in found for kind in kinds if kind not in KINDS]


def _kind_status(cluster: str, kind: str, rows: Sequence[Freshness], now: float) -> KindStatus:
    kept = scopes_kept_up(rows)  # what may no longer be listed stays readable with its age, and is no fault
    row = combine(kept or rows)
    parts = [one for one in kept if one.scope]
    partial = bool(parts)
    return KindStatus(
        cluster=cluster,
        kind=kind,
        state=_state(kind, row, parts, now),
        strategy=row.strategy if row and row.scanned else "",
        objects=row.item_count if row else 0,
        namespaces=len(parts) if partial else None,
        age_seconds=row.age_seconds(now) if row else None,
        ttl_seconds=row.ttl_seconds if row else None,
        last_checked_at=_time(row.last_checked_at) if row else None,
        last_full_at=_time(row.last_full_at) if row else None,
        duration_ms=row.duration_ms if row else None,
        malformed=row.malformed if row else 0,
        error=_error(row, parts),
    )


def _state(kind: str, row: Freshness | None, parts: Sequence[Freshness], now: float) -> State:
    """A further kind leaves no trace in a cluster that does not serve it; an optional one that it was looked for."""
    if row is None:
        return "never scanned" if kind in KINDS else "not served"
    if not row.served:
        return "no longer served" if row.item_count else "not served"
    if row.permitted is False and not parts:
        return "not permitted"
    if row.last_error or any(part.last_error for part in parts):
        return "failed"
    if not row.scanned:
        return "never scanned"
    if not row.is_fresh(now):
        return "stale"
    return "partly permitted" if parts else "fresh"


def _error(row: Freshness | None, parts: Sequence[Freshness]) -> str:
    """With the namespaces, where only some of them failed."""
    if row is not None and row.scanned and not row.served and row.item_count:
        return f"not served at {_time(row.last_error_at)}: its objects were deleted with it, or are in another version of it"
    failed = [part for part in parts if part.last_error]
    if failed:
        where = ", ".join(part.scope for part in failed[:_NAMED]) + (" …" if len(failed) > _NAMED else "")
        return f"in {where}: {failed[0].last_error}"
    return row.last_error or "" if row is not None else ""


def _time(at: int | None) -> str | None:
    return None if at is None else to_rfc3339(at)


def complaints(report: StatusReport) -> list[str]:
    """What is wrong. A cache that `scanner scan` keeps fresh from cron needs no daemon; one whose daemon died does."""
    status, found = report.status, []
    if status.daemon_died and status.heartbeat is not None:
        found.append(f"the scanner daemon (pid {status.heartbeat.pid}) died; start it again with `scanner`")
    for state in FAULTS:
        named = [f"{kind.cluster} {kind.kind}" for kind in report.kinds if kind.state == state]
        found += [f"{state}: {', '.join(named)}"] if named else []
    for cluster in report.clusters:
        states = {kind.state for kind in report.kinds if kind.cluster == cluster}
        if "not permitted" in states and states <= {"not permitted", "not served"}:
            found.append(f"nothing of {cluster} may be listed with these credentials; allow `list` on what should be cached")
    if found and status.holder is None and not status.daemon_died:
        found.append("no scanner runs; start one with `scanner`")
    return found if report.kinds else [*found, "no cluster was ever scanned; run `scanner scan`"]


def as_json_object(report: StatusReport) -> dict[str, Any]:
    """Documented in docs/operation.md."""
    status = report.status
    return {
        "database": str(status.path),
        "database_bytes": status.size_bytes,
        "scanner": {"running": status.holder is not None, "pid": status.holder, "died": status.daemon_died},
        "healthy": not complaints(report),
        "kinds": [asdict(kind) for kind in report.kinds],
        "clusters": [_cluster(report, cluster) for cluster in report.clusters],
        "other_clusters": list(report.others),
    }


def _cluster(report: StatusReport, cluster: str) -> dict[str, Any]:
    row = next((row for row in report.status.clusters if row.cluster == cluster), None)
    cost = report.cost(cluster)
    return {
        "cluster": cluster,
        "server_version": row.server_version if row else "",
        "last_success_at": _time(row.last_success_at) if row else None,
        "last_hour": None
        if cost is None
        else {"requests": dict(cost.requests), "bytes": cost.bytes, "watches_held": cost.watches_held},
    }
