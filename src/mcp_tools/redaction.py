"""The one choke point: every object and every text passes here before anything filters, shows or stores it.

By structure: Secret data, copies of applied manifests, literal env values, values under secret names, binary data.
By shape, in every remaining string: tokens, keys, URLs with user info (secret_text.py). Remembered strings make the second
part cheap: most strings of a page occur in many objects.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import orjson

from mcp_tools import secret_commands, secret_text
from mcp_tools.harmless_values import is_harmless, is_plain_setting, is_public_pem, is_safe_literal, names_something
from mcp_tools.plain_text import plain_text
from mcp_tools.redaction_marks import MARK, Marker, contains_mark, is_marked
from mcp_tools.secret_names import (
    holds_secrets_throughout,
    is_collection,
    is_flag_of_secret,
    is_plain_member,
    is_secret_name,
    is_value_member,
    numbers_are_secret,
)

__all__ = ["MARK", "REDACTOR_VERSION", "Redactor", "contains_mark"]

REDACTOR_VERSION = "5"
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
_NAME = re.compile(r"[A-Za-z0-9]{0,30}(?:[_.-][A-Za-z][A-Za-z0-9]{0,15}){0,8}")  # of a field, a variable, a file
_LETTERS = re.compile(r"[A-Za-z]+(?:[._-](?:[A-Za-z]+|\d{1,3}))*")
_MADE_UP = re.compile(r"\A(?=[^A-Z]*+[A-Z])\D*+\d|\d[0-9a-z]{11}")
_MADE_UP_LENGTH = 12
_CORE_FIELDS = frozenset({"secretKeyRef", "secretRef", "valueFrom", "labels", "annotations", "matchLabels", "conditions"})
_REMEMBERED = 20_000
_REMEMBERED_LENGTH = 400
_JSON_TEXT = 1_000_000
_LITERAL_LISTS = frozenset(
    {"env", "envs", "extraEnv", "extraEnvs", "environment", "extraEnvVars", "envVars", "environmentVariables", "literals"}
)
_VALUE_FIELDS = frozenset({"Value", "content", "default", "stringValue", "literal", "values"})
"""Where else than in `value` a `{name: DB_PASSWORD, …}` may hold it."""
_SECRET_REFERENCES = ("remoteRef", "sourceRef", "secretPath")
"""Beside these, `secretKey` is the key under which something is to be kept."""
_DESCRIBING = frozenset({"description", "title", "type", "format", "pattern", "$ref", "$schema", "$id"})
_SCHEMA_VALUES = frozenset({"default", "example", "examples", "enum", "const"})
_LAST_APPLIED = "last-applied-configuration"
_NUMBERS = (int, float)
_SHAPES_ONLY = frozenset({"labels", "matchLabels", "nodeSelector", "selector"})


class Redactor:
    """Pure but for its memory. One instance serves one process; the key decides the fingerprints."""

    def __init__(self, key: bytes) -> None:
        self._marker = Marker(key)
        self._echo_marker = Marker(hmac.digest(key, b"text that quotes the caller", "sha256"))
        self._clean: set[str] = set()
        self._plain_names: set[str] = set()
        self._clean_keys: set[str] = set()
        self._containers: dict[str, Callable[[dict[str, Any]], None]] = {}
        self._lists: dict[str, Callable[[dict[str, Any]], None] | None] = {}

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
        return self._redacted_text(text, self._marker)

    def redact_echo(self, text: str) -> str:
        """The same for text that may quote the caller: its fingerprints equal no others, so that a guess cannot be compared."""
        return self._redacted_text(text, self._echo_marker)

    @staticmethod
    def _redacted_text(text: str, marker: Marker) -> str:
        plain = plain_text(text)
        redacted = secret_text.redact_text(plain, marker.mark)
        return text if redacted == plain else redacted

    def marks_of(self, value: str) -> frozenset[str]:
        """The marks that would stand for a value, also for what it holds in base64, as a Secret's data are marked."""
        try:
            packed = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return frozenset({self._marker.mark(value)})
        return frozenset({self._marker.mark(value), self._marker.mark_bytes(packed)})

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
        odd = False
        if "value" in mapping:
            self._name_and_value(mapping, "value")
        for key, value in mapping.items():
            type_ = type(value)
            if type_ is str:
                if rule is not None:
                    mapping[key] = rule(key, value)
                    odd = odd or (key not in self._clean_keys and self._key_leaks(key))
                elif key in plain_names:
                    if value not in clean:
                        mapping[key] = self._string(value)
                else:
                    odd = self._unfamiliar(mapping, key, value) or odd
            elif type_ is dict:
                if value:
                    odd = self._nested(key, value) or odd
            elif type_ is list:
                if value:
                    odd = self._list(key, value) or odd
            elif key not in plain_names:
                odd = self._bare(mapping, key, value) or odd
        if odd:
            self._mark_keys(mapping)

    def _unfamiliar(self, mapping: dict[str, Any], key: str, value: str) -> bool:
        """A string under a name that is secret, or was not met yet; whether the name itself leaks something."""
        if key in _VALUE_FIELDS:
            self._name_and_value(mapping, key)
            value = mapping[key]
        if key == "secretKey" and any(field in mapping for field in _SECRET_REFERENCES):
            mapping[key] = self._shape_only(key, value)
        else:
            mapping[key] = self._named(key, value)
        if key not in self._clean_keys and self._key_leaks(key):
            return True
        if not is_secret_name(key):
            self._remember_plain(key)
        return False

    def _bare(self, mapping: dict[str, Any], key: str, value: Any) -> bool:
        if is_secret_name(key):
            if type(value) in _NUMBERS and numbers_are_secret(key):
                mapping[key] = self._marker.mark(str(value))
            return key not in self._clean_keys and self._key_leaks(key)
        if self._key_leaks(key):
            return True
        self._remember_plain(key)
        return False

    def _remember_plain(self, name: str) -> None:
        """No string under this name is a secret because of the name."""
        if len(self._plain_names) < _REMEMBERED and name not in _VALUE_FIELDS and not name.endswith(_LAST_APPLIED):
            self._plain_names.add(name)

    def _key_leaks(self, key: str) -> bool:
        """Whether a mapping's key holds a secret by its shape; those that do not are remembered."""
        if _ORDINARY.fullmatch(key) or _NAME.fullmatch(key) or self.redact_text(key) == key:
            if len(self._clean_keys) < _REMEMBERED:
                self._clean_keys.add(key)
            return False
        return True

    def _mark_keys(self, mapping: dict[str, Any]) -> None:
        """Redact the keys that leak, in place and in order."""
        content = list(mapping.items())
        mapping.clear()
        for key, value in content:
            mapping[self.redact_text(key) if self._key_leaks(key) else key] = value

    def _nested(self, key: str, value: dict[str, Any]) -> bool:
        treat = self._containers.get(key)
        known = treat is not None
        if "kind" in value and value["kind"] == "Secret" and ("data" in value or "stringData" in value):
            self.redact_object(value)
        else:
            treat = treat or self._treatment(key)
            treat(value)
        if known:
            return False
        if self._key_leaks(key):
            return True
        if treat is not None and len(self._containers) < _REMEMBERED:
            self._containers[key] = treat
        return False

    def _treatment(self, key: str) -> Callable[[dict[str, Any]], None]:
        """How a mapping under this key is redacted."""
        rule: Callable[[str, str], str] | None = None
        if key == "openAPIV3Schema":
            return partial(self._schema, "")
        if key in _LITERAL_LISTS:
            return self._literals
        if key == "annotations":
            rule = self._annotation
        elif key in _SHAPES_ONLY:
            rule = self._shape_only
        elif key == "binaryData":
            rule = self._opaque
        elif key == "stringData":
            rule = self._certain
        elif holds_secrets_throughout(key):
            return partial(
                self._members, numbers=numbers_are_secret(key) and "pass" in key.lower(), names=_is_keyed_by_secret(key)
            )
        elif is_collection(key):
            rule = self._member
        elif is_secret_name(key):
            rule = self._value_member
        return self._mapping if rule is None else partial(self._mapping, rule=rule)

    def _members(self, mapping: dict[str, Any], *, numbers: bool = False, names: bool = False) -> None:
        """Everything below `credentials: {…}`, however deep, unless it refers to a secret or describes one."""
        if "value" in mapping:
            self._name_and_value(mapping, "value")
        refers = any(type(field) is str and field != "key" and is_plain_member(field) for field in mapping)
        odd = False
        for key, value in mapping.items():
            if type(value) is str:
                if key == "key" and not refers and not _LETTERS.fullmatch(value):
                    mapping[key] = self._certain(key, value)
                else:
                    mapping[key] = self._member(key, value)
            elif type(value) is dict:
                if key in _CORE_FIELDS:
                    self._nested(key, value)
                else:
                    self._members(value, numbers=numbers)
            elif type(value) is list:
                self._member_list(key, value)
            elif type(value) in _NUMBERS and (numbers or is_secret_name(key)) and not is_plain_member(key):
                mapping[key] = self._marker.mark(str(value))
            odd = odd or (names and _is_made_up(key)) or (key not in self._clean_keys and self._key_leaks(key))
        if odd:
            content = list(mapping.items())
            mapping.clear()
            for key, value in content:
                mapping[self._marker.mark(key) if names and _is_made_up(key) else self.redact_text(key)] = value

    def _member_list(self, key: str, values: list[Any]) -> None:
        plain = is_plain_member(key)
        for index, value in enumerate(values):
            if type(value) is str:
                values[index] = self._shape_only(key, value) if plain else self._member(f"password {key}", value)
            elif type(value) is dict:
                self._members(value)
            elif type(value) is list:
                self._member_list(key, value)

    def _literals(self, mapping: dict[str, Any]) -> None:
        """`env: {MODE: x}` and `env: {MODE: {value: x}}`."""
        for name, value in mapping.items():
            if type(value) is dict and type(value.get("value")) is str:
                value["value"] = self._literal(name, value["value"])
        self._mapping(mapping, self._literal)

    def _schema(self, name: str, schema: dict[str, Any]) -> None:
        """An OpenAPI schema of the property `name`: it describes values, and holds none but defaults and examples."""
        for key, value in schema.items():
            if key in _SCHEMA_VALUES:
                example = {name: value}
                self._mapping(example)
                schema[key] = next(iter(example.values()))
            elif type(value) is str:
                schema[key] = value if key in _DESCRIBING and value in self._clean else self._shape_only(key, value)
            elif type(value) is dict:
                if key in ("properties", "patternProperties", "$defs", "definitions"):
                    for inner, described in value.items():
                        if type(described) is dict:
                            self._schema(inner, described)
                else:
                    self._schema(name, value)
            elif type(value) is list:
                for item in value:
                    if type(item) is dict:
                        self._schema(name, item)

    def _list(self, key: str, values: list[Any]) -> bool:
        known = key in self._lists
        rule = self._lists[key] if known else self._item_treatment(key)
        secret = rule is not None
        literal = key in _LITERAL_LISTS
        flag = ""
        if len(values) > 1 and all(type(value) is str for value in values):
            values[:] = secret_commands.redact_arguments(values, self._marker.mark)
        for index, value in enumerate(values):
            type_ = type(value)
            if type_ is dict:
                if literal and type(value.get("value")) is str:
                    value["value"] = self._literal(str(value.get("name") or ""), value["value"])
                if value.get("kind") == "Secret" and ("data" in value or "stringData" in value):
                    self.redact_object(value)
                elif rule is None:
                    self._mapping(value)
                else:
                    rule(value)
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
        if known:
            return False
        if self._key_leaks(key):
            return True
        if len(self._lists) < _REMEMBERED:
            self._lists[key] = rule
        return False

    def _item_treatment(self, key: str) -> Callable[[dict[str, Any]], None] | None:
        """How the mappings in a list under this key are redacted; None for a list like any other."""
        if holds_secrets_throughout(key):
            return self._members
        return partial(self._mapping, rule=self._member) if is_collection(key) else None

    def _name_and_value(self, mapping: dict[str, Any], field: str) -> None:
        """`{name: DB_PASSWORD, value: …}`, whatever it is called above it."""
        value = mapping[field]
        name = mapping.get("name", mapping.get("key", mapping.get("Name", mapping.get("Key"))))
        if type(name) is not str or not is_secret_name(name):
            return
        if type(value) is str:
            mapping[field] = self._named(name, value)
        elif type(value) is list:
            value[:] = [self._named(name, item) if type(item) is str else item for item in value]
        elif type(value) in _NUMBERS and numbers_are_secret(name):
            mapping[field] = self._marker.mark(str(value))

    # --- strings ---

    def _named(self, key: str, value: str) -> str:
        if key.endswith(_LAST_APPLIED):  # an annotation wherever it was put
            return self._marker.mark(value)
        if not is_secret_name(key):
            return value if value in self._clean else self._string(value)
        return value if is_harmless(key, value) or is_marked(value) else self._marker.mark(value)

    def _member(self, key: str, value: str) -> str:
        """A string inside `credentials: {…}`: secret, unless it only names something."""
        if is_plain_member(key) or is_harmless("password", value) or is_plain_setting(value) or names_something(key, value):
            return value if is_public_pem(value) else self._shape_only(key, value)
        return value if is_marked(value) else self._marker.mark(value)

    def _value_member(self, key: str, value: str) -> str:
        """A string inside `auth: {…}` or `privateKey: {…}`, which may be all kinds of settings."""
        return (
            self._certain(key, value) if is_value_member(key) and not is_harmless("password", value) else self._named(key, value)
        )

    def _certain(self, _key: str, value: str) -> str:
        return value if is_marked(value) or not value else self._marker.mark(value)

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
def _is_keyed_by_secret(key: str) -> bool:
    """`tokens: {TOKEN: user}`: in these the keys themselves are the secrets, when they look like it."""
    return key.lower().endswith(("tokens", "keys"))


@lru_cache(maxsize=_REMEMBERED)
def _is_made_up(key: str) -> bool:
    """At least twelve characters of letters and digits mixed, as a generator makes them and people do not."""
    return len(key) >= _MADE_UP_LENGTH and _MADE_UP.search(key) is not None


def _text_of(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
