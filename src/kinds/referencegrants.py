"""Gateway API: which namespaces may refer to objects of this one."""

from __future__ import annotations

from typing import Any

from kinds.kind import Kind
from kinds.metadata import common
from kinds.record import Json, Record, column, record


@record
class ReferenceGrantRecord(Record):
    """A permission across namespaces."""

    grants_from: Json | None = column("spec.from: who may refer, a JSON list of {group, kind, namespace}")
    grants_to: Json | None = column("spec.to: what they may refer to here, a JSON list of {group, kind, name}; no name: any")


def read(grant: dict[str, Any]) -> ReferenceGrantRecord:
    """Redacted API object -> ReferenceGrantRecord."""
    spec = grant.get("spec") or {}
    return ReferenceGrantRecord(**common(grant), grants_from=spec.get("from"), grants_to=spec.get("to"))


REFERENCEGRANTS = Kind(
    name="referencegrants",
    kind="ReferenceGrant",
    group="gateway.networking.k8s.io",
    version="v1beta1",
    namespaced=True,
    dynamic=False,
    record=ReferenceGrantRecord,
    read=read,
    list_columns=("namespace", "name", "grants_from", "grants_to", "created_at"),
    aliases=("referencegrant", "refgrant"),
    optional=True,
)
