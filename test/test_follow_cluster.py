"""Following a real API server: changes arrive by themselves, and whatever breaks on the way is made good."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cache.refresh_requests import request_refresh
from control_plane_fixtures import launch
from follow_fixtures import Following, Meddler, eventually, following
from mcp_tools.tool_loader import ToolResult
from scan_fixtures import query

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


def create(control_plane: Any, name: str, **data: str) -> Any:
    return control_plane.api.post(CONFIGMAPS, {"metadata": {"name": name}, "data": data})


def listed(control_plane: Any, path: str) -> set[tuple[str, str]]:
    items = control_plane.api.get(path)["items"]
    return {(item["metadata"]["uid"], item["metadata"]["resourceVersion"]) for item in items}


async def equal(control_plane: Any, found: Following, kind: str = "configmaps", path: str = "/api/v1/configmaps") -> None:
    await eventually(lambda: found.stored(kind) == listed(control_plane, path), f"{kind} to equal the cluster's")


async def followed(control_plane: Any, found: Following) -> None:
    """Following has begun; that is written with the first change, or when a poll of 25 s ends without one."""
    looks = itertools.count()

    def told() -> bool:
        if (look := next(looks)) % 25 == 0:  # twice a second
            create(control_plane, f"wakes-{look}")
        return bool(found.metadata("configmaps", "strategy") == "follow")

    await eventually(told, "following")


@pytest.fixture(scope="module")
def bare(control_plane_binaries: Any) -> Iterator[Any]:
    control_plane = launch(control_plane_binaries, nodes=0, controllers=False, watch_cache_sizes="configmaps#0")
    yield control_plane
    control_plane.stop()


@pytest.fixture
def api(bare: Any) -> Iterator[Any]:
    """Etcd and the API server alone, without ConfigMaps: nothing moves but what the test moves."""
    yield bare
    bare.api.delete(CONFIGMAPS)


async def test_what_is_created_changed_and_deleted_is_followed_without_another_list(api: Any, tmp_path: Path) -> None:
    async with following(api.kubeconfig, tmp_path) as found:
        lists, mark = found.lists("configmaps"), api.audit.mark()
        create(api, "one", a="1")
        await eventually(lambda: "one" in found.names("configmaps"), "the new object")
        api.api.patch(f"{CONFIGMAPS}/one", {"data": {"a": "2"}})
        await equal(api, found)
        api.api.delete(f"{CONFIGMAPS}/one")
        await eventually(lambda: "one" not in found.names("configmaps"), "the deletion")
        assert query(found.database, "SELECT count(*) FROM deleted_objects WHERE name = 'one'") == [(1,)]
        assert found.lists("configmaps") == lists
        assert api.audit.requests(mark, user="admin", verb="list", where=lambda one: one.resource == "configmaps") == []
        assert found.metadata("configmaps", "strategy") == "follow"


async def test_an_api_server_that_goes_away_and_comes_back_is_followed_on(
    api: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "scanner")
    async with following(api.kubeconfig, tmp_path) as found:
        create(api, "before")
        await equal(api, found)
        stored = found.stored("configmaps")
        with api.api_server.stopped():
            await eventually(lambda: found.metadata("configmaps", "last_error"), "the failure to be recorded")
            assert found.stored("configmaps") == stored
        create(api, "after")
        await equal(api, found)
        await eventually(lambda: not found.metadata("configmaps", "last_error"), "the error to be taken back")
        await eventually(lambda: "can be followed again (recovered" in caplog.text, "the recovery to be logged")
        for told in ("can be followed again (recovered", "cannot be followed"):
            assert caplog.text.count(told) <= 3, (
                "an outage is told a few times, since watches break one by one, not for each kind"
            )


async def test_history_that_the_api_server_has_forgotten_is_made_good_by_a_list(api: Any, tmp_path: Path) -> None:
    """A watch cache of size 0 leaves nothing but etcd's history, which is compacted while the scanner is not there."""
    async with following(api.kubeconfig, tmp_path):
        pass
    create(api, "meanwhile")
    api.expire_history()
    async with following(api.kubeconfig, tmp_path, wait=False) as found:
        await eventually(lambda: found.lists("configmaps") == 1, "a LIST")
        await equal(api, found)
        create(api, "later")
        await equal(api, found)
        assert found.lists("configmaps") == 1
        assert found.lists("namespaces") == 0, "a kind whose history is still there needs none"


async def test_a_restart_resumes_from_the_stored_cursors(api: Any, tmp_path: Path) -> None:
    async with following(api.kubeconfig, tmp_path) as found:
        create(api, "first")
        await equal(api, found)
    mark = api.audit.mark()
    create(api, "second")
    api.api.delete(f"{CONFIGMAPS}/first")
    async with following(api.kubeconfig, tmp_path, wait=False) as found:
        await equal(api, found)
        assert api.audit.requests(mark, user="admin", verb="list", where=lambda one: "limit=500" in one.uri) == []
        assert found.reports == [] or {report.strategy for report in found.reports} <= {"check", "catch-up"}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["dies", "hangs"])
async def test_an_mcp_server_in_trouble_is_replaced_and_following_goes_on(api: Any, tmp_path: Path, number: int) -> None:
    async with following(api.kubeconfig, tmp_path, scanner_timeout=3) as found:
        create(api, "before")
        await equal(api, found)
        pid = found.loader.server_pid
        assert pid is not None
        os.kill(pid, number)
        create(api, "after")
        await eventually(lambda: "after" in found.names("configmaps"), "the change that a new server tells", 90)
        assert found.loader.server_pid != pid
        assert found.lists("configmaps") == 1


async def test_a_change_that_was_swallowed_is_noticed_by_the_count_and_repaired(api: Any, tmp_path: Path) -> None:
    """The same tools, but what they tell of one object never arrives."""

    def swallow(name: str, _: Mapping[str, Any], result: ToolResult) -> ToolResult:
        if name != "k8s_list_changes" or "swallowed" not in result.text:
            return result
        answer = json.loads(result.text)
        for one in answer["results"]:
            one["changes"] = [change for change in one["changes"] if change["object"]["metadata"]["name"] != "swallowed"]
        return replace(result, text=json.dumps(answer))

    async with following(
        api.kubeconfig, tmp_path, cache_dynamic_ttl=10, cache_static_ttl=10, meddle=lambda meddler: set_change(meddler, swallow)
    ) as found:
        create(api, "swallowed")
        create(api, "told")
        await eventually(lambda: "told" in found.names("configmaps"), "the other change")
        assert "swallowed" not in found.names("configmaps")
        await equal(api, found)
        await eventually(lambda: found.lists("configmaps") == 2, "the report of the LIST")


def set_change(meddler: Meddler, change: Callable[[str, Mapping[str, Any], ToolResult], ToolResult]) -> None:
    meddler.change = change


async def test_a_refresh_request_of_a_followed_kind_is_served_without_a_list(api: Any, tmp_path: Path) -> None:
    async with following(api.kubeconfig, tmp_path) as found:
        lists = found.lists("configmaps")
        await followed(api, found)
        await asyncio.sleep(1.1)  # the clock of the database has seconds
        requested_at = time.time()
        request_refresh(found.database, cluster=found.cluster, kind="configmaps", reason="a test asks")
        await eventually(lambda: found.metadata("configmaps", "last_checked_at") >= int(requested_at), "the check", 3)
        counted = lambda: (found.metadata("configmaps", "last_counted_at") or 0) >= int(requested_at)  # noqa: E731
        await eventually(counted, "the count", 3)
        assert found.lists("configmaps") == lists


async def test_a_kind_that_may_not_be_watched_is_listed_at_its_interval(api: Any, tmp_path: Path) -> None:
    from controlplane.users import rule

    rules = [rule("configmaps", verbs=("list", "get")), rule("namespaces", verbs=("list", "get", "watch"))]
    user = api.users.create("default", "no-watch", cluster_rules=rules)
    async with following(
        user.kubeconfig, tmp_path, kinds=("configmaps", "namespaces"), cache_static_ttl=4, cache_dynamic_ttl=4
    ) as found:
        create(api, "later")
        await equal(api, found)
        await eventually(lambda: found.lists("configmaps") >= 2, "LISTs")
        assert found.lists("namespaces") == 1
        mark = api.audit.mark()
        await eventually(lambda: found.lists("configmaps") >= 4, "further LISTs")
        watches = api.audit.requests(mark, user=user.name, verb="watch", where=lambda one: one.resource == "configmaps")
        assert watches == [], "what was refused is not asked for all the time"


async def test_a_hanging_api_server_is_noticed_and_followed_on_when_it_wakes(api: Any, tmp_path: Path) -> None:
    async with following(api.kubeconfig, tmp_path, cache_static_ttl=5, cache_dynamic_ttl=5, scanner_timeout=3) as found:
        create(api, "before")
        await equal(api, found)
        with api.api_server.paused():
            await eventually(lambda: found.metadata("configmaps", "last_error"), "the failure to be recorded", 90)
        create(api, "after")
        await equal(api, found)
        await eventually(lambda: not found.metadata("configmaps", "last_error"), "the error to be taken back", 90)


async def test_each_change_is_stored_within_seconds_at_twenty_a_second(api: Any, tmp_path: Path) -> None:
    async with following(api.kubeconfig, tmp_path) as found:
        await followed(api, found)
        created: dict[str, float] = {}
        seen: dict[str, float] = {}

        async def look() -> None:
            while len(seen) < 100:
                for name in found.names("configmaps") & created.keys() - seen.keys():
                    seen[name] = time.monotonic()
                await asyncio.sleep(0.05)

        looking = asyncio.create_task(look())
        for number in range(100):
            name = f"quick-{number}"
            created[name] = time.monotonic()
            await asyncio.to_thread(create, api, name)
            await asyncio.sleep(0.05)
        await asyncio.wait_for(looking, 30)
        lags = sorted(seen[name] - created[name] for name in created)
        assert lags[50] < 1.5, f"median {lags[50]:.2f} s"
        assert lags[-2] < 5, f"99th percentile {lags[-2]:.2f} s"
