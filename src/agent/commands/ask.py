"""`main ask`: one question, one answer, signed with its sources."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from agent.agent_core import AgentCore
from agent.approvals import Approver, PolicyApprover, RefusingApprover, TerminalApprover
from agent.commands.options import CommandOptions
from agent.llm_config import ModelClient
from agent.terminal.answer_view import AnswerView
from agent.terminal.approval_dialogue import ApprovalDialogue
from agent.terminal.screen import Screen
from agent.terminal.signature import sign
from configuration.errors import ConfigurationError

if TYPE_CHECKING:
    from agent.agent_core import FinalAnswer
    from agent.agent_events import AgentEvent

FAILED = 1


async def ask(options: CommandOptions, question: str, output: str, policies: Sequence[str], screen: Screen) -> int:
    """Print the answer; returns the exit code. Raises ConfigurationError when no model is set up."""
    settings = options.settings()
    dialogue = ApprovalDialogue(screen)
    approver = _approver(policies, dialogue, can_ask=output != "json" and _at_a_terminal())
    model = ModelClient(settings)
    if model.problem:
        raise ConfigurationError(model.problem)
    async with options.gateway(settings) as gateway, aclosing(model):
        core = AgentCore(model, gateway, approver, settings)
        if output == "json":
            final = await core.answer(question, on_event=_ignore)
            screen.json(final.as_json())
        else:
            final = await _shown(core, question, screen, dialogue)
    return exit_code(final)


async def _shown(core: AgentCore, question: str, screen: Screen, dialogue: ApprovalDialogue) -> FinalAnswer:
    started = time.monotonic()
    with AnswerView(screen) as view:
        dialogue.view = view
        final = await core.answer(question, on_event=view.on_event)
        dialogue.view = None
    sign(screen, final, time.monotonic() - started)
    return final


def exit_code(final: FinalAnswer) -> int:
    """0 for an answer; the error's own code; 1 when the steps ran out."""
    if final.error is not None:
        return final.error.exit_code
    return 0 if final.stopped_reason == "answered" else FAILED


def _approver(policies: Sequence[str], dialogue: ApprovalDialogue, *, can_ask: bool) -> Approver:
    otherwise: Approver = TerminalApprover(dialogue.ask) if can_ask else RefusingApprover()
    return PolicyApprover.parse(list(policies), otherwise=otherwise) if policies else otherwise


def _at_a_terminal() -> bool:
    """Somebody who can read the question and type the answer."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _ignore(_: AgentEvent) -> None:
    """Machine output has no place for what happens meanwhile."""
