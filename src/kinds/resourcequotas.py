"""ResourceQuotas, with their resources in a side table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kinds.kind import Kind, SideTable
from kinds.metadata import common
from kinds.record import Json, Record, SideRecord, column, record
from kinds.resource_units import Unit, normalised, unit_of


@record
class QuotaResourceRecord(SideRecord):
    """One resource of a quota: how much may be used, and how much is."""

    namespace: str | None = column("namespace of the quota", index=True)
    quota: str = column("name of the quota")
    resource: str = column("resource, e.g. requests.cpu, limits.memory, pods, count/jobs.batch", index=True)
    hard: str | None = column("the limit as written")
    hard_normalised: int | None = column("the limit in the unit of this row", tracked=False)
    used: str | None = column("what is used, as written; null until it was computed", tracked=False)
    used_normalised: int | None = column("what is used, in the unit of this row", tracked=False)
    unit: Unit = column("millicores, bytes or count")
    used_percent: float | None = column("used of hard, in percent; null when unknown and when hard is 0", tracked=False)


@record
class ResourceQuotaRecord(Record):
    """What `kubectl get resourcequotas` shows."""

    requests: str | None = column(
        "REQUEST as kubectl prints it: resource: used/hard, …; everything that is no limit", tracked=False
    )
    limits: str | None = column("LIMIT as kubectl prints it: limits.cpu: used/hard, …", tracked=False)
    hard: Json | None = column("the limits as written, a JSON map: status.hard, before that spec.hard", tracked=False)
    used: Json | None = column("status.used as written, a JSON map", tracked=False)
    used_percent: float | None = column("the largest used_percent of its resources", tracked=False)
    exhausted: Json = column("resources of which nothing is left, a JSON list")
    scopes: Json | None = column("spec.scopes, a JSON list, e.g. BestEffort, NotTerminating; null counts every pod")
    scope_selector: Json | None = column("spec.scopeSelector, a JSON object, e.g. on PriorityClass")
    resources: tuple[QuotaResourceRecord, ...]


def read(quota: dict[str, Any]) -> ResourceQuotaRecord:
    """Redacted API object -> ResourceQuotaRecord."""
    shared = common(quota)
    spec, status = quota.get("spec") or {}, quota.get("status") or {}
    hard, used = status.get("hard") or spec.get("hard"), status.get("used")
    rows = tuple(_resource(shared, name, (hard or {})[name], (used or {}).get(name)) for name in sorted(hard or {}))
    return ResourceQuotaRecord(
        **shared,
        requests=_printed([row for row in rows if not row.resource.startswith("limits.")]),
        limits=_printed([row for row in rows if row.resource.startswith("limits.")]),
        hard=hard,
        used=used,
        used_percent=max((row.used_percent for row in rows if row.used_percent is not None), default=None),
        exhausted=Json([row.resource for row in rows if _nothing_left(row)]),
        scopes=spec.get("scopes"),
        scope_selector=spec.get("scopeSelector"),
        resources=rows,
    )


def _resource(shared: Mapping[str, Any], name: str, hard: str | None, used: str | None) -> QuotaResourceRecord:
    limit, taken = normalised(name, hard), normalised(name, used)
    return QuotaResourceRecord(
        namespace=shared["namespace"],
        quota=shared["name"],
        resource=name,
        hard=hard,
        hard_normalised=limit,
        used=used,
        used_normalised=taken,
        unit=unit_of(name),
        used_percent=round(100 * taken / limit, 1) if limit and taken is not None else None,
    )


def _nothing_left(row: QuotaResourceRecord) -> bool:
    return row.hard_normalised is not None and row.used_normalised is not None and row.used_normalised >= row.hard_normalised


def _printed(rows: Sequence[QuotaResourceRecord]) -> str | None:
    """Source: printers.go, printResourceQuota; what was not computed yet is printed as 0."""
    return ", ".join(f"{row.resource}: {row.used or '0'}/{row.hard}" for row in rows) or None


RESOURCEQUOTAS = Kind(
    name="resourcequotas",
    kind="ResourceQuota",
    group="",
    version="v1",
    namespaced=True,
    dynamic=True,
    record=ResourceQuotaRecord,
    read=read,
    list_columns=("namespace", "name", "requests", "limits", "used_percent", "exhausted", "created_at"),
    side_tables=(SideTable("quota_resources", "resources", QuotaResourceRecord, key=("resource",)),),
    aliases=("resourcequota", "quota"),
)
