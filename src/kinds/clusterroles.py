"""ClusterRoles, with their rules in a side table."""

from __future__ import annotations

from typing import Any

from kinds.kind import Kind, SideTable
from kinds.label_selector import selector_text
from kinds.metadata import common
from kinds.rbac_rules import RULE_KEY, RoleColumns, RuleRecord, role_columns
from kinds.record import Json, column, record


@record
class ClusterRoleRecord(RoleColumns):
    """What a ClusterRole allows, everywhere or in the namespace of the RoleBinding that names it."""

    aggregates: Json | None = column("label selectors of the cluster roles whose rules are added to it, a JSON list; null: none")


def read(role: dict[str, Any]) -> ClusterRoleRecord:
    """Redacted API object -> ClusterRoleRecord."""
    shared = common(role)
    selectors = (role.get("aggregationRule") or {}).get("clusterRoleSelectors")
    return ClusterRoleRecord(
        **shared,
        **role_columns(role, shared),
        aggregates=None if selectors is None else Json([selector_text(selector) for selector in selectors]),
    )


CLUSTERROLES = Kind(
    name="clusterroles",
    kind="ClusterRole",
    group="rbac.authorization.k8s.io",
    version="v1",
    namespaced=False,
    dynamic=False,
    record=ClusterRoleRecord,
    read=read,
    list_columns=("name", "rule_count", "wildcard", "aggregates", "created_at"),
    filters={"wildcard": "wildcard"},
    side_tables=(SideTable("clusterrole_rules", "rule_rows", RuleRecord, key=RULE_KEY),),
    aliases=("clusterrole",),
)
