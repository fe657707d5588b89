"""What else a change touches, read from the cluster before anyone is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent.cached_read import GENERIC_LIST
from configuration.errors import K8sMcpError

if TYPE_CHECKING:
    from agent.approvals import ObjectRef
    from agent.cache_first_gateway import CacheFirstGateway

_SHOWN_NAMES = 5
_MOST_COUNTED = 1000
_IN_NAMESPACE = ("deployments", "statefulsets", "daemonsets", "jobs", "services", "pods")
_DATA_KINDS = ("PersistentVolumeClaim", "PersistentVolume")


async def blast_radius(
    gateway: CacheFirstGateway, target: ObjectRef, *, action: str, manifest: Mapping[str, Any], cluster: str
) -> tuple[str, ...]:
    """One line each. `manifest` is the object as it is (delete) or will be (create).

    A part that cannot be read is named as unknown: it must not look as if nothing were there.
    """
    spec = manifest.get("spec") or {}
    lines = []
    replicas = spec.get("replicas")
    if replicas is not None:
        lines.append(f"{replicas} replicas " + ("will be started" if action == "create" else "are asked for now"))
    if action == "create":
        return tuple(lines)
    if target.kind == "Namespace":
        return (*lines, *[await _count_in(gateway, kind, target.name, cluster) for kind in _IN_NAMESPACE])
    if target.kind == "Node":
        return (*lines, await _pods(gateway, {"kind": "pods", "filters": {"node": target.name}}, cluster, "run on it"))
    selector = _selector(spec.get("selector"))
    if selector and target.kind != "Service":
        arguments = {"kind": "pods", "namespace": target.namespace, "label_selector": selector}
        lines.append(await _pods(gateway, arguments, cluster, "belong to it and end with it"))
    return tuple(lines)


def irreversible(target: ObjectRef, *, action: str, manifest: Mapping[str, Any]) -> str:
    """What cannot be undone, in one sentence; "" when the change can simply be taken back."""
    if action != "delete":
        return ""
    owner = next((o for o in (manifest.get("metadata") or {}).get("ownerReferences") or () if o.get("controller")), None)
    if owner:
        return f"this {target.kind} is gone; its {owner.get('kind')} {owner.get('name')} will probably make another one"
    if target.kind == "Namespace":
        return "the namespace and everything in it, stored data included, is gone"
    if target.kind in _DATA_KINDS:
        return "depending on its reclaim policy the stored data is gone too"
    return f"the {target.kind} is gone; created again from its manifest it is a new object with a new uid and no history"


async def _count_in(gateway: CacheFirstGateway, kind: str, namespace: str, cluster: str) -> str:
    found, more, problem = await _listed(gateway, {"kind": kind, "namespace": namespace}, cluster)
    return f"{kind}: unknown ({problem})" if problem else f"{kind}: {len(found)}{'+' if more else ''}"


async def _pods(gateway: CacheFirstGateway, arguments: dict[str, Any], cluster: str, relation: str) -> str:
    found, more, problem = await _listed(gateway, arguments, cluster)
    if problem:
        return f"pods that {relation}: unknown ({problem})"
    names = ", ".join(str(row["name"]) for row in found[:_SHOWN_NAMES])
    rest = f", … {_SHOWN_NAMES} of {len(found)} shown" if len(found) > _SHOWN_NAMES else ""
    return f"{len(found)}{'+' if more else ''} pods {relation}" + (f": {names}{rest}" if names else "")


async def _listed(gateway: CacheFirstGateway, arguments: dict[str, Any], cluster: str) -> tuple[list[dict[str, Any]], bool, str]:
    asked = {name: value for name, value in arguments.items() if value is not None}
    try:
        answer = await gateway.call(GENERIC_LIST, asked | {"context": cluster, "limit": _MOST_COUNTED}, live=True)
    except K8sMcpError as error:
        return [], False, str(error)[:120]
    return answer.rows, bool(answer.continue_token), ""


def _selector(selector: Any) -> str:
    """A workload's selector in the form of a label selector; "" for none, or for a form that cannot be written so."""
    if not isinstance(selector, dict) or "matchLabels" not in selector or selector.get("matchExpressions"):
        return ""
    return ",".join(f"{key}={value}" for key, value in selector["matchLabels"].items())
