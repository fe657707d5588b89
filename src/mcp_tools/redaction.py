"""The one choke point: every object and every text passes here before anything filters, shows or stores it.

By structure: Secret data, copies of applied manifests, literal env values, values under secret names, binary data
(redaction_walk.py goes through the object, redaction_values.py decides about one value).
By shape, in every remaining string: tokens, keys, URLs with user info (secret_text.py).
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Any

from mcp_tools.redaction_marks import MARK, Marker, contains_mark
from mcp_tools.redaction_values import redacted_text
from mcp_tools.redaction_walk import RedactionWalk

__all__ = ["MARK", "REDACTOR_VERSION", "Redactor", "contains_mark"]

REDACTOR_VERSION = "6"
"""Raised when a rule changes: stored objects are then listed and redacted anew."""


class Redactor:
    """Pure but for its memory. One instance serves one process; the key decides the fingerprints."""

    def __init__(self, key: bytes) -> None:
        self._marker = Marker(key)
        self._echo_marker = Marker(hmac.digest(key, b"text that quotes the caller", "sha256"))
        self._walk = RedactionWalk(self._marker)

    @property
    def version(self) -> str:
        """Version of the rules."""
        return REDACTOR_VERSION

    @property
    def key_id(self) -> str:
        """Names the key; fingerprints of different keys must not be compared."""
        return self._marker.key_id

    def redact_object(self, obj: dict[str, Any]) -> dict[str, Any]:
        """Redact one API object, or a list of them, in place, and give it back."""
        self._walk.object(obj)
        return obj

    def redact_text(self, text: str) -> str:
        """Free text: logs, messages, errors. Best effort (secret_text.py).

        Looked at without escape sequences: a colour between a name and its value must not hide that they belong together.
        """
        return redacted_text(text, self._marker)

    def redact_echo(self, text: str) -> str:
        """The same for text that may quote the caller: its fingerprints equal no others, so that a guess cannot be compared."""
        return redacted_text(text, self._echo_marker)

    def marks_of(self, value: str) -> frozenset[str]:
        """The marks that would stand for a value, also for what it holds in base64, as a Secret's data are marked."""
        try:
            packed = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return frozenset({self._marker.mark(value)})
        return frozenset({self._marker.mark(value), self._marker.mark_bytes(packed)})
