"""One full LIST of one kind of one cluster, from the MCP tools into the cache."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from cache.cache_manager import CacheManager, ClusterIdentity, Staging
from cache.freshness import WHOLE_CLUSTER
from configuration.errors import ClusterError, Expired, ToolError, ToolTimeout, Unreachable
from kinds.kind import Kind
from mcp_tools.tool_loader import ToolLoader
from scanner.cluster_identity import IDENTIFY_SECONDS, cluster_identity
from scanner.page_store import PageStore
from scanner.resource_parser import PageEnvelope, ParsedPage, open_page
from scanner.retry_delays import seconds_asked_for
from scanner.scan_report import KindReport

log = logging.getLogger(__name__)

PAGE_SIZE = 500
LIST_ATTEMPTS = 3
"""A continue token can expire while a large list is read: then the list starts again, this many times in all."""
PAGE_ATTEMPTS = 3
LONGEST_PAGE_PAUSE_SECONDS = 60.0
"""An API server that asks for more is left to the delays of its kind: what waits holds a slot."""
SHOWN_MALFORMED = 5
MOST_SECONDS = 86_400
"""That k8s_export_page takes as the caller's patience."""

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a scan is. `remaining` is None when the API server does not say."""

    cluster: str
    kind: str
    objects: int
    remaining: int | None


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is listed."""

    context: str
    kind: Kind
    scope: str

    def arguments(self) -> dict[str, Any]:
        namespace = {"namespace": self.scope} if self.scope else {}
        return {"context": self.context, "kind": self.kind.name} | namespace


@dataclass(slots=True)
class _Tally:
    """Sums over the pages of one list."""

    pages: int = 0
    objects: int = 0
    malformed: int = 0
    examples: list[str] = field(default_factory=list)
    parse_seconds: float = 0.0

    def add(self, page: ParsedPage) -> None:
        self.pages += 1
        self.objects += len(page.staged)
        self.malformed += len(page.malformed)
        self.examples += [str(one) for one in page.malformed[: SHOWN_MALFORMED - len(self.examples)]]
        self.parse_seconds += page.seconds


class ClusterScanner:
    """Reads through `loader`, writes through `cache`. Holds no state of its own, so scans may run at the same time.

    `timeout_seconds` is the longest wait for one page: a scan that makes progress may take as long as it needs.
    `clock` measures durations, `now` gives epoch seconds.
    """

    def __init__(
        self,
        loader: ToolLoader,
        cache: CacheManager,
        *,
        timeout_seconds: float,
        page_size: int = PAGE_SIZE,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._loader = loader
        self._cache = cache
        self._timeout_seconds = timeout_seconds
        self._page_size = page_size
        self._clock = clock
        self._now = now
        self._sleep = sleep

    async def identify(self, context: str) -> ClusterIdentity:
        """Ask the cluster who it is, and tell the cache. Raises ClusterError when it does not answer."""
        timeout = min(IDENTIFY_SECONDS, self._timeout_seconds)
        identity = await cluster_identity(self._loader, context, timeout_seconds=timeout)
        await asyncio.to_thread(self._cache.register_cluster, identity)
        return identity

    async def scan(
        self, context: str, kind: Kind, on_progress: OnProgress | None = None, *, scope: str = WHOLE_CLUSTER
    ) -> KindReport:
        """List the kind, page by page, and swap the result in. Raises K8sMcpError; the cache then is as it was.

        `scope` limits it to a namespace.
        """
        for attempt in range(1, LIST_ATTEMPTS + 1):
            try:
                return await self._list(_Subject(context, kind, scope), on_progress)
            except Expired as error:
                if attempt == LIST_ATTEMPTS:
                    raise
                log.info("%s %s: the list expired while it was read, starting again: %s", context, kind.name, error)
        raise AssertionError("unreachable")

    async def _list(self, subject: _Subject, on_progress: OnProgress | None) -> KindReport:
        context, kind = subject.context, subject.kind
        started, started_at = self._clock(), self._now()
        first = await self._page(subject, "")
        tally = _Tally()

        def begin() -> Staging:
            return self._cache.stage(context, kind, scope=subject.scope, redaction=first.redaction, started_at=started_at)

        async with PageStore(begin, kind) as store:
            await self._store_pages(subject, first, store, tally, on_progress)
            outcome = await store.finish(
                resource_version=first.resource_version,
                malformed=tally.malformed,
                duration_ms=int((self._clock() - started) * 1000),
            )
        return KindReport(
            cluster=context,
            kind=kind.name,
            outcome="scanned",
            objects=outcome.total,
            added=outcome.added,
            changed=outcome.changed,
            removed=outcome.removed,
            malformed=tally.malformed,
            malformed_examples=tuple(tally.examples),
            pages=tally.pages,
            duration_seconds=self._clock() - started,
            parse_seconds=tally.parse_seconds,
            namespaces=(subject.scope,) if subject.scope else (),
        )

    async def _store_pages(
        self, subject: _Subject, first: PageEnvelope, store: PageStore, tally: _Tally, on_progress: OnProgress | None
    ) -> None:
        """Store all pages of a list; the next one is fetched while the present one is parsed and stored."""
        page: PageEnvelope | None = first
        fetching: asyncio.Task[PageEnvelope] | None = None
        try:
            while page is not None:
                if page.continue_token:
                    fetching = asyncio.create_task(self._page(subject, page.continue_token))
                tally.add(await store.add(page.objects, page.managers))
                if on_progress is not None:
                    on_progress(Progress(subject.context, subject.kind.name, tally.objects, page.remaining))
                page = _following(page, await fetching) if fetching is not None and page.continue_token else None
        finally:
            if fetching is not None:
                fetching.cancel()
                await asyncio.gather(fetching, return_exceptions=True)

    async def _page(self, subject: _Subject, continue_token: str) -> PageEnvelope:
        """One page. What passes by itself (a restarting API server, rate limits) is tried again, with growing pauses.

        None is shorter than the API server asks for.
        """
        arguments = subject.arguments() | {
            "limit": self._page_size,
            "continue_token": continue_token,
            "timeout_seconds": min(MOST_SECONDS, max(1, int(self._timeout_seconds))),
        }
        for attempt in range(1, PAGE_ATTEMPTS + 1):
            try:
                result = await self._loader.call("k8s_export_page", arguments, timeout_seconds=self._timeout_seconds)
                return open_page(result.text)
            except (ClusterError, ToolTimeout) as error:
                if attempt == PAGE_ATTEMPTS or not _may_pass(error):
                    raise
                log.debug("%s %s: page failed, trying again: %s", subject.context, subject.kind.name, error)
                pause = 0.25 * 2**attempt * (0.5 + random.random() / 2)  # noqa: S311  jitter, no secret
                await self._sleep(max(pause, seconds_asked_for(error)))
        raise AssertionError("unreachable")


def _may_pass(error: ClusterError | ToolTimeout) -> bool:
    """Whether trying again in a second makes sense. A timeout has waited long enough already."""
    if isinstance(error, Unreachable):
        return not error.was_silent
    passing = isinstance(error, ClusterError) and (error.status == 429 or error.status >= 500)
    return passing and seconds_asked_for(error) <= LONGEST_PAGE_PAUSE_SECONDS


def _following(page: PageEnvelope, following: PageEnvelope) -> PageEnvelope:
    """The next page, when it can be one of the same list."""
    if following.resource_version != page.resource_version:
        raise Expired("the pages of one list come from different resource versions; the list starts again", status=410)
    if following.continue_token == page.continue_token:
        raise ToolError("k8s_export_page gives the same continue token again: the list would never end")
    return following
