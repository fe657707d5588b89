"""What is in a value of a Secret, in words that hold nothing of the value."""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson

from mcp_tools.certificates import CertificateFacts, PemContent, certificate_facts, pem_content

_HOST = re.compile(r"(?=.*[.:]|localhost)[A-Za-z0-9][A-Za-z0-9.-]{0,252}(?::\d{1,5})?\Z")
_JWT = re.compile(rb"[\w-]{10,}\.([\w-]{4,})\.[\w-]*\Z")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{16,}={0,2}\Z")
_MAGIC = (
    (b"\xfe\xed\xfe\xed", "Java keystore, not opened"),
    (b"\xce\xce\xce\xce", "Java keystore, not opened"),
    (b"\x1f\x8b", "gzip"),
    (b"PK\x03\x04", "zip"),
)


@dataclass(frozen=True, slots=True)
class ValueContent:
    """`content`: `text`, `certificate`, `JSON object` …; `notes`: what may be a mistake."""

    content: str
    notes: tuple[str, ...] = ()
    pem: PemContent = field(default_factory=PemContent)
    registries: tuple[str, ...] = ()
    """Hosts that a docker configuration has logins for."""
    expires: int | None = None
    """Of a token that says so itself, epoch seconds."""


def content_of(key: str, value: bytes | None) -> ValueContent:
    """Never raises. `key` is the name under which the value stands: some names promise something."""
    if value is None:
        return ValueContent("not base64", ("the API server sent something that is no base64",))
    if not value.strip():
        return ValueContent("empty" if not value else "white space", ("there is nothing in it",))
    pem = pem_content(value)
    if pem.certificates or pem.keys or pem.unreadable or pem.others:
        return ValueContent(_pem_words(pem), _pem_notes(pem), pem)
    if (der := certificate_facts(value) if value[:1] == b"\x30" else None) is not None:
        return ValueContent("certificate (DER)", (), PemContent((der,)))
    for magic, words in _MAGIC:
        if value.startswith(magic):
            return ValueContent(words)
    if key in (".dockerconfigjson", ".dockercfg") or b'"auths"' in value:
        return _docker_config(value, whole=key != ".dockercfg")
    return _text_content(key, value)


def _text_content(key: str, value: bytes) -> ValueContent:
    try:
        value.decode()
    except UnicodeDecodeError:
        return ValueContent("binary")
    notes = _white_space(value)
    stripped = value.strip()
    if stripped[:1] in (b"{", b"["):
        return ValueContent(_json_words(stripped), notes if _is_json(stripped) else (*notes, "begins like JSON and is none"))
    if key.endswith(".json"):
        return ValueContent("text", (*notes, "its name says JSON, and it is none"))
    if (token := _JWT.match(stripped)) is not None and stripped.startswith(b"eyJ"):
        return ValueContent("JSON Web Token", notes, expires=_expiry(token[1]))
    if re.search(rb"(?:\.crt|\.pem|\.key)\Z", key.encode("utf-8", "replace")):
        return ValueContent("text", (*notes, "its name says PEM, and there is none"))
    if len(stripped) % 4 == 0 and _BASE64.match(stripped) and _decodes_to_text(stripped):
        notes = (*notes, "is base64 of text: perhaps encoded twice")
    return ValueContent("text", notes)


def _white_space(value: bytes) -> tuple[str, ...]:
    if value.count(b"\n") > 1:
        return ()
    if value.endswith((b"\n", b"\r")):
        return ("ends in a line break",)
    return ("begins or ends with white space",) if value != value.strip() else ()


def _pem_words(pem: PemContent) -> str:
    words = ["certificate" for _ in pem.certificates]
    words += [f"private key ({'encrypted' if one.encrypted else one.algorithm})" for one in pem.keys]
    words += [f"PEM {label}" for label in pem.others]
    counts = Counter(words)
    return ", ".join(one if count == 1 else f"{count} × {one}" for one, count in counts.items()) or "PEM"


def _pem_notes(pem: PemContent) -> tuple[str, ...]:
    return (f"{pem.unreadable} PEM blocks cannot be read",) if pem.unreadable else ()


def _docker_config(value: bytes, *, whole: bool) -> ValueContent:
    """`.dockerconfigjson` has its logins under `auths`, the older `.dockercfg` at the top."""
    try:
        content = orjson.loads(value)
    except orjson.JSONDecodeError:
        return ValueContent("docker configuration", ("is no JSON",))
    auths = content.get("auths") if whole and isinstance(content, dict) else content
    if not isinstance(auths, dict):
        return ValueContent("docker configuration", ("has no auths",))
    notes = [] if auths else ["has no registry"]
    hosts = []
    for registry, login in auths.items():
        host = _host(registry)
        hosts.append(host)
        if trouble := _login_trouble(login):
            notes.append(f"{host}: {trouble}")
    return ValueContent("docker configuration", tuple(notes), registries=tuple(hosts))


def _host(registry: str) -> str:
    """The host of `https://user:password@host:5000/v1/`, and nothing else of it."""
    try:
        netloc = urlsplit(registry if "://" in registry else f"//{registry}").netloc
    except ValueError:
        return "(no host)"
    host = netloc.rpartition("@")[2]
    return host if _HOST.match(host) else "(no host)"


def _login_trouble(login: Any) -> str:
    if not isinstance(login, dict):
        return "is no JSON object"
    if login.get("username") and login.get("password"):
        return ""
    if login.get("identitytoken") or login.get("registrytoken"):
        return ""
    auth = login.get("auth")
    if not isinstance(auth, str) or not auth:
        return "has no login"
    try:
        user, colon, password = base64.b64decode(auth, validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return "its auth is no base64"
    return "" if user and colon and password else "its auth is no base64 of user:password"


def _json_words(value: bytes) -> str:
    return ("JSON object" if value[:1] == b"{" else "JSON list") if _is_json(value) else "text"


def _is_json(value: bytes) -> bool:
    try:
        orjson.loads(value)
    except orjson.JSONDecodeError:
        return False
    return True


def _expiry(claims: bytes) -> int | None:
    try:
        content = orjson.loads(base64.urlsafe_b64decode(claims + b"=" * (-len(claims) % 4)))
        expires = content["exp"]
    except (binascii.Error, ValueError, KeyError, TypeError):
        return None
    return expires if isinstance(expires, int) and 0 <= expires < 2**36 else None


def _decodes_to_text(value: bytes) -> bool:
    try:
        return base64.b64decode(value, validate=True).decode().isprintable()
    except (binascii.Error, ValueError):
        return False


def certificates_of(contents: dict[str, ValueContent]) -> list[tuple[str, CertificateFacts]]:
    """(key, certificate) of all values."""
    return [(key, one) for key, content in contents.items() for one in content.pem.certificates]
