"""The exception tree. Every message says what failed, on what, and what to do next.

    K8sMcpError                    1   anything this project raises on purpose
    ├── ConfigurationError         2   a setting, flag, path or kubeconfig is wrong; nothing was written
    ├── UnknownKind                2   a kind name that no declaration knows
    ├── InvalidSelector            2   a label selector that Kubernetes would refuse
    ├── ClusterError               1   the Kubernetes API answered with an error, or did not answer
    │   ├── Unreachable            1   no answer: refused, timed out, TLS, name resolution
    │   ├── Unauthorized           1   401: the credentials are wrong or have expired
    │   ├── NotPermitted           1   403: the credentials may not do this
    │   ├── NotFound               1   404: the object or the resource does not exist
    │   ├── KindNotServed          1   404: this cluster has no such kind (its API group is not installed)
    │   ├── Conflict               1   409: a precondition or an existing object is in the way
    │   ├── DryRunRefused          1   400: an admission webhook takes no dry runs; what a change would do cannot be shown
    │   └── Expired                1   410: a continue token or resourceVersion is too old; list again
    ├── CacheError                 1   the database cannot be used
    │   ├── CacheMissing           1   no file there: nothing has been scanned yet
    │   ├── CacheBusy              1   another process holds it longer than the wait allows
    │   ├── CacheCorrupt           1   SQLite says that the file is damaged
    │   ├── CacheTooNew            1   written by a newer version
    │   └── NeverScanned           1   the table exists, but no scan of it has succeeded
    ├── QueryRefused               1   guarded SQL: not allowed, too slow, or wrong
    ├── ToolError                  1   an MCP tool call did not give a result
    │   ├── UnknownTool            1   no connected server has a tool of that name
    │   ├── InvalidArguments       1   the arguments do not fit the tool's schema; nothing was called
    │   ├── ToolTimeout            1   no answer in time; for a mutation the outcome is unknown
    │   └── ServerGone             1   the MCP server ended or cannot be started
    ├── ModelError                 1   the language model endpoint failed
    ├── Partial                    3   some kinds or clusters failed, each of them named
    ├── LockHeld                   4   another scanner holds the database
    └── ApprovalNeeded             5   a change needs approval and nobody is there to ask

The number is the exit code of a command that ends with it.
"""

from __future__ import annotations


class K8sMcpError(Exception):
    """Root of the tree; `exit_code` is what a command ends with."""

    exit_code = 1


class ConfigurationError(K8sMcpError):
    """A setting, flag, path or kubeconfig is wrong. Raised before anything is written."""

    exit_code = 2


class UnknownKind(K8sMcpError):
    """A kind name that no declaration knows."""

    exit_code = 2


class InvalidSelector(K8sMcpError):
    """A label selector that Kubernetes would refuse."""

    exit_code = 2


class ClusterError(K8sMcpError):
    """The Kubernetes API answered with an error, or did not answer. `status` is the HTTP status, 0 when there was none.

    `retry_after_seconds`: how long the API server asks to be left alone, 0 when it does not say.
    """

    def __init__(self, message: str, *, status: int = 0, reason: str = "", retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


class Unreachable(ClusterError):
    """No answer at all: connection refused, timed out, TLS or name resolution failed."""

    @property
    def was_silent(self) -> bool:
        """Whether it took the request and did not answer in the time that it was given (aiohttp's SocketTimeoutError)."""
        return self.reason == "SocketTimeoutError"


class Unauthorized(ClusterError):
    """HTTP 401: the credentials are wrong or have expired."""


class NotPermitted(ClusterError):
    """HTTP 403: the credentials may not do this."""


class NotFound(ClusterError):
    """HTTP 404: the object, or the resource itself, does not exist."""


class KindNotServed(ClusterError):
    """HTTP 404 for the kind itself: the cluster does not serve it, its API group is not installed."""


class Conflict(ClusterError):
    """HTTP 409: a precondition failed or an object is in the way."""


class DryRunRefused(ClusterError):
    """HTTP 400: an admission webhook with side effects takes no dry runs. Nothing was changed, and nothing can be foreseen."""


class Expired(ClusterError):
    """HTTP 410: a continue token or a resourceVersion is too old; the list starts again."""


class CacheError(K8sMcpError):
    """The cache database cannot be used."""


class CacheMissing(CacheError):
    """There is no database file: nothing has been scanned yet."""


class CacheBusy(CacheError):
    """Another process holds the database longer than the wait allows."""


class CacheCorrupt(CacheError):
    """SQLite reports that the file is damaged."""


class CacheTooNew(CacheError):
    """The file was written by a newer version of this program."""


class NeverScanned(CacheError):
    """The kind is known, but no scan of it has succeeded: this is not the same as "there are none"."""


class QueryRefused(K8sMcpError):
    """Guarded SQL was refused, ran too long, or is wrong."""


class ToolError(K8sMcpError):
    """An MCP tool call did not give a result."""


class UnknownTool(ToolError):
    """No connected server offers a tool of that name."""


class InvalidArguments(ToolError):
    """The arguments do not fit the tool's input schema; nothing was called."""


class ToolTimeout(ToolError):
    """No answer in time. For a mutation the outcome is unknown and has to be checked."""


class ServerGone(ToolError):
    """The MCP server ended, or cannot be started."""


class ModelError(K8sMcpError):
    """The language model endpoint failed."""


class Partial(K8sMcpError):
    """Some kinds or clusters failed; the message names each."""

    exit_code = 3


class LockHeld(K8sMcpError):
    """Another scanner holds the lock of this database."""

    exit_code = 4


class ApprovalNeeded(K8sMcpError):
    """A change needs approval and nobody is there to ask."""

    exit_code = 5
