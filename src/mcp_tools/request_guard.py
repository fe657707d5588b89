"""Every request to an API server is judged here before it is sent, whichever tool wants it.

A tool call runs inside `during(ToolCall(…))`; what it may change is decided by the gate (server.py) and kept in the call.
Tools cannot widen it, and neither can arguments: the guard looks at the request itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

from configuration.errors import ApprovalNeeded, Conflict, NotPermitted
from kinds.registry import KINDS
from mcp_tools.api_targets import ApiTarget, Query, api_target
from mcp_tools.foreseen_changes import Foreseen
from mcp_tools.proposed_values import Disguise
from mcp_tools.server_policy import Rule, ServerPolicy, object_of


@dataclass
class ToolCall:
    """One call of a tool, or the dry run before it. `granted`: changes that a person or a rule has permitted."""

    tool: str
    may_change: bool = False
    """Whether the tool is declared as one that changes something."""
    granted: frozenset[ApiTarget] = frozenset()
    only_trial: bool = False
    """A dry run: whatever the tool does, nothing but dry runs is let through."""
    touched: list[ApiTarget] = field(default_factory=list)
    """What the call has tried or changed, or was refused for want of a grant; in order, each once."""
    refused: list[ApiTarget] = field(default_factory=list)
    """What it was refused for want of a grant."""
    foreseen: Foreseen | None = None
    """What the tool says would change, or has changed."""
    approved: Foreseen | None = None
    """What a person was shown; None where nobody was asked."""
    disguise: Disguise = field(default_factory=Disguise)
    """Of what the caller proposes."""
    ended: bool = False
    """A task that outlives its call may read, but change nothing."""

    def touches(self, target: ApiTarget, *, refused: bool = False) -> None:
        """Remember a change."""
        for targets in (self.touched, *([self.refused] if refused else [])):
            if target not in targets:
                targets.append(target)


_CALL: ContextVar[ToolCall | None] = ContextVar("tool_call", default=None)


@contextmanager
def during(call: ToolCall) -> Iterator[ToolCall]:
    """Requests in this block, and in tasks that are begun in it, are those of `call`."""
    token = _CALL.set(call)
    try:
        yield call
    finally:
        call.ended = True
        _CALL.reset(token)


def foresee(foreseen: Foreseen) -> None:
    """Tell the running call what its answer says, whole."""
    if (call := _CALL.get()) is not None:
        call.foreseen = foreseen


def running_disguise() -> Disguise:
    """Of the running call."""
    call = _CALL.get()
    return Disguise() if call is None else call.disguise


def hold_to_approved(foreseen: Foreseen) -> None:
    """For tools that change several objects, before the first one. Raises Conflict for what a person was not shown."""
    call = _CALL.get()
    if call is not None and call.approved is not None and not call.approved.covers(foreseen):
        raise changed_meanwhile(call.tool)


def changed_meanwhile(tool: str) -> Conflict:
    """For what is not what was approved any more."""
    return Conflict(
        f"{tool}: an object is another one, or what would change is not what the person was asked about any more; nothing was "
        "done. Call the tool again, and it will be asked about",
        status=409,
        reason="Conflict",
    )


class RequestGuard:
    """Judges the requests of one server to one cluster."""

    def __init__(self, policy: ServerPolicy) -> None:
        self.policy = policy
        self.without_namespaces: frozenset[tuple[str, str]] = frozenset()
        """(API group, plural) of the kinds that the cluster says are in no namespace."""

    def judged(self, method: str, path: str, query: Query, body: object, *, context: str, doing: str) -> Query:
        """The query to send, narrowed where namespaces are denied. Raises NotPermitted or ApprovalNeeded: nothing is sent."""
        call = _CALL.get()
        target = _named(api_target(method, path, query, context), body)
        tool = call.tool if call else ""
        if (rule := self.policy.denial(tool, target)) is not None:
            raise _denied(rule, target, doing)
        if target.mutating:
            self._judge_change(call, target, dry_run=_is_dry_run(target, method, query, body), doing=doing)
            return query
        return self._without_hidden(tool, target, query, doing)

    def hides(self, group: str, resource: str, namespace: str, *, context: str) -> bool:
        """Whether the policy denies what came from a namespace: for an API whose server may not know field selectors."""
        call = _CALL.get()
        target = ApiTarget("list", context, group, resource, "", namespace)
        return self.policy.denial(call.tool if call else "", target) is not None

    def left_out(self, group: str, resource: str, *, context: str) -> tuple[str, ...]:
        """The namespaces that a list of all namespaces is asked for without; () where such a list is refused instead."""
        call = _CALL.get()
        target = ApiTarget("list", context, group, resource)
        if self._is_without_namespaces(target):
            return ()
        rules = self.policy.hidden_namespaces(call.tool if call else "", target)
        return () if any(rule.is_pattern for rule in rules) else tuple(dict.fromkeys(rule.namespace for rule in rules))

    def _judge_change(self, call: ToolCall | None, target: ApiTarget, *, dry_run: bool, doing: str) -> None:
        if self.policy.read_only or (call is not None and not call.may_change):
            raise NotPermitted(f"cannot {doing}: {target} would change something, and this is only to read", reason="ReadOnly")
        if call is None or call.ended:
            if self.policy.approval == "client" and call is None:
                return
            raise NotPermitted(f"cannot {doing}: {target} belongs to no tool call that is still running", reason="NoCall")
        if target.verb == "deletecollection" and not target.namespace and self.policy.hidden_namespaces(call.tool, target):
            raise NotPermitted(f"cannot {doing}: {target} of all namespaces, and the policy denies some", reason="PolicyDenied")
        permitted = dry_run or self._permitted(call, target)
        call.touches(target, refused=not permitted)
        if not permitted:
            raise ApprovalNeeded(
                f"cannot {doing}: {target} in context {target.context} is not what was approved; it was not sent. Call the tool "
                "again, and it will be asked about"
            )

    def _permitted(self, call: ToolCall, target: ApiTarget) -> bool:
        """Whether a change may be made for real: asked about elsewhere, allowed by a rule, or granted to this call."""
        if call.only_trial:
            return False
        return self.policy.approval == "client" or target in call.granted or self.policy.allows(call.tool, target)

    def _is_without_namespaces(self, target: ApiTarget) -> bool:
        """Whether such objects are known to be in no namespace; Namespace objects count as being in their own.

        What is not known is taken to be in one: the API server then refuses a selector that it does not know.
        """
        wanted = object_of(target)
        if wanted == ("", "namespaces"):
            return False
        declared = any((kind.group, kind.resource) == wanted and not kind.namespaced for kind in KINDS.values())
        return declared or (target.group, target.resource) in self.without_namespaces

    def _without_hidden(self, tool: str, target: ApiTarget, query: Query, doing: str) -> Query:
        """The cluster-wide list or watch without the namespaces that the policy denies."""
        if target.verb not in ("list", "watch") or target.namespace:
            return query
        rules = self.policy.hidden_namespaces(tool, target)
        if not rules or self._is_without_namespaces(target):
            return query
        if pattern := next((rule for rule in rules if rule.is_pattern), None):
            raise NotPermitted(
                f"cannot {doing}: this server's policy denies a pattern of namespaces ({pattern.text}), which a list of all "
                "namespaces cannot leave out; name one namespace",
                reason="PolicyDenied",
            )
        field_name = "metadata.name" if target.is_namespace else "metadata.namespace"
        hidden = [f"{field_name}!={name}" for name in dict.fromkeys(rule.namespace for rule in rules)]
        # ours comes first: nothing that a caller's selector ends with can reach back and change its meaning
        given = [str(value) for name, value in query if name == "fieldSelector" and value != ""]
        return [*((name, value) for name, value in query if name != "fieldSelector"), ("fieldSelector", ",".join(hidden + given))]


def _named(target: ApiTarget, body: object) -> ApiTarget:
    """A new object's name stands in the body."""
    if target.verb != "create" or target.name or not isinstance(body, Mapping):
        return target
    metadata = body.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    if not isinstance(name, str):
        return target
    return replace(target, name=name, namespace=name if target.is_namespace else target.namespace)


def _is_dry_run(target: ApiTarget, method: str, query: Query, body: Any) -> bool:
    """Whether the API server will only try it. With a body a DELETE ignores the query."""
    asked = target.knows_dry_run and [value for name, value in query if name == "dryRun"] == ["All"]
    if asked and method == "DELETE" and body is not None:
        return isinstance(body, Mapping) and body.get("dryRun") == ["All"]
    return asked


def _denied(rule: Rule, target: ApiTarget, doing: str) -> NotPermitted:
    return NotPermitted(
        f"cannot {doing}: {target} in context {target.context} is denied by this server's policy ({rule.text}); "
        "whoever starts the server decides about that",
        reason="PolicyDenied",
    )
