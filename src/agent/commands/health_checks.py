"""The checks of `main doctor`: each looks at one part and says in a line what it found and what to do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from agent.commands.options import CommandOptions
from agent.source_ledger import human_age
from agent.terminal.durations import took
from configuration.errors import CacheMissing, ConfigurationError, K8sMcpError, KindNotServed, NotPermitted
from kinds.counted import counted
from kinds.registry import KINDS
from mcp_tools.kubeconfig import IN_CLUSTER, KubeConfig, load_kubeconfig
from mcp_tools.settings import ALL_CONTEXTS, context_names

if TYPE_CHECKING:
    from agent.settings import AgentSettings
    from cache.freshness import Freshness
    from mcp_tools.other_servers import ServerState
    from mcp_tools.tool_loader import ToolLoader, ToolResult

WIDEST_PART = 12
CALL_SECONDS = 15.0
AT_ONCE = 4
LIST_RESOURCES = "k8s_list_resources"
_GRANT = "grant `list` on them, for example with the ClusterRole `view`"


@dataclass(frozen=True, slots=True)
class Check:
    """`finding` is what is; `advice` what to do, "" when there is nothing to do."""

    part: str
    state: Literal["ok", "warn", "fail"]
    finding: str
    advice: str = ""


class Examined:
    """What the checks share: settings, and one MCP server for all of them."""

    def __init__(self, settings: AgentSettings, options: CommandOptions) -> None:
        self.settings = settings
        self.options = options
        self._loader: ToolLoader | None = None
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def loader(self) -> ToolLoader:
        """The tool loader; its server is started by the first call."""
        if self._loader is None:
            from mcp_tools.mapped_loader import loader_of_programs

            self._loader = loader_of_programs(self.settings, environment=self.options.environment)
        return self._loader

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> ToolResult:
        loader = await self.loader()
        async with self._slots:
            return await loader.call(tool, arguments, timeout_seconds=CALL_SECONDS)

    async def close(self) -> None:
        if self._loader is not None:
            await self._loader.close()

    def kubeconfig(self) -> KubeConfig | None:
        return load_kubeconfig(self.options.environment)

    def contexts(self) -> tuple[str, ...]:
        """The contexts in use: `--context`, else K8S_CONTEXTS, else the current one. Raises ConfigurationError."""
        config = self.kubeconfig()
        if config is None:
            return (IN_CLUSTER,)
        if self.options.context:
            return (config.context(self.options.context).name,)
        named = context_names(self.settings.k8s_contexts)
        if named == (ALL_CONTEXTS,):
            return tuple(entry.name for entry in config.contexts())
        return tuple(config.context(name).name for name in named or ("",))


async def check_kubeconfig(examined: Examined) -> list[Check]:
    config = examined.kubeconfig()
    if config is None:
        return [Check("kubeconfig", "ok", "none; this runs in a pod and uses its service account")]
    used = ", ".join(examined.contexts())
    known = len(config.contexts())
    return [Check("kubeconfig", "ok", f"{config.origin}: {known} context{'s' if known != 1 else ''}, in use: {used}")]


async def check_mcp_server(examined: Examined) -> list[Check]:
    started = time.monotonic()
    tools = await (await examined.loader()).connect()
    reads = sum(spec.read_only for spec in tools.values())
    url = examined.settings.mcp_server_url
    name = f"{examined.settings.mcp_server_name} ({url})"
    return [
        Check(
            "MCP server",
            "ok",
            f"{name}: {counted(len(tools), 'tool')}, {reads} of them read-only, started in {took(time.monotonic() - started)}",
        )
    ]


async def check_other_servers(examined: Examined) -> list[Check]:
    """The servers of MCP_SERVERS_FILE, each on a line of its own."""
    from mcp_tools.other_servers import OtherServers
    from mcp_tools.servers_file import read_servers

    addresses = read_servers(examined.settings.mcp_servers_file, examined.options.environment)
    servers = OtherServers(addresses, examined.settings, environment=examined.options.environment)
    try:
        return [_other_server(state) for state in await servers.settled(CALL_SECONDS)]
    finally:
        await servers.close()


def _other_server(found: ServerState) -> Check:
    if found.state == "connected":
        return Check(
            "MCP servers",
            "ok",
            f"{found.address.removeprefix('MCP server ')}: {counted(found.tools, 'tool')}, each asks before it is called",
        )
    if found.state == "failed":
        return Check("MCP servers", "warn", found.problem, f"correct {found.name} in MCP_SERVERS_FILE; all else works without it")
    waited = f"{found.address} has not answered for {CALL_SECONDS:g} s"
    return Check("MCP servers", "warn", waited, f"start {found.name} by hand and see; all else works without it")


async def check_clusters(examined: Examined) -> list[Check]:
    try:
        contexts = examined.contexts()
    except ConfigurationError:
        return [Check("API server", "fail", "no cluster to ask", "see kubeconfig above")]
    try:
        await (await examined.loader()).connect()  # its start is no part of the API server's time
    except K8sMcpError:
        return [Check("API server", "fail", "not asked, since the MCP server does not start", "see MCP server above")]
    return [check for found in await asyncio.gather(*(_cluster(examined, name) for name in contexts)) for check in found]


async def _cluster(examined: Examined, context: str) -> list[Check]:
    arguments = {} if context == IN_CLUSTER else {"context": context}
    started = time.monotonic()
    try:
        info = (await examined.call("k8s_get_cluster_info", arguments)).structured or {}
    except K8sMcpError as error:
        return [Check("API server", "fail", f"{context}: {error}")]
    elapsed = took(time.monotonic() - started)
    answers = f"{context}: {info.get('api_server', '')} answers, Kubernetes {info.get('server_version', '?')}, {elapsed}"
    return [Check("API server", "ok", answers), await _permissions(examined, context, arguments)]


async def _permissions(examined: Examined, context: str, arguments: Mapping[str, Any]) -> Check:
    """Whether the credentials may list what the scanner scans, tried with one object each."""
    if LIST_RESOURCES not in await (await examined.loader()).connect():
        return Check("permissions", "ok", f"{context}: not looked at, another MCP server cannot tell; `scanner scan` shows them")
    outcomes = await asyncio.gather(*(_may_list(examined, name, arguments) for name in KINDS))
    refused = [kind for kind, outcome in zip(KINDS, outcomes, strict=True) if outcome == "refused"]
    unknown = [kind for kind, outcome in zip(KINDS, outcomes, strict=True) if outcome == "unknown"]
    if len(refused) == len(KINDS):
        return Check("permissions", "fail", f"{context}: may not list anything", f"{_GRANT}; until then nothing can be scanned")
    if refused:
        return Check("permissions", "warn", f"{context}: may not list {', '.join(refused)}", f"{_GRANT}; the rest is scanned")
    if unknown:
        return Check(
            "permissions", "warn", f"{context}: no answer for {', '.join(unknown)}", "try again; the API server may be busy"
        )
    absent = outcomes.count("not served")
    rest = f"; {absent} optional ones are not installed" if absent else ""
    return Check("permissions", "ok", f"{context}: may list all {len(KINDS) - absent} kinds that are scanned{rest}")


async def _may_list(
    examined: Examined, kind: str, arguments: Mapping[str, Any]
) -> Literal["listed", "refused", "not served", "unknown"]:
    try:
        await examined.call(LIST_RESOURCES, {**arguments, "kind": kind, "limit": 1})
    except NotPermitted:
        return "refused"
    except KindNotServed:
        return "not served" if KINDS[kind].optional else "unknown"
    except K8sMcpError:
        return "unknown"
    return "listed"


async def check_database(examined: Examined) -> list[Check]:
    from cache.cache_reader import CacheReader

    path = examined.settings.cache_db_path

    def read() -> list[Freshness]:
        with CacheReader(path) as reader:
            return reader.freshness_all()

    try:
        found = await asyncio.to_thread(read)
    except CacheMissing:
        return [Check("database", "warn", f"{path} does not exist yet", "`scanner scan` fills it once, `scanner` keeps it fresh")]
    size = f"{path}, {path.stat().st_size / 1e6:.1f} MB"
    return [_database_check(size, found, time.time())]


def _database_check(size: str, found: list[Freshness], now: float) -> Check:
    scanned = [kind for kind in found if kind.scanned]
    if not scanned:
        return Check("database", "warn", f"{size}, empty", "`scanner scan` fills it")
    oldest = human_age(max(kind.age_seconds(now) or 0 for kind in scanned))
    clusters = len({kind.cluster for kind in scanned})
    kinds = len({kind.kind for kind in scanned})
    text = f"{size}, {kinds} kinds of {clusters} cluster{'s' if clusters != 1 else ''}, the oldest checked {oldest} ago"
    stale = [kind.kind for kind in scanned if not kind.is_fresh(now) and kind.permitted is not False]
    if stale:
        return Check(
            "database", "warn", f"{text}; stale: {', '.join(dict.fromkeys(stale))}", "start `scanner`; until then answers go live"
        )
    return Check("database", "ok", text)


async def check_scanner(examined: Examined) -> list[Check]:
    from cache.scan_lock import lock_holder

    pid = await asyncio.to_thread(lock_holder, examined.settings.cache_db_path)
    if pid is None:
        return [
            Check("scanner", "warn", "not running", "start it: `scanner`; without it answers come live, or stale from the cache")
        ]
    return [Check("scanner", "ok", "running" + (f", pid {pid}" if pid else ""))]


async def check_model(examined: Examined) -> list[Check]:
    from agent.llm_config import ModelClient

    model = ModelClient(examined.settings)
    if model.problem:
        return [Check("model", "warn", model.problem)]
    await asyncio.to_thread(model.preload)
    return [Check("model", "ok", await model.check())]


CHECKS: Mapping[str, Callable[[Examined], Awaitable[list[Check]]]] = {
    "kubeconfig": check_kubeconfig,
    "MCP server": check_mcp_server,
    "MCP servers": check_other_servers,
    "API server": check_clusters,
    "database": check_database,
    "scanner": check_scanner,
    "model": check_model,
}
"""Part -> check, in the order in which they are shown."""
