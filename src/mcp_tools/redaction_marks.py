"""The mark that stands where a secret was: `‹redacted:FINGERPRINT›`.

The fingerprint is keyed (HMAC-SHA256), so equality and rotation show and the value cannot be guessed without the key.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from typing import Any

from configuration.errors import InvalidArguments

MARK_START = "‹redacted:"
MARK = re.compile(r"‹redacted:[0-9a-f]{12}›")
FINGERPRINT_HEX = 12
_REMEMBERED = 10_000
# a mark that went through JSON, a URL, a careless encoding or a careless hand is still one, whatever became of its brackets
# and so is the note that stands for a part of an object that did not fit into an answer (object_parts.NOTE_START)
_ANY_FORM = re.compile(
    r"redacted\s*(?::|%3a|&#58;|&#x3a;|&colon;|\\u003a|\\x3a)\s*[0-9a-f]{12}"
    r"|(?:‹|\\u2039|\\xe2\\x80\\xb9|%E2%80%B9|â€¹|&lsaquo;|&#8249;|&#x2039;|<)\s*(?:redacted:[0-9a-f]{4,}|left out:)",
    re.IGNORECASE,
)
_INVISIBLE = dict.fromkeys(
    [0xAD, 0x034F, 0x061C, 0x180E, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF]
)
"""Characters without a width, which somebody may put into a mark without seeing it."""


def _in_base64(word: bytes, offset: int) -> str:
    """The characters that a word always gives in base64 when it begins at this offset of a group of three."""
    encoded = base64.b64encode(b"\0" * offset + word).decode()
    return encoded[-(-offset * 8 // 6) : (offset + len(word)) * 8 // 6]


_IN_BASE64 = re.compile("|".join(f"({re.escape(_in_base64(b'redacted:', offset))})" for offset in range(3)))
_BEFORE, _AFTER = 20, 44
"""Characters of base64 around the word that can hold the rest of a mark, in any of its forms."""
_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


class Marker:
    """Makes marks with one key. The key never shows: not in a repr, not in a mark."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._made: dict[str, str] = {}

    @property
    def key_id(self) -> str:
        """Names the key without giving it away: fingerprints of different keys must not be compared."""
        return hmac.digest(self._key, b"key id", "sha256").hex()[:8]

    def mark(self, value: str) -> str:
        """The mark for a value; a mark stays as it is."""
        made = self._made.get(value)
        if made is None:
            if MARK.fullmatch(value):
                return value
            if len(self._made) >= _REMEMBERED:
                self._made.clear()
            made = self.mark_bytes(value.encode("utf-8", "surrogatepass"))
            if len(value) <= 500:
                self._made[value] = made
        return made

    def mark_bytes(self, value: bytes) -> str:
        """The mark for a decoded value: a Secret's data and the same text elsewhere get the same fingerprint."""
        return f"{MARK_START}{hmac.digest(self._key, b'value:' + value, 'sha256').hex()[:FINGERPRINT_HEX]}›"


def is_marked(value: str) -> bool:
    """Whether nothing readable is left beside marks: a mark next to a secret, real or made up, does not protect it."""
    return MARK_START in value and not any(character.isalnum() for character in MARK.sub("", value))


def contains_mark(value: Any, path: str = "") -> list[str]:
    """Paths of all strings (and keys) in a JSON-able value that hold a redaction mark: `spec.env[2].value`."""
    if isinstance(value, str):
        return _of_text(value, path) if _holds_mark(value) else []
    if isinstance(value, dict):
        found = []
        for key, item in value.items():
            here = f"{path}.{key}" if path else str(key)
            found += contains_mark(str(key), here) + contains_mark(item, here)
        return found
    if isinstance(value, (list, tuple)):
        return [where for index, item in enumerate(value) for where in contains_mark(item, f"{path}[{index}]")]
    return []


def _holds_mark(value: str) -> bool:
    """Also packed in base64, as somebody writes a Secret's data who takes the mark for the value."""
    if not value.isascii():
        value = value.translate(_INVISIBLE)
    if _ANY_FORM.search(value):
        return True
    return any(_ANY_FORM.search(_decoded(value, found)) for found in _IN_BASE64.finditer(value))


def _decoded(text: str, found: re.Match[str]) -> str:
    """What stands around the word, decoded: a few characters, however long the text is."""
    offset = (found.lastindex or 1) - 1
    group = start = found.start() - -(-offset * 8 // 6)  # where its group of four begins
    while start - 4 >= max(0, group - _BEFORE) and _ALPHABET.issuperset(text[start - 4 : start]):
        start -= 4
    end = found.end()
    while end < min(len(text), group + _AFTER) and text[end] in _ALPHABET:
        end += 1
    encoded = text[max(0, start) : end]
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4)).decode(errors="replace")
    except (binascii.Error, ValueError):
        return base64.b64decode(encoded[: len(encoded) // 4 * 4]).decode(errors="replace")


def _of_text(value: str, path: str) -> list[str]:
    """Where in a text: its fields when it is a manifest (`manifest: Secret dev/db stringData.password`), else the text itself."""
    where = path or "text"
    if "\n" not in value and value.lstrip()[:1] not in ("{", "["):
        return [where]
    from mcp_tools.manifest_documents import described, documents_of

    try:
        documents = documents_of(value)
    except InvalidArguments:
        return [where]
    fields = [f"{where}: {described(document)} {field}" for document in documents for field in contains_mark(document)]
    return fields or [where]
