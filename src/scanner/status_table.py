"""The answer of `scanner status` for people."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cache.api_usage import HourlyUsage
from cache.status import CacheStatus
from kinds.counted import counted

if TYPE_CHECKING:
    from scanner.status_command import KindStatus, StatusReport

HEALTHY = ("fresh", "not permitted", "partly permitted", "not served")
PIPED_WIDTH = 200


def print_table(report: StatusReport) -> None:
    """One row for each cluster and kind, below who scans them, to stdout. No colour when piped."""
    from rich.console import Console
    from rich.table import Table

    status = report.status
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("CLUSTER", "KIND", "STATE", "STRATEGY"):
        table.add_column(name, overflow="fold")
    for name in ("OBJECTS", "AGE", "TTL", "MALFORMED"):
        table.add_column(name, justify="right")
    table.add_column("ERROR", overflow="fold")
    for row in report.kinds:
        table.add_row(*_cells(row), style=None if row.state in HEALTHY else "red")
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, highlight=False, markup=False)
    console.print(f"scanner: {_scanner_text(status)}; database: {status.path}, {status.size_bytes / 1e6:.1f} MB")
    console.print(table)
    for cluster in report.clusters:
        if (cost := report.cost(cluster)) is not None:
            console.print(_cost_text(cluster, cost))
    if report.others:
        console.print(f"also in the database, not looked after by these settings: {', '.join(report.others)}")


def _cells(row: KindStatus) -> tuple[str, ...]:
    age = "-" if row.age_seconds is None else f"{row.age_seconds} s"
    ttl = "-" if row.ttl_seconds is None else f"{row.ttl_seconds} s"
    state = row.state if row.namespaces is None else f"{row.state} ({counted(row.namespaces, 'namespace')})"
    return (row.cluster, row.kind, state, row.strategy or "-", str(row.objects), age, ttl, str(row.malformed), row.error)


def _cost_text(cluster: str, cost: HourlyUsage) -> str:
    verbs = ", ".join(f"{number} {verb}" for verb, number in cost.requests.items())
    watches = f", {cost.watches_held} watches held" if cost.watches_held is not None else ""
    asked = f"{sum(cost.requests.values())} requests ({verbs})" if verbs else "no request"
    return f"{cluster}: in the last hour its API server had {asked} from here and sent {cost.bytes / 1e6:.1f} MB{watches}"


def _scanner_text(status: CacheStatus) -> str:
    if status.holder is not None:
        return f"running, pid {status.holder}" if status.holder else "running"
    return "died" if status.daemon_died else "not running"
