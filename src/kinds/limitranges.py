"""LimitRanges, with their limits in a side table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kinds.kind import Kind, SideTable
from kinds.metadata import common
from kinds.record import Json, Record, SideRecord, column, record
from kinds.resource_units import Unit, normalised, unit_of

_PARTS = ("min", "max", "default", "defaultRequest", "maxLimitRequestRatio")


@record
class LimitRecord(SideRecord):
    """What holds for one resource of one type of object, as `kubectl describe limitrange` lists it. Null: no bound."""

    namespace: str | None = column("namespace of the limit range", index=True)
    limitrange: str = column("name of the limit range")
    type: str | None = column("Container, Pod or PersistentVolumeClaim")
    resource: str = column("cpu, memory, storage, ephemeral-storage …", index=True)
    minimum: str | None = column("min as written")
    minimum_normalised: int | None = column("min in the unit of this row", tracked=False)
    maximum: str | None = column("max as written")
    maximum_normalised: int | None = column("max in the unit of this row", tracked=False)
    default_request: str | None = column("request of a container that states none, as written")
    default_request_normalised: int | None = column("that request in the unit of this row", tracked=False)
    default_limit: str | None = column("limit of a container that states none, as written")
    default_limit_normalised: int | None = column("that limit in the unit of this row", tracked=False)
    max_limit_request_ratio: str | None = column("how often larger than the request a limit may be")
    unit: Unit = column("millicores, bytes or count")


@record
class LimitRangeRecord(Record):
    """Bounds and defaults for the containers, pods and claims of a namespace."""

    limits: Json | None = column("spec.limits, a JSON list of {type, min, max, default, defaultRequest, …}", tracked=False)
    limit_rows: tuple[LimitRecord, ...]


def read(limitrange: dict[str, Any]) -> LimitRangeRecord:
    """Redacted API object -> LimitRangeRecord."""
    shared = common(limitrange)
    limits = (limitrange.get("spec") or {}).get("limits")
    return LimitRangeRecord(
        **shared,
        limits=limits,
        limit_rows=tuple(row for item in limits or [] for row in _rows(shared, item)),
    )


def _rows(shared: Mapping[str, Any], item: dict[str, Any]) -> Iterator[LimitRecord]:
    parts = {part: item.get(part) or {} for part in _PARTS}
    for resource in sorted({name for amounts in parts.values() for name in amounts}):
        low, high, limit, request, ratio = (parts[part].get(resource) for part in _PARTS)
        yield LimitRecord(
            namespace=shared["namespace"],
            limitrange=shared["name"],
            type=item.get("type"),
            resource=resource,
            minimum=low,
            minimum_normalised=normalised(resource, low),
            maximum=high,
            maximum_normalised=normalised(resource, high),
            default_request=request,
            default_request_normalised=normalised(resource, request),
            default_limit=limit,
            default_limit_normalised=normalised(resource, limit),
            max_limit_request_ratio=ratio,
            unit=unit_of(resource),
        )


LIMITRANGES = Kind(
    name="limitranges",
    kind="LimitRange",
    group="",
    version="v1",
    namespaced=True,
    dynamic=False,
    record=LimitRangeRecord,
    read=read,
    list_columns=("namespace", "name", "limits", "created_at"),
    side_tables=(SideTable("limitrange_limits", "limit_rows", LimitRecord, key=("type", "resource")),),
    aliases=("limitrange", "limits"),
)
