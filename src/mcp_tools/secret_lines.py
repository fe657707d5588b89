"""Lines `NAME VALUE` of configuration files, with nothing but blanks between them: `HTTP_Passwd x`, `rootpw x`.

A line of two words may as well be a sentence ("token expired"), so the value has to look made up. Where a file of Fluent Bit or
Fluentd says by its sections that its indented lines are settings, any value counts, also one of several words.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from mcp_tools.harmless_values import is_harmless, is_safe_literal
from mcp_tools.redaction_marks import is_marked
from mcp_tools.secret_names import is_secret_name
from mcp_tools.secret_phrases import looks_made_up

_LINE = re.compile(
    r"^(?P<head>(?P<indent>[ \t]*+)(?:(?:[hH]eader|[rR]ecord)[ \t]++)?(?P<name>[A-Za-z_][\w.-]*+)[ \t]++(?![=:|&<>;#{\[(]))"
    r"(?P<value>[^\n]++)$",
    re.MULTILINE,
)
_SECTION = re.compile(
    r"^[ \t]*+(?:\[(?:SERVICE|INPUT|FILTER|OUTPUT|CUSTOM|UPSTREAM|NODE)\][ \t]*+$"  # Fluent Bit
    r"|<(?:match|source|filter|store|server|auth|security|system|label)(?:[ \t][^\n<>]{0,200})?>[ \t]*+$)",  # Fluentd
    re.MULTILINE,
)
_VALUE = re.compile(r"(?:\\*+\"(?P<double>[^\"\n\\]++)\\*+\"|'(?P<single>[^'\n]++)'|(?P<bare>[^\s\"';]++));?+[ \t]*+\Z")
_DIRECTIVES = frozenset({"rootpw", "bindpw", "auth_pass", "http_passwd", "aws_sec_key", "secret_access_key"})
"""OpenLDAP's, keepalived's and others that stand in no sentence: whatever follows them is the secret."""
_NO_DIRECTIVE = re.compile(r"(?:proxy|fastcgi|uwsgi|scgi|grpc|memcached)_pass")
"""Nginx passes requests on with these."""
_REFERENCE = re.compile(r"\"?(?:\$[\w({]|#\{|\{\{|@[A-Z_]+\b|%[({])")
_NO_SECRET = re.compile(
    r"(?:[A-Z]?[a-z]+)(?:[A-Z][a-z]+)*+"  # TokenReview, GitHub
    r"|v?\d{1,4}(?:\.\d{1,4}){1,3}(?:[-+][a-z]{1,8}[.\d]{0,6})?"  # versions
    r"|[a-z0-9.:-]+(?:/[a-z0-9_.-]+)+(?:[:@][a-z0-9_.:-]+)?|[~.]{0,2}/\S*|[a-z]{2,10}://\S+"  # images, paths, addresses
    r"|(?i:(?:hmac-?)?sha-?\d[\d/_-]*|[hre]s\d{3}|md5|aes-?\d+\S{0,12}|oauth-?2|x509|base64)"  # algorithms, methods
    r"|[\w.-]+[=:]\S*"  # what has a name of its own
)
_SHORTEST = 6
_MOST_BLANKS = 8
"""In a text of one line: what has more is a sentence, such as the message of an event."""


def mark_lines(text: str, mark: Callable[[str], str]) -> str:
    """The text with the value of each line marked whose name is a secret one. Names and references stay."""
    if "\n" not in text and text.strip().count(" ") > _MOST_BLANKS:
        return text
    parts: list[str] = []
    kept = 0
    settings: bool | None = None
    first = _LINE.match(text)
    for found in _LINE.finditer(text) if "\n" in text else (first,) if first else ():
        name = found["name"]
        if not is_secret_name(name) or _NO_DIRECTIVE.fullmatch(name):
            continue
        if settings is None:
            settings = _SECTION.search(text) is not None
        span = _span(found, whole=settings and found["indent"] != "")
        if span is None:
            continue
        parts += [text[kept : span[0]], mark(text[span[0] : span[1]])]
        kept = span[1]
    return "".join(parts) + text[kept:] if parts else text


def _span(found: re.Match[str], *, whole: bool) -> tuple[int, int] | None:
    """Where the secret of a line is, if there is one. `whole`: the line is a setting, and its value goes on to its end."""
    name, line = found["name"], found["value"]
    if _REFERENCE.match(line):
        return None
    inner = _VALUE.match(line)
    if inner is None and not whole:
        return None
    start, end = inner.span(str(inner.lastgroup)) if inner else (0, len(line.rstrip()))
    value = line[start:end]
    certain = whole or name.lower() in _DIRECTIVES
    if not certain and (not _is_made_up(value) or is_safe_literal(value)):
        return None
    if is_marked(value) or is_harmless(name, value):
        return None
    return found.start("value") + start, found.start("value") + end


def _is_made_up(value: str) -> bool:
    if len(value) < _SHORTEST or _NO_SECRET.fullmatch(value):
        return False
    return looks_made_up(value) or ("/" in value and looks_made_up(value.replace("/", "")))
