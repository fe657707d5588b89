"""PersistentVolumes."""

from __future__ import annotations

from typing import Any

from kinds.kind import Kind
from kinds.metadata import common
from kinds.quantity import whole
from kinds.record import Json, Record, column, record
from kinds.volume_claiming import access_modes, status_of, storage_class

_NO_SOURCE = frozenset(
    {
        "accessModes",
        "capacity",
        "claimRef",
        "mountOptions",
        "nodeAffinity",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeAttributesClassName",
        "volumeMode",
    }
)
"""Fields of spec beside the one that says where the data lies (k8s.io/api core/v1 PersistentVolumeSpec)."""


@record
class PersistentVolumeRecord(Record):
    """What `kubectl get persistentvolumes -o wide` and `describe` show."""

    status: str | None = column("STATUS as kubectl prints it: the phase, or Terminating", index=True)
    phase: str | None = column("status.phase: Pending, Available, Bound, Released or Failed")
    healthy: bool = column("Available or Bound, and not being deleted; Released holds data that nobody claims", index=True)
    reason: str | None = column("status.reason, e.g. why reclaiming failed")
    message: str | None = column("status.message")
    capacity: str | None = column("capacity.storage as written (CAPACITY)")
    capacity_bytes: int | None = column("capacity.storage in bytes", tracked=False)
    access_modes: str | None = column("ACCESS MODES as kubectl prints them: RWO, ROX, RWX, RWOP")
    reclaim_policy: str | None = column("Retain, Delete or Recycle")
    claim: str | None = column("CLAIM as kubectl prints it: namespace/name; null when unclaimed")
    claim_namespace: str | None = column("namespace of the claim")
    claim_name: str | None = column("name of the claim")
    claim_uid: str | None = column("uid of the claim: joins persistentvolumeclaims.uid", index=True)
    storage_class: str | None = column("storage class; null or empty text for none", index=True)
    volume_attributes_class: str | None = column("spec.volumeAttributesClassName")
    volume_mode: str | None = column("Filesystem or Block")
    source_type: str | None = column("where the data lies: csi, nfs, hostPath, local, iscsi …")
    driver: str | None = column("csi.driver; null for other sources")
    volume_handle: str | None = column("csi.volumeHandle: the volume's id at the provider")
    location: str | None = column("server:path for nfs, the path for hostPath and local; null otherwise")
    mount_options: Json | None = column("spec.mountOptions, a JSON list")
    node_affinity: Json | None = column("spec.nodeAffinity: the nodes that can reach it, a JSON object")


def read(volume: dict[str, Any]) -> PersistentVolumeRecord:
    """Redacted API object -> PersistentVolumeRecord. Source: printers.go, printPersistentVolume."""
    shared = common(volume)
    spec, status = volume.get("spec") or {}, volume.get("status") or {}
    capacity = (spec.get("capacity") or {}).get("storage")
    claim = spec.get("claimRef") or {}
    source_type = next((field for field in spec if field not in _NO_SOURCE), None)
    source = (spec.get(source_type) if source_type else None) or {}
    return PersistentVolumeRecord(
        **shared,
        status=status_of(status.get("phase"), shared["deleting_since"]),
        phase=status.get("phase"),
        healthy=status.get("phase") in ("Available", "Bound") and shared["deleting_since"] is None,
        reason=status.get("reason"),
        message=status.get("message"),
        capacity=capacity,
        capacity_bytes=whole(capacity),
        access_modes=access_modes(spec.get("accessModes")),
        reclaim_policy=spec.get("persistentVolumeReclaimPolicy"),
        claim=f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else None,
        claim_namespace=claim.get("namespace"),
        claim_name=claim.get("name"),
        claim_uid=claim.get("uid"),
        storage_class=storage_class(shared["annotations"], spec),
        volume_attributes_class=spec.get("volumeAttributesClassName"),
        volume_mode=spec.get("volumeMode"),
        source_type=source_type,
        driver=source.get("driver") if source_type == "csi" else None,
        volume_handle=source.get("volumeHandle"),
        location=_location(source),
        mount_options=spec.get("mountOptions"),
        node_affinity=spec.get("nodeAffinity"),
    )


def _location(source: dict[str, Any]) -> str | None:
    path = source.get("path")
    return f"{source['server']}:{path}" if path is not None and source.get("server") else path


PERSISTENTVOLUMES = Kind(
    name="persistentvolumes",
    kind="PersistentVolume",
    group="",
    version="v1",
    namespaced=False,
    dynamic=True,
    record=PersistentVolumeRecord,
    read=read,
    list_columns=(
        "name", "capacity", "access_modes", "reclaim_policy", "status", "claim", "storage_class", "reason", "volume_mode",
        "created_at",
    ),
    filters={"status": "status", "healthy": "healthy", "storage_class": "storage_class"},
    aliases=("persistentvolume", "pv"),
)  # fmt: skip
