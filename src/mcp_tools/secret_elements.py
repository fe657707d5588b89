"""Names and values that are elements or attributes in XML:
`<name>x.password</name> <value>…</value>`, `<entry key="x.token">…`."""

from __future__ import annotations

import re
from collections.abc import Callable

from mcp_tools.harmless_values import is_harmless
from mcp_tools.redaction_marks import is_marked
from mcp_tools.secret_names import is_secret_name

_LEAF = re.compile(
    r"<(?P<tag>[\w:.-]++)(?P<attributes>[^<>]{0,300}+)>(?:<!\[CDATA\[)?+(?P<text>[^<>]*+)>?+</[\w:.-]{1,100}+[ \t]?>"
)
_NAMED = re.compile(r"(?<![\w:.-])(?:name|key|id)[ \t]*+=[ \t]*+\\*+[\"'](?P<name>[\w.:/-]++)")
_OPENING = re.compile(r"<[\w:.-]++[^<>/]{0,300}+>(?:\s|\\++[nrt])*+\Z")
_BLANK = re.compile(r"(?:\s|\\++[nrt]|<!--[^<>]*+-->)*+\Z")
_NAMES = frozenset({"name", "key", "param-name", "env-entry-name", "parameter-name"})
_VALUES = frozenset({"value", "string", "param-value", "env-entry-value", "parameter-value"})
_TAIL = 400
"""Characters before an element in which the one around it begins."""


def mark_elements(text: str, mark: Callable[[str], str]) -> str:
    """The text with the contents of elements marked that a secret name stands beside, before or behind, or around."""
    if "name" not in text and "key" not in text:
        return text
    secrets: list[tuple[int, int, str]] = []
    name = ""
    value: tuple[int, int] | None = None
    position = 0
    for found in _LEAF.finditer(text):
        between = text[position : found.start()]
        if position == 0 or not _BLANK.match(between):  # another parent
            name, value = _named(_OPENING.search(between[-_TAIL:])), None
        position = found.end()
        tag = found["tag"].rpartition(":")[2].lower()
        content = _content(found)
        if own := _named(re.match(r"[\s\S]*", found["attributes"])):
            secrets.append((*content, own))
        elif tag in _NAMES:
            name = text[slice(*content)]
        elif tag in _VALUES:
            value = content
        if name and value:
            secrets.append((*value, name))
            name, value = "", None
    return _marked(text, secrets, mark)


def _named(element: re.Match[str] | None) -> str:
    """What an element's attributes say that it holds."""
    found = _NAMED.search(element[0]) if element else None
    return found["name"] if found else ""


def _content(leaf: re.Match[str]) -> tuple[int, int]:
    """Where the text of an element is, without the white space around it."""
    text = leaf["text"].removesuffix("]]")
    start = leaf.start("text") + len(text) - len(text.lstrip())
    return start, max(start, leaf.start("text") + len(text.rstrip()))


def _marked(text: str, secrets: list[tuple[int, int, str]], mark: Callable[[str], str]) -> str:
    parts: list[str] = []
    kept = 0
    for start, end, name in secrets:
        value = text[start:end]
        if start >= kept and value and is_secret_name(name) and not is_marked(value) and not is_harmless(name, value):
            parts += [text[kept:start], mark(value)]
            kept = end
    return "".join(parts) + text[kept:] if parts else text
