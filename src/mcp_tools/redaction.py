"""The one choke point: every object and every text passes here before anything filters, shows or stores it.

By structure: Secret data, copies of applied manifests, literal env values, values under secret names, binary data.
By shape, in every remaining string: tokens, keys, URLs with user info (secret_text.py). Remembered strings make the second
part cheap: most strings of a page occur in many objects.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import orjson

from mcp_tools import secret_text
from mcp_tools.plain_text import plain_text
from mcp_tools.redaction_marks import MARK, Marker, contains_mark, is_marked
from mcp_tools.secret_names import is_flag_of_secret, is_harmless, is_safe_literal, is_secret_name, numbers_are_secret

__all__ = ["MARK", "REDACTOR_VERSION", "Redactor", "contains_mark"]

REDACTOR_VERSION = "2"
"""Raised when a rule changes: stored objects are then listed and redacted anew."""

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
_REMEMBERED = 20_000
_REMEMBERED_LENGTH = 400
_JSON_TEXT = 1_000_000
_LITERAL_LISTS = frozenset(
    {"env", "envs", "extraEnv", "extraEnvs", "environment", "extraEnvVars", "envVars", "environmentVariables"}
)
_STRUCTURAL = frozenset({"key", "kind", "apiVersion", "apiGroup", "namespace", "name", "operator", "effect", "user", "username"})
_COLLECTIONS = re.compile(r"secret|credential|password|token|apikey", re.IGNORECASE)
_NUMBERS = (int, float)
_SHAPES_ONLY = frozenset({"labels", "matchLabels", "nodeSelector", "selector"})


class Redactor:
    """Pure but for its memory. One instance serves one process; the key decides the fingerprints."""

    def __init__(self, key: bytes) -> None:
        self._marker = Marker(key)
        self._clean: set[str] = set()
        self._plain_names: set[str] = set()
        self._containers: dict[str, Callable[[dict[str, Any]], None]] = {}

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
        items = obj.get("items")
        if isinstance(items, list) and str(obj.get("kind", "")).endswith("List"):
            if obj["kind"] == "SecretList":
                for item in items:
                    self._secret(item)
        elif obj.get("kind") == "Secret":
            self._secret(obj)
        self._mapping(obj)
        return obj

    def redact_text(self, text: str) -> str:
        """Free text: logs, messages, errors. Best effort (secret_text.py).

        Looked at without escape sequences: a colour between a name and its value must not hide that they belong together.
        """
        plain = plain_text(text)
        redacted = secret_text.redact_text(plain, self._marker.mark)
        return text if redacted == plain else redacted

    # --- structure ---

    def _secret(self, obj: Any) -> None:
        if not isinstance(obj, dict):
            return
        for field in ("data", "stringData"):
            values = obj.get(field)
            if isinstance(values, dict):
                for key, value in values.items():
                    if value is not None:  # only the name is known: nothing to mark
                        values[key] = self._secret_value(value, encoded=field == "data")
            elif values is not None:
                obj[field] = self._marker.mark(_text_of(values))

    def _secret_value(self, value: Any, *, encoded: bool) -> str:
        text = _text_of(value)
        if encoded and not MARK.fullmatch(text):
            try:
                return self._marker.mark_bytes(base64.b64decode(text, validate=True))
            except (binascii.Error, ValueError):
                pass
        return self._marker.mark(text)

    def _mapping(self, mapping: dict[str, Any], rule: Callable[[str, str], str] | None = None) -> None:
        """Redact the values of a mapping in place. `rule` replaces the default treatment of its strings."""
        clean, plain_names = self._clean, self._plain_names
        if "value" in mapping:
            self._name_and_value(mapping)
        for key, value in mapping.items():
            type_ = type(value)
            if type_ is str:
                if rule is not None:
                    mapping[key] = rule(key, value)
                elif key in plain_names:
                    if value not in clean:
                        mapping[key] = self._string(value)
                else:
                    mapping[key] = self._named(key, value)
            elif type_ is dict:
                if value:
                    self._nested(key, value)
            elif type_ is list:
                if value:
                    self._list(key, value)
            elif type_ in _NUMBERS and key not in plain_names and is_secret_name(key) and numbers_are_secret(key):
                mapping[key] = self._marker.mark(str(value))

    def _nested(self, key: str, value: dict[str, Any]) -> None:
        if "kind" in value and value["kind"] == "Secret" and ("data" in value or "stringData" in value):
            self.redact_object(value)
            return
        treat = self._containers.get(key)
        if treat is None:
            treat = self._treatment(key)
            if len(self._containers) < _REMEMBERED:
                self._containers[key] = treat
        treat(value)

    def _treatment(self, key: str) -> Callable[[dict[str, Any]], None]:
        """How a mapping under this key is redacted."""
        rule: Callable[[str, str], str] | None = None
        if key == "annotations":
            rule = self._annotation
        elif key in _SHAPES_ONLY:
            rule = self._shape_only
        elif key == "binaryData":
            rule = self._opaque
        elif key in _LITERAL_LISTS:
            rule = self._literal
        elif _is_collection(key):
            rule = self._member
        return self._mapping if rule is None else partial(self._mapping, rule=rule)

    def _list(self, key: str, values: list[Any]) -> None:
        secret = _is_collection(key)
        literal = key in _LITERAL_LISTS
        flag = ""
        if len(values) > 1 and all(type(value) is str for value in values) and any(value[:1] == "-" for value in values):
            values[:] = secret_text.redact_arguments(values, self._marker.mark)
        for index, value in enumerate(values):
            type_ = type(value)
            if type_ is dict:
                if literal and type(value.get("value")) is str:
                    value["value"] = self._literal(str(value.get("name") or ""), value["value"])
                if value.get("kind") == "Secret" and ("data" in value or "stringData" in value):
                    self.redact_object(value)
                else:
                    self._mapping(value, self._member if secret else None)
            elif type_ is str:
                if flag and not value.startswith("-"):
                    values[index] = value if is_harmless(flag, value) else self._marker.mark(value)
                    flag = ""
                    continue
                flag = value if value[:1] == "-" and is_flag_of_secret(value) else ""
                if literal and "=" in value:
                    values[index] = self._assignment(value)
                elif secret:
                    values[index] = self._named(key, value)
                elif value not in self._clean:
                    values[index] = self._string(value)
            elif type_ is list and value:
                self._list(key, value)
            elif secret and type_ in _NUMBERS and numbers_are_secret(key):
                values[index] = self._marker.mark(str(value))

    def _name_and_value(self, mapping: dict[str, Any]) -> None:
        """`{name: DB_PASSWORD, value: …}`, whatever it is called above it."""
        value, name = mapping["value"], mapping.get("name", mapping.get("key"))
        if type(name) is not str or not is_secret_name(name):
            return
        if type(value) is str:
            mapping["value"] = self._named(name, value)
        elif type(value) in _NUMBERS and numbers_are_secret(name):
            mapping["value"] = self._marker.mark(str(value))

    # --- strings ---

    def _named(self, key: str, value: str) -> str:
        if key.endswith("last-applied-configuration"):  # an annotation wherever it was put
            return self._marker.mark(value)
        if not is_secret_name(key):
            if len(self._plain_names) < _REMEMBERED:
                self._plain_names.add(key)
            return value if value in self._clean else self._string(value)
        return value if is_harmless(key, value) or is_marked(value) else self._marker.mark(value)

    def _member(self, key: str, value: str) -> str:
        """A string inside `credentials: {…}`: secret, unless it only names something."""
        if key in _STRUCTURAL or is_harmless("password", value) or not (is_secret_name(key) or is_secret_name(f"password {key}")):
            return self._shape_only(key, value)
        return value if is_marked(value) else self._marker.mark(value)

    def _literal(self, name: str, value: str) -> str:
        """A literal environment value: only safe shapes stay readable, and under a secret name not even numbers."""
        if is_harmless(name, value) if is_secret_name(name) else is_safe_literal(value):
            return value
        return value if MARK.fullmatch(value) else self._marker.mark(value)

    def _assignment(self, text: str) -> str:
        name, _, value = text.partition("=")
        return f"{name}={self._literal(name, value)}"

    def _opaque(self, _key: str, value: str) -> str:
        return value if MARK.fullmatch(value) else self._secret_value(value, encoded=True)

    def _annotation(self, key: str, value: str) -> str:
        if _APPLIED_COPY.search(key) or value.startswith(_PACKED):
            return value if MARK.fullmatch(value) else self._marker.mark(value)
        return self._named(key, value)

    def _shape_only(self, _key: str, value: str) -> str:
        return value if value in self._clean else self._string(value)

    def _string(self, value: str) -> str:
        """Any other string: JSON inside is redacted as JSON, the rest as text. Clean ones are remembered."""
        if _ORDINARY.fullmatch(value):
            redacted = value
        elif value[:1] in ("{", "[") and len(value) <= _JSON_TEXT:
            redacted = self._json_text(value)
        else:
            redacted = self.redact_text(value)
        if redacted == value and len(value) <= _REMEMBERED_LENGTH:
            if len(self._clean) >= _REMEMBERED:
                self._clean.clear()
            self._clean.add(value)
        return redacted

    def _json_text(self, value: str) -> str:
        try:
            content = orjson.loads(value)
        except orjson.JSONDecodeError:
            return self.redact_text(value)
        if isinstance(content, dict) and "apiVersion" in content and ("kind" in content or "metadata" in content):
            return self._marker.mark(value)  # one more copy of a manifest
        try:
            before = orjson.dumps(content)
            if isinstance(content, dict):
                self.redact_object(content)
            else:
                self._list("", content)
            after = orjson.dumps(content)
        except (TypeError, RecursionError):  # nested deeper than can be written again: one odd value must not cost a page
            return self._marker.mark(value)
        return value if after == before else after.decode()


@lru_cache(maxsize=_REMEMBERED)
def _is_collection(key: str) -> bool:
    """A mapping or list whose members are secrets themselves: `credentials: {…}`, `tokens: […]`."""
    return is_secret_name(key) and _COLLECTIONS.search(key) is not None


def _text_of(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
