"""`scanner scan`: list now, report, and end with an exit code that a cron job can act on."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from typing import Literal

from configuration.command_line import INTERRUPTED
from configuration.errors import ConfigurationError
from kinds.kind import Kind
from kinds.registry import KINDS, find_kind
from scanner.report_table import print_report
from scanner.scan_progress import scan_progress
from scanner.scan_report import ScanReport
from scanner.scanner_process import scanner_process
from scanner.settings import ScannerSettings
from scanner.stop_signals import stopped_by_signals

FreshnessClass = Literal["static", "dynamic"]


def selected_kinds(freshness_class: FreshnessClass | None, names: Sequence[str]) -> list[Kind]:
    """The kinds to scan: those named, else all, limited to static or dynamic ones. Raises UnknownKind, ConfigurationError."""
    named = list(dict.fromkeys(find_kind(name).name for name in names))
    kinds = [KINDS[name] for name in named] if named else list(KINDS.values())
    chosen = [kind for kind in kinds if freshness_class is None or kind.dynamic == (freshness_class == "dynamic")]
    if not chosen:
        raise ConfigurationError(
            f"none of {', '.join(named)} is {freshness_class}; leave out --{freshness_class} or name another kind"
        )
    return chosen


def scan(settings: ScannerSettings, kinds: Sequence[Kind], *, asked_by_name: bool, as_json: bool) -> None:
    """Run one scan and print its report to stdout. Raises Partial or another error afterwards when something failed."""
    report = asyncio.run(_scan(settings, kinds))
    if as_json:
        json.dump(report.as_json(), sys.stdout, indent=2)
        print()
    else:
        print_report(report)
    problem = report.problem([kind.name for kind in kinds] if asked_by_name else ())
    if problem is not None:
        raise problem


async def _scan(settings: ScannerSettings, kinds: Sequence[Kind]) -> ScanReport:
    with stopped_by_signals(INTERRUPTED):
        async with scanner_process(settings, KINDS, environment=os.environ, check_credentials=True) as parts:
            parts.cache.record_scanner(mode="scan")
            with scan_progress(len(parts.contexts) * len(kinds)) as progress:
                parts.coordinator.on_report = progress.finished
                try:
                    return await parts.coordinator.scan_once(parts.contexts, kinds, progress.page)
                finally:
                    parts.cache.record_scanner(mode="scan", stopped=True)
