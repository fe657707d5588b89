"""The mark that stands where a secret was: `‹redacted:FINGERPRINT›`.

The fingerprint is keyed (HMAC-SHA256), so equality and rotation show and the value cannot be guessed without the key.
"""

from __future__ import annotations

import hmac
import re
from typing import Any

MARK_START = "‹redacted:"
MARK = re.compile(r"‹redacted:[0-9a-f]{12}›")
FINGERPRINT_HEX = 12
_REMEMBERED = 10_000
# a mark that went through JSON, a URL or a careless encoding is still one
_ANY_FORM = re.compile(r"(?:‹|\\u2039|%E2%80%B9|â€¹|<)\s*redacted:[0-9a-f]{4,}", re.IGNORECASE)


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
        return [path or "text"] if _ANY_FORM.search(value) else []
    if isinstance(value, dict):
        found = []
        for key, item in value.items():
            here = f"{path}.{key}" if path else str(key)
            found += contains_mark(str(key), here) + contains_mark(item, here)
        return found
    if isinstance(value, (list, tuple)):
        return [where for index, item in enumerate(value) for where in contains_mark(item, f"{path}[{index}]")]
    return []
