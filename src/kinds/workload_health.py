"""What the kinds that own pods have in common: the pod template, the selector, and whether status speaks of the present spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kinds.label_selector import selector_text
from kinds.metadata import condition
from kinds.record import Json, Record, column


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadRecord(Record):
    """Columns of every kind with a pod template."""

    selector: str | None = column("label selector of its pods")
    container_names: Json = column("container names of the template, a JSON list")
    images: Json = column("images of the template, a JSON list in the order of the containers")
    service_account: str | None = column("service account of the template")


def pod_template(spec: dict[str, Any]) -> dict[str, Any]:
    """-> keyword arguments for the fields of WorkloadRecord."""
    template = (spec.get("template") or {}).get("spec") or {}
    containers = template.get("containers") or []
    return {
        "selector": selector_text(spec.get("selector")),
        "container_names": Json([c.get("name") for c in containers]),
        "images": Json([c.get("image") for c in containers]),
        "service_account": template.get("serviceAccountName"),
    }


def observed(obj: dict[str, Any]) -> bool:
    """Whether the controller has seen the present spec; before that, status speaks of an older one."""
    generation = (obj.get("metadata") or {}).get("generation")
    return generation is None or (obj.get("status") or {}).get("observedGeneration", 0) >= generation


def condition_reason(obj: dict[str, Any], type_: str) -> str | None:
    """The reason of that condition, e.g. `ProgressDeadlineExceeded` of `Progressing`; None without it."""
    return condition(obj, type_).get("reason")
