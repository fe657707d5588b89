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
from mcp_tools.secret_names import is_flag_of_secret
from mcp_tools.secret_pairs import mark_named_values
from mcp_tools.secret_shapes import SHAPES, URL_USERINFO

Mark = Callable[[str], str]

_FLAG = re.compile(r"(?<![\w-])(-{1,2}[\w-]++)([ \t]+)(?!-)(\\*[\"']?)([^\s\"'<>|;&\\]+)")
_XML = re.compile(r"<([\w:.-]++)[^<>]{0,200}>(?:<!\[CDATA\[)?([^<>\s][^<>]*)(?:\]\]>)?</")
_NETRC = re.compile(r"(\blogin[ \t]+\S+\s+password[ \t]+)(\S+)")
_UP_TO = r"[^\n|;]{0,300}?"
_COMMANDS = (
    re.compile(rf"(\b(?:mysql|mariadb)[\w-]{{0,20}}\b{_UP_TO}[ \t]-p)([^\s\"'|;]+)"),
    re.compile(rf"(\b(?:curl|wget|http)\b{_UP_TO}[ \t](?:-u|--user)[ \t=]{{0,5}}[\"']?[^\s:\"']{{1,100}}:)([^\s\"'|;]+)"),
    re.compile(rf"(\b(?:redis-cli|sshpass)\b{_UP_TO}[ \t]-[ap][ \t]{{0,5}})([^\s\"'|;-][^\s\"'|;]*)"),
    re.compile(rf"(\b(?:login|mongo\w{{0,20}})\b{_UP_TO}[ \t]-p[ \t]{{1,5}})([^\s\"'|;-][^\s\"'|;]*)"),
    re.compile(rf"(\bldap[a-z]{{1,20}}\b{_UP_TO}[ \t]-w[ \t]{{1,5}})([^\s\"'|;-][^\s\"'|;]*)"),
)
_DIRECTIVES = (
    ("requirepass", re.compile(r"(^[ \t]*requirepass[ \t]+[\"']?)([^\s\"']+)", re.MULTILINE)),  # redis.conf
    ("masterauth", re.compile(r"(^[ \t]*masterauth[ \t]+[\"']?)([^\s\"']+)", re.MULTILINE)),
    ("'", re.compile(r"(\b(?:PASSWORD|IDENTIFIED[ \t]+BY)[ \t]+')([^'\n]+)", re.IGNORECASE)),  # SQL
)
_SECRET_MANIFEST = re.compile(r"^[ \t-]*kind:[ \t]*[\"']?Secret[\"']?[ \t]*$", re.MULTILINE)
_DOCUMENT_END = re.compile(r"(^---[^\n]*\n)", re.MULTILINE)
_SECRET_VALUES = re.compile(
    r"^([ \t]*)(?:data|stringData):[ \t]*\n(?P<secret>(?:\1[ \t]+[^\s][^\n]*(?:\n|\Z)|[ \t]*\n)+)", re.MULTILINE
)
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_=.-])[A-Za-z0-9+/_-]{24,}={0,2}")
_HEX = re.compile(r"[0-9a-fA-F-]+\Z")
_PERCENT = re.compile(r"(?<![^\s\"'<>‹›])[^\s\"'<>‹›%]*+%[^\s\"'<>‹›]*+")
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
    for hint, directive in _DIRECTIVES:
        if hint in text:
            text = directive.sub(lambda found: found[1] + _fresh(found[2], mark), text)
    if "Secret" in text and _SECRET_MANIFEST.search(text):
        text = _secret_manifests(text, mark)
    if "=" in text or ":" in text or " is " in text or " set to " in text:
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


def redact_arguments(arguments: list[str], mark: Mark) -> list[str]:
    """A command line as a list: `["mysql", "-uroot", "-pSECRET"]`. What one argument says by itself is not looked at here."""
    line = "\t".join(arguments)
    if line.count("\t") != len(arguments) - 1 or "\n" in line:
        return arguments
    for command in _COMMANDS:
        line = command.sub(lambda found: found[1] + _fresh(found[2], mark), line)
    return line.split("\t")


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
    decoded = unquote(token)
    return token if redact_text(decoded, mark, depth - 1) == decoded else mark(token)
