"""Field-level changes of an object between two scans.

Compared are the typed columns and the rows of the side tables, not the manifests: what no column shows is not recorded.
That leaves managedFields and heartbeats out by construction; bookkeeping that Kubernetes writes into annotations is
left out by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from cache.object_rows import StoredObject
from kinds.kind import Column, Kind

UNTRACKED_KINDS = frozenset({"events"})
"""An event is history itself: its count and last_seen would be all there is to record."""

_UNTRACKED_COLUMNS = frozenset({"resource_version"})
_UNTRACKED_ANNOTATIONS = frozenset(
    {
        "control-plane.alpha.kubernetes.io/leader",
        "endpoints.kubernetes.io/last-change-trigger-time",
        "kubectl.kubernetes.io/last-applied-configuration",
    }
)
_REDACTION_MARK = "‹redacted:"
_LONGEST_VALUE = 2000


@dataclass(frozen=True, slots=True)
class FieldChange:
    """`field` is a column, `labels.app`, or `containers[web].image`; null means absent."""

    field: str
    old: str | None
    new: str | None


def object_changes(kind: Kind, old: StoredObject, new: StoredObject, *, ignore_redacted: bool = False) -> list[FieldChange]:
    """What differs between two states of one object; nothing for kinds that are history themselves."""
    if kind.name in UNTRACKED_KINDS:
        return []
    return [
        *row_changes(kind.columns, old.row, new.row, ignore_redacted=ignore_redacted),
        *side_changes(kind, old.sides, new.sides, ignore_redacted=ignore_redacted),
    ]


def row_changes(
    columns: Sequence[Column], old: Sequence[Any], new: Sequence[Any], *, ignore_redacted: bool, prefix: str = ""
) -> Iterator[FieldChange]:
    """Compare two rows of stored values. `ignore_redacted`: the key or the rules changed, so marks differ by themselves."""
    for column, before, after in zip(columns, old, new, strict=True):
        if before == after or not column.tracked or column.name in _UNTRACKED_COLUMNS:
            continue
        for change in _column_changes(column, before, after):
            if not (ignore_redacted and _REDACTION_MARK in f"{change.old}{change.new}"):
                yield FieldChange(prefix + change.field, change.old, change.new)


def _column_changes(column: Column, before: Any, after: Any) -> Iterator[FieldChange]:
    if column.type == "json":
        old, new = _loaded(before), _loaded(after)
        if isinstance(old, dict) and isinstance(new, dict):
            for key in sorted(old.keys() | new.keys()):
                if old.get(key) != new.get(key) and not (column.name == "annotations" and key in _UNTRACKED_ANNOTATIONS):
                    yield FieldChange(f"{column.name}.{key}", _text(old.get(key)), _text(new.get(key)))
            return
    if column.type == "boolean":  # SQLite gives back 0 and 1
        before, after = _truth(before), _truth(after)
    yield FieldChange(column.name, _text(before), _text(after))


def side_changes(
    kind: Kind,
    old: Mapping[str, Sequence[Sequence[Any]]],
    new: Mapping[str, Sequence[Sequence[Any]]],
    *,
    ignore_redacted: bool,
) -> Iterator[FieldChange]:
    """Compare the rows of all side tables, by side table's name. Rows are matched by their key, else by position."""
    for side in kind.side_tables:
        at = [index for index, column in enumerate(side.columns) if column.name in side.key]
        before, after = _keyed(at, old.get(side.name, ())), _keyed(at, new.get(side.name, ()))
        for key in sorted(before.keys() | after.keys()):
            prefix = f"{side.name}[{key}]"
            if key in before and key in after:
                yield from row_changes(
                    side.columns, before[key], after[key], ignore_redacted=ignore_redacted, prefix=f"{prefix}."
                )
            else:
                yield FieldChange(prefix, _presence(before.get(key)), _presence(after.get(key)))


def _keyed(at: Sequence[int], rows: Sequence[Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """By the values at these places, `app` or `apps deployments`; by position where they do not tell all rows apart."""
    keyed = {" ".join(str(row[index]) for index in at if row[index] not in (None, "")): row for row in rows}
    return keyed if len(keyed) == len(rows) else {str(position): row for position, row in enumerate(rows)}


def _truth(stored: Any) -> bool | None:
    return None if stored is None else bool(stored)


def _presence(row: Sequence[Any] | None) -> str | None:
    return None if row is None else "present"


def _loaded(stored: Any) -> Any:
    return {} if stored is None else orjson.loads(stored)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
