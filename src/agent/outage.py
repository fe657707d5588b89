"""Telling "the cluster cannot be asked" from "the cluster said no": only the first is answered from an old cache."""

from __future__ import annotations

from configuration.errors import ClusterError, ConfigurationError, K8sMcpError, ServerGone, ToolTimeout, Unreachable

_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500


def outage(error: K8sMcpError) -> str:
    """Who does not answer, as the start of a sentence; "" when the error is an answer (401, 403, 404, bad arguments)."""
    if isinstance(error, Unreachable):
        return "the API server does not answer"
    if isinstance(error, ClusterError):
        busy = error.status == _TOO_MANY_REQUESTS or error.status >= _SERVER_ERROR
        return f"the API server does not answer properly (HTTP {error.status})" if busy else ""
    if isinstance(error, ServerGone):
        return "the MCP server cannot be started or died"
    if isinstance(error, ToolTimeout):
        return "the cluster did not answer in time (AGENT_MCP_CALL_TIMEOUT)"
    if isinstance(error, ConfigurationError):
        return f"the cluster cannot be asked ({error})"
    return ""
