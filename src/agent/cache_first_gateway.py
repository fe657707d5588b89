"""Between the agent and the tools: a read whose scope is fresh comes from the cache, everything else from the cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from agent.settings import AgentSettings
from agent.source_ledger import SourceLedger
from kinds.envelope import Envelope

if TYPE_CHECKING:
    from cache.sql_guard import QueryResult
    from mcp_tools.tool_loader import ToolLoader, ToolSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The result of one tool call. `structured` has the same shape from cache and live: {"rows", "envelope", "continue"}, or
    {"row", "manifest", "envelope"} for one object."""

    tool: str
    cluster: str
    source: Literal["cache", "live"]
    structured: dict[str, Any] | None
    text: str = ""
    envelope: Envelope | None = None
    note: str = ""
    """One line for the person when something is not as usual: why it went live, why it is stale."""

    @property
    def rows(self) -> list[dict[str, Any]]:
        return list((self.structured or {}).get("rows", []))

    @property
    def continue_token(self) -> str:
        return str((self.structured or {}).get("continue", ""))


class CacheFirstGateway:
    """Async context manager. Starts the MCP server only when something goes live.

    `environment` is read for KUBECONFIG and HOME; `context` and `namespace` are what `--context` and `-n` said.
    """

    ledger: SourceLedger

    def __init__(
        self,
        loader: ToolLoader | Callable[[], ToolLoader] | None,
        settings: AgentSettings,
        *,
        environment: Mapping[str, str],
        context: str = "",
        namespace: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.ledger = SourceLedger()

    async def __aenter__(self) -> Self:
        raise NotImplementedError

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        raise NotImplementedError

    @property
    def cluster(self) -> str:
        """The context in use: what was asked for, else the kubeconfig's current one, else the cache's. "" when there is none."""
        raise NotImplementedError

    @property
    def namespace(self) -> str:
        """The namespace in use: `-n`, else the kubeconfig context's, else "default"."""
        raise NotImplementedError

    def use_namespace(self, namespace: str) -> None:
        raise NotImplementedError

    async def tools(self) -> Mapping[str, ToolSpec]:
        """What can be called, without the bulk tools; starts no process for our own server."""
        raise NotImplementedError

    async def call(self, tool: str, arguments: Mapping[str, Any], *, live: bool = False) -> Answer:
        """A read, or a mutation with dry_run=true. A mutation without dry_run raises ApprovalNeeded: Operations does those."""
        raise NotImplementedError

    async def query(self, sql: str, *, cluster: str = "") -> QueryResult:
        """Guarded SQL over the cache."""
        raise NotImplementedError
