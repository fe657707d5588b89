"""HTTP answers of the Kubernetes API as exceptions: what failed, on what, the reason, and what to try."""

from __future__ import annotations

import json
from typing import Any

from configuration.errors import ClusterError, Conflict, DryRunRefused, Expired, NotFound, NotPermitted, Unauthorized
from mcp_tools.quoted_values import words_without_values

_ADVICE: dict[int, tuple[type[ClusterError], str]] = {
    400: (ClusterError, "correct the arguments"),
    401: (Unauthorized, "log in again, or check the kubeconfig user of this context"),
    403: (NotPermitted, "ask for RBAC permission, or use a context or namespace that these credentials may use"),
    404: (NotFound, "check name, namespace and context; list the kind to see what exists"),
    405: (ClusterError, "this resource does not support the operation"),
    409: (Conflict, "read the object again and repeat with its current uid and resourceVersion"),
    410: (Expired, "list again from the start, without a continue token"),
    413: (ClusterError, "ask for less"),
    422: (ClusterError, "correct the fields that are named"),
    429: (ClusterError, "wait a little, the API server is limiting requests"),
}
_ADVICE_BY_REASON = {"AlreadyExists": "choose another name, or look at the object that has it"}
_ADVICE_BY_WORDS = {
    "is waiting to start": "the container has written nothing yet; k8s_describe the pod to see what it waits for",
    "previous terminated container": "it has not been restarted: leave previous out",
}
"""What a kubelet says of a log, with a status that says nothing."""
_NO_DRY_RUN = "does not support dry run"
_NO_DRY_RUN_ADVICE = (
    "what the change would do cannot be shown beforehand, and nothing was changed; whoever runs the webhook makes dry runs "
    "possible by declaring sideEffects: None"
)
LONGEST_RETRY_AFTER_SECONDS = 3600.0
"""More is not believed: no API server means it."""
_SERVER_ADVICE = "try again later; the API server or something behind it has a problem"


def error_of(status: int, body: bytes, doing: str, *, retry_after: str = "") -> ClusterError:
    """The exception for an HTTP error. `doing` says what was tried on what: `list pods in namespace a (context b)`.
    `retry_after` is the header of that name.

    The message holds the server's own words, without the values that it quotes of objects. It may still hold a secret in free
    text: it is whole, since half a secret is not recognised, and is redacted and then cut before it leaves this process.
    """
    answer = _status_object(body)
    reason = str(answer.get("reason") or "")
    words = words_without_values(answer, _plain_body(body))
    class_, advice = _ADVICE.get(status, (ClusterError, _SERVER_ADVICE))
    advice = _ADVICE_BY_REASON.get(reason, advice)
    advice = next((better for said, better in _ADVICE_BY_WORDS.items() if status == 400 and said in words), advice)
    if status == 400 and _NO_DRY_RUN in words:
        class_, advice = DryRunRefused, _NO_DRY_RUN_ADVICE
    if budgets := _budgets(answer):
        words, advice = f"{words} {budgets}", "wait until more of its pods are ready, or change the budget"
    detail = ": ".join(part for part in (f"HTTP {status}" + (f" {reason}" if reason else ""), words) if part)
    seconds = _retry_after_seconds(retry_after, answer)
    return class_(f"cannot {doing}: {detail}; {advice}", status=status, reason=reason, retry_after_seconds=seconds)


def _retry_after_seconds(header: str, answer: dict[str, Any]) -> float:
    """The API server gives whole seconds: in the header, also where the body is plain text, and in the Status. Else 0."""
    details = answer.get("details")
    told = details.get("retryAfterSeconds") if isinstance(details, dict) else None
    for value in (header.strip(), str(told)):
        if value.isascii() and value.isdecimal():
            return min(float(value), LONGEST_RETRY_AFTER_SECONDS)
    return 0.0


def _budgets(answer: dict[str, Any]) -> str:
    """What the API server says of the PodDisruptionBudget that forbids an eviction: its name is only there."""
    details = answer.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    found = causes if isinstance(causes, list) else []
    return " ".join(str(one.get("message")) for one in found if isinstance(one, dict) and one.get("reason") == "DisruptionBudget")


def _status_object(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _plain_body(body: bytes) -> str:
    """Proxies answer in HTML: not worth showing. Of anything else a line or two, up to a blank."""
    text = body[:300].decode(errors="replace").strip()
    if len(body) > 300:
        text = text.rpartition(" ")[0]
    return "" if text.startswith(("<", "{")) else text
