"""Access to the API: kubeconfig files, credentials and their renewal, guards."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from configuration.errors import ClusterError, ConfigurationError, NotPermitted
from controlplane.control_plane import ControlPlane
from mcp_tools.api_connection import renewal_time
from mcp_tools.k8s_api import METADATA_LIST, TABLE, Clusters
from mcp_tools.kubeconfig import load_kubeconfig
from server_fixtures import ToolClient


def config(name: str, server: str = "https://127.0.0.1:1", **more: Any) -> dict[str, Any]:
    return {
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "clusters": [{"name": name, "cluster": {"server": server}}],
        "users": [{"name": name, "user": {"token": f"token-of-{name}"}}],
    } | more


def write(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return path


def test_several_files_merge_as_kubectl_merges_them(tmp_path: Path) -> None:
    first = write(tmp_path / "a" / "config", config("one"))
    second = config("two") | {
        "clusters": [{"name": "two", "cluster": {"server": "https://two", "certificate-authority": "ca.crt"}}]
    }
    second["contexts"].append({"name": "one", "context": {"cluster": "two", "user": "two"}})
    other = write(tmp_path / "b" / "config", second)
    loaded = load_kubeconfig({"KUBECONFIG": f"{first}:{tmp_path / 'missing'}:{other}"})
    assert loaded is not None
    assert loaded.current == "one"
    assert [(entry.name, entry.cluster) for entry in loaded.contexts()] == [("one", "one"), ("two", "two")]
    assert loaded.document["clusters"][1]["cluster"]["certificate-authority"] == str(tmp_path / "b" / "ca.crt")
    assert "token-of" not in repr(loaded)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "is empty"),
        ("a: [1", "not valid YAML at line"),
        ("just text", "is not a kubeconfig"),
        ("contexts: {}\nclusters: 5", "must be a list"),
        ("contexts: []", "no current-context is set"),
        ("current-context: gone", "the current-context 'gone' does not exist"),
        ("current-context: x\ncontexts: [{name: x, context: {cluster: y}}]", "which has no server address"),
        ("current-context: x\ncontexts: [{name: x, context: y}]", "`context` of 'x' in contexts must be a mapping"),
        ("users: [{name: x, user: y}]", "`user` of 'x' in users must be a mapping"),
        (yaml.safe_dump(config("x", "443")), "server address that cannot be used"),
        (yaml.safe_dump(config("x", "https://u:p@h")), "server address that cannot be used"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_named_with_what_is_wrong(tmp_path: Path, content: str, complaint: str) -> None:
    file = write(tmp_path / "config", content)
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        Clusters({"KUBECONFIG": str(file)}).api()
    assert str(file) in str(caught.value)


def test_yaml_errors_do_not_quote_the_file(tmp_path: Path) -> None:
    file = write(tmp_path / "config", "users:\n- name: x\n  user: {token: cnry-token: [}\n")
    with pytest.raises(ConfigurationError) as caught:
        Clusters({"KUBECONFIG": str(file)}).api()
    assert "cnry-token" not in str(caught.value)


def test_no_kubeconfig_at_all_says_how_to_name_one(tmp_path: Path) -> None:
    for environment in ({"KUBECONFIG": str(tmp_path / "nope")}, {"HOME": str(tmp_path)}):
        with pytest.raises(ConfigurationError, match="set KUBECONFIG"):
            Clusters(environment).api()
    in_pod = Clusters({"HOME": str(tmp_path), "KUBERNETES_SERVICE_HOST": "10.96.0.1"})
    assert [entry.name for entry in in_pod.contexts()] == ["in-cluster"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "config", config("x"))
    file.chmod(0)
    with pytest.raises(ConfigurationError, match="cannot be read: Permission denied"):
        Clusters({"KUBECONFIG": str(file)}).api()


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/secrets",
        "/api/v1/namespaces/x/secrets",
        "/api/v1/namespaces/x/secrets/s",
        "/api/v1/namespaces/x/secrets/s/status",
        "/api/v1/namespaces/secrets/secrets",
        "/api/v1/namespaces/secrets/secrets/secrets",
        "/api/v1/namespaces/namespaces/secrets",
        "/api/v1/watch/secrets",
        "/api/v1/watch/namespaces/x/secrets",
        "/api/v1/watch/namespaces/x/secrets/s",
        "/apis/example.org/v1/namespaces/x/secrets",
        "/api/v1/namespaces/x/services/https:kubernetes:443/proxy/api/v1/secrets",
        "/api/v1/nodes/n/proxy/secrets",
        "/api/v1//secrets",
        "//api/v1/secrets",
        "/api/v1/secrets/",
        "/api/v1/namespaces//secrets",
        "/api/v1/namespaces/x//secrets",
        "/api/v1/namespaces/x/configmaps/../secrets",
        "/api/v1/namespaces/x/./secrets",
        "/api/v1/pods/../secrets",
        "/api/v1/namespaces/x/%73ecrets",
        "/api/v1/namespaces/x/%2573ecrets",
        "/api/v1/namespaces/x%2Fsecrets",
        "/api/v1/namespaces/x\\secrets",
        "/api/v1/namespaces/x/sec\nrets",
        "/api/v1/namespaces/x/secrets?limit=1",
        "/api/v1/namespaces/x/secrets#",
        "api/v1/secrets",
        "",
    ],
)
def test_secrets_can_only_be_read_as_a_table_or_as_metadata(tmp_path: Path, path: str) -> None:
    api = Clusters({"KUBECONFIG": str(write(tmp_path / "config", config("x")))}).api()
    for accept in (
        "application/json",
        "application/yaml",
        "*/*",
        "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,*/*",
    ):
        with pytest.raises(NotPermitted, match="never fetches the payload of Secrets"):
            asyncio.run(api.get(path, doing="read a secret", accept=accept))
    assert TABLE != METADATA_LIST


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/namespaces/secrets",
        "/api/v1/namespaces/secrets/finalize",
        "/api/v1/namespaces/secrets/configmaps",
        "/api/v1/namespaces/secrets/pods/secrets",
        "/api/v1/namespaces/x/configmaps/secrets",
        "/api/v1/namespaces/x/pods/secrets/log",
        "/api/v1/nodes/secrets",
        "/apis/apps/v1/namespaces/secrets/deployments/secrets",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:controller:secrets",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/secrets",
        "/api", "/apis", "/version",
    ],
)  # fmt: skip
def test_what_is_only_named_secrets_is_read_as_everything_else(
    control_plane: ControlPlane, fresh_namespace: str, path: str
) -> None:
    """The API server may well not have it: the answer is its own then, and no refusal of ours."""

    async def refusal() -> str | None:
        clusters = Clusters({"KUBECONFIG": str(control_plane.kubeconfig)})
        try:
            await clusters.api().get(path, doing="read what is no Secret")
        except ClusterError as error:
            return error.reason
        finally:
            await clusters.close()
        return None

    assert asyncio.run(refusal()) != "SecretPayload"


def test_a_config_map_and_a_namespace_may_be_called_secrets(control_plane: ControlPlane) -> None:
    namespace = control_plane.create_namespace("secrets")
    control_plane.kubectl("create", "configmap", "secrets", "-n", namespace, "--from-literal=a=b")

    async def ask(path: str) -> bytes:
        clusters = Clusters({"KUBECONFIG": str(control_plane.kubeconfig)})
        try:
            return (await clusters.api().get(path, doing="read what is no Secret")).body
        finally:
            await clusters.close()

    assert b'"a":"b"' in asyncio.run(ask("/api/v1/namespaces/secrets/configmaps/secrets"))
    assert b'"phase":' in asyncio.run(ask("/api/v1/namespaces/secrets"))
    control_plane.delete_namespace(namespace)


PLUGIN = """#!/bin/sh
echo run >> {log}
exec cat {credential}
"""


@pytest.fixture
def plugin(control_plane: ControlPlane, tmp_path: Path) -> Callable[..., Path]:
    """A kubeconfig whose user is a credential plugin that prints the file `credential`."""

    def make(credential: dict[str, Any] | str) -> Path:
        write_credential(tmp_path, credential)
        script = write(tmp_path / "bin" / "login", PLUGIN.format(log=tmp_path / "runs", credential=tmp_path / "credential"))
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        document = yaml.safe_load(control_plane.kubeconfig.read_text())
        for user in document["users"]:
            user["user"] = {
                "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "bin/login", "interactiveMode": "Never"}
            }
        return write(tmp_path / "config", document)

    return make


def write_credential(folder: Path, status: dict[str, Any] | str) -> None:
    document = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    write(folder / "credential", status if isinstance(status, str) else json.dumps(document))


def runs(folder: Path) -> int:
    return len((folder / "runs").read_text().splitlines())


def get_nodes(clusters: Clusters, times: int, between: Callable[[], None] = lambda: None) -> list[int]:
    async def run() -> list[int]:
        statuses = []
        try:
            for _ in range(times):
                statuses.append((await clusters.api().get("/api/v1/nodes", doing="list nodes")).status)
                between()
        finally:
            await clusters.close()
        return statuses

    return asyncio.run(run())


def test_a_credential_plugin_is_run_once_and_again_when_the_api_server_refuses_its_token(
    control_plane: ControlPlane, plugin: Callable[..., Path], tmp_path: Path
) -> None:
    token = control_plane.admin_token
    clusters = Clusters(dict(os.environ) | {"KUBECONFIG": str(plugin({"token": token}))})
    assert get_nodes(clusters, 3) == [200, 200, 200]
    assert runs(tmp_path) == 1

    write_credential(tmp_path, {"token": "stale"})
    clusters = Clusters(dict(os.environ) | {"KUBECONFIG": str(tmp_path / "config")})
    api = clusters.api()

    async def renewed() -> int:
        with pytest.raises(Exception, match="401"):
            await api.get("/api/v1/nodes", doing="list nodes")
        write_credential(tmp_path, {"token": token})
        status = (await api.get("/api/v1/nodes", doing="list nodes")).status
        await clusters.close()
        return status

    assert asyncio.run(renewed()) == 200


def test_a_kubeconfig_that_impersonates_has_the_rights_of_whom_it_impersonates(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    document = yaml.safe_load(Path(control_plane.kubeconfig).read_text())
    document["users"][0]["user"]["as"] = "nobody-in-particular"
    client = ToolClient({"KUBECONFIG": str(write(tmp_path / "config", document))})
    error = client.error("k8s_list_pods")
    assert error["type"] == "NotPermitted"
    assert "nobody-in-particular" in error["message"]
    document["users"][0]["user"]["as-groups"] = ["a", "b"]
    client = ToolClient({"KUBECONFIG": str(write(tmp_path / "other", document))})
    assert "as-groups" in client.error("k8s_list_pods")["message"]


@pytest.mark.parametrize("plugin", ["aws", {"command": "true", "env": [{"name": "A"}]}, {"command": "true", "args": "x"}])
def test_a_malformed_plugin_entry_is_named(plugin: object, tmp_path: Path) -> None:
    document = config("x")
    document["users"][0]["user"] = {"exec": plugin}
    error = ToolClient({"KUBECONFIG": str(write(tmp_path / "config", document))}).error("k8s_list_pods")
    assert error["type"] == "ConfigurationError"
    assert "exec must be a mapping" in error["message"]


def test_a_token_about_to_expire_is_renewed_before_it_does(
    control_plane: ControlPlane, plugin: Callable[..., Path], tmp_path: Path
) -> None:
    short = {"token": control_plane.admin_token, "expirationTimestamp": "2020-01-01T00:00:00Z"}
    clusters = Clusters(dict(os.environ) | {"KUBECONFIG": str(plugin(short))})
    assert get_nodes(clusters, 3) == [200, 200, 200]
    assert runs(tmp_path) == 3
    long = short | {"expirationTimestamp": "2099-01-01T00:00:00Z"}
    write_credential(tmp_path, long)
    clusters = Clusters(dict(os.environ) | {"KUBECONFIG": str(tmp_path / "config")})
    assert get_nodes(clusters, 3) == [200, 200, 200]
    assert runs(tmp_path) == 4


@pytest.mark.parametrize(("life", "used"), [(3600, 3570), (60, 45), (20, 15), (0, 0), (-10, -10)])
def test_a_credential_is_renewed_before_its_end_but_not_for_every_request(life: float, used: float) -> None:
    assert renewal_time(1000 + life, 1000) == 1000 + used


@pytest.mark.parametrize(
    ("credential", "type_"),
    [
        ("no json", "Unauthorized"),
        ({}, "Unauthorized"),
        ('{"apiVersion": "v0", "status": {"token": "cnry"}}', "ConfigurationError"),
    ],
)
def test_a_plugin_that_gives_nothing_usable_is_named_and_not_quoted(
    plugin: Callable[..., Path], tool_client: Callable[..., ToolClient], credential: Any, type_: str
) -> None:
    error = tool_client(plugin(credential)).error("k8s_list_nodes")
    assert error["type"] == type_
    assert "credential plugin 'login'" in error["message"]
    assert "cnry" not in error["message"]


def test_a_plugin_that_is_not_installed_says_so(
    plugin: Callable[..., Path], tool_client: Callable[..., ToolClient], tmp_path: Path
) -> None:
    kubeconfig = plugin({"token": "x"})
    (tmp_path / "bin" / "login").unlink()
    error = tool_client(kubeconfig).error("k8s_list_nodes")
    assert error["type"] == "ConfigurationError"
    assert "cannot be started" in error["message"]


def test_a_kubeconfig_that_changes_is_read_again(control_plane: ControlPlane, tmp_path: Path) -> None:
    good = control_plane.kubeconfig.read_text()
    file = write(tmp_path / "config", good.replace(control_plane.server, "https://127.0.0.1:1"))
    clusters = Clusters({"KUBECONFIG": str(file)})

    async def run() -> int:
        with pytest.raises(Exception, match="does not answer"):
            await clusters.api().get("/version", doing="ask")
        file.write_text(good)
        status = (await clusters.api().get("/version", doing="ask")).status
        await clusters.close()
        return status

    assert asyncio.run(run()) == 200


def test_the_api_server_going_away_and_coming_back_is_survived(control_plane_factory: Callable[..., ControlPlane]) -> None:
    own = control_plane_factory(controllers=False)
    clusters = Clusters({"KUBECONFIG": str(own.kubeconfig)})

    async def run() -> int:
        await clusters.api().get("/version", doing="ask")
        with own.api_server.stopped():
            with pytest.raises(Exception, match="does not answer"):
                await clusters.api().get("/version", doing="ask")
        status = (await clusters.api().get("/version", doing="ask")).status
        await clusters.close()
        return status

    assert asyncio.run(run()) == 200


def test_many_requests_at_once_share_one_login(control_plane: ControlPlane, plugin: Callable[..., Path], tmp_path: Path) -> None:
    clusters = Clusters(dict(os.environ) | {"KUBECONFIG": str(plugin({"token": control_plane.admin_token}))})

    async def run() -> set[int]:
        answers = await asyncio.gather(*(clusters.api().get("/api/v1/nodes", doing="list nodes") for _ in range(20)))
        await clusters.close()
        return {answer.status for answer in answers}

    assert asyncio.run(run()) == {200}
    assert runs(tmp_path) == 1
