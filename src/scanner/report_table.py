"""The report of `scanner scan` for people."""

from __future__ import annotations

import sys

from kinds.counted import counted
from scanner.scan_report import KindReport, ScanReport

PIPED_WIDTH = 200


def print_report(report: ScanReport) -> None:
    """One row for each cluster and kind, and a line of totals, to stdout. No colour and no frame when piped."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    is_terminal = sys.stdout.isatty()
    table = Table(box=box.SIMPLE_HEAD if is_terminal else None, pad_edge=False, header_style="bold")
    for name in ("CLUSTER", "KIND"):
        table.add_column(name, overflow="fold")
    for name in ("OBJECTS", "ADDED", "CHANGED", "REMOVED", "MALFORMED", "PAGES", "SECONDS"):
        table.add_column(name, justify="right")
    columns = len(table.columns)
    if any(row.outcome != "scanned" for row in report.kinds):
        table.add_column("ERROR", overflow="fold")
        columns += 1
    for row in report.kinds:
        table.add_row(*_cells(row)[:columns], style="red" if row.outcome == "failed" else None)
    console = Console(width=None if is_terminal else PIPED_WIDTH, highlight=False, markup=False)
    console.print(table)
    console.print(_total(report))


def _cells(row: KindReport) -> tuple[str, ...]:
    if row.outcome != "scanned":
        error = "not permitted" if row.outcome == "not_permitted" else row.error
        return (row.cluster, row.kind, *["-"] * 6, f"{row.duration_seconds:.2f}", error)
    counts = (row.objects, row.added, row.changed, row.removed, row.malformed, row.pages)
    return (row.cluster, row.kind, *map(str, counts), f"{row.duration_seconds:.2f}", "")


def _total(report: ScanReport) -> str:
    scanned = [row for row in report.kinds if row.outcome == "scanned"]
    objects = sum(row.objects for row in scanned)
    clusters = len({row.cluster for row in report.kinds})
    refused = sum(row.outcome == "not_permitted" for row in report.kinds)
    failed = sum(row.outcome == "failed" for row in report.kinds)
    parts = [f"{counted(objects, 'object')} of {counted(len(scanned), 'kind')} in {counted(clusters, 'cluster')}"]
    parts += [f"{refused} not permitted"] if refused else []
    parts += [f"{failed} failed"] if failed else []
    return f"{', '.join(parts)}; {report.duration_seconds:.2f} s"
