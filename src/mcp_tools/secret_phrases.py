"""Secrets in sentences and addresses, where what stands before them is no name of a field: `API key: x`, `bob:x@host`."""

from __future__ import annotations

import re
from collections.abc import Callable

from mcp_tools.redaction_marks import is_marked

_VALUE = r"[\"'`]?(?P<secret>[^\s\"'`,;<>()\[\]{}]{6,300})"
_KEY_PHRASE = re.compile(
    rf"\b(?:api|access|secret|private|encryption|auth|account|license) key\b[ \t]*(?:is:?|was|:|=)[ \t]*{_VALUE}", re.IGNORECASE
)
_PASSWORD_PHRASE = re.compile(
    rf"\b(?:password|passphrase|passcode)\b[^\n:=‹]{{1,60}}?(?::|[ \t]is|[ \t]was set to|[ \t]=)[ \t]+{_VALUE}", re.IGNORECASE
)
_GIVEN = re.compile(rf"\b(?:and|with|using|use) (?:password|passphrase|token|api key)[ \t]+{_VALUE}", re.IGNORECASE)
_PHRASES = (
    (" key", _KEY_PHRASE),
    ("ass", _PASSWORD_PHRASE),
    ("ASS", _PASSWORD_PHRASE),
    ("ith ", _GIVEN),
    ("sing ", _GIVEN),
    ("and ", _GIVEN),
)
_MADE_UP = re.compile(r"\A(?=[^A-Za-z]*+[A-Za-z])\D*+\d|[!#$%^&*+~?]|[a-z][A-Z]")
_PLAIN = re.compile(
    r"[~.]?/.*|https?://.*|\d+(?:\.\d+)*[.,]?|v\d[\w.-]*|[0-9a-f-]{20,}"  # paths, versions, hashes, objects, files
    r"|[\w-]+(?:/[\w.-]+)+|[\w.-]+\.(?:ya?ml|json|txt|key|crt|pem|conf|svc|local|io|com|py|go|java)(?::\d+)?[.,]?"
)

ADDRESS = re.compile(
    r"(?<![\w/@.:+%-])(?P<user>[A-Za-z_][\w.+-]{0,60}):(?!sha256:|sha512:)(?P<secret>[^\s@/:\"'‹›<>,;(){}\[\]]{3,200})"
    r"@(?=(?P<host>[A-Za-z][\w.-]*|\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:]+\])(?P<port>:\d+)?)"
)
_NO_USERS = frozenset(
    {"mailto", "user", "group", "serviceaccount", "email", "mail", "from", "to", "cc", "bcc", "reply-to", "by", "author",
     "authors",
     "maintainer", "maintainers", "owner", "contact", "acct", "sip", "sips", "xmpp", "im", "domain", "principal", "member",
     "subject", "upn", "account", "login", "username", "committer", "sender", "recipient", "npm", "workspace", "patch", "virtual",
     "file", "git", "http", "https", "ssh", "name", "id", "key", "value", "host", "server", "address", "image", "tag"}
)  # fmt: skip


def mark_phrases(text: str, mark: Callable[[str], str]) -> str:
    """Values that a sentence calls an API key or a password, when they look as if somebody made them up."""
    for hint, phrase in _PHRASES:
        if hint in text:
            text = phrase.sub(lambda found: _marked(found, mark) if looks_made_up(found["secret"]) else found[0], text)
    return text


def mark_addresses(text: str, mark: Callable[[str], str]) -> str:
    """`user:password@host` without a scheme."""
    return ADDRESS.sub(lambda found: _marked(found, mark) if _is_login(found) else found[0], text)


def looks_made_up(value: str) -> bool:
    """Letters and digits mixed, or signs: not a word, a path, a version, a hash or the name of a file."""
    bare = value.rstrip(".,:!")
    return _MADE_UP.search(bare) is not None and _PLAIN.fullmatch(bare) is None


def _is_login(found: re.Match[str]) -> bool:
    if found["user"].lower() in _NO_USERS:
        return False
    return found["port"] is not None or re.search(r"[^a-z.]", found["secret"]) is not None


def _marked(found: re.Match[str], mark: Callable[[str], str]) -> str:
    start, end = (place - found.start() for place in found.span("secret"))
    value = found["secret"]
    return found[0] if is_marked(value) else found[0][:start] + mark(value) + found[0][end:]
