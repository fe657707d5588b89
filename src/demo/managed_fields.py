"""managedFields: who set which field, in the fieldsV1 notation of server-side apply."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from demo.api_status import Json
from demo.field_owners import Path, fields_v1, paths_of

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


def _leaves(name: str, value: Any, path: Path, found: dict[Path, Any]) -> None:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            _leaves(key, inner, (*path, f"f:{key}"), found)
        return
    keys = [item_key(name, item) for item in value] if isinstance(value, list) else []
    if not keys or not all(keys):
        found[path] = value
        return
    for key, item in zip(keys, value, strict=True):
        inside = (*path, str(key))
        found[*inside, "."] = None
        for field, inner in item.items():
            _leaves(field, inner, (*inside, f"f:{field}"), found)


def leaves_of(obj: Json, *, status: bool = False) -> dict[Path, Any]:
    """Path -> value of each field of the status, or of everything else that a client can set."""
    found: dict[Path, Any] = {}
    if status:
        _leaves("status", obj.get("status", {}), ("f:status",), found)
        return found
    for key, value in obj.items():
        if key == "metadata":
            for field, inner in value.items():
                if field not in _NOT_MANAGED:
                    _leaves(field, inner, ("f:metadata", f"f:{field}"), found)
        elif key not in ("kind", "apiVersion", "status"):
            _leaves(key, value, (f"f:{key}",), found)
    return found


def _entry(obj: Json, manager: str, operation: str, at: str, paths: Iterable[Path], *, status: bool) -> Json:
    return {
        "manager": manager,
        "operation": operation,
        "apiVersion": obj["apiVersion"],
        "time": at,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields_v1(paths),
        **({"subresource": "status"} if status else {}),
    }


def record(
    obj: Json,
    manager: str,
    operation: str,
    at: str,
    *,
    status: bool = False,
    applied: Json | None = None,
    old: Json | None = None,
) -> None:
    """Note in place that `manager` has written `obj`, or its status.

    Its own is what changed since `old`, or the fields of an `applied` body; without either everything. Of what changed the other
    managers lose what they had.
    """
    now = leaves_of(obj, status=status)
    then = leaves_of(old, status=status) if old is not None else {}
    changed = {path for path, value in now.items() if path not in then or then[path] != value} if old is not None else set()
    written = set(leaves_of(applied, status=status)) if applied is not None else changed if old is not None else set(now)
    kept: list[Json] = []
    mine, place = None, None
    for existing in obj["metadata"].get("managedFields", ()):
        if existing.get("subresource", "") != ("status" if status else ""):
            kept.append(existing)
        elif (existing["manager"], existing["operation"]) == (manager, operation):
            mine, place = existing, len(kept)
        else:
            kept += _without(existing, changed | (then.keys() - now.keys()))
    had = paths_of(mine["fieldsV1"]) & now.keys() if mine and applied is None and old is not None else set()
    if paths := written | had:
        renewed = _entry(obj, manager, operation, at, paths, status=status)
        same = mine is not None and mine["fieldsV1"] == renewed["fieldsV1"] and not changed
        kept.insert(len(kept) if place is None else place, mine if mine and same else renewed)
    obj["metadata"]["managedFields"] = kept
    if not kept:  # an object that is only a name, such as a namespace's first ServiceAccount
        del obj["metadata"]["managedFields"]


def _without(existing: Json, lost: set[Path]) -> list[Json]:
    """The entry without these fields; none when it has no other."""
    paths = paths_of(existing["fieldsV1"])
    if not paths & lost:
        return [existing]
    left = paths - lost
    return [{**existing, "fieldsV1": fields_v1(left)}] if left else []
