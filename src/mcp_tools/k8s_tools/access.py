"""What the credentials of a context may do. Asked by reviews: a POST each that stores nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from configuration.errors import ClusterError, InvalidArguments
from kinds.counted import counted
from kinds.registry import declared_kind
from mcp_tools.answer_budget import fitting
from mcp_tools.k8s_api import ClusterApi
from mcp_tools.object_names import namespace_name, object_name
from mcp_tools.output_schemas import obj
from mcp_tools.plain_text import plain_text
from mcp_tools.tool_declaration import CONTEXT, MAX_TOKENS, ToolAnswer, ToolContext, ToolDeclaration, text, tool

_REVIEWS = "/apis/authorization.k8s.io/v1"
_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_VERB = re.compile(r"[a-z]{1,40}|\*")
_SUBRESOURCE = re.compile(r"[a-z][a-z0-9-]{0,62}|\*|")
_URL = re.compile(r"/[A-Za-z0-9._/*-]{0,200}")
_RULE = obj({"verbs": _TEXTS, "resources": _TEXTS, "names": _TEXTS})


@tool(
    "k8s_auth_can_i",
    title="What these credentials may do",
    arguments={
        "context": CONTEXT,
        "verb": text("get, list, create …; empty: list what may be done in the namespace.", max_length=40, default=""),
        "resource": text("Kind, also as pods/log, * or a URL path such as /metrics.", max_length=316, default=""),
        "namespace": text("Empty: all of them; for the list the context's own.", max_length=63, default=""),
        "name": text("Of one object.", default=""),
        "subresource": text("log, exec, scale …", max_length=63, default=""),
        "max_tokens": MAX_TOKENS,
    },
    output=obj(
        {
            "cluster": _TEXT,
            "namespace": {"type": "string", "description": "Empty: all namespaces, or none"},
            "question": {"type": "string", "description": "What was asked; empty for the list"},
            "allowed": {"type": ["boolean", "null"], "description": "null for the list"},
            "reason": _TEXT,
            "rules": {"type": "array", "items": _RULE, "description": "Resources as `name.group`, or URL paths"},
            "total": {"type": "integer"},
            "shown": {"type": "integer"},
            "complete": {"type": "boolean", "description": "false: more may be allowed than the rules say"},
            "note": _TEXT,
        }
    ),
)
async def auth_can_i(
    tools: ToolContext, *, context: str = "", verb: str = "", resource: str = "", namespace: str = "", name: str = "",
    subresource: str = "", max_tokens: int = 4000,
) -> ToolAnswer:  # fmt: skip
    """Whether one thing may be done, or all that may be done in a namespace. Changes nothing."""
    api = tools.clusters.api(context)
    scope = namespace_name(namespace) if namespace else ""
    if verb:
        return await _one(tools, api, verb, resource, scope, name, subresource)
    if resource or name or subresource:
        raise InvalidArguments("k8s_auth_can_i: verb is missing: name one with a resource, or leave all out for the whole list")
    scope = scope or tools.clusters.own_namespace(api.context)
    return await _all(tools, api, scope, max_tokens)


async def _one(
    tools: ToolContext, api: ClusterApi, verb: str, resource: str, namespace: str, name: str, subresource: str
) -> ToolAnswer:
    attributes, what = await _attributes(tools, api, verb, resource, namespace, name, subresource)
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": attributes}
    answer = await api.send("POST", f"{_REVIEWS}/selfsubjectaccessreviews", review, doing=f"ask whether one may {what}")
    status = _status(answer.body, what)
    allowed = status.get("allowed") is True
    error = _told(tools, status.get("evaluationError"))
    note = f"the API server could not evaluate all rules: {error}" if error else ""
    structured = {
        "cluster": api.context, "namespace": namespace, "question": what, "allowed": allowed,
        "reason": _told(tools, status.get("reason")), "rules": [], "total": 0, "shown": 0, "complete": not error, "note": note,
    }  # fmt: skip
    words = [f"{'yes' if allowed else 'no'}: {what} in {api.context}", structured["reason"], note]
    return ToolAnswer(plain_text("\n".join(str(part) for part in words if part)), structured)


async def _attributes(
    tools: ToolContext, api: ClusterApi, verb: str, resource: str, namespace: str, name: str, subresource: str
) -> tuple[dict[str, Any], str]:
    """The `spec` of an access review, and what it asks in words."""
    if _VERB.fullmatch(verb) is None:
        raise InvalidArguments(f"k8s_auth_can_i: verb {verb!a} is none; expected e.g. get, list, create, delete, *")
    if _SUBRESOURCE.fullmatch(subresource) is None:
        raise InvalidArguments(f"k8s_auth_can_i: subresource {subresource!a} is none; expected e.g. log, exec, scale")
    if resource.startswith("/"):
        if _URL.fullmatch(resource) is None or namespace or name or subresource:
            raise InvalidArguments("k8s_auth_can_i: a URL path has letters, digits and /.-_*, and neither namespace nor name")
        return {"nonResourceAttributes": {"verb": verb, "path": resource}}, f"{verb} {resource}"
    resource, subresource = _apart(resource, subresource)
    if not resource:
        raise InvalidArguments("k8s_auth_can_i: resource is missing: a kind such as pods or deployments.apps, or *")
    group, plural, namespaced = await _resource(tools, api, resource)
    attributes = {"verb": verb, "group": group, "resource": plural, "namespace": namespace if namespaced else ""}
    attributes |= {"name": object_name(name)} if name else {}
    attributes |= {"subresource": subresource} if subresource else {}
    part = f"/{subresource}" if subresource else ""
    full = f"{plural}{part}" if group in ("", "*") else f"{plural}.{group}{part}"
    where = "" if not namespaced else f" in namespace {namespace}" if namespace else " in all namespaces"
    return {"resourceAttributes": attributes}, f"{verb} {full}{' ' + name if name else ''}{where}"


def _apart(resource: str, subresource: str) -> tuple[str, str]:
    """`pods/log`, `deployments.apps/scale` as a rule of RBAC writes it, `deployments/scale.apps` as this tool's list does."""
    plural, slash, part = resource.partition("/")
    if not slash:
        return resource, subresource
    named, dot, group = part.partition(".")
    if not named or _SUBRESOURCE.fullmatch(named) is None:
        raise InvalidArguments(
            f"k8s_auth_can_i: resource {resource[:100]!a} has no subresource after its slash; expected e.g. pods/log"
        )
    if subresource not in ("", named):
        raise InvalidArguments(
            f"k8s_auth_can_i: resource {resource[:100]!a} and subresource {subresource!a} contradict each other; give one of them"
        )
    return f"{plural}{dot}{group}", named


async def _resource(tools: ToolContext, api: ClusterApi, resource: str) -> tuple[str, str, bool]:
    """Group, plural name, whether it has namespaces: of what may be called `deploy`; `*` is everything."""
    if resource == "*":
        return "*", "*", True
    kind = declared_kind(resource) or await tools.discovery.kind(api, resource)
    return kind.group, kind.resource, kind.namespaced


async def _all(tools: ToolContext, api: ClusterApi, namespace: str, max_tokens: int) -> ToolAnswer:
    doing = f"ask which rules apply in namespace {namespace}"
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}}
    answer = await api.send("POST", f"{_REVIEWS}/selfsubjectrulesreviews", review, doing=doing)
    status = _status(answer.body, doing)
    rules = _folded(status)
    complete = status.get("incomplete") is not True
    missing = "" if complete else "incomplete: not every authorizer lists its rules, more may be allowed; ask for one verb"
    error = _told(tools, status.get("evaluationError"))

    def render(shown: Iterable[dict[str, list[str]]]) -> ToolAnswer:
        rows = list(shown)
        cut = f"{len(rows)} of {len(rules)} rules shown; raise max_tokens, or ask for one verb" if len(rows) < len(rules) else ""
        note = "; ".join(part for part in (missing, error, cut) if part)
        structured = {
            "cluster": api.context, "namespace": namespace, "question": "", "allowed": None, "reason": "", "rules": rows,
            "total": len(rules), "shown": len(rows), "complete": complete, "note": note,
        }  # fmt: skip
        lines = [f"{counted(len(rules), 'rule')} in namespace {namespace} of {api.context}", "verbs\tresources\tnames"]
        lines += ["\t".join(",".join(rule[part]) or "-" for part in ("verbs", "resources", "names")) for rule in rows]
        return ToolAnswer(plain_text("\n".join([*lines, *([note] if note else [])])), structured)

    return fitting(rules, render, max_tokens)


def _folded(status: Mapping[str, Any]) -> list[dict[str, list[str]]]:
    """Rules with the same verbs and names as one, the widest first."""
    found: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for rule in _mappings(status.get("resourceRules")):
        key = tuple(_texts(rule.get("verbs"))), tuple(_texts(rule.get("resourceNames")))
        names = found.setdefault(key, [])
        groups = _texts(rule.get("apiGroups")) or [""]
        names += [_full(resource, group) for group in groups for resource in _texts(rule.get("resources"))]
    for rule in _mappings(status.get("nonResourceRules")):
        found.setdefault((tuple(_texts(rule.get("verbs"))), ()), []).extend(_texts(rule.get("nonResourceURLs")))
    rules = [
        {"verbs": list(verbs), "resources": sorted(set(resources)), "names": list(names)}
        for (verbs, names), resources in found.items()
    ]
    return sorted(rules, key=lambda rule: ("*" not in rule["verbs"], "get" not in rule["verbs"], bool(rule["names"])))


def _full(resource: str, group: str) -> str:
    """`deployments.apps`, `deployments/scale.apps`, `*.*`."""
    return f"{resource}.{group}" if group else resource


def _status(body: bytes, doing: str) -> dict[str, Any]:
    try:
        status = orjson.loads(body)["status"]
    except (ValueError, KeyError, TypeError):
        status = None
    if not isinstance(status, dict):
        raise ClusterError(f"cannot {doing}: the API server's answer is no review; try again")
    return status


def _told(tools: ToolContext, words: object) -> str:
    return plain_text(tools.redactor.redact_text(words))[:500] if isinstance(words, str) else ""


def _mappings(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _texts(value: object) -> list[str]:
    return [plain_text(one) for one in value if isinstance(one, str)] if isinstance(value, list) else []


TOOLS: tuple[ToolDeclaration, ...] = (auth_can_i,)
