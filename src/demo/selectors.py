"""labelSelector and fieldSelector, parsed into predicates over objects."""

from __future__ import annotations

import re
from collections.abc import Callable

from demo.api_status import ApiError, Json, bad_request

Predicate = Callable[[Json], bool]

_SET_TERM = re.compile(r"^(\S+)\s+(in|notin)\s*\(([^)]*)\)$")
_EQUAL_TERM = re.compile(r"^([^!=\s]+)\s*(==|!=|=)\s*(\S*)$")
_FIELD_TERM = re.compile(r"^([^!=]+)(==|!=|=)(.*)$")
_NAME = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")

_COMMON_FIELDS = ("metadata.name", "metadata.namespace")
_FIELDS: dict[str, tuple[str, ...]] = {
    "Pod": (
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
        "spec.hostNetwork", "status.phase", "status.podIP", "status.nominatedNodeName",
    ),
    "Event": (
        "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
        "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath",
        "reason", "reportingComponent", "source", "type",
    ),
    "Node": ("spec.unschedulable",),
    "Namespace": ("status.phase",),
    "Secret": ("type",),
    "Job": ("status.successful",),
    "ReplicaSet": ("status.replicas",),
}  # fmt: skip


def _split(selector: str) -> list[str]:
    """Terms at top-level commas (those inside `in (…)` belong to the term)."""
    return [term.strip() for term in re.split(r",(?![^(]*\))", selector) if term.strip()]


def _label_term(term: str) -> Predicate:
    if match := _SET_TERM.match(term):
        key, operator, listed = match.groups()
        values = {value.strip() for value in listed.split(",")}
        if operator == "in":
            return lambda labels: key in labels and labels[key] in values
        return lambda labels: labels.get(key) not in values
    if match := _EQUAL_TERM.match(term):
        key, operator, value = match.groups()
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: key in labels and labels[key] == value
    key = term.removeprefix("!").strip()
    if not _NAME.match(key):
        raise _unparsable(term)
    if term.startswith("!"):
        return lambda labels: key not in labels
    return lambda labels: key in labels


def _unparsable(selector: str) -> ApiError:
    return bad_request(f'unable to parse requirement: couldn\'t parse the selector string "{selector}"')


def label_predicate(selector: str) -> Predicate | None:
    """None for an empty selector; ApiError 400 for one that cannot be parsed."""
    terms = [_label_term(term) for term in _split(selector)]
    if not terms:
        return None
    return lambda obj: all(term(obj["metadata"].get("labels") or {}) for term in terms)


def _field_value(obj: Json, path: str) -> str:
    if path == "source":
        return str(obj.get("source", {}).get("component") or obj.get("reportingComponent", ""))
    if path == "status.successful":
        return str(obj.get("status", {}).get("succeeded", 0))
    value: object = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if path in ("spec.unschedulable", "spec.hostNetwork"):
        return "true" if value else "false"
    return "" if value is None else str(value)


def field_predicate(selector: str, kind: str) -> Predicate | None:
    """None for an empty selector; ApiError 400 for a field that `kind` cannot be selected by."""
    tests: list[tuple[str, bool, str]] = []
    for term in _split(selector):
        match = _FIELD_TERM.match(term)
        if match is None:
            raise bad_request(f"invalid selector: '{selector}'; can't understand '{term}'")
        path, operator, value = match.groups()
        if path not in _COMMON_FIELDS + _FIELDS.get(kind, ()):
            raise bad_request(f'field label not supported: "{path}"')
        tests.append((path, operator != "!=", value))
    if not tests:
        return None
    return lambda obj: all((_field_value(obj, path) == value) is wanted for path, wanted, value in tests)


def both(first: Predicate | None, second: Predicate | None) -> Predicate | None:
    """The conjunction; None stands for everything."""
    if first is None or second is None:
        return first or second
    return lambda obj: first(obj) and second(obj)


def matches_labels(selector: Json | None, labels: Json) -> bool:
    """A metav1.LabelSelector (matchLabels, matchExpressions) against a label map; None selects nothing."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_matches_expression(expression, labels) for expression in selector.get("matchExpressions") or ())


def _matches_expression(expression: Json, labels: Json) -> bool:
    key, operator = expression["key"], expression["operator"]
    values = expression.get("values") or ()
    if operator == "In":
        return key in labels and labels[key] in values
    if operator == "NotIn":
        return labels.get(key) not in values
    return (key in labels) is (operator == "Exists")


def format_label_selector(selector: Json | None) -> str:
    """As metav1.FormatLabelSelector: `<none>` when empty."""
    if not selector:
        return "<none>"
    terms = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for expression in selector.get("matchExpressions") or ():
        values = ",".join(sorted(expression.get("values") or ()))
        operator = expression["operator"]
        if operator in ("In", "NotIn"):
            terms.append(f"{expression['key']} {operator.lower()} ({values})")
        else:
            terms.append(("!" if operator == "DoesNotExist" else "") + str(expression["key"]))
    return ",".join(terms) or "<none>"
