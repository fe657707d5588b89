"""One object: its columns for a person, or its manifest as YAML or JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agent.terminal.durations import age_of
from agent.terminal.grid import cell
from agent.terminal.screen import Screen
from configuration.errors import NotFound
from kinds.kind import Kind


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
        screen.pairs(object_pairs(kind, row or {}, now))


def object_pairs(kind: Kind, row: Mapping[str, Any], now: float) -> list[tuple[str, str]]:
    """Name and value of every column that says something."""
    times = {column.name for column in kind.columns if column.type == "time"}
    pairs = []
    for name, value in row.items():
        if value is None or value in ("", [], {}):
            continue
        shown = f"{value} ({age_of(str(value), now)} ago)" if name in times else cell(value)
        pairs.append((name.replace("_", " "), shown))
    return pairs


def _yaml(manifest: Any) -> str:
    import yaml

    # Through JSON: only plain types remain, so that no tag or anchor of Python's can appear.
    text: str = yaml.safe_dump(json.loads(json.dumps(manifest)), sort_keys=False, allow_unicode=True, width=120)
    return text.rstrip("\n")
