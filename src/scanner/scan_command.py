"""`scanner scan`: look now, report, and end with an exit code that a cron job can act on."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from configuration.command_line import INTERRUPTED
from configuration.errors import ConfigurationError, K8sMcpError, UnknownKind
from kinds.kind import Kind
from kinds.registry import KINDS, declared_kind, find_kind
from scanner.report_table import print_report
from scanner.scan_progress import scan_progress
from scanner.scan_report import ScanReport
from scanner.scanner_process import scanner_process
from scanner.settings import ScannerSettings
from scanner.stop_signals import stopped_by_signals

if TYPE_CHECKING:
    from cache.cache_manager import CacheManager, RefreshRequest
    from scanner.assembly import ScannerParts

log = logging.getLogger(__name__)

FreshnessClass = Literal["static", "dynamic"]


@dataclass(frozen=True, slots=True)
class Selection:
    """What to scan: declared kinds, and names of others that the clusters are asked about. `named`: a person chose them."""

    kinds: tuple[Kind, ...]
    further: tuple[str, ...]
    freshness_class: FreshnessClass | None
    named: bool

    def takes(self, kind: Kind) -> bool:
        return self.freshness_class is None or kind.dynamic == (self.freshness_class == "dynamic")


def selected_kinds(freshness_class: FreshnessClass | None, names: Sequence[str], extra_kinds: Sequence[str] = ()) -> Selection:
    """Those named, else all, limited to static or dynamic ones. Raises UnknownKind, ConfigurationError.

    A name of SCANNER_EXTRA_KINDS, and any `plural.group`, is one that the clusters have to know.
    """
    further = [name for name in names if declared_kind(name) is None and (name in extra_kinds or "." in name)]
    named = list(dict.fromkeys(find_kind(name).name for name in names if name not in further))
    kinds = [KINDS[name] for name in named] if names else list(KINDS.values())
    chosen = Selection((), tuple(further if names else extra_kinds), freshness_class, named=bool(names))
    chosen = replace(chosen, kinds=tuple(kind for kind in kinds if chosen.takes(kind)))
    if not (chosen.kinds or chosen.further):
        raise ConfigurationError(
            f"none of {', '.join(named)} is {freshness_class}; leave out --{freshness_class} or name another kind"
        )
    return chosen


def scan(settings: ScannerSettings, selection: Selection, *, full: bool = False, as_json: bool) -> None:
    """Run one scan and print its report to stdout. Raises Partial or another error afterwards when something failed."""
    report = asyncio.run(_scan(settings, selection, full))
    if as_json:
        json.dump(report.as_json(), sys.stdout, indent=2)
        print()
    else:
        print_report(report)
    problem = report.problem({row.kind for row in report.kinds} if selection.named else ())
    if problem is not None:
        raise problem


async def _scan(settings: ScannerSettings, selection: Selection, full: bool) -> ScanReport:
    with stopped_by_signals(INTERRUPTED):
        async with scanner_process(
            settings, KINDS, environment=os.environ, check_credentials=True, further=selection.further
        ) as parts:
            return await scan_with(parts, selection, full=full)


async def scan_with(parts: ScannerParts, selection: Selection, *, full: bool) -> ScanReport:
    """One scan of every context of `parts`, with its record in the cache and what is due after it."""
    parts.cache.record_scanner(mode="scan")
    try:
        kinds = [*selection.kinds, *await _found(parts, selection)]
        with scan_progress(len(parts.contexts) * len(kinds)) as progress:
            parts.coordinator.on_report = progress.finished
            asked = parts.cache.waiting_requests(parts.contexts, {kind.name for kind in kinds})
            report = await parts.coordinator.scan_once(
                parts.contexts, kinds, progress.page, full=full, skip_absent=not selection.named
            )
        await _finish(parts.cache, report, asked)
        return report
    finally:
        parts.cache.record_scanner(mode="scan", stopped=True)


async def _finish(cache: CacheManager, report: ScanReport, asked: Sequence[RefreshRequest]) -> None:
    """What a daemon does at its intervals, for whoever scans by cron or a timer.

    What was asked for before the scan is served. Rows are purged by their age alone, but only of kinds that this scan had
    an answer about: the next one may still find out what was deleted of the others.
    """
    answered = {(row.cluster, row.kind) for row in report.kinds if row.outcome != "failed"}

    def write() -> None:
        if served := [request.id for request in asked if (request.cluster, request.kind) in answered]:
            cache.mark_served(served)
        cache.cleanup(looking_since=-math.inf, spare=lambda *target: target not in answered)

    try:
        await asyncio.to_thread(write)
    except K8sMcpError as error:
        log.error("the scan is done, but the cache cannot be cleaned up: %s", error)


async def _found(parts: ScannerParts, selection: Selection) -> list[Kind]:
    """The further kinds that any of the clusters serves. Raises UnknownKind for one that a person named and none serves."""
    for context in parts.contexts:
        try:
            await parts.further_kinds.find(context)
        except K8sMcpError as error:  # the scan itself will say that the cluster does not answer
            log.warning("%s cannot be asked for further kinds: %s", context, error)
    missing = [name for name in selection.further if name in parts.further_kinds.missing]
    if selection.named and missing:
        raise UnknownKind(f"none of the clusters serves {', '.join(missing)}, or it is ambiguous; name it as plural.group")
    found = {kind.name: kind for name, kind in parts.further_kinds.found.items() if name in selection.further}
    return [kind for kind in found.values() if selection.takes(kind)]
