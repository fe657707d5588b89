"""Lists read from the API server: typed rows, filtered and paged like the cache does it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import orjson

from configuration.errors import Expired, NotFound
from kinds.counted import counted
from kinds.envelope import Envelope, live
from kinds.kind import row
from kinds.list_query import ListQuery
from kinds.record import Record, sort_key
from kinds.storable_check import StorableCheck
from kinds.tolerant_read import read_tolerantly
from mcp_tools import continue_tokens
from mcp_tools.collector_pause import collector_paused
from mcp_tools.continue_tokens import Position
from mcp_tools.discovery import not_served
from mcp_tools.json_repair import repaired
from mcp_tools.k8s_api import AnswerTooLarge, ClusterApi
from mcp_tools.left_out_namespaces import left_out_note
from mcp_tools.list_pages import ListPage
from mcp_tools.managed_fields import take_manager
from mcp_tools.object_forms import ObjectForm, form_of
from mcp_tools.plain_text import plain_text
from mcp_tools.redaction import Redactor

FILTERED_PAGE = 500
"""Objects read at a time when only some of them will be rows."""
PAGE_BYTES = 8 * 1024 * 1024
"""Of one answer of the API. Objects of a megabyte exist; 500 of them would not fit into memory."""
_MOST_VALUES, _SHOWN_VALUES, _LONGEST_VALUE = 1000, 10, 63


@dataclass(frozen=True, slots=True)
class LiveList:
    """`malformed` objects could not be read and are left out, `partial` ones only in part; the envelope's note says so."""

    rows: list[dict[str, Any]]
    envelope: Envelope
    continue_token: str
    malformed: int = 0
    partial: int = 0
    places: Sequence[Position] = ()
    """Before the first row, after the first row, after the second …: where a list that is cut there goes on."""
    question: str = ""
    values: str = ""
    """When nothing was found: the values that the columns of the filters have instead."""

    def first(self, count: int) -> LiveList:
        """The beginning of it, with a token that continues right after the last of these rows."""
        if count >= len(self.rows):
            return self
        token = continue_tokens.encode(self.places[count], self.question)
        envelope = replace(self.envelope, shown=count, more=True)
        return replace(self, rows=self.rows[:count], envelope=envelope, continue_token=token)


@dataclass(slots=True)
class _Found:
    columns: Sequence[str]
    places: list[Position]
    rows: list[dict[str, Any]] = field(default_factory=list)
    malformed: int = 0
    partial: int = 0
    values: dict[str, Counter[str]] = field(default_factory=dict)
    """Of each filter on a text: the values that objects have instead."""
    last: str = ""
    """Sort key of the last object that was looked at."""


def question_of(context: str, query: ListQuery) -> str:
    """Names the list that a continue token belongs to."""
    return continue_tokens.question_id(
        context=context, kind=query.kind.name, namespace=query.namespace, selector=_selector(query), filters=dict(query.filters)
    )


def _selector(query: ListQuery) -> str:
    return query.selector if query.requirements else ""


async def read_list(
    api: ClusterApi, redactor: Redactor, query: ListQuery, *, now: float, columns: Sequence[str] = ()
) -> LiveList:
    """Read pages until `query.limit` rows are found or the list ends. Raises ClusterError (Expired: list again).

    `columns` of the rows; those that a list shows unless given.
    """
    selector, question = _selector(query), question_of(api.context, query)
    start = continue_tokens.decode(query.continue_token, question)
    # what a cut answer left of a page is read again: in one request, however long the rows before it were
    size = FILTERED_PAGE if query.filters or start.after else query.limit
    found, page_token, after, remaining = _Found(columns or query.kind.list_columns, [start]), start.page, start.after, None
    next_token = ""
    while True:
        page, size = await _page(api, query, selector, page_token, size)
        looked_at = _take(page.items or [], page_token, after, query, redactor, found)
        remaining = page.metadata.remaining
        if looked_at < len(page.items or []):
            next_token = continue_tokens.encode(Position(page_token, found.last, start.shown + len(found.rows)), question)
            break
        page_token, after = page.metadata.continue_token, ""
        if not page_token or len(found.rows) >= query.limit:
            if page_token:
                next_token = continue_tokens.encode(Position(page_token, "", start.shown + len(found.rows)), question)
            break
    total = _total(start, found, next_token, remaining, filtered=bool(query.filters))
    values = "" if start.shown or found.rows or next_token else _values_there_are(found)
    envelope = live(
        api.context,
        query.kind.name,
        now=now,
        shown=len(found.rows),
        total=total,
        more=bool(next_token),
        asked=query.asked,
        note=joined(unread_note(found.malformed, found.partial), values, left_out_note(api, query.kind, query.namespace)),
    )
    return LiveList(found.rows, envelope, next_token, found.malformed, found.partial, found.places, question, values)


def joined(*notes: str) -> str:
    """Those that say something, as one note."""
    return "; ".join(note for note in notes if note)


def unread_note(malformed: int, partial: int) -> str:
    """What an envelope says about objects that could not be read."""
    left_out = (
        f"{counted(malformed, 'object')} could not be read and {'is' if malformed == 1 else 'are'} left out" if malformed else ""
    )
    in_part = f"{counted(partial, 'object')} could be read in part only: what could not be is null or missing" if partial else ""
    return joined(left_out, in_part)


async def _page(api: ClusterApi, query: ListQuery, selector: str, token: str, size: int) -> tuple[ListPage, int]:
    """A page of at most `size` objects, fewer when they are large; and how many that were."""
    while True:
        try:
            return await _read_page(api, query, selector, token, size, max_bytes=PAGE_BYTES if size > 1 else None), size
        except AnswerTooLarge:
            size = max(1, size // 4)


async def _read_page(
    api: ClusterApi, query: ListQuery, selector: str, token: str, size: int, *, max_bytes: int | None
) -> ListPage:
    where = f" in namespace {query.namespace}" if query.namespace else ""
    doing = f"list {query.kind.name}{where}"
    form = form_of(query.kind)
    parameters: list[tuple[str, str | int]] = [("limit", size)]
    if selector:
        parameters.append(("labelSelector", selector))
    if token:
        parameters.append(("continue", token))
    try:
        answer = await api.get(
            query.kind.api_path(query.namespace),
            doing=doing,
            query=[*parameters, *form.query],
            accept=form.accept_list,
            max_bytes=max_bytes,
        )
    except Expired as error:
        raise Expired(
            f"cannot {doing}: the continue token is older than the API server keeps (about 5 minutes); "
            "list again from the start, without continue_token",
            status=410,
            reason=error.reason,
        ) from None
    except NotFound as error:
        raise not_served(api.context, query.kind, error) from None
    return form.page(answer.body, doing)


def _take(items: list[msgspec.Raw], page: str, after: str, query: ListQuery, redactor: Redactor, found: _Found) -> int:
    """Add rows until the limit is reached; says how many items of the page were looked at."""
    skip_to, form, check = after.encode(), form_of(query.kind), StorableCheck(query.kind)
    shown_before = found.places[0].shown
    with collector_paused():
        for index, raw in enumerate(items):
            if len(found.rows) >= query.limit:
                return index
            obj = redacted_item(form, raw, redactor)  # first of all: no filter ever sees a secret
            key = _key(obj)
            if after and key <= skip_to:
                continue
            found.last = key.decode()
            reading = read_tolerantly(obj, query.kind, check)
            if reading.record is None:
                found.malformed += 1
            elif query.accepts(reading.record):
                found.rows.append(row(query.kind, reading.record, found.columns))
                found.places.append(Position(page, found.last, shown_before + len(found.rows)))
                found.partial += bool(reading.trouble)
            elif not found.rows:
                _count_values(query, reading.record, found)
    return len(items)


def _count_values(query: ListQuery, record: Record, found: _Found) -> None:
    for name, wanted in query.filters.items():
        value = getattr(record, query.kind.filters[name])
        if isinstance(wanted, str) and isinstance(value, str) and not query.holds(name, value):
            counted = found.values.setdefault(name, Counter())
            if value in counted or len(counted) < _MOST_VALUES:
                counted[value] += 1


def _values_there_are(found: _Found) -> str:
    """`status is one of Running (48), CrashLoopBackOff (12)`: a word that was misspelt must not read as "there are none"."""
    told = []
    for name, values in found.values.items():
        shown = values.most_common(_SHOWN_VALUES)
        words = ", ".join(f"{plain_text(value)[:_LONGEST_VALUE]} ({count})" for value, count in shown)
        more = f", … {_SHOWN_VALUES} of {len(values)} shown" if len(values) > _SHOWN_VALUES else ""
        told.append(f"{name} is one of {words}{more}")
    return "; ".join(told)


def redacted_item(form: ObjectForm, raw: msgspec.Raw, redactor: Redactor) -> dict[str, Any]:
    """An item as `k8s_export_page` hands it out. One that is no object is one without a name: it costs itself, not the page."""
    for odd in (False, True):
        try:
            obj = form.item(repaired(bytes(memoryview(raw))) if odd else raw)
            take_manager(obj)
            redactor.redact_object(obj)
            orjson.dumps(obj)
        except (TypeError, ValueError, AttributeError, RecursionError):
            continue
        return obj
    return {}


def _key(obj: dict[str, Any]) -> bytes:
    metadata = obj.get("metadata")
    told = metadata if isinstance(metadata, dict) else {}
    return sort_key(told.get("namespace"), str(told.get("name") or ""))


def _total(start: Position, found: _Found, next_token: str, remaining: int | None, *, filtered: bool) -> int | None:
    seen = start.shown + len(found.rows)
    if not next_token:
        return seen
    if filtered or remaining is None or found.malformed:
        return None
    return seen + remaining
