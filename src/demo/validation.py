"""The refusals of the API server that people meet: names, required fields, selectors, immutable fields."""

from __future__ import annotations

import re
from typing import Any

from demo import api_status
from demo.api_status import Json, field_forbidden, field_invalid, field_required
from demo.resources import Resource
from demo.selectors import matches_labels

_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
_PATH_NAMED = ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_QUANTITY = re.compile(r"^[+-]?\d+(\.\d*)?([numkKMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?$")


def _name_causes(kind: str, name: str) -> list[Json]:
    if kind in _PATH_NAMED:
        return []
    label = kind in ("Namespace", "Service")
    if len(name) > (63 if label else 253):
        return [field_invalid("metadata.name", name, f"must be no more than {63 if label else 253} characters")]
    if not (_LABEL if label else _SUBDOMAIN).match(name):
        return [field_invalid("metadata.name", name, _LABEL_TEXT if label else _SUBDOMAIN_TEXT)]
    return []


def _container_causes(container: Json, path: str) -> list[Json]:
    causes = [field_required(f"{path}.{field}") for field in ("name", "image") if not container.get(field)]
    for group, values in (container.get("resources") or {}).items():
        for name, value in (values or {}).items() if isinstance(values, dict) else ():
            if not _QUANTITY.match(str(value)):
                text = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
                causes.append(field_invalid(f"{path}.resources.{group}[{name}]", value, text))
    return causes


def _pod_spec_causes(spec: Json, path: str) -> list[Json]:
    containers = spec.get("containers") or []
    if not containers:
        return [field_required(f"{path}.containers")]
    causes: list[Json] = []
    seen: set[str] = set()
    for index, container in enumerate(containers):
        causes += _container_causes(container, f"{path}.containers[{index}]")
        if container.get("name") in seen:
            message = f'Duplicate value: "{container["name"]}"'
            field = f"{path}.containers[{index}].name"
            causes.append({"reason": "FieldValueDuplicate", "message": message, "field": field})
        seen.add(str(container.get("name")))
    return causes


def _workload_causes(kind: str, spec: Json) -> list[Json]:
    causes: list[Json] = []
    replicas = spec.get("replicas")
    if isinstance(replicas, int) and replicas < 0:
        causes.append(field_invalid("spec.replicas", replicas, "must be greater than or equal to 0"))
    template = spec.get("template") or {}
    if kind != "Job":
        selector = spec.get("selector")
        labels = (template.get("metadata") or {}).get("labels") or {}
        if not selector:
            causes.append(field_required("spec.selector"))
        elif not matches_labels(selector, labels):
            text = "`selector` does not match template `labels`"
            causes.append(field_invalid("spec.template.metadata.labels", str(labels), text))
    elif (template.get("spec") or {}).get("restartPolicy") not in ("Never", "OnFailure"):
        message = 'Required value: valid values: "OnFailure", "Never"'
        field = "spec.template.spec.restartPolicy"
        causes.append({"reason": "FieldValueRequired", "message": message, "field": field})
    return causes + _pod_spec_causes(template.get("spec") or {}, "spec.template.spec")


def _spec_causes(obj: Json) -> list[Json]:
    kind, spec = obj["kind"], obj.get("spec") or {}
    if kind == "CronJob":
        job = (spec.get("jobTemplate") or {}).get("spec") or {}
        missing = [] if spec.get("schedule") else [field_required("spec.schedule")]
        return missing + [{**cause, "field": f"spec.jobTemplate.{cause['field']}"} for cause in _workload_causes("Job", job)]
    if kind == "Pod":
        return _pod_spec_causes(spec, "spec")
    if kind in ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job"):
        return _workload_causes(kind, spec)
    if kind == "Service" and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        return [] if spec.get("ports") else [field_required("spec.ports")]
    return []


def check_shape(resource: Resource, obj: Any) -> Json:
    """The body as an object of `resource`, or ApiError 400."""
    if not isinstance(obj, dict) or not isinstance(obj.get("metadata", {}), dict):
        raise api_status.bad_request("the body of the request was in an unknown format - it is no Kubernetes object")
    obj.setdefault("apiVersion", resource.api_version)
    obj.setdefault("kind", resource.kind)
    if (obj["apiVersion"], obj["kind"]) != (resource.api_version, resource.kind):
        raise api_status.bad_request(
            f'{obj["kind"]} in version "{obj["apiVersion"]}" cannot be handled as a {resource.kind}: '
            f'no kind "{obj["kind"]}" is registered for this path'
        )
    obj.setdefault("metadata", {})
    for field in ("spec", "status"):
        if field in obj and not isinstance(obj[field], dict):
            raise api_status.bad_request(
                f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: '
                f"json: cannot unmarshal into Go struct field {resource.kind}.{field}"
            )
    return obj


def check_new(resource: Resource, obj: Json) -> None:
    """ApiError 422 with every cause, when the object could not be created."""
    metadata = obj["metadata"]
    name = metadata.get("name", "")
    causes = _name_causes(resource.kind, name) if name else [field_required("metadata.name", "name or generateName is required")]
    causes += _spec_causes(obj)
    if causes:
        raise api_status.invalid(resource.kind, resource.group, name, causes)


_IMMUTABLE = {
    "Deployment": ("selector",),
    "ReplicaSet": ("selector",),
    "DaemonSet": ("selector",),
    "Job": ("selector", "template", "completions"),
    "PersistentVolumeClaim": ("accessModes", "storageClassName"),
}


def check_update(resource: Resource, old: Json, new: Json) -> None:
    """ApiError 422 when the change is not allowed."""
    causes = _spec_causes(new)
    before, after = old.get("spec") or {}, new.get("spec") or {}
    for field in _IMMUTABLE.get(resource.kind, ()):
        if before.get(field) != after.get(field):
            causes.append(field_invalid(f"spec.{field}", str(after.get(field)), "field is immutable"))
    if resource.kind == "Pod" and _frozen(before) != _frozen(after):
        text = (
            "pod updates may not change fields other than `spec.containers[*].image`,"
            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to "
            "existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
            "previously negative)"
        )
        causes.append(field_forbidden("spec", text))
    for field in ("data", "binaryData", "stringData"):
        if old.get("immutable") and old.get(field) != new.get(field) and field != "stringData":
            causes.append(field_forbidden(field, "field is immutable when `immutable` is set"))
    if causes:
        raise api_status.invalid(resource.kind, resource.group, new["metadata"]["name"], causes)


def _frozen(spec: Json) -> Json:
    frozen = {key: value for key, value in spec.items() if key not in ("activeDeadlineSeconds", "tolerations")}
    for group in ("containers", "initContainers"):
        if group in frozen:
            frozen[group] = [{**container, "image": ""} for container in frozen[group]]
    return frozen
