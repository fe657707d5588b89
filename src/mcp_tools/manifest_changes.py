"""What differs between two redacted manifests, as paths: `spec.replicas: 1 -> 3`."""

from __future__ import annotations

from typing import Any

_UNINTERESTING = frozenset({"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"})


def changes_between(before: dict[str, Any] | None, after: dict[str, Any] | None, *, status: bool = False) -> list[dict[str, Any]]:
    """`[{path, old, new}]`; None on a side means that the object does not exist there: then the spec is shown as a whole.

    Bookkeeping of the API server is left out, and status but of kinds whose status may be written like the rest (`status`).
    Lists whose items have names are compared by name.
    """
    if before is None or after is None:
        existing = before or after
        return [] if existing is None else _leaves(existing, gone=after is None, status=status)
    changes: list[dict[str, Any]] = []
    _compare(_interesting(before, status=status), _interesting(after, status=status), "", changes)
    return changes


def _interesting(manifest: dict[str, Any], *, status: bool) -> dict[str, Any]:
    metadata = {key: value for key, value in (manifest.get("metadata") or {}).items() if key not in _UNINTERESTING}
    return {key: value for key, value in manifest.items() if status or key != "status"} | {"metadata": metadata}


def _leaves(manifest: dict[str, Any], *, gone: bool, status: bool) -> list[dict[str, Any]]:
    name = f"{manifest.get('kind', 'object')} {(manifest.get('metadata') or {}).get('name', '')}"
    if gone:
        return [{"path": "", "old": name, "new": None}]
    changes: list[dict[str, Any]] = []
    kept = {key: value for key, value in _interesting(manifest, status=status).items() if key not in ("apiVersion", "kind")}
    _compare({}, kept, "", changes)
    return changes


def _compare(old: Any, new: Any, path: str, changes: list[dict[str, Any]]) -> None:
    if old == new:
        return
    if isinstance(new, dict) and (isinstance(old, dict) or old is None) and new:
        for key in sorted({*(old or {}), *new}):
            _compare((old or {}).get(key), new.get(key), f"{path}.{key}" if path else str(key), changes)
    elif _named(new) and (_named(old) or old is None):
        olds = {item["name"]: item for item in old or []}
        news = {item["name"]: item for item in new}
        for name in sorted({*olds, *news}):
            _compare(olds.get(name), news.get(name), f"{path}[{name}]", changes)
    else:
        changes.append({"path": path, "old": old, "new": new})


def _named(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, dict) and isinstance(item.get("name"), str) for item in value)
    )
