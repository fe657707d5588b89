"""RoleBindings, with their subjects in a side table."""

from __future__ import annotations

from typing import Any

from kinds.kind import Kind, SideTable
from kinds.metadata import common
from kinds.rbac_subjects import SUBJECT_KEY, BindingColumns, SubjectRecord, binding_columns
from kinds.record import record


@record
class RoleBindingRecord(BindingColumns):
    """What `kubectl get rolebindings -o wide` shows: who gets which role in this namespace."""


def read(binding: dict[str, Any]) -> RoleBindingRecord:
    """Redacted API object -> RoleBindingRecord."""
    shared = common(binding)
    return RoleBindingRecord(**shared, **binding_columns(binding, shared))


ROLEBINDINGS = Kind(
    name="rolebindings",
    kind="RoleBinding",
    group="rbac.authorization.k8s.io",
    version="v1",
    namespaced=True,
    dynamic=False,
    record=RoleBindingRecord,
    read=read,
    list_columns=("namespace", "name", "role", "created_at", "users", "groups", "service_accounts"),
    filters={"role_name": "role_name", "role_kind": "role_kind"},
    side_tables=(SideTable("rolebinding_subjects", "subject_rows", SubjectRecord, key=SUBJECT_KEY),),
    aliases=("rolebinding",),
)
