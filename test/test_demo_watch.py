"""WATCH of the simulated cluster: nothing lost, nothing twice, and 410 where history has ended."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from demo_fixtures import TOKEN, Demo, DemoFactory, Json

CONFIGS = "/api/v1/namespaces/shop/configmaps"
PODS = "/api/v1/pods"


class Watch:
    """The lines of one watch, read one at a time."""

    def __init__(self, response: Any) -> None:
        self._response = response

    async def next(self) -> tuple[str, Json]:
        async with asyncio.timeout(10):
            line = await self._response.content.readline()
        event = json.loads(line)
        return event["type"], event["object"]

    async def rest(self) -> list[tuple[str, Json]]:
        """What is left until the server ends the watch."""
        async with asyncio.timeout(20):
            lines = (await self._response.content.read()).splitlines()
        return [(event["type"], event["object"]) for event in map(json.loads, lines)]


async def watch(demo: Demo, path: str, accept: str = "application/json", **query: object) -> Watch:
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": accept}
    params = {"watch": "1", **{name: str(value) for name, value in query.items()}}
    response = await demo.client.get(path, headers=headers, params=params)
    assert response.status == 200
    return Watch(response)


async def make(demo: Demo, name: str, labels: Json | None = None) -> Json:
    metadata = {"name": name, **({"labels": labels} if labels else {})}
    status, made = await demo.call("POST", CONFIGS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    assert status == 201
    return made


async def relabel(demo: Demo, name: str, color: str | None) -> None:
    patch = {"metadata": {"labels": {"color": color}}}
    status, _ = await demo.call("PATCH", f"{CONFIGS}/{name}", patch, content_type="application/merge-patch+json")
    assert status == 200


async def test_create_modify_and_delete_are_seen_in_order(demo: Demo) -> None:
    revision = (await demo.get(CONFIGS))["metadata"]["resourceVersion"]
    stream = await watch(demo, CONFIGS, resourceVersion=revision)
    made = await make(demo, "one")
    assert await stream.next() == ("ADDED", made)
    await relabel(demo, "one", "red")
    type_, changed = await stream.next()
    assert (type_, changed["metadata"]["labels"]) == ("MODIFIED", {"color": "red"})
    await demo.call("DELETE", f"{CONFIGS}/one")
    type_, gone = await stream.next()
    assert (type_, gone["metadata"]["uid"]) == ("DELETED", made["metadata"]["uid"])
    assert int(gone["metadata"]["resourceVersion"]) > int(changed["metadata"]["resourceVersion"])


async def test_a_watch_resumes_where_another_ended(demo: Demo) -> None:
    listed = await demo.get(PODS)
    uids = {pod["metadata"]["uid"]: pod["metadata"]["resourceVersion"] for pod in listed["items"]}
    revision = listed["metadata"]["resourceVersion"]
    for _ in range(6):
        demo.ticks(20)
        events = await (await watch(demo, PODS, resourceVersion=revision, timeoutSeconds=1)).rest()
        for type_, pod in events:
            metadata = pod["metadata"]
            assert int(metadata["resourceVersion"]) > int(revision)
            revision = metadata["resourceVersion"]
            if type_ == "DELETED":
                del uids[metadata["uid"]]
            else:
                assert (type_ == "ADDED") is (metadata["uid"] not in uids)
                uids[metadata["uid"]] = revision
    now = {pod["metadata"]["uid"]: pod["metadata"]["resourceVersion"] for pod in (await demo.get(PODS))["items"]}
    assert uids == now


async def test_a_selector_turns_changes_into_coming_and_going(demo: Demo) -> None:
    revision = (await demo.get(CONFIGS))["metadata"]["resourceVersion"]
    stream = await watch(demo, CONFIGS, resourceVersion=revision, labelSelector="color=red")
    await make(demo, "plain")
    await relabel(demo, "plain", "red")
    await relabel(demo, "plain", "blue")
    await make(demo, "red", {"color": "red"})
    seen = [await stream.next() for _ in range(3)]
    assert [(type_, obj["metadata"]["name"]) for type_, obj in seen] == [
        ("ADDED", "plain"),
        ("DELETED", "plain"),
        ("ADDED", "red"),
    ]


async def test_other_namespaces_and_kinds_are_not_seen(demo: Demo) -> None:
    revision = (await demo.get(CONFIGS))["metadata"]["resourceVersion"]
    stream = await watch(demo, CONFIGS, resourceVersion=revision, timeoutSeconds=1)
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "elsewhere"}}
    await demo.call("POST", "/api/v1/namespaces/data/configmaps", body)
    demo.ticks(10)
    assert await stream.rest() == []


async def test_one_object_is_watched_by_its_name(demo: Demo) -> None:
    stream = await watch(demo, f"{CONFIGS}/checkout-config")
    assert (await stream.next())[0] == "ADDED"
    await make(demo, "other")
    await relabel(demo, "checkout-config", "red")
    type_, changed = await stream.next()
    assert (type_, changed["metadata"]["name"]) == ("MODIFIED", "checkout-config")


async def test_a_watch_without_a_revision_begins_with_all_there_is(demo: Demo) -> None:
    names = await demo.names(CONFIGS)
    events = await (await watch(demo, CONFIGS, timeoutSeconds=1)).rest()
    assert [(type_, obj["metadata"]["name"]) for type_, obj in events] == [("ADDED", name) for name in names]


async def test_initial_events_end_with_their_bookmark(demo: Demo) -> None:
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    stream = await watch(demo, CONFIGS, **query)
    seen = [await stream.next() for _ in range(len(await demo.names(CONFIGS)) + 1)]
    type_, mark = seen[-1]
    assert [kind for kind, _ in seen[:-1]] == ["ADDED"] * (len(seen) - 1)
    assert (type_, mark["metadata"]["annotations"]) == ("BOOKMARK", {"k8s.io/initial-events-end": "true"})
    assert mark["metadata"]["resourceVersion"] == str(demo.cluster.store.revision)
    status, _ = await demo.call("GET", CONFIGS, watch=1, sendInitialEvents="true")
    assert status == 422


async def test_bookmarks_come_before_a_longer_watch_ends(demo: Demo) -> None:
    revision = (await demo.get(CONFIGS))["metadata"]["resourceVersion"]
    demo.ticks(10)
    short = await watch(demo, CONFIGS, resourceVersion=revision, timeoutSeconds=1, allowWatchBookmarks="true")
    longer = await watch(demo, CONFIGS, resourceVersion=revision, timeoutSeconds=11, allowWatchBookmarks="true")
    assert await short.rest() == []
    ((type_, mark),) = await longer.rest()
    assert (type_, set(mark["metadata"])) == ("BOOKMARK", {"resourceVersion", "creationTimestamp"})
    assert int(mark["metadata"]["resourceVersion"]) > int(revision)


async def test_history_that_is_gone_is_an_error_event_of_410(demo_factory: DemoFactory) -> None:
    demo = await demo_factory(history=5)
    revision = (await demo.get(CONFIGS))["metadata"]["resourceVersion"]
    for number in range(5):
        await make(demo, f"n{number}")
    assert len(await (await watch(demo, CONFIGS, resourceVersion=revision, timeoutSeconds=1)).rest()) == 5
    await make(demo, "one-too-many")
    ((type_, status),) = await (await watch(demo, CONFIGS, resourceVersion=revision)).rest()
    assert (type_, status["code"], status["reason"]) == ("ERROR", 410, "Expired")
    assert status["message"].startswith("too old resource version: ")


async def test_compaction_ends_a_watch_that_fell_behind(demo: Demo) -> None:
    revision = (await demo.get(CONFIGS))["metadata"]["resourceVersion"]
    await make(demo, "one")
    demo.cluster.store.compact()
    ((type_, status),) = await (await watch(demo, CONFIGS, resourceVersion=revision)).rest()
    assert (type_, status["code"]) == ("ERROR", 410)


@pytest.mark.parametrize(("form", "kind"), [("Table", "Table"), ("PartialObjectMetadata", "PartialObjectMetadata")])
async def test_watches_come_in_the_form_that_was_asked_for(demo: Demo, form: str, kind: str) -> None:
    accept = f"application/json;as={form};v=v1;g=meta.k8s.io,application/json"
    events = await (await watch(demo, CONFIGS, accept=accept, timeoutSeconds=1)).rest()
    assert {obj["kind"] for _, obj in events} == {kind}
    if form == "Table":
        assert [obj["columnDefinitions"] is not None for _, obj in events] == [True] + [False] * (len(events) - 1)
        assert events[0][1]["rows"][0]["cells"][0] == "checkout-config"


async def test_a_watch_from_the_future_is_refused(demo: Demo) -> None:
    status, body = await demo.call("GET", CONFIGS, watch=1, resourceVersion=99_999_999)
    assert (status, body["reason"]) == (504, "Timeout")
