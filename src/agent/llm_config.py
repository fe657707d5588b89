"""The only place that talks to a language model, through litellm: names, keys, time limits, retries, streaming, cost."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

from agent.model_advice import Endpoint
from agent.model_errors import BrokenReply, Diagnosis, diagnose, redacted
from agent.model_usage import Usage as Usage
from agent.model_usage import usage_of
from configuration.errors import ConfigurationError
from mcp_tools.collector_pause import collector_paused
from mcp_tools.plain_text import plain_text

if TYPE_CHECKING:
    from agent.settings import AgentSettings

logger = logging.getLogger(__name__)

KEYLESS_PROVIDERS = frozenset(
    {"ollama", "ollama_chat", "lm_studio", "llamafile", "hosted_vllm", "bedrock", "vertex_ai", "sagemaker"}
)
"""They run on the person's machine, or take their credentials from elsewhere."""

NO_KEY_NEEDED = "none"
"""Sent to an endpoint of one's own when there is no key, so that litellm does not look for one in the environment."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call as the model wrote it: `arguments` is its text, which may not even be JSON."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Reply:
    """One complete reply of the model."""

    text: str
    tool_calls: tuple[ToolCall, ...]
    usage: Usage
    finish_reason: str


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`attempts` tries in all; waits double from `first_wait_seconds`; a longer Retry-After than the bound is not waited for."""

    attempts: int = 4
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 20.0
    longest_retry_after_seconds: float = 60.0

    def wait_before(self, attempt: int, diagnosis: Diagnosis) -> float | None:
        """Seconds to wait before try `attempt` (the first retry is 2); None: give up."""
        if attempt > self.attempts or not diagnosis.worth_retrying:
            return None
        asked = diagnosis.retry_after_seconds
        if asked is not None:
            return asked if asked <= self.longest_retry_after_seconds else None
        return min(self.first_wait_seconds * 2.0 ** (attempt - 2), self.longest_wait_seconds)


class ModelClient:
    """Cheap to make; litellm is imported on first use, or by `preload()` in a thread while the person types."""

    def __init__(
        self,
        settings: AgentSettings,
        *,
        retries: RetryPolicy | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._retries = retries or RetryPolicy()
        self._sleep = sleep
        self._litellm: Any = None
        self._import_lock = Lock()

    def preload(self) -> None:
        """Import litellm (3-4 s). Safe to call twice, and from any thread."""
        with self._import_lock:
            if self._litellm is None:
                self._litellm = import_litellm()

    @property
    def name(self) -> str:
        """`openrouter/google/gemini-2.0-flash-exp`."""
        provider, model = self._settings.llm_provider.strip().lower(), self._settings.llm_model.strip()
        return model if model.startswith(f"{provider}/") else f"{provider}/{model}"

    @property
    def problem(self) -> str:
        """Empty when it can be called; else why not, how to set it up, and what works without."""
        if self._key or self._settings.llm_api_base or self._provider in KEYLESS_PROVIDERS:
            return ""
        return (
            f"no key for {self.name}: put LLM_API_KEY=… into the environment or into .env "
            "(LLM_PROVIDER, LLM_MODEL and LLM_API_BASE choose another model; LLM_PROVIDER=ollama needs no key). "
            "Without one, slash commands, `main query`, `main tools`, `main doctor` and the scanner work"
        )

    @property
    def _provider(self) -> str:
        return self.name.split("/", 1)[0]

    @property
    def _key(self) -> str:
        return self._settings.llm_api_key.get_secret_value().strip()

    async def check(self) -> str:
        """One tiny call, for `doctor`. Raises ModelError or ConfigurationError in a sentence."""
        reply = await self.reply([{"role": "user", "content": "Answer with the one word: ready"}], max_tokens=64)
        return f"{self.name} answers ({reply.usage.text()})"

    async def reply(
        self,
        messages: Sequence[dict[str, Any]],
        *,
        tools: Sequence[dict[str, Any]] = (),
        tool_choice: str = "auto",
        on_text: Callable[[str], None] = lambda _text: None,
        on_notice: Callable[[str], None] = lambda _text: None,
        max_tokens: int | None = None,
    ) -> Reply:
        """Stream one reply. Retries as RetryPolicy says while nothing has been shown yet; never on wrong credentials.

        Raises ConfigurationError (no key, unknown provider), ContextFull, BrokenReply, or ModelError.
        """
        if self.problem:
            raise ConfigurationError(self.problem)
        await asyncio.to_thread(self.preload)
        self._check_provider()
        request = self._request(messages, tools, tool_choice, max_tokens)
        for attempt in itertools.count(1):
            heard: list[str] = []
            try:
                return await self._one_try(request, _both(heard.append, on_text))
            except BrokenReply:
                diagnosis = Diagnosis("broken_off", 0, "the stream broke off")
            except self._library_errors() as error:
                diagnosis = diagnose(error, key=self._key)
            partial = "".join(heard)
            wait = None if partial else self._retries.wait_before(attempt + 1, diagnosis)
            if wait is None:
                # `from None`: the library's exception can carry the key, and --debug prints what is chained.
                raise self._endpoint.explained(diagnosis, partial, tries=attempt) from None
            tries = self._retries.attempts
            on_notice(f"{self._endpoint.said(diagnosis)}; trying again in {wait:.0f} s ({attempt + 1} of {tries})")
            await self._sleep(wait)
        raise AssertionError("unreachable")

    async def aclose(self) -> None:
        """Close the HTTP connections that litellm keeps."""
        if self._litellm is not None:
            await self._litellm.close_litellm_async_clients()

    def _check_provider(self) -> None:
        if self._provider not in {str(getattr(p, "value", p)) for p in self._litellm.provider_list}:
            raise ConfigurationError(
                f"LLM_PROVIDER={self._provider!r} is no provider that litellm knows; "
                "use for example openrouter, openai (with LLM_API_BASE for compatible endpoints), anthropic, gemini or ollama"
            )

    def _request(
        self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]], tool_choice: str, max_tokens: int | None
    ) -> dict[str, Any]:
        settings = self._settings
        request: dict[str, Any] = {
            "model": self.name, "messages": list(messages), "stream": True, "stream_options": {"include_usage": True},
            "max_tokens": max_tokens or settings.llm_max_tokens, "timeout": settings.llm_timeout,
            "max_retries": 0, "num_retries": 0, "drop_params": True,
            "api_key": self._key or (NO_KEY_NEEDED if settings.llm_api_base else None),
        }  # fmt: skip
        if settings.llm_api_base:
            request["api_base"] = settings.llm_api_base
        if tools:
            request |= {"tools": list(tools), "tool_choice": tool_choice}
        if self._provider == "anthropic" or "claude" in self.name:
            request["cache_control_injection_points"] = [{"location": "message", "role": "system"}]
        return request

    async def _one_try(self, request: dict[str, Any], on_text: Callable[[str], None]) -> Reply:
        chunks: list[Any] = []
        heard = ""
        async with asyncio.timeout(self._settings.llm_timeout):
            stream = await self._litellm.acompletion(**request)
            async with aclosing(_chunks(stream)) as parts:
                async for chunk in parts:
                    chunks.append(chunk)
                    text = _text_of(chunk)
                    if text:
                        heard += text
                        on_text(text)
        if not chunks or getattr(stream, "received_finish_reason", "unknown") is None:
            raise BrokenReply("the stream broke off", partial=heard)
        return self._built(chunks, request)

    def _built(self, chunks: list[Any], request: dict[str, Any]) -> Reply:
        whole = self._litellm.stream_chunk_builder(chunks, messages=request["messages"])
        choice = whole.choices[0]
        calls = _distinct(
            ToolCall(plain_text(call.id or ""), plain_text(call.function.name or ""), call.function.arguments or "")
            for call in choice.message.tool_calls or ()
        )
        usage = usage_of(getattr(whole, "usage", None), self._prices())
        return Reply(choice.message.content or "", calls, usage, str(choice.finish_reason or ""))

    def _prices(self) -> Any:
        """The price list's entry; none for an endpoint of one's own, whose prices are its own too."""
        if self._settings.llm_api_base:
            return None
        return self._litellm.model_cost.get(self.name) or self._litellm.model_cost.get(self.name.split("/", 1)[-1])

    @property
    def _endpoint(self) -> Endpoint:
        settings = self._settings
        base = redacted(settings.llm_api_base, self._key)
        return Endpoint(self.name, base, has_key=bool(self._key), timeout_seconds=settings.llm_timeout)

    def _library_errors(self) -> tuple[type[Exception], ...]:
        """Everything that a call can raise: litellm's exceptions derive from openai's root, except one of its own."""
        import httpx
        import openai

        own: type[Exception] = self._litellm.exceptions.BudgetExceededError
        return (TimeoutError, ConnectionError, httpx.HTTPError, openai.OpenAIError, own)


def import_litellm() -> Any:
    """Import quietly: no price list from the network, no `.env` of the working directory, nothing on stdout."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["LITELLM_MODE"] = "PRODUCTION"
    with collector_paused():  # it walks the growing heap of 3,000 modules' objects again and again, for nothing
        import litellm
    gc.freeze()  # what was imported stays to the end: without this the interpreter takes a second to take it down

    litellm.suppress_debug_info = True
    litellm.disable_hf_tokenizer_download = True
    litellm.telemetry = False
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        library = logging.getLogger(name)
        library.handlers.clear()
        # Its warnings repeat requests and errors, key included; what matters arrives as an exception.
        library.setLevel(logging.CRITICAL)
    return litellm


def _both(*receivers: Callable[[str], None]) -> Callable[[str], None]:
    def send(text: str) -> None:
        for receive in receivers:
            receive(text)

    return send


async def _chunks(stream: Any) -> AsyncGenerator[Any, None]:
    """Iterate, and close the response when the reader stops early."""
    try:
        async for chunk in stream:
            yield chunk
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()


def _distinct(calls: Iterable[ToolCall]) -> tuple[ToolCall, ...]:
    """Each call with an id of its own: some endpoints send none, or the same one for all calls of a reply."""
    taken: dict[str, ToolCall] = {}
    for index, call in enumerate(calls):
        free = call.id if call.id and call.id not in taken else f"call_{index}"
        while free in taken:
            free += "_"
        taken[free] = replace(call, id=free)
    return tuple(taken.values())


def _text_of(chunk: Any) -> str:
    if not chunk.choices:
        return ""
    return getattr(chunk.choices[0].delta, "content", None) or ""
