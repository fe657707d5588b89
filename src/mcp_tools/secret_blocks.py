"""Collections of secrets in text: everything below `credentials:` in YAML, in `"secrets": {…}`, in a section `[passwords]`."""

from __future__ import annotations

import re
from collections.abc import Callable

from mcp_tools.harmless_values import is_harmless, is_plain_setting, is_public_pem, names_something
from mcp_tools.redaction_marks import is_marked
from mcp_tools.secret_names import holds_secrets_throughout, is_plain_member

Mark = Callable[[str], str]

_YAML_HEAD = re.compile(r"^([ \t]*(?:-[ \t]+)?)[\"']?([\w.-]+)[\"']?:[ \t]*(?:#[^\n]*)?\n(?=([ \t]*))", re.MULTILINE)
_SECTION = re.compile(r"^[ \t]*\[{1,2}[ \t]*([\w.\"'-]+)[ \t]*\]{1,2}[ \t]*$", re.MULTILINE)
_BRACED = re.compile(r"(?<![\w.-])([\w.-]++)\\*+[\"']?[ \t]*+(?:=>|[:=])[ \t]*+\{")
_TO_LINE_END = r"(?P<value>(?:[^\n \t]++(?:[ \t]++(?=[^\n \t]))?+)*+)[ \t]*+$"  # without the blanks that it ends in
_LINE = re.compile(
    r"^(?P<head>[ \t]*+(?P<items>(?:-[ \t]++)++)?+"
    r"(?:\\*+[\"']?+ *+(?P<name>[\w./$@-]++(?: ++[\w./$@-]++)*+)\\*+[\"']?+[ \t]*+[:=][ \t]++|(?(items)|(?!))))" + _TO_LINE_END,
    re.MULTILINE,
)
_ASSIGNMENT = re.compile(rf"^(?P<head>[ \t]*+(?P<name>[\w./$@-]++)[ \t]*+=[ \t]*+){_TO_LINE_END}", re.MULTILINE)
_PAIR = re.compile(
    r"(?P<head>(?<![\w./$@-])(?P<name>[\w./$@-]++)\\*+[\"']?+[ \t]*+(?:=>|[:=])[ \t]*+\\*+)"
    r"(?P<value>\"(?:[^\"\\]|\\(?!\")[\s\S])*+|'[^'\n]*+|[^\s\"'{}\[\],\\]++)"
)
_SPAN = 20_000
_HINTS = ("cred", "passw", "passphrase", "pwd", "token", "secret", "apikey", "keys")
"""One of them is in the name of every collection."""


def mark_blocks(text: str, mark: Mark) -> str:
    """The text with the members of every collection of secrets marked. Names stay, and so do references and settings."""
    lowered = text.lower()
    if not any(hint in lowered for hint in _HINTS):
        return text
    if "{" in text:
        text = _each(text, _BRACED, 1, _braced_end, _PAIR, mark)
    if "\n" in text:
        if ":" in text:
            text = _each(text, _YAML_HEAD, 2, _block_end, _LINE, mark)
        if "[" in text:
            text = _each(text, _SECTION, 1, _section_end, _ASSIGNMENT, mark)
    return text


def _each(
    text: str,
    heads: re.Pattern[str],
    group: int,
    end_of: Callable[[str, re.Match[str]], int],
    members: re.Pattern[str],
    mark: Mark,
) -> str:
    parts: list[str] = []
    kept = position = 0
    while found := heads.search(text, position):
        position = found.end()
        if not any(holds_secrets_throughout(part) for part in re.split(r"[.\"']+", found[group]) if part):
            continue
        end = end_of(text, found)
        if end <= position:
            continue
        parts += [text[kept:position], members.sub(lambda member: _member(member, mark), text[position:end])]
        kept = position = end
    return "".join(parts) + text[kept:] if parts else text


def _member(found: re.Match[str], mark: Mark) -> str:
    name, value, head = found["name"] or "", found["value"], found["head"]
    opening = re.match(r"\\*[\"'`]?", value)
    start = opening.end() if opening else 0
    quote = value[:start].lstrip("\\")
    bare = value[start:]
    closing = ""
    if quote and bare.endswith(quote):
        bare, closing = bare[:-1], quote
    if not bare.strip() or bare[0] in "{[|>&!#" or is_marked(bare):
        return found[0]
    if name and (is_plain_member(name) or names_something(name, bare)):
        return found[0]
    if is_harmless("password", bare) or is_plain_setting(bare) or is_public_pem(bare):
        return found[0]
    if not name and re.match(r"[\w.-]+:(?:\s|$)", bare):
        return found[0]
    return found[0][: len(head)] + value[:start] + mark(bare) + closing


def _block_end(text: str, head: re.Match[str]) -> int:
    """Where the lines that are indented deeper than the head end. A list may stand at the head's own depth."""
    own, inner = len(head[1].replace("-", " ")), len(head[3])
    if inner < own or (inner == own and text[head.end() + inner : head.end() + inner + 2] != "- "):
        return head.end()
    end = head.end()
    while end < len(text) and end - head.end() < _SPAN:
        line_end = text.find("\n", end)
        line_end = len(text) if line_end < 0 else line_end + 1
        line = text[end:line_end]
        indent = len(line) - len(line.lstrip(" \t"))
        if line.strip() and (indent < inner or (inner == own and not line.lstrip().startswith("- ") and indent == inner)):
            break
        end = line_end
    return end


def _section_end(text: str, head: re.Match[str]) -> int:
    following = re.compile(r"^[ \t]*\[", re.MULTILINE).search(text, head.end())
    return following.start() if following else len(text)


def _braced_end(text: str, head: re.Match[str]) -> int:
    """Where the brace that the head ends with is closed; the end of what is there when it never is."""
    depth, limit = 1, min(len(text), head.end() + _SPAN)
    for found in re.compile(r"[{}]").finditer(text, head.end(), limit):
        depth += 1 if found[0] == "{" else -1
        if not depth:
            return found.start()
    return limit
