"""Booleans as an object states them: null is neither true nor false, and text is no boolean."""

from __future__ import annotations


def stated(value: object) -> bool | None:
    """The boolean, or None where nothing is said. Raises TypeError on anything else: `"false"` must not become true."""
    if value is None or isinstance(value, bool):
        return value
    raise TypeError(f"not a boolean but {type(value).__name__}")


def is_on(value: object) -> bool:
    """For a field that counts as false where nothing is said. Raises TypeError as `stated` does."""
    return stated(value) is True
