"""Bulk for machines: whole objects, redacted, a page at a time as one block of JSON text."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable

import msgspec
import orjson

from configuration.errors import NotFound
from kinds.kind import Kind
from mcp_tools.collector_pause import collector_paused
from mcp_tools.discovery import not_served
from mcp_tools.json_repair import repaired
from mcp_tools.k8s_api import AnswerTooLarge, ClusterApi
from mcp_tools.list_pages import ListPage
from mcp_tools.managed_fields import take_manager
from mcp_tools.object_forms import ObjectForm, form_of
from mcp_tools.object_names import namespace_name
from mcp_tools.redaction import Redactor
from mcp_tools.tool_declaration import CONTEXT, NAMESPACE_FILTER, ToolAnswer, ToolContext, ToolDeclaration, integer, text, tool

log = logging.getLogger(__name__)

PAGE_OBJECTS = 500
BULK_LIMIT = 100
"""Who asks for pages of this size reads the whole list: the next page is begun before it is asked for."""
OBJECTS_AT_A_TIME = 20
PAGE_BYTES = 8 * 1024 * 1024
"""Of the API's answer, managedFields included: about half of it is left in the page that is handed out."""

SHARE_OF_TIMEOUT = 0.9
"""The caller then hears from us that it is the API server that does not answer, before it gives us up."""


@tool(
    "k8s_export_page",
    title="Export a page of whole objects",
    arguments={
        "context": CONTEXT,
        "kind": text("Kind, e.g. pods; of kinds that are not built in `plural.group`, e.g. widgets.example.com.", max_length=316),
        "namespace": NAMESPACE_FILTER,
        "limit": integer("How many objects at most.", minimum=1, maximum=1000, default=PAGE_OBJECTS),
        "continue_token": text("The `continue` of the previous page.", max_length=16384, default=""),
        "max_bytes": integer(
            "Pages larger than this are read again with fewer objects.",
            minimum=65536,
            maximum=64 * 1024 * 1024,
            default=PAGE_BYTES,
        ),
        "timeout_seconds": integer(
            "How long the caller waits; the API server may be silent for nearly as long.", minimum=1, maximum=86_400, default=30
        ),
    },
    output=None,
    bulk=True,
)
async def export_page(
    tools: ToolContext, *, kind: str, context: str = "", namespace: str = "", limit: int = PAGE_OBJECTS,
    continue_token: str = "", max_bytes: int = PAGE_BYTES, timeout_seconds: int = 30,
) -> ToolAnswer:  # fmt: skip
    """For programs, not for models: one page of redacted objects as JSON text
    {kind, resource_version, continue, remaining, objects, managers, redactor_version, key_id}. `managers` says for each
    object who wrote it last (null when that cannot be told)."""
    api = tools.clusters.api(context)
    found = await tools.discovery.kind(api, kind)
    scope = namespace_name(namespace) if namespace else None

    def reader(token: str) -> tuple[Hashable, Callable[[], Awaitable[ListPage]]]:
        key = (api.context, found.name, scope, limit, max_bytes, token)
        return key, lambda: _read_page(api, found, scope, limit, token, max_bytes, timeout_seconds * SHARE_OF_TIMEOUT)

    page = await tools.prefetch.get(*reader(continue_token))
    if page.metadata.continue_token and limit >= BULK_LIMIT:
        tools.prefetch.begin(*reader(page.metadata.continue_token))
    return ToolAnswer(await _as_text(found, page, tools.redactor))


async def _read_page(
    api: ClusterApi, kind: Kind, namespace: str | None, limit: int, token: str, max_bytes: int, read_seconds: float
) -> ListPage:
    """Halves the number of objects until the page fits; a single object always does."""
    form = form_of(kind)
    doing = f"export {kind.name}" + (f" in namespace {namespace}" if namespace else "")
    while True:
        query: list[tuple[str, str | int]] = [("limit", limit)] + ([("continue", token)] if token else [])
        bound = max_bytes if limit > 1 else None
        try:
            answer = await api.get(
                kind.api_path(namespace), doing=doing, query=[*query, *form.query], accept=form.accept_list, max_bytes=bound,
                read_seconds=read_seconds,
            )  # fmt: skip
        except AnswerTooLarge:
            limit = max(1, limit // 2)
            continue
        except NotFound as error:
            raise not_served(api.context, kind, error) from None
        return form.page(answer.body, doing)


async def _as_text(kind: Kind, page: ListPage, redactor: Redactor) -> str:
    """Other calls, and the next page's bytes, get their turn every few objects: redaction takes 100 ms a page."""
    head: dict[str, object] = {
        "kind": kind.name,
        "resource_version": page.metadata.resource_version,
        "continue": page.metadata.continue_token,
        "remaining": page.metadata.remaining,
        "redactor_version": redactor.version,
        "key_id": redactor.key_id,
    }
    form = form_of(kind)
    objects: list[bytes] = []
    managers: list[str | None] = []
    with collector_paused():
        for number, raw in enumerate(page.items or []):
            if number % OBJECTS_AT_A_TIME == 0:
                await asyncio.sleep(0)
            text, manager = exported(kind, form, raw, redactor)
            objects.append(text)
            managers.append(manager)
    head["managers"] = managers
    return (orjson.dumps(head)[:-1] + b',"objects":[' + b",".join(objects) + b"]}").decode()


def exported(kind: Kind, form: ObjectForm, raw: msgspec.Raw, redactor: Redactor) -> tuple[bytes, str | None]:
    """One object as text, and its manager. What is odd about an object costs that object only: what is nested too deep is
    left out of it, and what is no object at all becomes one without a name, which the reader counts as malformed."""
    for odd in (False, True):
        try:
            obj = form.item(repaired(bytes(memoryview(raw))) if odd else raw)
            manager = take_manager(obj)
            return orjson.dumps(redactor.redact_object(obj)), manager
        except (TypeError, ValueError, AttributeError, RecursionError) as error:
            log.info("an object of %s cannot be exported as it is (%s)", kind.name, type(error).__name__)
    return orjson.dumps({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {}}), None


TOOLS: tuple[ToolDeclaration, ...] = (export_page,)
