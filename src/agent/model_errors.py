"""What went wrong at the model's endpoint, in words for the person, and whether trying again can help. The key never gets in."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from configuration.errors import ModelError

Failure = Literal[
    "credentials", "rate_limit", "context_full", "bad_request", "not_found", "unreachable", "timeout", "server", "broken_off"
]

_WORTH_RETRYING: frozenset[Failure] = frozenset({"rate_limit", "unreachable", "timeout", "server", "broken_off"})
_CONTEXT_WORDS = re.compile(
    r"context[ _-]?(length|window)|maximum context|prompt is too long|too many (input )?tokens|input.{0,20}too long", re.I
)
_TOKEN_SHAPES = re.compile(r"\b(?:sk|pk|rk|gsk|xai|key|AIza)[-_]?[A-Za-z0-9_*.-]{12,}|(?<=Bearer )\S+", re.I)
_PREFIXES = re.compile(r"^(?:litellm\.)?(?:\w+(?:Error|Exception|Timeout)\s*(?:-|:)\s*)+")
_LONGEST_MESSAGE = 300


class BrokenReply(ModelError):
    """The stream ended without a finish reason. `partial` is the text that had arrived."""

    def __init__(self, message: str, *, partial: str = "") -> None:
        super().__init__(message)
        self.partial = partial


class ContextFull(ModelError):
    """The endpoint says that the conversation no longer fits into the model's context."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One failed try. `retry_after_seconds` is what the endpoint asked for, None when it did not say."""

    failure: Failure
    status: int
    message: str
    retry_after_seconds: float | None = None

    @property
    def worth_retrying(self) -> bool:
        return self.failure in _WORTH_RETRYING


def diagnose(error: BaseException, *, key: str) -> Diagnosis:
    """Read a litellm exception by its HTTP status and class name; the class tree differs from provider to provider."""
    status = _status(error)
    message = redacted(str(error), key)
    name = type(error).__name__
    return Diagnosis(_failure(name, status, message), status, message, _retry_after(error))


def redacted(text: str, key: str) -> str:
    """One line, bounded, without the key in any form that endpoints echo it in."""
    for form in {key, quote(key, safe="")} - {""}:
        text = text.replace(form, "‹LLM_API_KEY›")
    line = " ".join(_TOKEN_SHAPES.sub("‹key›", text).split())
    line = _PREFIXES.sub("", line)
    return line if len(line) <= _LONGEST_MESSAGE else line[: _LONGEST_MESSAGE - 1] + "…"


def _failure(name: str, status: int, message: str) -> Failure:
    if name == "ContextWindowExceededError" or (status in (400, 413) and _CONTEXT_WORDS.search(message)):
        return "context_full"
    if status in (401, 403):
        return "credentials"
    if status == 429:
        return "rate_limit"
    if status == 404:
        return "not_found"
    if name in ("Timeout", "APITimeoutError", "TimeoutError") or status == 408:
        return "timeout"
    if _says_unreachable(name, message):
        return "unreachable"
    return "bad_request" if 400 <= status < 500 else "server"


def _says_unreachable(name: str, message: str) -> bool:
    words = ("connection error", "cannot connect", "connection refused", "name or service not known", "connect call failed")
    return name == "APIConnectionError" or any(word in message.lower() for word in words)


def _status(error: BaseException) -> int:
    value = getattr(error, "status_code", 0)
    return value if isinstance(value, int) else 0


def _retry_after(error: BaseException) -> float | None:
    for source in (getattr(error, "litellm_response_headers", None), getattr(getattr(error, "response", None), "headers", None)):
        text = _header(source, "retry-after")
        if text:
            return _seconds(text)
    return None


def _header(headers: Mapping[str, Any] | None, name: str) -> str:
    if not headers:
        return ""
    return next((str(value) for key, value in headers.items() if key.lower() == name), "")


def _seconds(text: str) -> float | None:
    """RFC 9110: a number of seconds or an HTTP date."""
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None
