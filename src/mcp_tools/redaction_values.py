"""What becomes of one value of an object: it stays, or becomes a mark, or is redacted inside.

Remembered strings make the shapes cheap: most strings of a page occur in many objects.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

import orjson

from mcp_tools import secret_text
from mcp_tools.harmless_values import is_harmless, is_plain_setting, is_public_pem, is_safe_literal, names_something
from mcp_tools.plain_text import plain_text
from mcp_tools.redaction_marks import MARK, Marker, is_marked
from mcp_tools.secret_names import is_plain_member, is_secret_name, is_value_member, name_in_path, numbers_are_secret

LAST_APPLIED = "last-applied-configuration"
"""How the name of kubectl's annotation ends."""
NUMBERS = (int, float)
REMEMBERED = 20_000
"""At most so many strings or names are remembered of each sort."""

_APPLIED_COPY = re.compile(r"(?:last-(?:applied|handled)(?:-configuration)?|(?:^|/)applied|(?:^|/)original(?:-diff\w*)?)$")
"""Annotations that hold a copy of the manifest, sometimes compressed. They are dropped for a mark, not redacted inside:
the object itself is there and redacted, a copy can be cut off or packed, and the mark still shows that it changed."""
_PACKED = ("H4sI", "UEsD")  # base64 of gzip and of zip
_ORDINARY = re.compile(
    r"(?!xox|xapp|gl|sk|dapi|hv|key-|lin|dp)[a-z0-9.-]{0,63}"  # names, uids, versions, addresses
    r"|\d{4}-\d\d-\d\dT[\d:.]+Z"
    r"|[a-z0-9-]+://[0-9a-f]{64}"  # container ids
    r"|[a-z0-9./:_-]+@sha256:[0-9a-f]{64}"
)
_NAME = re.compile(r"[A-Za-z0-9]{0,30}(?:[_.-][A-Za-z][A-Za-z0-9]{0,15}){0,8}")  # of a field, a variable, a file
_NAME_FIELDS = frozenset(
    {"name", "key", "Name", "Key", "path", "variable", "field", "id", "parameter", "parameterName", "ParameterKey"}
)
"""Where the name of a `{name, value}` pair may stand; `path` is that of a JSON patch."""
_REMEMBERED_LENGTH = 400
_JSON_TEXT = 1_000_000


class ValueRules:
    """The rules for single values, and the memory of what they left as it is.

    A rule takes the name under which a string stands and the string, and gives what is to stand there.
    """

    def __init__(self, marker: Marker, redact_content: Callable[[Any], None]) -> None:
        """`redact_content` redacts, in place, a mapping or a list that was read from JSON in a string."""
        self.mark = marker.mark
        self.clean: set[str] = set()
        """Strings in which no rule by shape finds anything."""
        self.clean_keys: set[str] = set()
        """Keys of mappings that may be shown."""
        self._marker = marker
        self._redact_content = redact_content

    def text(self, text: str) -> str:
        """Free text."""
        return redacted_text(text, self._marker)

    def key_leaks(self, key: str) -> bool:
        """Whether a mapping's key holds a secret by its shape; those that do not are remembered."""
        if _ORDINARY.fullmatch(key) or _NAME.fullmatch(key) or self.text(key) == key:
            if len(self.clean_keys) < REMEMBERED:
                self.clean_keys.add(key)
            return False
        return True

    def name_and_value(self, mapping: dict[str, Any], field: str) -> bool:
        """`{name: DB_PASSWORD, value: …}`, whatever it is called above it; `field` is where the value is.

        True when there is a mapping or a list under a secret name: its members are left to the caller.
        """
        name = _secret_name_in(mapping)
        if not name:
            return False
        value = mapping[field]
        if type(value) is str:
            mapping[field] = self.named(name, value)
        elif type(value) is list:
            value[:] = [self.named(name, item) if type(item) is str else item for item in value]
        elif type(value) in NUMBERS and numbers_are_secret(name):
            mapping[field] = self.mark(str(value))
        return type(value) in (dict, list)

    # --- by name and place ---

    def named(self, key: str, value: str) -> str:
        """A string anywhere: secret if its name says so."""
        if key.endswith(LAST_APPLIED):  # an annotation wherever it was put
            return self.mark(value)
        if not is_secret_name(key):
            return value if value in self.clean else self.string(value)
        return value if is_harmless(key, value) or is_marked(value) else self.mark(value)

    def member(self, key: str, value: str) -> str:
        """A string inside `credentials: {…}`: secret, unless it only names something."""
        if is_plain_member(key) or is_harmless("password", value) or is_plain_setting(value) or names_something(key, value):
            return value if is_public_pem(value) else self.shape_only(key, value)
        return value if is_marked(value) else self.mark(value)

    def value_member(self, key: str, value: str) -> str:
        """A string inside `auth: {…}` or `privateKey: {…}`, which may be all kinds of settings."""
        return self.certain(key, value) if is_value_member(key) and not is_harmless("password", value) else self.named(key, value)

    def certain(self, _key: str, value: str) -> str:
        """A string that is a secret whatever it looks like."""
        return value if is_marked(value) or not value else self.mark(value)

    def literal(self, name: str, value: str) -> str:
        """A literal environment value: only safe shapes stay readable, and under a secret name not even numbers."""
        if is_harmless(name, value) if is_secret_name(name) else is_safe_literal(value):
            return value
        return value if MARK.fullmatch(value) else self.mark(value)

    def assignment(self, text: str) -> str:
        """A literal environment value written `NAME=value`."""
        name, _, value = text.partition("=")
        return f"{name}={self.literal(name, value)}"

    def payload(self, value: Any, *, encoded: bool) -> str:
        """A value of a Secret; the mark of an encoded one is that of what it encodes."""
        text = text_of(value)
        if encoded and not MARK.fullmatch(text):
            try:
                return self._marker.mark_bytes(base64.b64decode(text, validate=True))
            except (binascii.Error, ValueError):
                pass
        return self.mark(text)

    def opaque(self, _key: str, value: str) -> str:
        """A string in `binaryData`."""
        return value if MARK.fullmatch(value) else self.payload(value, encoded=True)

    def annotation(self, key: str, value: str) -> str:
        """The value of an annotation."""
        if _APPLIED_COPY.search(key) or value.startswith(_PACKED):
            return value if MARK.fullmatch(value) else self.mark(value)
        return self.named(key, value)

    # --- by shape ---

    def shape_only(self, _key: str, value: str) -> str:
        """A string whose name does not make it a secret: a label, a description."""
        return value if value in self.clean else self.string(value)

    def string(self, value: str) -> str:
        """Any other string: JSON inside is redacted as JSON, the rest as text. Clean ones are remembered."""
        if _ORDINARY.fullmatch(value):
            redacted = value
        elif value[:1] in ("{", "[") and len(value) <= _JSON_TEXT:
            redacted = self._json_text(value)
        else:
            redacted = self.text(value)
        if redacted == value and len(value) <= _REMEMBERED_LENGTH:
            if len(self.clean) >= REMEMBERED:
                self.clean.clear()
            self.clean.add(value)
        return redacted

    def _json_text(self, value: str) -> str:
        try:
            content = orjson.loads(value)
        except orjson.JSONDecodeError:
            return self.text(value)
        if isinstance(content, dict) and "apiVersion" in content and ("kind" in content or "metadata" in content):
            return self.mark(value)  # one more copy of a manifest
        try:
            before = orjson.dumps(content)
            self._redact_content(content)
            after = orjson.dumps(content)
        except (TypeError, RecursionError):  # nested deeper than can be written again: one odd value must not cost a page
            return self.mark(value)
        return value if after == before else after.decode()


def _secret_name_in(mapping: dict[str, Any]) -> str:
    """The secret name that one of a mapping's own fields holds, or ""."""
    for field in mapping:
        if field in _NAME_FIELDS and type(name := mapping[field]) is str:
            name = name_in_path(name) if field == "path" else name
            if is_secret_name(name):
                return name
    return ""


def redacted_text(text: str, marker: Marker) -> str:
    """Free text, looked at without escape sequences; the text itself, with them, if nothing is found."""
    plain = plain_text(text)
    redacted = secret_text.redact_text(plain, marker.mark)
    return text if redacted == plain else redacted


def text_of(value: Any) -> str:
    """A string itself, anything else as JSON."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
