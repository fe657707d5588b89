"""Roles, with their rules in a side table."""

from __future__ import annotations

from typing import Any

from kinds.kind import Kind, SideTable
from kinds.metadata import common
from kinds.rbac_rules import RULE_KEY, RoleColumns, RuleRecord, role_columns
from kinds.record import record


@record
class RoleRecord(RoleColumns):
    """What a Role allows in its namespace."""


def read(role: dict[str, Any]) -> RoleRecord:
    """Redacted API object -> RoleRecord."""
    shared = common(role)
    return RoleRecord(**shared, **role_columns(role, shared))


ROLES = Kind(
    name="roles",
    kind="Role",
    group="rbac.authorization.k8s.io",
    version="v1",
    namespaced=True,
    dynamic=False,
    record=RoleRecord,
    read=read,
    list_columns=("namespace", "name", "rule_count", "wildcard", "created_at"),
    filters={"wildcard": "wildcard"},
    side_tables=(SideTable("role_rules", "rule_rows", RuleRecord, key=RULE_KEY),),
    aliases=("role",),
)
