"""Secrets with their values, for the few readers that may have them (secret_access.py). No repr here shows a value."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any

from configuration.errors import ClusterError
from mcp_tools.k8s_api import ClusterApi
from mcp_tools.list_pages import decode_object
from mcp_tools.secret_access import SecretAccess

MAX_BYTES = 6 * 1024 * 1024
"""Of the API's answer: a Secret holds at most 1 MiB of values, with annotations and base64 about 2 MB."""


@dataclass(frozen=True, slots=True)
class SecretPayload:
    """One Secret. `values`: key -> decoded bytes, None when it is no base64."""

    metadata: dict[str, Any] = field(repr=False)
    type: str
    immutable: bool
    values: dict[str, bytes | None] = field(repr=False)
    manifest: dict[str, Any] = field(repr=False)


async def read_secret(api: ClusterApi, namespace: str, name: str, why: SecretAccess) -> SecretPayload:
    """Names must be validated. Raises ClusterError, whose text never quotes the Secret."""
    doing = f"read Secret {namespace}/{name}"
    path = f"/api/v1/namespaces/{namespace}/secrets/{name}"
    answer = await api.get(path, doing=doing, max_bytes=MAX_BYTES, secret=why)
    try:
        return _payload(decode_object(answer.body))
    except (TypeError, ValueError, AttributeError, RecursionError):
        pass  # not chained: a decoder's error may quote what it could not read
    raise ClusterError(f"cannot {doing}: the API server's answer is not a Secret; try again")


def _payload(obj: dict[str, Any]) -> SecretPayload:
    if obj.get("kind") != "Secret":
        raise TypeError
    data = obj.get("data") or {}
    values = {str(key): _decoded(value) for key, value in data.items()}
    return SecretPayload(obj.get("metadata") or {}, str(obj.get("type") or ""), obj.get("immutable") is True, values, obj)


def _decoded(value: Any) -> bytes | None:
    try:
        return base64.b64decode(str(value or ""), validate=True)
    except (binascii.Error, ValueError):
        return None
