"""What a person is told when the model's endpoint failed: what, on what, and what to do."""

from __future__ import annotations

from dataclasses import dataclass

from agent.model_errors import BrokenReply, ContextFull, Diagnosis
from configuration.errors import ModelError


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The endpoint as messages name it; never the key itself."""

    model: str
    base: str
    has_key: bool
    timeout_seconds: float

    def __str__(self) -> str:
        return f"{self.model} at {self.base}" if self.base else self.model

    def said(self, diagnosis: Diagnosis) -> str:
        """What happened, without advice."""
        if diagnosis.failure == "rate_limit":
            return f"the model {self} is rate-limited"
        if diagnosis.failure == "timeout":
            return f"the model {self} did not answer within {self.timeout_seconds:g} s"
        if diagnosis.failure == "unreachable":
            return f"no connection to the model {self}"
        return f"the model {self} failed: {diagnosis.message}"

    def explained(self, diagnosis: Diagnosis, partial: str, *, tries: int) -> ModelError:
        """The error to raise. `partial` is what was heard before the reply broke off."""
        if diagnosis.failure == "broken_off" and not partial:
            return ModelError(
                f"{self} sent nothing that is a whole reply (tried {tries} times); check that LLM_API_BASE is the address of "
                "an OpenAI-compatible API, or choose another LLM_MODEL"
            )
        if partial:
            return BrokenReply(
                f"the reply of {self} broke off after {len(partial)} characters; ask again, or choose another LLM_MODEL",
                partial=partial,
            )
        if diagnosis.failure == "context_full":
            return ContextFull(
                f"the conversation no longer fits into the context of {self.model}; "
                "/clear starts anew, and a smaller AGENT_CONTEXT_WINDOW keeps conversations smaller"
            )
        return ModelError(self._advice(diagnosis) + (f" (tried {tries} times)" if tries > 1 else ""))

    def _advice(self, diagnosis: Diagnosis) -> str:
        said, asked = self.said(diagnosis), diagnosis.retry_after_seconds
        if diagnosis.failure == "credentials":
            hint = "check LLM_API_KEY and LLM_PROVIDER" if self.has_key else "set LLM_API_KEY"
            return f"{self} refused the credentials (HTTP {diagnosis.status}): {hint}"
        if diagnosis.failure == "rate_limit":
            wait = f"{asked:.0f} s" if asked else "a while"
            return f"{said}; wait {wait} or choose another LLM_MODEL: {diagnosis.message}"
        if diagnosis.failure == "not_found":
            return f"{self} does not exist there (HTTP 404): check LLM_MODEL and LLM_API_BASE: {diagnosis.message}"
        if diagnosis.failure == "unreachable":
            return f"{said}: check LLM_API_BASE, proxy and network; slash commands and `main query` work without it"
        if diagnosis.failure == "timeout":
            return f"{said}; raise LLM_TIMEOUT or choose a faster LLM_MODEL"
        return said
