"""Events as the components of a cluster record them: repeated ones are counted, not multiplied."""

from __future__ import annotations

from datetime import datetime, timedelta

from demo import managed_fields
from demo.api_status import Json
from demo.identifiers import Identifiers
from demo.resources import ResourceTable
from demo.store import Store
from demo.timestamps import parse_time, rfc3339

TTL = timedelta(hours=1)


class EventRecorder:
    """Writes core/v1 Events about objects."""

    def __init__(self, store: Store, table: ResourceTable, identifiers: Identifiers) -> None:
        self._store = store
        self._resource = table.by_key("events")
        self._identifiers = identifiers

    def record(
        self,
        about: Json,
        type_: str,
        reason: str,
        message: str,
        at: datetime,
        *,
        component: str,
        host: str = "",
        container: str = "",
        first: datetime | None = None,
        count: int = 1,
    ) -> None:
        """Count an event that was recorded already, or add it; `first` and `count` tell of earlier ones."""
        metadata = about["metadata"]
        namespace = metadata.get("namespace", "default")
        involved = _reference(about, container)
        for stored in self._store.in_namespace(self._resource, namespace):
            known = stored.obj
            same = known["involvedObject"].get("uid"), known.get("reason"), known.get("message")
            if same == (metadata.get("uid"), reason, message):
                renewed = stored.copy()
                renewed.update(count=known.get("count", 1) + 1, lastTimestamp=rfc3339(at))
                self._store.put(self._resource, renewed)
                return
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{metadata['name']}.{self._identifiers.uid().replace('-', '')[:16]}",
                "namespace": namespace,
                "uid": self._identifiers.uid(),
                "creationTimestamp": rfc3339(first or at),
            },
            "involvedObject": involved,
            "reason": reason,
            "message": message,
            "source": {"component": component, **({"host": host} if host else {})},
            "firstTimestamp": rfc3339(first or at),
            "lastTimestamp": rfc3339(at),
            "count": count,
            "type": type_,
            "eventTime": None,
            "reportingComponent": component,
            "reportingInstance": host,
        }
        managed_fields.record(event, component, "Update", rfc3339(at))
        self._store.put(self._resource, event)

    def expire(self, now: datetime) -> None:
        """Drop events not seen for an hour, as API servers do."""
        for stored in self._store.snapshot(self._resource):
            last = stored.obj.get("lastTimestamp") or stored.obj["metadata"]["creationTimestamp"]
            if now - parse_time(last) > TTL:
                self._store.remove(self._resource, stored.obj["metadata"]["namespace"], stored.obj["metadata"]["name"])


def _reference(about: Json, container: str) -> Json:
    metadata = about["metadata"]
    reference = {
        "kind": about["kind"],
        "namespace": metadata.get("namespace", ""),
        "name": metadata["name"],
        "uid": metadata["uid"],
        "apiVersion": about["apiVersion"],
        "resourceVersion": metadata.get("resourceVersion", ""),
        "fieldPath": f"spec.containers{{{container}}}" if container else "",
    }
    return {field: value for field, value in reference.items() if value}
