"""The loop: question, tool calls, answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from agent.agent_events import OnEvent
from agent.approvals import Approver
from agent.cache_first_gateway import CacheFirstGateway
from agent.llm_config import ModelClient, Usage
from agent.sessions import Session
from agent.settings import AgentSettings
from agent.source_ledger import Sources
from configuration.errors import K8sMcpError

StoppedReason = Literal["answered", "step_limit", "failed", "approval_needed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalAnswer:
    """`text` is what the model said, also when it broke off; `error` is why, and carries the command's exit code."""

    text: str
    sources: Sources
    usage: Usage
    steps: int
    stopped_reason: StoppedReason
    error: K8sMcpError | None = None

    def as_json(self) -> dict[str, Any]:
        """What `ask -o json` prints: answer, sources, usage, steps, stopped_reason, error."""
        raise NotImplementedError


class AgentCore:
    """Answers questions. One question at a time; cancelling the task of `answer` keeps the session usable."""

    def __init__(
        self,
        model: ModelClient,
        gateway: CacheFirstGateway,
        approver: Approver,
        settings: AgentSettings,
        session: Session | None = None,
    ) -> None:
        self.session = session or Session()

    async def answer(self, question: str, *, on_event: OnEvent) -> FinalAnswer:
        raise NotImplementedError
