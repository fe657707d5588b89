"""Which columns of a kind can be searched by words."""

from __future__ import annotations

from kinds.kind import Kind

SEARCHED_PROSE = ("reason", "message", "failure_message")
"""Written by controllers, in any language. In the others the API server takes ASCII only."""
SEARCHED_MAPS = ("labels",)
"""Of these the values are searched, not the keys."""
SEARCHED = (
    "namespace", "name", "status", "status_phase", "node", "object_kind", "object_name", "hosts", "images",
    *SEARCHED_PROSE, *SEARCHED_MAPS,
)  # fmt: skip
"""A column of one of these names says the same in every kind."""


def search_columns(kind: Kind) -> tuple[str, ...]:
    return tuple(name for name in SEARCHED if name in kind.columns_by_name)
