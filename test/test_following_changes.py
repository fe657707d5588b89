"""`k8s_list_changes` on a real API server: what it tells, in which order, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controlplane.control_plane import ControlPlane
from controlplane.users import rule
from fault_proxy import Fault, FaultProxy
from following_fixtures import Follower, told
from mcp_tools.redaction import REDACTOR_VERSION, Redactor
from server_fixtures import KEY

FollowerFactory = Callable[..., Any]


def config_maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def write(cluster: ControlPlane, namespace: str, name: str, **data: str) -> None:
    cluster.api.create_or_replace(config_maps(namespace), {"metadata": {"name": name}, "data": data})


async def in_thread(do: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    return await asyncio.to_thread(do, *arguments, **named)


async def test_what_happened_since_is_told_in_order_and_once(
    control_plane: ControlPlane, follower: FollowerFactory, fresh_namespace: str
) -> None:
    server: Follower = await follower(control_plane.kubeconfig)
    start = await server.cursor("configmaps", fresh_namespace)
    for text in ("1", "2"):
        await in_thread(write, control_plane, fresh_namespace, "a", text=text)
    await in_thread(control_plane.api.delete, f"{config_maps(fresh_namespace)}/a")
    first = await server.poll_one("configmaps", fresh_namespace, start)
    assert [one for one in told(first) if one[1] == "a"] == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    assert (first["error"], first["more"]) == (None, False)
    second = await server.poll_one("configmaps", fresh_namespace, first["cursor"])
    assert (second["changes"], second["cursor"]) == ([], first["cursor"])
    again = await server.poll_one("configmaps", fresh_namespace, start)
    assert again["changes"] == first["changes"]


async def test_objects_are_whole_but_for_secrets_and_managed_fields_and_say_who_wrote_them(
    control_plane: ControlPlane, follower: FollowerFactory, fresh_namespace: str
) -> None:
    server: Follower = await follower(control_plane.kubeconfig)
    start = await server.cursor("configmaps", fresh_namespace)
    await in_thread(
        control_plane.kubectl, "create", "configmap", "b", "-n", fresh_namespace,
        "--from-literal=DB_PASSWORD=cnry-in-a-watch", "--from-literal=colour=red",
    )  # fmt: skip
    answer = await server.call(
        "k8s_list_changes", watches=[{"kind": "configmaps", "namespace": fresh_namespace, "cursor": start}]
    )
    assert (answer["redactor_version"], answer["key_id"]) == (REDACTOR_VERSION, Redactor(KEY).key_id)
    assert "cnry-in-a-watch" not in json.dumps(answer)
    change = next(one for one in answer["results"][0]["changes"] if one["object"]["metadata"]["name"] == "b")
    assert change["manager"] == "kubectl-create"
    expected = control_plane.api.get(f"{config_maps(fresh_namespace)}/b")
    expected["metadata"].pop("managedFields")
    assert change["object"] == Redactor(KEY).redact_object(expected)


async def test_secrets_are_watched_without_their_values(
    control_plane: ControlPlane, follower: FollowerFactory, fresh_namespace: str, tmp_path: Path
) -> None:
    with FaultProxy(control_plane.kubeconfig, tmp_path / "proxy") as proxy:
        server: Follower = await follower(proxy.kubeconfig)
        start = await server.cursor("secrets", fresh_namespace)
        secret = {"metadata": {"name": "s"}, "type": "Opaque", "stringData": {"user": "cnry-user", "pass": "cnry-pass"}}
        await in_thread(control_plane.api.post, f"/api/v1/namespaces/{fresh_namespace}/secrets", secret)
        await in_thread(control_plane.api.delete, f"/api/v1/namespaces/{fresh_namespace}/secrets/s")
        result = await server.poll_one("secrets", fresh_namespace, start)
        asked = {request.accept for request in proxy.since(0, path="*/secrets")}
    assert told(result) == [("ADDED", "s"), ("DELETED", "s")]
    assert result["changes"][0]["object"]["data"] == {"pass": None, "user": None}
    assert result["cursor"] not in ("", start)
    assert "cnry-" not in json.dumps(result)
    assert all("as=Table" in accept for accept in asked)


async def test_a_poll_waits_for_the_first_change_and_gathers_those_that_come_with_it(
    control_plane: ControlPlane, follower: FollowerFactory, fresh_namespace: str
) -> None:
    server: Follower = await follower(control_plane.kubeconfig)
    start = await server.cursor("configmaps", fresh_namespace)
    quiet = await server.cursor("services", fresh_namespace)
    (first, _) = await server.poll(("configmaps", fresh_namespace, start), ("services", fresh_namespace, quiet))
    waiting = asyncio.create_task(
        server.poll(
            ("configmaps", fresh_namespace, first["cursor"]), ("services", fresh_namespace, quiet),
            wait_seconds=30, linger_seconds=2,
        )
    )  # fmt: skip
    began = time.monotonic()
    for name in "abc":
        await in_thread(write, control_plane, fresh_namespace, name)
    busy, other = await waiting
    assert time.monotonic() - began < 20
    assert {("ADDED", name) for name in "abc"} <= set(told(busy))
    assert (other["changes"], other["error"]) == ([], None)


async def test_a_poll_without_changes_ends_when_it_said_it_would(
    control_plane: ControlPlane, follower: FollowerFactory, fresh_namespace: str
) -> None:
    server: Follower = await follower(control_plane.kubeconfig)
    start = await server.cursor("services", fresh_namespace)
    began = time.time()
    result = await server.poll_one("services", fresh_namespace, start, wait_seconds=0.5)
    assert 0.5 <= time.time() - began < 10
    assert (result["changes"], result["cursor"], result["error"]) == ([], start, None)
    assert began <= result["heard_at"] <= time.time()


async def test_an_answer_is_bounded_and_the_rest_comes_with_the_next_one(
    control_plane: ControlPlane, follower: FollowerFactory, fresh_namespace: str
) -> None:
    server: Follower = await follower(control_plane.kubeconfig)
    start = await server.cursor("configmaps", fresh_namespace)
    other = await server.cursor("services", fresh_namespace)
    await server.poll(("configmaps", fresh_namespace, start), ("services", fresh_namespace, other))
    for number in range(7):
        await in_thread(write, control_plane, fresh_namespace, f"n{number}", text="x" * 40_000)
    service = {"metadata": {"name": "small"}, "spec": {"ports": [{"port": 80}]}}
    await in_thread(control_plane.api.post, f"/api/v1/namespaces/{fresh_namespace}/services", service)
    seen: list[tuple[str, str]] = []
    small: list[tuple[str, str]] = []
    for _ in range(20):
        large, light = await server.poll(
            ("configmaps", fresh_namespace, start), ("services", fresh_namespace, other), wait_seconds=1, linger_seconds=0,
            max_bytes=100_000, max_changes=4,
        )  # fmt: skip
        assert len(told(large)) + len(told(light)) <= 4
        assert len(json.dumps(large)) < 150_000
        seen += told(large)
        small += told(light)
        start, other = large["cursor"], light["cursor"]
    assert [name for _, name in seen if name.startswith("n")] == [f"n{number}" for number in range(7)]
    assert small == [("ADDED", "small")]


async def test_a_catch_up_leaves_nothing_open(
    control_plane: ControlPlane, follower: FollowerFactory, fresh_namespace: str, tmp_path: Path
) -> None:
    with FaultProxy(control_plane.kubeconfig, tmp_path / "proxy") as proxy:
        server: Follower = await follower(proxy.kubeconfig)
        start = await server.cursor("configmaps", fresh_namespace)
        await in_thread(write, control_plane, fresh_namespace, "a")
        result = await server.poll_one("configmaps", fresh_namespace, start, hold=False)
        assert ("ADDED", "a") in told(result)
        assert server.watches.held(control_plane.context) == 0
        await in_thread(write, control_plane, fresh_namespace, "b")
        result = await server.poll_one("configmaps", fresh_namespace, result["cursor"], hold=False)
        assert told(result) == [("ADDED", "b")]
        watched = proxy.since(0, verb="watch")
        assert len(watched) == 2
        deadline = time.monotonic() + 10
        while not all(request.ended for request in watched):
            assert time.monotonic() < deadline, "a watch is still open"
            await asyncio.sleep(0.02)


async def test_each_watch_fails_for_itself_and_says_why(
    control_plane: ControlPlane, follower: FollowerFactory, fresh_namespace: str
) -> None:
    user = control_plane.users.create(fresh_namespace, "reader", rules=[rule("configmaps", "services")])
    server: Follower = await follower(user.kubeconfig)
    start = await server.cursor("configmaps", fresh_namespace)
    await in_thread(write, control_plane, fresh_namespace, "a")
    began = time.monotonic()
    good, forbidden, unknown, misnamed = await server.poll(
        ("configmaps", fresh_namespace, start), ("pods", fresh_namespace, start), ("unicorns", "", start), ("pods", "No!", start),
        wait_seconds=60, linger_seconds=0.2,
    )  # fmt: skip
    assert time.monotonic() - began < 30
    assert ("ADDED", "a") in told(good)
    assert (forbidden["error"]["type"], forbidden["error"]["status"]) == ("NotPermitted", 403)
    assert f"pods in namespace {fresh_namespace}" in forbidden["error"]["message"]
    assert (unknown["error"]["type"], misnamed["error"]["type"]) == ("UnknownKind", "InvalidArguments")
    assert [one["cursor"] for one in (forbidden, unknown, misnamed)] == [start] * 3
    after = await server.poll_one("configmaps", fresh_namespace, good["cursor"])
    assert (after["changes"], after["error"]) == ([], None)


@pytest.mark.parametrize("cursor", ["", "0", "00", "a b", "1&watch=0", "x" * 65])
async def test_a_cursor_that_means_everything_or_nothing_is_refused(
    control_plane: ControlPlane, follower: FollowerFactory, cursor: str
) -> None:
    server: Follower = await follower(control_plane.kubeconfig)
    with pytest.raises(AssertionError, match="must match"):
        await server.poll_one("configmaps", "", cursor)


async def test_a_cursor_that_is_too_old_is_expired_whichever_way_the_api_server_says_so(
    control_plane_factory: Callable[..., ControlPlane], follower: FollowerFactory, tmp_path: Path
) -> None:
    own = control_plane_factory(controllers=False, watch_cache_sizes="configmaps#0")
    with FaultProxy(own.kubeconfig, tmp_path / "proxy") as proxy:
        server: Follower = await follower(proxy.kubeconfig)
        start = await server.cursor("configmaps")
        for number in range(3):
            write(own, "default", f"n{number}")
        own.expire_history()
        result = await server.poll_one("configmaps", "", start, wait_seconds=20)
        assert (result["error"]["type"], result["error"]["status"]) == ("Expired", 410)
        assert result["cursor"] == start
        proxy.inject(Fault(action="status", path="*/configmaps", verb="watch", status=410))
        fresh = await server.cursor("configmaps")
        result = await server.poll_one("configmaps", "", fresh, wait_seconds=20)
        assert result["error"]["type"] == "Expired"
        result = await server.poll_one("configmaps", "", fresh)
        assert (result["changes"], result["error"]) == ([], None)


async def test_an_api_server_that_is_away_is_told_and_comes_back(
    control_plane_factory: Callable[..., ControlPlane], follower: FollowerFactory
) -> None:
    own = control_plane_factory(controllers=False)
    server: Follower = await follower(own.kubeconfig)
    start = await server.cursor("configmaps")
    await server.poll_one("configmaps", "", start)
    own.api_server.stop()
    began = time.monotonic()
    result = await server.poll_one("configmaps", "", start, wait_seconds=50)
    assert time.monotonic() - began < 20
    assert result["error"]["type"] == "Unreachable"
    own.api_server.start()
    result = await server.poll_one("configmaps", "", start)
    assert result["error"] is None or result["error"]["type"] == "Expired"
    start = await server.cursor("configmaps")
    await in_thread(write, own, "default", "a")
    assert told(await server.poll_one("configmaps", "", start)) == [("ADDED", "a")]


async def test_what_an_error_quotes_is_redacted(control_plane: ControlPlane, follower: FollowerFactory) -> None:
    server: Follower = await follower(control_plane.kubeconfig)
    odd = "password=cnry-quoted-in-an-error"
    polled = await server.call("k8s_list_changes", watches=[{"kind": odd, "cursor": "1"}])
    counted = await server.call("k8s_count_objects", counts=[{"kind": odd}])
    for (result,) in (polled["results"], counted["results"]):
        assert result["error"]["type"] == "UnknownKind"
        assert "‹redacted:" in result["error"]["message"]
        assert "cnry-quoted" not in str(result)
