"""Who a RoleBinding or ClusterRoleBinding gives its role to: one row for each subject."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kinds.record import Json, Record, SideRecord, column, record

SUBJECT_KEY = ("subject_kind", "subject_namespace", "subject_name")


@record
class SubjectRecord(SideRecord):
    """One subject with the role that it gets."""

    namespace: str | None = column("namespace of the binding, in which the role holds; null: it holds everywhere", index=True)
    binding: str = column("name of the binding")
    role_kind: str | None = column("Role or ClusterRole")
    role_name: str | None = column("name of the role: joins role of the rules", index=True)
    subject_kind: str | None = column("User, Group or ServiceAccount")
    subject_namespace: str | None = column("namespace of the ServiceAccount; null for users and groups")
    subject_name: str | None = column("name of the user, group or ServiceAccount", index=True)


@record
class BindingColumns(Record):
    """Columns of both kinds of bindings."""

    role: str = column("ROLE as kubectl prints it: ClusterRole/view")
    role_kind: str | None = column("Role or ClusterRole")
    role_name: str | None = column("name of the role", index=True)
    users: str | None = column("USERS as kubectl prints them, comma-separated; null for none", tracked=False)
    groups: str | None = column("GROUPS as kubectl prints them, comma-separated; null for none", tracked=False)
    service_accounts: str | None = column(
        "SERVICEACCOUNTS as kubectl prints them: namespace/name, …; null for none", tracked=False
    )
    subjects: Json | None = column("subjects, a JSON list of {kind, name, namespace}", tracked=False)
    subject_rows: tuple[SubjectRecord, ...]


def binding_columns(binding: dict[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    """-> keyword arguments for the fields of BindingColumns; `shared` is what `common` returned."""
    subjects, role = binding.get("subjects") or [], binding.get("roleRef") or {}
    return {
        "role": f"{role.get('kind', '')}/{role.get('name', '')}",
        "role_kind": role.get("kind"),
        "role_name": role.get("name"),
        "users": _printed(subjects, "User"),
        "groups": _printed(subjects, "Group"),
        "service_accounts": _printed(subjects, "ServiceAccount"),
        "subjects": binding.get("subjects"),
        "subject_rows": tuple(_subject(shared, role, subject) for subject in subjects),
    }


def _printed(subjects: list[dict[str, Any]], kind: str) -> str | None:
    """Source: kubernetes pkg/apis/rbac/helpers.go, SubjectsStrings; printers.go, printRoleBinding."""
    chosen = [subject for subject in subjects if subject.get("kind") == kind]
    if kind == "ServiceAccount":
        return ", ".join(f"{subject.get('namespace', '')}/{subject.get('name', '')}" for subject in chosen) or None
    return ", ".join(str(subject.get("name", "")) for subject in chosen) or None


def _subject(shared: Mapping[str, Any], role: dict[str, Any], subject: dict[str, Any]) -> SubjectRecord:
    return SubjectRecord(
        namespace=shared["namespace"],
        binding=shared["name"],
        role_kind=role.get("kind"),
        role_name=role.get("name"),
        subject_kind=subject.get("kind"),
        subject_namespace=subject.get("namespace"),
        subject_name=subject.get("name"),
    )
