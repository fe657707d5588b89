"""One object: its columns for a person, or its manifest as YAML or JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from agent.terminal.durations import age_of
from agent.terminal.grid import Grid, cell, list_cell
from agent.terminal.screen import Screen
from configuration.errors import NotFound
from kinds.kind import Kind
from kinds.kind import row as whole_row

UNREADABLE = (KeyError, TypeError, ValueError, AttributeError)
"""What `Kind.read` raises on an object that is not as expected; its list row is shown then."""
_LEFT_OUT = frozenset({"uid", "resource_version", "annotations", "owner_uid", "tolerations", "volumes"})
"""Long and seldom asked for; `-o yaml` has them."""
_SIDE_COLUMNS = {"containers": ("name", "image", "ready", "restarts", "state", "reason", "exit_code", "last_reason", "message")}


def show_object(screen: Screen, kind: Kind, found: Mapping[str, Any], output: str, *, now: float) -> None:
    """`found` is {"row", "manifest", …} of k8s_get_resource. Raises NotFound when there is no such object."""
    row, manifest = found.get("row"), found.get("manifest")
    if row is None and manifest is None:
        raise NotFound(f"{kind.kind}: no such object")
    if output == "json":
        screen.json(manifest)
    elif output == "yaml":
        screen.text(_yaml(manifest))
    else:
        _describe(screen, kind, row or {}, manifest, now)


def _describe(screen: Screen, kind: Kind, row: Mapping[str, Any], manifest: Any, now: float) -> None:
    """Every column that says something, then the rows of its side tables, the containers of a pod for example."""
    try:
        record = kind.read(manifest)
    except UNREADABLE:
        screen.pairs(object_pairs(kind, row, now))
        return
    screen.pairs(object_pairs(kind, whole_row(kind, record, [column.name for column in kind.columns]), now))
    for side in kind.side_tables:
        parts = [asdict(part) for part in getattr(record, side.attribute)]
        names = [name for name in _SIDE_COLUMNS.get(side.name, ()) if any(part[name] not in (None, "") for part in parts)]
        if parts and names:
            headers = tuple(name.upper().replace("_", " ") for name in names)
            cells = tuple(tuple("-" if part[name] is None else cell(part[name]) for name in names) for part in parts)
            screen.text("")
            screen.table(Grid(headers, cells))


def object_pairs(kind: Kind, row: Mapping[str, Any], now: float) -> list[tuple[str, str]]:
    """Name and value of every column that says something: not null, not empty, and not the usual "false"."""
    times = {column.name for column in kind.columns if column.type == "time"}
    pairs = []
    for name, value in row.items():
        if name in _LEFT_OUT or value is None or value in ("", [], {}) or (value is False and name != "healthy"):
            continue
        shown = f"{value} ({age_of(str(value), now)} ago)" if name in times else list_cell(value)
        pairs.append((name.replace("_", " "), shown))
    return pairs


def _yaml(manifest: Any) -> str:
    import yaml

    # Through JSON: only plain types remain, so that no tag or anchor of Python's can appear.
    text: str = yaml.safe_dump(json.loads(json.dumps(manifest)), sort_keys=False, allow_unicode=True, width=120)
    return text.rstrip("\n")
