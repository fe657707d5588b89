"""Label selectors as Kubernetes writes them: `app=web,tier!=db,env in (a,b),!legacy`.

Grammar and meaning: k8s.io/apimachinery pkg/labels/selector.go. An object without the key matches `!=` and `notin`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from configuration.errors import InvalidSelector

Operator = Literal["in", "notin", "exists", "absent"]

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_KEY = rf"(?:[a-z0-9](?:[a-z0-9.-]{{0,251}}[a-z0-9])?/)?{_NAME}"
_VALUE = rf"(?:{_NAME})?"
_REQUIREMENT = re.compile(
    rf"\s*(?:(?P<absent>!)\s*(?P<absent_key>{_KEY})"
    rf"|(?P<set_key>{_KEY})\s+(?P<set_op>in|notin)\s*\(\s*(?P<values>{_VALUE}(?:\s*,\s*{_VALUE})*)\s*\)"
    rf"|(?P<key>{_KEY})\s*(?P<op>==|=|!=)\s*(?P<value>{_VALUE})"
    rf"|(?P<exists>{_KEY}))\s*(?:,|$)"
)
MAX_LENGTH = 4096


@dataclass(frozen=True, slots=True)
class Requirement:
    """One comma-separated part of a selector. `a=b` is `a in (b)`, `a!=b` is `a notin (b)`."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        if self.operator == "exists":
            return self.key in labels
        if self.operator == "absent":
            return self.key not in labels
        if self.operator == "in":
            return self.key in labels and labels[self.key] in self.values
        return labels.get(self.key) not in self.values


def parse(selector: str) -> tuple[Requirement, ...]:
    """All requirements of a selector; () for the empty one. Raises InvalidSelector, naming the part that does not parse."""
    if len(selector) > MAX_LENGTH:
        raise InvalidSelector(f"label selector is {len(selector)} characters long; at most {MAX_LENGTH} are accepted")
    requirements, position = [], 0
    text = selector.strip()
    while position < len(text):
        match = _REQUIREMENT.match(text, position)
        if match is None or (match.end() == len(text) and text.endswith(",")):
            raise InvalidSelector(
                f"label selector cannot be read from {text[position : position + 40]!r} on; "
                "write it as kubectl does, e.g. app=web,tier!=db,env in (prod,stage),!legacy"
            )
        requirements.append(_requirement(match))
        position = match.end()
    return tuple(requirements)


def _requirement(match: re.Match[str]) -> Requirement:
    if match["absent"]:
        return Requirement(match["absent_key"], "absent")
    if match["exists"]:
        return Requirement(match["exists"], "exists")
    if match["set_op"]:
        values = tuple(value.strip() for value in match["values"].split(","))
        return Requirement(match["set_key"], "in" if match["set_op"] == "in" else "notin", values)
    return Requirement(match["key"], "notin" if match["op"] == "!=" else "in", (match["value"],))


def matches(requirements: tuple[Requirement, ...], labels: Mapping[str, str]) -> bool:
    """True when every requirement holds."""
    return all(requirement.matches(labels) for requirement in requirements)


def selector_text(selector: dict[str, Any] | None) -> str | None:
    """An object's LabelSelector in the one-line form that kubectl prints: `app=web,tier in (a,b)`, sorted by key.

    None when there is none (it selects nothing); "" for the empty one, which selects everything and which kubectl
    prints as <none>. Source: k8s.io/apimachinery pkg/apis/meta/v1/helpers.go, FormatLabelSelector.
    """
    if selector is None:
        return None
    parts = [(str(key), f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or []:
        parts.append((str(expression.get("key")), _expression_text(expression)))
    return ",".join(text for _, text in sorted(parts, key=lambda part: part[0]))


def _expression_text(expression: dict[str, Any]) -> str:
    key, operator, values = expression.get("key"), expression.get("operator"), expression.get("values") or []
    if operator == "Exists":
        return str(key)
    if operator == "DoesNotExist":
        return f"!{key}"
    return f"{key} {str(operator).lower()} ({','.join(sorted(values))})"
