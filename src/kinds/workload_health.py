"""What the kinds that own pods have in common: the pod template, the selector, and whether status speaks of the present spec."""

from __future__ import annotations

from typing import Any

from kinds.label_selector import selector_text
from kinds.metadata import condition
from kinds.named_lists import names_of
from kinds.pod_spec import requested, resources_by_container, security_by_container, volumes_of
from kinds.record import Json, Record, column, record


@record
class WorkloadRecord(Record):
    """Columns of every kind with a pod template."""

    selector: str | None = column("label selector of its pods")
    selector_map: Json | None = column("spec.selector, a JSON object {matchLabels, matchExpressions}", tracked=False)
    template_labels: Json | None = column("labels of its pods, a JSON map")
    container_names: Json = column("container names of the template, a JSON list")
    images: Json = column("images of the template, a JSON list in the order of the containers")
    init_images: Json | None = column("images of the init containers and sidecars of the template, a JSON list; null for none")
    service_account: str | None = column("service account of the template")
    resources: Json = column("requests and limits of the template's containers, a JSON list of {name, role, requests, limits}")
    cpu_request_millicores: int | None = column(
        "CPU that the scheduler reserves for each of its pods, in thousandths of a core; null when nothing is asked for",
        tracked=False,
    )
    memory_request_bytes: int | None = column("memory that the scheduler reserves for each of its pods, in bytes", tracked=False)
    ephemeral_request_bytes: int | None = column(
        "ephemeral storage that the scheduler reserves for each of its pods, in bytes", tracked=False
    )
    security: Json | None = column(
        "what the template states of privileges, a JSON object {hostNetwork, hostPID, hostIPC, pod, containers}"
    )
    node_selector: Json | None = column("nodeSelector of the template, a JSON map")
    tolerations: Json | None = column("tolerations of the template, a JSON list")
    volumes: Json | None = column("volumes of the template, a JSON list of {name, type, source}")


def pod_template(spec: dict[str, Any]) -> dict[str, Any]:
    """-> keyword arguments for the fields of WorkloadRecord."""
    whole = spec.get("template") or {}
    template = whole.get("spec") or {}
    containers = template.get("containers") or []
    return {
        "selector": selector_text(spec.get("selector")),
        "selector_map": spec.get("selector"),
        "template_labels": (whole.get("metadata") or {}).get("labels"),
        "container_names": Json([c.get("name") for c in containers]),
        "images": Json([c.get("image") for c in containers]),
        "init_images": names_of(template.get("initContainers"), "image"),
        "service_account": template.get("serviceAccountName"),
        "resources": resources_by_container(template),
        "cpu_request_millicores": requested(template, "cpu"),
        "memory_request_bytes": requested(template, "memory"),
        "ephemeral_request_bytes": requested(template, "ephemeral-storage"),
        "security": security_by_container(template),
        "node_selector": template.get("nodeSelector"),
        "tolerations": template.get("tolerations"),
        "volumes": volumes_of(template),
    }


def observed(obj: dict[str, Any]) -> bool:
    """Whether the controller has seen the present spec; before that, status speaks of an older one."""
    generation = (obj.get("metadata") or {}).get("generation")
    return generation is None or (obj.get("status") or {}).get("observedGeneration", 0) >= generation


def condition_reason(obj: dict[str, Any], type_: str) -> str | None:
    """The reason of that condition, e.g. `ProgressDeadlineExceeded` of `Progressing`; None without it."""
    return condition(obj, type_).get("reason")
