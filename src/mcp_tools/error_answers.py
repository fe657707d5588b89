"""Errors that an MCP server answers with, raised again here as what they were there.

Our server puts `{"type", "status", "reason", "message"}`, and `retry_after_seconds` where the API server gave one, under
ERROR_MARK into the `_meta` of an error result, where `type` is the name of a class in configuration.errors. It is not
structured content: several clients hold that against the tool's output schema even in an error, and then show neither. Other
servers give text only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from configuration import errors
from configuration.errors import ClusterError, K8sMcpError, ToolError
from mcp_tools.api_errors import LONGEST_RETRY_AFTER_SECONDS
from mcp_tools.plain_text import plain_text

if TYPE_CHECKING:
    from mcp_tools.redaction import Redactor


ERROR_MARK = "k8s-mcp/error"
MESSAGE_LENGTH = 4_000
"""Characters of an error that are told: it may quote what a caller, an API server or another server said."""
_ADVICE_LENGTH = 300
_LONGEST = 100_000
"""Characters that are looked at. Those before MESSAGE_LENGTH are far from where this cuts."""
_REASON = re.compile(r"[A-Za-z]{1,60}")


def described(error: K8sMcpError, redactor: Redactor) -> dict[str, Any]:
    """The server's side: an error as it may leave. Its message quotes the API server and the caller, so it is redacted.

    First redacted, then cut: half a secret would not be known any more.
    """
    text = str(error)
    message = _cut(plain_text(redactor.redact_echo(text[:_LONGEST])), len(text))
    told: dict[str, Any] = {"type": type(error).__name__, "message": message}
    if isinstance(error, ClusterError):
        told |= {"status": error.status, "reason": error.reason}
        told |= {"retry_after_seconds": error.retry_after_seconds} if error.retry_after_seconds else {}
    return told


def _cut(text: str, length: int) -> str:
    """At blanks, in the middle: what to do stands at the end. The end of a text that is not whole is not shown."""
    if len(text) <= MESSAGE_LENGTH and length <= _LONGEST:
        return text
    words = f" … (cut, {length:,} characters)"
    last = text[-_ADVICE_LENGTH:].partition(" ")[2] if length <= _LONGEST else ""
    start = text[: min(MESSAGE_LENGTH - len(last), len(text) - 1)]
    blank = max(start.rfind(" "), start.rfind("\n"))
    return start[: blank if blank > 0 else len(start)] + words + (f" … {last}" if last else "")


def raised(tool: str, text: str, told: object, *, ours: bool = True) -> K8sMcpError:
    """The exception for an error result; ToolError when it does not say which.

    What another server tells is believed as far as it is about the Kubernetes API: a scan then goes on as with ours. Its message
    is `text`, which has passed the redactor.
    """
    if not isinstance(told, dict):
        return ToolError(text or f"{tool} failed and its server did not say why")
    message = str(told.get("message") or text) if ours else text
    kind = getattr(errors, str(told.get("type", "")), None)
    if not (isinstance(kind, type) and issubclass(kind, K8sMcpError if ours else ClusterError)):
        return ToolError(text or message)
    if issubclass(kind, ClusterError):
        reason = str(told.get("reason") or "")
        return kind(
            message,
            status=_status(told.get("status")),
            reason=reason if ours or _REASON.fullmatch(reason) else "",
            retry_after_seconds=_seconds(told.get("retry_after_seconds")),
        )
    return kind(message)


def _status(value: object) -> int:
    return value if isinstance(value, int) else 0


def _seconds(value: object) -> float:
    known = isinstance(value, int | float) and 0 < value <= LONGEST_RETRY_AFTER_SECONDS
    return float(value) if known else 0.0  # type: ignore[arg-type]  # it is a number
