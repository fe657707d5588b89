"""Values in text that follow a name which says that they are secret: `password: x`, `"apiKey": "x"`, `TOKEN=x`, YAML blocks."""

from __future__ import annotations

import re
from collections.abc import Callable

from mcp_tools.harmless_values import is_harmless
from mcp_tools.redaction_marks import is_marked
from mcp_tools.secret_dumps import complaint
from mcp_tools.secret_names import is_secret_name

_NAME = re.compile(
    r"(?<![\w.$/-])([\w.$/-]++)"  # the name, also a path of names; tried once a run of characters, not at each of them
    r"(?:\\*[\"'`\]]{0,2}[ \t]*(?:=>|:=|==?|:)[ \t]*|[ \t]+(?:is(?:[ \t]+set[ \t]+to)?|set[ \t]+to):?[ \t]+(?:now[ \t]+)?)"
)
_NAME_AND_VALUE = re.compile(
    r"\b(?:name|key)\\*+[\"']?[ \t]*+[:=][ \t]*+\\*+[\"']?([\w.-]++)(?:\\*+[\"'])?+[ \t]*+(?:,|\\++n|\n)?+\s*+"
    r"\\*+[\"']?value\\*+[\"']?[ \t]*+[:=][ \t]*+",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"(?:[bB]earer|[bB]asic|[tT]oken|[dD]igest|[aA]pi[kK]ey|Bot|SSWS)[ \t]+(?=\S)")
_BLOCK = re.compile(r"[|>][-+0-9]{0,3}[ \t]*\n[ \t]*(?P<block>[^\n]*(?:\n[ \t]+[^\n]*|\n(?=[ \t]*\n[ \t]))*)")
_NEXT_LINE = re.compile(r"\n[ \t]++(?P<next>(?![#\[{|>&*-]|[^\s:]+:(?:\s|\Z))[^\n]+)")
_ITEM = r"-[ \t]++(?![^\s:]+:(?:\s|\Z)|[\[{&*])[^\n]+"
_ITEMS = re.compile(rf"\n[ \t]*(?P<items>{_ITEM}(?:\n[ \t]*{_ITEM})*)")
_TRIPLE_QUOTED = re.compile(r"\"\"\"(?P<triple>[\s\S]+?)\"\"\"")
_PLAIN_QUOTED = re.compile(r"\"(?P<double>(?:[^\"\\]|\\[\s\S])*)\"|'(?P<single>(?:[^']|'')*)'|`(?P<tick>[^`\n]*)`")
_ESCAPED_QUOTED = re.compile(r"(?<!\\)(?P<slashes>\\++)\"(?P<double>[\s\S]*?)(?<!\\)(?P=slashes)\"")
_LIST = re.compile(r"\[(?P<list>[^\[\]{}\n]*)\]")
_ENCLOSED = (
    (_BLOCK, "block"),
    (_NEXT_LINE, "next"),
    (_ITEMS, "items"),
    (_TRIPLE_QUOTED, "triple"),
    (_ESCAPED_QUOTED, "double"),
    (_LIST, "list"),
)
_REST_OF_LINE = re.compile(r"(?P<rest>(?:[^\n\r \t]++|[ \t]++(?![\n\r#]|\Z))*+)")  # to a comment
_BARE = re.compile(r"(?P<bare>[^\s\"'`<>,;&|)}\]\\]+)")
_OPEN_QUOTED = re.compile(r"\\*[\"'](?P<open>[^\n]+)")  # cut off before the closing quote
_LINE_START = re.compile(r"[ \t]*(?:(?:-|export|set|SET|ENV|ARG|\$env:)[ \t]+)*[\"']?\Z")
_VARIABLE = re.compile(r"\$(?:\{\w+\}|\(\w+\)|\w+)(?=[ \t])")
_TAG = re.compile(r"(?:v?\d+\.\d[\w.-]*|v\d[\w.-]*|latest|stable|edge|main|master|nightly)(?![\w-])")
_PORT = re.compile(r"\d{2,5}(?![\w.@-])")
_ANOTHER_WORD = re.compile(r",?[ \t]++[A-Za-z]")
_WHOLE_LINE_NAMES = re.compile(r"cookie|authorization", re.IGNORECASE)
_NO_VALUES = frozenset(
    {"not", "missing", "required", "invalid", "empty", "wrong", "incorrect", "expired", "too", "set", "unset", "a", "an", "the",
     "no", "in", "being", "used", "valid", "stored", "optional", "mandatory", "deprecated", "now", "about", "ok", "read", "found",
     "kept", "ready", "present", "absent", "unknown", "known", "correct", "safe", "gone", "available", "immutable", "done"}
)  # fmt: skip


def mark_named_values(text: str, mark: Callable[[str], str]) -> str:
    """Replace each value whose name is a secret one. Names and everything else stay as they are."""
    if "alue" in text or "ALUE" in text:
        text = _replace(text, mark, _NAME_AND_VALUE)
    return _replace(text, mark, _NAME)


def _replace(text: str, mark: Callable[[str], str], names: re.Pattern[str]) -> str:
    parts: list[str] = []
    kept = position = 0
    while found := names.search(text, position):
        position = found.end()
        name = found[1]
        if not is_secret_name(name) or _is_address(text, found):
            continue
        span = _value_span(text, found)
        if span is None:
            continue
        start, end = span
        value = text[start:end]
        position = max(end, position)
        if is_marked(value) or is_harmless(name, value):
            continue
        parts += [text[kept:start], mark(value)]
        kept = end
    return "".join(parts) + text[kept:] if parts else text


def _value_span(text: str, found: re.Match[str]) -> tuple[int, int] | None:
    """Where the value after a name begins and ends; None when there is none on this line."""
    start = found.end()
    complains, quoted = complaint(text, start)
    if complains:
        return quoted
    if scheme := _SCHEME.match(text, start):
        start = scheme.end()
    for pattern, group in _ENCLOSED:
        if value := pattern.match(text, start):
            return value.span(group)
    if value := _PLAIN_QUOTED.match(text, start):
        return value.span(str(value.lastgroup))
    sentence = found[0][len(found[1]) :].split()[:1] in (["is"], ["is:"], ["set"])
    if found[0][-1] == "=" and (variable := _VARIABLE.match(text, start)):  # PGPASSWORD=${PASSWORD} psql
        return variable.span()
    whole = not sentence and (_begins_line(text, found.start()) or _WHOLE_LINE_NAMES.search(found[1]) is not None)
    if (
        whole
        and text[start : start + 1] not in ("{", "[", '"', "'")
        and text[found.start() - 1 : found.start()] not in ('"', "'")
    ):
        rest = _REST_OF_LINE.match(text, start)
        if rest and rest["rest"]:
            return rest.span("rest")
    if cut := _OPEN_QUOTED.match(text, start):
        return cut.span("open")
    if text[start : start + 1] == "{":
        return None  # what stands in braces has names of its own
    bare = _BARE.match(text, start)
    if bare is None or (sentence and _goes_on(text, bare)):
        return None
    return bare.span("bare")


def _is_address(text: str, found: re.Match[str]) -> bool:
    """`team/vault-secrets:v1.2`, `//secret-store.shop.svc:8443`: an image or a host, and its tag or port."""
    name = found[1]
    if len(found[0]) != len(name) + 1 or found[0][-1] != ":":
        return False
    if "/" in name.strip("/") and _TAG.match(text, found.end()):
        return True
    host = name.startswith("//") or ("." in name and not is_secret_name(name.rsplit(".", 1)[1]))
    return host and _PORT.match(text, found.end()) is not None


def _goes_on(text: str, found: re.Match[str]) -> bool:
    """`the token is rotated daily`: the word after `is` is one of a sentence."""
    word = found["bare"].rstrip(".:!")
    if word.lower() in _NO_VALUES or (word.isalpha() and word.endswith("ed")):
        return True
    return word.isalpha() and word.islower() and _ANOTHER_WORD.match(text, found.end()) is not None


def _begins_line(text: str, position: int) -> bool:
    line = text.rfind("\n", max(0, position - 80), position) + 1
    return position - line < 80 and _LINE_START.match(text, line, position) is not None
