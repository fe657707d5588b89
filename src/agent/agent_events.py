"""What happens while a question is answered, as the screen gets to see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.approval_request import ApprovalRequest
from agent.approvals import Decision


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the model's answer, control characters removed."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """The model called a tool. `call_id` is unique within an answer."""

    call_id: str
    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool call ended. `source` is "cache", "live" or "" (failed before either was asked).

    `summary` is one line for a person: "37 of 412 rows" or the error's first line.
    """

    call_id: str
    tool: str
    source: str
    summary: str
    seconds: float
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    """One line that the program, not the model, has to say: the cache is missing, the model is being retried."""

    text: str


@dataclass(frozen=True, slots=True)
class ApprovalAsked:
    """A change was dry-run and the approver is being asked; `request.describe()` is the text to show."""

    request: ApprovalRequest


@dataclass(frozen=True, slots=True)
class ApprovalAnswered:
    """What the approver said."""

    request: ApprovalRequest
    decision: Decision


AgentEvent = TextDelta | ToolStarted | ToolFinished | Notice | ApprovalAsked | ApprovalAnswered
OnEvent = Callable[[AgentEvent], None]
