"""Events, folded by the object they are about and their reason, as rows of an answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from kinds.events import EventRecord
from kinds.times import to_rfc3339

Order = Literal["newest", "object"]

COLUMNS = ("last_seen", "type", "namespace", "object", "reason", "count", "message")
EVENT_ROW: dict[str, Any] = {
    "type": "object",
    "properties": {
        "last_seen": {"type": ["string", "null"]},
        "type": {"type": ["string", "null"]},
        "namespace": {"type": ["string", "null"]},
        "object": {"type": "string", "description": "Kind/name"},
        "reason": {"type": ["string", "null"]},
        "count": {"type": "integer", "description": "How often, over all folded events"},
        "message": {"type": ["string", "null"], "description": "The newest one"},
        "messages": {"type": "integer", "description": "Different ones that were folded; left out when 1"},
    },
    "required": list(COLUMNS),
}
MESSAGE = 400


@dataclass(slots=True)
class FoldedEvent:
    """All events of one object with one reason. `newest` gives the message; `count` is how often it was seen in all."""

    newest: EventRecord
    count: int = 0
    messages: set[str] = field(default_factory=set)

    @property
    def last_seen(self) -> int:
        return _seen(self.newest)

    @property
    def place(self) -> tuple[str, str]:
        return self.newest.object_namespace or self.newest.namespace or "", _object(self.newest)


def fold(events: Iterable[EventRecord]) -> list[FoldedEvent]:
    """In no particular order."""
    found: dict[tuple[str | None, ...], FoldedEvent] = {}
    for event in events:
        key = (event.object_namespace, event.object_kind, event.object_name, event.reason, event.type)
        one = found.setdefault(key, FoldedEvent(event))
        one.count += event.count
        one.messages.add(event.message or "")
        if _seen(event) >= one.last_seen:
            one.newest = event
    return list(found.values())


def ordered(events: Iterable[FoldedEvent], order: Order) -> list[FoldedEvent]:
    """Newest first; or object by object, each newest first."""
    newest_first = sorted(events, key=lambda event: (-event.last_seen, event.place, event.newest.reason or ""))
    return newest_first if order == "newest" else sorted(newest_first, key=lambda event: event.place)


def event_row(event: FoldedEvent) -> dict[str, Any]:
    """See EVENT_ROW. A long message is cut."""
    newest = event.newest
    row: dict[str, Any] = {
        "last_seen": to_rfc3339(event.last_seen) if event.last_seen else None,
        "type": newest.type,
        "namespace": newest.object_namespace or newest.namespace,
        "object": _object(newest),
        "reason": newest.reason,
        "count": event.count,
        "message": _short(newest.message),
    }
    return row | ({"messages": len(event.messages)} if len(event.messages) > 1 else {})


def _object(event: EventRecord) -> str:
    return f"{event.object_kind or '?'}/{event.object_name or '?'}"


def _seen(event: EventRecord) -> int:
    return event.last_seen or event.created_at or 0


def _short(message: str | None) -> str | None:
    return message if message is None or len(message) <= MESSAGE else f"{message[:MESSAGE]}…"
