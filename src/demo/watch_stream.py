"""WATCH: one request's stream of events, from the store's history and then live."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import orjson

from demo import tables
from demo.api_status import ApiError, Json
from demo.request_target import Form
from demo.resources import Resource
from demo.selectors import Predicate
from demo.store import Change, Store, Stored
from demo.timestamps import Clock

BOOKMARK_SECONDS = 60.0
INITIAL_EVENTS_END = {"k8s.io/initial-events-end": "true"}


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """The request's parameters; `revision` None asks for the present state first."""

    namespace: str
    predicate: Predicate | None
    revision: int | None
    bookmarks: bool
    mark_initial_end: bool
    timeout_seconds: float
    form: Form
    include_object: str


class WatchHub:
    """Wakes watches when the store changes, and ends them all when the server stops."""

    def __init__(self, store: Store) -> None:
        self._waiting: set[tuple[str, asyncio.Event]] = set()
        self.closed = False
        store.subscribe(lambda resource, _: self._wake(resource.key))

    def _wake(self, key: str) -> None:
        for watched, event in self._waiting:
            if watched == key:
                event.set()

    def close(self) -> None:
        self.closed = True
        for _, event in self._waiting:
            event.set()

    async def wait(self, key: str, event: asyncio.Event, seconds: float) -> None:
        """Until a change of the resource, the server's end, or `seconds` have passed."""
        self._waiting.add((key, event))
        try:
            await asyncio.wait_for(event.wait(), max(seconds, 0.0))
        except TimeoutError:
            pass
        finally:
            self._waiting.discard((key, event))


class WatchStream:
    """Iterate over the chunks of one watch; each holds whole lines."""

    def __init__(self, store: Store, hub: WatchHub, resource: Resource, options: WatchOptions, clock: Clock) -> None:
        self._store = store
        self._hub = hub
        self._resource = resource
        self._options = options
        self._clock = clock
        self._columns_sent = False
        self._at = options.revision if options.revision is not None else store.revision

    async def chunks(self) -> AsyncIterator[bytes]:
        """Ends at the request's timeout, at 410 (after its ERROR line), or when the server stops."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._options.timeout_seconds
        next_bookmark = self._next_bookmark(loop.time(), end)
        event = asyncio.Event()
        if initial := b"".join(self._initial_lines()):
            yield initial
        while not self._hub.closed:
            event.clear()
            try:
                lines = b"".join(self._new_lines())
            except ApiError as gone:
                yield _line("ERROR", orjson.dumps(gone.status))
                return
            if lines:
                yield lines
            now = loop.time()
            if self._options.bookmarks and now >= next_bookmark:
                next_bookmark = self._next_bookmark(now, end)
                yield self._bookmark({})
            if now >= end:
                return
            await self._hub.wait(self._resource.key, event, min(end, next_bookmark) - now)

    def _next_bookmark(self, now: float, end: float) -> float:
        """Every minute, and once two seconds before the end of a watch longer than ten."""
        if not self._options.bookmarks:
            return end + 1
        last = end - 2
        if self._options.timeout_seconds <= 10 or now >= last:
            return end + 1
        return min(now + BOOKMARK_SECONDS, last)

    def _initial_lines(self) -> Iterator[bytes]:
        if self._options.revision is None:
            for stored in self._store.in_namespace(self._resource, self._options.namespace):
                if self._selected(stored):
                    yield self._event("ADDED", stored)
        if self._options.mark_initial_end:
            yield self._bookmark(INITIAL_EVENTS_END)

    def _new_lines(self) -> Iterator[bytes]:
        for change in self._store.changes_since(self._resource, self._at):
            self._at = change.stored.revision
            type_ = self._type_for_watcher(change)
            if type_ is not None:
                yield self._event(type_, change.stored)

    def _type_for_watcher(self, change: Change) -> str | None:
        """An object that enters or leaves the selection is added or deleted as far as the watcher can see."""
        if self._options.predicate is None:
            return change.type if self._in_namespace(change.stored) else None
        now = change.type != "DELETED" and self._selected(change.stored)
        before = change.previous is not None and self._selected(change.previous)
        if now:
            return "MODIFIED" if before else "ADDED"
        return "DELETED" if before else None

    def _in_namespace(self, stored: Stored) -> bool:
        return self._options.namespace in ("", stored.obj["metadata"].get("namespace", ""))

    def _selected(self, stored: Stored) -> bool:
        predicate = self._options.predicate
        return self._in_namespace(stored) and (predicate is None or predicate(stored.obj))

    def _event(self, type_: str, stored: Stored) -> bytes:
        if self._options.form == "metadata":
            return _line(type_, orjson.dumps(tables.partial_metadata(stored.obj)))
        if self._options.form == "object":
            return _line(type_, stored.json)
        metadata = {"resourceVersion": stored.obj["metadata"]["resourceVersion"]}
        document = tables.table(self._resource, [stored], metadata, self._options.include_object, self._clock())
        if self._columns_sent:
            document["columnDefinitions"] = None
        self._columns_sent = True
        return _line(type_, orjson.dumps(document))

    def _bookmark(self, annotations: Json) -> bytes:
        self._at = max(self._at, self._store.revision)
        metadata: Json = {"resourceVersion": str(self._at), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        kind, api_version = self._resource.kind, self._resource.api_version
        if self._options.form == "metadata":
            kind, api_version = "PartialObjectMetadata", "meta.k8s.io/v1"
        document: Json = {"kind": kind, "apiVersion": api_version, "metadata": metadata}
        if self._options.form == "table":
            row = {"cells": [], "object": document}
            table = tables.table(self._resource, [], {"resourceVersion": str(self._at)}, "None", self._clock())
            document = {**table, "columnDefinitions": None, "rows": [row]}
        return _line("BOOKMARK", orjson.dumps(document))


def _line(type_: str, document: bytes) -> bytes:
    return b'{"type":"' + type_.encode() + b'","object":' + document + b"}\n"
