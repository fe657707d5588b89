"""k8s_patch_resource: a merge, strategic or JSON patch of one object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from configuration.errors import ClusterError, InvalidArguments
from kinds.kind import Kind
from mcp_tools.answer_budget import DEFAULT_TOKENS
from mcp_tools.comparing_refusals import refuse_comparing_with_what_is_fixed
from mcp_tools.k8s_tools.change_answers import (
    CHANGE_OUTPUT,
    DRY_RUN,
    KIND,
    MAX_CHANGE_TOKENS,
    NAME,
    NAMESPACE,
    RESOURCE_VERSION,
    UID,
    Changed,
    change_answer,
)
from mcp_tools.manifest_changes import changes_between
from mcp_tools.object_names import object_name
from mcp_tools.object_writes import JSON_PATCH, MERGE, STRATEGIC, Target, check_preconditions, scope_named, with_preconditions
from mcp_tools.proposed_values import asked_by
from mcp_tools.tool_declaration import CONTEXT, ToolAnswer, ToolContext, ToolDeclaration, text, tool

_TYPES = {"strategic": STRATEGIC, "merge": MERGE, "json": JSON_PATCH}
_NOT_TO_PATCH = {
    "apiVersion": "it names the form of the object",
    "kind": "it names the kind",
    "metadata.name": "an object cannot be renamed",
    "metadata.namespace": "an object cannot be moved",
    "metadata.uid": "it is the API server's; as a precondition give the argument uid",
    "metadata.resourceVersion": "as a precondition give the argument resource_version",
    "metadata.generation": "it is the API server's",
    "metadata.creationTimestamp": "it is the API server's",
    "metadata.deletionTimestamp": "it is the API server's; k8s_delete_resource deletes",
    "metadata.deletionGracePeriodSeconds": "it is the API server's",
    "metadata.selfLink": "it is the API server's",
    "metadata.managedFields": "it is the API server's",
}
_STATUS = "it is written by controllers, and the API server ignores it in a patch of the object"
_MAX_OPERATIONS = 100
_WRITING = ("add", "remove", "replace")
_DIRECTIVES = ("$patch", "$retainKeys")
"""Of strategic patches, those that are about fields, and about items by the field that they are merged by. The others, in
k8s.io/apimachinery pkg/util/strategicpatch, are `$deleteFromPrimitiveList/…` and `$setElementOrder/…`, which look for values."""
_TESTABLE = ("/metadata/uid", "/metadata/resourceVersion", "/metadata/generation")


@tool(
    "k8s_patch_resource",
    title="Patch one object",
    arguments={
        "context": CONTEXT,
        "kind": KIND,
        "name": NAME,
        "namespace": NAMESPACE,
        "patch": {
            "type": ["object", "array"],
            "description": "Patch as JSON; a list for type json.",
            "maxItems": _MAX_OPERATIONS,
            "maxProperties": _MAX_OPERATIONS,
        },
        "type": text("merge for custom resources.", choices=tuple(_TYPES), default="strategic"),
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
async def patch_resource(
    tools: ToolContext, *, kind: str, name: str, patch: dict[str, Any] | list[Any], context: str = "", namespace: str = "",
    type: str = "strategic", uid: str = "", resource_version: str = "", dry_run: bool = False,  # noqa: A002 (the argument's name)
    max_tokens: int = DEFAULT_TOKENS,
) -> ToolAnswer:  # fmt: skip
    """Change named fields of an existing object. Idempotent but for json patches that add to lists; overwrites other managers."""
    api = tools.clusters.api(context)
    found = await tools.discovery.kind(api, kind)
    target = Target(api, found, scope_named("k8s_patch_resource", found, namespace), object_name(name))
    _check_form(patch, type)
    if isinstance(patch, list):
        _refuse_moves(target, patch)
    elif type == "strategic":
        _refuse_directives(patch)
    _refuse_what_is_ignored(found, patch)
    before = await target.read(tools)
    check_preconditions(target.title, before, uid, resource_version)
    refuse_comparing_with_what_is_fixed(target, before, asked_by(patch, before))
    body = _bound(patch, uid, resource_version, before)
    try:
        after, warnings = await target.patched(
            tools, body, _TYPES[type], doing=f"patch {target.title}", dry_run=dry_run, before=before, proposed=True
        )
    except ClusterError as error:
        if error.status != 415:
            raise
        advice = f"{found.name} take no {type} patch: repeat with type=merge, which replaces lists as a whole"
        raise ClusterError(f"cannot patch {target.title}: {advice}", status=415, reason=error.reason) from None
    changed = bool(changes_between(before, after))
    note = (f"would patch {target.title}" if dry_run else f"patched {target.title}") + (
        "" if changed else ": nothing in it differs, the fields have these values already or the API server dropped them"
    )
    return change_answer(
        tools, "patch", [Changed(kind=found, before=before, after=after)], dry_run=dry_run, note=note, max_tokens=max_tokens,
        warnings=warnings,
    )  # fmt: skip


def _check_form(patch: object, type_: str) -> None:
    if type_ != "json":
        if not isinstance(patch, dict):
            raise InvalidArguments(f"k8s_patch_resource: a {type_} patch is a JSON object; a list of operations needs type=json")
        if not patch:
            raise InvalidArguments("k8s_patch_resource: the patch is empty, it would change nothing")
        return
    if not isinstance(patch, list) or not patch:
        raise InvalidArguments(
            "k8s_patch_resource: a json patch is a list of operations, e.g. [{op: remove, path: /spec/paused}]"
        )
    for index, operation in enumerate(patch):
        if not isinstance(operation, dict) or not isinstance(operation.get("op"), str) or not _is_pointer(operation.get("path")):
            raise InvalidArguments(f"k8s_patch_resource: patch[{index}] needs op, and path as a JSON pointer like /spec/replicas")


def _refuse_moves(target: Target, patch: list[Any]) -> None:
    """`copy` and `move` bring a value that is redacted where it stands to a place where it is not; `test` tells whether a
    guess at it is right. A dry run, which nobody has to permit, would do."""
    if (target.kind.group, target.kind.resource) == ("", "secrets"):
        raise InvalidArguments(f"k8s_patch_resource: {target.title} takes no json patch here; name the fields with type=merge")
    for index, operation in enumerate(patch):
        op, path = operation["op"], operation["path"]
        if op == "test" and path not in _TESTABLE:
            raise InvalidArguments(
                f"k8s_patch_resource: patch[{index}] tests a value, and only {', '.join(_TESTABLE)} may be tested; as a "
                "precondition give the arguments uid and resource_version"
            )
        if op != "test" and op not in _WRITING:
            raise InvalidArguments(
                f"k8s_patch_resource: patch[{index}] is {op[:20]!r}, which is not taken: a value that is not to be seen would be "
                f"brought to where it can be; only {', '.join(_WRITING)}, and test of {', '.join(_TESTABLE)}"
            )


def _refuse_directives(patch: dict[str, Any]) -> None:
    """Values that an item of a list is compared with say whether they are there: a right guess deletes or moves it, a wrong one
    does nothing. The API server takes these directives for every list, also for arguments, which are redacted."""
    refused = list(_directives(patch, "patch"))
    if refused:
        raise InvalidArguments(
            f"k8s_patch_resource: {', '.join(refused[:5])} is not taken, and nothing was sent: what it deletes or moves would "
            "tell whether a redacted value is what was proposed; write the whole list instead, with type=merge, or type=json "
            "and {op: replace, path: /path/of/the/list, value: [...]}; {op: remove, path: /path/of/the/list/0} removes one item"
        )


def _directives(patch: Any, where: str) -> Iterator[str]:
    """Where a strategic patch has directives that are not known to be harmless."""
    if isinstance(patch, (dict, list)):
        for key, value in patch.items() if isinstance(patch, dict) else enumerate(patch):
            here = f"{where}.{key}"
            if isinstance(key, str) and key.startswith("$") and key not in _DIRECTIVES:
                yield here[:200]
            yield from _directives(value, here)


def _is_pointer(path: object) -> bool:
    return isinstance(path, str) and path.startswith("/")


def _refuse_what_is_ignored(kind: Kind, patch: dict[str, Any] | list[Any]) -> None:
    """The API server takes such a patch, changes nothing and says nothing."""
    refused = []
    for field in _fields(patch):
        reason = _NOT_TO_PATCH.get(field) or (_STATUS if field == "status" and not kind.generic else "")
        if reason:
            refused.append(f"{field} ({reason})")
    if refused:
        raise InvalidArguments(f"k8s_patch_resource: these fields cannot be patched: {'; '.join(dict.fromkeys(refused))}")


def _fields(patch: dict[str, Any] | list[Any]) -> Iterator[str]:
    """`status`, `metadata.uid`: the first level, and the second below metadata. Of `test` operations nothing is written."""
    if isinstance(patch, dict):
        for key, value in patch.items():
            yield key
            if key == "metadata" and isinstance(value, Mapping):
                yield from (f"metadata.{name}" for name in value)
        return
    for operation in patch:
        parts = str(operation["path"]).split("/")[1:] if operation["op"] != "test" else []
        yield from parts[:1]
        if parts[:1] == ["metadata"]:
            yield ".".join(parts[:2])
            value = operation.get("value")
            yield from (f"metadata.{name}" for name in value if len(parts) == 1) if isinstance(value, Mapping) else ()


def _bound(
    patch: dict[str, Any] | list[Any], uid: str, resource_version: str, before: dict[str, Any]
) -> dict[str, Any] | list[Any]:
    """The patch with its preconditions in it. A JSON patch replaces what the API server then compares."""
    if isinstance(patch, dict):
        # of this object, not of another one that gets its name meanwhile
        return with_preconditions(patch, uid or before["metadata"]["uid"], resource_version)
    wanted = {"uid": uid or before["metadata"]["uid"]} | ({"resourceVersion": resource_version} if resource_version else {})
    return [*({"op": "replace", "path": f"/metadata/{key}", "value": value} for key, value in wanted.items()), *patch]


TOOLS: tuple[ToolDeclaration, ...] = (patch_resource,)
