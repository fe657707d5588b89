"""What Roles and ClusterRoles allow: one row for each API group and resource (or URL) of each rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from kinds.record import Json, Record, SideRecord, column, record

RULE_KEY = ("api_group", "resource", "url", "resource_names", "verbs")


@record
class RuleRecord(SideRecord):
    """One permission. `*` in api_group, resource or verbs means all of them; a question must ask for both."""

    namespace: str | None = column("namespace of the role; null for a cluster role")
    role: str = column("name of the role: joins role_name of the binding subjects", index=True)
    api_group: str | None = column("API group, empty text for core, * for all; null for a URL")
    resource: str | None = column("resource or resource/subresource, e.g. pods/exec; * for all; null for a URL", index=True)
    resource_names: Json | None = column("only these objects, a JSON list; null means all")
    url: str | None = column("path that is no resource, e.g. /healthz or /metrics/*; null for a resource")
    verbs: Json = column("verbs, a JSON list in the order of the rule: get, list, watch, create, … or *")


@record
class RoleColumns(Record):
    """Columns of both kinds of roles."""

    rule_count: int = column("number of rules")
    rules: Json | None = column("rules, a JSON list of {apiGroups, resources, verbs, resourceNames, …}", tracked=False)
    wildcard: bool = column("some rule allows every verb on every resource of every API group", index=True)
    rule_rows: tuple[RuleRecord, ...]


def role_columns(role: dict[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    """-> keyword arguments for the fields of RoleColumns; `shared` is what `common` returned."""
    rules = role.get("rules") or []
    return {
        "rule_count": len(rules),
        "rules": role.get("rules"),
        "wildcard": any(_allows_everything(rule) for rule in rules),
        "rule_rows": tuple(row for rule in rules for row in _rows(shared, rule)),
    }


def _allows_everything(rule: dict[str, Any]) -> bool:
    return not rule.get("resourceNames") and all("*" in (rule.get(part) or ()) for part in ("verbs", "resources", "apiGroups"))


def _rows(shared: Mapping[str, Any], rule: dict[str, Any]) -> Iterator[RuleRecord]:
    def made(group: str | None = None, resource: str | None = None, url: str | None = None) -> RuleRecord:
        return RuleRecord(
            namespace=shared["namespace"],
            role=shared["name"],
            api_group=group,
            resource=resource,
            resource_names=rule.get("resourceNames") or None,
            url=url,
            verbs=Json(rule.get("verbs") or []),
        )

    for group, resource in product(rule.get("apiGroups") or (), rule.get("resources") or ()):
        yield made(group, resource)
    for url in rule.get("nonResourceURLs") or ():
        yield made(url=url)
