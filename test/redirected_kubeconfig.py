"""A kubeconfig whose current context leads elsewhere: to a proxy, with the credentials as they were."""

from __future__ import annotations

import base64
import json
import ssl
from pathlib import Path
from typing import Any

import yaml


def upstream_of(document: dict[str, Any], folder: Path) -> tuple[str, ssl.SSLContext]:
    """Address of the API server of the current context, and what to trust it by."""
    cluster = _current_cluster(document)
    data = cluster.get("certificate-authority-data")
    ca = base64.b64decode(data).decode() if data else (folder / cluster["certificate-authority"]).read_text()
    context = ssl.create_default_context(cadata=ca)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return str(cluster["server"]), context


def redirected(document: dict[str, Any], address: str, ca: bytes) -> str:
    """The kubeconfig as text, with another address and CA for the cluster of its current context."""
    changed = json.loads(json.dumps(document))
    cluster = _current_cluster(changed)
    cluster.pop("certificate-authority", None)
    cluster |= {"server": address, "certificate-authority-data": base64.b64encode(ca).decode()}
    return yaml.safe_dump(changed, sort_keys=False)


def _current_cluster(document: dict[str, Any]) -> dict[str, Any]:
    context = next(one["context"] for one in document["contexts"] if one["name"] == document["current-context"])
    found: dict[str, Any] = next(one["cluster"] for one in document["clusters"] if one["name"] == context["cluster"])
    return found
