"""Records of Helm releases, written as Helm writes them (helm.sh/helm/v3 pkg/storage/driver)."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

from controlplane.api_client import ApiClient

TIME = "2026-05-01T10:00:00.123456789Z"


def release(
    namespace: str, name: str, *, revision: int = 1, status: str = "deployed", manifest: str = "", notes: str = "",
    config: dict[str, Any] | None = None, values: dict[str, Any] | None = None, description: str = "Install complete",
) -> dict[str, Any]:  # fmt: skip
    chart = {
        "metadata": {"name": name, "version": "1.2.3", "appVersion": "4.5"},
        "values": values or {},
        "templates": [],
        "files": [],
    }
    info = {
        "first_deployed": TIME, "last_deployed": TIME, "deleted": "", "description": description,
        "status": status, "notes": notes,
    }  # fmt: skip
    return {
        "name": name, "info": info, "chart": chart, "config": config or {}, "manifest": manifest, "hooks": [],
        "version": revision, "namespace": namespace,
    }  # fmt: skip


def packed(content: bytes) -> str:
    """JSON in gzip in base64."""
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def store(api: ApiClient, record: dict[str, Any], *, payload: str | None = None, kind: str = "secrets") -> None:
    """Base64 once more for a Secret, as for all of its data."""
    name, revision = record["name"], record["version"]
    labels = {
        "owner": "helm", "name": name, "version": str(revision), "status": record["info"]["status"], "createdAt": "1777629600",
    }  # fmt: skip
    metadata = {"name": f"sh.helm.release.v1.{name}.v{revision}", "labels": labels}
    content = packed(json.dumps(record).encode()) if payload is None else payload
    body: dict[str, Any] = {"metadata": metadata, "data": {"release": content}}
    if kind == "secrets":
        body = {
            "metadata": metadata,
            "type": "helm.sh/release.v1",
            "data": {"release": base64.b64encode(content.encode()).decode()},
        }
    api.post(f"/api/v1/namespaces/{record['namespace']}/{kind}", body)
