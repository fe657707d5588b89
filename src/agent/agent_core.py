"""The loop: question, tool calls, answer."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from agent import prompts
from agent.agent_events import Notice, OnEvent, TextDelta
from agent.agent_tools import AgentTools, ToolOutcome
from agent.approvals import Approver
from agent.context_budget import compacted, prompt_budget, result_budget, size_of
from agent.llm_config import ModelClient, Reply, ToolCall, Usage
from agent.model_errors import ContextFull
from agent.operations import Operations
from agent.sessions import Message, Session
from agent.source_ledger import Sources
from configuration.errors import ApprovalNeeded, ConfigurationError, K8sMcpError, ModelError
from kinds.times import to_rfc3339
from mcp_tools.plain_text import plain_text

if TYPE_CHECKING:
    from agent.cache_first_gateway import CacheFirstGateway
    from agent.settings import AgentSettings

StoppedReason = Literal["answered", "step_limit", "failed", "approval_needed"]

MOST_PARALLEL = 8
SAME_MISTAKES = 2
"""The error goes to the model once, with the schema; at this count of the same mistake the person is told instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalAnswer:
    """`text` is what the model said, also when it broke off; `error` is why, and carries the command's exit code."""

    text: str
    sources: Sources
    usage: Usage
    steps: int
    """Rounds of tool calls."""
    stopped_reason: StoppedReason
    error: K8sMcpError | None = None
    calls: tuple[ToolOutcome, ...] = ()
    notices: tuple[str, ...] = ()
    """What the program had to say meanwhile, for those who do not watch the events."""

    def as_json(self) -> dict[str, Any]:
        """What `ask -o json` prints."""
        return {
            "answer": self.text, "sources": self.sources.as_json(), "usage": self.usage.as_json(), "steps": self.steps,
            "stopped_reason": self.stopped_reason, "notices": list(self.notices),
            "calls": [call.as_json() for call in self.calls],
            "error": {"type": type(self.error).__name__, "message": str(self.error)} if self.error else None,
        }  # fmt: skip


@dataclass
class _Progress:
    """What one question has come to so far."""

    on_event: OnEvent
    usage: Usage = field(default_factory=Usage)
    steps: int = 0
    texts: list[str] = field(default_factory=list)
    calls: list[ToolOutcome] = field(default_factory=list)
    mistakes: Counter[str] = field(default_factory=Counter)
    notices: list[str] = field(default_factory=list)

    def event(self, event: Any) -> None:
        """The same notice once per question."""
        if isinstance(event, Notice):
            if event.text in self.notices:
                return
            self.notices.append(event.text)
        self.on_event(event)

    def notice(self, text: str) -> None:
        self.event(Notice(text))

    def found_so_far(self, partial: str) -> str:
        """What is worth keeping of an answer that failed: its text, and what the tools had found."""
        parts = [text for text in (*self.texts, partial) if text.strip()]
        found = [f"- {call.tool}: {call.summary}" for call in self.calls if not call.failed]
        return "\n".join([*parts, *(["Found so far:", *found] if found else [])])


class AgentCore:
    """Answers questions, one at a time. Cancelling the task of `answer` keeps the session usable."""

    def __init__(
        self,
        model: ModelClient,
        gateway: CacheFirstGateway,
        approver: Approver,
        settings: AgentSettings,
        session: Session | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.session = session or Session()
        self._model = model
        self._gateway = gateway
        self._settings = settings
        self._tools = AgentTools(gateway, Operations(gateway, approver), settings)
        self._began = to_rfc3339(int(clock()))

    async def answer(self, question: str, *, on_event: OnEvent) -> FinalAnswer:
        """Streams events, and ends with the answer or with what was found before it failed.

        Raises ConfigurationError when no model can be asked at all; every other failure is in `FinalAnswer.error`.
        """
        if self._model.problem:
            raise ConfigurationError(self._model.problem)
        progress = _Progress(on_event)
        self._gateway.ledger.take()
        self.session.ask(plain_text(question))
        try:
            reason = await self._converse(progress)
        except ApprovalNeeded as error:
            self.session.settle("approval is needed and nobody is there to ask; nothing was changed")
            return self._final(progress, "\n".join(progress.texts), "approval_needed", error)
        except K8sMcpError as error:
            self.session.settle("the answer failed")
            return self._final(progress, progress.found_so_far(getattr(error, "partial", "")), "failed", error)
        except asyncio.CancelledError:
            self.session.settle("interrupted by the person; what a call without a result has done is unknown")
            raise
        finally:
            self.session.settle("the answer failed")  # whatever it was: a question without a reply spoils the next one
        return self._final(progress, progress.texts[-1] if progress.texts else "", reason)

    async def _converse(self, progress: _Progress) -> StoppedReason:
        tools = await self._tools.offered()
        while progress.steps < self._settings.agent_max_steps:
            reply = await self._reply(progress, tools)
            if not reply.tool_calls:
                return "answered"
            progress.steps += 1
            await self._run_calls(reply.tool_calls, progress)
        await self._reply(progress, tools, last=True)
        return "step_limit"

    async def _reply(self, progress: _Progress, tools: Sequence[dict[str, Any]], *, last: bool = False) -> Reply:
        """One reply of the model, put into the session. A full context is compacted further, once."""
        extra: list[Message] = [{"role": "user", "content": prompts.LIMIT_REACHED}] if last else []
        budget = self._budget(tools)
        try:
            reply = await self._send(progress, tools, extra, budget, last=last)
        except ContextFull:
            progress.notice("the model's context is smaller than AGENT_CONTEXT_WINDOW says: dropping older results")
            reply = await self._send(progress, tools, extra, budget // 2, last=last)
        calls = () if last else reply.tool_calls
        if not calls and not reply.text.strip():
            raise ModelError(f"{self._model.name} gave an empty reply (finish reason: {reply.finish_reason}); ask again")
        if reply.finish_reason == "length":
            progress.notice("the reply was cut off at LLM_MAX_TOKENS")
        text = plain_text(reply.text)
        if text.strip():
            progress.texts.append(text)
        self.session.reply(text, calls)
        return reply

    async def _send(
        self, progress: _Progress, tools: Sequence[dict[str, Any]], extra: list[Message], budget: int, *, last: bool
    ) -> Reply:
        self.session.messages, dropped = compacted(self.session.messages, budget)
        if dropped:
            progress.notice(dropped)
        messages = [{"role": "system", "content": self._system_prompt()}, *self.session.messages, *extra]
        for attempt in (1, 2):
            reply = await self._model.reply(
                messages, tools=tools, tool_choice="none" if last else "auto",
                on_text=lambda text: progress.event(TextDelta(_without_controls(text))), on_notice=progress.notice,
            )  # fmt: skip
            progress.usage += reply.usage
            if reply.text.strip() or reply.tool_calls or attempt == 2:
                return reply
        raise AssertionError("unreachable")

    def _budget(self, tools: Sequence[dict[str, Any]]) -> int:
        settings = self._settings
        fixed = size_of([{"role": "system", "content": self._system_prompt()}, {"tools": list(tools)}])
        return max(500, prompt_budget(settings.agent_context_window, settings.llm_max_tokens) - fixed)

    async def _run_calls(self, calls: Sequence[ToolCall], progress: _Progress) -> None:
        """Reads that stand together run at once; changes run alone and in order. Results keep the order of the calls."""
        share = result_budget(self._settings.agent_context_window, calls=len(calls))
        before = len(progress.calls)
        changing = {call.id: await self._tools.changes_cluster(call) for call in calls}
        for changes, group in groupby(calls, key=lambda call: changing[call.id]):
            if changes:
                for call in group:
                    self._keep(await self._tools.run(call, progress.event, share), progress)
            else:
                for outcome in await self._together(list(group), progress, share):
                    self._keep(outcome, progress)
        self._judge_mistakes(progress, progress.calls[before:])

    async def _together(self, calls: Sequence[ToolCall], progress: _Progress, share: int) -> list[ToolOutcome]:
        turns = asyncio.Semaphore(MOST_PARALLEL)

        async def run(call: ToolCall) -> ToolOutcome:
            async with turns:
                return await self._tools.run(call, progress.event, share)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(call)) for call in calls]
        return [task.result() for task in tasks]

    def _keep(self, outcome: ToolOutcome, progress: _Progress) -> None:
        self.session.result(outcome.call_id, outcome.content)
        progress.calls.append(outcome)
        if not outcome.failed:
            for mistake in [m for m in progress.mistakes if m.endswith(f" {outcome.tool}")]:
                del progress.mistakes[mistake]

    def _judge_mistakes(self, progress: _Progress, latest: Sequence[ToolOutcome]) -> None:
        """The same mistake in several calls of one reply counts once: the model had not been told yet."""
        progress.mistakes.update({outcome.misuse for outcome in latest if outcome.misuse})
        for outcome in latest:
            if outcome.misuse and progress.mistakes[outcome.misuse] >= SAME_MISTAKES:
                raise ModelError(
                    f"{self._model.name} repeated the same mistake after it had been told: {outcome.summary}; "
                    "ask in other words, or choose another LLM_MODEL"
                )

    def _system_prompt(self) -> str:
        settings = self._settings
        return prompts.system_prompt(
            cluster=self._gateway.cluster, namespace=self._gateway.namespace, now=self._began,
            has_sql=settings.agent_enable_cache_query, can_change=settings.agent_fallback_to_direct_mcp,
        )  # fmt: skip

    def _final(self, progress: _Progress, text: str, reason: StoppedReason, error: K8sMcpError | None = None) -> FinalAnswer:
        return FinalAnswer(
            text=text, sources=self._gateway.ledger.take(), usage=progress.usage, steps=progress.steps,
            stopped_reason=reason, error=error, calls=tuple(progress.calls), notices=tuple(progress.notices),
        )  # fmt: skip


def _without_controls(text: str) -> str:
    """A piece of a stream: an escape sequence may be cut in two, so single control characters go, whatever follows."""
    return "".join(char for char in text if char in "\n\t" or char.isprintable() or char == " ")
