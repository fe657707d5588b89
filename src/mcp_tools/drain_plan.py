"""Which pods of a node a drain evicts, which stay, and which stand in its way. Pure; the rules are kubectl's.

Source: k8s.io/kubectl pkg/drain/filters.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Manifest = dict[str, Any]
_MIRROR = "kubernetes.io/config.mirror"
_FINISHED = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class DrainPlan:
    """`evict`: pods to evict. `stay`: name -> why. `in_the_way`: name -> which flag it needs; nothing is done then."""

    evict: list[Manifest] = field(default_factory=list)
    stay: dict[str, str] = field(default_factory=dict)
    in_the_way: dict[str, str] = field(default_factory=dict)


def drain_plan(pods: Iterable[Manifest], *, delete_emptydir_data: bool, force: bool) -> DrainPlan:
    """`force` is about pods that nothing would make again."""
    plan = DrainPlan()
    for pod in pods:
        name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        if reason := _stays(pod):
            plan.stay[name] = reason
            continue
        flags = _flags_needed(pod, delete_emptydir_data=delete_emptydir_data, force=force)
        if flags:
            plan.in_the_way[name] = " and ".join(flags)
        else:
            plan.evict.append(pod)
    return plan


def _stays(pod: Manifest) -> str:
    if _MIRROR in (pod["metadata"].get("annotations") or {}):
        return "mirror pod of the kubelet"
    controller = _controller(pod)
    if controller and controller.get("kind") == "DaemonSet" and (pod.get("status") or {}).get("phase") not in _FINISHED:
        return f"of DaemonSet {controller.get('name')}, which would start it again"
    return ""


def _flags_needed(pod: Manifest, *, delete_emptydir_data: bool, force: bool) -> list[str]:
    if (pod.get("status") or {}).get("phase") in _FINISHED or pod["metadata"].get("deletionTimestamp"):
        return []
    flags = []
    if not force and _controller(pod) is None:
        flags.append("force=true (nothing would start it again)")
    volumes = (pod.get("spec") or {}).get("volumes") or []
    if not delete_emptydir_data and any(isinstance(one, dict) and "emptyDir" in one for one in volumes):
        flags.append("delete_emptydir_data=true (its emptyDir is lost)")
    return flags


def _controller(pod: Manifest) -> Manifest | None:
    owners = pod["metadata"].get("ownerReferences") or []
    return next((owner for owner in owners if isinstance(owner, dict) and owner.get("controller")), None)
