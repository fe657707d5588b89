"""What the model is offered, and what happens when it calls one of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent import prompts
from agent.agent_events import Notice, OnEvent, ToolFinished, ToolStarted
from agent.cached_read import CACHEABLE_TOOLS
from agent.context_budget import Rendered, estimate_tokens, framed, render, render_table
from agent.operations import Operations
from configuration.errors import ApprovalNeeded, InvalidArguments, K8sMcpError, UnknownTool
from kinds.registry import KINDS, find_kind
from mcp_tools.argument_check import ArgumentCheck
from mcp_tools.plain_text import plain_text

if TYPE_CHECKING:
    from agent.answer import Answer
    from agent.cache_first_gateway import CacheFirstGateway
    from agent.llm_config import ToolCall
    from agent.settings import AgentSettings
    from cache.sql_guard import QueryResult
    from mcp_tools.tool_spec import ToolSpec

QUERY = "query_cache"
DESCRIBE = "describe_tables"
_LIVE = {
    "type": "boolean",
    "description": "true when the person asks for the state right now; false may use the cache",
    "default": False,
}
_SHOWN_ARGUMENT = 200


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """One finished call. `content` goes to the model; `summary` is for the person and the JSON answer."""

    call_id: str
    tool: str
    arguments: Mapping[str, Any]
    content: str
    source: str
    summary: str
    failed: bool = False
    misuse: str = ""
    """Not empty when the model called something that does not exist, or with arguments that do not fit: names the mistake."""

    def as_json(self) -> dict[str, Any]:
        return {
            "tool": self.tool, "arguments": dict(self.arguments), "source": self.source, "summary": self.summary,
            "failed": self.failed,
        }  # fmt: skip


@dataclass
class AgentTools:
    """Offers and runs tools for one AgentCore."""

    gateway: CacheFirstGateway
    operations: Operations
    settings: AgentSettings
    clock: Callable[[], float] = time.monotonic
    _own_checks: dict[str, ArgumentCheck] = field(default_factory=dict)

    async def offered(self) -> list[dict[str, Any]]:
        """In the OpenAI format. Bulk tools are left out; cacheable reads get the argument `live`."""
        specs = await self.gateway.tools()
        return [*(self._schema(spec) for spec in specs.values()), *self._sql_tools()]

    async def changes_cluster(self, call: ToolCall) -> bool:
        spec = (await self.gateway.tools()).get(call.name)
        return spec is not None and self.gateway.catalog.changes_cluster(spec)

    async def run(self, call: ToolCall, on_event: OnEvent, budget_tokens: int) -> ToolOutcome:
        """Never raises for what a tool can answer; ApprovalNeeded ends the whole question and is passed on."""
        started = self.clock()
        arguments: dict[str, Any] = {}
        try:
            arguments = _decoded(call)
            on_event(ToolStarted(call.id, plain_text(call.name), arguments))
            outcome = await self._run(call, arguments, on_event, budget_tokens)
        except ApprovalNeeded:
            raise
        except (UnknownTool, InvalidArguments) as error:
            schema = await self._schema_text(call.name)
            outcome = ToolOutcome(
                call.id, call.name, arguments, f"error: {error}{schema}", "", _line(error), failed=True,
                misuse=f"{type(error).__name__} {call.name}",
            )  # fmt: skip
        except K8sMcpError as error:
            content = framed(call.name, f"error: {plain_text(str(error))}")
            outcome = ToolOutcome(call.id, call.name, arguments, content, "", _line(error), failed=True)
        seconds = self.clock() - started
        on_event(ToolFinished(call.id, plain_text(call.name), outcome.source, outcome.summary, seconds, outcome.failed))
        return outcome

    async def _run(self, call: ToolCall, arguments: dict[str, Any], on_event: OnEvent, budget: int) -> ToolOutcome:
        if call.name in (QUERY, DESCRIBE) and self.settings.agent_enable_cache_query:
            self._check_own(call.name, arguments)
            rendered = self._describe(arguments, budget) if call.name == DESCRIBE else await self._query(arguments, budget)
            source = "cache" if call.name == QUERY else ""
            return ToolOutcome(call.id, call.name, arguments, framed(call.name, rendered.text), source, rendered.summary)
        answer = await self._answer(call, arguments, on_event)
        if answer.note:
            on_event(Notice(plain_text(answer.note)))
        rendered = render(answer, budget)
        return ToolOutcome(call.id, call.name, arguments, framed(call.name, rendered.text), answer.source, rendered.summary)

    async def _answer(self, call: ToolCall, arguments: dict[str, Any], on_event: OnEvent) -> Answer:
        live = False
        if call.name in CACHEABLE_TOOLS and self.gateway.catalog.own:
            arguments = dict(arguments)
            live = arguments.pop("live", False) is True
        spec = (await self.gateway.tools()).get(call.name)
        catalog = self.gateway.catalog
        if spec is not None and catalog.changes_cluster(spec) and not catalog.is_dry_run(spec, arguments):
            return await self.operations.perform(call.name, arguments, on_event=on_event)
        return await self.gateway.call(call.name, arguments, live=live)

    async def _query(self, arguments: dict[str, Any], budget: int) -> Rendered:
        result: QueryResult = await self.gateway.query(arguments["sql"], cluster=arguments.get("cluster", ""))
        head: dict[str, Any] = {
            "source": "cache",
            "tables": [{"table": e.kind, "age_seconds": e.age_seconds, "fresh": e.fresh} for e in result.freshness],
        }
        if result.truncated:
            head["truncated"] = f"only the first {len(result.rows)} rows were read"
        return render_table(result.columns, result.rows, head, budget)

    def _describe(self, arguments: dict[str, Any], budget: int) -> Rendered:
        from cache.sql_guard import describe_schema

        kinds = [find_kind(name) for name in dict.fromkeys(arguments["kinds"])]
        shown = len(kinds)
        while shown > 1 and estimate_tokens(describe_schema(kinds[:shown])) > budget:
            shown -= 1
        text, left_out = describe_schema(kinds[:shown]), ", ".join(kind.name for kind in kinds[shown:])
        if left_out:
            text += f"\n{shown} of {len(kinds)} tables shown; ask separately for {left_out}"
        return Rendered(text, ", ".join(kind.name for kind in kinds[:shown]))

    def _check_own(self, name: str, arguments: Mapping[str, Any]) -> None:
        if name not in self._own_checks:
            schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in self._sql_tools()}
            self._own_checks[name] = ArgumentCheck(name, schemas[name])
        self._own_checks[name].check(arguments)

    def _sql_tools(self) -> list[dict[str, Any]]:
        if not self.settings.agent_enable_cache_query:
            return []
        return [prompts.query_tool(KINDS.values()), prompts.describe_tool(KINDS.values())]

    def _schema(self, spec: ToolSpec) -> dict[str, Any]:
        parameters = dict(self.gateway.catalog.shown_schema(spec))
        both_ways = self.settings.agent_enable_cache_query and self.settings.agent_fallback_to_direct_mcp
        if spec.name in CACHEABLE_TOOLS and self.gateway.catalog.own and both_ways:
            parameters["properties"] = {**parameters.get("properties", {}), "live": _LIVE}
        function = {"name": spec.name, "description": plain_text(spec.description), "parameters": parameters}
        return {"type": "function", "function": function}

    async def _schema_text(self, name: str) -> str:
        for tool in await self.offered():
            if tool["function"]["name"] == name:
                return f"\nIts arguments: {json.dumps(tool['function']['parameters'], ensure_ascii=False)}"
        return ""


def _decoded(call: ToolCall) -> dict[str, Any]:
    """The arguments as an object. Raises InvalidArguments for text that is none."""
    try:
        arguments = json.loads(call.arguments or "{}")
        json.dumps(arguments, ensure_ascii=False).encode()  # half a surrogate pair is no text that could be sent on
    except (ValueError, RecursionError) as error:
        raise InvalidArguments(
            f"{call.name}: the arguments are no valid JSON ({error}): {call.arguments[:_SHOWN_ARGUMENT]}"
        ) from None
    if not isinstance(arguments, dict):
        raise InvalidArguments(f"{call.name}: the arguments must be a JSON object, not {call.arguments[:_SHOWN_ARGUMENT]}")
    return arguments


def _line(error: K8sMcpError) -> str:
    return plain_text(str(error)).strip().splitlines()[0] if str(error).strip() else type(error).__name__
