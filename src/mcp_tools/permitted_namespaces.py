"""Where kinds may be listed, for credentials that may not list them in all namespaces at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from configuration.errors import ClusterError, NotFound, NotPermitted
from kinds.kind import Kind
from mcp_tools.at_most import at_most
from mcp_tools.k8s_api import METADATA_LIST, ClusterApi
from mcp_tools.list_pages import decode_object, decode_page

_RULES_REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Permitted:
    """`namespaces` were looked at; `kinds` maps each kind's name to those where it may be listed."""

    namespaces: Sequence[str]
    kinds: Mapping[str, Sequence[str]]


async def permitted_namespaces(api: ClusterApi, kinds: Sequence[Kind], namespaces: Sequence[str], own: str) -> Permitted:
    """Where each of the namespaced kinds may be listed.

    Without `namespaces`: those that exist, or, when those may not be listed, `own`. Raises ClusterError when the API
    server does not say.
    """
    kinds = [kind for kind in kinds if kind.namespaced]
    looked_at = list(dict.fromkeys(namespaces)) or await existing_namespaces(api) or [own]
    found = dict(zip(looked_at, await at_most(looked_at, lambda namespace: _listable(api, kinds, namespace)), strict=True))
    return Permitted(looked_at, {kind.name: [name for name in looked_at if kind.name in found[name]] for kind in kinds})


async def existing_namespaces(api: ClusterApi) -> list[str]:
    """Names of all namespaces; [] when they may not be listed."""
    names: list[str] = []
    token = ""
    while True:
        query: list[tuple[str, str | int]] = [("limit", _PAGE)] + ([("continue", token)] if token else [])
        try:
            answer = await api.get("/api/v1/namespaces", doing="list namespaces", query=query, accept=METADATA_LIST)
        except NotPermitted:
            return []
        page = decode_page(answer.body, "list namespaces")
        names += [str(decode_object(item)["metadata"]["name"]) for item in page.items or []]
        token = page.metadata.continue_token
        if not token:
            return names


async def _listable(api: ClusterApi, kinds: Sequence[Kind], namespace: str) -> set[str]:
    """The rules that RBAC gives are right about what they allow. Other authorizers tell theirs not at all: then, what the
    rules do not allow is tried."""
    status = await _rules_status(api, namespace)
    rules = status.get("resourceRules") or []
    allowed = {kind.name for kind in kinds if any(_allows(rule, kind) for rule in rules)}
    if not status.get("incomplete"):
        return allowed
    doubtful = [kind for kind in kinds if kind.name not in allowed]
    tried = [await _may_list(api, kind, namespace) for kind in doubtful]
    return allowed | {kind.name for kind, may in zip(doubtful, tried, strict=True) if may}


async def _rules_status(api: ClusterApi, namespace: str) -> Mapping[str, Any]:
    """Of a SelfSubjectRulesReview: {resourceRules, incomplete}."""
    doing = f"ask which rules apply in namespace {namespace}"
    try:
        answer = await api.send("POST", _RULES_REVIEW, {"spec": {"namespace": namespace}}, doing=doing)
    except NotPermitted:
        return {"incomplete": True}
    status = orjson.loads(answer.body).get("status")
    return status if isinstance(status, dict) else {"incomplete": True}


def _allows(rule: Mapping[str, Any], kind: Kind) -> bool:
    """A rule for some names allows no list of all."""
    return (
        not rule.get("resourceNames")
        and _includes(rule.get("verbs"), "list")
        and _includes(rule.get("apiGroups"), kind.group)
        and _includes(rule.get("resources"), kind.resource)
    )


def _includes(values: Iterable[str] | None, wanted: str) -> bool:
    return not {"*", wanted}.isdisjoint(values or ())


async def _may_list(api: ClusterApi, kind: Kind, namespace: str) -> bool:
    try:
        await api.get(
            kind.api_path(namespace),
            doing=f"find out whether {kind.name} may be listed in namespace {namespace}",
            query=[("limit", 1)],
            accept=METADATA_LIST,
        )
    except (NotPermitted, NotFound):
        return False
    except ClusterError as error:
        if error.status == 405:
            return False
        raise
    return True
