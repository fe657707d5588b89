"""Tokens and cost of model calls. A cost that nobody knows is unknown, not zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and cost of one or several model calls. `cost_usd` is None when any part of it is unknown."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = 0.0
    calls: int = 0

    def __add__(self, other: Usage) -> Usage:
        known = self.cost_usd is not None and other.cost_usd is not None
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            (self.cost_usd or 0) + (other.cost_usd or 0) if known else None,
            self.calls + other.calls,
        )

    def text(self) -> str:
        """`1,204 + 93 tokens · $0.0012`, or `· cost unknown`."""
        cost = "cost unknown" if self.cost_usd is None else f"${self.cost_usd:.4f}"
        return f"{self.prompt_tokens:,} + {self.completion_tokens:,} tokens · {cost}"

    def as_json(self) -> dict[str, Any]:
        cost = "unknown" if self.cost_usd is None else round(self.cost_usd, 6)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "cost_usd": cost,
            "calls": self.calls,
        }


def usage_of(counted: Any, prices: Mapping[str, Any] | None) -> Usage:
    """From the `usage` of a reply. What the endpoint itself reports as cost goes before the price list."""
    if counted is None:
        return Usage(cost_usd=None, calls=1)
    prompt, completion = int(counted.prompt_tokens or 0), int(counted.completion_tokens or 0)
    reported = getattr(counted, "cost", None)
    if isinstance(reported, int | float):
        return Usage(prompt, completion, float(reported), calls=1)
    if not prices or "input_cost_per_token" not in prices:
        return Usage(prompt, completion, None, calls=1)
    cost = prompt * prices["input_cost_per_token"] + completion * prices.get("output_cost_per_token", 0)
    return Usage(prompt, completion, float(cost), calls=1)
