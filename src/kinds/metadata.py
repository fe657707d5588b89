"""The columns that every kind shares, read from `metadata`."""

from __future__ import annotations

from typing import Any

from kinds.times import to_time


def common(obj: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments for the fields of `Record`. KeyError when the object has no metadata, name or uid."""
    meta = obj["metadata"]
    owner, version = owner_of(meta), meta.get("resourceVersion")
    return {
        "namespace": meta.get("namespace"),
        "name": meta["name"],
        "uid": meta["uid"],
        "resource_version": version if isinstance(version, str) else "",
        "created_at": to_time(meta.get("creationTimestamp")),
        "deleting_since": to_time(meta.get("deletionTimestamp")),
        "labels": meta.get("labels") or {},
        "annotations": meta.get("annotations") or {},
        "owner_uid": owner.get("uid"),
        "owner_kind": owner.get("kind"),
        "owner_name": owner.get("name"),
    }


def owner_of(meta: dict[str, Any]) -> dict[str, Any]:
    """The controlling owner reference, else the first one, else {}."""
    owners = meta.get("ownerReferences") or []
    return next((owner for owner in owners if owner.get("controller")), owners[0] if owners else {})


def conditions(obj: dict[str, Any]) -> dict[str, str]:
    """`status.conditions` as type -> status ("True", "False", "Unknown")."""
    found = (obj.get("status") or {}).get("conditions") or []
    return {str(c["type"]): c.get("status", "") for c in found if c.get("type")}


def condition(obj: dict[str, Any], type_: str) -> dict[str, Any]:
    """The condition of that type, or {}."""
    found = (obj.get("status") or {}).get("conditions") or []
    return next((c for c in found if c.get("type") == type_), {})
