"""What `scanner scan` shows on a terminal while it works: one line for each kind under way, gone at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from scanner.scan_report import KindReport

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from scanner.cluster_scanner import Progress


class ScanProgress:
    """Told of pages and of finished kinds. Without a bar (stderr is no terminal) it does nothing."""

    def __init__(self, bar: Bar | None, scans: int) -> None:
        self._bar = bar
        self._lines: dict[tuple[str, str], TaskID] = {}
        self._all = bar.add_task("scanning", total=scans, objects="") if bar else None

    def page(self, progress: Progress) -> None:
        """A page has been stored."""
        if self._bar is None:
            return
        target = (progress.cluster, progress.kind)
        if target not in self._lines:
            self._lines[target] = self._bar.add_task(f"{progress.cluster} {progress.kind}", total=None, objects="")
        total = None if progress.remaining is None else progress.objects + progress.remaining
        self._bar.update(self._lines[target], completed=progress.objects, total=total, objects=f"{progress.objects} objects")

    def finished(self, report: KindReport) -> None:
        """A kind is done, one way or the other."""
        if self._bar is None or self._all is None:
            return
        line = self._lines.pop((report.cluster, report.kind), None)
        if line is not None:
            self._bar.remove_task(line)
        self._bar.advance(self._all)


@contextmanager
def scan_progress(scans: int) -> Iterator[ScanProgress]:
    """A progress display on stderr for so many scans, when stderr is a terminal."""
    if not sys.stderr.isatty():
        yield ScanProgress(None, scans)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[objects]}"), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        yield ScanProgress(bar, scans)
