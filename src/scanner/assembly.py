"""Puts the parts of a scanner together, in the order in which they may fail: nothing is written before all is well."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cache.cache_manager import CacheManager
from cache.scan_lock import ScanLock
from kinds.kind import Kind
from mcp_tools.tool_loader import ToolLoader
from scanner.change_feed import ChangeFeed
from scanner.chosen_contexts import chosen_contexts
from scanner.cluster_follower import FRESHNESS_SECONDS
from scanner.cluster_identity import refuse_bad_credentials
from scanner.cluster_scanner import ClusterScanner
from scanner.further_kinds import FurtherKinds
from scanner.keeping_up import KeepingUp
from scanner.kind_check import KindCheck
from scanner.namespaced_lists import NamespacedLists
from scanner.scan_coordinator import ScanCoordinator
from scanner.schedule import Schedule
from scanner.settings import ScannerSettings
from scanner.usage_recorder import UsageRecorder

FRESHNESS_FRACTION = 0.1


@dataclass(frozen=True, slots=True)
class ScannerParts:
    """What a running scanner is made of."""

    settings: ScannerSettings
    loader: ToolLoader
    cache: CacheManager
    scanner: ClusterScanner
    coordinator: ScanCoordinator
    contexts: tuple[str, ...]
    further_kinds: FurtherKinds


@asynccontextmanager
async def assembled(
    loader: ToolLoader,
    settings: ScannerSettings,
    kinds: Mapping[str, Kind],
    *,
    check_credentials: bool = False,
    further: Sequence[str] = (),
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[ScannerParts]:
    """Resolve the contexts, take the lock, open the database: in this order. On leaving, running scans are cancelled.

    Raises ConfigurationError and LockHeld before anything is written. `check_credentials`: clusters that all refuse the
    credentials are a ConfigurationError too (a daemon waits for better ones instead). `further` are names of kinds that
    are looked for beside those of SCANNER_EXTRA_KINDS.
    """
    contexts = await chosen_contexts(loader, settings.k8s_contexts)
    if check_credentials:
        await refuse_bad_credentials(loader, contexts)
    path = settings.cache_db_path
    with (
        ScanLock(path) as lock,
        CacheManager(
            path, policy=settings.ttl_policy(), clock=clock, kinds=kinds, batch_size=settings.scanner_batch_size, lock=lock
        ) as cache,
    ):
        scanner = ClusterScanner(loader, cache, timeout_seconds=settings.scanner_timeout, now=clock)
        all_kinds = dict(kinds)
        names = (*settings.extra_kinds, *further)
        further_kinds = FurtherKinds(loader, names, all_kinds, again_seconds=settings.scanner_static_interval)
        coordinator = coordinator_of(loader, cache, scanner, settings, all_kinds, further_kinds, clock)
        try:
            yield ScannerParts(settings, loader, cache, scanner, coordinator, contexts, further_kinds)
        finally:
            await coordinator.stop()


def coordinator_of(
    loader: ToolLoader,
    cache: CacheManager,
    scanner: ClusterScanner,
    settings: ScannerSettings,
    kinds: Mapping[str, Kind],
    further_kinds: FurtherKinds,
    clock: Callable[[], float] = time.time,
) -> ScanCoordinator:
    """The coordinator and all that it works with."""
    timeout = settings.scanner_timeout
    feed = ChangeFeed(loader, cache, timeout_seconds=timeout, clock=clock)
    check = KindCheck(loader, feed, timeout_seconds=timeout, clock=clock)

    async def current_contexts() -> Sequence[str]:
        return await chosen_contexts(loader, settings.k8s_contexts, skip_unknown=True)

    return ScanCoordinator(
        scanner,
        cache,
        contexts=current_contexts,
        kinds=kinds,
        freshness=cache.freshness_all,
        schedule=schedule(settings),
        concurrent_limit=settings.scanner_concurrent_limit,
        keeping=KeepingUp(
            loader,
            feed,
            check,
            follow=settings.scanner_follow,
            freshness_seconds=freshness_seconds(settings),
            clock=clock,
        ),
        lists=NamespacedLists(loader, scanner, cache, kinds=kinds, namespaces=settings.namespaces),
        find_kinds=further_kinds.find,
        usage=UsageRecorder(loader, cache, clock),
        clock=clock,
    )


def freshness_seconds(settings: ScannerSettings) -> float:
    """How often the freshness of what does not change is written: well within the shortest TTL."""
    return min(FRESHNESS_SECONDS, FRESHNESS_FRACTION * min(settings.cache_static_ttl, settings.cache_dynamic_ttl))


def schedule(settings: ScannerSettings) -> Schedule:
    """When kinds are due, from the settings."""
    return Schedule(
        static_interval=settings.scanner_static_interval,
        dynamic_interval=settings.scanner_dynamic_interval,
        cleanup_interval=settings.cache_cleanup_interval,
        full_list_interval=settings.scanner_full_list_interval,
        longest_absence=settings.cache_stale_grace,
    )
