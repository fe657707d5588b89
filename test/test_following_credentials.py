"""Watches are held longer than many credentials live: the next request carries the new one, and nobody is cut off."""

from __future__ import annotations

import asyncio
import json
import stat
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from configuration.errors import Unauthorized
from controlplane.control_plane import ControlPlane
from controlplane.users import rule
from following_fixtures import Follower, told

FollowerFactory = Callable[..., Any]
PLUGIN = """#!/bin/sh
echo run >> {folder}/runs
exec cat {folder}/credential
"""


def write(cluster: ControlPlane, namespace: str, name: str) -> None:
    cluster.api.post(f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": name}})


def kubeconfig_with(cluster: ControlPlane, folder: Path, user: dict[str, Any]) -> Path:
    document = yaml.safe_load(cluster.kubeconfig.read_text())
    document["users"][0]["user"] = user
    file = folder / "config"
    file.write_text(yaml.safe_dump(document))
    return file


def print_credential(folder: Path, token: str, seconds: float) -> None:
    expires = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    status = {"token": token, "expirationTimestamp": expires}
    document = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    (folder / "credential").write_text(json.dumps(document))


def with_plugin(cluster: ControlPlane, folder: Path) -> Path:
    script = folder / "login"
    script.write_text(PLUGIN.format(folder=folder))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(script), "interactiveMode": "Never"}
    return kubeconfig_with(cluster, folder, {"exec": plugin})


def runs(folder: Path) -> int:
    return len((folder / "runs").read_text().splitlines())


async def test_a_watch_is_held_over_several_lives_of_a_plugins_token(
    control_plane: ControlPlane, follower: FollowerFactory, fresh_namespace: str, tmp_path: Path
) -> None:
    """Each token lives 4 s and each request 2 to 3: they are renewed at the next request, not for each."""
    accounts = [control_plane.users.create(fresh_namespace, f"u{n}", rules=[rule("configmaps", "services")]) for n in range(4)]
    kubeconfig = with_plugin(control_plane, tmp_path)
    print_credential(tmp_path, accounts[0].token, 4)
    server: Follower = await follower(kubeconfig, seconds=(2, 3))
    cursor = await server.cursor("configmaps", fresh_namespace)
    mark = await asyncio.to_thread(control_plane.audit.mark)
    seen: list[str] = []
    for number, account in enumerate(accounts):
        print_credential(tmp_path, account.token, 4)
        await asyncio.to_thread(write, control_plane, fresh_namespace, f"c{number}")
        until = time.monotonic() + 4.5
        while time.monotonic() < until:
            result = await server.poll_one("configmaps", fresh_namespace, cursor, wait_seconds=1, linger_seconds=0)
            assert result["error"] is None, result["error"]
            seen += [name for _, name in told(result) if name.startswith("c")]
            cursor = result["cursor"]
    assert seen == [f"c{number}" for number in range(4)]
    requests = await asyncio.to_thread(control_plane.audit.requests, mark, verb="watch")
    users = list(dict.fromkeys(one.user for one in requests if one.namespace == fresh_namespace))
    assert len(users) >= 3, "new requests carry the new token"
    assert {one.status for one in requests if one.namespace == fresh_namespace} <= {200, None}
    assert runs(tmp_path) <= 10


async def test_a_token_file_that_rotates_is_read_again_and_the_held_stream_is_not_cut(
    control_plane: ControlPlane, follower: FollowerFactory, fresh_namespace: str, tmp_path: Path
) -> None:
    first, second = (control_plane.users.create(fresh_namespace, name, rules=[rule("configmaps")]) for name in ("a", "b"))
    token = tmp_path / "token"
    token.write_text(first.token)
    server: Follower = await follower(kubeconfig_with(control_plane, tmp_path, {"tokenFile": "token"}))
    cursor = await server.cursor("configmaps", fresh_namespace)
    result = await server.poll_one("configmaps", fresh_namespace, cursor)
    mark = await asyncio.to_thread(control_plane.audit.mark)
    replacement = tmp_path / "new"
    replacement.write_text(second.token)
    replacement.rename(token)
    await server.cursor("configmaps", fresh_namespace)
    await asyncio.to_thread(write, control_plane, fresh_namespace, "after")
    result = await server.poll_one("configmaps", fresh_namespace, result["cursor"], wait_seconds=10, linger_seconds=0)
    assert told(result) == [("ADDED", "after")]
    requests = await asyncio.to_thread(
        control_plane.audit.requests,
        mark,
        where=lambda one: one.namespace == fresh_namespace and one.user_agent.startswith("k8s-mcp"),
    )
    assert [(one.verb, one.user) for one in requests] == [("list", second.name)]


async def test_a_token_file_that_is_away_for_a_moment_breaks_nothing(
    control_plane: ControlPlane, follower: FollowerFactory, fresh_namespace: str, tmp_path: Path
) -> None:
    user = control_plane.users.create(fresh_namespace, "a", rules=[rule("configmaps")])
    token = tmp_path / "token"
    token.write_text(user.token)
    server: Follower = await follower(kubeconfig_with(control_plane, tmp_path, {"tokenFile": "token"}))
    await server.cursor("configmaps", fresh_namespace)
    token.unlink()
    await server.cursor("configmaps", fresh_namespace)


async def test_client_certificates_that_are_replaced_are_loaded_again(
    control_plane: ControlPlane, follower: FollowerFactory, tmp_path: Path
) -> None:
    """The new file is no certificate: that it is complained about shows that it was read."""
    certificate, key = tmp_path / "client.crt", tmp_path / "client.key"
    certificate.write_bytes((control_plane.folder / "server.crt").read_bytes())
    key.write_bytes((control_plane.folder / "server.key").read_bytes())
    user = {"client-certificate": "client.crt", "client-key": "client.key", "token": control_plane.admin_token}
    server: Follower = await follower(kubeconfig_with(control_plane, tmp_path, user))
    await server.cursor("nodes")
    certificate.write_text("no certificate")
    with pytest.raises(AssertionError, match="certificate or key in the kubeconfig cannot be used"):
        await server.cursor("nodes")


async def test_an_expired_credential_is_unauthorized_with_what_to_do_and_ends_no_watch_of_others(
    control_plane: ControlPlane, follower: FollowerFactory, fresh_namespace: str
) -> None:
    expired = control_plane.users.with_expired_token()
    server: Follower = await follower(expired.kubeconfig)
    (result,) = await server.poll(("configmaps", fresh_namespace, "5"), wait_seconds=10)
    assert (result["error"]["type"], result["error"]["status"]) == (Unauthorized.__name__, 401)
    assert "log in again, or check the kubeconfig user" in result["error"]["message"]
    assert expired.token not in json.dumps(result)
    assert server.watches.held(control_plane.context) == 0


async def test_a_token_refused_when_a_watch_is_opened_is_renewed_once(
    control_plane: ControlPlane, follower: FollowerFactory, fresh_namespace: str, tmp_path: Path
) -> None:
    kubeconfig = with_plugin(control_plane, tmp_path)
    print_credential(tmp_path, control_plane.admin_token, 3600)
    server: Follower = await follower(kubeconfig)
    cursor = await server.cursor("configmaps", fresh_namespace)
    await server.clusters.close()
    print_credential(tmp_path, "not-a-token", 3600)
    result = await server.poll_one("configmaps", fresh_namespace, cursor)
    assert result["error"]["type"] == "Unauthorized"
    assert runs(tmp_path) == 3
    print_credential(tmp_path, control_plane.admin_token, 3600)
    result = await server.poll_one("configmaps", fresh_namespace, cursor)
    assert result["error"] is None
    assert runs(tmp_path) == 4
