"""ClusterRoleBindings, with their subjects in a side table."""

from __future__ import annotations

from typing import Any

from kinds.kind import Kind, SideTable
from kinds.metadata import common
from kinds.rbac_subjects import SUBJECT_KEY, BindingColumns, SubjectRecord, binding_columns
from kinds.record import record


@record
class ClusterRoleBindingRecord(BindingColumns):
    """What `kubectl get clusterrolebindings -o wide` shows: who gets which role everywhere."""


def read(binding: dict[str, Any]) -> ClusterRoleBindingRecord:
    """Redacted API object -> ClusterRoleBindingRecord."""
    shared = common(binding)
    return ClusterRoleBindingRecord(**shared, **binding_columns(binding, shared))


CLUSTERROLEBINDINGS = Kind(
    name="clusterrolebindings",
    kind="ClusterRoleBinding",
    group="rbac.authorization.k8s.io",
    version="v1",
    namespaced=False,
    dynamic=False,
    record=ClusterRoleBindingRecord,
    read=read,
    list_columns=("name", "role", "created_at", "users", "groups", "service_accounts"),
    filters={"role_name": "role_name"},
    side_tables=(SideTable("clusterrolebinding_subjects", "subject_rows", SubjectRecord, key=SUBJECT_KEY),),
    aliases=("clusterrolebinding",),
)
