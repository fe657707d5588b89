"""Secrets inside text: logs, event messages, scripts, configuration files, error texts.

Found by shape (keys, tokens, URLs with user info) and by the name that stands before them. Best effort by nature: a bare
password in a sentence has no shape. Each rule is one pass with a cheap test that says whether it can apply at all.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from urllib.parse import unquote

from mcp_tools.redaction_marks import is_marked
from mcp_tools.secret_blocks import mark_blocks
from mcp_tools.secret_commands import mark_commands, mark_directives, mark_named_directives
from mcp_tools.secret_dumps import mark_literals
from mcp_tools.secret_elements import mark_elements
from mcp_tools.secret_lines import mark_lines
from mcp_tools.secret_names import is_flag_of_secret, may_name_secrets
from mcp_tools.secret_pairs import mark_named_values
from mcp_tools.secret_phrases import mark_addresses, mark_phrases
from mcp_tools.secret_records import mark_records
from mcp_tools.secret_shapes import SHAPES, URL_USERINFO

Mark = Callable[[str], str]

_XML = re.compile(r"<([\w:.-]++)[^<>]{0,200}>(?:<!\[CDATA\[)?([^<>\s][^<>]*)(?:\]\]>)?</")
_SECRET_MANIFEST = re.compile(r"^[ \t-]*kind:[ \t]*[\"']?Secret[\"']?[ \t]*$", re.MULTILINE)
_DOCUMENT_END = re.compile(r"(^---[^\n]*\n)", re.MULTILINE)
_SECRET_VALUES = re.compile(
    r"^([ \t]*)(?:data|stringData):[ \t]*\n(?P<secret>(?:\1[ \t]+[^\s][^\n]*(?:\n|\Z)|[ \t]*\n)+)", re.MULTILINE
)
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_.-])[A-Za-z0-9+/_-]{16,}+(?:\r?\n[ \t]*[A-Za-z0-9+/]{4,})*={0,2}")
_LOGIN = re.compile(r"[\w.+@-]{1,64}:[!-~]{4,200}")
_HEX = re.compile(r"[0-9a-fA-F-]++\Z")
_PERCENT = re.compile(r"(?<![^\s\"'<>‹›])[^\s\"'<>‹›%]*+%[^\s\"'<>‹›]*+")
_SEPARATORS = ("=", ":", "\n", " is ", "ith ", "sing ", "and ", "set", " -", "'", '"', "</", "eader ", "param ", "Env ", "ENV ")
"""One of them stands between the name of a secret and its value."""
_LINE_LENGTH = 40
_SHAPES = tuple((shape.hint, shape.pattern) for shape in SHAPES)
_DEPTH = 2
"""Encodings inside encodings are followed this far."""


def redact_text(text: str, mark: Mark, depth: int = _DEPTH) -> str:
    """The text with every secret that is recognised replaced by `mark(secret)`. Marks that are in it already stay."""
    for hint, pattern in _SHAPES:
        if hint in text:
            text = pattern.sub(lambda found: _marked(found, mark), text)
    if "@" in text:
        text = URL_USERINFO.sub(lambda found: _marked(found, mark), text)
        text = mark_addresses(text, mark)
    text = mark_directives(text, mark)
    if '"' in text:
        text = mark_literals(text, mark)
    named = _separates(text) and may_name_secrets(text)
    text = mark_commands(text, mark, flags=named)
    if "Secret" in text and _SECRET_MANIFEST.search(text):
        text = _secret_manifests(text, mark)
    if named:
        text = mark_named_directives(text, mark)
        text = mark_blocks(text, mark)
        if "=" in text or ":" in text or " is " in text or " set to " in text:
            text = mark_named_values(text, mark)
        if "alue" in text or "ALUE" in text or "string" in text:
            text = mark_records(text, mark)
        text = mark_lines(text, mark)
        text = mark_phrases(text, mark)
        if "</" in text:
            text = mark_elements(text, mark)
            text = _XML.sub(lambda found: _element(found, mark), text)
    if depth and len(text) >= 16:
        text = _BASE64.sub(lambda found: _encoded(found[0], mark, depth), text)
    if depth and "%" in text:
        text = _PERCENT.sub(lambda found: _percent(found[0], mark, depth), text)
    return text


def _separates(text: str) -> bool:
    for sign in _SEPARATORS:
        if sign in text:
            return True
    return text[:1] == "-" or text.count(" ") == 1


def _secret_manifests(text: str, mark: Mark) -> str:
    """A Secret written out as YAML: no value in its data has a name or a shape to be known by."""
    parts = _DOCUMENT_END.split(text)
    for index, part in enumerate(parts):
        if _SECRET_MANIFEST.search(part):
            parts[index] = _SECRET_VALUES.sub(lambda found: _marked_block(found, mark), part)
    return "".join(parts)


def _marked_block(found: re.Match[str], mark: Mark) -> str:
    return f"{found[0][: found.start('secret') - found.start()]}{found[1]}  {_fresh(found['secret'].strip(), mark)}\n"


def _marked(found: re.Match[str], mark: Mark) -> str:
    """The group `secret` of a match as a mark, the rest of the match as it was."""
    start, end = found.span("secret")
    whole, offset = found[0], found.start()
    return whole[: start - offset] + _fresh(found["secret"], mark) + whole[end - offset :]


def _fresh(value: str, mark: Mark) -> str:
    return value if is_marked(value) else mark(value)


def _element(found: re.Match[str], mark: Mark) -> str:
    if not is_flag_of_secret("-" + found[1]):
        return found[0]
    start, end = found.start(2) - found.start(), found.end(2) - found.start()
    return found[0][:start] + _fresh(found[2], mark) + found[0][end:]


def _encoded(run: str, mark: Mark, depth: int) -> str:
    """A base64 run is marked when what it decodes to holds a secret, or cannot be looked into (gzip)."""
    if "\n" in run:
        return _encoded_lines(run, mark, depth)
    if run.islower() or _HEX.match(run):  # base64 of a text always has capitals
        return run
    if run.startswith("H4sI") and len(run) >= 40:
        return mark(run)
    return mark(run) if _hides_a_secret(run, mark, depth) else run


def _encoded_lines(block: str, mark: Mark, depth: int) -> str:
    """The same for base64 that is broken into lines, or lines that only look so."""
    lines = block.split("\n")
    if len(lines[0]) >= _LINE_LENGTH and _hides_a_secret("".join(block.split()), mark, depth):
        return mark(block)
    return "\n".join(_BASE64.sub(lambda found: _encoded(found[0], mark, depth), line) for line in lines)


def _hides_a_secret(run: str, mark: Mark, depth: int) -> bool:
    try:
        padded = run.rstrip("=").replace("-", "+").replace("_", "/")
        decoded = base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return False
    if _LOGIN.fullmatch(decoded):
        return True
    return redact_text(decoded, mark, depth - 1) != decoded


def _percent(token: str, mark: Mark, depth: int) -> str:
    decoded = unquote(token)
    return token if redact_text(decoded, mark, depth - 1) == decoded else mark(token)
