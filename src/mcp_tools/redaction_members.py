"""Everything below `credentials: {…}`, however deep: secret, unless it refers to a secret or describes one."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

from mcp_tools.redaction_values import NUMBERS, REMEMBERED, ValueRules
from mcp_tools.secret_names import is_plain_member, is_secret_name

_LETTERS = re.compile(r"[A-Za-z]+(?:[._-](?:[A-Za-z]+|\d{1,3}))*")
_MADE_UP = re.compile(r"\A(?=[^A-Z]*+[A-Z])\D*+\d|\d[0-9a-z]{11}")
_MADE_UP_LENGTH = 12
_CORE_FIELDS = frozenset({"secretKeyRef", "secretRef", "valueFrom", "labels", "annotations", "matchLabels", "conditions"})
"""Kubernetes' own: they mean the same here as anywhere else."""
_Nested: TypeAlias = Callable[[str, dict[str, Any]], object]


def redact_members(
    rules: ValueRules, redact_nested: _Nested, mapping: dict[str, Any], *, numbers: bool = False, names: bool = False
) -> None:
    """Redact them in place, if asked also numbers, and keys that look generated. `redact_nested` treats Kubernetes' fields."""
    if "value" in mapping:
        rules.name_and_value(mapping, "value")
    refers = any(type(field) is str and field != "key" and is_plain_member(field) for field in mapping)
    odd = False
    for key, value in mapping.items():
        if type(value) is str:
            if key == "key" and not refers and not _LETTERS.fullmatch(value):
                mapping[key] = rules.certain(key, value)
            else:
                mapping[key] = rules.member(key, value)
        elif type(value) is dict:
            if key in _CORE_FIELDS:
                redact_nested(key, value)
            else:
                redact_members(rules, redact_nested, value, numbers=numbers)
        elif type(value) is list:
            _redact_list(rules, redact_nested, key, value)
        elif type(value) in NUMBERS and (numbers or is_secret_name(key)) and not is_plain_member(key):
            mapping[key] = rules.mark(str(value))
        odd = odd or (names and _is_made_up(key)) or (key not in rules.clean_keys and rules.key_leaks(key))
    if odd:
        _mark_keys(rules, mapping, names=names)


def _redact_list(rules: ValueRules, redact_nested: _Nested, key: str, values: list[Any]) -> None:
    plain = is_plain_member(key)
    for index, value in enumerate(values):
        if type(value) is str:
            values[index] = rules.shape_only(key, value) if plain else rules.member(f"password {key}", value)
        elif type(value) is dict:
            redact_members(rules, redact_nested, value)
        elif type(value) is list:
            _redact_list(rules, redact_nested, key, value)


def _mark_keys(rules: ValueRules, mapping: dict[str, Any], *, names: bool) -> None:
    content = list(mapping.items())
    mapping.clear()
    for key, value in content:
        mapping[rules.mark(key) if names and _is_made_up(key) else rules.text(key)] = value


@lru_cache(maxsize=REMEMBERED)
def is_keyed_by_secret(key: str) -> bool:
    """`tokens: {TOKEN: user}`: in these the keys themselves are the secrets, when they look like it."""
    return key.lower().endswith(("tokens", "keys"))


@lru_cache(maxsize=REMEMBERED)
def _is_made_up(key: str) -> bool:
    """At least twelve characters of letters and digits mixed, as a generator makes them and people do not."""
    return len(key) >= _MADE_UP_LENGTH and _MADE_UP.search(key) is not None
