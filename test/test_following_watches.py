"""Watches that are held: nothing lost and nothing twice where one request follows another, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cache_fixtures import Clock
from controlplane.control_plane import ControlPlane
from fault_proxy import Fault, FaultProxy
from following_fixtures import Follower, told
from mcp_tools.change_buffer import KEPT_CHANGES
from mcp_tools.k8s_tools import following

FollowerFactory = Callable[..., Any]
CHURN_SECONDS = 8


@pytest.fixture
def proxy(control_plane: ControlPlane, tmp_path: Path) -> Iterator[FaultProxy]:
    """Between the server and the control plane; named after `follower`, it is closed first."""
    with FaultProxy(control_plane.kubeconfig, tmp_path / "proxy") as between:
        yield between


def write(cluster: ControlPlane, namespace: str, name: str, **data: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    cluster.api.create_or_replace(path, {"metadata": {"name": name}, "data": data})


def open_sockets() -> int:
    """Of this process."""
    found = 0
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found += str(link.readlink()).startswith("socket:")
    return found


async def until(check: Callable[[], object], what: str, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def churn(cluster: ControlPlane, namespace: str, *, per_second: float = 20) -> AsyncIterator[list[str]]:
    """ConfigMaps written one after the other, each once; gives the names of those that are there."""
    written: list[str] = []
    stop = asyncio.Event()

    async def run() -> None:
        while not stop.is_set():
            name = f"c{len(written):04d}"
            await asyncio.to_thread(write, cluster, namespace, name)
            written.append(name)
            await asyncio.sleep(1 / per_second)

    task = asyncio.create_task(run())
    try:
        yield written
    finally:
        stop.set()
        await task


async def follow(server: Follower, kind: str, namespace: str, cursor: str, seen: list[str], stop: asyncio.Event) -> str:
    while not stop.is_set():
        result = await server.poll_one(kind, namespace, cursor, wait_seconds=1, linger_seconds=0.1)
        assert result["error"] is None, result["error"]
        seen += [name for _, name in told(result) if name.startswith("c")]
        cursor = result["cursor"]
    return cursor


@pytest.mark.parametrize("broken", [False, True], ids=["requests that end", "connections that break"])
async def test_under_churn_nothing_is_lost_or_told_twice_where_one_request_follows_another(
    control_plane: ControlPlane, follower: FollowerFactory, fresh_namespace: str, proxy: FaultProxy, broken: bool
) -> None:
    server: Follower = await follower(proxy.kubeconfig, seconds=(1, 2))
    cursor = await server.cursor("configmaps", fresh_namespace)
    seen: list[str] = []
    stop = asyncio.Event()
    async with churn(control_plane, fresh_namespace) as written:
        following_it = asyncio.create_task(follow(server, "configmaps", fresh_namespace, cursor, seen, stop))
        if broken:
            await asyncio.sleep(1)
            proxy.inject(Fault(action="cut line", path="*/configmaps", verb="watch"))
        await asyncio.sleep(CHURN_SECONDS)
    await until(lambda: len(seen) >= len(written), "the last changes")
    stop.set()
    await following_it
    assert seen == written
    assert len(proxy.since(0, verb="watch")) >= 3


async def test_two_clients_in_different_places_each_get_everything(
    control_plane: ControlPlane, follower: FollowerFactory, fresh_namespace: str, proxy: FaultProxy
) -> None:
    server: Follower = await follower(proxy.kubeconfig)
    start = await server.cursor("configmaps", fresh_namespace)
    fast, slow, quick_cursor, slow_cursor = list[str](), list[str](), start, start
    for round_ in range(4):
        for number in range(3):
            await asyncio.to_thread(write, control_plane, fresh_namespace, f"c{round_}{number}")
        result = await server.poll_one("configmaps", fresh_namespace, quick_cursor)
        fast, quick_cursor = fast + told(result), result["cursor"]
        result = await server.poll_one("configmaps", fresh_namespace, slow_cursor, max_changes=2)
        slow, slow_cursor = slow + told(result), result["cursor"]
    while "c32" not in {name for _, name in slow}:
        result = await server.poll_one("configmaps", fresh_namespace, slow_cursor, max_changes=2, wait_seconds=5)
        slow, slow_cursor = slow + told(result), result["cursor"]
    fast += told(await server.poll_one("configmaps", fresh_namespace, quick_cursor))
    assert [name for _, name in slow if name.startswith("c")] == [f"c{r}{n}" for r in range(4) for n in range(3)]
    assert slow == fast
    assert len(proxy.since(0, verb="watch")) == 1


async def test_clients_too_far_apart_for_one_buffer_have_a_watch_each(
    control_plane: ControlPlane, follower: FollowerFactory, fresh_namespace: str
) -> None:
    server: Follower = await follower(control_plane.kubeconfig)
    start = await server.cursor("configmaps", fresh_namespace)
    count = KEPT_CHANGES + 100
    names = [f"c{number:04d}" for number in range(count)]

    def write_all() -> None:
        for name in names:
            write(control_plane, fresh_namespace, name)

    first = await server.poll_one("configmaps", fresh_namespace, start)
    await asyncio.to_thread(write_all)
    cursor = first["cursor"]
    seen = 0
    while seen < count:
        result = await server.poll_one("configmaps", fresh_namespace, cursor, wait_seconds=10, linger_seconds=0)
        cursor, seen = result["cursor"], seen + sum(name.startswith("c") for _, name in told(result))
    ahead = await server.poll_one("configmaps", fresh_namespace, cursor)
    behind = await server.poll_one("configmaps", fresh_namespace, start)
    if behind["error"]:  # the API server's own memory of events
        assert behind["error"]["type"] == "Expired"
    else:
        assert [name for _, name in told(behind) if name.startswith("c")] == names
    assert (ahead["changes"], ahead["error"]) == ([], None)
    await asyncio.to_thread(write, control_plane, fresh_namespace, "last")
    result = await server.poll_one("configmaps", fresh_namespace, ahead["cursor"], wait_seconds=10, linger_seconds=0)
    assert told(result) == [("ADDED", "last")]


async def test_a_watch_that_nobody_polls_is_closed_and_its_cursor_still_good(
    control_plane: ControlPlane, follower: FollowerFactory, fresh_namespace: str, proxy: FaultProxy
) -> None:
    server: Follower = await follower(proxy.kubeconfig, idle_seconds=0.3)
    start = await server.cursor("configmaps", fresh_namespace)
    waiting = asyncio.create_task(server.poll_one("configmaps", fresh_namespace, start, wait_seconds=1))
    await until(lambda: server.watches.held(control_plane.context) == 1, "the watch")
    result = await waiting
    assert server.watches.held(control_plane.context) == 1, "closed while somebody waited"
    await until(lambda: server.watches.held(control_plane.context) == 0, "the watch to be closed")
    await until(lambda: all(request.ended for request in proxy.since(0)), "the request to end")
    await asyncio.to_thread(write, control_plane, fresh_namespace, "meanwhile")
    result = await server.poll_one("configmaps", fresh_namespace, result["cursor"])
    assert ("ADDED", "meanwhile") in told(result)
    assert len(proxy.since(0, verb="watch")) == 2


async def test_a_server_that_ends_leaves_no_task_and_no_socket(
    control_plane: ControlPlane, follower: FollowerFactory, fresh_namespace: str
) -> None:
    before_tasks = asyncio.all_tasks()
    sockets = open_sockets()
    server: Follower = await follower(control_plane.kubeconfig)
    start = await server.cursor("configmaps", fresh_namespace)
    kinds = ("configmaps", "pods", "services", "endpointslices")
    await server.poll(*((kind, fresh_namespace, start) for kind in kinds))
    waiting = asyncio.create_task(server.poll(*((kind, fresh_namespace, start) for kind in kinds), wait_seconds=60))
    await asyncio.sleep(0.2)
    assert open_sockets() >= sockets + len(kinds)
    assert server.watches.held(control_plane.context) == len(kinds)
    await server.tools.close()
    await waiting
    await until(lambda: asyncio.all_tasks() == before_tasks, "all tasks to end")
    await until(lambda: open_sockets() <= sockets, "all sockets to be closed")


async def test_many_held_watches_leave_room_for_other_requests_and_there_is_a_bound(
    control_plane: ControlPlane, follower: FollowerFactory
) -> None:
    server: Follower = await follower(control_plane.kubeconfig, most_held=120)
    start = await server.cursor("configmaps")
    results = await server.poll(*(("configmaps", f"ns-{number}", start) for number in range(121)))
    assert [one["error"] for one in results[:120]] == [None] * 120
    assert results[120]["error"]["type"] == "TooMany"
    began = time.monotonic()
    await asyncio.wait_for(server.call("k8s_count_objects", counts=[{"kind": "nodes"}, {"kind": "pods"}]), 10)
    assert time.monotonic() - began < 5
    result = await server.poll_one("configmaps", "ns-120", start, hold=False)
    assert (result["error"], result["cursor"]) == (None, start)
    usage = await server.call("k8s_api_usage")
    assert usage["contexts"][control_plane.context]["watches_held"] == 120


@pytest.mark.parametrize("limit", [{"max_changes": 3}, {"max_bytes": 5000}], ids=["changes of one", "bytes of all"])
async def test_changes_that_nobody_takes_end_in_expired(
    control_plane: ControlPlane, follower: FollowerFactory, fresh_namespace: str, limit: dict[str, int]
) -> None:
    server: Follower = await follower(control_plane.kubeconfig, **limit)
    start = await server.cursor("configmaps", fresh_namespace)
    assert (await server.poll_one("configmaps", fresh_namespace, start))["error"] is None
    for number in range(5):
        await asyncio.to_thread(write, control_plane, fresh_namespace, f"n{number}", text="x" * 2000)

    async def polled() -> Any:
        return await server.poll_one("configmaps", fresh_namespace, start)

    result = await polled()
    deadline = time.monotonic() + 10
    while result["error"] is None and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
        result = await polled()
    assert result["error"]["type"] == "Expired"
    assert (result["changes"], result["cursor"]) == ([], start)
    assert server.watches.held(control_plane.context) == 0


async def test_a_connection_that_leads_nowhere_is_noticed_and_replaced(
    control_plane: ControlPlane, follower: FollowerFactory, fresh_namespace: str, proxy: FaultProxy
) -> None:
    server: Follower = await follower(proxy.kubeconfig, silence_seconds=2)
    start = await server.cursor("configmaps", fresh_namespace)
    first = await server.poll_one("configmaps", fresh_namespace, start)
    hanging = proxy.inject(Fault(action="hang", path="*/configmaps", verb="watch", count=None))
    await asyncio.to_thread(write, control_plane, fresh_namespace, "unheard")
    await until(lambda: hanging.hits, "the event to be held back")
    hanging.count = 0
    began = time.time()
    result = await server.poll_one("configmaps", fresh_namespace, first["cursor"], wait_seconds=20, linger_seconds=0)
    assert ("ADDED", "unheard") in told(result)
    assert result["heard_at"] >= began


async def test_a_kind_without_bookmarks_is_not_asked_for_again_and_again(
    follower: FollowerFactory, fresh_namespace: str, proxy: FaultProxy
) -> None:
    server: Follower = await follower(proxy.kubeconfig, silence_seconds=0.5)
    start = await server.cursor("events", fresh_namespace)
    result = await server.poll_one("events", fresh_namespace, start, wait_seconds=4)
    assert result["error"] is None
    assert len(proxy.since(0, verb="watch")) == 2


async def test_what_was_learned_of_a_kind_without_bookmarks_outlives_the_410_that_ends_its_watch(
    follower: FollowerFactory, fresh_namespace: str, proxy: FaultProxy
) -> None:
    server: Follower = await follower(proxy.kubeconfig, silence_seconds=0.5, seconds=(3, 3))
    start = await server.cursor("events", fresh_namespace)
    await server.poll_one("events", fresh_namespace, start, wait_seconds=2)
    proxy.inject(Fault(action="watch error", path="*/events", verb="watch", status=410))
    gone = await server.poll_one("events", fresh_namespace, start, wait_seconds=15)
    assert gone["error"]["type"] == "Expired"
    before = len(proxy.since(0, verb="watch"))
    again = await server.poll_one("events", fresh_namespace, await server.cursor("events", fresh_namespace), wait_seconds=4)
    assert again["error"] is None
    assert len(proxy.since(0, verb="watch")) == before + 1, "no second silence; and a request lasts twice as long"


async def test_a_watch_that_is_cut_off_at_once_every_time_is_opened_rarer_and_rarer(
    follower: FollowerFactory, fresh_namespace: str, proxy: FaultProxy
) -> None:
    server: Follower = await follower(proxy.kubeconfig)
    start = await server.cursor("configmaps", fresh_namespace)
    await server.poll_one("configmaps", fresh_namespace, start)
    for _ in range(20):
        proxy.cut_connections()
        await asyncio.sleep(0.15)
    assert len(proxy.since(0, verb="watch")) <= 3
    result = await server.poll_one("configmaps", fresh_namespace, start)
    assert result["error"] is None


async def test_between_two_requests_a_held_watch_is_not_live_and_a_catch_up_does_not_rely_on_it(
    control_plane: ControlPlane, follower: FollowerFactory, fresh_namespace: str, proxy: FaultProxy
) -> None:
    server: Follower = await follower(proxy.kubeconfig, most_held=1)
    start = await server.cursor("configmaps", fresh_namespace)
    first = await server.poll_one("configmaps", fresh_namespace, start)
    assert first["live"]
    for _ in range(20):
        proxy.cut_connections()
        await asyncio.sleep(0.1)
    await asyncio.to_thread(write, control_plane, fresh_namespace, "unheard")
    held = await server.poll_one("configmaps", fresh_namespace, first["cursor"], wait_seconds=0.5)
    assert (held["live"], told(held), held["error"]) == (False, [], None)
    caught_up = await server.poll_one("configmaps", fresh_namespace, held["cursor"], hold=False)
    assert ("ADDED", "unheard") in told(caught_up)
    after = await server.poll_one("configmaps", fresh_namespace, caught_up["cursor"])
    assert (after["live"], after["error"]) == (True, None)
    assert server.watches.held(control_plane.context) == 1, "in the place of the one that lags behind"
    before = len(proxy.since(0, verb="watch"))
    for _ in range(5):
        proxy.cut_connections()
        await asyncio.sleep(0.1)
    assert len(proxy.since(0, verb="watch")) == before, "cut off as often as the one before it"


async def test_a_held_watch_that_was_not_heard_for_longer_than_bookmarks_take_is_not_live(
    control_plane: ControlPlane, follower: FollowerFactory, fresh_namespace: str
) -> None:
    clock = Clock()
    server: Follower = await follower(control_plane.kubeconfig, clock=clock)
    start = await server.cursor("services", fresh_namespace)
    for seconds, live in ((0, True), (70, True), (10, False)):
        clock.now += seconds
        assert (await server.poll_one("services", fresh_namespace, start))["live"] is live
    caught_up = await server.poll_one("services", fresh_namespace, start, hold=False)
    assert (caught_up["heard_at"], caught_up["live"]) == (clock.now, True)


async def test_a_watch_without_bookmarks_is_live_while_it_stands_and_another_one_is_heard(
    control_plane: ControlPlane, follower: FollowerFactory, fresh_namespace: str, proxy: FaultProxy
) -> None:
    clock = Clock()
    server: Follower = await follower(proxy.kubeconfig, clock=clock, silence_seconds=0.5)
    start = await server.cursor("events", fresh_namespace)
    await server.poll_one("events", fresh_namespace, start, wait_seconds=2)
    clock.now += 1000
    assert not (await server.poll_one("events", fresh_namespace, start))["live"], "nothing shows that events get through"
    others = await server.cursor("services", fresh_namespace)
    while not (await server.poll_one("services", fresh_namespace, others, wait_seconds=0.2))["live"]:
        pass  # it has its half a second of silence, too
    before = len(proxy.since(0, verb="watch"))
    assert (await server.poll_one("events", fresh_namespace, start))["live"]
    assert len(proxy.since(0, verb="watch")) == before
    assert (await server.poll_one("events", fresh_namespace, start, hold=False))["heard_at"] == clock.now
    assert len(proxy.since(0, verb="watch")) > before, "as of now is what a watch of its own is for"
    proxy.inject(Fault(action="status", path="*/events", verb="watch", status=500, count=None))
    proxy.cut_connections()
    await asyncio.sleep(0.3)
    assert not (await server.poll_one("events", fresh_namespace, start))["live"], "it stands no more"


async def test_the_kernel_asks_the_other_end_of_every_connection_for_a_sign_of_life(
    control_plane: ControlPlane, follower: FollowerFactory
) -> None:
    server: Follower = await follower(control_plane.kubeconfig)
    before = probed_sockets()
    await server.cursor("services", "default")
    assert probed_sockets() == before + 1


def probed_sockets() -> int:
    """Of this process: those that the kernel will probe within 30 s (timer 2 of /proc/net/tcp, in hundredths of a second)."""
    inodes = set()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
    found = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        timer, when = fields[5].split(":")
        found += fields[9] in inodes and timer == "02" and int(when, 16) <= 3000
    return found


async def test_a_context_that_leads_to_another_cluster_now_is_not_answered_from_the_old_one(
    control_plane: ControlPlane, control_plane_factory: Callable[..., ControlPlane], follower: FollowerFactory, tmp_path: Path
) -> None:
    other = control_plane_factory(controllers=False)
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(control_plane.kubeconfig.read_text())
    server: Follower = await follower(kubeconfig)
    start = await server.cursor("configmaps", "default")
    await server.poll_one("configmaps", "default", start)
    text = other.kubeconfig.read_text().replace(other.context, control_plane.context)
    kubeconfig.write_text(text)
    await asyncio.to_thread(write, control_plane, "default", "of-the-old-cluster")
    try:
        await asyncio.sleep(0.5)
        result = await server.poll_one("configmaps", "default", start)
        assert all(name != "of-the-old-cluster" for _, name in told(result))
    finally:
        control_plane.api.delete("/api/v1/namespaces/default/configmaps/of-the-old-cluster")


async def test_a_kind_that_is_not_served_is_told_as_such(control_plane: ControlPlane, follower: FollowerFactory) -> None:
    server: Follower = await follower(control_plane.kubeconfig)
    result = await server.poll_one("gateways", "", "5", wait_seconds=5)
    assert (result["error"]["type"], result["error"]["status"]) == ("KindNotServed", 404)
    counted = await server.call("k8s_count_objects", counts=[{"kind": "gateways"}])
    assert counted["results"][0]["error"]["type"] == "KindNotServed"


async def test_an_api_server_that_went_back_in_time_is_noticed(
    control_plane: ControlPlane, follower: FollowerFactory, fresh_namespace: str
) -> None:
    server: Follower = await follower(control_plane.kubeconfig, seconds=(1, 1), silence_seconds=1.5)
    result = await server.poll_one("services", fresh_namespace, "99999999", wait_seconds=20)
    assert (result["error"]["type"], result["error"]["reason"]) == ("Expired", "WentBack")
    start = await server.cursor("services", fresh_namespace)
    result = await server.poll_one("services", fresh_namespace, start, wait_seconds=4)
    assert result["error"] is None


def test_the_tools_say_that_they_are_for_programs() -> None:
    assert all("For programs, not for models" in declared.description and declared.bulk for declared in following.TOOLS)
