"""The answer of `scanner status` for people."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cache.status import CacheStatus

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
    if report.others:
        console.print(f"also in the database, not looked after by these settings: {', '.join(report.others)}")


def _cells(row: KindStatus) -> tuple[str, ...]:
    age = "-" if row.age_seconds is None else f"{row.age_seconds} s"
    ttl = "-" if row.ttl_seconds is None else f"{row.ttl_seconds} s"
    state = row.state if row.namespaces is None else f"{row.state} ({row.namespaces} namespaces)"
    return (row.cluster, row.kind, state, row.strategy or "-", str(row.objects), age, ttl, str(row.malformed), row.error)


def _scanner_text(status: CacheStatus) -> str:
    if status.holder is not None:
        return f"running, pid {status.holder}" if status.holder else "running"
    return "died" if status.daemon_died else "not running"
