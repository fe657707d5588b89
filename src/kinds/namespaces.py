"""Namespaces."""

from __future__ import annotations

from typing import Any

from kinds.kind import Kind
from kinds.metadata import common, conditions
from kinds.record import Json, Record, column, record


@record
class NamespaceRecord(Record):
    """A namespace and whether it is being deleted."""

    status: str | None = column("status.phase: Active or Terminating", index=True)
    finalizers: Json | None = column("spec.finalizers, a JSON list; what a Terminating namespace waits for")
    conditions: Json = column("condition type -> status, a JSON map: why deletion does not end")


def read(namespace: dict[str, Any]) -> NamespaceRecord:
    """Redacted API object -> NamespaceRecord."""
    return NamespaceRecord(
        **common(namespace),
        status=(namespace.get("status") or {}).get("phase"),
        finalizers=(namespace.get("spec") or {}).get("finalizers"),
        conditions=Json(conditions(namespace)),
    )


NAMESPACES = Kind(
    name="namespaces",
    kind="Namespace",
    group="",
    version="v1",
    namespaced=False,
    dynamic=False,
    record=NamespaceRecord,
    read=read,
    list_columns=("name", "status", "created_at"),
    filters={"status": "status"},
    aliases=("namespace", "ns"),
)
