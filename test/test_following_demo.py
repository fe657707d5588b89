"""The simulated cluster answers the tools for keeping up as a real API server does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from demo_fixtures import DemoServer
from following_fixtures import Follower, Json
from kinds.registry import KINDS

FollowerFactory = Callable[..., Any]


async def keys_of(server: Follower, kind: str) -> tuple[dict[str, str], str]:
    """uid -> resourceVersion, and the list's own."""
    versions: dict[str, str] = {}
    page = {"continue": None}
    while page["continue"] != "":
        page = await server.call("k8s_export_page", kind=kind, limit=1000, continue_token=page["continue"] or "")
        versions |= {one["metadata"]["uid"]: one["metadata"]["resourceVersion"] for one in page["objects"]}
    return versions, page["resource_version"]


def apply(known: dict[str, str], changes: list[Json]) -> None:
    for change in changes:
        metadata = change["object"]["metadata"]
        if change["type"] == "DELETED":
            known.pop(metadata["uid"], None)
        else:
            known[metadata["uid"]] = metadata["resourceVersion"]


async def test_what_follows_from_a_list_is_what_the_next_list_says(demo_server: DemoServer, follower: FollowerFactory) -> None:
    server: Follower = await follower(demo_server.kubeconfig, seconds=(2, 3))
    kinds = ("pods", "events", "replicasets", "configmaps")
    known, cursors = {}, {}
    for kind in kinds:
        known[kind], cursors[kind] = await keys_of(server, kind)
    told = 0
    end = time.monotonic() + 8
    while time.monotonic() < end:
        for result in await server.poll(*((kind, "", cursors[kind]) for kind in kinds), wait_seconds=2, linger_seconds=0.2):
            assert result["error"] is None, result["error"]
            apply(known[result["kind"]], result["changes"])
            cursors[result["kind"]] = result["cursor"]
            told += len(result["changes"])
    assert told > 0
    for kind in kinds:
        end = time.monotonic() + 30
        while time.monotonic() < end:  # it goes on moving: until a list and what was followed are of the same moment
            listed, _version = await keys_of(server, kind)
            result = await server.poll_one(kind, "", cursors[kind])
            apply(known[kind], result["changes"])
            cursors[kind] = result["cursor"]
            if listed == known[kind]:
                break
            await asyncio.sleep(0.05)
        assert listed == known[kind], kind


async def test_every_kind_can_be_followed_counted_and_judged(demo_server: DemoServer, follower: FollowerFactory) -> None:
    server: Follower = await follower(demo_server.kubeconfig)
    served = {kind.name: kind for kind in KINDS.values() if not getattr(kind, "optional", False)}
    page = await server.call("k8s_export_page", kind="namespaces")
    results = await server.poll(*((name, "", page["resource_version"]) for name in served))
    assert [one["error"] for one in results] == [None] * len(served)
    counted = await server.call("k8s_count_objects", counts=[{"kind": name} for name in served])
    assert [one["error"] for one in counted["results"]] == [None] * len(served)
    assert next(one["count"] for one in counted["results"] if one["kind"] == "namespaces") == len(page["objects"])
    answer = await server.call("k8s_permitted_namespaces", kinds=["pods", "deployments"], namespaces=["shop"])
    assert (answer["error"], answer["permitted"]) == (None, {"pods": ["shop"], "deployments": ["shop"]})


async def test_a_catch_up_ends_and_leaves_nothing_held(demo_server: DemoServer, follower: FollowerFactory) -> None:
    server: Follower = await follower(demo_server.kubeconfig)
    _, cursor = await keys_of(server, "pods")
    result = await server.poll_one("pods", "", cursor, hold=False)
    assert result["error"] is None
    assert server.watches.held(server.clusters.default()) == 0
