"""The way through an object: what each mapping and list is called decides by which rule its values are redacted.

Speed matters here: whole pages of objects pass. How the containers of a name are redacted is decided once and remembered.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from mcp_tools import secret_commands
from mcp_tools.harmless_values import is_harmless
from mcp_tools.redaction_marks import Marker
from mcp_tools.redaction_members import is_keyed_by_secret, redact_members
from mcp_tools.redaction_schemas import redact_schema
from mcp_tools.redaction_values import LAST_APPLIED, NUMBERS, REMEMBERED, ValueRules, text_of
from mcp_tools.secret_names import holds_secrets_throughout, is_collection, is_flag_of_secret, is_secret_name, numbers_are_secret

_LITERAL_LISTS = frozenset(
    {"env", "envs", "extraEnv", "extraEnvs", "environment", "extraEnvVars", "envVars", "environmentVariables", "literals"}
)
_VALUE_FIELDS = frozenset(
    {"Value", "content", "default", "stringValue", "string", "literal", "values", "parameterValue", "ParameterValue"}
)
"""Where else than in `value` a `{name: DB_PASSWORD, …}` may hold it."""
_SECRET_REFERENCES = ("remoteRef", "sourceRef", "secretPath")
"""Beside these, `secretKey` is the key under which something is to be kept."""
_SHAPES_ONLY = frozenset({"labels", "matchLabels", "nodeSelector", "selector"})


class RedactionWalk:
    """Goes through objects and redacts them in place. Remembers names, and how what they hold is redacted."""

    def __init__(self, marker: Marker) -> None:
        self._rules = ValueRules(marker, self._content)
        self._plain_names: set[str] = set()
        self._containers: dict[str, Callable[[dict[str, Any]], None]] = {}
        self._lists: dict[str, Callable[[dict[str, Any]], None] | None] = {}

    def object(self, obj: dict[str, Any]) -> None:
        """One API object, or a list of them."""
        items = obj.get("items")
        if isinstance(items, list) and str(obj.get("kind", "")).endswith("List"):
            if obj["kind"] == "SecretList":
                for item in items:
                    self._secret(item)
        elif obj.get("kind") == "Secret":
            self._secret(obj)
        self._mapping(obj)

    def _content(self, content: Any) -> None:
        """What was JSON inside a string."""
        if isinstance(content, dict):
            self.object(content)
        else:
            self._list("", content)

    def _secret(self, obj: Any) -> None:
        if not isinstance(obj, dict):
            return
        for field in ("data", "stringData"):
            values = obj.get(field)
            if isinstance(values, dict):
                for key, value in values.items():
                    if value is not None:  # only the name is known: nothing to mark
                        values[key] = self._rules.payload(value, encoded=field == "data")
            elif values is not None:
                obj[field] = self._rules.mark(text_of(values))

    # --- mappings ---

    def _mapping(self, mapping: dict[str, Any], rule: Callable[[str, str], str] | None = None) -> None:
        """Redact the values of a mapping in place. `rule` replaces the default treatment of its strings."""
        rules, plain_names = self._rules, self._plain_names
        clean = rules.clean
        odd = False
        if "value" in mapping and rules.name_and_value(mapping, "value"):
            redact_members(rules, self._nested, {"value": mapping["value"]})
        for key, value in mapping.items():
            type_ = type(value)
            if type_ is str:
                if rule is not None:
                    mapping[key] = rule(key, value)
                    odd = odd or (key not in rules.clean_keys and rules.key_leaks(key))
                elif key in plain_names:
                    if value not in clean:
                        mapping[key] = rules.string(value)
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
        rules = self._rules
        if key in _VALUE_FIELDS:
            rules.name_and_value(mapping, key)
            value = mapping[key]
        if key == "secretKey" and any(field in mapping for field in _SECRET_REFERENCES):
            mapping[key] = rules.shape_only(key, value)
        else:
            mapping[key] = rules.named(key, value)
        if key not in rules.clean_keys and rules.key_leaks(key):
            return True
        if not is_secret_name(key):
            self._remember_plain(key)
        return False

    def _bare(self, mapping: dict[str, Any], key: str, value: Any) -> bool:
        """The same for a number, a boolean or null."""
        if is_secret_name(key):
            if type(value) in NUMBERS and numbers_are_secret(key):
                mapping[key] = self._rules.mark(str(value))
            return key not in self._rules.clean_keys and self._rules.key_leaks(key)
        if self._rules.key_leaks(key):
            return True
        self._remember_plain(key)
        return False

    def _remember_plain(self, name: str) -> None:
        """No string under this name is a secret because of the name."""
        if len(self._plain_names) < REMEMBERED and name not in _VALUE_FIELDS and not name.endswith(LAST_APPLIED):
            self._plain_names.add(name)

    def _mark_keys(self, mapping: dict[str, Any]) -> None:
        """Redact the keys that leak, in place and in order."""
        content = list(mapping.items())
        mapping.clear()
        for key, value in content:
            mapping[self._rules.text(key) if self._rules.key_leaks(key) else key] = value

    def _nested(self, key: str, value: dict[str, Any]) -> bool:
        """A mapping under a key; whether the key itself leaks something."""
        treat = self._containers.get(key)
        known = treat is not None
        if "kind" in value and value["kind"] == "Secret" and ("data" in value or "stringData" in value):
            self.object(value)
        else:
            treat = treat or self._treatment(key)
            treat(value)
        if known:
            return False
        if self._rules.key_leaks(key):
            return True
        if treat is not None and len(self._containers) < REMEMBERED:
            self._containers[key] = treat
        return False

    def _treatment(self, key: str) -> Callable[[dict[str, Any]], None]:
        """How a mapping under this key is redacted."""
        rules = self._rules
        rule: Callable[[str, str], str] | None = None
        if key == "openAPIV3Schema":
            return partial(redact_schema, rules, self._mapping, "")
        if key in _LITERAL_LISTS:
            return self._literals
        if key == "annotations":
            rule = rules.annotation
        elif key in _SHAPES_ONLY:
            rule = rules.shape_only
        elif key == "binaryData":
            rule = rules.opaque
        elif key == "stringData":
            rule = rules.certain
        elif holds_secrets_throughout(key):
            numbers = numbers_are_secret(key) and "pass" in key.lower()
            return partial(redact_members, rules, self._nested, numbers=numbers, names=is_keyed_by_secret(key))
        elif is_collection(key):
            rule = rules.member
        elif is_secret_name(key):
            rule = rules.value_member
        return self._mapping if rule is None else partial(self._mapping, rule=rule)

    def _literals(self, mapping: dict[str, Any]) -> None:
        """`env: {MODE: x}` and `env: {MODE: {value: x}}`."""
        for name, value in mapping.items():
            if type(value) is dict and type(value.get("value")) is str:
                value["value"] = self._rules.literal(name, value["value"])
        self._mapping(mapping, self._rules.literal)

    # --- lists ---

    def _list(self, key: str, values: list[Any]) -> bool:
        """A list under a key; whether the key itself leaks something."""
        rules = self._rules
        known = key in self._lists
        rule = self._lists[key] if known else self._item_treatment(key)
        secret = rule is not None
        literal = key in _LITERAL_LISTS
        flag = ""
        if len(values) > 1 and all(type(value) is str for value in values):
            values[:] = secret_commands.redact_arguments(values, rules.mark)
        for index, value in enumerate(values):
            type_ = type(value)
            if type_ is dict:
                if literal and type(value.get("value")) is str:
                    value["value"] = rules.literal(str(value.get("name") or ""), value["value"])
                if value.get("kind") == "Secret" and ("data" in value or "stringData" in value):
                    self.object(value)
                elif rule is None:
                    self._mapping(value)
                else:
                    rule(value)
            elif type_ is str:
                if flag and not value.startswith("-"):
                    values[index] = value if is_harmless(flag, value) else rules.mark(value)
                    flag = ""
                    continue
                flag = value if value[:1] == "-" and is_flag_of_secret(value) else ""
                if literal and "=" in value:
                    values[index] = rules.assignment(value)
                elif secret:
                    values[index] = rules.named(key, value)
                elif value not in rules.clean:
                    values[index] = rules.string(value)
            elif type_ is list and value:
                self._list(key, value)
            elif secret and type_ in NUMBERS and numbers_are_secret(key):
                values[index] = rules.mark(str(value))
        if known:
            return False
        if rules.key_leaks(key):
            return True
        if len(self._lists) < REMEMBERED:
            self._lists[key] = rule
        return False

    def _item_treatment(self, key: str) -> Callable[[dict[str, Any]], None] | None:
        """How the mappings in a list under this key are redacted; None for a list like any other."""
        if holds_secrets_throughout(key):
            return partial(redact_members, self._rules, self._nested)
        return partial(self._mapping, rule=self._rules.member) if is_collection(key) else None
