"""Which node a pod fits on, and what the scheduler says when there is none."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from demo.api_status import Json

_SUFFIXES = {"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "Ki": 2.0**10, "Mi": 2.0**20,
             "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50}  # fmt: skip
_QUANTITY = re.compile(r"^([+-]?[0-9.]+)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$")
_NOT_HELPFUL = "Preemption is not helpful for scheduling"
_NO_VICTIMS = "No preemption victims found for incoming pod"


def quantity(text: object) -> float:
    """A resource quantity as a number of its base unit; 0 for what cannot be read."""
    match = _QUANTITY.match(str(text))
    return float(match.group(1)) * _SUFFIXES[match.group(2) or ""] if match else 0.0


def requests_of(pod: Json, group: str = "requests") -> Counter[str]:
    """What the pod's containers ask for (or are limited to, for the group "limits"), by resource."""
    total: Counter[str] = Counter()
    for container in pod["spec"]["containers"]:
        for name, value in (container.get("resources", {}).get(group) or {}).items():
            total[name] += quantity(value)  # type: ignore[assignment]
    return total


def is_node_ready(node: Json) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", ()))


def _tolerates(pod: Json, taint: Json) -> bool:
    for toleration in pod["spec"].get("tolerations", ()):
        same_key = toleration.get("key") in (None, "", taint["key"])
        same_effect = toleration.get("effect") in (None, "", taint["effect"])
        same_value = toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", "")
        if same_key and same_effect and same_value:
            return True
    return False


@dataclass(frozen=True, slots=True)
class Verdict:
    """`node` "" when the pod fits nowhere; `message` then says why, as the scheduler does."""

    node: str
    message: str = ""


def _reasons(pod: Json, node: Json, used: Counter[str]) -> tuple[list[str], bool]:
    """(why the pod does not fit, whether removing other pods could help)."""
    spec = node.get("spec", {})
    if spec.get("unschedulable"):
        return ["node(s) were unschedulable"], False
    taints = [taint for taint in spec.get("taints", ()) if taint["effect"] != "PreferNoSchedule"]
    if any(not _tolerates(pod, taint) for taint in taints):
        return ["node(s) had untolerated taint(s)"], False
    labels = node["metadata"].get("labels", {})
    if any(labels.get(key) != value for key, value in (pod["spec"].get("nodeSelector") or {}).items()):
        return ["node(s) didn't match Pod's node affinity/selector"], False
    allocatable = node["status"].get("allocatable", {})
    wanted = requests_of(pod)
    short = [name for name, value in wanted.items() if value + used[name] > quantity(allocatable.get(name, 0))]
    never = any(wanted[name] > quantity(allocatable.get(name, 0)) for name in short)
    return [f"Insufficient {name}" for name in short], bool(short) and not never


def accepts(node: Json, template: Json) -> bool:
    """Whether a DaemonSet with this pod template wants a pod on the node; its resources are not looked at."""
    reasons, _ = _reasons({"spec": {**template["spec"], "containers": []}}, {**node, "spec": {
        "taints": node.get("spec", {}).get("taints", [])}}, Counter())  # fmt: skip
    return not reasons


def _histogram(reasons: Iterable[str]) -> str:
    return ", ".join(sorted(f"{count} {reason}" for reason, count in Counter(reasons).items()))


def choose_node(pod: Json, nodes: Sequence[Json], pods: Iterable[Json]) -> Verdict:
    """The fitting node with the fewest requested CPUs (by name among equals), or why there is none."""
    used: dict[str, Counter[str]] = {node["metadata"]["name"]: Counter() for node in nodes}
    for other in pods:
        name = other["spec"].get("nodeName", "")
        if name in used and other["status"].get("phase") not in ("Succeeded", "Failed"):
            used[name].update(requests_of(other))
    all_reasons, preemption, fitting = [], [], []
    for node in nodes:
        name = node["metadata"]["name"]
        reasons, removable = _reasons(pod, node, used[name])
        all_reasons += reasons
        preemption.append(_NO_VICTIMS if removable else _NOT_HELPFUL)
        if not reasons:
            fitting.append((used[name]["cpu"], name))
    if fitting:
        return Verdict(min(fitting)[1])
    available = f"0/{len(nodes)} nodes are available:"
    return Verdict(
        "",
        f"{available} {_histogram(all_reasons)}. no new claims to deallocate, preemption: {available} {_histogram(preemption)}.",
    )
