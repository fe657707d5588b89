"""What the gateway answers: the same shape from cache and live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from kinds.envelope import Envelope
from kinds.times import to_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The result of one tool call.

    `structured` is {"rows", "envelope", "continue"} for a list, {"row", "manifest", "envelope"} for one object, and the
    tool's own shape otherwise; None for a tool that answers with text only.
    """

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
        """Goes back as the argument `continue_token`; says itself whether it belongs to cache or cluster."""
        return str((self.structured or {}).get("continue", ""))


def envelope_from_json(data: Any) -> Envelope | None:
    """The reverse of Envelope.as_json(); None for anything that is no envelope."""
    if not isinstance(data, dict):
        return None
    try:
        return Envelope(**(data | {"as_of": to_time(data["as_of"]) or 0}))
    except (KeyError, TypeError, ValueError):
        return None
