"""What scans came to: logged once, recorded in the cache, and put off when they failed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence

from cache.cache_manager import CacheManager
from cache.freshness import WHOLE_CLUSTER, Freshness
from configuration.command_line import one_line
from configuration.errors import K8sMcpError, KindNotServed, NotPermitted, Unreachable
from kinds.counted import counted
from kinds.kind import Kind
from scanner.retry_delays import RetryDelays, seconds_asked_for
from scanner.scan_report import KindReport, Outcome, Strategy
from scanner.schedule import scopes_kept_up

log = logging.getLogger(__name__)


class ScanOutcomes:
    """`delays` are kept per (cluster, kind name), and per (cluster, "") for what keeps all of a cluster from being scanned."""

    def __init__(self, cache: CacheManager, delays: RetryDelays, clock: Callable[[], float]) -> None:
        self._cache = cache
        self._delays = delays
        self._clock = clock
        self.on_report: Callable[[KindReport], None] | None = None

    def may_try(self, cluster: str, kind: str = "") -> bool:
        return self._delays.may_try((cluster, kind), self._clock())

    def failures(self, cluster: str, kind: str) -> int:
        """How many in a row."""
        return self._delays.failures((cluster, kind))

    def still_not_served(self, cluster: str, kind: Kind) -> KindReport:
        """It was asked for a while ago; nothing is asked or recorded."""
        return self._told(KindReport(cluster=cluster, kind=kind.name, outcome="not_served", strategy="check"))

    def succeeded(self, report: KindReport) -> KindReport:
        """Log a scan that worked; a check that found nothing only for who debugs."""
        failures = self._delays.succeeded((report.cluster, report.kind))
        recovered = f" (recovered after {counted(failures, 'failure')})" if failures else ""
        level = logging.DEBUG if report.strategy == "check" and not failures else logging.INFO
        log.log(level, "%s%s", report.line(), recovered, extra=report.log_fields())
        for example in report.malformed_examples:
            log.warning("%s %s: malformed: %s", report.cluster, report.kind, example)
        return self._told(report)

    async def failed(
        self, cluster: str, kind: Kind, error: K8sMcpError, seconds: float, strategy: Strategy = "list", *, quiet: bool = False,
        by_scope: Mapping[str, K8sMcpError] | None = None,
    ) -> KindReport:  # fmt: skip
        """Log and record a scan that did not. `quiet`: it was not tried, since its cluster is known not to answer.

        `by_scope`: what failed in which namespaces, where not all of the kind did.
        """
        scopes = by_scope or {WHOLE_CLUSTER: error}
        outcome = _outcome(error)
        report = KindReport(
            cluster=cluster,
            kind=kind.name,
            outcome=outcome,
            strategy=strategy,
            duration_seconds=seconds,
            error="" if outcome == "not_served" else one_line(error),
        )
        if outcome == "not_served":
            self._delays.forget((cluster, kind.name))
        else:
            permitted = outcome != "not_permitted"
            asked_for = max(map(seconds_asked_for, scopes.values()))
            away = all(isinstance(why, Unreachable) and not why.was_silent for why in scopes.values())
            self._delays.failed((cluster, kind.name), self._clock(), permitted=permitted, at_least=asked_for, until_heard=away)
        levels: dict[Outcome, int] = {"failed": logging.WARNING, "not_permitted": logging.INFO}
        level = logging.DEBUG if quiet else levels.get(outcome, logging.DEBUG)
        log.log(level, "%s", report.line(), extra=report.log_fields())
        await self.record(cluster, [(kind, scope, why) for scope, why in scopes.items()])
        return self._told(report)

    async def cluster_failed(self, cluster: str, kinds: Sequence[Kind], error: K8sMcpError) -> list[KindReport]:
        """The cluster cannot be asked for anything: one line and one delay, and each kind says so."""
        away = isinstance(error, Unreachable)
        self._delays.failed((cluster, ""), self._clock(), at_least=seconds_asked_for(error), until_heard=away)
        log.warning("%s: %s not scanned, what is cached stays: %s", cluster, counted(len(kinds), "kind"), one_line(error))
        await self.record(cluster, [(kind, WHOLE_CLUSTER, error) for kind in kinds])
        return [
            self._told(KindReport(cluster=cluster, kind=kind.name, outcome="failed", error=one_line(error))) for kind in kinds
        ]

    def cluster_answers(self, cluster: str) -> None:
        """Say so, when it did not before."""
        if failures := self._delays.succeeded((cluster, "")):
            log.info("%s answers again (recovered after %s)", cluster, counted(failures, "failure"))

    def heard_from(self, cluster: str, kinds: Collection[str]) -> None:
        """Followers have heard of these kinds again: what was put off since nothing could be reached may be tried at once."""
        for kind in ("", *kinds):
            self._delays.heard((cluster, kind), self._clock())

    async def record(self, cluster: str, failures: Sequence[tuple[Kind, str, K8sMcpError]]) -> None:
        """Put failures of (kind, scope) into the cache's metadata.

        Of a kind that is kept up in single namespaces, these have failed: that the whole may not be listed stays the last word
        about it.
        """

        def write() -> None:
            narrowed = self._namespaces_kept_up(cluster)
            for kind, scope, error in failures:
                outcome = _outcome(error)
                text = "" if outcome == "not_served" else one_line(error)
                permitted = False if outcome == "not_permitted" else None
                parts = narrowed.get(kind.name) if scope == WHOLE_CLUSTER and permitted is None else None
                for one in parts or [scope]:
                    self._cache.record_failure(cluster, kind, text, permitted=permitted, scope=one)

        try:
            await asyncio.to_thread(write)
        except K8sMcpError as trouble:
            log.warning("%s: the failure of %d kinds cannot be recorded: %s", cluster, len(failures), trouble)

    def _namespaces_kept_up(self, cluster: str) -> dict[str, list[str]]:
        """Kind name -> the namespaces that are looked after where the cluster as a whole may not be listed."""
        rows: dict[str, list[Freshness]] = {}
        for row in self._cache.freshness_all(cluster):
            rows.setdefault(row.kind, []).append(row)
        kept = {kind: [row.scope for row in scopes_kept_up(found)] for kind, found in rows.items()}
        return {kind: scopes for kind, scopes in kept.items() if WHOLE_CLUSTER not in scopes}

    def _told(self, report: KindReport) -> KindReport:
        if self.on_report is not None:
            self.on_report(report)
        return report


def _outcome(error: K8sMcpError) -> Outcome:
    if isinstance(error, KindNotServed):
        return "not_served"
    return "not_permitted" if isinstance(error, NotPermitted) else "failed"
