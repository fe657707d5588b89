"""LIST: selectors, pages with continue tokens, and the bytes of the answer."""

from __future__ import annotations

import base64
import binascii
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson

from demo import api_status, selectors, tables
from demo.api_status import Json
from demo.resources import Resource
from demo.selectors import Predicate
from demo.store import Store, Stored
from demo.timestamps import Clock

_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list "
    "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
    "results. Continuing with the provided token results in an inconsistent list - objects that were created, "
    "modified, or deleted between the time the first chunk was returned and now may show up in the list."
)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; `metadata` is its ListMeta."""

    objects: list[Stored]
    metadata: Json


def predicate_of(resource: Resource, query: Mapping[str, str]) -> Predicate | None:
    """The request's labelSelector and fieldSelector together; None when it has neither."""
    labels = selectors.label_predicate(query.get("labelSelector", ""))
    fields = selectors.field_predicate(query.get("fieldSelector", ""), resource.kind)
    return selectors.both(labels, fields)


def parse_revision(text: str) -> int:
    """0 for an absent resourceVersion; ApiError 400 for one that is no number."""
    if text and not text.isdigit():
        raise api_status.bad_request(f'invalid resource version: strconv.ParseUint: parsing "{text}": invalid syntax')
    return int(text or 0)


class Lister:
    """Pages over consistent snapshots, each kept for `snapshot_ttl` so that its continue tokens work."""

    def __init__(self, store: Store, clock: Clock, snapshot_ttl: timedelta = timedelta(minutes=5)) -> None:
        self._store = store
        self._clock = clock
        self._ttl = snapshot_ttl
        self._snapshots: OrderedDict[tuple[str, int], tuple[datetime, tuple[Stored, ...]]] = OrderedDict()

    def page(self, resource: Resource, namespace: str, query: Mapping[str, str]) -> Page:
        """The page that `query` (limit, continue, selectors, resourceVersion) asks for."""
        limit = self._limit(query)
        predicate = predicate_of(resource, query)
        if query.get("continue"):
            revision, after, view = self._resume(resource, query["continue"])
        else:
            revision, after = self._store.revision, ""
            asked = parse_revision(query.get("resourceVersion", ""))
            if asked > revision:
                raise api_status.too_large_revision(asked, revision)
            view = self._store.snapshot(resource)
        candidates = _after(_within(view, namespace), after)
        objects, rest = _take(candidates, predicate, limit)
        metadata: Json = {"resourceVersion": str(revision)}
        if rest:
            self._keep(resource, revision, view)
            metadata["continue"] = _encode_token(revision, objects[-1].key)
            if predicate is None:
                metadata["remainingItemCount"] = rest
        return Page(objects, metadata)

    @staticmethod
    def _limit(query: Mapping[str, str]) -> int:
        text = query.get("limit", "0") or "0"
        if not text.isdigit():
            raise api_status.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
        return int(text)

    def _keep(self, resource: Resource, revision: int, view: tuple[Stored, ...]) -> None:
        self._snapshots.setdefault((resource.key, revision), (self._clock(), view))
        while len(self._snapshots) > 128:
            self._snapshots.popitem(last=False)

    def _resume(self, resource: Resource, token: str) -> tuple[int, str, tuple[Stored, ...]]:
        revision, after = _decode_token(token)
        if revision < 0:  # the inconsistent token that an expired one was answered with
            return self._store.revision, after, self._store.snapshot(resource)
        taken_at, view = self._snapshots.get((resource.key, revision), (None, ()))
        if taken_at is None or self._clock() - taken_at > self._ttl:
            self._snapshots.pop((resource.key, revision), None)
            raise api_status.expired(_EXPIRED, _encode_token(-1, after))
        return revision, after, view


def _within(view: tuple[Stored, ...], namespace: str) -> tuple[Stored, ...]:
    if not namespace:
        return view
    return view[_position(view, f"{namespace}/") : _position(view, f"{namespace}0")]


def _after(view: tuple[Stored, ...], key: str) -> tuple[Stored, ...]:
    return view[_position(view, key + "\0") :] if key else view


def _position(view: tuple[Stored, ...], key: str) -> int:
    low, high = 0, len(view)
    while low < high:
        middle = (low + high) // 2
        if view[middle].key < key:
            low = middle + 1
        else:
            high = middle
    return low


def _take(view: tuple[Stored, ...], predicate: Predicate | None, limit: int) -> tuple[list[Stored], int]:
    """(the page, how many are left); with a predicate the rest is only known to be some or none."""
    if predicate is None:
        page = list(view[:limit] if limit else view)
        return page, len(view) - len(page)
    page = []
    for stored in view:
        if predicate(stored.obj):
            if limit and len(page) == limit:
                return page, 1
            page.append(stored)
    return page, 0


def _encode_token(revision: int, key: str) -> str:
    token = {"v": "meta.k8s.io/v1", "rv": revision, "start": key + "\0"}
    return base64.urlsafe_b64encode(orjson.dumps(token)).decode().rstrip("=")


def _decode_token(token: str) -> tuple[int, str]:
    try:
        decoded = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return int(decoded["rv"]), str(decoded["start"]).rstrip("\0")
    except (ValueError, KeyError, TypeError, binascii.Error) as failure:
        raise api_status.bad_request(f"continue key is not valid: {failure}") from failure


def list_body(resource: Resource, page: Page) -> bytes:
    """<Kind>List, joined from the objects' stored JSON. Items of custom resources name their kind, others do not."""
    head = {"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": page.metadata}
    custom = bool(resource.printer_columns)
    items = b",".join(stored.json if custom else stored.item for stored in page.objects)
    return orjson.dumps(head)[:-1] + b',"items":[' + items + b"]}"


def metadata_list_body(page: Page) -> bytes:
    """meta.k8s.io/v1 PartialObjectMetadataList."""
    items = [tables.partial_metadata(stored.obj) for stored in page.objects]
    head = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": page.metadata}
    return orjson.dumps({**head, "items": items})
