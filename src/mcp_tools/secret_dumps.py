"""Objects that an API server quotes in its errors: literal environment values, and what it says is wrong with a field.

`core.EnvVar{Name:"GREETING", Value:"x"}`, `"env":[{"name":"GREETING","value":"x"}]`, `spec.password: Invalid value: "x": …`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from mcp_tools.harmless_values import is_harmless, is_safe_literal
from mcp_tools.redaction_marks import is_marked
from mcp_tools.secret_names import is_secret_name

_QUOTED = r"(?P<slashes>\\*+)\"(?P<secret>(?:(?!(?<!\\)(?P=slashes)\")[\s\S])*+)"
_GO = re.compile(rf"EnvVar\{{Name:\\*+\"(?P<name>[^\"\\]*+)\\*+\",[ ]?Value:{_QUOTED}")
_JSON_LIST = re.compile(r"\"env\\*+\"[ \t]?:")
_JSON = re.compile(rf"\"name\\*+\"[ \t]?:[ \t]?\\*+\"(?P<name>[^\"\\]*+)\\*+\",\s*+\\*+\"value\\*+\"[ \t]?:[ \t]?{_QUOTED}")
_COMPLAINT = re.compile(
    r"(?:(?P<quotes>Invalid|Unsupported|Duplicate) value|Not found|Required value|Forbidden|Too (?:long|many|few|short)"
    r"|Internal error):[ \t]*+"
)
_OPENING = re.compile(r"[\w.*&\[\]]{0,60}[{\[]")
_BRACKET = re.compile(r"\"(?:[^\"\\]|\\[\s\S])*+\"?|[{}\[\]]")
_IN_QUOTES = re.compile(_QUOTED)
_BARE = re.compile(r"(?:[^\s:,;]|:(?=\S))++")
_SPAN = 20_000


def mark_literals(text: str, mark: Callable[[str], str]) -> str:
    """Literal values of variables, in Go's notation and in JSON that stands in a text."""
    if "EnvVar{" in text:
        text = _GO.sub(lambda found: _literal(found, mark), text)
    if '"env' in text and (first := _JSON_LIST.search(text)):
        text = text[: first.end()] + _JSON.sub(lambda found: _literal(found, mark), text[first.end() :])
    return text


def complaint(text: str, start: int) -> tuple[bool, tuple[int, int] | None]:
    """Whether an API server says there what is wrong with a field, and where it quotes the field's value."""
    found = _COMPLAINT.match(text, start)
    if found is None:
        return False, None
    start = found.end()
    if value := _IN_QUOTES.match(text, start):
        return True, value.span("secret")
    if not found["quotes"]:
        return True, None
    if opening := _OPENING.match(text, start):
        return True, (start, _closed(text, opening.end()))
    bare = _BARE.match(text, start)
    return True, bare.span() if bare else None


def _literal(found: re.Match[str], mark: Callable[[str], str]) -> str:
    name, value, whole = found["name"], found["secret"], found[0]
    if is_marked(value) or (is_harmless(name, value) if is_secret_name(name) else is_safe_literal(value)):
        return whole
    return whole[: found.start("secret") - found.start()] + mark(value)


def _closed(text: str, position: int) -> int:
    depth, limit = 1, min(len(text), position + _SPAN)
    for found in _BRACKET.finditer(text, position, limit):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(found[0], 0)
        if not depth:
            return found.end()
    return limit
