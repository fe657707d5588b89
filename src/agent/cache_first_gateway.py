"""Between the agent and the tools: a read whose scope is fresh comes from the cache, everything else from the cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from agent import current_cluster
from agent.answer import Answer as Answer
from agent.answer import envelope_from_json
from agent.cache_access import CacheAccess, Look
from agent.cached_answers import NotInCache, cached_answer
from agent.cached_read import CachedRead, cached_read, live_arguments
from agent.current_cluster import CurrentCluster
from agent.live_access import LiveAccess
from agent.outage import outage
from agent.source_ledger import SourceLedger, cached_use, human_age, live_use
from agent.tool_catalog import ToolCatalog
from agent.touched_scopes import TouchedScopes
from cache.continue_tokens import is_cache_token
from configuration.errors import (
    ApprovalNeeded,
    CacheError,
    ClusterError,
    ConfigurationError,
    InvalidArguments,
    K8sMcpError,
    NeverScanned,
    NotFound,
    ToolError,
)
from mcp_tools.kubeconfig import KubeConfigSource
from mcp_tools.qualified_names import SEPARATOR
from mcp_tools.servers_file import read_servers

if TYPE_CHECKING:
    from agent.settings import AgentSettings
    from cache.freshness import Freshness
    from cache.sql_guard import QueryResult
    from kinds.envelope import Envelope
    from mcp_tools.other_servers import OtherServers
    from mcp_tools.tool_loader import ToolLoader, ToolResult, ToolSpec

_OF_ONE_OBJECT = ("k8s_get_resource", "k8s_describe", "k8s_get_pod_logs")
NO_LIVE = "live access is switched off (AGENT_FALLBACK_TO_DIRECT_MCP=false)"


class CacheFirstGateway:
    """Async context manager. Starts the MCP server only when something goes live.

    `loader` makes the ToolLoader (None: the configured server); it is owned and closed here. `environment` is read for
    KUBECONFIG and HOME and handed to the server; `context` and `namespace` are what `--context` and `-n` said.
    """

    def __init__(
        self,
        loader: Callable[[], ToolLoader] | None,
        settings: AgentSettings,
        *,
        environment: Mapping[str, str],
        context: str = "",
        namespace: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.ledger = SourceLedger()
        self.settings = settings
        self._clock = clock
        self._environment = environment
        self._live = LiveAccess(
            loader or self._default_loader, timeout_seconds=settings.agent_mcp_call_timeout, others=self._other_servers()
        )
        self._cache = CacheAccess(settings.cache_db_path, timeout_seconds=settings.agent_cache_query_timeout, clock=clock)
        self._touched = TouchedScopes(clock)
        self.catalog = ToolCatalog(settings, self._live)
        self._asked_context = context
        self._kubeconfig = KubeConfigSource(environment)
        self._namespace = namespace
        self._current = CurrentCluster(context, current_cluster.DEFAULT_NAMESPACE)

    async def __aenter__(self) -> Self:
        await self.use_context(self._asked_context)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._cache.close()
        await self._live.close()

    @property
    def cluster(self) -> str:
        """The context in use: what was asked for, else the kubeconfig's current one, else the cache's. "" when there is none."""
        return self._current.name

    @property
    def cluster_problem(self) -> str:
        """Why the kubeconfig gave no cluster, "" when it did: nothing can go live then."""
        return self._current.problem

    @property
    def namespace(self) -> str:
        """The namespace in use: `-n`, else the kubeconfig context's, else "default"."""
        return self._namespace or self._current.namespace

    @property
    def server_pid(self) -> int | None:
        """Process id of the MCP server, None while nothing has gone live."""
        return self._live.server_pid

    def use_namespace(self, namespace: str) -> None:
        self._namespace = namespace or None

    async def use_context(self, context: str) -> None:
        """Switch to another context, "" for the default one. Raises ConfigurationError for one that nobody knows."""
        found = current_cluster.from_kubeconfig(self.settings, self._environment, context=context)
        if found.problem:
            found = replace(found, name=await self._cluster_in_cache(found.name))
            if context and not found.name:
                raise ConfigurationError(found.problem)
        self._current = found

    async def tools(self) -> Mapping[str, ToolSpec]:
        """What can be called, without the bulk tools; starts no process for our own server."""
        return await self.catalog.specs()

    async def missing_servers(self, timeout_seconds: float) -> list[str]:
        """Why servers of MCP_SERVERS_FILE are not there, one line each, once each has started or that time is over."""
        found = await self._live.others_settled(timeout_seconds)
        return [one.problem or f"{one.address} does not answer yet" for one in found if one.state != "connected"]

    async def freshness(self, cluster: str = "") -> list[Freshness]:
        """Age of every scanned kind of a cluster. Raises CacheError when the database cannot be used."""
        return await self._cache.freshness_all(cluster or self.cluster)

    async def call(self, tool: str, arguments: Mapping[str, Any], *, live: bool = False) -> Answer:
        """A read, or a mutation with `dry_run`. A mutation without it raises ApprovalNeeded: agent.operations does those.

        Raises UnknownTool, InvalidArguments, CacheError, ToolError, or ClusterError as the API server answered.
        """
        spec = await self.catalog.checked(tool, arguments)
        if self.catalog.changes_cluster(spec) and not self.catalog.is_dry_run(spec, arguments):
            raise ApprovalNeeded(f"{tool} changes the cluster and was called without approval; nothing was done")
        complete = self.with_context(spec, arguments)
        read = cached_read(tool, complete) if self.catalog.own else None
        try:
            answer = await self._go_live(spec, complete) if read is None else await self._read(spec, complete, read, live)
        except ClusterError as error:
            self._sign_refusal(error, spec, complete, read)
            raise
        self._sign(answer, complete, read)
        return answer

    async def query(self, sql: str, *, cluster: str = "") -> QueryResult:
        """Guarded SQL over the cache. What this process has changed since is marked as stale in the result's freshness.

        Raises QueryRefused, NeverScanned or another CacheError; ToolError when the cache is switched off.
        """
        if not self.settings.agent_enable_cache_query:
            raise ToolError("SQL reads the cache, which AGENT_ENABLE_CACHE_QUERY=false switches off; use the list tools")
        chosen = cluster or self.cluster
        result = await self._cache.query(sql, cluster=chosen)
        marked = tuple([await self._marked(envelope) for envelope in result.freshness])
        for envelope in marked:
            self.ledger.record(cached_use(envelope))
        return replace(result, freshness=marked)

    async def change(self, tool: str, arguments: Mapping[str, Any], *, kinds: Sequence[str], what: str) -> ToolResult:
        """Send a mutation; only agent.operations may, once it is approved. Touched scopes go live from here on."""
        cluster = str(arguments.get("context") or self.cluster)
        self._require_live(tool)
        self._touched.touch_all(cluster, kinds)
        try:
            return await self._live.call(tool, arguments)
        finally:
            for name in self._touched.touch_all(cluster, kinds):
                if await self._cache.request_refresh(cluster=cluster, kind=name, reason=f"{tool} {what}"[:200]):
                    break  # a locked database was waited for once; what was changed is read live here all the same
            self.ledger.record(live_use(cluster, f"{tool.removeprefix('k8s_').replace('_', ' ')} {what}", now=self._clock()))

    async def call_other(self, tool: str, arguments: Mapping[str, Any]) -> Answer:
        """Call a tool of a server of MCP_SERVERS_FILE; only agent.operations may, once it is approved."""
        self._require_live(tool)
        server, _, name = tool.partition(SEPARATOR)
        try:
            result = await self._live.call(tool, arguments)
        finally:
            self.ledger.record(live_use(server, name, now=self._clock()))
        return Answer(tool=tool, cluster=server, source="live", structured=result.structured, text=result.text)

    async def _marked(self, envelope: Envelope) -> Envelope:
        since = await self._cache.requested_at(envelope.cluster, envelope.kind)
        if self._touched.is_touched_at(envelope.cluster, envelope.kind, checked_at=envelope.as_of, since=since):
            return replace(envelope, fresh=False, note="changed since the last scan")
        moved = await self._moved(envelope.cluster)
        return replace(envelope, fresh=False, note=moved) if moved else envelope

    def with_context(self, spec: ToolSpec, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The context is always named, so that a kubeconfig that changes meanwhile redirects nothing.

        A read of one object without a namespace means the one in use (`-n`), not the kubeconfig's.
        """
        complete = dict(arguments)
        properties = spec.input_schema.get("properties", {})
        if "context" in properties and not complete.get("context"):
            complete["context"] = self.cluster
        if spec.name in _OF_ONE_OBJECT and complete.get("context") == self.cluster and not complete.get("namespace"):
            complete["namespace"] = self.namespace
        return complete

    async def _read(self, spec: ToolSpec, arguments: dict[str, Any], read: CachedRead, live: bool) -> Answer:
        token = str(arguments.get("continue_token") or "")
        cluster = str(arguments.get("context") or self.cluster)
        if is_cache_token(token):
            if live:
                raise InvalidArguments("this continue_token belongs to a list from the cache; start the live list without one")
            return await cached_answer(self._cache, spec.name, cluster, read, token)
        if not self.settings.agent_enable_cache_query or token:
            return await self._go_live(spec, arguments)
        look = await self._cache.look(cluster, read)
        doubt = await self._moved(cluster) or self._doubt(look, cluster, read)
        if not self.settings.agent_fallback_to_direct_mcp:
            return await self._only_cached(spec, cluster, read, look, doubt)
        if not live and not doubt:
            with suppress(NotFound):  # not in the cache, but it may be newer than the last scan: the cluster knows
                return await cached_answer(self._cache, spec.name, cluster, read)
        return await self._live_or_stale(spec, arguments, read, look, f"{doubt}: read live" if doubt and not live else "")

    async def _moved(self, cluster: str) -> str:
        try:
            scanned_at = await self._cache.api_server(cluster)
        except CacheError:
            return ""
        return current_cluster.moved(self._kubeconfig, cluster, scanned_at=scanned_at)

    def _doubt(self, look: Look, cluster: str, read: CachedRead) -> str:
        """Why the cache may not answer, in a sentence without its end; "" when it may."""
        kind, freshness = read.kind.name, look.freshness
        if look.problem is not None:
            return one_sentence(look.problem)
        if freshness is None or not freshness.scanned:
            return f"{kind} of {cluster} were never scanned"
        if self._touched.is_touched(freshness, since=look.wanted_since):
            return f"{kind} of {cluster} changed since the last scan"
        if not freshness.complete:
            return f"the cache does not hold all {kind} of {cluster}"
        if not freshness.is_fresh(self._clock()):
            return f"{kind} of {cluster} are {human_age(freshness.age_seconds(self._clock()) or 0)} old in the cache"
        return ""

    async def _live_or_stale(self, spec: ToolSpec, arguments: dict[str, Any], read: CachedRead, look: Look, note: str) -> Answer:
        """Live; and when the cluster cannot be asked, what the cache still has, with its age."""
        try:
            return replace(await self._go_live(spec, arguments), note=note)
        except K8sMcpError as error:
            who = outage(error)
            if not who or look.freshness is None or not look.freshness.scanned:
                raise
            answer = await cached_answer(self._cache, spec.name, look.freshness.cluster, read)
            age = human_age(look.freshness.age_seconds(self._clock()) or 0)
            moved = await self._moved(answer.cluster)
            return replace(answer, note="; ".join(filter(None, (who, moved, f"this is from the cache, {age} old"))))

    async def _only_cached(self, spec: ToolSpec, cluster: str, read: CachedRead, look: Look, doubt: str) -> Answer:
        if look.problem is not None:
            raise type(look.problem)(f"{one_sentence(look.problem)}; {NO_LIVE}")
        if look.freshness is None or not look.freshness.scanned:
            raise NeverScanned(f"{doubt} and {NO_LIVE}: run `scanner scan`")
        answer = await cached_answer(self._cache, spec.name, cluster, read)
        return replace(answer, note=f"{doubt}; {NO_LIVE}") if doubt else answer

    async def _go_live(self, spec: ToolSpec, arguments: dict[str, Any]) -> Answer:
        self._require_live(spec.name)
        result = await self._live.call(spec.name, live_arguments(spec.name, arguments) if self.catalog.own else arguments)
        return Answer(
            tool=spec.name, cluster=str(arguments.get("context") or self.cluster), source="live", structured=result.structured,
            text=result.text, envelope=envelope_from_json((result.structured or {}).get("envelope")),
        )  # fmt: skip

    def _require_live(self, tool: str) -> None:
        if not self.settings.agent_fallback_to_direct_mcp:
            raise ToolError(f"{tool} needs the cluster itself, and {NO_LIVE}")

    def _sign(self, answer: Answer, arguments: Mapping[str, Any], read: CachedRead | None) -> None:
        what = _what(answer.tool, arguments, read)
        if answer.source == "cache" and answer.envelope is not None:
            use = cached_use(answer.envelope, what=what, note=answer.note)
            self.ledger.record(replace(use, fresh=use.fresh and not answer.note))
        else:
            self.ledger.record(live_use(answer.cluster, what, now=self._clock()))

    def _sign_refusal(self, error: ClusterError, spec: ToolSpec, arguments: Mapping[str, Any], read: CachedRead | None) -> None:
        """ "There is none" and "you may not" are answers of the cluster too, unlike no answer."""
        if isinstance(error, NotInCache):
            self.ledger.record(cached_use(error.envelope, what=_what(spec.name, arguments, read)))
        elif not outage(error):
            cluster = str(arguments.get("context") or self.cluster)
            self.ledger.record(live_use(cluster, _what(spec.name, arguments, read), now=self._clock()))

    async def _cluster_in_cache(self, wanted: str) -> str:
        try:
            clusters = await self._cache.clusters()
        except CacheError:
            return ""
        if wanted:
            return wanted if any(cluster.cluster == wanted for cluster in clusters) else ""
        return current_cluster.from_cache(clusters)

    def _other_servers(self) -> OtherServers | None:
        addresses = read_servers(self.settings.mcp_servers_file, self._environment)
        if not addresses:
            return None
        from mcp_tools.other_servers import OtherServers

        return OtherServers(addresses, self.settings, environment=self._environment)

    def _default_loader(self) -> ToolLoader:
        from mcp_tools.server_address import ASKS_ITSELF
        from mcp_tools.tool_loader import ToolLoader

        return ToolLoader(self.settings, environment=self._environment, own_flags=ASKS_ITSELF)


def one_sentence(error: K8sMcpError) -> str:
    """The first line of an error, as the start of a longer sentence."""
    return str(error).strip().splitlines()[0].rstrip(".")


def _what(tool: str, arguments: Mapping[str, Any], read: CachedRead | None) -> str:
    """`pods`, `Pod dev/web`, `logs payments/api-0`, `dry run of delete resource dev/web`: what the signature names."""
    if read is not None:
        return read.what
    plain = tool.removeprefix("k8s_").removeprefix("get_").removeprefix("pod_").replace("_", " ")
    place = "/".join(str(arguments[key]) for key in ("namespace", "name") if arguments.get(key))
    return ("dry run of " if arguments.get("dry_run") else "") + f"{plain} {place}".strip()
