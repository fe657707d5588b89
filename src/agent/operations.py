"""Changes to a cluster: foreseen by a dry run, approved, looked at again, made, and checked when the outcome is unknown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent.agent_events import ApprovalAnswered, ApprovalAsked, Notice, OnEvent
from agent.answer import Answer
from agent.approval_request import ApprovalRequest, ObjectRef
from agent.approvals import Approver
from agent.blast_radius import blast_radius, irreversible
from agent.cached_read import GET
from agent.other_server_calls import call_of
from configuration.errors import (
    ApprovalNeeded,
    Conflict,
    DryRunRefused,
    K8sMcpError,
    NotFound,
    ServerGone,
    ToolError,
    ToolTimeout,
    UnknownKind,
)
from kinds.registry import find_kind
from mcp_tools.foreseen_changes import arguments_in_full
from mcp_tools.qualified_names import is_qualified
from mcp_tools.redaction_marks import MARK_START
from mcp_tools.tool_spec import MORE_IN_A_LARGER_ANSWER

if TYPE_CHECKING:
    from agent.cache_first_gateway import CacheFirstGateway
    from mcp_tools.tool_loader import ToolResult, ToolSpec

MOST_CHECKS = 5
"""How often an object may change under our hands before we give up."""
_CLUSTER_INFO = "k8s_get_cluster_info"


class ChangeDeclined(ToolError):
    """The approver said no; nothing was changed."""


class Operations:
    """The only way to a mutating tool. One change at a time, each with an approval of its own."""

    def __init__(self, gateway: CacheFirstGateway, approver: Approver) -> None:
        self._gateway = gateway
        self._approver = approver

    async def perform(self, tool: str, arguments: Mapping[str, Any], *, on_event: OnEvent) -> Answer:
        """Raises ApprovalNeeded (nobody to ask), ChangeDeclined, Conflict (it kept changing), or what the call raised.

        An answer whose `structured` has "outcome": "unknown" means that the server broke off in the middle.
        """
        spec = await self._gateway.catalog.checked(tool, arguments)
        if is_qualified(spec.name):
            await self._ask(call_of(spec, arguments), on_event)
            return await self._gateway.call_other(spec.name, arguments)
        canonical = self._canonical(spec, arguments)
        approved: ApprovalRequest | None = None
        for _ in range(MOST_CHECKS):
            foreseen = await self._foresee(spec, canonical, known=approved)
            if approved is None or not approved.same_change(foreseen):
                if approved is not None:
                    on_event(Notice(f"{foreseen.target} has changed since it was approved: asking again"))
                await self._ask(foreseen, on_event)
                approved = foreseen
                continue
            try:
                return await self._make(spec, canonical, foreseen, on_event)
            except Conflict:
                if foreseen.others:
                    raise  # some of it may have been made: the error says what
                # it changed between our last look and the call: the precondition has held, look again
                continue
        raise Conflict(f"{tool}: the object keeps changing while it is being approved; nothing was done, try again", status=409)

    async def _ask(self, request: ApprovalRequest, on_event: OnEvent) -> None:
        on_event(ApprovalAsked(request))
        decision = await self._approver.decide(request)
        on_event(ApprovalAnswered(request, decision))
        if not decision.approved:
            reason = f" ({decision.reason})" if decision.reason else ""
            raise ChangeDeclined(f"declined by {decision.by}{reason}: {request.title}; nothing was changed")

    def _canonical(self, spec: ToolSpec, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Defaults filled in, the context named, without `dry_run`: what an approval is bound to."""
        properties: Mapping[str, Any] = spec.input_schema.get("properties", {})
        defaults = {name: schema["default"] for name, schema in properties.items() if schema.get("default") is not None}
        complete = self._gateway.with_context(spec, defaults | {k: v for k, v in arguments.items() if v is not None})
        if self._gateway.catalog.offers_dry_run(spec):
            complete.pop("dry_run", None)
        return complete

    async def _foresee(self, spec: ToolSpec, arguments: dict[str, Any], *, known: ApprovalRequest | None) -> ApprovalRequest:
        """What the change would do, by the API server's own dry run. `known` saves reading the surroundings again."""
        cluster = str(arguments.get("context") or self._gateway.cluster)
        if not self._gateway.catalog.offers_dry_run(spec):
            return _unforeseen(spec, arguments, cluster, in_use=cluster == self._gateway.cluster)
        cluster_uid = await self._cluster_uid(cluster)
        try:
            preview = (await self._gateway.call(spec.name, arguments | _for_preview(spec))).structured or {}
        except DryRunRefused as refused:
            return replace(
                _unforeseen(spec, arguments, cluster, in_use=cluster == self._gateway.cluster),
                cluster_uid=cluster_uid, warnings=(str(refused),), irreversible="unknown: it could not be tried beforehand",
            )  # fmt: skip
        _refuse_what_was_cut(spec, preview)
        target, *others = _targets(preview)
        # what surrounds the object was shown once; afterwards only the object itself decides
        radius = known.blast_radius if known else await blast_radius(self._gateway, target, preview, cluster=cluster)
        return ApprovalRequest(
            tool=spec.name, arguments=arguments, action=str(preview.get("action") or spec.name), cluster=cluster,
            cluster_uid=cluster_uid, in_use=cluster == self._gateway.cluster, target=target, others=tuple(others),
            changes=_change_texts(preview), blast_radius=radius, said=_said(preview, arguments),
            warnings=tuple(str(warning) for warning in preview.get("warnings") or ()),
            irreversible=irreversible(target, preview),
        )  # fmt: skip

    async def _cluster_uid(self, cluster: str) -> str:
        """A context's name can come to mean another cluster; its uid cannot."""
        info = (await self._gateway.call(_CLUSTER_INFO, {"context": cluster}, live=True)).structured or {}
        return str(info.get("cluster_uid") or "")

    async def _make(self, spec: ToolSpec, arguments: dict[str, Any], request: ApprovalRequest, on_event: OnEvent) -> Answer:
        target = request.target
        final = arguments | _preconditions(spec, target)
        kinds = tuple(dict.fromkeys(_plural(one.kind) for one in request.objects))
        try:
            result = await self._gateway.change(spec.name, final, kinds=kinds, what=str(target))
        except (ToolTimeout, ServerGone) as error:
            return await self._check(spec, request, error, on_event)
        except asyncio.CancelledError:
            on_event(Notice(f"{request.title}: stopped while it was under way, the outcome is unknown; look at {target}"))
            raise
        return self._answer(spec, request.cluster, result)

    def _answer(self, spec: ToolSpec, cluster: str, result: ToolResult) -> Answer:
        return Answer(tool=spec.name, cluster=cluster, source="live", structured=result.structured, text=result.text)

    async def _check(self, spec: ToolSpec, request: ApprovalRequest, error: K8sMcpError, on_event: OnEvent) -> Answer:
        """The call broke off: say that its outcome is unknown, then read the object and say what is there now."""
        on_event(Notice(f"{request.title}: the outcome is unknown ({_first_line(error)}); looking at the object"))
        finding = await self._finding(request)
        on_event(Notice(f"{request.title}: {finding}"))
        structured = {"action": request.action, "outcome": "unknown", "checked": finding, "object": str(request.target)}
        return Answer(tool=spec.name, cluster=request.cluster, source="live", structured=structured, note=finding)

    async def _finding(self, request: ApprovalRequest) -> str:
        target = request.target
        arguments = {"kind": target.kind, "name": target.name, "context": request.cluster}
        if target.namespace:
            arguments["namespace"] = target.namespace
        try:
            answer = await self._gateway.call(GET, arguments, live=True)
        except NotFound:
            done = "so it was made" if request.action == "delete" else "so it was not made, or not yet"
            return f"checked: {target} does not exist, {done}"
        except K8sMcpError as error:
            return f"could not be checked ({_first_line(error)}): look at {target} before trying again"
        if answer.source == "cache":
            return f"could not be checked, the cluster does not answer: look at {target} before trying again"
        return _existing_finding(request, answer.structured or {})


def _existing_finding(request: ApprovalRequest, found: Mapping[str, Any]) -> str:
    metadata = (found.get("manifest") or {}).get("metadata") or {}
    target = request.target
    if request.action == "delete":
        if target.uid and metadata.get("uid") != target.uid:
            return f"checked: another {target} exists now, so it was made"
        if metadata.get("deletionTimestamp"):
            return f"checked: {target} is being deleted, so it was made"
        return f"checked: {target} still exists, so it was not made, or not yet"
    if request.action == "create":
        return f"checked: {target} exists, so it was made"
    return f"checked: {target} exists (resourceVersion {metadata.get('resourceVersion')}); compare it with what was asked for"


def _for_preview(spec: ToolSpec) -> dict[str, Any]:
    """A person decides over the whole of it; the budget of the arguments is the model's."""
    budget = spec.input_schema.get("properties", {}).get("max_tokens")
    return {"dry_run": True} | ({"max_tokens": budget["maximum"]} if budget else {})


def _refuse_what_was_cut(spec: ToolSpec, preview: Mapping[str, Any]) -> None:
    """A preview that did not fit into the largest answer names neither all objects nor whole values: nobody and no policy can
    approve that. Of a deletion only the manifest of what goes is left out, which is not shown anyway."""
    if preview.get("action") != "delete" and MORE_IN_A_LARGER_ANSWER in str(preview.get("note")):
        raise ApprovalNeeded(
            f"{spec.name}: what would change is more than one answer holds, so it cannot be shown; nothing was changed, "
            "change less in one call"
        )


def _said(preview: Mapping[str, Any], arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """All arguments, as the server's own question tells them, when a new value is shown as a mark."""
    hidden = any(MARK_START in str(change.get("new")) for change in preview.get("changes") or ())
    return tuple(arguments_in_full(arguments).splitlines()) if hidden else ()


def _targets(preview: Mapping[str, Any]) -> list[ObjectRef]:
    """The objects of a preview. One that does not exist yet has no identity: what a dry run makes up changes every time."""
    named = preview.get("objects") or [preview.get("object") or {}]
    return [_reference(one, exists=bool(one.get("existed", preview.get("before")))) for one in named]


def _reference(named: Mapping[str, Any], *, exists: bool) -> ObjectRef:
    return ObjectRef(
        kind=_singular(str(named.get("kind") or "")), name=str(named.get("name") or ""), namespace=named.get("namespace") or None,
        uid=str(named.get("uid") or "") if exists else "",
        resource_version=str(named.get("resource_version") or "") if exists else "",
        generation=int(named.get("generation") or 0) if exists else 0,
    )  # fmt: skip


def _unforeseen(spec: ToolSpec, arguments: dict[str, Any], cluster: str, *, in_use: bool) -> ApprovalRequest:
    """A tool of another server that offers no dry run: the person is told that nobody knows what it will do.

    Without a name the namespace is only where it may happen: no policy about a namespace allows that.
    """
    text = {name: arguments.get(name) for name in ("kind", "name", "namespace")}
    text["namespace"] = text["namespace"] if text["name"] else None
    return ApprovalRequest(
        tool=spec.name, arguments=arguments, action=f"call {spec.name} on", cluster=cluster, cluster_uid="", in_use=in_use,
        target=ObjectRef(
            kind=_singular(str(text["kind"] or "object")), name=str(text["name"] or "?"), namespace=text["namespace"] or None
        ),
        changes=tuple(f"{name}: {value}" for name, value in sorted(arguments.items())),
        warnings=(f"{spec.server} offers no dry run for this tool: its effect cannot be shown beforehand",),
        irreversible="unknown: this server does not say",
    )  # fmt: skip


def _preconditions(spec: ToolSpec, target: ObjectRef) -> dict[str, str]:
    """uid and resourceVersion of the last look, where the tool takes them: the API server refuses anything newer."""
    properties = spec.input_schema.get("properties", {})
    values = {"uid": target.uid, "resource_version": target.resource_version}
    return {name: value for name, value in values.items() if value and name in properties}


def _change_texts(preview: Mapping[str, Any]) -> tuple[str, ...]:
    """`spec.replicas: 2 → 3`; a change without a path is the object itself, which the title names."""
    return tuple(_change_text(change) for change in preview.get("changes") or () if change.get("path"))


def _change_text(change: Mapping[str, Any]) -> str:
    old, new = _value(change.get("old")), _value(change.get("new"))
    path = f"{change['object']} {change['path']}" if change.get("object") else change["path"]
    if change.get("old") is None:
        return f"{path}: {new}"
    return f"{path}: {old} → {'removed' if change.get('new') is None else new}"


def _value(value: Any) -> str:
    """On one line: a line break in a value could forge a line of what the person is asked."""
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value, ensure_ascii=False)


def _singular(kind: str) -> str:
    """The server names kinds in the plural, people and policies as `Deployment`."""
    try:
        return find_kind(kind).kind
    except UnknownKind:
        return kind


def _plural(kind: str) -> str:
    try:
        return find_kind(kind).name
    except UnknownKind:
        return kind.lower()


def _first_line(error: K8sMcpError) -> str:
    return str(error).strip().splitlines()[0]
