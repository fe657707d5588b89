"""Numbers with their nouns, and names of which there may be too many."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, noun: str) -> str:
    """`1 pod`, `2 pods`."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def first_few(names: Sequence[str], most: int) -> str:
    """`a, b and 3 more`: at most so many of them."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
