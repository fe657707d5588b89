"""PATCH: JSON merge, strategic merge, JSON patch, and apply as a merge of lists by their keys."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from demo.api_status import Json, bad_request, invalid

_MERGE_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "imagePullSecrets": ("name",),
    "secrets": ("name",),
    "ports": ("containerPort", "port"),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "hostAliases": ("ip",),
    "conditions": ("type",),
    "ownerReferences": ("uid",),
    "topologySpreadConstraints": ("topologyKey",),
    "taints": ("key",),
    "addresses": ("type",),
    "webhooks": ("name",),
}
_MERGED_PRIMITIVES = ("finalizers",)


def json_merge(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = json_merge(merged.get(key), value)
    return merged


def strategic_merge(target: Any, patch: Any, field: str = "") -> Any:
    """Kubernetes' strategic merge: known lists merge by key; `$patch: delete|replace` is honoured."""
    if isinstance(patch, list):
        return _merge_list(target if isinstance(target, list) else [], patch, field)
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    if patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    if patch.get("$patch") == "delete":
        return {}
    merged = dict(target) if isinstance(target, dict) else {}
    for retained in [patch["$retainKeys"]] if "$retainKeys" in patch else []:
        merged = {key: value for key, value in merged.items() if key in retained}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            merged[name] = [item for item in merged.get(name, []) if item not in value]
        elif key.startswith("$"):
            continue
        elif value is None:
            merged.pop(key, None)
        else:
            merged[key] = strategic_merge(merged.get(key), value, key)
    return merged


def _merge_key(field: str, items: list[Any]) -> str | None:
    return next((key for key in _MERGE_KEYS.get(field, ()) if all(key in item for item in items)), None)


def _merge_list(target: list[Any], patch: list[Any], field: str) -> list[Any]:
    if field in _MERGED_PRIMITIVES:
        return target + [item for item in patch if item not in target]
    if {"$patch": "replace"} in patch:
        return [copy.deepcopy(item) for item in patch if item != {"$patch": "replace"}]
    if not all(isinstance(item, dict) for item in [*target, *patch]):
        return copy.deepcopy(patch)
    key = _merge_key(field, patch)
    if key is None or not all(key in item for item in target):
        return copy.deepcopy(patch)
    merged = list(target)
    for item in patch:
        at = next((i for i, existing in enumerate(merged) if existing[key] == item[key]), None)
        if item.get("$patch") == "delete":
            merged = [existing for existing in merged if existing[key] != item[key]]
        elif at is None:
            merged.append(strategic_merge({}, item))
        else:
            merged[at] = strategic_merge(merged[at], item)
    return merged


def _tokens(pointer: str) -> list[str]:
    if pointer and not pointer.startswith("/"):
        raise bad_request(f"invalid JSON patch: path {pointer!r} does not start with /")
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _resolve(document: Any, tokens: list[str]) -> Any:
    for token in tokens:
        document = document[int(token)] if isinstance(document, list) else document[token]
    return document


def _add(document: Any, tokens: list[str], value: Any) -> None:
    parent, last = _resolve(document, tokens[:-1]), tokens[-1]
    if isinstance(parent, list):
        parent.insert(len(parent) if last == "-" else int(last), value)
    else:
        parent[last] = value


def _remove(document: Any, tokens: list[str]) -> Any:
    parent, last = _resolve(document, tokens[:-1]), tokens[-1]
    return parent.pop(int(last)) if isinstance(parent, list) else parent.pop(last)


def _replace(document: Any, operation: Json) -> None:
    tokens = _tokens(operation["path"])
    _remove(document, tokens)
    _add(document, tokens, copy.deepcopy(operation["value"]))


def _test(document: Any, operation: Json) -> None:
    if _resolve(document, _tokens(operation["path"])) != operation["value"]:
        raise ValueError(f"testing path {operation['path']} value failed")


def _move(document: Any, operation: Json) -> None:
    _add(document, _tokens(operation["path"]), _remove(document, _tokens(operation["from"])))


def _copy(document: Any, operation: Json) -> None:
    value = copy.deepcopy(_resolve(document, _tokens(operation["from"])))
    _add(document, _tokens(operation["path"]), value)


_OPERATIONS: dict[str, Callable[[Any, Json], None]] = {
    "add": lambda document, op: _add(document, _tokens(op["path"]), copy.deepcopy(op["value"])),
    "remove": lambda document, op: _remove(document, _tokens(op["path"])),
    "replace": _replace,
    "test": _test,
    "move": _move,
    "copy": _copy,
}


def json_patch(target: Json, operations: Any) -> Json:
    """RFC 6902; ApiError 422 when an operation does not apply, 400 when it is not one."""
    if not isinstance(operations, list):
        raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    patched = copy.deepcopy(target)
    for operation in operations:
        apply = _OPERATIONS.get(str(operation.get("op"))) if isinstance(operation, dict) else None
        if apply is None:
            raise bad_request(f"invalid JSON patch operation: {operation!r}")
        try:
            apply(patched, operation)
        except (KeyError, IndexError, ValueError, TypeError) as failure:
            cause = {"reason": "FieldValueInvalid", "message": str(failure), "field": "patch"}
            raise invalid(target["kind"], "", target["metadata"]["name"], [cause]) from failure
    return patched
