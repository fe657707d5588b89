"""The answers of the list tools: rows, or a summary of a list that is too long for them, inside the budget of the call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson

from kinds.envelope import Envelope, live
from kinds.kind import Kind
from kinds.list_query import DEFAULT_LIMIT, ListQuery
from kinds.registry import counted_kind
from mcp_tools import continue_tokens
from mcp_tools.answer_budget import fitting
from mcp_tools.k8s_api import ClusterApi
from mcp_tools.left_out_namespaces import left_out_note
from mcp_tools.list_summary import HEALTH, ListSummary, Row, brief_columns, counted_columns, has_health
from mcp_tools.live_lists import FILTERED_PAGE, LiveList, joined, question_of, read_list, unread_note
from mcp_tools.redaction import Redactor
from mcp_tools.text_tables import call_text, rows_as_text, table_lines, where
from mcp_tools.tool_declaration import ToolAnswer

SHORTEST_ROW = 12
"""Tokens. No row takes fewer in text and structured content together: what bounds the rows that are kept to be shown."""
MOST_KEPT = 5000
FIRST_ROWS = 5
"""Of a summary that shows what is not healthy: the first rows are an example then, not the answer."""
FIRST_UNHEALTHY = 5
"""So many come before the counts of namespaces, the others after them: the smallest budget shows something to look into."""
_CLIPPED = 120

_Item = tuple[Literal["unhealthy", "namespaces", "rows"], Row]


@dataclass(frozen=True, slots=True)
class ListCall:
    """What was asked, so that an answer can say what to ask for the rest. `arguments` without limit, token, view and budget."""

    tool: str
    arguments: Mapping[str, Any]
    max_tokens: int

    def rest(self, token: str, limit: int = DEFAULT_LIMIT, **more: Any) -> str:
        """The call that gives the rows after a token."""
        given = dict(self.arguments)
        if "filters" in given and HEALTH in more:
            given["filters"] = given["filters"] | {HEALTH: more.pop(HEALTH)}
        return call_text(self.tool, given | more | {"limit": limit, "continue_token": token})


def rows_answer(call: ListCall, kind: Kind, found: LiveList, limit: int) -> ToolAnswer:
    """As many of the rows as fit. A row that does not fit by itself has its long values cut."""

    def render(rows: Sequence[Row]) -> ToolAnswer:
        part = found.first(len(rows))
        more = call.rest(part.continue_token, limit) if part.continue_token else ""
        envelope = part.envelope.as_json()
        text = rows_as_text(kind.list_columns, rows, part.envelope, part.continue_token, more=more)
        return ToolAnswer(text, {"rows": list(rows), "envelope": envelope, "continue": part.continue_token})

    answer = fitting(found.rows, render, call.max_tokens)
    if found.rows and not (answer.structured or {})["rows"]:
        return fitting([_clipped(found.rows[0])], render, call.max_tokens)
    return answer


async def whole_answer(
    api: ClusterApi, redactor: Redactor, query: ListQuery, call: ListCall, *, now: float, rows_if_they_fit: bool
) -> ToolAnswer:
    """All rows when they fit and are wanted, else a summary; either way every page is read. Raises ClusterError."""
    summary = ListSummary(query.kind, kept=min(MOST_KEPT, call.max_tokens // SHORTEST_ROW + 1))
    malformed = partial = 0
    token = values = ""
    while True:
        page_query = replace(query, limit=FILTERED_PAGE, continue_token=token)
        page = await read_list(api, redactor, page_query, now=now, columns=counted_columns(query.kind))
        summary.add(page.rows, page.places)
        malformed, partial, token = malformed + page.malformed, partial + page.partial, page.continue_token
        values = values or page.values
        if not token:
            break
    envelope = live(
        api.context, query.kind.name, now=now, shown=summary.total, total=summary.total, more=False,
        asked=query.asked, note=joined(unread_note(malformed, partial), "" if summary.total else values,
                    left_out_note(api, query.kind, query.namespace)),
    )  # fmt: skip
    if rows_if_they_fit and summary.total == len(summary.first_rows):
        rows = [_only(row, query.kind.list_columns) for row in summary.first_rows]
        answer = rows_answer(call, query.kind, LiveList(rows, envelope, "", places=summary.places), DEFAULT_LIMIT)
        if len((answer.structured or {})["rows"]) == len(rows):
            return answer
    return _Summarised(call, query, summary, envelope, question_of(api.context, query), _unhealthy_question(api, query)).answer()


@dataclass(frozen=True, slots=True)
class _Summarised:
    call: ListCall
    query: ListQuery
    summary: ListSummary
    envelope: Envelope
    question: str
    unhealthy_question: str
    """"" when nothing is told apart by health: the kind has none, or only one sort was asked for."""

    def answer(self) -> ToolAnswer:
        unhealthy = self.summary.unhealthy_rows if self.unhealthy_question else []
        first = self.summary.first_rows[: FIRST_ROWS if self.unhealthy_question else len(self.summary.first_rows)]
        brief, shown = brief_columns(self.query.kind), self.query.kind.list_columns
        worst: list[_Item] = [("unhealthy", _only(row, brief)) for row in unhealthy]
        namespaces: list[_Item] = [("namespaces", one) for one in self.summary.worst_namespaces()]
        rows: list[_Item] = [("rows", _only(row, shown)) for row in first]
        items = [*worst[:FIRST_UNHEALTHY], *namespaces, *worst[FIRST_UNHEALTHY:], *rows]
        return fitting(items, self._rendered, self.call.max_tokens)

    def _rendered(self, items: Sequence[_Item]) -> ToolAnswer:
        unhealthy, namespaces, rows = (
            [item for part, item in items if part == wanted] for wanted in ("unhealthy", "namespaces", "rows")
        )
        envelope = replace(self.envelope, shown=len(rows), more=len(rows) < self.summary.total)
        token = self._token(self.summary.places[len(rows)], self.question) if envelope.more else ""
        facts = self.summary.facts(namespaces)
        lines = self._counts(facts, envelope)
        if self.unhealthy_question and self.summary.unhealthy:
            facts |= self._unhealthy(unhealthy, lines)
        lines.append(f"{len(rows)} of {counted_kind(self.summary.total, self.query.kind.name)} shown, in name order")
        lines += table_lines(self.query.kind.list_columns, rows) if rows else []
        if token:
            lines.append(f"more: {self.call.rest(token)}")
        structured = {"summary": facts, "rows": rows, "envelope": envelope.as_json(), "continue": token}
        return ToolAnswer("\n".join(lines), structured)

    def _counts(self, facts: Mapping[str, Any], envelope: Envelope) -> list[str]:
        note = f" ({envelope.note})" if envelope.note else ""
        when = envelope.as_json()["as_of"]
        lines = [f"summary of all {counted_kind(facts['total'], envelope.kind)}{where(envelope)}, live as of {when}{note}"]
        if facts["states"]:
            lines.append("states: " + ", ".join(f"{state} {count}" for state, count in facts["states"].items()))
        if facts["unhealthy"] is not None:
            lines.append(f"not healthy: {facts['unhealthy']} of {facts['total']}")
        if facts["namespaces"] and facts["namespaces_total"] > 1:
            told = ", ".join(_of_namespace(one) for one in facts["namespaces"])
            lines.append(f"{len(facts['namespaces'])} of {facts['namespaces_total']} namespaces shown: {told}")
        return lines

    def _unhealthy(self, rows: list[Row], lines: list[str]) -> dict[str, Any]:
        """Adds to the lines; what the structured summary says of it."""
        total = self.summary.unhealthy
        lines.append(f"{len(rows)} of {total} that are not healthy shown")
        lines += table_lines(brief_columns(self.query.kind), rows) if rows else []
        token = ""
        if len(rows) < total:
            token = self._token(self.summary.unhealthy_places[len(rows)], self.unhealthy_question)
            lines.append(f"more of them: {self.call.rest(token, **{HEALTH: False})}")
        return {"unhealthy_rows": rows, "unhealthy_continue": token}

    def _token(self, place: continue_tokens.Position, question: str) -> str:
        return continue_tokens.encode(place, question)


def _unhealthy_question(api: ClusterApi, query: ListQuery) -> str:
    if not has_health(query.kind) or HEALTH in query.filters or HEALTH not in query.kind.filters:
        return ""
    return question_of(api.context, replace(query, filters=dict(query.filters) | {HEALTH: False}))


def _of_namespace(one: Mapping[str, Any]) -> str:
    bad = f" ({one['unhealthy']} not healthy)" if one["unhealthy"] else ""
    return f"{one['namespace']} {one['total']}{bad}"


def _only(row: Row, columns: Sequence[str]) -> Row:
    return {name: row[name] for name in columns}


def _clipped(row: Row) -> Row:
    """Long values as the text shows them; a list or map becomes text by that."""
    return {name: _clip(value) for name, value in row.items()}


def _clip(value: Any) -> Any:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return value if len(text) <= _CLIPPED else f"{text[:_CLIPPED]}… ({_CLIPPED} of {len(text)} characters shown)"
