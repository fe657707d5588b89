"""Where a live object differs from a manifest, in the fields that the manifest sets. Both are redacted before they come here.

What the API server fills in, or writes in another way (quantities, empty fields), is no difference.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from kinds.quantity import same_quantity

_IDENTITY = frozenset({"apiVersion", "kind", "status"})
_BOOKKEEPING = frozenset(
    {"name", "namespace", "creationTimestamp", "managedFields", "uid", "resourceVersion", "generation", "selfLink"}
)
_STRING_MAPS = frozenset({"data", "binaryData", "stringData", "labels", "annotations", "matchLabels", "nodeSelector", "selector"})
"""Maps from any name to a string: an empty string in them is a value, and 1Gi is a word."""
_AMOUNTS = frozenset(
    {"requests", "limits", "capacity", "allocatable", "hard", "podFixed", "max", "min", "default", "defaultRequest"}
)
"""Maps whose values are quantities."""
_AMOUNT = frozenset({"storage", "sizeLimit", "divisor", "averageValue", "value", "memory", "cpu", "ephemeral-storage"})
_APPENDED = frozenset(
    {"containers", "initContainers", "volumes", "volumeMounts", "env", "envFrom", "tolerations", "imagePullSecrets", "secrets",
     "finalizers", "ownerReferences"}
)  # fmt: skip
"""Lists that admission and controllers add to: one item more is told, and is no difference."""
_KEYS = ("name", "mountPath", "containerPort", "port", "ip", "key")
"""Fields that tell the items of a list apart, whatever their order."""


@dataclass(frozen=True, slots=True)
class Difference:
    """`live` is None where the field is not there."""

    path: str
    manifest: Any
    live: Any


@dataclass(frozen=True, slots=True)
class Drift:
    """`added`: paths of list items and data keys that the live object has besides."""

    differences: list[Difference] = field(default_factory=list)
    added: list[str] = field(default_factory=list)


def comparable(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest of a Secret as the API server stores it: `stringData` goes into `data`, base64 has no line breaks."""
    if manifest.get("kind") != "Secret" or manifest.get("apiVersion") != "v1":
        return manifest
    data = {str(key): "".join(str(value or "").split()) for key, value in _dict(manifest.get("data")).items()}
    for key, value in _dict(manifest.get("stringData")).items():
        data[str(key)] = base64.b64encode(str(value if value is not None else "").encode()).decode()
    kept = {key: value for key, value in manifest.items() if key != "stringData"}
    return kept | ({"data": data} if data else {})


def drift_between(manifest: dict[str, Any], live: dict[str, Any]) -> Drift:
    """Of one object."""
    found = Drift()
    for key, value in manifest.items():
        if key == "metadata":
            wanted = {name: item for name, item in _dict(value).items() if name not in _BOOKKEEPING}
            _compare(wanted, _dict(live.get(key)), (key,), found)
        elif key not in _IDENTITY:
            _compare(value, live.get(key), (str(key),), found)
    if manifest.get("kind") in ("ConfigMap", "Secret"):
        for key in ("data", "binaryData"):
            known = _dict(manifest.get(key))
            found.added.extend(f"{key}.{name}" for name in _dict(live.get(key)) if name not in known)
    return found


def _compare(wanted: Any, live: Any, path: tuple[str, ...], found: Drift) -> None:
    if _is_unset(wanted, live, path) or _is_same(wanted, live, path):
        return
    if isinstance(wanted, dict) and isinstance(live, dict):
        for key, value in wanted.items():
            _compare(value, live.get(key), (*path, str(key)), found)
    elif isinstance(wanted, list) and isinstance(live, list):
        _compare_lists(wanted, live, path, found)
    else:
        found.differences.append(Difference(_path(path), wanted, live))


def _compare_lists(wanted: list[Any], live: list[Any], path: tuple[str, ...], found: Drift) -> None:
    appended = path[-1] in _APPENDED
    if (key := _key_of(wanted, live)) is not None:
        lives = {item[key]: item for item in live}
        for item in wanted:
            _compare(item, lives.pop(item[key], None), (*path, f"[{item[key]}]"), found)
        for name, item in lives.items():
            if appended:
                found.added.append(_path((*path, f"[{name}]")))
            else:
                found.differences.append(Difference(_path((*path, f"[{name}]")), None, item))
    elif len(wanted) == len(live):
        for index, (one, other) in enumerate(zip(wanted, live, strict=True)):
            _compare(one, other, (*path, f"[{index}]"), found)
    elif appended and (others := _others(wanted, live, path)) is not None:
        found.added.extend(_path((*path, f"[{index}]")) for index in others)
    else:
        found.differences.append(Difference(_path(path), wanted, live))


def _others(wanted: Sequence[Any], live: Sequence[Any], path: tuple[str, ...]) -> list[int] | None:
    """Places of what is in `live` besides `wanted`, whose order is kept; None when something of it is not there."""
    places, left = [], list(wanted)
    for index, item in enumerate(live):
        trial = Drift()
        if left:
            _compare(left[0], item, path, trial)
        if left and not trial.differences:
            left.pop(0)
        else:
            places.append(index)
    return None if left else places


def _key_of(wanted: list[Any], live: list[Any]) -> str | None:
    """The field that tells all items apart on both sides."""
    for key in _KEYS:
        if all(_tells_apart(items, key) for items in (wanted, live)):
            return key
    return None


def _tells_apart(items: list[Any], key: str) -> bool:
    names = [item.get(key) for item in items if isinstance(item, dict)]
    return len(names) == len(items) and all(isinstance(one, (str, int)) for one in names) and len(set(names)) == len(names)


def _is_unset(wanted: Any, live: Any, path: tuple[str, ...]) -> bool:
    """Whether the manifest leaves it to the API server: null, {}, and what is not stored because it is the zero value."""
    if wanted is None or wanted == {}:
        return True
    in_string_map = len(path) > 1 and path[-2] in _STRING_MAPS
    if live is None:
        return wanted in ("", 0, False) or wanted == [] or (isinstance(wanted, dict) and not in_string_map and _is_empty(wanted))
    return wanted == "" and not in_string_map and path[-1] != "value"


def _is_empty(wanted: dict[str, Any]) -> bool:
    """A mapping of nothing but unset fields, which the API server drops."""
    return all(
        value is None or value in ("", {}, []) or (isinstance(value, dict) and _is_empty(value)) for value in wanted.values()
    )


def _is_same(wanted: Any, live: Any, path: tuple[str, ...]) -> bool:
    if isinstance(wanted, bool) or isinstance(live, bool):
        return wanted is live
    if wanted == live:
        return not isinstance(wanted, (dict, list)) or not _holds_boolean(wanted)
    if isinstance(wanted, (str, int, float)) and isinstance(live, (str, int, float)) and _is_amount(path):
        return same_quantity(wanted, live)
    return False


def _holds_boolean(value: Any) -> bool:
    """True equals 1 in Python, and not in Kubernetes: then the parts are looked at one by one."""
    return isinstance(value, bool) or any(_holds_boolean(one) for one in _parts(value))


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _is_amount(path: tuple[str, ...]) -> bool:
    if "env" in path or _STRING_MAPS & set(path) or path[0] == "metadata":
        return False
    return path[-1] in _AMOUNT or (len(path) > 1 and path[-2] in _AMOUNTS)


def _path(path: tuple[str, ...]) -> str:
    """`spec.containers[app].image`."""
    text = path[0]
    for part in path[1:]:
        text += part if part.startswith("[") else f".{part}"
    return text


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
