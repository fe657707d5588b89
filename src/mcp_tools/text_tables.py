"""Rows as plain text: what a client shows, or gives to a model, when it does not read structured content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from kinds.envelope import Envelope
from kinds.registry import noun_for
from mcp_tools.plain_text import plain_text

CELL = 120
"""Characters of a cell, unless told."""


def rows_as_text(
    columns: Sequence[str], rows: Sequence[dict[str, Any]], envelope: Envelope, continue_token: str, *, more: str = "",
    longest: int = CELL,
) -> str:  # fmt: skip
    """One line a row, cells parted by a tab; the first line says how much this is, the last how to get the rest: `more`, the
    call that gives it, or else the continue token. `longest` is that of a cell, in characters."""
    lines = [_head(envelope)]
    if rows:
        lines += table_lines(columns, rows, longest)
    if more:
        lines.append(f"more: {more}")
    elif continue_token:
        lines.append(f"more: repeat the call with continue_token={continue_token}")
    return "\n".join(lines)


def table_lines(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], longest: int = CELL) -> list[str]:
    """The names of the columns, then the rows."""
    return ["\t".join(columns), *("\t".join(_cell(row.get(column), longest) for column in columns) for row in rows)]


def call_text(tool: str, arguments: Mapping[str, Any]) -> str:
    """`k8s_list_pods(namespace="shop", limit=50)`: a call as a model can repeat it; arguments that say nothing left out."""
    said = {name: value for name, value in arguments.items() if value not in ("", None) and value != {}}
    return plain_text(f"{tool}({', '.join(f'{name}={orjson.dumps(value).decode()}' for name, value in said.items())})")


def _head(envelope: Envelope) -> str:
    of = f" of {envelope.total}" if envelope.total is not None else ""
    noun = noun_for(envelope.shown if envelope.total is None else envelope.total, envelope.kind)
    what = f"{envelope.shown}{of} {noun}{' shown' if envelope.more else ''}{where(envelope)}"
    return f"{what}, {envelope.source} as of {envelope.as_json()['as_of']}" + (f" ({envelope.note})" if envelope.note else "")


def where(envelope: Envelope) -> str:
    """` with healthy=false in namespace shop of demo`, ` in demo`: what a number of it counts."""
    asked = " ".join(plain_text(envelope.asked).split())
    if not asked:
        return f" in {envelope.cluster}"
    return f" {asked} {'of' if ' in namespace ' in f' {asked}' else 'in'} {envelope.cluster}"


def _cell(value: Any, longest: int) -> str:
    if value is None:
        return "-"
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    text = " ".join(plain_text(text).split())
    return text if len(text) <= longest else text[: longest - 1] + "…"
