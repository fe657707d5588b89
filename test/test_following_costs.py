"""What keeping up costs the API server, by its own audit log and by our count."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from controlplane.control_plane import ControlPlane
from controlplane.users import rule
from fault_proxy import FaultProxy
from following_fixtures import Follower, told
from mcp_tools.held_watch import SILENCE_SECONDS, WATCH_SECONDS

FollowerFactory = Callable[..., Any]
CHANGES_A_SECOND = 20
CHURN_SECONDS = 10
KINDS = ("configmaps", "services", "pods", "events")


@contextmanager
def churn(cluster: ControlPlane, namespace: str) -> Iterator[list[str]]:
    """20 writes a second, from a thread."""
    written: list[str] = []
    stop = threading.Event()

    def run() -> None:
        path = f"/api/v1/namespaces/{namespace}/configmaps"
        while not stop.wait(1 / CHANGES_A_SECOND):
            name = f"c{len(written):04d}"
            cluster.api.post(path, {"metadata": {"name": name}})
            written.append(name)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield written
    finally:
        stop.set()
        thread.join()


async def test_however_much_changes_a_kind_costs_one_request_in_ten_minutes(
    control_plane: ControlPlane, follower: FollowerFactory, fresh_namespace: str
) -> None:
    user = control_plane.users.create(fresh_namespace, "follower", rules=[rule("*", groups=("*",))])
    server: Follower = await follower(user.kubeconfig)
    cursors = {kind: await server.cursor(kind, fresh_namespace) for kind in KINDS}
    mark = control_plane.audit.mark()
    seen: list[str] = []
    polls = 0
    with churn(control_plane, fresh_namespace) as written:
        end = time.monotonic() + CHURN_SECONDS
        while time.monotonic() < end or len(seen) < len(written):
            assert time.monotonic() < end + 20
            asked = [(kind, fresh_namespace, cursor) for kind, cursor in cursors.items()]
            for result in await server.poll(*asked, wait_seconds=1, linger_seconds=0.1):
                assert result["error"] is None
                cursors[result["kind"]] = result["cursor"]
                seen += [name for _, name in told(result) if name.startswith("c")]
            polls += 1
            if time.monotonic() > end:
                break
    requests = await asyncio.to_thread(control_plane.audit.requests, mark, user=user.name)
    assert Counter((one.verb, one.resource) for one in requests) == {("watch", kind): 1 for kind in KINDS}
    assert len(seen) == len(set(seen))
    assert seen == written[: len(seen)]
    assert len(seen) > CHURN_SECONDS
    assert polls > CHURN_SECONDS / 2


def test_in_an_hour_that_is_at_most_twelve_requests_with_one_more_for_a_silence() -> None:
    in_an_hour = math.ceil(3600 / WATCH_SECONDS[0])
    while_learning = math.ceil((3600 - SILENCE_SECONDS) / WATCH_SECONDS[0]) + 1
    assert max(in_an_hour, while_learning) <= 12


async def test_what_is_counted_is_what_the_api_server_saw(
    control_plane: ControlPlane, follower: FollowerFactory, fresh_namespace: str, tmp_path: Path
) -> None:
    user = control_plane.users.create(
        fresh_namespace, "counted", rules=[rule("*", verbs=("*",), groups=("*",))], cluster_rules=[rule("nodes", "namespaces")]
    )
    with FaultProxy(user.kubeconfig, tmp_path / "proxy") as proxy:
        server: Follower = await follower(proxy.kubeconfig)
        assert (await server.call("k8s_api_usage"))["contexts"] == {}
        mark = await asyncio.to_thread(control_plane.audit.mark)
        started = time.time()
        cursor = await server.cursor("configmaps", fresh_namespace)
        await server.poll(("configmaps", fresh_namespace, cursor), ("services", fresh_namespace, cursor))
        await server.call("k8s_count_objects", counts=[{"kind": "pods", "namespace": fresh_namespace}, {"kind": "nodes"}])
        await server.call("k8s_permitted_namespaces", kinds=["pods"], namespaces=[fresh_namespace])
        api = server.clusters.api()
        path = f"/api/v1/namespaces/{fresh_namespace}/configmaps"
        await api.send("POST", path, {"metadata": {"name": "made"}, "data": {"text": "x" * 50_000}}, doing="make")
        await api.get(f"{path}/made", doing="look")
        merge = "application/merge-patch+json"
        await api.send("PATCH", f"{path}/made", {"data": {"a": "b"}}, doing="change", content_type=merge)
        await api.send("DELETE", f"{path}/made", {}, doing="remove")
        result = await server.poll_one("configmaps", fresh_namespace, cursor, wait_seconds=10)
        while len(result["changes"]) < 3:
            result = await server.poll_one("configmaps", fresh_namespace, cursor, wait_seconds=1)
        usage = await server.call("k8s_api_usage")
        sent = sum(request.bytes_sent for request in proxy.requests)
    counted = usage["contexts"][control_plane.context]
    requests = await asyncio.to_thread(control_plane.audit.requests, mark, user=user.name)
    assert counted["requests"] == Counter(one.verb for one in requests)
    assert set(counted["requests"]) == {"get", "list", "watch", "create", "patch", "delete"}
    assert counted["watches_held"] == 2
    assert sent <= counted["bytes_received"] <= sent + 1000 * len(requests)
    assert usage["started_at"] <= started
    other: Follower = await follower(control_plane.kubeconfig)
    assert (await other.call("k8s_api_usage"))["server_id"] != usage["server_id"]


async def test_answers_are_counted_as_they_came_compressed(
    control_plane: ControlPlane, follower: FollowerFactory, fresh_namespace: str
) -> None:
    path = f"/api/v1/namespaces/{fresh_namespace}/configmaps"
    for number in range(4):  # the API server compresses from 128 KiB on
        control_plane.api.post(path, {"metadata": {"name": f"n{number}"}, "data": {"text": "x" * 50_000}})
    server: Follower = await follower(control_plane.kubeconfig)
    api = server.clusters.api()
    body = (await api.get(path, doing="list")).body
    assert len(body) > 200_000
    assert 500 < api.usage.bytes_received < len(body) / 10
