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

from mcp_tools.redaction_marks import MARK_START
from mcp_tools.secret_names import is_flag_of_secret
from mcp_tools.secret_pairs import mark_named_values
from mcp_tools.secret_shapes import SHAPES, URL_USERINFO

Mark = Callable[[str], str]

_FLAG = re.compile(r"(?<![\w-])(-{1,2}[\w-]++)([ \t]+)(?!-)(\\*[\"']?)([^\s\"'<>|;&\\]+)")
_XML = re.compile(r"<([\w:.-]++)[^<>]{0,200}>([^<>\s][^<>]*)</")
_NETRC = re.compile(r"(\blogin[ \t]+\S+\s+password[ \t]+)(\S+)")
_COMMANDS = (
    re.compile(r"(\b(?:mysql|mariadb)[\w-]*\b[^\n|;]*?[ \t]-p)([^\s\"'|;]+)"),
    re.compile(r"(\b(?:curl|wget|http)\b[^\n|;]*?[ \t](?:-u|--user)[ =]*[\"']?[^\s:\"']+:)([^\s\"'|;]+)"),
    re.compile(r"(\b(?:redis-cli|sshpass)\b[^\n|;]*?[ \t]-[ap][ \t]*)([^\s\"'|;-][^\s\"'|;]*)"),
)
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_=.-])[A-Za-z0-9+/_-]{24,}={0,2}")
_HEX = re.compile(r"[0-9a-fA-F-]+\Z")
_PERCENT = re.compile(r"[^\s\"'<>]{0,400}%[0-9A-Fa-f]{2}[^\s\"'<>]*")
_DEPTH = 2
"""Encodings inside encodings are followed this far."""


def redact_text(text: str, mark: Mark, depth: int = _DEPTH) -> str:
    """The text with every secret that is recognised replaced by `mark(secret)`. Marks that are in it already stay."""
    for shape in SHAPES:
        if shape.hint in text:
            text = shape.pattern.sub(lambda found: _marked(found, mark), text)
    if "@" in text:
        text = URL_USERINFO.sub(lambda found: _marked(found, mark), text)
    if " -" in text or text.startswith("-"):
        text = _FLAG.sub(lambda found: _flag(found, mark), text)
        for command in _COMMANDS:
            text = command.sub(lambda found: found[1] + _fresh(found[2], mark), text)
    if "=" in text or ":" in text or " is " in text:
        text = mark_named_values(text, mark)
    if "</" in text:
        text = _XML.sub(lambda found: _element(found, mark), text)
    if "login" in text:
        text = _NETRC.sub(lambda found: found[1] + _fresh(found[2], mark), text)
    if depth and len(text) >= 24:
        text = _BASE64.sub(lambda found: _encoded(found[0], mark, depth), text)
    if depth and "%" in text:
        text = _PERCENT.sub(lambda found: _percent(found[0], mark, depth), text)
    return text


def _marked(found: re.Match[str], mark: Mark) -> str:
    """The group `secret` of a match as a mark, the rest of the match as it was."""
    start, end = found.span("secret")
    whole, offset = found[0], found.start()
    return whole[: start - offset] + _fresh(found["secret"], mark) + whole[end - offset :]


def _fresh(value: str, mark: Mark) -> str:
    return value if MARK_START in value else mark(value)


def _flag(found: re.Match[str], mark: Mark) -> str:
    if not is_flag_of_secret(found[1]):
        return found[0]
    return found[1] + found[2] + found[3] + _fresh(found[4], mark)


def _element(found: re.Match[str], mark: Mark) -> str:
    if not is_flag_of_secret("-" + found[1]):
        return found[0]
    start, end = found.start(2) - found.start(), found.end(2) - found.start()
    return found[0][:start] + _fresh(found[2], mark) + found[0][end:]


def _encoded(run: str, mark: Mark, depth: int) -> str:
    """A base64 run is marked when what it decodes to holds a secret, or cannot be looked into (gzip)."""
    if _HEX.match(run):
        return run
    if run.startswith("H4sI") and len(run) >= 40:
        return mark(run)
    try:
        padded = run.rstrip("=").replace("-", "+").replace("_", "/")
        decoded = base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return run
    return run if redact_text(decoded, mark, depth - 1) == decoded else mark(run)


def _percent(token: str, mark: Mark, depth: int) -> str:
    if MARK_START in token:
        return token
    decoded = unquote(token)
    return token if redact_text(decoded, mark, depth - 1) == decoded else mark(token)
