"""Pairs of a name and a value in text, in either order and with other fields between: `{"value": "x", "name": "DB_PASSWORD"}`,
`- value: x` above `name: DB_PASSWORD`, `{"op": "replace", "path": "/data/password", "value": "x"}`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from mcp_tools.harmless_values import is_harmless
from mcp_tools.redaction_marks import is_marked
from mcp_tools.secret_names import is_secret_name, name_in_path

_FIELD = re.compile(
    r"(?<![\w.$/-])(?<!Invalid )(?<!Unsupported )(?<!Duplicate )"
    r"(?P<word>(?P<value>value|string|parameter_?value)|(?:name|key|path|variable|field|id|parameter_?(?:name|key)))"
    r"\\*+[\"']?[ \t]*+[:=][ \t]*+",
    re.IGNORECASE,
)
_NAME = re.compile(r"\\*+[\"']?(?P<name>[\w./~-]++)")
_NAME_FIELD = re.compile(
    r"(?<![\w.$/-])(?:name|key|path|variable|field|id|parameter_?(?:name|key))\\*+[\"']?[ \t]*+[:=][ \t]*+"
    r"\\*+[\"']?(?P<name>[\w./~-]++)",
    re.IGNORECASE,
)
_ESCAPED = re.compile(r"(?<!\\)(?P<slashes>\\*+)\"(?P<secret>(?:(?!(?<!\\)(?P=slashes)\")[^\n])*+)")
_SINGLE = re.compile(r"'(?P<secret>[^'\n]*+)")
_LIST = re.compile(r"\[(?P<secret>[^\[\]{}\n]*+)")
_BLOCK = re.compile(r"[|>][-+0-9]{0,3}[ \t]*+\n")
_TO_LINE_END = re.compile(r"(?![{\[&*!|>\s#])(?P<secret>(?:[^\s#]++|[ \t]++(?=[^\s#])|(?<=\S)#)++)")
_BARE = re.compile(r"(?![{\[])(?P<secret>[^\s\"'`<>,;&|)}\]\\]++)")
_BEGINS_LINE = re.compile(r"[ \t]*+(?:-[ \t]++)*+[\"']?\Z")
_FARTHEST = 400
"""Characters between the two fields of one record."""
_LONGEST_INDENT = 200


@dataclass(frozen=True, slots=True)
class _Field:
    """`name` or `span`: what the name is, or where the value is. `word`: what the name's field is called, also of a value that
    has met a name already, which was no secret one."""

    start: int
    end: int
    column: int
    word: str
    name: str = ""
    span: tuple[int, int] | None = None


def mark_records(text: str, mark: Callable[[str], str]) -> str:
    """The text with each value marked that stands in one record with a field that holds a secret name."""
    if not any(is_secret_name(name_in_path(found["name"])) for found in _NAME_FIELD.finditer(text)):
        return text
    parts: list[str] = []
    kept = position = 0
    before: _Field | None = None
    while found := _FIELD.search(text, position):
        field = _field(text, found)
        position = max(field.end, found.end())
        before, secret = _met(text, before, field)
        if secret is None or secret[0] < kept:
            continue
        parts += [text[kept : secret[0]], mark(text[slice(*secret)])]
        kept = secret[1]
    return "".join(parts) + text[kept:] if parts else text


def _met(text: str, before: _Field | None, field: _Field) -> tuple[_Field | None, tuple[int, int] | None]:
    """What to remember for the fields that follow, and where the secret is when these two are a secret name and its value."""
    if before is None or not _same_record(text, before, field):
        return (before if before and _is_inside(text, before, field) else field), None
    if before.span is None and field.span is None:  # `key` beside `name`
        return (field if is_secret_name(field.name) or not is_secret_name(before.name) else before), None
    if before.span is not None and (field.span is not None or before.word == field.word):  # the next pair of a line
        return field, None
    name, value = (before, field) if field.span else (field, before)
    if not is_secret_name(name.name):
        return replace(value, word=name.word), None
    said = text[slice(*value.span)] if value.span else ""
    return None, None if not said or is_marked(said) or is_harmless(name.name, said) else value.span


def _field(text: str, found: re.Match[str]) -> _Field:
    column, begins_line = _column(text, found.start())
    word = found["word"].lower()
    if found["value"]:
        span = _value_span(text, found.end(), column if begins_line else None)
        return _Field(found.start(), span[1], column, word, span=span)
    name = _NAME.match(text, found.end())
    if name is None:
        return _Field(found.start(), found.end(), column, word)
    return _Field(found.start(), name.end(), column, word, name=name_in_path(name["name"]))


def _value_span(text: str, start: int, column: int | None) -> tuple[int, int]:
    """`column`: of the field, when a line begins with it; in YAML its value goes on to the line's end, or in deeper lines."""
    for pattern in (_ESCAPED, _SINGLE, _LIST):
        if found := pattern.match(text, start):
            return found.span("secret")
    if column is not None and (block := _BLOCK.match(text, start)):
        return _block_span(text, block.end(), column)
    found = (_TO_LINE_END if column is not None else _BARE).match(text, start)
    return found.span("secret") if found else (start, start)


def _block_span(text: str, start: int, column: int) -> tuple[int, int]:
    end = start
    while end < len(text):
        line_end = text.find("\n", end)
        line_end = len(text) if line_end < 0 else line_end + 1
        line = text[end:line_end]
        if line.strip() and len(line) - len(line.lstrip(" \t")) <= column:
            break
        end = line_end
    block = text[start:end]
    return start + len(block) - len(block.lstrip()), start + len(block.rstrip()) if block.strip() else start


def _column(text: str, position: int) -> tuple[int, bool]:
    """Of a field in its line, and whether the line begins with it."""
    line = text.rfind("\n", max(0, position - _LONGEST_INDENT), position) + 1
    near = position - line < _LONGEST_INDENT
    return position - line, near and _BEGINS_LINE.match(text[line:position]) is not None


def _same_record(text: str, before: _Field, field: _Field) -> bool:
    """Whether two fields are of one mapping: no brace between, and in YAML one below the other."""
    if field.start - before.end > _FARTHEST:
        return False
    between = text[before.end : field.start]
    if "{" in between or "}" in between:
        return False
    if "\n" not in between or between.lstrip("\\\"'] \t").startswith(","):
        return True
    return before.column == field.column and not any(_leaves(line, field.column) for line in between.split("\n")[1:])


def _leaves(line: str, column: int) -> bool:
    """Whether a line of YAML is of a mapping around the one in this column, or of the next item."""
    content = line.lstrip(" \t")
    return len(line) - len(content) < column and bool(content)


def _is_inside(text: str, before: _Field, field: _Field) -> bool:
    """Whether a field only stands deeper in the record of YAML that another began."""
    if field.column <= before.column or field.start - before.end > _FARTHEST:
        return False
    between = text[before.end : field.start]
    begins_line = _column(text, field.start)[1]
    return begins_line and "\n" in between and "{" not in between and "}" not in between
