"""A description made of sections, cut to a budget: the longest first, each keeps something, and says what it lost."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

import orjson

from kinds.envelope import Envelope
from mcp_tools.answer_budget import estimate_json, fits, fitting
from mcp_tools.plain_text import plain_text, plain_value
from mcp_tools.text_tables import call_text, table_lines
from mcp_tools.tool_declaration import ToolAnswer

_LONGEST = 400
"""Characters of one value."""
_LEAST = (2, 1, 0)
"""Rows that every section keeps, whatever they cost: the first of these numbers that there is room for."""
_FACTS = "facts"
_FIRST = frozenset({_FACTS, "conditions", "events"})
"""They say what is wrong, and are cut last."""
_ROOM_OF_FIRST = 3
"""Times what any other section may take."""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool and its arguments but the context, which is the same for all calls of a description."""

    tool: str
    arguments: Mapping[str, Any]

    def text(self, context: str) -> str:
        return call_text(self.tool, {"context": context, **self.arguments})


@dataclass(frozen=True, slots=True)
class Section:
    """Rows about one side of the object. `total` is more than the rows when not all were read; `rest` is the call for them,
    None where there is nothing to be read."""

    name: str
    rows: Sequence[Mapping[str, Any]]
    rest: Call | None
    total: int | None = None
    note: str = ""

    @property
    def count(self) -> int:
        return len(self.rows) if self.total is None else self.total


@dataclass(frozen=True, slots=True)
class Description:
    """What is known of an object. `facts` are its columns and labels; `manifest` lines go into the text only."""

    head: str
    identity: Mapping[str, Any]
    facts: Mapping[str, Any]
    sections: Sequence[Section]
    rest: Call
    """Gives the whole object."""
    manifest: Sequence[str] = field(default=())
    context: str = ""
    """As it was asked for: a call without it would answer from another cluster."""

    def answer(self, envelope: Envelope, max_tokens: int) -> ToolAnswer:
        """The largest part of every section that fits, then as much of the manifest as there is room for."""
        plain = self._plain()
        kept = plain._fitting_rows(envelope, max_tokens)
        return fitting(plain.manifest, lambda lines: plain._rendered(envelope, kept, lines), max_tokens)

    def _fitting_rows(self, envelope: Envelope, max_tokens: int) -> dict[str, int]:
        """How many rows of each section to show: one room in tokens for all of them, the largest that fits, cuts the longest."""
        costs = self._costs()

        def kept(room: int, least: int) -> dict[str, int]:
            return {
                name: max(min(least, len(ends)), bisect_right(ends, room * (_ROOM_OF_FIRST if name in _FIRST else 1)))
                for name, ends in costs.items()
            }

        def fit(room: int, least: int) -> bool:
            return fits(self._rendered(envelope, kept(room, least), ()), max_tokens)

        everything = max((ends[-1] for ends in costs.values() if ends), default=0)
        least = next((least for least in _LEAST if fit(0, least)), 0)
        rooms = range(1, min(everything, max_tokens) + 1)
        if fit(everything, least):
            return kept(everything, least)
        return kept(bisect_left(rooms, True, key=lambda room: not fit(room, least)), least)

    def _costs(self) -> dict[str, list[int]]:
        """Tokens up to and with each row: it is in the text and in the structured content."""
        rows: dict[str, Sequence[Any]] = {_FACTS: list(self.facts.items())} | {one.name: one.rows for one in self.sections}
        return {name: list(accumulate(2 * estimate_json(row) for row in of_one)) for name, of_one in rows.items()}

    def _plain(self) -> Description:
        sections = [replace(one, rows=[_shortened(row) for row in one.rows], note=plain_text(one.note)) for one in self.sections]
        return replace(self, facts=_shortened(self.facts), sections=sections)

    def _rendered(self, envelope: Envelope, kept: Mapping[str, int], manifest: Sequence[str]) -> ToolAnswer:
        facts = dict(list(self.facts.items())[: kept[_FACTS]])
        parts = [(one, list(one.rows)[: kept[one.name]]) for one in self.sections]
        said = [(one, rows) for one, rows in parts if rows or one.note]
        left_out = [self._left_out(one.name, len(rows), one.count, one.rest) for one, rows in parts if len(rows) < one.count]
        if len(facts) < len(self.facts):
            left_out.insert(0, self._left_out(_FACTS, len(facts), len(self.facts), self.rest))
        if len(manifest) < len(self.manifest):
            left_out.append(self._left_out("manifest lines", len(manifest), len(self.manifest), self.rest))
        lines = [self.head, *(f"{name}: {_value(value)}" for name, value in facts.items())]
        for one, rows in said:
            lines += ["", f"{one.name} ({len(rows)} of {one.count})" + (f": {one.note}" if one.note else "")]
            lines += table_lines(_columns(rows), rows, _LONGEST) if rows else []
        lines += ["", *(_left_out_line(one) for one in left_out)] if left_out else []
        lines += ["", *manifest] if manifest else []
        structured = {
            "object": dict(self.identity),
            "facts": facts,
            "sections": [_section(one, rows) for one, rows in said],
            "left_out": left_out,
            "envelope": replace(envelope, more=bool(left_out)).as_json(),
        } | ({"text_lines": len(manifest)} if manifest else {})
        return ToolAnswer("\n".join(lines), structured)

    def _left_out(self, what: str, shown: int, total: int, rest: Call | None) -> dict[str, Any]:
        return {"what": what, "shown": shown, "total": total, "call": rest.text(self.context) if rest else ""}


def _section(section: Section, rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    return {"name": section.name, "total": section.count, "rows": rows} | ({"note": section.note} if section.note else {})


def _left_out_line(one: Mapping[str, Any]) -> str:
    return f"{one['what']}: {one['shown']} of {one['total']} shown; the rest: {one['call']}"


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Those that any row has, in the order in which they come."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _shortened(row: Mapping[str, Any]) -> dict[str, Any]:
    """Without control characters, and no value longer than a reader wants. An empty one says nothing."""
    plain = plain_value(dict(row))
    assert isinstance(plain, dict)  # noqa: S101 (what a dict becomes)
    return {name: _cut(value) for name, value in plain.items() if value is not None and value != [] and value != {}}


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _LONGEST else f"{value[:_LONGEST]}…"
    if isinstance(value, (list, dict)) and len(text := _value(value)) > _LONGEST:
        return f"{text[:_LONGEST]}…"
    return value


def _value(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
