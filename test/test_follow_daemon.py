"""Keeping up for long: killed and resumed, what it costs, events that the API server forgets, one cluster under two names."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from cache.sql_guard import run_query
from cache_fixtures import Clock
from follow_fixtures import eventually, following
from kept_server import MakeScannerHere
from kinds.registry import KINDS
from scan_fixtures import ScannerProcess, query

MakeScanner = Callable[..., ScannerProcess]
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
EVENTS = "/api/v1/namespaces/default/events"
SERVED = {name for name, kind in KINDS.items() if not kind.optional}


@pytest.fixture(scope="module")
def api(control_plane_binaries: Any) -> Any:
    """Etcd and the API server alone."""
    from control_plane_fixtures import launch

    control_plane = launch(control_plane_binaries, nodes=0, controllers=False)
    yield control_plane
    control_plane.stop()


def create(api: Any, name: str) -> None:
    api.api.create_or_replace(CONFIGMAPS, {"metadata": {"name": name}})


def wait_for(holds: Callable[[], Any], what: str, seconds: float = 90) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(0.05)
    return found


def stored(scanner: ScannerProcess, sql: str) -> list[tuple[Any, ...]]:
    return query(scanner.database, sql) if scanner.database.exists() else []


def complete(scanner: ScannerProcess) -> bool:
    return (
        scanner.database.exists()
        and {kind for (kind,) in query(scanner.database, "SELECT kind FROM cache_metadata WHERE complete")} >= SERVED
    )


def lists(api: Any, mark: int) -> list[Any]:
    """Pages of LISTs of the scanner; what asks for one object only is a count."""
    return list(api.audit.requests(mark, user="admin", verb="list", where=lambda one: "limit=500" in one.uri))


def test_a_daemon_that_was_killed_resumes_from_the_stored_cursors_without_a_list(api: Any, scanner_here: MakeScannerHere) -> None:
    scanner = scanner_here(api.kubeconfig)
    assert scanner.report()["exit_code"] == 0
    first = scanner.start()
    names = "SELECT name FROM configmaps WHERE name LIKE 'daemon-%'"
    create(api, "daemon-one")
    wait_for(lambda: stored(scanner, names) == [("daemon-one",)], "the change")
    first.send_signal(signal.SIGKILL)
    first.wait(20)
    mark = api.audit.mark()
    create(api, "daemon-two")
    api.api.delete(f"{CONFIGMAPS}/daemon-one")
    second = scanner.start()
    wait_for(lambda: stored(scanner, names) == [("daemon-two",)], "what happened meanwhile")
    assert stored(scanner, "SELECT count(*) FROM deleted_objects WHERE name = 'daemon-one'") == [(1,)]
    assert [one.uri for one in lists(api, mark)] == []
    started = time.monotonic()
    second.terminate()
    assert second.wait(20) == 0
    assert time.monotonic() - started < 5, "a poll that waits does not keep it"


async def test_events_that_the_api_server_forgets_are_kept(api: Any, tmp_path: Path) -> None:
    async with following(api.kubeconfig, tmp_path, kinds=("events",)) as found:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        event = {
            "metadata": {"name": "web.1"}, "reason": "BackOff", "message": "restarting", "type": "Warning", "count": 3,
            "involvedObject": {"kind": "Pod", "namespace": "default", "name": "web"}, "firstTimestamp": now, "lastTimestamp": now,
        }  # fmt: skip
        api.api.post(EVENTS, event)
        await eventually(lambda: "web.1" in found.names("events"), "the event")
        api.api.delete(f"{EVENTS}/web.1")
        await eventually(lambda: "web.1" not in found.names("events"), "its end")
        kept = "SELECT reason, message, count, object_name, gone FROM event_history WHERE name = 'web.1'"
        rows = run_query(found.database, kept, cluster=found.cluster).rows
        assert rows == [("BackOff", "restarting", 3, "web", 1)]


async def test_what_following_costs_is_recorded_and_shown_by_status(
    api: Any, tmp_path: Path, scanner_process: MakeScanner
) -> None:
    async with following(api.kubeconfig, tmp_path, kinds=("configmaps", "namespaces")) as found:
        used = lambda: dict(  # noqa: E731
            query(found.database, "SELECT verb, sum(requests) FROM api_usage WHERE cluster = ? GROUP BY verb", found.cluster)
        )
        await eventually(lambda: used().get("watch", 0) >= 2 and used().get("list", 0) >= 2, "its requests to be recorded")
        scanner = scanner_process(api.kubeconfig, CACHE_DB_PATH=str(found.database))
        (cluster,) = json.loads(scanner.run("status", "-o", "json").stdout)["clusters"]
        cost = cluster["last_hour"]
        assert cost["requests"]["list"] >= 2
        assert 2 <= cost["requests"]["watch"] <= 4
        assert cost["bytes"] > 0
        assert cost["watches_held"] == 2
        text = scanner.run("status").stdout
        assert "watches" in text
    after = json.loads(scanner.run("status", "-o", "json").stdout)["clusters"][0]["last_hour"]
    assert after["watches_held"] == 0, "nobody holds them any more"


async def test_one_cluster_under_two_contexts_is_followed_under_both(api: Any, tmp_path: Path) -> None:
    document = yaml.safe_load(api.kubeconfig.read_text())
    document["contexts"].append({"name": "again", "context": document["contexts"][0]["context"]})
    both = tmp_path / "both.yaml"
    both.write_text(yaml.safe_dump(document))
    async with following(both, tmp_path, kinds=("configmaps",), k8s_contexts="*") as found:

        def seen(name: str) -> set[str]:
            return {cluster for (cluster,) in query(found.database, "SELECT cluster FROM configmaps WHERE name = ?", name)}

        complete = "SELECT count(*) FROM cache_metadata WHERE kind = 'configmaps' AND complete"
        await eventually(lambda: query(found.database, complete) == [(2,)], "a LIST of both")
        create(api, "twice")
        await eventually(lambda: seen("twice") == {api.context, "again"}, "the change in both")
        api.api.delete(f"{CONFIGMAPS}/twice")
        await eventually(lambda: not seen("twice"), "the deletion from both")
        gone = "SELECT cluster FROM deleted_objects WHERE name = 'twice' ORDER BY cluster"
        assert {cluster for (cluster,) in query(found.database, gone)} == {api.context, "again"}
        assert found.lists("configmaps") == 2


@pytest.mark.parametrize("step", [-7200, 7200], ids=["back", "forward"])
async def test_a_clock_that_is_set_while_following_neither_stops_it_nor_ages_its_rows(
    api: Any, tmp_path: Path, step: int
) -> None:
    clock = Clock(int(time.time()))
    async with following(api.kubeconfig, tmp_path, kinds=("configmaps",), clock=clock) as found:
        create(api, f"before{step}")
        await eventually(lambda: f"before{step}" in found.names("configmaps"), "the change before")
        clock.now += step
        create(api, f"after{step}")
        await eventually(lambda: f"after{step}" in found.names("configmaps"), "the change after")
        checked = lambda: found.metadata("configmaps", "last_checked_at")  # noqa: E731
        await eventually(lambda: clock.now - 30 <= checked() <= clock.now, "rows that are as old as they are")
        assert found.lists("configmaps") <= 2
        create(api, f"later{step}")
        await eventually(lambda: f"later{step}" in found.names("configmaps"), "following to go on")
        assert found.lists("configmaps") <= 2


def test_a_scan_of_an_unchanged_cluster_asks_for_nothing_twice(api: Any, scanner_here: MakeScannerHere) -> None:
    """One watch and one count for each kind that is served; what is not served is asked for again only by name."""
    scanner = scanner_here(api.kubeconfig)
    optional = {name: kind for name, kind in KINDS.items() if kind.optional}
    first = scanner.report()
    assert {row["kind"] for row in first["kinds"] if row["outcome"] == "not_served"} == set(optional)
    mark = api.audit.mark()
    second = scanner.report()
    assert {row["kind"] for row in second["kinds"] if row["outcome"] == "not_served"} == set(optional)
    asked = api.audit.requests(mark, user="admin", verb="list")
    assert sum("gateway.networking.k8s.io" in one.uri for one in asked) == 0
    assert sum("/api/v1/pods?" in one.uri for one in asked) == 1
    assert len(asked) == len(SERVED)
    mark = api.audit.mark()
    scanner.report("--kind", "gateways")
    asked = api.audit.requests(mark, user="admin", verb="list")
    assert sum("gateway.networking.k8s.io" in one.uri for one in asked) == 1
