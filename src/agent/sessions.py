"""The state of one conversation, kept valid whatever interrupts an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.llm_config import ToolCall

Message = dict[str, Any]
"""One message in the OpenAI chat format."""


@dataclass
class Session:
    """Messages after the system prompt. Every tool call has exactly one result once an answer has ended."""

    messages: list[Message] = field(default_factory=list)
    questions: int = 0

    def clear(self) -> None:
        """Forget the conversation."""
        self.messages.clear()

    def ask(self, question: str) -> None:
        self.questions += 1
        self.messages.append({"role": "user", "content": question})

    def reply(self, text: str, calls: Sequence[ToolCall] = ()) -> None:
        message: Message = {"role": "assistant", "content": text}
        if calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in calls
            ]
        self.messages.append(message)

    def result(self, call_id: str, content: str) -> None:
        self.messages.append({"role": "tool", "tool_call_id": call_id, "content": content})

    def settle(self, reason: str) -> None:
        """Close what an interruption left open: calls without a result, a question without a reply.

        Endpoints refuse a conversation with a dangling tool call, and the model should know that it was cut short.
        """
        for call_id in self.open_calls():
            self.result(call_id, f"no result: {reason}")
        if self.messages and self.messages[-1]["role"] != "assistant":
            self.reply(f"({reason})")

    def open_calls(self) -> list[str]:
        """Ids of calls of the latest reply that have no result yet."""
        answered: set[str] = set()
        for message in reversed(self.messages):
            if message["role"] == "tool":
                answered.add(message["tool_call_id"])
            elif message.get("tool_calls"):
                return [call["id"] for call in message["tool_calls"] if call["id"] not in answered]
            else:
                return []
        return []
