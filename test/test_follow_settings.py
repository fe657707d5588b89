"""Settings of keeping up, each seen by what it changes, on a real API server."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from custom_resources import definition, installed
from follow_fixtures import Meddler, eventually, following
from kept_server import MakeScannerHere
from scan_fixtures import query

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
WIDGETS = definition("widgets", "example.com", "Widget")


@pytest.fixture(scope="module")
def api(control_plane_binaries: Any) -> Any:
    """Etcd and the API server alone."""
    from control_plane_fixtures import launch

    control_plane = launch(control_plane_binaries, nodes=0, controllers=False)
    yield control_plane
    control_plane.stop()


def watches(api: Any, mark: int) -> list[Any]:
    return list(api.audit.requests(mark, user="admin", verb="watch"))


def create(api: Any, name: str) -> None:
    api.api.create_or_replace(CONFIGMAPS, {"metadata": {"name": name}})


async def test_scanner_follow_false_catches_up_at_the_interval_instead(api: Any, tmp_path: Path) -> None:
    async with following(
        api.kubeconfig, tmp_path, kinds=("configmaps",), scanner_follow=False, cache_static_ttl=10, cache_dynamic_ttl=10
    ) as found:
        mark = api.audit.mark()
        create(api, "not-followed")
        await eventually(lambda: "not-followed" in found.names("configmaps"), "the catch-up")
        assert found.metadata("configmaps", "strategy") in ("catch-up", "check")
        assert found.lists("configmaps") == 1
        assert len(watches(api, mark)) >= 1
    held = [call for name, call in found.meddler.calls if name == "k8s_list_changes" and call["hold"]]
    assert held == [], "no watch is held"


async def test_scanner_full_list_interval_lists_again_however_well_it_was_kept_up(api: Any, tmp_path: Path) -> None:
    async with following(api.kubeconfig, tmp_path, kinds=("configmaps", "pods"), scanner_full_list_interval=4) as found:
        await eventually(lambda: found.lists("configmaps") >= 3 and found.lists("pods") >= 3, "further LISTs")


async def test_a_server_without_the_tools_is_listed_at_the_interval(api: Any, tmp_path: Path) -> None:
    def foreign(meddler: Meddler) -> None:
        meddler.without = {"k8s_list_changes", "k8s_count_objects"}

    async with following(
        api.kubeconfig, tmp_path, kinds=("configmaps",), meddle=foreign, cache_static_ttl=4, cache_dynamic_ttl=4
    ) as found:
        mark = api.audit.mark()
        create(api, "listed")
        await eventually(lambda: "listed" in found.names("configmaps"), "the next LIST")
        await eventually(lambda: found.lists("configmaps") >= 3, "further LISTs")
        assert watches(api, mark) == []


async def test_scanner_timeout_bounds_what_a_hanging_cluster_costs(api: Any, tmp_path: Path) -> None:
    async with following(api.kubeconfig, tmp_path, kinds=("configmaps",), scanner_timeout=2, scanner_follow=False,
                         cache_static_ttl=5, cache_dynamic_ttl=5) as found:  # fmt: skip
        with api.api_server.paused():
            started = time.monotonic()
            await eventually(lambda: found.metadata("configmaps", "last_error"), "the failure", 60)
            assert time.monotonic() - started < 25
        await eventually(lambda: not found.metadata("configmaps", "last_error"), "the recovery", 90)


def test_scanner_extra_kinds_are_found_and_cached(api: Any, scanner_here: MakeScannerHere) -> None:
    with installed(api.api, WIDGETS):
        path = "/apis/example.com/v1/namespaces/default/widgets"
        api.api.post(path, {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "one"}, "spec": {"size": 3}})
        scanner = scanner_here(api.kubeconfig, SCANNER_EXTRA_KINDS="widgets.example.com, nothing.example.org")
        first = scanner.report("--static")
        assert first["exit_code"] == 0, first["stderr"]
        assert "widgets.example.com" in {row["kind"] for row in first["kinds"]}
        assert query(scanner.database, 'SELECT name, json_extract(spec, "$.size") FROM "widgets.example.com"') == [("one", 3)]
        api.api.patch(f"{path}/one", {"spec": {"size": 4}})
        second = scanner.report("--kind", "widgets.example.com")
        assert [(row["strategy"], row["changed"]) for row in second["kinds"]] == [("catch-up", 1)]
    without = scanner.report("--static", SCANNER_EXTRA_KINDS="")
    assert "widgets.example.com" not in {row["kind"] for row in without["kinds"]}
    unknown = scanner.run("scan", "--kind", "nothing.example.org")
    assert unknown.returncode == 2
    assert "nothing.example.org" in unknown.stderr


def test_a_second_scan_catches_up_and_a_full_one_lists(api: Any, scanner_here: MakeScannerHere) -> None:
    scanner = scanner_here(api.kubeconfig)
    create(api, "first")
    strategies = [{row["strategy"] for row in scanner.report("--kind", "configmaps", *flags)["kinds"]} for flags in ((), ())]
    assert strategies == [{"list"}, {"check"}]
    api.api.patch(f"{CONFIGMAPS}/first", {"data": {"changed": json.dumps(time.time())}})
    caught_up = scanner.report("--kind", "configmaps")["kinds"]
    assert [(row["strategy"], row["changed"]) for row in caught_up] == [("catch-up", 1)]
    assert {row["strategy"] for row in scanner.report("--kind", "configmaps", "--full")["kinds"]} == {"list"}
