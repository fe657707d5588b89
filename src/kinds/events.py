"""Events (core/v1, which also shows what was written through events.k8s.io)."""

from __future__ import annotations

from typing import Any

from kinds.kind import Kind
from kinds.metadata import common
from kinds.record import Record, Time, column, record
from kinds.times import to_time


@record
class EventRecord(Record):
    """What `kubectl get events` shows. Kubernetes forgets an event after an hour."""

    type: str | None = column("Normal or Warning", index=True)
    reason: str | None = column("short machine-readable reason, e.g. BackOff, FailedScheduling", index=True)
    message: str | None = column("text for people; comes from the cluster")
    object_kind: str | None = column("kind of the object it is about")
    object_namespace: str | None = column("namespace of that object; null when cluster-scoped")
    object_name: str | None = column("name of that object", index=True)
    object_uid: str | None = column("uid of that object", index=True)
    field_path: str | None = column("part of the object, e.g. spec.containers{web}")
    count: int = column("how often it was seen")
    first_seen: Time | None = column("first occurrence")
    last_seen: Time | None = column("latest occurrence", index=True)
    source: str | None = column("component that reported it")
    host: str | None = column("node of that component")


def read(event: dict[str, Any]) -> EventRecord:
    """Redacted API object -> EventRecord."""
    about = event.get("involvedObject") or {}
    series, source = event.get("series") or {}, event.get("source") or {}
    first = event.get("firstTimestamp") or event.get("eventTime")
    last = series.get("lastObservedTime") or event.get("lastTimestamp") or first
    return EventRecord(
        **common(event),
        type=event.get("type"),
        reason=event.get("reason"),
        message=_trimmed(event.get("message")),
        object_kind=about.get("kind"),
        object_namespace=about.get("namespace"),
        object_name=about.get("name"),
        object_uid=about.get("uid"),
        field_path=about.get("fieldPath"),
        count=series.get("count", 0) if series else event.get("count") or 1,
        first_seen=to_time(first),
        last_seen=to_time(last),
        source=source.get("component") or event.get("reportingComponent"),
        host=source.get("host") or event.get("reportingInstance"),
    )


def _trimmed(message: str | None) -> str | None:
    """Source: printers.go, printEvent."""
    return None if message is None else message.strip()


EVENTS = Kind(
    name="events",
    kind="Event",
    group="",
    version="v1",
    namespaced=True,
    dynamic=True,
    record=EventRecord,
    read=read,
    list_columns=("namespace", "last_seen", "type", "reason", "object_kind", "object_name", "message", "count"),
    filters={"type": "type", "reason": "reason", "object_kind": "object_kind", "object_name": "object_name"},
    aliases=("event", "ev"),
)
