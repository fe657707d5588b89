"""Secrets: name, type and the names of their keys. Values are never asked for (mcp_tools/object_forms.py)."""

from __future__ import annotations

from typing import Any

from kinds.kind import Kind
from kinds.metadata import common
from kinds.record import Json, Record, column, record


@record
class SecretRecord(Record):
    """What `kubectl get secrets` shows, and the names of the keys."""

    type: str | None = column("type: Opaque, kubernetes.io/tls, helm.sh/release.v1 …", index=True)
    key_count: int | None = column("number of keys (DATA)")
    key_names: Json | None = column("names of the keys, a JSON list in alphabetical order; null when they are not all known")


def read(secret: dict[str, Any]) -> SecretRecord:
    """Object as `object_forms` makes it from a table's row -> SecretRecord."""
    names = secret.get("data")
    return SecretRecord(
        **common(secret),
        type=secret.get("type"),
        key_count=secret.get("keyCount"),
        key_names=None if names is None else Json(sorted(names)),
    )


SECRETS = Kind(
    name="secrets",
    kind="Secret",
    group="",
    version="v1",
    namespaced=True,
    dynamic=False,
    record=SecretRecord,
    read=read,
    list_columns=("namespace", "name", "type", "key_count", "created_at", "key_names"),
    filters={"type": "type"},
    aliases=("secret",),
)
