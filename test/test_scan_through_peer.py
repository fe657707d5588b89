"""The scanner through the real kubernetes-mcp-server, on the real control plane: what it fills, and what it cannot tell."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from configuration.errors import KindNotServed, NotPermitted, UnknownTool, Unreachable
from controlplane.control_plane import ControlPlane
from controlplane.polling import wait_until
from controlplane.users import rule
from custom_resources import definition, installed
from kept_server import MakeScannerHere
from mcp_tools.mapped_loader import MappedLoader, loader_of_programs
from mcp_tools.server_connection import ServerConnection
from mcp_tools.settings import McpSettings
from scan_fixtures import ScannerProcess, query
from scanner.resource_parser import open_page

NAMESPACE = "through-a-peer"
CANARY = "canary-through-a-peer-5511"
MakeScanner = Callable[..., ScannerProcess]
KINDS = ("namespaces", "nodes", "pods", "deployments", "services", "configmaps")


@pytest.fixture(scope="module")
def corner(control_plane: ControlPlane) -> Iterator[str]:
    """A namespace with one object of each sort, secrets in all the usual places."""
    api, path = control_plane.api, f"/api/v1/namespaces/{NAMESPACE}"
    control_plane.create_namespace(NAMESPACE)
    env = [{"name": "DB_PASSWORD", "value": CANARY}, {"name": "LOG_LEVEL", "value": "info"}]
    control_plane.pods.create(NAMESPACE, "bare", spec={"containers": [{"name": "app", "image": "i:1", "env": env}]})
    applied = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({"password": CANARY})}
    api.post(f"{path}/configmaps", {"metadata": {"name": "settings", "annotations": applied}, "data": {"password": CANARY}})
    api.post(f"{path}/secrets", {"metadata": {"name": "login"}, "stringData": {"password": CANARY}})
    api.post(f"{path}/services", {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}], "selector": {"app": "web"}}})
    labels = {"app": "web"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "app", "image": "i:1", "args": ["--token=" + CANARY]}]},
    }
    api.post(
        f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments",
        {"metadata": {"name": "web"}, "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}},
    )

    def settled() -> bool:
        status = api.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/web").get("status", {})
        done = any(one.get("reason") == "NewReplicaSetAvailable" for one in status.get("conditions", ()))
        return bool(status.get("availableReplicas") == 2 and done)

    wait_until(settled, "the Deployment to be ready", timeout_seconds=30)
    yield NAMESPACE
    control_plane.delete_namespace(NAMESPACE)


@pytest.fixture
def through(peer: Path) -> dict[str, str]:
    return {"MCP_SERVER_URL": f"stdio://{peer}", "MCP_SERVER_NAME": "kubernetes-mcp-server"}


@pytest.fixture
def peer_loader(peer: Path, tmp_path: Path) -> Callable[..., MappedLoader]:
    def make(kubeconfig: Path, **limits: Any) -> MappedLoader:
        settings = McpSettings(
            mcp_server_url=f"stdio://{peer}", mcp_server_name="kubernetes-mcp-server", redaction_key_file=tmp_path / "key"
        )
        environment = {"KUBECONFIG": str(kubeconfig), "HOME": str(tmp_path)}
        loader = loader_of_programs(settings, environment=environment)
        assert isinstance(loader, MappedLoader)
        if not limits:
            return loader
        address = replace(loader._connection.address, **limits)
        return MappedLoader(settings, environment=environment, connection=ServerConnection(address))

    return make


def corner_rows(database: Path, kind: str) -> dict[str, Any]:
    """name -> row, without what no two servers or moments agree on: when it was seen, who wrote it, the compressed manifest."""
    where = "" if kind in ("namespaces", "nodes") else f" WHERE namespace = '{NAMESPACE}'"
    columns = [name for _, name, *_ in query(database, f'PRAGMA table_info("{kind}")')]
    rows = [dict(zip(columns, row, strict=True)) for row in query(database, f'SELECT * FROM "{kind}"{where}')]
    unsettled = {"first_seen_at", "manifest", "manager", "resource_version"}
    return {row["name"]: {k: v for k, v in row.items() if k not in unsettled} for row in rows}


def test_a_scan_through_it_fills_the_same_rows_as_our_own_server(
    scanner_process: MakeScanner,
    scanner_here: MakeScannerHere,
    control_plane: ControlPlane,
    corner: str,
    through: dict[str, str],
) -> None:
    ours, theirs = scanner_here(control_plane.kubeconfig), scanner_process(control_plane.kubeconfig, **through)
    theirs.settings["REDACTION_KEY_FILE"] = str(ours.key)
    kinds = [argument for kind in KINDS for argument in ("--kind", kind)]
    for _ in range(3):  # a controller may write between the two
        assert ours.report(*kinds)["exit_code"] == 0
        mark = control_plane.audit.mark()
        report = theirs.report(*kinds)
        assert report["exit_code"] == 0, report["stderr"]
        if all(corner_rows(ours.database, kind) == corner_rows(theirs.database, kind) for kind in KINDS[2:]):
            break
    for kind in KINDS:
        expected, found = corner_rows(ours.database, kind), corner_rows(theirs.database, kind)
        shared = expected.keys() & found.keys()  # other tests' namespaces come and go
        assert shared
        if kind not in ("namespaces", "nodes"):
            assert expected == found
    assert {f"{kind}": len(corner_rows(theirs.database, kind)) for kind in ("pods", "deployments", "services")} == {
        "pods": 3, "deployments": 1, "services": 1,
    }  # fmt: skip
    assert query(theirs.database, "SELECT DISTINCT uid <> '' AND resource_version <> '' FROM pods") == [(1,)]
    asked = control_plane.audit.requests(mark, user="admin")
    assert asked
    assert not [one for one in asked if one.resource == "secrets" or one.verb == "watch" or one.mutating]


def test_values_of_secrets_are_not_fetched_and_nothing_else_reveals_one(
    scanner_process: MakeScanner, control_plane: ControlPlane, corner: str, through: dict[str, str]
) -> None:
    scanner = scanner_process(control_plane.kubeconfig, **through)
    mark = control_plane.audit.mark()
    report = scanner.report("--kind", "secrets", "--kind", "configmaps", "--kind", "pods", "--kind", "deployments")
    (refused,) = [row for row in report["kinds"] if row["kind"] == "secrets"]
    assert "would hand out their values" in json.dumps(refused)
    assert report["exit_code"] == 3, "asked for by name, and not had"
    assert not control_plane.audit.requests(mark, where=lambda one: one.resource == "secrets" and one.user == "admin")
    packed = [
        row for kind in ("pods", "configmaps", "deployments") for row in query(scanner.database, f"SELECT manifest FROM {kind}")
    ]
    manifests = b"".join(zlib.decompress(manifest) for (manifest,) in packed)
    assert b"last-applied" in manifests
    stored = b"".join(path.read_bytes() for path in scanner.database.parent.glob("cache.db*"))
    for form in (CANARY, base64.b64encode(CANARY.encode()).decode()):
        for seen in (manifests, stored, report["stderr"].encode()):
            assert form.encode() not in seen


async def test_a_list_that_it_narrows_in_silence_is_taken_for_a_refusal(
    control_plane: ControlPlane, corner: str, peer_loader: Callable[..., MappedLoader]
) -> None:
    """It lists the context's namespace where all namespaces are refused: without a look, all other rows would be deleted."""
    user = control_plane.users.create(corner, "narrow", rules=[rule("pods")], cluster_rules=[rule("services")])
    async with peer_loader(user.kubeconfig) as loader:
        with pytest.raises(NotPermitted, match="pods is forbidden"):
            await loader.call("k8s_export_page", {"kind": "pods", "context": control_plane.context})
        page = open_page((await loader.call("k8s_export_page", {"kind": "pods", "namespace": corner})).text)
        assert len(page.objects) == 3
        everywhere = open_page((await loader.call("k8s_export_page", {"kind": "services"})).text)
        assert len(everywhere.objects) >= 2
        with pytest.raises(NotPermitted):
            await loader.call("k8s_export_page", {"kind": "nodes"})


async def test_a_kind_that_does_not_fit_one_answer_is_listed_by_namespaces(
    control_plane: ControlPlane, corner: str, fresh_namespace: str, peer_loader: Callable[..., MappedLoader]
) -> None:
    for namespace in (corner, fresh_namespace):
        large = {"metadata": {"name": f"large-in-{namespace}"}, "data": {"text": "word " * 60_000}}
        control_plane.api.post(f"/api/v1/namespaces/{namespace}/configmaps", large)
    names: list[str] = []
    token, pages = "", 0
    async with peer_loader(control_plane.kubeconfig, max_message_bytes=900_000) as loader:
        while pages == 0 or token:
            arguments = {"kind": "configmaps", "continue_token": token}
            page = open_page((await loader.call("k8s_export_page", arguments, timeout_seconds=60)).text)
            names += [json.loads(bytes(one))["metadata"]["name"] for one in page.objects]
            token, pages = page.continue_token, pages + 1
    assert pages > 1
    assert {"settings", f"large-in-{corner}", f"large-in-{fresh_namespace}"} <= set(names)
    assert names.count("settings") == 1


async def test_what_the_api_server_answers_arrives_as_its_own_class(
    control_plane: ControlPlane, peer_loader: Callable[..., MappedLoader], tmp_path: Path
) -> None:
    document = yaml.safe_load(control_plane.kubeconfig.read_text())
    document["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    dead = tmp_path / "dead"
    dead.write_text(yaml.safe_dump(document))
    async with peer_loader(dead) as loader:
        with pytest.raises(Unreachable, match="connection refused"):
            await loader.call("k8s_get_cluster_info", {"count": False})
    async with peer_loader(control_plane.kubeconfig) as loader:
        with pytest.raises(KindNotServed):
            await loader.call("k8s_export_page", {"kind": "gateways"})
        with pytest.raises(KindNotServed, match="neither built in nor a custom resource"):
            await loader.call("k8s_export_page", {"kind": "flavours.example.com"})
        with pytest.raises(UnknownTool, match="use our own server"):
            await loader.call("k8s_list_changes", {})
        info = (await loader.call("k8s_get_cluster_info", {"count": False})).structured
        assert info is not None
        assert info["cluster_uid"] == control_plane.api.get("/api/v1/namespaces/kube-system")["metadata"]["uid"]


def test_custom_resources_are_scanned_through_it_by_name(
    scanner_process: MakeScanner, control_plane: ControlPlane, corner: str, through: dict[str, str]
) -> None:
    with installed(control_plane.api, definition("kettles", "peer.example.com", "Kettle")):
        path = f"/apis/peer.example.com/v1/namespaces/{corner}/kettles"
        body = {"apiVersion": "peer.example.com/v1", "kind": "Kettle", "metadata": {"name": "tea"}, "spec": {"password": CANARY}}
        control_plane.api.post(path, body)
        scanner = scanner_process(control_plane.kubeconfig, SCANNER_EXTRA_KINDS="kettles.peer.example.com", **through)
        report = scanner.report("--kind", "kettles.peer.example.com")
    assert report["exit_code"] == 0, report["stderr"]
    assert query(scanner.database, 'SELECT namespace, name FROM "kettles.peer.example.com"') == [(corner, "tea")]
    assert CANARY not in str(query(scanner.database, 'SELECT spec FROM "kettles.peer.example.com"'))
