"""Lists of API objects, reduced to the one field that names each."""

from __future__ import annotations

from typing import Any

from kinds.record import Json


def names_of(items: list[dict[str, Any]] | None, field: str = "name") -> Json | None:
    """`[{"name": "a"}, …]` -> `["a", …]`, in order; None stays None, an empty list empty."""
    return None if items is None else Json([item.get(field) for item in items])
