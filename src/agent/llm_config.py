"""The only place that talks to a language model, through litellm."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and cost of one or several model calls. `cost_usd` is None when any part of it is unknown."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = 0.0
    calls: int = 0

    def __add__(self, other: Usage) -> Usage:
        raise NotImplementedError

    def text(self) -> str:
        """`1,204 + 93 tokens · $0.0012`, or `· cost unknown`."""
        raise NotImplementedError


class ModelClient:
    """`ModelClient(settings)`: cheap to make; litellm is imported on first use or by `preload()`."""

    def preload(self) -> None:
        """Import litellm (3-4 s); call it in a thread while the person types. Safe to call twice."""

    @property
    def name(self) -> str:
        """`openrouter/google/gemini-2.0-flash-exp`."""
        raise NotImplementedError

    @property
    def problem(self) -> str:
        """"" when it can be called; else why not and how to set it up, in one or two sentences (no key)."""
        raise NotImplementedError

    async def check(self) -> str:
        """One tiny call, for `doctor`: what answered. Raises ModelError or ConfigurationError in a sentence."""
        raise NotImplementedError
