"""What claims and volumes print alike: access modes, storage class, and Terminating."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SHORT = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


def access_modes(modes: list[str] | None) -> str | None:
    """`["ReadWriteOnce", "ReadOnlyMany"]` -> `RWO,ROX`, in kubectl's order; None when there are none.

    Source: kubernetes pkg/apis/core/helper/helpers.go, GetAccessModesAsString; a mode that is not known yet goes last.
    """
    if not modes:
        return None
    known = [short for mode, short in _SHORT.items() if mode in modes]
    return ",".join([*known, *sorted({mode for mode in modes if mode not in _SHORT})])


def storage_class(annotations: Mapping[str, str], spec: Mapping[str, Any]) -> str | None:
    """The class's name; "" asks for no class, None leaves it to the default one.

    Source: helpers.go, GetPersistentVolumeClass and GetPersistentVolumeClaimClass: the old annotation comes first.
    """
    found = annotations.get(_BETA_CLASS, spec.get("storageClassName"))
    return None if found is None else str(found)


def status_of(phase: str | None, deleting_since: int | None) -> str | None:
    """Source: printers.go, printPersistentVolume and printPersistentVolumeClaim."""
    return phase if deleting_since is None else "Terminating"
