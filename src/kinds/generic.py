"""Kinds that are not declared here, custom resources above all: what nearly all objects have in common.

Nothing may be expected of their shape: `status` can be a list, conditions can have no type, `spec` can be null.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kinds.bounded_json import bounded
from kinds.kind import Kind
from kinds.metadata import common
from kinds.record import Json, Record, column, record
from kinds.registry import declared_kind

_READY_CONDITIONS = ("Ready", "Available", "Healthy", "Established", "Accepted", "Programmed", "Synced")
_PHASES = ("phase", "state", "status", "health")


@record
class GenericRecord(Record):
    """Columns of a kind of any shape."""

    status_phase: str | None = column("status.phase, else status.state, .status or .health; null without one", index=True)
    ready: bool | None = column(
        "of the first condition among Ready, Available, Healthy, Established, Accepted, Programmed, Synced; null when there is "
        "none or it is Unknown",
        index=True,
    )
    reason: str | None = column("reason of that condition")
    message: str | None = column("message of that condition")
    generation: int | None = column("metadata.generation: counts changes of the spec", tracked=False)
    observed_generation: int | None = column("status.observedGeneration: which of them status speaks of", tracked=False)
    conditions: Json = column("condition type -> status, a JSON map")
    spec: Json | None = column("spec as JSON; parts of more than 32 KiB in all are left out (the manifest has them)")
    status: Json | None = column("status as JSON, likewise", tracked=False)


def read(obj: dict[str, Any]) -> GenericRecord:
    """Redacted API object -> GenericRecord."""
    status = obj.get("status")
    told = status if isinstance(status, dict) else {}
    conditions = _conditions(told)
    deciding = next((conditions[name] for name in _READY_CONDITIONS if name in conditions), {})
    return GenericRecord(
        **common(obj),
        status_phase=_phase(told),
        ready={"True": True, "False": False}.get(str(deciding.get("status"))),
        reason=_text(deciding.get("reason")),
        message=_text(deciding.get("message")),
        generation=_integer(obj["metadata"].get("generation")),
        observed_generation=_integer(told.get("observedGeneration")),
        conditions=Json({name: str(one.get("status")) for name, one in conditions.items()}),
        spec=_json(obj.get("spec")),
        status=_json(status),
    )


def _conditions(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = status.get("conditions")
    listed = found if isinstance(found, list) else []
    return {one["type"]: one for one in listed if isinstance(one, dict) and isinstance(one.get("type"), str)}


def _phase(status: dict[str, Any]) -> str | None:
    """Argo's `health: {status: …}` is one too."""
    for name in _PHASES:
        value = status.get(name)
        value = value.get("status") if name == "health" and isinstance(value, dict) else value
        if isinstance(value, str) and value:
            return value
    return None


def _json(value: object) -> Json | None:
    return None if value is None else Json(bounded(value))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def generic_kind(name: str, group: str, version: str, kind: str, namespaced: bool) -> Kind:
    """A kind that is not declared here. `name` is `plural.group` (the plural alone in the core group)."""
    plural = name.removesuffix(f".{group}") if group else name
    columns = ("name", "status_phase", "ready", "reason", "created_at", "conditions")
    return Kind(
        name=name,
        resource=plural,
        kind=kind,
        group=group,
        version=version,
        namespaced=namespaced,
        dynamic=False,
        record=GenericRecord,
        read=read,
        list_columns=("namespace", *columns) if namespaced else columns,
        filters={"status_phase": "status_phase", "ready": "ready"},
        optional=True,
        generic=True,
    )


@dataclass(frozen=True, slots=True)
class ChosenKinds:
    """What became of names that were asked for. `absent` are not served or cannot be listed; `declared` are scanned anyway;
    `ambiguous` maps a name to those that it could mean."""

    kinds: tuple[Kind, ...]
    absent: tuple[str, ...] = ()
    declared: tuple[str, ...] = ()
    ambiguous: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def choose_kinds(wanted: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> ChosenKinds:
    """Generic kinds for `plural.group`, or `plural` where it is unique, among the rows of `k8s_list_api_resources`."""
    served = [row for row in rows if "list" in row["verbs"]]
    kinds: dict[str, Kind] = {}
    absent: list[str] = []
    declared: list[str] = []
    ambiguous: dict[str, tuple[str, ...]] = {}
    for name in wanted:
        found = [row for row in served if _full_name(row) == name] or [row for row in served if row["name"] == name]
        if declared_kind(name) is not None:
            declared.append(name)
        elif len(found) > 1:
            ambiguous[name] = tuple(_full_name(row) for row in found)
        elif not found:
            absent.append(name)
        else:
            (row,) = found
            full = _full_name(row)
            kinds[full] = generic_kind(full, row["group"], row["version"], row["kind"], row["namespaced"])
    return ChosenKinds(tuple(kinds.values()), tuple(absent), tuple(declared), ambiguous)


def _full_name(row: Mapping[str, Any]) -> str:
    return f"{row['name']}.{row['group']}" if row["group"] else str(row["name"])
