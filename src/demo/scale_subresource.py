"""autoscaling/v1 Scale of a workload, and the access reviews, which allow everything."""

from __future__ import annotations

from typing import Any

from demo import api_status, patching
from demo.api_status import Json
from demo.selectors import format_label_selector


def scale_of(obj: Json) -> Json:
    """The Scale view of a Deployment, ReplicaSet or StatefulSet."""
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {field: obj["metadata"][field] for field in kept if field in obj["metadata"]},
        "spec": {"replicas": obj["spec"].get("replicas", 1)},
        "status": {
            "replicas": obj.get("status", {}).get("replicas", 0),
            "selector": format_label_selector(obj["spec"].get("selector")),
        },
    }


def wanted_scale(obj: Json, body: Any, method: str, content_type: str) -> Json:
    """The Scale after a PUT or PATCH of it; ApiError when that is none."""
    if method == "PUT":
        wanted = body
    elif method != "PATCH":
        raise api_status.method_not_allowed()
    elif content_type == "application/json-patch+json":
        wanted = patching.json_patch(scale_of(obj), body)
    else:
        wanted = patching.json_merge(scale_of(obj), body)
    replicas = wanted.get("spec", {}).get("replicas", 0) if isinstance(wanted, dict) else None
    if not isinstance(replicas, int):
        raise api_status.bad_request("json: cannot unmarshal into Go struct field ScaleSpec.spec.replicas of type int32")
    if replicas < 0:
        cause = api_status.field_invalid("spec.replicas", replicas, "must be greater than or equal to 0")
        raise api_status.invalid("Scale", "autoscaling", obj["metadata"]["name"], [cause])
    return dict(wanted)


def scaled(obj: Json, scale: Json) -> Json:
    """`obj` with the Scale's replicas and preconditions."""
    obj["spec"]["replicas"] = scale.get("spec", {}).get("replicas", 0)
    for field in ("resourceVersion", "uid"):
        if scale.get("metadata", {}).get(field):
            obj["metadata"][field] = scale["metadata"][field]
    return obj


def allow_everything(kind: str, review: Json) -> Json:
    """The answer to a SelfSubjectAccessReview or SelfSubjectRulesReview, whose body need not name its kind."""
    if kind == "SelfSubjectRulesReview":
        status: Json = {
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            "incomplete": False,
        }
    else:
        status = {"allowed": True, "reason": "the simulated cluster allows its one user everything"}
    return {"apiVersion": "authorization.k8s.io/v1", **review, "kind": kind, "status": status}
