"""PersistentVolumeClaims."""

from __future__ import annotations

from typing import Any

from kinds.kind import Kind
from kinds.label_selector import selector_text
from kinds.metadata import common, conditions
from kinds.quantity import whole
from kinds.record import Json, Record, column, record
from kinds.volume_claiming import access_modes, status_of, storage_class


@record
class PersistentVolumeClaimRecord(Record):
    """What `kubectl get persistentvolumeclaims -o wide` shows, with what was asked for beside what there is."""

    status: str | None = column("STATUS as kubectl prints it: Pending, Bound, Lost or Terminating", index=True)
    phase: str | None = column("status.phase: Pending, Bound or Lost")
    healthy: bool = column("Bound, and not being deleted", index=True)
    volume: str | None = column("spec.volumeName: joins persistentvolumes.name; null until bound", index=True)
    capacity: str | None = column("status.capacity.storage as written; null until bound (CAPACITY)")
    capacity_bytes: int | None = column("status.capacity.storage in bytes", tracked=False)
    requested: str | None = column("requests.storage as written")
    requested_bytes: int | None = column(
        "requests.storage in bytes; more than capacity_bytes: a resize is under way", tracked=False
    )
    access_modes: str | None = column("ACCESS MODES as kubectl prints them (RWO, ROX, RWX, RWOP); null until bound")
    requested_access_modes: Json | None = column("spec.accessModes, a JSON list")
    storage_class: str | None = column("storage class; empty text asks for none, null for the default one", index=True)
    volume_attributes_class: str | None = column("spec.volumeAttributesClassName")
    volume_mode: str | None = column("Filesystem or Block")
    selector: str | None = column("label selector for volumes; null when there is none")
    selector_map: Json | None = column("spec.selector, a JSON object; null when there is none", tracked=False)
    data_source: str | None = column("what it was filled from, as Kind/name: a snapshot or another claim")
    conditions: Json = column("condition type -> status, a JSON map, e.g. FileSystemResizePending")


def read(claim: dict[str, Any]) -> PersistentVolumeClaimRecord:
    """Redacted API object -> PersistentVolumeClaimRecord. Source: printers.go, printPersistentVolumeClaim."""
    shared = common(claim)
    spec, status = claim.get("spec") or {}, claim.get("status") or {}
    bound = bool(spec.get("volumeName"))
    capacity = (status.get("capacity") or {}).get("storage") if bound else None
    requested = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    return PersistentVolumeClaimRecord(
        **shared,
        status=status_of(status.get("phase"), shared["deleting_since"]),
        phase=status.get("phase"),
        healthy=status.get("phase") == "Bound" and shared["deleting_since"] is None,
        volume=spec.get("volumeName"),
        capacity=capacity,
        capacity_bytes=whole(capacity),
        requested=requested,
        requested_bytes=whole(requested),
        access_modes=access_modes(status.get("accessModes")) if bound else None,
        requested_access_modes=spec.get("accessModes"),
        storage_class=storage_class(shared["annotations"], spec),
        volume_attributes_class=spec.get("volumeAttributesClassName"),
        volume_mode=spec.get("volumeMode"),
        selector=selector_text(spec.get("selector")),
        selector_map=spec.get("selector"),
        data_source=_data_source(spec),
        conditions=Json(conditions(claim)),
    )


def _data_source(spec: dict[str, Any]) -> str | None:
    source = spec.get("dataSourceRef") or spec.get("dataSource")
    return f"{source.get('kind')}/{source.get('name')}" if source else None


PERSISTENTVOLUMECLAIMS = Kind(
    name="persistentvolumeclaims",
    kind="PersistentVolumeClaim",
    group="",
    version="v1",
    namespaced=True,
    dynamic=True,
    record=PersistentVolumeClaimRecord,
    read=read,
    list_columns=(
        "namespace", "name", "status", "volume", "capacity", "access_modes", "storage_class", "volume_mode", "created_at",
    ),
    filters={"status": "status", "healthy": "healthy", "storage_class": "storage_class"},
    aliases=("persistentvolumeclaim", "pvc"),
)  # fmt: skip
