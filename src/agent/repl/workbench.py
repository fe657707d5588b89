"""What a session works with: the gateway to cluster and cache, the conversation, the screen, and what was listed last."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from agent.agent_core import AgentCore, FinalAnswer
from agent.agent_events import AgentEvent
from agent.approval_request import ApprovalRequest
from agent.approvals import TerminalApprover
from agent.cache_first_gateway import CacheFirstGateway
from agent.llm_config import ModelClient, Usage
from agent.sessions import Session
from agent.settings import AgentSettings
from agent.terminal.screen import Screen
from configuration.errors import ConfigurationError
from kinds.kind import Kind


@dataclass(frozen=True)
class LastList:
    """A list that has more: what /more continues."""

    kind: Kind
    tool: str
    arguments: Mapping[str, object]
    shown: int
    wide: bool


class Workbench:
    """Async context manager. Opening it starts no process; the MCP server starts when something goes live."""

    def __init__(
        self,
        settings: AgentSettings,
        screen: Screen,
        *,
        environment: Mapping[str, str],
        context: str = "",
        namespace: str | None = None,
        ask_approval: Callable[[ApprovalRequest], Awaitable[str]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.screen = screen
        self.environment = environment
        self.clock = clock
        self.session = Session()
        self.usage = Usage()
        self.last_list: LastList | None = None
        self.leaving = False
        self._approver = TerminalApprover(ask_approval)
        self.gateway = CacheFirstGateway(
            None, settings, environment=environment, context=context, namespace=namespace, clock=clock
        )  # fmt: skip
        self.use_model(settings.llm_model)

    async def __aenter__(self) -> Workbench:
        await self.gateway.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self.gateway.__aexit__(None, None, None)
        await self.model.aclose()

    def contexts(self) -> list[str]:
        """Names of the contexts, for completion; [] when there is no usable kubeconfig."""
        from mcp_tools.kubeconfig import load_kubeconfig

        try:
            kubeconfig = load_kubeconfig(self.environment)
        except ConfigurationError:
            return []
        return [entry.name for entry in kubeconfig.contexts()] if kubeconfig else []

    async def use_context(self, context: str) -> None:
        """Work on another cluster; the conversation goes on. Nothing changes when there is no such context."""
        await self.gateway.use_context(context)
        self.gateway.use_namespace("")
        self.last_list = None

    def use_model(self, name: str) -> None:
        """Answer with this model from the next question on."""
        if not name.strip():
            raise ConfigurationError("/model needs a name, as the provider spells it")
        self.settings = self.settings.model_copy(update={"llm_model": name.strip()})
        self.model = ModelClient(self.settings)
        self.agent = AgentCore(self.model, self.gateway, self._approver, self.settings, self.session)

    async def ask(self, question: str, on_event: Callable[[AgentEvent], None]) -> FinalAnswer:
        """One question to the model; tokens are added to the session's."""
        final = await self.agent.answer(question, on_event=on_event)
        self.usage += final.usage
        return final
