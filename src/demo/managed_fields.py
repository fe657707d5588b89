"""managedFields: who set which field, in the fieldsV1 notation of server-side apply."""

from __future__ import annotations

from typing import Any

import orjson

from demo.api_status import Json

_LIST_KEYS: dict[str, tuple[str, ...]] = {
    "ports": ("containerPort", "port"),
    "conditions": ("type",),
    "ownerReferences": ("uid",),
    "volumeMounts": ("mountPath",),
    "tolerations": (),
    "addresses": ("type",),
    "podIPs": ("ip",),
    "hostIPs": ("ip",),
    "topologySpreadConstraints": ("topologyKey",),
}
_NOT_MANAGED = {"name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields",
                "deletionTimestamp", "deletionGracePeriodSeconds"}  # fmt: skip


def item_key(field: str, item: Any) -> str | None:
    """The merge key of a list's item as fieldsV1 spells it (`k:{"name":"app"}`); None for atomic lists."""
    if not isinstance(item, dict):
        return None
    for key in _LIST_KEYS.get(field, ("name",)):
        if key in item:
            named = {key: item[key]}
            if field == "ports":
                named["protocol"] = item.get("protocol", "TCP")
            return "k:" + orjson.dumps(named).decode()
    return None


def _fields(name: str, value: Any) -> Json:
    if isinstance(value, dict):
        return {f"f:{key}": _fields(key, inner) for key, inner in value.items()}
    if isinstance(value, list) and value:
        keys = [item_key(name, item) for item in value]
        if all(keys):
            return {str(key): {".": {}, **_fields("", item)} for key, item in zip(keys, value, strict=True)}
    return {}


def fields_of(obj: Json, *, status: bool) -> Json:
    """fieldsV1 over the status, or over everything else that a client can set."""
    if status:
        return {"f:status": _fields("status", obj.get("status", {}))}
    top = {key: value for key, value in obj.items() if key not in ("kind", "apiVersion", "metadata", "status")}
    metadata = {key: value for key, value in obj.get("metadata", {}).items() if key not in _NOT_MANAGED}
    return {**({"f:metadata": _fields("metadata", metadata)} if metadata else {}), **_fields("", top)}


def entry(obj: Json, manager: str, operation: str, at: str, *, status: bool = False) -> Json:
    """One managedFields entry of `manager` for what `obj` holds now."""
    return {
        "manager": manager,
        "operation": operation,
        "apiVersion": obj["apiVersion"],
        "time": at,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields_of(obj, status=status),
        **({"subresource": "status"} if status else {}),
    }


def record(obj: Json, manager: str, operation: str, at: str, *, status: bool = False, applied: Json | None = None) -> None:
    """Add or renew `manager`'s entry in place; `applied` limits it to the fields of an applied body."""
    source = {**applied, "apiVersion": obj["apiVersion"]} if applied is not None else obj
    renewed = entry(source, manager, operation, at, status=status)
    same = ("manager", "operation", "subresource")
    kept = [
        existing
        for existing in obj["metadata"].get("managedFields", ())
        if any(existing.get(field) != renewed.get(field) for field in same)
    ]
    obj["metadata"]["managedFields"] = [*kept, renewed]
