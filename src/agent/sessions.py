"""The state of one conversation, kept valid whatever interrupts an answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]
"""One message in the OpenAI chat format."""


@dataclass
class Session:
    """Messages after the system prompt, and the running totals."""

    messages: list[Message] = field(default_factory=list)
    questions: int = 0

    def clear(self) -> None:
        """Forget the conversation."""
        self.messages.clear()
