"""Events: filtered, folded, newest first."""

from __future__ import annotations

from typing import Any

from configuration.errors import InvalidArguments
from kinds.counted import counted
from kinds.envelope import live
from kinds.events import EventRecord
from kinds.kind import Kind
from kinds.list_query import asked_for
from kinds.registry import KINDS
from kinds.storable_check import StorableCheck
from kinds.tolerant_read import read_tolerantly
from mcp_tools.answer_budget import fitting
from mcp_tools.event_folding import COLUMNS, EVENT_ROW, MESSAGE, FoldedEvent, event_row, fold, ordered
from mcp_tools.k8s_api import ClusterApi
from mcp_tools.left_out_namespaces import left_out_note
from mcp_tools.missing_namespace import require_namespace
from mcp_tools.object_names import namespace_name, object_name
from mcp_tools.object_reading import Objects, read_objects
from mcp_tools.output_schemas import ENVELOPE, obj
from mcp_tools.text_tables import rows_as_text
from mcp_tools.tool_declaration import (
    CONTEXT,
    MAX_TOKENS,
    NAMESPACE_FILTER,
    ToolAnswer,
    ToolContext,
    ToolDeclaration,
    integer,
    text,
    tool,
)

MOST_EVENTS = 20_000
_EVENTS = KINDS["events"]


async def read_events(
    api: ClusterApi, tools: ToolContext, *, namespace: str | None, kind: Kind | None = None, name: str = "", type_: str = ""
) -> Objects[EventRecord]:
    """Events of a namespace (None: of all), about one kind, one object, of one type. Names must be validated."""
    wanted = [("involvedObject.kind", kind.kind)] if kind else []
    wanted += [("involvedObject.name", name)] if name else []
    wanted += [("type", type_)] if type_ else []
    selector = ",".join(f"{field}={value}" for field, value in wanted)

    check = StorableCheck(_EVENTS)

    def take(event: dict[str, Any]) -> EventRecord | None:
        record = read_tolerantly(event, _EVENTS, check).record
        return record if isinstance(record, EventRecord) else None

    query = (("fieldSelector", selector),) if selector else ()
    return await read_objects(api, tools.redactor, _EVENTS, take, namespace=namespace, query=query, most=MOST_EVENTS)


@tool(
    "k8s_list_events",
    title="List events",
    arguments={
        "context": CONTEXT,
        "namespace": NAMESPACE_FILTER,
        "kind": text("Of the object they are about.", max_length=316, default=""),
        "name": text("Of that object.", default=""),
        "type": text("Only these.", choices=("", "Warning", "Normal"), default=""),
        "reason": text("Only this one.", max_length=128, default=""),
        "since_seconds": integer("Only younger ones.", minimum=1, maximum=31_536_000),
        "order": text("Newest first, or by object.", choices=("newest", "object"), default="newest"),
        "skip": integer("Rows already seen.", minimum=0, maximum=1_000_000, default=0),
        "max_tokens": MAX_TOKENS,
    },
    output=obj({"rows": {"type": "array", "items": EVENT_ROW}, "envelope": ENVELOPE}),
)
async def list_events(
    tools: ToolContext, *, context: str = "", namespace: str = "", kind: str = "", name: str = "", type: str = "",  # noqa: A002 (what events call it)
    reason: str = "", since_seconds: int | None = None, order: str = "newest", skip: int = 0, max_tokens: int = 4000,
) -> ToolAnswer:  # fmt: skip
    """Events, folded by object and reason with their counts."""
    if name and not kind:
        raise InvalidArguments("name needs kind: say which kind of object is called so")
    api = tools.clusters.api(context)
    found_kind = await tools.discovery.kind(api, kind) if kind else None
    read = await read_events(
        api, tools, namespace=namespace_name(namespace) if namespace else None, kind=found_kind,
        name=object_name(name) if name else "", type_=type,
    )  # fmt: skip
    if not read.found:
        await require_namespace(api, namespace)
    now = tools.clock()
    youngest = now - since_seconds if since_seconds else 0
    fitting_events = [
        event
        for event in read.found
        if (not reason or str(event.reason).casefold() == reason.casefold())
        and (event.last_seen or event.created_at or 0) >= youngest
    ]
    wanted = {"kind": kind, "name": name, "type": type, "reason": reason, "since_seconds": since_seconds}
    asked = asked_for([f"{key}={value}" for key, value in wanted.items() if value], namespace or None)
    folded = ordered(fold(fitting_events), "object" if order == "object" else "newest")

    def render(shown: list[FoldedEvent]) -> ToolAnswer:
        rows = [event_row(event) for event in shown]
        left = len(folded) - skip - len(rows)
        notes = [f"{len(fitting_events)} events folded by object and reason"] if len(fitting_events) > len(folded) else []
        notes += [f"only {read.looked_at} events were read: narrow with namespace or kind and name"] if read.more else []
        rest = f"{counted(left, 'row')} left out: repeat with skip={skip + len(rows)}, or narrow the filters"
        notes += [rest] if left > 0 else []
        notes += [hidden] if (hidden := left_out_note(api, _EVENTS, namespace)) else []
        envelope = live(
            api.context, "events", now=now, shown=len(rows), total=None if read.more else len(folded), more=left > 0,
            complete=not read.more, asked=asked, note="; ".join(notes),
        )  # fmt: skip
        return ToolAnswer(
            rows_as_text(COLUMNS, rows, envelope, "", longest=MESSAGE), {"rows": rows, "envelope": envelope.as_json()}
        )

    return fitting(folded[skip:], lambda shown: render(list(shown)), max_tokens)


TOOLS: tuple[ToolDeclaration, ...] = (list_events,)
