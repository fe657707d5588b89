"""k8s_rollout and k8s_rollout_status: what `kubectl rollout` does, apart in what changes something and what only looks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import orjson

from configuration.errors import ClusterError, InvalidArguments, UnknownKind
from kinds.envelope import live
from kinds.generic import generic_kind
from kinds.kind import Kind
from kinds.registry import KINDS, declared_kind
from kinds.times import to_rfc3339
from mcp_tools.answer_budget import DEFAULT_TOKENS, answer_tokens, fits, fitting
from mcp_tools.k8s_api import Query
from mcp_tools.k8s_tools.change_answers import (
    CHANGE_OUTPUT,
    DRY_RUN,
    MAX_CHANGE_TOKENS,
    NAME,
    NAMESPACE,
    RESOURCE_VERSION,
    UID,
    Changed,
    Manifest,
    change_answer,
)
from mcp_tools.k8s_tools.reading import scope_of
from mcp_tools.list_pages import decode_object, decode_page
from mcp_tools.object_cutting import LeftOut, cut_text, shortened
from mcp_tools.object_names import object_name
from mcp_tools.object_parts import Steps, parse_path, part_at
from mcp_tools.object_writes import JSON_PATCH, Target, check_preconditions, scope_named
from mcp_tools.output_schemas import ENVELOPE, LEFT_OUT, obj
from mcp_tools.plain_text import plain_text
from mcp_tools.rollouts import RESTARTED_AT, Revision, progress, redacted_template, revisions, rollback_patch, same_template
from mcp_tools.tool_declaration import CONTEXT, MAX_TOKENS, ToolAnswer, ToolContext, ToolDeclaration, integer, number, text, tool

KINDS_WITH_ROLLOUTS = ("deployments", "statefulsets", "daemonsets")
MOST_WAIT_SECONDS = 60.0
_POLL_SECONDS = 0.5
_CONTROLLER_REVISIONS = generic_kind("controllerrevisions.apps", "apps", "v1", "ControllerRevision", True)
_KIND = text("deployments, statefulsets or daemonsets.", max_length=63, default="deployments")
_REVISION = obj(
    {
        "revision": {"type": "integer"},
        "created_at": {"type": "string"},
        "images": {"type": "array", "items": {"type": "string"}},
        "change_cause": {"type": "string"},
    }
)


@tool(
    "k8s_rollout_status",
    title="Rollout status and history",
    arguments={
        "context": CONTEXT,
        "kind": _KIND,
        "name": NAME,
        "namespace": NAMESPACE,
        "revision": integer("Its pod template; 0: none.", minimum=0, maximum=2**31, default=0),
        "path": text("With revision: only this part, e.g. spec.containers[0].", max_length=1000, default=""),
        "wait_seconds": number("Until it is done, at most so long.", maximum=MOST_WAIT_SECONDS, default=0),
        "max_tokens": MAX_TOKENS,
    },
    output=obj(
        {
            "done": {"type": "boolean"},
            "failed": {"type": "boolean", "description": "Past its progress deadline"},
            "message": {"type": "string"},
            "revisions": {"type": "array", "items": _REVISION, "description": "Newest first; the first is the current one"},
            "template": {"description": "Of the revision that was asked for, or what is at the path in it; secrets redacted"},
            "left_out": LEFT_OUT,
            "envelope": ENVELOPE,
        },
        optional=("template", "left_out"),
    ),
)
async def rollout_status(
    tools: ToolContext, *, name: str, kind: str = "deployments", context: str = "", namespace: str = "", revision: int = 0,
    path: str = "", wait_seconds: float = 0, max_tokens: int = DEFAULT_TOKENS,
) -> ToolAnswer:  # fmt: skip
    """How far a rollout is, in kubectl's words, and the revisions that k8s_rollout can undo to; of one, its pod template."""
    if path and not revision:
        raise InvalidArguments("k8s_rollout_status: path is about the template of one revision; give revision too")
    steps = parse_path(path)
    api = tools.clusters.api(context)
    found = _with_rollouts(kind)
    target = Target(api, found, scope_of(tools, api, found, namespace), object_name(name))
    deadline = time.monotonic() + wait_seconds
    while True:
        owner = await _raw(target)
        now = progress(found.name, owner)
        if now.done or now.failed or time.monotonic() >= deadline:
            break
        await asyncio.sleep(_POLL_SECONDS)
    there_are = await _revisions(target, owner)
    message = plain_text(tools.redactor.redact_text(now.words))
    if revision:
        one = _numbered("k8s_rollout_status", target, there_are, revision)
        envelope = live(api.context, found.name, now=tools.clock(), shown=1, total=len(there_are), more=False)
        facts = {"done": now.done, "failed": now.failed, "message": message, "revisions": [_shown(tools, one)]}
        title = f"revision {one.number} of {target.title}"
        return _template_answer(
            redacted_template(tools.redactor, one), steps, title, facts | {"envelope": envelope.as_json()}, max_tokens
        )
    history = [_shown(tools, one) for one in reversed(there_are)]

    def render(kept: Sequence[dict[str, Any]]) -> ToolAnswer:
        left_out = (
            "" if len(kept) == len(history) else f"{len(kept)} of {len(history)} revisions shown; a larger max_tokens shows more"
        )
        envelope = live(
            api.context, found.name, now=tools.clock(), shown=len(kept), total=len(history), more=bool(left_out), note=left_out
        )
        rows = [
            f"{one['revision']}\t{one['created_at']}\t{','.join(one['images'])}\t{one['change_cause'] or '-'}" for one in kept
        ]
        lines = [message, "revision\tcreated_at\timages\tchange_cause", *rows, *([left_out] if left_out else [])]
        facts = {"done": now.done, "failed": now.failed, "message": message}
        return ToolAnswer("\n".join(lines), facts | {"revisions": list(kept), "envelope": envelope.as_json()})

    return fitting(history, render, max_tokens)


def _template_answer(template: Manifest, steps: Steps, title: str, facts: dict[str, Any], max_tokens: int) -> ToolAnswer:
    """The template or the part of it that the path names; the largest parts are left out where it is too long."""
    wanted, steps = part_at(template, steps)

    def render(value: Any, left_out: list[LeftOut]) -> ToolAnswer:
        lines = [f"pod template of {title}", orjson.dumps(value).decode()]
        if left_out:
            words = ", ".join(one.words() for one in left_out)
            lines.append(f"left out: {words}; ask for one with revision and path, or raise max_tokens")
        more = {"left_out": [one.as_json() for one in left_out]} if left_out else {}
        return ToolAnswer(plain_text("\n".join(lines)), facts | {"template": value} | more)

    def share(value: Any, left_out: list[LeftOut]) -> float:
        answer = render(value, left_out)
        return 1.0 if fits(answer, max_tokens) else max(1.001, answer_tokens(answer) / max_tokens)

    if isinstance(wanted, str):
        return render(cut_text(wanted, lambda cut: share(cut, []) <= 1), [])
    return render(*shortened(wanted, share, steps))


@tool(
    "k8s_rollout",
    title="Change a rollout",
    arguments={
        "context": CONTEXT,
        "action": text("undo: to to_revision.", choices=("restart", "pause", "resume", "undo")),
        "kind": _KIND,
        "name": NAME,
        "namespace": NAMESPACE,
        "to_revision": integer("0: the one before.", minimum=0, maximum=2**31, default=0),
        "uid": UID,
        "resource_version": RESOURCE_VERSION,
        "dry_run": DRY_RUN,
        "max_tokens": MAX_CHANGE_TOKENS,
    },
    output=CHANGE_OUTPUT,
    read_only=False,
    destructive=True,
    idempotent=False,
)
async def rollout(
    tools: ToolContext, *, action: str, name: str, kind: str = "deployments", context: str = "", namespace: str = "",
    to_revision: int = 0, uid: str = "", resource_version: str = "", dry_run: bool = False, max_tokens: int = DEFAULT_TOKENS,
) -> ToolAnswer:  # fmt: skip
    """Restart, pause, resume or undo a rollout. Each restart starts all pods anew; pause and resume are idempotent."""
    found = _with_rollouts(kind)
    target = Target(tools.clusters.api(context), found, scope_named("k8s_rollout", found, namespace), object_name(name))
    if action in ("pause", "resume") and found.name != "deployments":
        raise InvalidArguments(f"k8s_rollout: {found.name} cannot be paused, only deployments; nothing was done")
    if to_revision and action != "undo":
        raise InvalidArguments("k8s_rollout: to_revision is about action=undo")
    owner = await _raw(target)
    check_preconditions(target.title, owner, uid, resource_version)
    operations, note = await _operations(tools, target, owner, action, to_revision)
    held = {"uid": owner["metadata"]["uid"]} | ({"resourceVersion": resource_version} if resource_version else {})
    body = [{"op": "replace", "path": f"/metadata/{key}", "value": value} for key, value in held.items()]
    after, warnings = await target.patched(
        tools, body + operations, JSON_PATCH, doing=f"{action} the rollout of {target.title}", dry_run=dry_run
    )
    before = tools.redactor.redact_object(owner)
    done = {"restart": "restarted", "pause": "paused", "resume": "resumed", "undo": "rolled back"}[action]
    said = f"would {action} {target.title}" if dry_run else f"{done} {target.title}"
    if action in ("pause", "resume") and bool((owner.get("spec") or {}).get("paused")) == (action == "pause"):
        said = f"{target.title} is {done} already; nothing {'would change' if dry_run else 'changed'}"
    return change_answer(
        tools, action, [Changed(kind=found, before=before, after=after)], dry_run=dry_run, max_tokens=max_tokens,
        note=f"{said}{note}; k8s_rollout_status tells how far it is", warnings=warnings,
    )  # fmt: skip


async def _operations(
    tools: ToolContext, target: Target, owner: Manifest, action: str, to_revision: int
) -> tuple[list[dict[str, Any]], str]:
    """The JSON patch, and what more is to say."""
    spec = owner.get("spec") or {}
    if action in ("pause", "resume"):
        # of a field that is not there a test is nothing, and add replaces one that is
        return [{"op": "add", "path": "/spec/paused", "value": action == "pause"}], ""
    if spec.get("paused"):
        raise InvalidArguments(f"k8s_rollout: {target.title} is paused, it cannot {action}; action=resume comes first")
    if action == "restart":
        return _restart(spec, to_rfc3339(int(tools.clock()))), ": its pods are replaced as its update strategy says"
    revision = _chosen(target, await _revisions(target, owner), to_revision)
    if same_template(owner, revision):
        raise InvalidArguments(
            f"k8s_rollout: {target.title} has the pod template of revision {revision.number} already; nothing to undo"
        )
    return rollback_patch(owner, revision), f" to revision {revision.number} ({', '.join(revision.images)})"


def _restart(spec: Manifest, now: str) -> list[dict[str, Any]]:
    metadata = (spec.get("template") or {}).get("metadata") or {}
    path = "/spec/template/metadata/annotations"
    if isinstance(metadata.get("annotations"), dict):
        return [{"op": "add", "path": f"{path}/{RESTARTED_AT.replace('/', '~1')}", "value": now}]
    return [{"op": "add", "path": path, "value": {RESTARTED_AT: now}}]


def _chosen(target: Target, history: Sequence[Revision], to_revision: int) -> Revision:
    if to_revision:
        return _numbered("k8s_rollout", target, history, to_revision)
    if len(history) < 2:
        raise InvalidArguments(f"k8s_rollout: {target.title} has no earlier revision to undo to (kept: {_numbers(history)})")
    return history[-2]


def _numbered(tool_name: str, target: Target, history: Sequence[Revision], number: int) -> Revision:
    for one in history:
        if one.number == number:
            return one
    raise InvalidArguments(f"{tool_name}: {target.title} has no revision {number}; kept are {_numbers(history)}")


def _numbers(history: Sequence[Revision]) -> str:
    return ", ".join(str(one.number) for one in history) or "none"


def _with_rollouts(kind: str) -> Kind:
    found = declared_kind(kind)
    if found is None or found.name not in KINDS_WITH_ROLLOUTS:
        raise UnknownKind(f"{kind[:60]!r} has no rollouts; these have: {', '.join(KINDS_WITH_ROLLOUTS)}")
    return found


async def _raw(target: Target) -> Manifest:
    """Not redacted: what is put back has to be what it was. Nothing of it is answered but through the redactor."""
    return decode_object((await target.api.get(target.path(), doing=f"get {target.title}")).body)


async def _revisions(target: Target, owner: Manifest) -> list[Revision]:
    kind = KINDS["replicasets"] if target.kind.name == "deployments" else _CONTROLLER_REVISIONS
    doing = f"list the revisions of {target.title}"
    labels = ((owner.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    selector = [("labelSelector", ",".join(f"{key}={value}" for key, value in labels.items()))] if labels else []
    kept: list[Manifest] = []
    token = ""
    while True:
        query: Query = [("limit", 100), *selector, *([("continue", token)] if token else [])]
        page = decode_page((await target.api.get(kind.api_path(target.namespace), doing=doing, query=query)).body, doing)
        try:
            kept += [decode_object(item) for item in page.items or []]
        except (TypeError, ValueError) as error:
            raise ClusterError(f"cannot {doing}: an item is no object ({type(error).__name__}); try again") from None
        token = page.metadata.continue_token
        if not token:
            return revisions(target.kind.name, owner, kept)


def _shown(tools: ToolContext, revision: Revision) -> dict[str, Any]:
    def clean(words: str) -> str:
        return plain_text(tools.redactor.redact_text(words))

    return {
        "revision": revision.number,
        "created_at": revision.created_at,
        "images": [clean(image) for image in revision.images],
        "change_cause": clean(revision.change_cause),
    }


TOOLS: tuple[ToolDeclaration, ...] = (rollout_status, rollout)
