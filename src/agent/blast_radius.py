"""What else a change touches, and what of it cannot be undone, from the server's preview and the cluster itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agent.cached_read import GENERIC_LIST
from configuration.errors import K8sMcpError

if TYPE_CHECKING:
    from agent.approval_request import ObjectRef
    from agent.cache_first_gateway import CacheFirstGateway

_MOST_COUNTED = 1000
_DATA_KINDS = ("PersistentVolumeClaim", "PersistentVolume")


async def blast_radius(
    gateway: CacheFirstGateway, target: ObjectRef, preview: Mapping[str, Any], *, cluster: str
) -> tuple[str, ...]:
    """One line each. What cannot be read is named as unknown: it must not look as if nothing were there."""
    lines = [_replicas(preview), *_owned(preview), *_several(preview)]
    if preview.get("action") == "delete" and target.kind == "Namespace":
        lines.append(str(preview.get("note") or "everything in it; what that is could not be read"))
    if preview.get("action") == "delete" and target.kind == "Node":
        lines.append(await _pods_on(gateway, target.name, cluster))
    return tuple(line for line in lines if line)


def irreversible(target: ObjectRef, preview: Mapping[str, Any]) -> str:
    """What cannot be undone, in one sentence; "" when the change can simply be taken back."""
    if preview.get("action") == "drain":
        return "evicted pods end; what makes them anew puts them on other nodes, and uncordon does not bring them back"
    if preview.get("action") != "delete":
        return _of_secrets(target, preview)
    metadata = (preview.get("before") or {}).get("metadata") or {}
    owner = next((o for o in metadata.get("ownerReferences") or () if o.get("controller")), None)
    if owner:
        return f"this {target.kind} is gone; its {owner.get('kind')} {owner.get('name')} will probably make another one"
    if target.kind == "Namespace":
        return "the namespace and everything in it, stored data included, is gone"
    if target.kind in _DATA_KINDS:
        return "depending on its reclaim policy the stored data is gone too"
    return f"the {target.kind} is gone; created again from its manifest it is a new object with a new uid and no history"


def _of_secrets(target: ObjectRef, preview: Mapping[str, Any]) -> str:
    kinds = {str(one.get("kind")) for one in preview.get("objects") or ()} | {target.kind}
    overwritten = any(change.get("old") and str(change.get("path")).startswith("data") for change in preview.get("changes") or ())
    if overwritten and kinds & {"Secret", "secrets"}:
        return "values that a Secret has now are never shown here, so they cannot be put back from here"
    return ""


def _several(preview: Mapping[str, Any]) -> Sequence[str]:
    """What happens to each, for a change of several objects: `3 evicted: …`, `1 blocked: …`."""
    names: dict[str, list[str]] = {}
    for one in preview.get("objects") or ():
        place = f"{one['namespace']}/{one['name']}" if one.get("namespace") else str(one.get("name"))
        names.setdefault(str(one.get("action") or "changed"), []).append(f"{one.get('kind')} {place}")
    return [f"{len(found)} {action}: {_names(found)}" for action, found in names.items()]


def _replicas(preview: Mapping[str, Any]) -> str:
    known = (preview.get("object") or {}).get("replicas")
    manifest = preview.get("before") or preview.get("after") or {}
    replicas = (manifest.get("spec") or {}).get("replicas") if known is None else known
    if replicas is None:
        return ""
    if known is None and preview.get("before") is None:
        return f"{replicas} replicas of {_images(preview)} will be started"
    return f"{replicas} replicas are asked for now"


def _images(preview: Mapping[str, Any]) -> str:
    """What will run: said first, since a long list of labels or variables would push it out of the fields that are shown."""
    template = ((preview.get("after") or {}).get("spec") or {}).get("template") or {}
    containers = (template.get("spec") or {}).get("containers") or ()
    return ", ".join(str(container.get("image")) for container in containers) or "an unknown image"


def _owned(preview: Mapping[str, Any]) -> Sequence[str]:
    """The server says which objects the garbage collector treats along; null means that it could not find out."""
    if preview.get("action") != "delete" or "owned" not in preview or preview.get("before") is None:
        return ()
    owned = preview["owned"]
    if owned is None:
        return ("owned objects: unknown, they could not be read",)
    total = preview.get("owned_total") or len(owned)
    names: dict[str, list[str]] = {}
    for item in owned:
        names.setdefault(str(item["kind"]), []).append(str(item["name"]))
    whole = "" if total == len(owned) else f" ({len(owned)} of {total} listed)"
    return [f"{len(found)} {kind} owned by it{whole}: {_names(found)}" for kind, found in names.items()]


async def _pods_on(gateway: CacheFirstGateway, node: str, cluster: str) -> str:
    arguments = {"kind": "pods", "filters": {"node": node}, "context": cluster, "limit": _MOST_COUNTED}
    try:
        answer = await gateway.call(GENERIC_LIST, arguments, live=True)
    except K8sMcpError as error:
        return f"pods that run on it: unknown ({str(error)[:120]})"
    found = [f"{row['namespace']}/{row['name']}" for row in answer.rows]
    return f"{len(found)}{'+' if answer.continue_token else ''} pods run on it" + (f": {_names(found)}" if found else "")


def _names(names: Sequence[str]) -> str:
    return ", ".join(names)
