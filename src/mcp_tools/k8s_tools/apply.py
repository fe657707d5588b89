"""k8s_apply_manifest: server-side apply of one or several documents, tried as a whole before anything is made."""

from __future__ import annotations

import asyncio
import copy
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from configuration.errors import ClusterError, Conflict, DryRunRefused, InvalidArguments, K8sMcpError, NotFound
from mcp_tools.answer_budget import DEFAULT_TOKENS
from mcp_tools.comparing_refusals import (
    refuse_comparing_with_what_is_fixed,
    refuse_comparing_with_what_others_own,
    refuse_looking_for_items,
)
from mcp_tools.k8s_tools.change_answers import (
    CHANGE_OUTPUT,
    DRY_RUN,
    MAX_CHANGE_TOKENS,
    RESOURCE_VERSION,
    UID,
    Changed,
    change_answer,
    foreseen_of,
)
from mcp_tools.manifest_changes import changes_between
from mcp_tools.manifest_documents import MAX_CHARACTERS, described, documents_of
from mcp_tools.manifest_targets import Wanted, targets_of
from mcp_tools.object_names import namespace_name
from mcp_tools.object_writes import APPLY, check_preconditions, with_preconditions
from mcp_tools.proposed_values import WHOLE, asked_by, disguise_proposed
from mcp_tools.redaction_marks import contains_mark
from mcp_tools.request_guard import hold_to_approved, running_disguise
from mcp_tools.tool_declaration import CONTEXT, ToolAnswer, ToolContext, ToolDeclaration, boolean, text, tool

MADE_HERE_SECONDS = 10.0
"""How long a new kind or namespace may take until objects can be made in it."""
_AGAIN_SECONDS = 0.2
_SHOWN_ERRORS = 5
_TRIES = 4
"""While others write to the object too."""


@dataclass(frozen=True, slots=True)
class _Tried:
    """One document after its dry run. `untried` says why there was none."""

    wanted: Wanted
    changed: Changed
    warnings: tuple[str, ...] = ()
    untried: str = ""


@tool(
    "k8s_apply_manifest",
    title="Apply a manifest",
    arguments={
        "context": CONTEXT,
        "manifest": text("YAML or JSON, one or several documents.", max_length=MAX_CHARACTERS),
        "namespace": text("For documents that name none.", max_length=63, default=""),
        "force": boolean("Take over fields that other managers own.", default=False),
        "uid": UID,
        "resource_version": RESOURCE_VERSION,
        "dry_run": DRY_RUN,
        "max_tokens": MAX_CHANGE_TOKENS,
    },
    output=CHANGE_OUTPUT,
    read_only=False,
    destructive=True,
)
async def apply_manifest(
    tools: ToolContext, *, manifest: str, context: str = "", namespace: str = "", force: bool = False, uid: str = "",
    resource_version: str = "", dry_run: bool = False, max_tokens: int = DEFAULT_TOKENS,
) -> ToolAnswer:  # fmt: skip
    """Server-side apply: creates or changes the named fields only, deletes nothing. Idempotent; a field of another manager is a
    conflict."""
    documents = await asyncio.to_thread(documents_of, manifest)
    _refuse_marks(documents)
    api = tools.clusters.api(context)
    wanted = await targets_of(tools.discovery, api, documents, namespace_name(namespace) if namespace else "")
    # of several the first one, which is `object` in the answer of a dry run; the others can have theirs in their metadata
    wanted[0] = replace(wanted[0], document=with_preconditions(wanted[0].document, uid, resource_version))
    tried = await _try_all(tools, wanted, force=force, dry_run=dry_run)
    if not dry_run:
        hold_to_approved(foreseen_of([one.changed for one in tried]))
    done = tried if dry_run else await _make_all(tools, tried, force=force)
    warnings = [*_warnings(done), *(one.untried for one in tried if one.untried)]
    note = _note([one.changed for one in done], dry_run=dry_run)
    changed = [one.changed for one in done]
    return change_answer(tools, "apply", changed, dry_run=dry_run, note=note, max_tokens=max_tokens, warnings=warnings)


async def _try_all(tools: ToolContext, wanted: Sequence[Wanted], *, force: bool, dry_run: bool) -> list[_Tried]:
    """Every document as a dry run. Raises when one of them would fail: nothing has been made then."""
    tried: list[_Tried] = []
    errors: list[ClusterError] = []
    for one in wanted:
        try:
            tried.append(await _try(tools, one, force=force, dry_run=dry_run))
        except ClusterError as error:
            errors.append(_explained(error))
    if not errors:
        return tried
    if len(wanted) == 1:
        raise errors[0]
    told = "\n".join(f"- {error}" for error in errors[:_SHOWN_ERRORS])
    more = f"\n- and {len(errors) - _SHOWN_ERRORS} more" if len(errors) > _SHOWN_ERRORS else ""
    raise _same(errors[0], f"{len(errors)} of {len(wanted)} documents would fail, so nothing was applied:\n{told}{more}")


async def _try(tools: ToolContext, wanted: Wanted, *, force: bool, dry_run: bool) -> _Tried:
    target = wanted.target
    before = await target.read_or_none(tools)
    if before is not None:
        metadata = wanted.document["metadata"]
        check_preconditions(target.title, before, str(metadata.get("uid") or ""), str(metadata.get("resourceVersion") or ""))
    refuse_comparing_with_what_is_fixed(target, before, asked_by(wanted.document))
    await refuse_looking_for_items(target, before, wanted.document)
    if not force:
        await refuse_comparing_with_what_others_own(target, before, wanted.document)
    asked = tools.redactor.redact_object(copy.deepcopy(wanted.document))
    disguise_proposed(before, asked, WHOLE, running_disguise(), target.title)
    foreseen = Changed(kind=target.kind, before=before, after=asked, action="untried")
    try:
        after, warnings = await target.patched(
            tools,
            wanted.document,
            APPLY,
            doing=f"apply {target.title}",
            dry_run=True,
            query=_force(force),
            before=before,
            proposed=True,
        )
    except NotFound:
        if not wanted.made_here:
            raise
        return _Tried(wanted, foreseen, untried=f"{target.title} could not be tried: {wanted.made_here} comes with this manifest")
    except DryRunRefused as error:
        if dry_run:
            raise
        return _Tried(wanted, foreseen, untried=f"{target.title} was not tried beforehand: {error}")
    return _Tried(wanted, Changed(kind=target.kind, before=before, after=after, action=_action(before, after)), warnings)


async def _make_all(tools: ToolContext, tried: Sequence[_Tried], *, force: bool) -> list[_Tried]:
    done: list[_Tried] = []
    for one in tried:
        try:
            done.append(await _make(tools, one, force=force))
        except K8sMcpError as error:
            if len(tried) == 1:
                raise
            raise _stopped(error, tried, done) from None
    return done


async def _make(tools: ToolContext, tried: _Tried, *, force: bool) -> _Tried:
    """What was tried, on the object that it was tried on; when that has moved, once it was tried again to the same end."""
    for _ in range(_TRIES - 1):
        try:
            return await _send(tools, tried, force=force)
        except Conflict as error:
            if tried.changed.before is None or tried.untried or "Apply failed with" in str(error):
                raise
            again = await _try(tools, tried.wanted, force=force, dry_run=False)
            if not foreseen_of([tried.changed]).covers(foreseen_of([again.changed])):
                raise
            tried = again
    return await _send(tools, tried, force=force)


async def _send(tools: ToolContext, tried: _Tried, *, force: bool) -> _Tried:
    target, before = tried.wanted.target, tried.changed.before
    document = _bound(tried)
    deadline = time.monotonic() + (MADE_HERE_SECONDS if tried.wanted.made_here else 0)
    while True:
        if before is None and await target.read_or_none(tools) is not None:
            raise _appeared(tried)
        try:
            # nobody owns a field of what does not exist: without force the API server refuses to overwrite what has appeared
            after, warnings = await target.patched(
                tools, document, APPLY, doing=f"apply {target.title}", dry_run=False, query=_force(force and before is not None),
                before=before, proposed=True,
            )  # fmt: skip
            break
        except ClusterError as error:
            if before is None and isinstance(error, Conflict):
                raise _appeared(tried) from None
            if not _too_early(error) or time.monotonic() > deadline:
                raise _explained(error) from None
            await asyncio.sleep(_AGAIN_SECONDS)
    return _Tried(tried.wanted, Changed(kind=target.kind, before=before, after=after, action=_action(before, after)), warnings)


def _bound(tried: _Tried) -> dict[str, Any]:
    """The document, for the object that it was tried on, in that version; what the document itself says comes first."""
    before = (tried.changed.before or {}).get("metadata") or {}
    given = tried.wanted.document["metadata"]
    version = "" if tried.untried else str(before.get("resourceVersion") or "")
    return with_preconditions(
        tried.wanted.document, str(given.get("uid") or before.get("uid") or ""), str(given.get("resourceVersion") or version)
    )


def _appeared(tried: _Tried) -> Conflict:
    return Conflict(
        f"{tried.wanted.target.title} did not exist when this was tried, and somebody has made it since; it was left as it is. "
        "Call the tool again to see what would change",
        status=409,
        reason="Conflict",
    )


def _too_early(error: ClusterError) -> bool:
    """A kind that is not served yet; a namespace whose ServiceAccount the controllers have not made yet."""
    return isinstance(error, NotFound) or (error.status == 403 and "serviceaccount" in str(error) and "not found" in str(error))


def _action(before: object, after: object) -> str:
    if not isinstance(before, dict) or not isinstance(after, dict):
        return "created"
    return "configured" if changes_between(before, after) else "unchanged"


def _force(force: bool) -> list[tuple[str, str]]:
    return [("force", "true" if force else "false")]


def _explained(error: ClusterError) -> ClusterError:
    """The API server names each field with the manager that owns it; what it does not say is what to do."""
    if not isinstance(error, Conflict) or "Apply failed with" not in str(error):
        return error
    said = str(error).rpartition("; ")[0]
    advice = "leave these fields out of the manifest, so that they stay with their manager, or take them over with force=true"
    return _same(error, f"{said}; {advice}")


def _same(error: ClusterError, message: str) -> ClusterError:
    return type(error)(message, status=error.status, reason=error.reason)


def _stopped(error: K8sMcpError, tried: Sequence[_Tried], done: Sequence[_Tried]) -> K8sMcpError:
    """In the middle. What was applied stays: there are no transactions over several objects."""
    applied = ", ".join(f"{one.wanted.target.title} ({one.changed.action})" for one in done) or "nothing"
    left = ", ".join(one.wanted.target.title for one in tried[len(done) :])
    message = f"{error}\napplied before that: {applied}; not applied: {left}; applying the whole manifest again is safe"
    return _same(error, message) if isinstance(error, ClusterError) else type(error)(message)


def _refuse_marks(documents: Sequence[dict[str, object]]) -> None:
    """Again, in what YAML makes of it: an escape can hide a mark from whoever reads the text."""
    marked = [f"{described(document)} {field}" for document in documents for field in contains_mark(document)]
    if marked:
        raise InvalidArguments(
            f"k8s_apply_manifest: {', '.join(marked[:10])} holds a redaction mark, which must never be written into a cluster; "
            "leave that field out, apply keeps its value, or give its real value"
        )


def _warnings(done: Sequence[_Tried]) -> list[str]:
    found = [f"{one.wanted.target.title}: {text}" if len(done) > 1 else text for one in done for text in one.warnings]
    return found + [
        f"{one.wanted.target.title}: status is the controllers' to write, the API server ignores it here"
        for one in done
        if "status" in one.wanted.document and not one.wanted.target.kind.generic
    ]


def _note(changed: Sequence[Changed], *, dry_run: bool) -> str:
    if len(changed) == 1:
        verb = {"created": "create", "configured": "change", "unchanged": "leave unchanged"}.get(changed[0].action, "apply")
        return f"would {verb} {changed[0].title}" if dry_run else f"{changed[0].title} {changed[0].action}"
    counts = Counter(one.action for one in changed)
    told = ", ".join(f"{count} {action}" for action, count in counts.items())
    return f"{'would apply' if dry_run else 'applied'} {len(changed)} objects in this order: {told}"


TOOLS: tuple[ToolDeclaration, ...] = (apply_manifest,)
