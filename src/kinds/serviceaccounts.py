"""ServiceAccounts."""

from __future__ import annotations

from typing import Any

from kinds.kind import Kind
from kinds.metadata import common
from kinds.named_lists import names_of
from kinds.record import Json, Record, column, record


@record
class ServiceAccountRecord(Record):
    """What `kubectl describe serviceaccount` shows."""

    automount_token: bool | None = column("automountServiceAccountToken; null when not set, which means yes")
    secrets: Json | None = column("names of the secrets its pods may mount, a JSON list; tokens are no longer made that way")
    image_pull_secrets: Json | None = column("names of imagePullSecrets, a JSON list")


def read(account: dict[str, Any]) -> ServiceAccountRecord:
    """Redacted API object -> ServiceAccountRecord."""
    return ServiceAccountRecord(
        **common(account),
        automount_token=account.get("automountServiceAccountToken"),
        secrets=names_of(account.get("secrets")),
        image_pull_secrets=names_of(account.get("imagePullSecrets")),
    )


SERVICEACCOUNTS = Kind(
    name="serviceaccounts",
    kind="ServiceAccount",
    group="",
    version="v1",
    namespaced=True,
    dynamic=False,
    record=ServiceAccountRecord,
    read=read,
    list_columns=("namespace", "name", "automount_token", "image_pull_secrets", "created_at"),
    filters={"automount_token": "automount_token"},
    aliases=("serviceaccount", "sa"),
)
