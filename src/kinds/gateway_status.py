"""What the kinds of the Gateway API share."""

from __future__ import annotations

from typing import Any


def truth(status: str | None) -> bool | None:
    """Status of a condition: "True", "False"; None for "Unknown" and for a condition that is missing."""
    return {"True": True, "False": False}.get(status or "")


def states_of(holder: dict[str, Any]) -> dict[str, str]:
    """`conditions` of a part of a status (a listener, a parent) as type -> status."""
    return {str(one["type"]): one.get("status", "") for one in holder.get("conditions") or [] if one.get("type")}


def first_problem(holders: list[dict[str, Any]], wanted: tuple[str, ...]) -> dict[str, Any]:
    """The first condition among `wanted` that is not True, or {}."""
    for holder in holders:
        for one in holder.get("conditions") or []:
            if one.get("type") in wanted and one.get("status") != "True":
                found: dict[str, Any] = one
                return found
    return {}
