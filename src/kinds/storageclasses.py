"""StorageClasses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kinds.kind import Kind
from kinds.metadata import common
from kinds.record import Json, Record, column, record

_DEFAULT_ANNOTATIONS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")


@record
class StorageClassRecord(Record):
    """What `kubectl get storageclasses` shows."""

    is_default: bool = column("claims that name no class get this one; kubectl prints (default) after the name", index=True)
    provisioner: str | None = column("who makes the volumes", index=True)
    reclaim_policy: str = column("RECLAIMPOLICY as kubectl prints it: Delete unless set to Retain")
    volume_binding_mode: str = column("VOLUMEBINDINGMODE as kubectl prints it: Immediate unless set to WaitForFirstConsumer")
    allow_volume_expansion: bool | None = column("allowVolumeExpansion; null when not set, which means no")
    parameters: Json | None = column("parameters of the provisioner, a JSON map; redacted")
    mount_options: Json | None = column("mountOptions, a JSON list")
    allowed_topologies: Json | None = column("allowedTopologies, a JSON list")


def read(storageclass: dict[str, Any]) -> StorageClassRecord:
    """Redacted API object -> StorageClassRecord. Source: printers.go, printStorageClass."""
    shared = common(storageclass)
    return StorageClassRecord(
        **shared,
        is_default=_is_default(shared["annotations"]),
        provisioner=storageclass.get("provisioner"),
        reclaim_policy=storageclass.get("reclaimPolicy") or "Delete",
        volume_binding_mode=storageclass.get("volumeBindingMode") or "Immediate",
        allow_volume_expansion=storageclass.get("allowVolumeExpansion"),
        parameters=storageclass.get("parameters"),
        mount_options=storageclass.get("mountOptions"),
        allowed_topologies=storageclass.get("allowedTopologies"),
    )


def _is_default(annotations: Mapping[str, str]) -> bool:
    """Source: kubernetes pkg/apis/storage/util/helpers.go, IsDefaultAnnotation."""
    return any(annotations.get(name) == "true" for name in _DEFAULT_ANNOTATIONS)


STORAGECLASSES = Kind(
    name="storageclasses",
    kind="StorageClass",
    group="storage.k8s.io",
    version="v1",
    namespaced=False,
    dynamic=False,
    record=StorageClassRecord,
    read=read,
    list_columns=(
        "name", "is_default", "provisioner", "reclaim_policy", "volume_binding_mode", "allow_volume_expansion", "created_at",
    ),
    filters={"provisioner": "provisioner", "is_default": "is_default"},
    aliases=("storageclass", "sc"),
)  # fmt: skip
