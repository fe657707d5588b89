"""Errors that an MCP server answers with, raised again here as what they were there.

Our server puts `{"type", "status", "reason", "message"}` under ERROR_MARK into the `_meta` of an error result, where `type` is
the name of a class in configuration.errors. It is not structured content: several clients hold that against the tool's output
schema even in an error, and then show neither. Other servers give text only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from configuration import errors
from configuration.errors import ClusterError, K8sMcpError, ToolError
from mcp_tools.plain_text import plain_text

if TYPE_CHECKING:
    from mcp_tools.redaction import Redactor


ERROR_MARK = "k8s-mcp/error"
MESSAGE_LENGTH = 4_000
"""Characters of an error that are told: it may quote what a caller, an API server or another server said."""
_REASON = re.compile(r"[A-Za-z]{1,60}")


def described(error: K8sMcpError, redactor: Redactor) -> dict[str, Any]:
    """The server's side: an error as it may leave. Its message quotes the API server and the caller, so it is redacted."""
    text = str(error)
    kept = _cut(text)
    cut = f" … (cut, {len(text):,} characters)" if len(kept) < len(text) else ""
    told: dict[str, Any] = {"type": type(error).__name__, "message": plain_text(redactor.redact_echo(kept)) + cut}
    return told | ({"status": error.status, "reason": error.reason} if isinstance(error, ClusterError) else {})


def _cut(text: str) -> str:
    """At a blank: half a secret would not be known any more."""
    if len(text) <= MESSAGE_LENGTH:
        return text
    blank = max(text.rfind(" ", 0, MESSAGE_LENGTH), text.rfind("\n", 0, MESSAGE_LENGTH))
    return text[: blank if blank > 0 else MESSAGE_LENGTH]


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
        return kind(message, status=_status(told.get("status")), reason=reason if ours or _REASON.fullmatch(reason) else "")
    return kind(message)


def _status(value: object) -> int:
    return value if isinstance(value, int) else 0
