"""Objects of a list, page by page, redacted before anybody looks at them, up to a bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from kinds.kind import Kind
from mcp_tools.collector_pause import collector_paused
from mcp_tools.k8s_api import AnswerTooLarge, ClusterApi
from mcp_tools.live_lists import PAGE_BYTES, redacted_item
from mcp_tools.object_forms import form_of
from mcp_tools.redaction import Redactor

PAGE = 500

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Objects(Generic[Found]):
    """`looked_at` objects were read; `more` says that there are others, which were not."""

    found: list[Found]
    looked_at: int
    more: bool


async def read_objects(
    api: ClusterApi,
    redactor: Redactor,
    kind: Kind,
    take: Callable[[dict[str, Any]], Found | None],
    *,
    namespace: str | None = None,
    query: tuple[tuple[str, str | int], ...] = (),
    most: int = 20 * PAGE,
) -> Objects[Found]:
    """What `take` makes of each object (None: nothing), of the first `most` objects. Raises ClusterError."""
    where = f" in namespace {namespace}" if namespace else ""
    doing = f"list {kind.name}{where}"
    form = form_of(kind)
    found: list[Found] = []
    looked_at, size, token = 0, PAGE, ""
    while True:
        asked = [("limit", size), *query, *form.query, *([("continue", token)] if token else [])]
        try:
            answer = await api.get(
                kind.api_path(namespace),
                doing=doing,
                query=asked,
                accept=form.accept_list,
                max_bytes=PAGE_BYTES if size > 1 else None,
            )
        except AnswerTooLarge:
            size = max(1, size // 4)
            continue
        page = form.page(answer.body, doing)
        items = page.items or []
        with collector_paused():
            taken = (take(redacted_item(form, raw, redactor)) for raw in items)
            found += [one for one in taken if one is not None]
        looked_at, token = looked_at + len(items), page.metadata.continue_token
        if not token or looked_at >= most:
            return Objects(found, looked_at, bool(token))
