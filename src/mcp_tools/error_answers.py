"""Errors that an MCP server answers with, raised again here as what they were there.

Our server puts `{"error": {"type", "status", "reason", "message"}}` into the structured content of an error result,
where `type` is the name of a class in configuration.errors. Other servers give text only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from configuration import errors
from configuration.errors import ClusterError, K8sMcpError, ToolError
from mcp_tools.plain_text import plain_text

if TYPE_CHECKING:
    from mcp_tools.redaction import Redactor


def described(error: K8sMcpError, redactor: Redactor) -> dict[str, Any]:
    """The server's side: an error as it may leave. Its message quotes the API server, so it is redacted."""
    told: dict[str, Any] = {"type": type(error).__name__, "message": plain_text(redactor.redact_text(str(error)))}
    return told | ({"status": error.status, "reason": error.reason} if isinstance(error, ClusterError) else {})


def raised(tool: str, text: str, structured: dict[str, Any] | None) -> K8sMcpError:
    """The exception for an error result; ToolError when it does not say which."""
    told = (structured or {}).get("error")
    if not isinstance(told, dict):
        return ToolError(text or f"{tool} failed and its server did not say why")
    message = str(told.get("message") or text)
    kind = getattr(errors, str(told.get("type", "")), None)
    if not (isinstance(kind, type) and issubclass(kind, K8sMcpError)):
        return ToolError(text or message)
    if issubclass(kind, ClusterError):
        return kind(message, status=_status(told.get("status")), reason=str(told.get("reason") or ""))
    return kind(message)


def _status(value: object) -> int:
    return value if isinstance(value, int) else 0
