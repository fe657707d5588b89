"""A LIST of a kind, of the whole cluster; where that is refused, of the namespaces that may be listed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from cache.cache_manager import CacheManager
from cache.freshness import WHOLE_CLUSTER, Freshness
from configuration.command_line import one_line
from configuration.errors import CacheError, K8sMcpError, KindNotServed, NotPermitted, ServerGone, ToolTimeout, Unreachable
from kinds.counted import counted
from kinds.kind import Kind
from mcp_tools.tool_loader import ToolLoader
from scanner.change_answers import AnswerError
from scanner.cluster_scanner import ClusterScanner, OnProgress
from scanner.scan_report import KindReport, merged

log = logging.getLogger(__name__)

PERMITTED_NAMESPACES = "k8s_permitted_namespaces"
ANSWER_SECONDS = 60.0
REMEMBERED_SECONDS = 30.0
"""The kinds of one scan are refused one after the other; they are asked about together."""


class _Permitted(msgspec.Struct):
    """Answer of k8s_permitted_namespaces: kind -> the namespaces in which it may be listed."""

    permitted: dict[str, list[str]]
    error: AnswerError | None = None


class NamespacesFailed(K8sMcpError):
    """Not every namespace could be listed: `by_namespace` says which and why.

    `down`: why the cluster does not answer any more; None: it does.
    """

    def __init__(self, message: str, by_namespace: Mapping[str, K8sMcpError], down: K8sMcpError | None) -> None:
        super().__init__(message)
        self.by_namespace = by_namespace
        self.down = down


def _failure(failed: Mapping[str, K8sMcpError], tried: int, down: K8sMcpError | None) -> K8sMcpError:
    """Of some of the namespaces. Where each says that there is no such kind, there is none."""
    first = next(iter(failed.values()))
    if len(failed) == tried and all(isinstance(error, KindNotServed) for error in failed.values()):
        return first
    where = f"{len(failed)} of {counted(tried, 'namespace')} failed ({', '.join(failed)})"
    return NamespacesFailed(f"{where}: {one_line(first)}", failed, down)


class NamespacedLists:
    """Lists through `scanner`. `namespaces` are those to try (SCANNER_NAMESPACES); none: those that the server finds.

    `kinds` is looked at on every use: further kinds are found later.
    """

    def __init__(
        self,
        loader: ToolLoader,
        scanner: ClusterScanner,
        cache: CacheManager,
        *,
        kinds: Mapping[str, Kind],
        namespaces: Sequence[str] = (),
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loader = loader
        self._scanner = scanner
        self._cache = cache
        self._kinds = kinds
        self._namespaces = list(namespaces)
        self._steady = steady
        self._answers: dict[str, tuple[float, asyncio.Task[_Permitted]]] = {}

    async def scan(
        self, cluster: str, kind: Kind, rows: Sequence[Freshness] = (), on_progress: OnProgress | None = None
    ) -> KindReport:
        """List a kind. Raises NotPermitted when it may be listed nowhere, NamespacesFailed when not all of its namespaces could
        be listed (the others are up to date then), and what ClusterScanner raises for the whole cluster.

        `rows` is what the cache has of it: a namespace that may no longer be listed is marked so, and its objects stay
        unless it is known to be gone.
        """
        try:
            return await self._scanner.scan(cluster, kind, on_progress)
        except NotPermitted as refused:
            namespaces = await self._permitted(cluster, kind) if kind.namespaced else []
            await asyncio.to_thread(self._cache.record_failure, cluster, kind, one_line(refused), permitted=False)
            await self._mark_refused(cluster, kind, rows, namespaces, refused)
            if not namespaces:
                raise
            log.info("%s %s: only in namespaces %s: %s", cluster, kind.name, ", ".join(namespaces), one_line(refused))
        return await self._in_namespaces(cluster, kind, namespaces, on_progress)

    def forget(self, cluster: str) -> None:
        """Ask anew next time: the namespaces of the cluster have changed."""
        self._answers.pop(cluster, None)

    async def _in_namespaces(
        self, cluster: str, kind: Kind, namespaces: Sequence[str], on_progress: OnProgress | None
    ) -> KindReport:
        """Each of them, whatever becomes of the others; but once the cluster does not answer, no further one is tried."""
        reports: list[KindReport] = []
        failed: dict[str, K8sMcpError] = {}
        refused: list[NotPermitted] = []
        down: K8sMcpError | None = None
        for name in namespaces:
            if down is not None:
                failed[name] = down
                continue
            try:
                reports.append(await self._scanner.scan(cluster, kind, on_progress, scope=name))
            except CacheError:
                raise  # no namespace could be stored
            except NotPermitted as error:  # withdrawn meanwhile, or refused by more than RBAC
                refused.append(error)
                await asyncio.to_thread(self._cache.record_failure, cluster, kind, one_line(error), permitted=False, scope=name)
            except K8sMcpError as error:
                failed[name] = error
                down = await self._why_down(cluster, error)
        if failed:
            raise _failure(failed, len(namespaces), down)
        if not reports:
            raise refused[0]
        return merged(reports)

    async def _why_down(self, cluster: str, error: K8sMcpError) -> K8sMcpError | None:
        """Why the cluster as a whole does not answer, asked where one namespace was not answered for; None: it does."""
        if not isinstance(error, Unreachable | ToolTimeout | ServerGone):
            return None
        try:
            await self._scanner.identify(cluster)
        except K8sMcpError as why:
            return why
        return None

    async def _mark_refused(
        self, cluster: str, kind: Kind, rows: Sequence[Freshness], namespaces: Sequence[str], refused: NotPermitted
    ) -> None:
        lost = {row.scope for row in rows if row.scope != WHOLE_CLUSTER and row.scope not in namespaces}
        gone = await asyncio.to_thread(self._cache.drop_gone_namespaces, cluster, kind, lost) if lost else set()
        for scope in sorted(lost - gone):
            await asyncio.to_thread(self._cache.record_failure, cluster, kind, one_line(refused), permitted=False, scope=scope)

    async def _permitted(self, cluster: str, kind: Kind) -> list[str]:
        """Where the kind may be listed; nowhere when the server cannot tell."""
        if PERMITTED_NAMESPACES not in await self._loader.connect():
            return []
        asked_at, asking = self._answers.get(cluster, (0.0, None))
        if asking is None or self._steady() - asked_at > REMEMBERED_SECONDS:
            asking = asyncio.create_task(self._ask(cluster))
            self._answers[cluster] = (self._steady(), asking)
        answer = await asyncio.shield(asking)
        return sorted(answer.permitted.get(kind.name, ()))

    async def _ask(self, cluster: str) -> _Permitted:
        kinds = [kind.name for kind in self._kinds.values() if kind.namespaced]
        arguments = {"context": cluster, "kinds": kinds, "namespaces": self._namespaces}
        result = await self._loader.call(PERMITTED_NAMESPACES, arguments, timeout_seconds=ANSWER_SECONDS)
        try:
            answer = msgspec.json.decode(result.text, type=_Permitted)
        except msgspec.MsgspecError as error:
            log.warning("%s: %s answered with something that cannot be read: %s", cluster, PERMITTED_NAMESPACES, error)
            return _Permitted({})
        if answer.error is not None:
            raise answer.error.exception(PERMITTED_NAMESPACES)
        return answer
