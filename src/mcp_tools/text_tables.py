"""Rows as plain text: what a client shows, or gives to a model, when it does not read structured content."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from kinds.envelope import Envelope
from mcp_tools.plain_text import plain_text

_CELL = 120


def rows_as_text(columns: Sequence[str], rows: Sequence[dict[str, Any]], envelope: Envelope, continue_token: str) -> str:
    """One line a row, cells parted by a tab; the first line says how much this is, the last how to get the rest."""
    of = f" of {envelope.total}" if envelope.total is not None else ""
    head = f"{envelope.shown}{of} {envelope.kind} in {envelope.cluster}, {envelope.source} as of {envelope.as_json()['as_of']}"
    lines = [head + (f" ({envelope.note})" if envelope.note else "")]
    if rows:
        lines.append("\t".join(columns))
        lines += ["\t".join(_cell(row.get(column)) for column in columns) for row in rows]
    if continue_token:
        lines.append(f"more: repeat the call with continue_token={continue_token}")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    text = " ".join(plain_text(text).split())
    return text if len(text) <= _CELL else text[: _CELL - 1] + "…"
