"""Printer columns of configuration, storage, policy and access kinds; see table_columns."""

from __future__ import annotations

from datetime import datetime

from demo.api_status import Json
from demo.selectors import format_label_selector
from demo.table_columns import Cells, Printer
from demo.timestamps import age

_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _age(obj: Json, now: datetime) -> str:
    return age(obj["metadata"].get("creationTimestamp"), now)


def _phase(obj: Json) -> str:
    return "Terminating" if obj["metadata"].get("deletionTimestamp") else str(obj.get("status", {}).get("phase", ""))


def _modes(modes: list[str]) -> str:
    return ",".join(_MODES.get(mode, mode) for mode in modes)


def _claim(obj: Json, now: datetime) -> Cells:
    spec, status = obj["spec"], obj.get("status", {})
    bound = bool(spec.get("volumeName"))
    return [
        _phase(obj), spec.get("volumeName", ""), status.get("capacity", {}).get("storage", "") if bound else "",
        _modes(status.get("accessModes", [])) if bound else "", spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName", "<unset>"), _age(obj, now), spec.get("volumeMode", "<unset>"),
    ]  # fmt: skip


def _volume(obj: Json, now: datetime) -> Cells:
    spec = obj["spec"]
    claim = spec.get("claimRef")
    return [
        spec.get("capacity", {}).get("storage", ""), _modes(spec.get("accessModes", [])),
        spec.get("persistentVolumeReclaimPolicy", ""), _phase(obj),
        f"{claim['namespace']}/{claim['name']}" if claim else "", spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName", "<unset>"), obj.get("status", {}).get("reason", ""),
        _age(obj, now), spec.get("volumeMode", "<unset>"),
    ]  # fmt: skip


def _storage_class(obj: Json, now: datetime) -> Cells:
    expandable = "true" if obj.get("allowVolumeExpansion") else "false"
    return [
        obj["provisioner"], obj.get("reclaimPolicy", "Delete"), obj.get("volumeBindingMode", "Immediate"),
        expandable, _age(obj, now),
    ]  # fmt: skip


def storage_class_name(obj: Json) -> str:
    """The NAME column, which marks the default class."""
    default = (obj["metadata"].get("annotations") or {}).get("storageclass.kubernetes.io/is-default-class")
    return str(obj["metadata"]["name"]) + (" (default)" if default == "true" else "")


def _metric_target(spec: Json, current: list[Json]) -> str:
    resource = spec.get("resource")
    if not resource:
        return "<unknown>"
    live: Json = next((m["resource"]["current"] for m in current if m.get("resource", {}).get("name") == resource["name"]), {})
    target = resource["target"]
    if "averageUtilization" in target:
        now = f"{live['averageUtilization']}%" if "averageUtilization" in live else "<unknown>"
        return f"{resource['name']}: {now}/{target['averageUtilization']}%"
    return f"{resource['name']}: {live.get('averageValue', '<unknown>')}/{target.get('averageValue')}"


def _autoscaler(obj: Json, now: datetime) -> Cells:
    spec, status = obj["spec"], obj.get("status", {})
    reference = spec["scaleTargetRef"]
    targets = [_metric_target(metric, status.get("currentMetrics") or []) for metric in spec.get("metrics", ())]
    return [
        f"{reference['kind']}/{reference['name']}", ", ".join(targets) or NONE_TARGETS, str(spec.get("minReplicas", 1)),
        spec["maxReplicas"], status.get("currentReplicas", 0), _age(obj, now),
    ]  # fmt: skip


NONE_TARGETS = "<none>"


def _quota(obj: Json, now: datetime) -> Cells:
    status = obj.get("status", {})
    texts: dict[bool, list[str]] = {False: [], True: []}
    for name in sorted(status.get("hard", {})):
        used = status.get("used", {}).get(name, "0")
        texts[name.startswith("limits.")].append(f"{name}: {used}/{status['hard'][name]}")
    return [", ".join(texts[False]), ", ".join(texts[True]), _age(obj, now)]


def _binding(obj: Json, now: datetime) -> Cells:
    subjects = obj.get("subjects") or ()
    names: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in subjects:
        account = subject["kind"] == "ServiceAccount"
        names[subject["kind"]].append(f"{subject['namespace']}/{subject['name']}" if account else subject["name"])
    reference = obj["roleRef"]
    return [f"{reference['kind']}/{reference['name']}", _age(obj, now), *(", ".join(names[kind]) for kind in names)]


def _role(obj: Json, _now: datetime) -> Cells:
    return [obj["metadata"].get("creationTimestamp", "")]


def _disruption_budget(obj: Json, now: datetime) -> Cells:
    spec = obj["spec"]
    return [
        str(spec.get("minAvailable", "N/A")), str(spec.get("maxUnavailable", "N/A")),
        obj.get("status", {}).get("disruptionsAllowed", 0), _age(obj, now),
    ]  # fmt: skip


def _ingress_class(obj: Json, now: datetime) -> Cells:
    return [obj["spec"].get("controller", ""), "<none>", _age(obj, now)]


def _priority_class(obj: Json, now: datetime) -> Cells:
    default = bool(obj.get("globalDefault"))
    return [obj["value"], default, _age(obj, now), obj.get("preemptionPolicy", "PreemptLowerPriority")]


_BINDING = "Name|Role|Age|*Users|*Groups|*ServiceAccounts"

PRINTERS: dict[str, tuple[str, Printer]] = {
    "Namespace": ("Name|Status|Age", lambda o, now: [_phase(o), _age(o, now)]),
    "ConfigMap": (
        "Name|Data|Age",
        lambda o, now: [len(o.get("data") or ()) + len(o.get("binaryData") or ()), _age(o, now)],
    ),
    "Secret": ("Name|Type|Data|Age", lambda o, now: [o.get("type", ""), len(o.get("data") or ()), _age(o, now)]),
    "PersistentVolumeClaim": (
        "Name|Status|Volume|Capacity|Access Modes|StorageClass|VolumeAttributesClass|Age|*VolumeMode",
        _claim,
    ),
    "PersistentVolume": (
        "Name|Capacity|Access Modes|Reclaim Policy|Status|Claim|StorageClass|VolumeAttributesClass|Reason|Age|*VolumeMode",
        _volume,
    ),
    "StorageClass": ("Name|Provisioner|ReclaimPolicy|VolumeBindingMode|AllowVolumeExpansion|Age", _storage_class),
    "HorizontalPodAutoscaler": ("Name|Reference|Targets|MinPods|#MaxPods|#Replicas|Age", _autoscaler),
    "PodDisruptionBudget": ("Name|Min Available|Max Unavailable|#Allowed Disruptions|Age", _disruption_budget),
    "NetworkPolicy": (
        "Name|Pod-Selector|Age",
        lambda o, now: [format_label_selector(o["spec"].get("podSelector")), _age(o, now)],
    ),
    "ResourceQuota": ("Name|Request|Limit|Age", _quota),
    "RoleBinding": (_BINDING, _binding),
    "ClusterRoleBinding": (_BINDING, _binding),
    "Role": ("Name|Created At", _role),
    "ClusterRole": ("Name|Created At", _role),
    "MutatingWebhookConfiguration": ("Name|#Webhooks|Age", lambda o, now: [len(o.get("webhooks", ())), _age(o, now)]),
    "ValidatingWebhookConfiguration": ("Name|#Webhooks|Age", lambda o, now: [len(o.get("webhooks", ())), _age(o, now)]),
    "CustomResourceDefinition": ("Name|Created At", _role),
    "IngressClass": ("Name|Controller|Parameters|Age", _ingress_class),
    "PriorityClass": ("Name|#Value|Global-Default|Age|*PreemptionPolicy", _priority_class),
    "Lease": ("Name|Holder|Age", lambda o, now: [o["spec"].get("holderIdentity", ""), _age(o, now)]),
    "LimitRange": ("Name|Created At", _role),
}
