"""When what is scanned: dispatches what is due, so that a healthy cache is never stale, and nothing twice at a time."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from cache.cache_manager import CacheManager
from cache.freshness import WHOLE_CLUSTER, Freshness
from configuration.command_line import one_line
from configuration.errors import K8sMcpError, NotPermitted
from kinds.kind import Kind
from scanner.change_feed import Taken
from scanner.cluster_follower import FollowerEvents
from scanner.cluster_scanner import ClusterScanner, OnProgress
from scanner.cluster_visit import ClusterVisits, why_listed
from scanner.fair_slots import FairSlots
from scanner.keeping_up import KeepingUp, Rows
from scanner.kept_scope import KeptScope
from scanner.lost_kinds import LostKinds, Target
from scanner.namespaced_lists import NamespacedLists
from scanner.refresh_queue import RefreshQueue
from scanner.retry_delays import RetryDelays
from scanner.scan_outcomes import ScanOutcomes
from scanner.scan_report import KindReport, ScanReport
from scanner.schedule import Schedule, scopes_kept_up
from scanner.usage_recorder import OnUsage, UsageRecorder

log = logging.getLogger(__name__)

OnChanges = Callable[[str, str, int, int, int, float | None], None]
"""Called with cluster, kind name, objects added, changed and removed, and how many seconds ago the server heard of them."""


class ScanCoordinator:
    """Holds what is running and what has to be listed. Used from one event loop.

    `contexts` gives the clusters to scan; it is asked on every round, since a kubeconfig changes while a daemon runs.
    `kinds` is looked at on every round: further ones are found while it runs; `find_kinds` looks for them in a cluster.
    `freshness` reads the cache's metadata, of all clusters or one, of all kinds or one. `now` arguments and `clock` are
    epoch seconds.
    """

    def __init__(
        self,
        scanner: ClusterScanner,
        cache: CacheManager,
        *,
        contexts: Callable[[], Awaitable[Sequence[str]]],
        kinds: Mapping[str, Kind],
        freshness: Callable[..., Sequence[Freshness]],
        schedule: Schedule,
        concurrent_limit: int,
        keeping: KeepingUp,
        lists: NamespacedLists,
        find_kinds: Callable[[str], Awaitable[None]] | None = None,
        usage: UsageRecorder | None = None,
        delays: RetryDelays | None = None,
        lost: LostKinds | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cache = cache
        self._contexts = contexts
        self._kinds = kinds
        self._freshness = freshness
        self._schedule = schedule
        self._keeping = keeping
        self._lists = lists
        self._find_kinds = find_kinds
        self._usage = usage
        self._clock = clock
        self._slots = FairSlots(concurrent_limit)
        self._outcomes = ScanOutcomes(cache, delays or RetryDelays(), clock)
        self._visits = ClusterVisits(
            scanner,
            lists=lists,
            keeping=keeping,
            outcomes=self._outcomes,
            slots=self._slots,
            schedule=schedule,
            rows=self._rows,
            rows_to_follow=self._rows_to_follow,
            finished=self._finished,
            clock=clock,
        )
        self._events = FollowerEvents(
            lost=self._lost,
            failing=self._outcomes.record,
            answers=self._outcomes.heard_from,
            changed=self._changed,
        )
        self.on_changes: OnChanges | None = None
        """Called after each stored batch of changes."""
        self.progress_at = time.monotonic()
        """Monotonic seconds: when a round last came to its end, well or not. Nothing else counts: followers that go on would
        hide that nothing is handed out any more.
        """
        self._clusters: Sequence[str] = ()
        self._following = False
        self._running: dict[Target, asyncio.Task[None]] = {}
        self._requests = RefreshQueue(cache)
        self._lost_kinds = lost or LostKinds()
        self._narrowed: dict[str, set[str]] = {}
        """Cluster -> kinds of which only some namespaces may be listed."""
        self._under_way: set[asyncio.Task[None]] = set()
        self._background: dict[str, asyncio.Task[None]] = {}
        self._cleaned_at: float | None = None
        self._ticked_at: float | None = None
        self._looking_since = 0.0
        """Epoch seconds: since when ticks have come without a gap in which everything could have grown too old."""

    @property
    def on_report(self) -> Callable[[KindReport], None] | None:
        """Called after each scan, successful or not."""
        return self._outcomes.on_report

    @on_report.setter
    def on_report(self, told: Callable[[KindReport], None] | None) -> None:
        self._outcomes.on_report = told

    @property
    def on_usage(self) -> OnUsage | None:
        """Called with what each cluster was asked for since the last time."""
        return self._usage.on_usage if self._usage is not None else None

    @on_usage.setter
    def on_usage(self, told: OnUsage | None) -> None:
        if self._usage is not None:
            self._usage.on_usage = told

    def tick(self, now: float) -> None:
        """Start what is due, and return at once. A round that is still under way is not started again."""
        self._following = True
        if self._ticked_at is None or abs(now - self._ticked_at) > self._schedule.longest_absence:
            self._looking_since = now
        self._ticked_at = now
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
    def clusters(self) -> Sequence[str]:
        """Those of the last round; none before the first."""
        return self._clusters

    @property
    def running(self) -> tuple[Target, ...]:
        """The scans that are waiting for a slot or under way."""
        return tuple(self._running)

    def _is_running(self, cluster: str, kind: str) -> bool:
        return (cluster, kind) in self._running

    async def settle(self) -> None:
        """Wait until nothing is under way but following: for one-shot commands and tests."""
        while tasks := [*self._background.values(), *self._under_way]:
            await asyncio.wait(tasks)

    async def stop(self) -> None:
        """Cancel what is under way. Pages of an unfinished scan are discarded; its next start finds the old state."""
        tasks = [*self._background.values(), *self._under_way]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._keeping.stop()

    async def scan_once(
        self,
        contexts: Sequence[str],
        kinds: Sequence[Kind],
        on_progress: OnProgress | None = None,
        *,
        full: bool = False,
        skip_absent: bool = False,
    ) -> ScanReport:
        """Look at these kinds of these clusters now, due or not, and report.

        What the cache holds already is caught up with and checked, unless `full` asks for everything to be listed.
        `skip_absent`: a kind that was not served a short while ago is not asked for.
        """
        started = time.monotonic()
        self._slots.share_between(len(contexts))
        await self._keeping.look_for_tools()
        to_list, to_verify = (kinds, ()) if full else ((), kinds)
        visits = [self._visits.visit(context, to_list, to_verify, on_progress, skip_absent=skip_absent) for context in contexts]
        order = {kind.name: number for number, kind in enumerate(kinds)}
        reports = [sorted(visit, key=lambda report: order[report.kind]) for visit in await asyncio.gather(*visits)]
        seconds = time.monotonic() - started
        if self._usage is not None:
            await self._guarded("usage", functools.partial(self._usage.record, contexts))
        return ScanReport(tuple(report for visit in reports for report in visit), seconds)

    # --- what is due

    async def _round(self, now: float) -> None:
        try:
            await self._look_at_all(now)
        finally:
            self.progress_at = time.monotonic()

    async def _look_at_all(self, now: float) -> None:
        await asyncio.to_thread(self._cache.reopen_if_replaced)
        self._clusters = await self._contexts()
        self._slots.share_between(len(self._clusters))
        await self._keeping.look_for_tools()
        await self._keeping.stop(but=self._clusters)
        known = await asyncio.to_thread(self._freshness)
        for cluster in self._clusters:
            self._look_at(cluster, _by_kind(row for row in known if row.cluster == cluster), now)
            if self._find_kinds is not None:
                self._in_background(f"further kinds of {cluster}", functools.partial(self._find_kinds, cluster))
        if self._usage is not None:
            self._in_background("usage", functools.partial(self._usage.record, self._clusters))

    def _look_at(self, cluster: str, rows: Rows, now: float) -> None:
        """Dispatch what is due of a cluster, and follow the rest."""
        self._narrowed[cluster] = {
            name for name, scopes in rows.items() if any(row.scope != WHOLE_CLUSTER for row in scopes_kept_up(scopes))
        }
        steps = {
            kind.name: self._step(cluster, kind, rows.get(kind.name, ()), now)
            for kind in self._kinds.values()
            if (cluster, kind.name) not in self._running
        }
        kinds = [self._kinds[name] for name in steps]
        kept = [kind for kind in kinds if steps[kind.name] != "list" or not self._outcomes.may_try(cluster, kind.name)]
        followed = [kind for kind in kept if (cluster, kind.name) not in self._lost_kinds]  # also until a LIST is tried again
        self._keeping.follow(cluster, self._events, followed, rows)
        if not self._outcomes.may_try(cluster):
            return
        due = [kind for kind in kinds if steps[kind.name] != "nothing" and self._outcomes.may_try(cluster, kind.name)]
        self._dispatch(
            cluster,
            to_list=[kind for kind in due if steps[kind.name] == "list"],
            to_verify=[kind for kind in due if steps[kind.name] == "verify"],
        )

    def _step(self, cluster: str, kind: Kind, rows: Sequence[Freshness], now: float) -> str:
        target = cluster, kind.name
        lost = target in self._lost_kinds
        if lost and not self._lost_kinds.wait_seconds(target):
            return "list"
        by_changes = not lost and self._keeping.by_changes(cluster, kind.name)
        return self._schedule.next_step(kind, rows, now, changes=by_changes)

    async def _serve_requests(self) -> None:
        if not self._clusters:
            return  # before the first round nobody knows which requests are ours: they wait
        wanted: dict[str, dict[str, Kind]] = defaultdict(dict)
        for request in await self._requests.waiting(self._clusters, self._kinds):
            cluster, kind = request.cluster, request.kind
            if (cluster, kind) in self._running:
                continue  # what is under way may be older than what was asked for: it is done again after it
            if not self._requests.was_tried(request):
                log.info("%s %s: refresh asked for: %s", cluster, kind, request.reason)
            elif not (self._outcomes.may_try(cluster) and self._outcomes.may_try(cluster, kind)):
                continue
            self._requests.begin(request)
            wanted[cluster][kind] = self._kinds[kind]
        for cluster, kinds in wanted.items():
            self._dispatch(cluster, to_verify=list(kinds.values()))

    async def _clean_up(self) -> None:
        cleanup = functools.partial(self._cache.cleanup, looking_since=self._looking_since, spare=self._is_running)
        report = await asyncio.to_thread(cleanup)
        log.debug("cleaned up: %s", report)

    # --- visits

    def _dispatch(self, cluster: str, to_list: Sequence[Kind] = (), to_verify: Sequence[Kind] = ()) -> None:
        """One visit to a cluster for all kinds that are not being scanned already."""
        to_list = [kind for kind in to_list if (cluster, kind.name) not in self._running]
        to_verify = [kind for kind in to_verify if (cluster, kind.name) not in self._running]
        must = [kind for kind in to_verify if (cluster, kind.name) in self._lost_kinds]
        to_list, to_verify = [*to_list, *must], [kind for kind in to_verify if kind not in must]
        if not (to_list or to_verify):
            return
        task = asyncio.create_task(self._visit_in_background(cluster, to_list, to_verify), name=f"visit:{cluster}")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        for kind in (*to_list, *to_verify):
            self._running[cluster, kind.name] = task

    async def _visit_in_background(self, cluster: str, to_list: Sequence[Kind], to_verify: Sequence[Kind]) -> None:
        visit = asyncio.current_task()
        try:
            await self._visits.visit(cluster, to_list, to_verify)
        except K8sMcpError as error:
            log.warning("%s: what is due cannot be looked at now: %s", cluster, one_line(error))
        except Exception:
            log.exception("%s: unexpected failure; the other clusters go on", cluster)
        finally:
            for kind in (*to_list, *to_verify):  # what it did not get to; the others may belong to a later visit already
                if self._running.get((cluster, kind.name)) is visit:
                    del self._running[cluster, kind.name]
                    self._requests.finished((cluster, kind.name), answered=False)

    def _finished(self, cluster: str, kind: Kind, report: KindReport | None, rows: Rows) -> None:
        """A kind is done with: what was listed is followed from there, and whoever asked for it has been served."""
        target = cluster, kind.name
        self._running.pop(target, None)
        if report is not None and report.outcome == "not_served":
            self._lost_kinds.forget(target)
        if report is not None and report.outcome == "scanned" and report.strategy == "list":
            self._lost_kinds.listed(target)
            if self._following:
                self._keeping.follow(cluster, self._events, [kind], rows)
        if self._requests.finished(target, answered=report is not None and report.outcome != "failed"):
            self.serve_requests()

    async def _rows(self, cluster: str) -> Rows:
        return _by_kind(await asyncio.to_thread(self._freshness, cluster))

    async def _rows_to_follow(self, cluster: str, kind: Kind) -> Rows:
        """From where a kind that was just listed is followed; nothing where nobody follows."""
        return _by_kind(await asyncio.to_thread(self._freshness, cluster, kind.name)) if self._following else {}

    # --- what followers tell

    async def _lost(self, cluster: str, lost: Sequence[tuple[KeptScope, str | K8sMcpError]]) -> None:
        """List anew what its changes no longer lead on from; what somebody else wrote is followed from there."""
        to_list: dict[str, Kind] = {}
        rows = await self._rows(cluster)
        for state, why in lost:
            target = cluster, state.kind.name
            if why == "conflict":
                if target not in self._running:  # else it is followed again when that has come to its end
                    self._keeping.follow(cluster, self._events, [state.kind], rows)
            elif isinstance(why, NotPermitted):
                self._keeping.not_watchable(cluster, state.kind.name, why)
            else:
                self._lost_kinds.add(target)
                to_list[state.kind.name] = state.kind
                seconds = self._lost_kinds.wait_seconds(target)
                when = f" in {seconds:.0f} s" if seconds else ""
                log.info("%s %s is listed again%s: %s", cluster, state.kind.name, when, why_listed(why))
        if self._outcomes.may_try(cluster):
            self._dispatch(cluster, to_list=[kind for kind in to_list.values() if self._may_list_at_once(cluster, kind)])

    def _may_list_at_once(self, cluster: str, kind: Kind) -> bool:
        return not self._lost_kinds.wait_seconds((cluster, kind.name)) and self._outcomes.may_try(cluster, kind.name)

    def _changed(self, cluster: str, taken: Taken) -> None:
        kind = taken.state.kind.name
        log.debug("%s %s: %d changes (+%d ~%d -%d)", cluster, kind, taken.changes, taken.added, taken.changed, taken.removed)
        for one in taken.malformed:
            log.warning("%s %s: malformed: %s", cluster, kind, one)
        if kind == "namespaces" and (taken.added or taken.removed):
            self._lists.forget(cluster)
            for name in self._narrowed.get(cluster, ()):
                self._lost_kinds.add((cluster, name))
        if self.on_changes is not None:
            self.on_changes(cluster, kind, taken.added, taken.changed, taken.removed, taken.lag_seconds)

    # --- background

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


def _by_kind(rows: Iterable[Freshness]) -> dict[str, list[Freshness]]:
    kinds: dict[str, list[Freshness]] = defaultdict(list)
    for row in rows:
        kinds[row.kind].append(row)
    return dict(kinds)
