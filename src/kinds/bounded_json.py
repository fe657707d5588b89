"""JSON values of unknown size, cut down to what a column may hold. The manifest beside it has all of it."""

from __future__ import annotations

import json
from typing import Any

MOST_BYTES = 32 * 1024
_DEEPEST = 60
_WORTHWHILE = 64


def bounded(value: Any, most_bytes: int = MOST_BYTES) -> Any:
    """The value itself when its JSON text is at most `most_bytes` long, else the same shape with the parts left out that do
    not fit, each replaced by `‹left out: 1048576 bytes›`."""
    return value if _size(value, 0) <= most_bytes else _cut(value, most_bytes, 0)


def _size(value: Any, depth: int) -> int:
    """About the bytes of its JSON text; what is nested too deep counts as too large."""
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass")) + 2
    if isinstance(value, dict | list) and depth > _DEEPEST:
        return 1 << 40
    if isinstance(value, dict):
        return 2 + sum(len(key) + 4 + _size(member, depth + 1) for key, member in value.items())
    if isinstance(value, list):
        return 2 + sum(1 + _size(member, depth + 1) for member in value)
    return len(json.dumps(value))


def _cut(value: Any, budget: int, depth: int) -> Any:
    """Small members first: one large one must not push out the others."""
    if not isinstance(value, dict | list) or depth > _DEEPEST:
        size = _size(value, depth)
        return f"‹left out: {size} bytes›" if size < 1 << 40 else "‹left out: nested too deep›"
    members = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    sizes = {key: _size(member, depth + 1) + len(str(key)) + 4 for key, member in members}
    kept: dict[Any, Any] = {}
    left = budget
    for done, key in enumerate(sorted(sizes, key=lambda key: sizes[key])):
        share = max(left // (len(members) - done), min(left, _WORTHWHILE))
        if sizes[key] <= share:
            kept[key] = value[key]
        elif share < _WORTHWHILE:
            break
        else:
            kept[key] = _cut(value[key], share, depth + 1)
        left -= min(sizes[key], share)
    dropped = len(members) - len(kept)
    if isinstance(value, list):
        rest = [f"‹left out: {dropped} of {len(members)} items›"] if dropped else []
        return [kept[index] for index in sorted(kept)] + rest
    rest_of = {"…": f"‹left out: {dropped} of {len(members)} members›"} if dropped else {}
    return {key: kept[key] for key, _ in members if key in kept} | rest_of
