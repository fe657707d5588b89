"""When what is scanned: dispatches what is due, so that a healthy cache is never stale, and nothing twice at a time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from cache.cache_manager import CacheManager
from cache.freshness import Freshness, combine
from cache.ttl_manager import is_due
from configuration.command_line import one_line
from configuration.errors import K8sMcpError, NotPermitted, Unreachable
from kinds.kind import Kind
from scanner.cluster_scanner import ClusterScanner, OnProgress
from scanner.fair_slots import FairSlots
from scanner.retry_delays import RetryDelays
from scanner.scan_report import KindReport, ScanReport

log = logging.getLogger(__name__)

Target = tuple[str, str]
"""(cluster, kind name)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """All in seconds. A kind is due at 0.8 of the shorter of its interval and the TTL of what is stored."""

    static_interval: float
    dynamic_interval: float
    cleanup_interval: float

    def is_due(self, kind: Kind, freshness: Freshness | None, now: float) -> bool:
        """Whether the kind has to be listed now; a kind that was never listed as a whole always has."""
        return is_due(freshness, now, self.dynamic_interval if kind.dynamic else self.static_interval)


class ScanCoordinator:
    """Holds what is running and what failed lately. Used from one event loop.

    `contexts` gives the clusters to scan; it is asked on every round, since a kubeconfig changes while a daemon runs.
    `freshness` reads the cache's metadata; `now` arguments and `clock` are epoch seconds.
    """

    def __init__(
        self,
        scanner: ClusterScanner,
        cache: CacheManager,
        *,
        contexts: Callable[[], Awaitable[Sequence[str]]],
        kinds: Mapping[str, Kind],
        freshness: Callable[[], Sequence[Freshness]],
        schedule: Schedule,
        concurrent_limit: int,
        delays: RetryDelays | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._scanner = scanner
        self._cache = cache
        self._contexts = contexts
        self._kinds = kinds
        self._freshness = freshness
        self._schedule = schedule
        self._slots = FairSlots(concurrent_limit)
        self._delays = delays or RetryDelays()
        self._clock = clock
        self.on_report: Callable[[KindReport], None] | None = None
        """Called after each scan, successful or not."""
        self._clusters: Sequence[str] = ()
        self._running: dict[Target, asyncio.Task[None]] = {}
        self._again: set[Target] = set()
        """Asked for while being scanned: the list under way may be older than what was asked for."""
        self._visits: set[asyncio.Task[None]] = set()
        self._background: dict[str, asyncio.Task[None]] = {}
        self._cleaned_at: float | None = None

    def tick(self, now: float) -> None:
        """Start what is due, and return at once. A round that is still under way is not started again."""
        self._in_background("round", lambda: self._round(now))
        if self._cleaned_at is None or now < self._cleaned_at:  # or the clock was set back
            self._cleaned_at = now  # not before a first round had the chance to reach the clusters
        elif now >= self._cleaned_at + self._schedule.cleanup_interval:
            self._cleaned_at = now
            self._in_background("cleanup", self._clean_up)

    def serve_requests(self) -> None:
        """Start what was asked for through `refresh_requests`, and return at once."""
        self._in_background("requests", self._serve_requests)

    @property
    def running(self) -> tuple[Target, ...]:
        """The scans that are waiting for a slot or under way."""
        return tuple(self._running)

    async def settle(self) -> None:
        """Wait until nothing is under way: for one-shot commands and tests."""
        while tasks := [*self._background.values(), *self._visits]:
            await asyncio.wait(tasks)

    async def stop(self) -> None:
        """Cancel what is under way. Pages of an unfinished scan are discarded; its next start finds the old state."""
        tasks = [*self._background.values(), *self._visits]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def scan_once(
        self, contexts: Sequence[str], kinds: Sequence[Kind], on_progress: OnProgress | None = None
    ) -> ScanReport:
        """List these kinds of these clusters now, due or not, and report."""
        started = time.monotonic()
        self._slots.share_between(len(contexts))
        visits = [self._visit(context, kinds, on_progress) for context in contexts]
        reports = [report for visit in await asyncio.gather(*visits) for report in visit]
        return ScanReport(tuple(reports), time.monotonic() - started)

    async def _round(self, now: float) -> None:
        await asyncio.to_thread(self._cache.reopen_if_replaced)
        self._clusters = await self._contexts()
        self._slots.share_between(len(self._clusters))
        known = _by_target(await asyncio.to_thread(self._freshness))
        for cluster in self._clusters:
            due = [
                kind
                for kind in self._kinds.values()
                if self._schedule.is_due(kind, known.get((cluster, kind.name)), now)
                and self._delays.may_try((cluster, kind.name), now)
            ]
            self._dispatch(cluster, due)

    async def _serve_requests(self) -> None:
        if not self._clusters:
            return  # before the first round nobody knows which requests are ours: they wait
        wanted: dict[str, list[Kind]] = {}
        for request in await asyncio.to_thread(self._cache.take_refresh_requests):
            if request.cluster in self._clusters and request.kind in self._kinds:
                log.info("%s %s: refresh asked for: %s", request.cluster, request.kind, request.reason)
                if (request.cluster, request.kind) in self._running:
                    self._again.add((request.cluster, request.kind))
                wanted.setdefault(request.cluster, []).append(self._kinds[request.kind])
        for cluster, kinds in wanted.items():
            self._dispatch(cluster, kinds)

    async def _clean_up(self) -> None:
        report = await asyncio.to_thread(self._cache.cleanup)
        log.debug("cleaned up: %s", report)

    def _dispatch(self, cluster: str, kinds: Iterable[Kind]) -> None:
        """One visit to a cluster for all kinds that are not being scanned already."""
        free = [kind for kind in kinds if (cluster, kind.name) not in self._running]
        if not free:
            return
        task = asyncio.create_task(self._visit_in_background(cluster, free), name=f"visit:{cluster}")
        self._visits.add(task)
        task.add_done_callback(self._visits.discard)
        for kind in free:
            self._running[cluster, kind.name] = task

    async def _visit_in_background(self, cluster: str, kinds: Sequence[Kind]) -> None:
        visit = asyncio.current_task()
        try:
            await self._visit(cluster, kinds, None)
        except Exception:
            log.exception("%s: unexpected failure; the other clusters go on", cluster)
        finally:
            for kind in kinds:  # those that the visit did not get to; the others may belong to a later visit already
                if self._running.get((cluster, kind.name)) is visit:
                    del self._running[cluster, kind.name]
                    self._again.discard((cluster, kind.name))

    async def _visit(self, cluster: str, kinds: Sequence[Kind], on_progress: OnProgress | None) -> list[KindReport]:
        """Ask the cluster who it is, then scan; one that does not answer costs one try, not one for each kind."""
        try:
            await self._scanner.identify(cluster)
        except K8sMcpError as error:
            return [await self._failed(cluster, kind, error, 0.0) for kind in kinds]
        down: list[Unreachable] = []
        return list(await asyncio.gather(*(self._scan(cluster, kind, down, on_progress) for kind in kinds)))

    async def _scan(self, cluster: str, kind: Kind, down: list[Unreachable], on_progress: OnProgress | None) -> KindReport:
        """One scan in its slot. `down` tells the other kinds of this visit that the cluster has stopped answering."""
        try:
            report = await self._scan_in_slot(cluster, kind, down, on_progress)
        finally:
            self._running.pop((cluster, kind.name), None)
        self._tell(report)
        if (cluster, kind.name) in self._again:
            self._again.discard((cluster, kind.name))
            self._dispatch(cluster, [kind])
        return report

    async def _scan_in_slot(
        self, cluster: str, kind: Kind, down: list[Unreachable], on_progress: OnProgress | None
    ) -> KindReport:
        async with self._slots.slot(cluster):
            started = time.monotonic()
            try:
                if down:
                    raise down[0]
                report = await self._scanner.scan(cluster, kind, on_progress)
            except K8sMcpError as error:
                if isinstance(error, Unreachable):
                    down.append(error)
                return await self._failed(cluster, kind, error, time.monotonic() - started)
            except Exception as error:
                log.exception("%s %s: unexpected failure; the other kinds go on", cluster, kind.name)
                return await self._failed(
                    cluster, kind, K8sMcpError(f"{type(error).__name__}: {error}"), time.monotonic() - started
                )
        self._succeeded(report)
        return report

    def _succeeded(self, report: KindReport) -> None:
        failures = self._delays.succeeded((report.cluster, report.kind))
        recovered = f" (recovered after {failures} failures)" if failures else ""
        log.info("%s%s", report.line(), recovered, extra=report.log_fields())
        for example in report.malformed_examples:
            log.warning("%s %s: set aside %s", report.cluster, report.kind, example)

    async def _failed(self, cluster: str, kind: Kind, error: K8sMcpError, seconds: float) -> KindReport:
        permitted = not isinstance(error, NotPermitted)
        report = KindReport(
            cluster=cluster,
            kind=kind.name,
            outcome="failed" if permitted else "not_permitted",
            duration_seconds=seconds,
            error=one_line(error),
        )
        self._delays.failed((cluster, kind.name), self._clock(), permitted=permitted)
        log.log(logging.WARNING if permitted else logging.INFO, "%s", report.line(), extra=report.log_fields())
        try:
            await asyncio.to_thread(
                self._cache.record_failure, cluster, kind, report.error, permitted=None if permitted else False
            )
        except K8sMcpError as trouble:
            log.warning("%s %s: the failure cannot be recorded: %s", cluster, kind.name, trouble)
        return report

    def _tell(self, report: KindReport) -> None:
        if self.on_report is not None:
            self.on_report(report)

    def _in_background(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        if name in self._background:
            return
        task = asyncio.create_task(self._guarded(name, work), name=name)
        self._background[name] = task
        task.add_done_callback(lambda _: self._background.pop(name, None))

    async def _guarded(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except K8sMcpError as error:
            log.warning("%s failed, it is tried again at the next tick: %s", name, one_line(error))
        except Exception:
            log.exception("%s failed, it is tried again at the next tick", name)


def _by_target(rows: Iterable[Freshness]) -> dict[Target, Freshness | None]:
    """One freshness for each (cluster, kind), from its scopes."""
    scopes: dict[Target, list[Freshness]] = {}
    for row in rows:
        scopes.setdefault((row.cluster, row.kind), []).append(row)
    return {target: combine(rows) for target, rows in scopes.items()}
