"""Puts the parts of a scanner together, in the order in which they may fail: nothing is written before all is well."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cache.cache_manager import CacheManager
from cache.cache_reader import CacheReader
from cache.scan_lock import ScanLock
from kinds.kind import Kind
from mcp_tools.tool_loader import ToolLoader
from scanner.chosen_contexts import chosen_contexts
from scanner.cluster_identity import refuse_bad_credentials
from scanner.cluster_scanner import ClusterScanner
from scanner.scan_coordinator import ScanCoordinator, Schedule
from scanner.settings import ScannerSettings


@dataclass(frozen=True, slots=True)
class ScannerParts:
    """What a running scanner is made of."""

    settings: ScannerSettings
    loader: ToolLoader
    cache: CacheManager
    scanner: ClusterScanner
    coordinator: ScanCoordinator
    contexts: tuple[str, ...]


@asynccontextmanager
async def assembled(
    loader: ToolLoader,
    settings: ScannerSettings,
    kinds: Mapping[str, Kind],
    *,
    check_credentials: bool = False,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[ScannerParts]:
    """Resolve the contexts, take the lock, open the database: in this order. On leaving, running scans are cancelled.

    Raises ConfigurationError and LockHeld before anything is written. `check_credentials`: clusters that all refuse the
    credentials are a ConfigurationError too (a daemon waits for better ones instead).
    """
    contexts = await chosen_contexts(loader, settings.k8s_contexts)
    if check_credentials:
        await refuse_bad_credentials(loader, contexts)
    path = settings.cache_db_path
    with (
        ScanLock(path),
        CacheManager(
            path, policy=settings.ttl_policy(), clock=clock, kinds=kinds, batch_size=settings.scanner_batch_size
        ) as cache,
        CacheReader(path, clock=clock) as reader,
    ):
        scanner = ClusterScanner(loader, cache, timeout_seconds=settings.scanner_timeout, now=clock)

        async def current_contexts() -> Sequence[str]:
            return await chosen_contexts(loader, settings.k8s_contexts, skip_unknown=True)

        coordinator = ScanCoordinator(
            scanner,
            cache,
            contexts=current_contexts,
            kinds=kinds,
            freshness=reader.freshness_all,
            schedule=schedule(settings),
            concurrent_limit=settings.scanner_concurrent_limit,
            clock=clock,
        )
        try:
            yield ScannerParts(settings, loader, cache, scanner, coordinator, contexts)
        finally:
            await coordinator.stop()


def schedule(settings: ScannerSettings) -> Schedule:
    """When kinds are due, from the settings."""
    return Schedule(
        static_interval=settings.scanner_static_interval,
        dynamic_interval=settings.scanner_dynamic_interval,
        cleanup_interval=settings.cache_cleanup_interval,
    )
