"""How much of a result the model gets to see, and what is dropped when a conversation outgrows the context."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agent.answer import Answer
from kinds.counted import counted
from kinds.envelope import Envelope
from mcp_tools.plain_text import plain_text, plain_value

RESULT_SHARE = 0.2
"""Part of the context window that a single tool result may take."""
ROUND_SHARE = 0.5
"""Part of it that all results of one reply's calls may take together."""
REPLY_SHARE = 0.25
"""Part of it that is kept free for the reply, at most; LLM_MAX_TOKENS when that is less."""
CHARACTERS_PER_TOKEN = 2.4
"""Of JSON full of generated names, the worst that is common; prose has four."""
_LONG_STRING = 400
_FRAME = re.compile(r"<(\s*/?\s*cluster-data)", re.IGNORECASE)
_DROPPED = "[dropped to save room; call the tool again if this is needed]"

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rendered:
    """What the model is shown. `shown` and `total` count rows, lines or objects; `summary` is a line for the person."""

    text: str
    summary: str


def estimate_tokens(text: str) -> int:
    """Cheap and on the safe side; a CJK character counts as one token."""
    plain = sum(1 for _ in filter(str.isascii, text)) if not text.isascii() else len(text)
    return int(plain / CHARACTERS_PER_TOKEN) + (len(text) - plain) + 1


def result_budget(context_window: int, *, calls: int = 1) -> int:
    """Tokens for each tool result of a reply with so many calls."""
    return max(200, int(context_window * min(RESULT_SHARE, ROUND_SHARE / max(1, calls))))


def prompt_budget(context_window: int, max_tokens: int) -> int:
    """Tokens for everything that is sent."""
    return context_window - min(max_tokens, int(context_window * REPLY_SHARE))


def render(answer: Answer, budget_tokens: int) -> Rendered:
    """A tool's answer as compact text within the budget, control characters removed, with "N of M shown" when cut."""
    data = plain_value(answer.structured)
    head: dict[str, Any] = {"source": answer.source, "cluster": answer.cluster}
    if answer.note:
        head["note"] = answer.note
    if isinstance(data, dict) and isinstance(data.get("rows"), list):
        return _render_rows(data, head | _age(answer.envelope), answer.envelope, budget_tokens)
    if isinstance(data, dict) and isinstance(data.get("text_lines"), int):  # long texts come as text only, counted here
        lines = plain_text(answer.text).split("\n")
        lines = lines[len(lines) - data["text_lines"] :] if data["text_lines"] else []
        return _render_lines(lines, head | _without(data, "text_lines"), budget_tokens)
    if isinstance(data, dict) and isinstance(data.get("text"), str):
        return _render_lines(data["text"].splitlines(), head | _without(data, "text"), budget_tokens)
    if data is None:
        return _render_lines(plain_text(answer.text).splitlines(), head, budget_tokens)
    body = _without(data, "envelope") if isinstance(data, dict) else {"result": data}
    return _render_object(body, head | _age(answer.envelope), budget_tokens)


def render_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], head: dict[str, Any], budget_tokens: int) -> Rendered:
    """A table as one head line, one line of column names, and one JSON array a row; cut at whole rows."""
    lines = [_compact(list(row)) for row in plain_value([list(row) for row in rows])]  # type: ignore[attr-defined]
    room = budget_tokens - estimate_tokens(_compact(head)) - estimate_tokens(_compact(list(columns))) - 60
    shown = _fitting(lines, room)
    if lines and not shown:  # not even one row fits
        size = max(1, int(room * CHARACTERS_PER_TOKEN))
        lines[0], shown = f"{lines[0][:size]}… ({size} of {len(lines[0])} characters shown)", 1
    known = head.get("total")
    total = known if isinstance(known, int) and known >= len(lines) else len(lines)
    text = "\n".join([_compact(head), _compact(list(columns)), *lines[:shown]])
    if shown < len(lines):
        text += (
            f"\n{shown} of {total} rows shown, the rest does not fit: filter, aggregate with SQL, or use limit={max(1, shown)}"
        )
    return Rendered(text, f"{shown} of {total} rows" if shown < total else counted(total, "row"))


def framed(tool: str, text: str) -> str:
    """Text from a cluster is data: marked as such, and unable to close its own frame."""
    body = _FRAME.sub(r"<\\\1", text)
    return f'<cluster-data tool="{plain_text(tool)}">\n{body}\n</cluster-data>'


def compacted(messages: Sequence[Message], budget_tokens: int) -> tuple[list[Message], str]:
    """The messages within the budget, and one line on what was dropped ("" for nothing).

    First the oldest tool results become a placeholder, then the oldest questions go with everything that belongs to
    them; the running question and its latest results stay.
    """
    kept = list(messages)
    results = _drop_results(kept, budget_tokens)
    questions = 0
    while size_of(kept) > budget_tokens and (second := _second_question(kept)) is not None:
        del kept[:second]
        questions += 1
    if not results and not questions:
        return kept, ""
    parts = [counted(results, "older tool result")] * bool(results) + [counted(questions, "older question")] * bool(questions)
    return kept, f"the conversation outgrew AGENT_CONTEXT_WINDOW: {' and '.join(parts)} dropped from what the model sees"


def size_of(messages: Sequence[Message]) -> int:
    """Estimated tokens."""
    return sum(estimate_tokens(_compact(message)) + 4 for message in messages)


def _drop_results(messages: list[Message], budget_tokens: int) -> int:
    """Oldest first; those of the latest round of calls stay. In place: a message object is replaced, never changed."""
    latest = max((at for at, message in enumerate(messages) if message.get("tool_calls")), default=len(messages))
    size, dropped = size_of(messages), 0
    for at, message in enumerate(messages[:latest]):
        if size <= budget_tokens:
            break
        if message["role"] == "tool" and message["content"] != _DROPPED:
            size -= estimate_tokens(_compact(message))
            messages[at] = message | {"content": _DROPPED}
            size += estimate_tokens(_compact(messages[at]))
            dropped += 1
    return dropped


def _second_question(messages: list[Message]) -> int | None:
    starts = [at for at, message in enumerate(messages) if message["role"] == "user"]
    return starts[1] if len(starts) > 1 else None


def _render_rows(data: dict[str, Any], head: dict[str, Any], envelope: Envelope | None, budget_tokens: int) -> Rendered:
    rows: list[dict[str, Any]] = data["rows"]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    filled = [name for name in columns if any(row.get(name) is not None for row in rows)]
    if envelope is not None and envelope.total is not None:
        head["total"] = envelope.total
    if data.get("summary"):
        head["summary"] = data["summary"]
    rendered = render_table(filled, [[row.get(name) for name in filled] for row in rows], head, budget_tokens)
    token = data.get("continue")
    whole = "rows shown, the rest" not in rendered.text
    if token and whole:  # after a cut the token would skip the rows that did not fit
        return Rendered(f"{rendered.text}\nmore: continue_token={token}", f"{len(rows)} of {head.get('total', 'more')} rows")
    return rendered


def _render_lines(lines: list[str], head: dict[str, Any], budget_tokens: int) -> Rendered:
    """The end of a log says most, so the beginning is what is cut."""
    room = budget_tokens - estimate_tokens(_compact(head)) - 40
    shown = _fitting(lines[::-1], room)
    kept = lines[len(lines) - shown :]
    if not kept and lines:
        kept, shown = [lines[-1][-int(room * CHARACTERS_PER_TOKEN) :]], 1
    if shown < len(lines):
        head = head | {"cut": f"last {shown} of {len(lines)} lines shown; grep, since_seconds or tail_lines narrow it"}
    summary = f"last {shown} of {len(lines)} lines" if shown < len(lines) else counted(len(lines), "line")
    return Rendered("\n".join([_compact(head), *kept]), summary)


def _render_object(body: dict[str, Any], head: dict[str, Any], budget_tokens: int) -> Rendered:
    text = _compact(head) + "\n" + _compact(body)
    if estimate_tokens(text) <= budget_tokens:
        return Rendered(text, _object_summary(body))
    text = _compact(head) + "\n" + _compact(_shortened(body))
    if estimate_tokens(text) > budget_tokens:
        room = int(budget_tokens * CHARACTERS_PER_TOKEN)
        text = f"{text[:room]}\n… {room} of {len(text)} characters shown; query_cache or a narrower tool gives single fields"
    return Rendered(text, f"{_object_summary(body)}, shortened")


def _object_summary(body: dict[str, Any]) -> str:
    manifest = body.get("manifest")
    if isinstance(manifest, dict):
        return f"{manifest.get('kind', 'object')} {(manifest.get('metadata') or {}).get('name', '')}".strip()
    return "1 result"


def _shortened(value: Any) -> Any:
    """Long strings cut, with their length."""
    if isinstance(value, str) and len(value) > _LONG_STRING:
        return f"{value[:_LONG_STRING]}… ({_LONG_STRING} of {len(value)} characters shown)"
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    return value


def _fitting(lines: Sequence[str], room_tokens: int) -> int:
    used = 0
    for count, line in enumerate(lines):
        used += estimate_tokens(line) + 1
        if used > room_tokens:
            return count
    return len(lines)


def _age(envelope: Envelope | None) -> dict[str, Any]:
    if envelope is None or envelope.source == "live":
        return {}
    return {"age_seconds": envelope.age_seconds, "fresh": envelope.fresh, "complete": envelope.complete}


def _without(data: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name not in (key, "envelope")}


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
