"""How a context's connection follows what is on disk: failed logins, rotated authorities, contexts that go away and come back."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
import weakref
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from certificate_authority import issue
from configuration.errors import ConfigurationError, Unauthorized, Unreachable
from controlplane.control_plane import ControlPlane
from mcp_tools.current_connection import LOGIN_FAILED_SECONDS, CurrentConnection
from mcp_tools.discovery import Discovery
from mcp_tools.k8s_api import ClusterApi, Clusters
from mcp_tools.kubeconfig import KubeConfigSource
from test_following_watches import FollowerFactory, open_sockets, until, write

API_VERSION = "client.authentication.k8s.io/v1"
PLUGIN = """#!/bin/sh
echo run >> {folder}/runs
cat {folder}/says >&2
cat {folder}/credential 2>/dev/null
"""
"""Fails without a credential; what it says is on stderr."""


class Login:
    """A kubeconfig whose user is a credential plugin that fails until `succeed()`."""

    def __init__(self, folder: Path, cluster: ControlPlane) -> None:
        self.folder = folder
        self.kubeconfig = folder / "config"
        self.plugin = folder / "login"
        self.authority = folder / "ca.crt"
        self._token = cluster.admin_token
        self.plugin.write_text(PLUGIN.format(folder=folder))
        self.plugin.chmod(0o700)
        self.authority.write_bytes(cluster.ca_file.read_bytes())
        self.says("the session has expired")
        user = {"exec": {"apiVersion": API_VERSION, "command": "./login", "interactiveMode": "Never"}}
        server = {"server": cluster.server, "certificate-authority": "ca.crt"}
        self.kubeconfig.write_text(yaml.safe_dump(kubeconfig({"sso": user}, server)))

    @property
    def environment(self) -> dict[str, str]:
        return dict(os.environ) | {"KUBECONFIG": str(self.kubeconfig)}

    @property
    def runs(self) -> int:
        return len((self.folder / "runs").read_text().splitlines())

    def says(self, text: str) -> None:
        (self.folder / "says").write_text(text)

    def succeed(self, **status: str) -> None:
        document = {"apiVersion": API_VERSION, "kind": "ExecCredential", "status": {"token": self._token, **status}}
        (self.folder / "credential").write_text(json.dumps(document))

    def fail(self) -> None:
        (self.folder / "credential").unlink()


def kubeconfig(users: dict[str, Any], cluster: dict[str, Any]) -> dict[str, Any]:
    """A context for each user, of the user's name."""
    return {
        "current-context": next(iter(users)),
        "clusters": [{"name": "one", "cluster": cluster}],
        "contexts": [{"name": name, "context": {"cluster": "one", "user": name}} for name in users],
        "users": [{"name": name, "user": user} for name, user in users.items()],
    }


@pytest.fixture
def login(control_plane: ControlPlane, tmp_path: Path) -> Login:
    return Login(tmp_path, control_plane)


# --- failed logins ---


async def test_many_requests_at_once_share_one_failed_login(login: Login, caplog: pytest.LogCaptureFixture) -> None:
    clusters = Clusters(login.environment)
    asked = [clusters.api().get("/version", doing="ask") for _ in range(38)]
    errors = await asyncio.gather(*asked, return_exceptions=True)
    assert {(type(error), str(error)) for error in errors} == {(Unauthorized, str(errors[0]))}
    assert "'login' of kubeconfig user 'sso' failed with exit code 1" in str(errors[0])
    assert login.runs == 1
    assert caplog.text.count("the session has expired") == 1


async def test_a_failed_login_is_tried_again_after_some_seconds(login: Login) -> None:
    now = 1000.0
    connection = CurrentConnection("sso", KubeConfigSource(login.environment), login.environment, "test", clock=lambda: now)
    runs = []
    for seconds in (0.0, LOGIN_FAILED_SECONDS - 1, 1.0, LOGIN_FAILED_SECONDS - 1):
        now += seconds
        with pytest.raises(Unauthorized, match="failed with exit code 1"):
            await connection.get()
        runs.append(login.runs)
    assert runs == [1, 1, 2, 2]
    login.succeed()
    with pytest.raises(Unauthorized):
        await connection.get()
    now += 1
    assert await connection.get() is await connection.get()
    assert login.runs == 3
    await connection.close()


@pytest.mark.parametrize("file", ["config", "ca.crt", "login"])
async def test_a_failed_login_is_forgotten_at_once_when_a_file_that_it_uses_changes(login: Login, file: str) -> None:
    connection = CurrentConnection("sso", KubeConfigSource(login.environment), login.environment, "test", clock=lambda: 0)
    with pytest.raises(Unauthorized):
        await connection.get()
    login.succeed()
    with pytest.raises(Unauthorized):
        await connection.get()
    changed = login.folder / file
    changed.write_text(changed.read_text() + "\n")
    await connection.get()
    assert login.runs == 2
    await connection.close()


async def test_what_a_plugin_says_is_logged_once_until_it_has_succeeded(login: Login, caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    connection = CurrentConnection("sso", KubeConfigSource(login.environment), login.environment, "test", clock=lambda: now)

    async def said(text: str) -> list[str]:
        nonlocal now
        now += LOGIN_FAILED_SECONDS
        caplog.clear()
        login.says(text)
        with contextlib.suppress(Unauthorized):
            await connection.get()
        return [message.partition(" says: ")[2] for message in caplog.messages]

    assert await said("log in\nlog in\n") == ["log in"]
    assert await said("log in\n\x1b[31mwith code 7\x1b[0m") == ["with code 7"]
    assert await said("log in\nwith code 8") == ["with code 8"]
    login.succeed(expirationTimestamp="2020-01-01T00:00:00Z")
    assert await said("log in") == []
    login.fail()
    assert await said("log in") == ["log in"]
    assert len(await said("\n".join(f"line {number}" for number in range(5000)))) == 100
    assert await said("yet another") == []
    await connection.close()


async def test_a_process_that_a_plugin_leaves_behind_is_not_waited_for(login: Login, caplog: pytest.LogCaptureFixture) -> None:
    login.succeed()
    script = login.plugin.read_text().replace("#!/bin/sh\n", f"#!/bin/sh\nsleep 60 >/dev/null &\necho $! > {login.folder}/left\n")
    login.plugin.write_text(script)
    connection = CurrentConnection("sso", KubeConfigSource(login.environment), login.environment, "test")
    await connection.get()
    os.kill(int((login.folder / "left").read_text()), signal.SIGTERM)  # raises ProcessLookupError when it has ended
    assert "the session has expired" in caplog.text
    await connection.close()


# --- files that come and go ---


def names(clusters: Clusters) -> list[str]:
    return [entry.name for entry in clusters.contexts()]


@pytest.mark.parametrize("there_first", [True, False])
def test_a_file_of_several_that_goes_away_and_comes_is_read_again(tmp_path: Path, there_first: bool) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text(yaml.safe_dump(kubeconfig({"a": {}}, {"server": "https://a"})))
    text = yaml.safe_dump(kubeconfig({"b": {}}, {"server": "https://b"}))
    clusters = Clusters({"KUBECONFIG": f"{first}:{second}"})
    if there_first:
        second.write_text(text)
        assert names(clusters) == ["a", "b"]
        second.unlink()
    assert names(clusters) == ["a"]
    second.write_text(text)
    assert names(clusters) == ["a", "b"]


def test_an_unchanged_kubeconfig_is_not_read_again(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text(yaml.safe_dump(kubeconfig({"a": {}}, {"server": "https://a"})))
    source = KubeConfigSource({"KUBECONFIG": f"{file}:{tmp_path / 'missing'}"})
    assert source.current() is source.current()


class Pod:
    """The folder of a service account, with files that are exchanged as the kubelet does it: all at once, behind a link."""

    def __init__(self, folder: Path, cluster: ControlPlane) -> None:
        self.folder = folder
        address = urlsplit(cluster.server)
        self.environment = {
            "HOME": str(folder),
            "KUBERNETES_SERVICE_HOST": str(address.hostname),
            "KUBERNETES_SERVICE_PORT": str(address.port),
        }
        for name in ("token", "ca.crt", "namespace"):
            (folder / name).symlink_to(f"..data/{name}")

    def mount(self, version: str, **files: str) -> None:
        target = self.folder / version
        target.mkdir()
        for name, text in files.items():
            (target / name.replace("_", ".")).write_text(text)
        (self.folder / "..new").symlink_to(version)
        (self.folder / "..new").rename(self.folder / "..data")


async def test_a_rotated_authority_of_a_service_account_is_loaded(control_plane: ControlPlane, tmp_path: Path) -> None:
    pod, good = Pod(tmp_path, control_plane), control_plane.ca_file.read_text()
    pod.mount("1", token=control_plane.admin_token, ca_crt=issue("another", authority=True).pem, namespace="payments")
    clusters = Clusters(pod.environment, service_account=tmp_path)
    assert clusters.own_namespace("in-cluster") == "payments"
    api = clusters.api()
    with pytest.raises(Unreachable, match="certificate"):
        await api.get("/api/v1/nodes", doing="list nodes")
    pod.mount("2", token=control_plane.admin_token, ca_crt=good, namespace="payments")
    assert (await api.get("/api/v1/nodes", doing="list nodes")).status == 200
    await clusters.close()


async def test_a_service_account_that_is_mounted_late_is_used_at_once(control_plane: ControlPlane, tmp_path: Path) -> None:
    pod, good = Pod(tmp_path, control_plane), control_plane.ca_file.read_text()
    pod.mount("1", ca_crt=good)
    clusters = Clusters(pod.environment, service_account=tmp_path)
    with pytest.raises(ConfigurationError, match="service account cannot be used"):
        await clusters.api().get("/version", doing="ask")
    pod.mount("2", ca_crt=good, token=control_plane.admin_token)
    assert (await clusters.api().get("/version", doing="ask")).status == 200
    await clusters.close()


# --- contexts that go away ---


class TwoContexts:
    """`stays` and `leaves`, both of the test cluster."""

    def __init__(self, file: Path, cluster: ControlPlane) -> None:
        self.file = file
        self._server = {"server": cluster.server, "certificate-authority": str(cluster.ca_file)}
        self._token = cluster.admin_token
        self.give("stays", "leaves")

    def give(self, *contexts: str, **tokens: str) -> None:
        users = {name: {"token": tokens.get(name, self._token)} for name in contexts}
        self.file.write_text(yaml.safe_dump(kubeconfig(users, self._server)))


@pytest.fixture
def contexts(control_plane: ControlPlane, tmp_path: Path) -> TwoContexts:
    return TwoContexts(tmp_path / "config", control_plane)


async def test_a_context_that_goes_away_is_given_up_when_its_last_request_has_ended(
    control_plane: ControlPlane, contexts: TwoContexts, fresh_namespace: str
) -> None:
    clusters, discovery = Clusters({"KUBECONFIG": str(contexts.file)}), Discovery()
    await discovery.served(clusters.api("stays"))
    path, query = f"/api/v1/namespaces/{fresh_namespace}/configmaps", [("watch", "1"), ("timeoutSeconds", 60)]
    before = open_sockets()

    async def follow(api: ClusterApi) -> None:
        await discovery.served(api)
        async with api.stream(path, doing="follow", query=query) as stream:
            contexts.give("stays")
            assert names(clusters) == ["stays"]
            assert list(clusters.used()) == ["stays"]
            with pytest.raises(ConfigurationError, match="was taken out of the kubeconfig"):
                await api.get("/version", doing="ask")
            await asyncio.to_thread(write, control_plane, fresh_namespace, "late")
            async for piece in stream.pieces:
                if b'"late"' in piece:
                    return

    asked = asyncio.create_task(follow(clusters.api("leaves")))
    gone = weakref.ref(clusters.api("leaves"))
    await asked
    del asked
    await until(lambda: open_sockets() <= before, "the sockets of the context to be closed")
    await until(lambda: gc.collect() >= 0 and gone() is None, "the context to be forgotten")

    contexts.give("stays", "leaves")
    await discovery.served(clusters.api("leaves"))
    assert clusters.api("leaves").usage.requests, "what it serves was not asked again"
    await clusters.close()


async def test_a_context_that_goes_away_is_closed_with_the_server_though_a_request_is_under_way(contexts: TwoContexts) -> None:
    clusters = Clusters({"KUBECONFIG": str(contexts.file)})
    before, api = open_sockets(), clusters.api("leaves")
    query = [("watch", "1"), ("timeoutSeconds", 60)]
    async with api.stream("/api/v1/nodes", doing="follow", query=query):
        assert open_sockets() > before
        contexts.give("stays")
        clusters.contexts()
        await clusters.close()
        await until(lambda: open_sockets() <= before, "the sockets to be closed")


async def test_watches_of_a_context_that_goes_away_end_soon_after(
    contexts: TwoContexts, follower: FollowerFactory, fresh_namespace: str
) -> None:
    server = await follower(contexts.file, idle_seconds=0.5)
    await server.call("k8s_export_page", context="stays", kind="nodes", limit=10)
    before = open_sockets()
    cursor = await server.cursor("configmaps", fresh_namespace)
    watches = [{"kind": "configmaps", "namespace": fresh_namespace, "cursor": cursor}]
    await server.call("k8s_list_changes", context="leaves", watches=watches)
    gone = weakref.ref(server.clusters.api("leaves"))
    contexts.give("stays")
    await server.call("k8s_export_page", context="stays", kind="nodes", limit=10)
    await until(lambda: server.watches.held("leaves") == 0, "the watches to end")
    await until(lambda: open_sockets() <= before, "their connections to be closed")
    await until(lambda: gc.collect() >= 0 and gone() is None, "the context to be forgotten")


async def test_a_context_that_comes_back_is_followed_with_its_new_credentials(
    contexts: TwoContexts, follower: FollowerFactory, fresh_namespace: str
) -> None:
    server = await follower(contexts.file)
    cursor = await server.cursor("configmaps", fresh_namespace)
    watches = [{"kind": "configmaps", "namespace": fresh_namespace, "cursor": cursor}]
    answer = await server.call("k8s_list_changes", context="leaves", watches=watches)
    assert answer["results"][0]["error"] is None
    contexts.give("stays")
    await server.call("k8s_export_page", context="stays", kind="nodes", limit=10)
    contexts.give("stays", "leaves", leaves="no-token")
    answer = await server.call("k8s_list_changes", context="leaves", watches=watches)
    assert answer["results"][0]["error"]["type"] == Unauthorized.__name__
