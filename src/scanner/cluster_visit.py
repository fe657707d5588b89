"""One visit to one cluster: who it is, then what is due of it, listed or caught up with."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from configuration.command_line import one_line
from configuration.errors import K8sMcpError, KindNotServed, NotFound, NotPermitted, ToolTimeout, Unreachable
from kinds.kind import Kind
from scanner.cluster_scanner import ClusterScanner, OnProgress, Progress
from scanner.fair_slots import FairSlots
from scanner.keeping_up import KeepingUp, Rows
from scanner.kind_check import Verification
from scanner.namespaced_lists import NamespacedLists, NamespacesFailed
from scanner.scan_outcomes import ScanOutcomes
from scanner.scan_report import KindReport
from scanner.schedule import Schedule

log = logging.getLogger(__name__)


class ClusterVisits:
    """Holds no state of its own: visits may run at the same time, each of another cluster or other kinds.

    `rows` reads what the cache has of a cluster, `rows_to_follow` what of a kind that was just listed. `finished` hears of
    each kind that is done with, whatever it came to.
    """

    def __init__(
        self,
        scanner: ClusterScanner,
        *,
        lists: NamespacedLists,
        keeping: KeepingUp,
        outcomes: ScanOutcomes,
        slots: FairSlots,
        schedule: Schedule,
        rows: Callable[[str], Awaitable[Rows]],
        rows_to_follow: Callable[[str, Kind], Awaitable[Rows]],
        finished: Callable[[str, Kind, KindReport | None, Rows], None],
        clock: Callable[[], float],
    ) -> None:
        self._scanner = scanner
        self._lists = lists
        self._keeping = keeping
        self._outcomes = outcomes
        self._slots = slots
        self._schedule = schedule
        self._rows = rows
        self._rows_to_follow = rows_to_follow
        self._finished = finished
        self._clock = clock

    async def visit(
        self,
        cluster: str,
        to_list: Sequence[Kind],
        to_verify: Sequence[Kind],
        on_progress: OnProgress | None = None,
        *,
        skip_absent: bool = False,
    ) -> list[KindReport]:
        """One that does not answer costs one try, not one for each kind. What cannot be verified is listed.

        `skip_absent`: what was not served a short while ago is not asked for again.
        """
        try:
            await self._scanner.identify(cluster)
        except K8sMcpError as error:
            return await self._outcomes.cluster_failed(cluster, [*to_list, *to_verify], error)
        self._outcomes.cluster_answers(cluster)
        rows = await self._rows(cluster)  # only now: another cluster under the same name has none
        now = self._clock()
        absent = [kind for kind in to_verify if skip_absent and self._schedule.is_absent(rows.get(kind.name, ()), now)]
        to_verify = [kind for kind in to_verify if kind not in absent]
        verified = [kind for kind in to_verify if self._may_verify(cluster, kind, rows)]
        listed = [*to_list, *(kind for kind in to_verify if kind not in verified)]
        down: list[K8sMcpError] = []
        groups = await asyncio.gather(
            self._verify(cluster, verified, rows, down, on_progress),
            *(self._list(cluster, kind, rows, down, on_progress) for kind in listed),
        )
        not_served = [self._outcomes.still_not_served(cluster, kind) for kind in absent]
        return [*not_served, *(report for group in groups for report in group)]

    def _may_verify(self, cluster: str, kind: Kind, rows: Rows) -> bool:
        known = rows.get(kind.name, ())
        return self._keeping.by_changes(cluster, kind.name) and not self._schedule.must_list(known, self._clock())

    # --- LIST

    async def _list(
        self, cluster: str, kind: Kind, rows: Rows, down: list[K8sMcpError], on_progress: OnProgress | None
    ) -> list[KindReport]:
        """One LIST in its slot. `down` tells the other kinds of this visit that the cluster has stopped answering."""
        report = None
        try:
            report = await self._list_in_slot(cluster, kind, rows, down, on_progress)
            rows = await self._rows_to_follow(cluster, kind) if report.outcome == "scanned" else {}
        finally:
            self._finished(cluster, kind, report, rows)
        return [report]

    async def _list_in_slot(
        self, cluster: str, kind: Kind, rows: Rows, down: list[K8sMcpError], on_progress: OnProgress | None
    ) -> KindReport:
        async with self._slots.slot(cluster) as slot:
            started = time.monotonic()

            def progress(page: Progress) -> None:
                slot.progress()
                if on_progress is not None:
                    on_progress(page)

            try:
                if down:
                    return await self._outcomes.failed(cluster, kind, down[0], 0.0, quiet=True)
                await self._keeping.release(cluster, [kind.name])
                report = await self._lists.scan(cluster, kind, rows.get(kind.name, ()), progress)
            except NamespacesFailed as error:
                down += [error.down] if error.down is not None else []
                seconds = time.monotonic() - started
                return await self._outcomes.failed(cluster, kind, error, seconds, by_scope=error.by_namespace)
            except K8sMcpError as error:
                if isinstance(error, Unreachable | ToolTimeout):
                    down.append(error)
                return await self._outcomes.failed(cluster, kind, error, time.monotonic() - started)
            except Exception as error:
                log.exception("%s %s: unexpected failure; the other kinds go on", cluster, kind.name)
                defect = K8sMcpError(f"{type(error).__name__}: {error}")
                return await self._outcomes.failed(cluster, kind, defect, time.monotonic() - started)
        return self._outcomes.succeeded(report)

    # --- catch-up and check

    async def _verify(
        self, cluster: str, kinds: Sequence[Kind], rows: Rows, down: list[K8sMcpError], on_progress: OnProgress | None
    ) -> list[KindReport]:
        if not kinds:
            return []
        started = time.monotonic()
        try:
            checks = await self._verified(cluster, kinds, rows)
            _raise_if_down(checks)
        except K8sMcpError as error:
            down.append(error)
            reports = await self._outcomes.cluster_failed(cluster, kinds, error)
            self._all_finished(cluster, kinds, reports)
            return reports
        seconds = time.monotonic() - started
        by_kind = {kind.name: [check for check in checks if check.state.kind.name == kind.name] for kind in kinds}
        to_list = [kind for kind in kinds if self._has_to_be_listed(cluster, by_kind[kind.name])]
        done = [kind for kind in kinds if kind not in to_list]
        reports = [await self._report(cluster, kind, by_kind[kind.name], seconds) for kind in done]
        self._all_finished(cluster, done, reports)
        listed = await asyncio.gather(*(self._list(cluster, kind, rows, down, on_progress) for kind in to_list))
        return [*reports, *(report for group in listed for report in group)]

    async def _verified(self, cluster: str, kinds: Sequence[Kind], rows: Rows) -> list[Verification]:
        """What is followed needs no slot: little is left to do, and somebody may be waiting for it."""
        if self._keeping.followed(cluster).issuperset(kind.name for kind in kinds):
            return await self._keeping.verify(cluster, kinds, rows)
        async with self._slots.slot(cluster):
            return await self._keeping.verify(cluster, kinds, rows)

    def _has_to_be_listed(self, cluster: str, checks: Sequence[Verification]) -> bool:
        for check in checks:
            name = check.state.kind.name
            if check.lost:
                log.info("%s %s is listed again: %s", cluster, name, why_listed(check.lost))
                return True
            if isinstance(check.error, NotPermitted):
                self._keeping.not_watchable(cluster, name, check.error)
                return True
            if isinstance(check.error, NotFound | KindNotServed):
                return True
            if check.error is not None and not check.is_overload and self._outcomes.failures(cluster, name):
                log.info("%s %s is listed, its changes cannot be read: %s", cluster, name, one_line(check.error))
                return True
        return not checks

    async def _report(self, cluster: str, kind: Kind, checks: Sequence[Verification], seconds: float) -> KindReport:
        errors = {check.state.scope: check.error for check in checks if check.error is not None}
        if errors:
            first = next(iter(errors.values()))
            return await self._outcomes.failed(cluster, kind, first, seconds, "check", by_scope=errors)
        changed = any(check.changes for check in checks)
        malformed = tuple(one for check in checks for one in check.malformed)
        return self._outcomes.succeeded(
            KindReport(
                cluster=cluster,
                kind=kind.name,
                outcome="scanned",
                strategy="catch-up" if changed else "check",
                objects=sum(check.state.total for check in checks),
                added=sum(check.added for check in checks),
                changed=sum(check.changed for check in checks),
                removed=sum(check.removed for check in checks),
                malformed=len(malformed),
                malformed_examples=malformed[:5],
                duration_seconds=seconds,
                namespaces=tuple(check.state.scope for check in checks if check.state.scope),
            )
        )

    def _all_finished(self, cluster: str, kinds: Sequence[Kind], reports: Sequence[KindReport]) -> None:
        for kind, report in zip(kinds, reports, strict=True):
            self._finished(cluster, kind, report, {})


def _raise_if_down(checks: Sequence[Verification]) -> None:
    """Raise when nothing of several kinds could be connected to. A watch that is silent is another matter: LISTs may go on."""
    errors = [check.error for check in checks]
    if len({check.state.kind.name for check in checks}) > 1 and all(
        isinstance(error, Unreachable) and not error.was_silent for error in errors
    ):
        raise next(error for error in errors if error is not None)


_WHY = {
    "expired": "the API server no longer knows the changes since the cached state",
    "redaction": "it was stored by other redaction rules",
    "went back": "the API server is at an earlier resource version than it was, as after a restore from a backup",
    "count": "the API server twice told another number of objects than the cache holds",
    "never listed": "the cache has no complete list of it",
    "conflict": "the cache changed meanwhile",
}


def why_listed(lost: str | K8sMcpError) -> str:
    """In words, for the log."""
    return one_line(lost) if isinstance(lost, K8sMcpError) else _WHY.get(lost, lost)
