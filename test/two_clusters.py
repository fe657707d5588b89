"""`both`: the simulated cluster of the demo and the real control plane, asked alike, so that their answers can be compared."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml

from controlplane.api_client import PATCH_TYPES
from controlplane.control_plane import ControlPlane
from demo_fixtures import DemoServer
from server_fixtures import ToolClient

Json = dict[str, Any]
_numbers = itertools.count()


@dataclass
class Side:
    """One of the two, and a namespace of the test's own in it. `call` gives the HTTP status and the decoded body."""

    name: str
    namespace: str
    tools: ToolClient
    server: str
    pool: urllib3.PoolManager = field(repr=False)

    def call(self, method: str, path: str, body: Any = None, kind: str = "") -> tuple[int, Json]:
        """`{}` in the path is the namespace; `kind` of a patch is merge, strategic, json or apply."""
        headers = self.pool.headers | ({"Content-Type": PATCH_TYPES.get(kind, "application/json")} if body is not None else {})
        data = json.dumps(body).encode() if body is not None else None
        url = self.server + path.replace("{}", self.namespace)
        response = self.pool.request(method, url, body=data, headers=headers)
        return response.status, json.loads(response.data)

    def done(self, method: str, path: str, body: Any = None, kind: str = "") -> Json:
        """Of a call that succeeds."""
        status, answer = self.call(method, path, body, kind)
        assert status < 300, (self.name, answer)
        return answer


@pytest.fixture
def both(
    demo_server: DemoServer, control_plane: ControlPlane, tool_client: Callable[..., ToolClient], tmp_path: Path
) -> Iterator[tuple[Side, Side]]:
    """(simulated, real)."""
    namespace = f"alike-{next(_numbers)}"
    sides = (
        _side("simulated", demo_server.kubeconfig, namespace, tool_client, tmp_path),
        _side("real", control_plane.kubeconfig, namespace, tool_client, tmp_path),
    )
    for side in sides:
        side.done("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    yield sides
    for side in sides:
        side.call("DELETE", f"/api/v1/namespaces/{namespace}")


def _side(name: str, kubeconfig: Path, namespace: str, tool_client: Callable[..., ToolClient], folder: Path) -> Side:
    document = yaml.safe_load(Path(kubeconfig).read_text())
    context = next(one["context"] for one in document["contexts"] if one["name"] == document["current-context"])
    cluster = next(one["cluster"] for one in document["clusters"] if one["name"] == context["cluster"])
    user = next(one["user"] for one in document["users"] if one["name"] == context["user"])
    authority = cluster.get("certificate-authority") or str(folder / f"{name}.crt")
    if "certificate-authority-data" in cluster:
        Path(authority).write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
    headers = {"Authorization": f"Bearer {user['token']}", "User-Agent": "both/1", "Accept": "application/json"}
    pool = urllib3.PoolManager(ca_certs=authority, retries=False, timeout=20, headers=headers)
    return Side(name, namespace, tool_client(kubeconfig), cluster["server"], pool)
