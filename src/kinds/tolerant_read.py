"""An object into its record, or as much of it as can be read: the same from a scan, a watch and a live list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kinds.kind import Kind
from kinds.partial_read import read_parts
from kinds.record import Record
from kinds.storable_check import StorableCheck

UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""What Kind.read raises on an object that it cannot read."""


@dataclass(frozen=True, slots=True)
class Reading:
    """`trouble` is "" for an object that was read as a whole; else why not, and which places its record leaves out.

    `record` is None when not even what identifies the object could be read.
    """

    record: Record | None
    trouble: str = ""


class _Unstorable(ValueError):
    """A record that its columns cannot hold."""


def read_tolerantly(obj: object, kind: Kind, check: StorableCheck) -> Reading:
    """A redacted API object -> what can be read of it; raises nothing. `check` is that of the kind."""
    if not isinstance(obj, dict):
        return Reading(None, f"TypeError: not a JSON object but a {type(obj).__name__}")

    def read(candidate: dict[str, Any]) -> Record:
        record = kind.read(candidate)
        if complaint := check.complaint(record):
            raise _Unstorable(complaint)
        return record

    try:
        return Reading(read(obj))
    except UNREADABLE as error:
        reason = reason_of(error)
    part = read_parts(obj, read, UNREADABLE)
    return Reading(None, reason) if part is None else Reading(part.record, f"kept without {part.places}: {reason}")


def reason_of(error: Exception) -> str:
    """In words, for a report."""
    if isinstance(error, KeyError):
        return f"field {error.args[0]!r} is missing" if error.args else "a field is missing"
    if isinstance(error, _Unstorable):
        return str(error)
    return f"{type(error).__name__}: {str(error)[:200]}"
