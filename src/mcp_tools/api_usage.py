"""What this server costs an API server: requests by Kubernetes verb, and bytes received."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class ApiUsage:
    """Counters of one context, since the server's start."""

    def __init__(self) -> None:
        self._requests: Counter[str] = Counter()
        self.bytes_received = 0

    @property
    def requests(self) -> dict[str, int]:
        """Verb -> requests that were sent; each try counts."""
        return dict(sorted(self._requests.items()))

    def sent(self, method: str, path: str, query: Sequence[tuple[str, str | int]]) -> None:
        """Count one request."""
        self._requests[verb_of(method, path, query)] += 1

    def meter(self, response: Any) -> ReceivedBytes:
        """Counts the headers of an answer now, and its body as it comes."""
        self.bytes_received += sum(len(name) + len(value) + 4 for name, value in response.raw_headers)
        return ReceivedBytes(self, response.content)


class ReceivedBytes:
    """The body of one answer, as it was on the wire: compressed, without chunk marks and TLS."""

    def __init__(self, usage: ApiUsage, content: Any) -> None:
        self._usage = usage
        self._content = content
        self._counted = 0

    def count(self) -> None:
        """Add what has come since the last time."""
        total = getattr(self._content, "total_raw_bytes", self._counted)
        self._usage.bytes_received += total - self._counted
        self._counted = total


def verb_of(method: str, path: str, query: Sequence[tuple[str, str | int]]) -> str:
    """The verb that the API server's audit log and RBAC give a request.

    Source: k8s.io/apiserver pkg/endpoints/request/requestinfo.go.
    """
    if method != "GET":
        return _VERBS.get(method, method.lower())
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:] if parts[0] == "apis" else []
    if not parts:
        return "get"
    if parts[0] == "namespaces" and len(parts) > 2:
        parts = parts[2:]
    if len(parts) > 1:
        return "get"
    watched = any(name == "watch" and str(value) in ("1", "true") for name, value in query)
    return "watch" if watched else "list"
