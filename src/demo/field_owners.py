"""Which manager owns which field: sets of paths, and the conflicts between them that a server-side apply meets.

A path is a tuple of fieldsV1's steps, `("f:spec", "f:containers", 'k:{"name":"app"}', "f:image")`. Simplified: what a manager no
longer applies stays in the object.
Source: sigs.k8s.io/structured-merge-diff, k8s.io/apimachinery pkg/util/managedfields/internal/conflict.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from demo import api_status
from demo.api_status import Json

Path = tuple[str, ...]


def paths_of(fields: Json) -> set[Path]:
    """The leaves of a fieldsV1 document."""
    found: set[Path] = set()
    pending: list[tuple[Path, Json]] = [((), fields)]
    while pending:
        path, inner = pending.pop()
        if not inner and path:
            found.add(path)
        pending += [((*path, step), below) for step, below in inner.items()]
    return found


def fields_v1(paths: Iterable[Path]) -> Json:
    """The reverse of `paths_of`."""
    fields: Json = {}
    for path in sorted(paths):
        inner = fields
        for step in path:
            inner = inner.setdefault(step, {})
    return fields


def conflicts_of(entries: Iterable[Json], manager: str, wanted: Mapping[Path, Any], live: Mapping[Path, Any]) -> list[Json]:
    """What `manager` would change by an apply though others own it: {manager, path}, as the API server orders them."""
    found: list[Json] = []
    for entry in entries:
        if (entry["manager"], entry["operation"]) == (manager, "Apply"):
            continue
        lost = {path for path in paths_of(entry["fieldsV1"]) & wanted.keys() if live.get(path) != wanted[path]}
        found += [{"manager": _described(entry), "path": path} for path in sorted(lost, key=_members_first)]
    return sorted(found, key=lambda one: str(one["manager"]))


def conflict_error(conflicts: list[Json]) -> api_status.ApiError:
    """The 409 that names each field and its owner."""
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {one['manager']}", "field": _written(one["path"])}
        for one in conflicts
    ]
    if len(conflicts) == 1:
        message = f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        lines: list[str] = []
        for manager in dict.fromkeys(one["manager"] for one in conflicts):
            lines += [
                f"conflicts with {manager}:",
                *(f"- {_written(one['path'])}" for one in conflicts if one["manager"] == manager),
            ]
        message = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
    return api_status.ApiError(409, "Conflict", message, {"causes": causes})


def _members_first(path: Path) -> list[tuple[bool, str]]:
    return [(at < len(path) - 1, step) for at, step in enumerate(path)]


def _described(entry: Json) -> str:
    quoted = f'"{entry["manager"]}"' + (f' with subresource "{entry["subresource"]}"' if entry.get("subresource") else "")
    return f"{quoted} using {entry['apiVersion']}" if entry["operation"] == "Update" else quoted


def _written(path: Path) -> str:
    """`.spec.containers[name="app"].image`."""
    text = ""
    for step in path:
        mark, _, rest = step.partition(":")
        if mark == "k":
            text += "[" + ",".join(f"{key}={orjson.dumps(value).decode()}" for key, value in orjson.loads(rest).items()) + "]"
        else:
            text += f".{rest}"
    return text
